/* SPDX-License-Identifier: MIT */
/* registry.c - the registry as its users see it (registry.h) */
#include "registry/registry.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "registry/store.h"
#include "registry/write-file.h"

static const char *const subdirs[UNIT_KINDS] = {
	[UNIT_SERVICE] = "services.d",
	[UNIT_PARTITION] = "partitions.d",
};

static int add_dir(struct registry *r, const struct registry_dir *from,
		   enum unit_kind kind)
{
	struct dir *d = &r->dirs[r->n_dirs++];

	*d = (struct dir){ .kind = kind, .origin = from->origin, .wd = -1,
			   .up_wd = -1 };
	d->base = strdup(from->path);
	if (asprintf(&d->path, "%s/%s", from->path, subdirs[kind]) < 0)
		d->path = NULL;
	return d->base && d->path ? 0 : -ENOMEM;
}

static int add_volatile(struct registry *r, const char *dir)
{
	int error;

	for (size_t k = 0; k < UNIT_KINDS; k++) {
		if (asprintf(&r->volatile_path[k], "%s/%s", dir,
			     subdirs[k]) < 0) {
			r->volatile_path[k] = NULL;
			return -ENOMEM;
		}
		error = make_directories(r->volatile_path[k], 0700);
		if (error < 0)
			return error;
	}
	return 0;
}

static int init(struct registry *r, const struct registry_dir *dirs, size_t n,
		const char *volatile_dir)
{
	int error = 0;

	r->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	for (size_t k = 0; k < UNIT_KINDS; k++) {
		r->listing[k] = calloc(1, sizeof(*r->listing[k]));
		if (!r->listing[k])
			return -ENOMEM;
	}
	r->host = (struct partition){
		.origin = ORIGIN_BUILTIN,
		.enabled = true,
		.defaults.wildcard = -1,
	};
	r->host.name = strdup("host");
	r->dirs = calloc(n * UNIT_KINDS + 1, sizeof(*r->dirs));
	if (!r->host.name || !r->dirs)
		return -ENOMEM;
	for (enum unit_kind k = 0; k < UNIT_KINDS && !error; k++)
		for (size_t i = 0; i < n && !error; i++)
			error = add_dir(r, &dirs[i], k);
	if (!error && volatile_dir)
		error = add_volatile(r, volatile_dir);
	return error;
}

int registry_new(const struct registry_dir *dirs, size_t n,
		 const char *volatile_dir, struct registry **ret)
{
	struct registry *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return -ENOMEM;
	r->fd = -1;
	error = init(r, dirs, n, volatile_dir);
	if (error < 0) {
		registry_free(r);
		return error;
	}
	load_all(r);
	store_settle(r);
	*ret = r;
	return 0;
}

struct registry *registry_free(struct registry *r)
{
	if (!r)
		return NULL;
	if (r->listing[0] && r->listing[1])
		store_clear(r);
	for (size_t i = 0; i < r->n_dirs; i++) {
		problems_clear(&r->dirs[i].problems);
		free(r->dirs[i].base);
		free(r->dirs[i].path);
	}
	for (size_t k = 0; k < UNIT_KINDS; k++) {
		free(r->volatile_path[k]);
		if (r->listing[k])
			free(r->listing[k]->v);
		free(r->listing[k]);
	}
	free(r->dirs);
	free(r->host.name);
	free(r->all.v); /* the strings were the others' */
	if (r->fd >= 0)
		close(r->fd);
	free(r);
	return NULL;
}

int registry_fd(const struct registry *r)
{
	return r->fd;
}

bool registry_refresh(struct registry *r)
{
	if (!watch_drain(r))
		return false;
	return store_settle(r);
}

void registry_reload(struct registry *r)
{
	load_all(r);
	r->changed = true;
	store_settle(r);
}

uint64_t registry_generation(const struct registry *r)
{
	return r->generation;
}

size_t registry_problems(const struct registry *r,
			 const struct registry_problem **ret)
{
	*ret = r->all.v;
	return r->all.n;
}

/* ---- Look-ups ------------------------------------------------------------ */

const struct service *registry_service(const struct registry *r,
				       const GUID *id)
{
	const struct unit *u;

	u = claim_guid(r, CLAIM_SERVICE_ID, id, CLAIM_IN_FORCE);
	return u ? &u->service : NULL;
}

const struct service *registry_service_by_name(const struct registry *r,
					       const char *name)
{
	const struct unit *u;

	u = claim_name(r, CLAIM_SERVICE_NAME, name, CLAIM_IN_FORCE);
	if (!u)
		u = claim_name(r, CLAIM_SERVICE_STEM, name, CLAIM_IN_FORCE);
	return u ? &u->service : NULL;
}

const struct partition *registry_partition(const struct registry *r,
					   const GUID *vmid)
{
	const struct unit *u;

	if (guid_is_zero(vmid))
		return &r->host;
	u = claim_guid(r, CLAIM_VMID, vmid, CLAIM_IN_FORCE);
	return u ? &u->partition.p : NULL;
}

const struct partition *registry_partition_by_name(const struct registry *r,
						   const char *name)
{
	const struct unit *u;

	if (strcasecmp(name, r->host.name) == 0)
		return &r->host;
	u = claim_name(r, CLAIM_PARTITION_NAME, name, CLAIM_IN_FORCE);
	if (!u)
		u = claim_name(r, CLAIM_PARTITION_STEM, name, CLAIM_IN_FORCE);
	return u ? &u->partition.p : NULL;
}

size_t registry_service_count(const struct registry *r)
{
	return r->count[UNIT_SERVICE];
}

size_t registry_partition_count(const struct registry *r)
{
	return r->count[UNIT_PARTITION] + 1;
}

static int by_service_name(const void *a, const void *b)
{
	const struct service *const *x = a, *const *y = b;

	return strcasecmp((*x)->name, (*y)->name);
}

static int by_partition_name(const void *a, const void *b)
{
	const struct partition *const *x = a, *const *y = b;

	return strcasecmp((*x)->name, (*y)->name);
}

static const struct listing *list(const struct registry *r,
				  enum unit_kind kind)
{
	struct listing *l = r->listing[kind];
	size_t n = r->count[kind];

	if (l->valid)
		return l;
	free(l->v);
	*l = (struct listing){ 0 };
	l->v = calloc(n + 1, sizeof(*l->v));
	if (!l->v)
		return l;
	for (size_t v = 0; v < 2; v++) {
		for (const struct unit *u = r->units[kind][v]; u && l->n < n;
		     u = u->hh.next) {
			if (!u->in_force)
				continue;
			if (kind == UNIT_SERVICE)
				l->v[l->n++] = &u->service;
			else
				l->v[l->n++] = &u->partition.p;
		}
	}
	qsort(l->v, l->n, sizeof(*l->v),
	      kind == UNIT_SERVICE ? by_service_name : by_partition_name);
	l->valid = true;
	return l;
}

int registry_each_service(const struct registry *r,
			  int (*fn)(const struct service *s, void *arg),
			  void *arg)
{
	const struct listing *l = list(r, UNIT_SERVICE);
	int error = 0;

	for (size_t i = 0; i < l->n && !error; i++)
		error = fn(l->v[i], arg);
	return error;
}

int registry_each_partition(const struct registry *r,
			    int (*fn)(const struct partition *p, void *arg),
			    void *arg)
{
	const struct listing *l = list(r, UNIT_PARTITION);
	bool host_done = false;
	int error = 0;

	for (size_t i = 0; i < l->n && !error; i++) {
		const struct partition *p = l->v[i];

		if (!host_done && strcasecmp(r->host.name, p->name) < 0) {
			host_done = true;
			error = fn(&r->host, arg);
		}
		if (!error)
			error = fn(p, arg);
	}
	if (!host_done && !error)
		error = fn(&r->host, arg);
	return error;
}
