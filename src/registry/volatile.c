/* SPDX-License-Identifier: MIT */
/*
 * volatile.c - registrations at run time (registry.h)
 *
 * A change is made beside the store first: the new object is built by the
 * parser from the very text that will be written, judged against what others
 * claim, and written; only then does it take its place. What fails on the way
 * leaves the old object and the old file.
 */
#include "registry/store.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "registry/write-file.h"

static int say(char *why, size_t size, int error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int say(char *why, size_t size, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (size)
		vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return error;
}

static int say_parse(char *why, size_t size, int error,
		     const struct parse_error *e)
{
	if (error == -EINVAL)
		return say(why, size, error, "%s", e->reason);
	return say(why, size, error, "%s", strerror(-error));
}

/* A unit that is in no table, for judging. */
static struct unit *spare(enum unit_kind kind, const char *name,
			  const struct registry *r, const GUID *id)
{
	struct unit *u = calloc(1, sizeof(*u));
	char stem[SERVICE_STEM_SIZE], text[GUID_TEXT_SIZE];

	if (!u)
		return NULL;
	u->kind = kind;
	u->is_volatile = true;
	service_stem(name, stem);
	if (unit_find(r, kind, true, stem) || unit_find(r, kind, false, stem))
		u->stem = strdup(guid_format(id, text));
	else
		u->stem = strdup(stem);
	if (!u->stem) {
		free(u);
		return NULL;
	}
	return u;
}

static void spare_free(struct unit **p)
{
	struct unit *u = *p;

	if (!u)
		return;
	service_fini(&u->service);
	service_text_fini(&u->text);
	partition_file_fini(&u->partition);
	free(u->stem);
	free(u);
}

#define cleanup_spare_ cleanup_(spare_free)

static int build_service(struct registry *r, struct unit *u, char *why,
			 size_t size)
{
	struct service *s = &u->service;
	struct parse_error e = { 0 };
	int error;

	error = service_build(&u->text, u->stem, &name_lookup_system, s, &e);
	if (error < 0)
		return say_parse(why, size, error, &e);
	s->origin = ORIGIN_VOLATILE;
	if (asprintf(&s->path, "%s/%s.conf", r->volatile_path[UNIT_SERVICE],
		     u->stem) < 0) {
		s->path = NULL;
		return say(why, size, -ENOMEM, "out of memory");
	}
	if (s->target && s->owner_uid != 0 && s->owner_uid != geteuid())
		return say(why, size, -EPERM,
			   "only root and the broker's user may say Target=");
	return 0;
}

static int build_partition(struct registry *r, struct unit *u,
			   const char *text, char *why, size_t size)
{
	struct partition *p = &u->partition.p;
	struct parse_error e = { 0 };
	int error;

	error = partition_file_parse(text, strlen(text), u->stem,
				     &name_lookup_system, &u->partition, &e);
	if (error < 0)
		return say_parse(why, size, error, &e);
	p->origin = ORIGIN_VOLATILE;
	if (asprintf(&p->path, "%s/%s.conf", r->volatile_path[UNIT_PARTITION],
		     u->stem) < 0) {
		p->path = NULL;
		return say(why, size, -ENOMEM, "out of memory");
	}
	return 0;
}

static int check_rival(const struct registry *r, const struct unit *u,
		       const struct unit *old, char *why, size_t size)
{
	const struct unit *rival;
	const char *what;

	rival = unit_rival(r, u, old, false, &what);
	if (!rival)
		return 0;
	if (rival->is_volatile)
		return say(why, size, -EEXIST,
			   "%s is taken by the volatile registration %s", what,
			   rival->kind == UNIT_SERVICE ?
				   rival->service.name :
				   rival->partition.p.name);
	return say(why, size, -EEXIST, "%s is taken by %s", what,
		   unit_path(rival));
}

/* Would the parent lead to the host, and not back to @old? */
static int check_parent(const struct registry *r, const struct unit *u,
			const struct unit *old, char *why, size_t size)
{
	const char *text = u->partition.value[PARTITION_PARENT];
	const struct unit *x = u;
	struct unit *parent;
	char q[QUOTE_SIZE];

	for (int i = 0; i < PARTITION_DEPTH_MAX; i++) {
		if (link_parent(r, &x->partition, &parent) < 0 ||
		    (parent && !parent->in_force && parent != old))
			return say(why, size, -EINVAL,
				   "there is no partition %s in force to be "
				   "the parent", quote(text, q));
		if (!parent)
			return 0;
		if (parent == old)
			return say(why, size, -EINVAL,
				   "its parents would form a circle");
		x = parent;
	}
	return say(why, size, -EINVAL,
		   "partitions are nested at most %d deep",
		   PARTITION_DEPTH_MAX);
}

static int write_unit(const struct registry *r, const struct unit *u,
		      const char *text, char *why, size_t size)
{
	char name[NAME_MAX + 1];
	int error;

	snprintf(name, sizeof(name), "%s.conf", u->stem);
	error = write_file(r->volatile_path[u->kind], name, text, strlen(text),
			   0600, true);
	if (error < 0)
		return say(why, size, error, "%s/%s: %s",
			   r->volatile_path[u->kind], name, strerror(-error));
	return 0;
}

/* @u's object takes the place of what the unit of its stem had. */
static struct unit *install(struct registry *r, struct unit *u)
{
	struct unit *to = unit_get(r, u->kind, true, u->stem);

	if (!to)
		return NULL;
	unit_clear(r, to);
	to->service = u->service;
	to->text = u->text;
	to->partition = u->partition;
	u->service = (struct service){ 0 };
	u->text = (struct service_text){ 0 };
	u->partition = (struct partition_file){ 0 };
	if (unit_claim(r, to) < 0) {
		unit_remove(r, to);
		to = NULL;
	}
	r->changed = true;
	store_settle(r);
	return to;
}

static int no_volatile(const struct registry *r, char *why, size_t size)
{
	if (r->volatile_path[UNIT_PARTITION])
		return 0;
	return say(why, size, -EOPNOTSUPP,
		   "this registry has no place for volatile registrations");
}

static void remove_unit(struct registry *r, struct unit *u)
{
	unlink(unit_path(u));
	unit_remove(r, u);
	r->changed = true;
}

/* The volatile unit of an id, in force or not. */
static int find(struct registry *r, enum unit_kind kind, const GUID *id,
		struct unit **ret, char *why, size_t size)
{
	char text[GUID_TEXT_SIZE];
	struct unit *file;

	/* Prefer the volatile one: the id may be a file's by now. */
	for (struct unit *u = r->units[kind][1]; u; u = u->hh.next) {
		if (u->parsed &&
		    guid_equal(id, kind == UNIT_SERVICE ?
					   &u->service.id :
					   &u->partition.p.vmid)) {
			*ret = u;
			return 0;
		}
	}
	file = claim_guid(r, kind == UNIT_SERVICE ? CLAIM_SERVICE_ID :
						    CLAIM_VMID,
			  id, CLAIM_PARSED);
	if (file && file->is_volatile) { /* asked for by its port */
		*ret = file;
		return 0;
	}
	if (file)
		return say(why, size, -EPERM,
			   "%s is permanent: change the file", unit_path(file));
	return say(why, size, -ENOENT, "there is no %s %s",
		   kind == UNIT_SERVICE ? "service" : "partition",
		   guid_format(id, text));
}

/* ---- Services ------------------------------------------------------------ */

static int add_owner(struct unit *u, const struct service_draft *d, char *why,
		     size_t size)
{
	char uid[16];
	int error;

	snprintf(uid, sizeof(uid), "%u", d->owner_uid);
	error = service_text_set(&u->text, SERVICE_OWNER_UID, uid);
	if (error == 0 && d->lease_pid)
		error = lease_take(d->lease_pid, &u->text);
	if (error == -ESRCH)
		return say(why, size, error,
			   "process %d, the lease's, is gone", d->lease_pid);
	if (error < 0)
		return say(why, size, error, "%s", strerror(-error));
	return 0;
}

static int finish_service(struct registry *r, struct unit *u,
			  const struct unit *old, const struct service **ret,
			  char *why, size_t size)
{
	cleanup_free_ char *text = NULL;
	struct service_text again;
	struct parse_error e;
	struct unit *to;
	int error;

	error = build_service(r, u, why, size);
	if (error == 0)
		error = check_rival(r, u, old, why, size);
	if (error < 0)
		return error;
	if (service_text_format(&u->text, &text) < 0)
		return say(why, size, -ENOMEM, "out of memory");
	/* Lists of a client may be of a form that no line can hold. */
	error = service_text_parse(text, strlen(text), true, &again, &e);
	if (error < 0)
		return say_parse(why, size, error, &e);
	for (size_t k = 0; k < SERVICE_KEYS && !error; k++) {
		const char *a = u->text.value[k], *b = again.value[k];

		if (!a != !b || (a && strcmp(a, b) != 0))
			error = say(why, size, -EINVAL,
				    "a value that a file cannot hold");
	}
	service_text_fini(&again);
	if (error == 0)
		error = write_unit(r, u, text, why, size);
	if (error < 0)
		return error;
	to = install(r, u);
	if (!to)
		return say(why, size, -ENOMEM, "out of memory");
	if (ret)
		*ret = &to->service;
	return 0;
}

int registry_add_service(struct registry *r, const struct service_draft *d,
			 const struct service **ret, char *why, size_t size)
{
	cleanup_spare_ struct unit *u = NULL;
	struct service_draft with_id = *d;
	struct parse_error e;
	GUID id;
	int error;

	error = no_volatile(r, why, size);
	if (error < 0)
		return error;
	if (!d->name)
		return say(why, size, -EINVAL, "a service needs a name");
	if (name_check("the name", d->name, 0, &e) < 0)
		return say(why, size, -EINVAL, "%s", e.reason);
	if (guid_random(&id) < 0)
		return say(why, size, -EIO, "no random numbers");
	if (!d->id && !d->port)
		with_id.id = &id;
	u = spare(UNIT_SERVICE, d->name, r, &id);
	if (!u)
		return say(why, size, -ENOMEM, "out of memory");
	error = service_text_draft(&with_id, &u->text);
	if (error < 0)
		return say(why, size, error,
			   "a value is not text or has control characters");
	error = add_owner(u, d, why, size);
	if (error < 0)
		return error;
	return finish_service(r, u, NULL, ret, why, size);
}

static int copy_text(const struct service_text *from, struct service_text *to)
{
	int error = 0;

	for (enum service_key k = 0; k < SERVICE_KEYS && !error; k++)
		if (from->value[k])
			error = service_text_set(to, k, from->value[k]);
	return error;
}

int registry_set_service(struct registry *r, const GUID *id,
			 const struct service_draft *d, char *why,
			 size_t size)
{
	cleanup_spare_ struct unit *u = NULL;
	struct unit *old;
	const char *v[SERVICE_KEYS] = {
		[SERVICE_NAME] = d->name,
		[SERVICE_POLICY] = d->policy,
		[SERVICE_BIND] = d->bind,
		[SERVICE_CONNECT] = d->connect,
		[SERVICE_WILDCARD] = d->wildcard,
		[SERVICE_TARGET] = d->target,
		[SERVICE_MAX_CONNECTIONS] = d->max_connections,
	};
	int error;

	error = find(r, UNIT_SERVICE, id, &old, why, size);
	if (error < 0)
		return error;
	if ((d->id && !guid_equal(d->id, &old->service.id)) ||
	    (d->port &&
	     (!old->service.has_port || *d->port != old->service.port)))
		return say(why, size, -EINVAL,
			   "id and port of a service do not change");
	u = calloc(1, sizeof(*u));
	if (!u)
		return say(why, size, -ENOMEM, "out of memory");
	u->is_volatile = true;
	u->stem = strdup(old->stem);
	error = u->stem ? copy_text(&old->text, &u->text) : -ENOMEM;
	for (enum service_key k = 0; k < SERVICE_KEYS && !error; k++)
		if (v[k])
			error = service_text_set(&u->text, k, v[k]);
	if (error == -EINVAL)
		return say(why, size, error,
			   "a value is not text or has control characters");
	if (error < 0)
		return say(why, size, error, "%s", strerror(-error));
	return finish_service(r, u, old, NULL, why, size);
}

int registry_remove_service(struct registry *r, const GUID *id, char *why,
			    size_t size)
{
	struct unit *u;
	int error;

	error = find(r, UNIT_SERVICE, id, &u, why, size);
	if (error < 0)
		return error;
	remove_unit(r, u);
	store_settle(r);
	return 0;
}

size_t registry_expire(struct registry *r, int32_t pid)
{
	struct unit *u, *next;
	size_t n = 0;

	HASH_ITER (hh, r->units[UNIT_SERVICE][1], u, next) {
		if (!u->service.lease_pid ||
		    (pid && u->service.lease_pid != pid) ||
		    !lease_over(&u->service))
			continue;
		remove_unit(r, u);
		n++;
	}
	if (n)
		store_settle(r);
	return n;
}

/* ---- Partitions ------------------------------------------------------------*/

static int finish_partition(struct registry *r, struct unit *u,
			    const struct unit *old,
			    const char *const value[PARTITION_KEYS],
			    const struct partition **ret, char *why,
			    size_t size)
{
	cleanup_free_ char *text = NULL;
	struct unit *to;
	int error;

	error = partition_text_format(value, &text);
	if (error < 0)
		return say(why, size, error, "%s",
			   error == -EINVAL ? "a value is not text or has "
					      "control characters" :
					      strerror(-error));
	error = build_partition(r, u, text, why, size);
	if (error == 0)
		error = check_rival(r, u, old, why, size);
	if (error == 0)
		error = check_parent(r, u, old, why, size);
	if (error == 0)
		error = write_unit(r, u, text, why, size);
	if (error < 0)
		return error;
	to = install(r, u);
	if (!to)
		return say(why, size, -ENOMEM, "out of memory");
	if (ret)
		*ret = &to->partition.p;
	return 0;
}

int registry_add_partition(struct registry *r, const struct partition_draft *d,
			   const struct partition **ret, char *why,
			   size_t size)
{
	cleanup_spare_ struct unit *u = NULL;
	char text[GUID_TEXT_SIZE];
	struct parse_error e;
	GUID id;
	int error;

	error = no_volatile(r, why, size);
	if (error < 0)
		return error;
	if (!d->name)
		return say(why, size, -EINVAL, "a partition needs a name");
	if (name_check("the name", d->name, 0, &e) < 0)
		return say(why, size, -EINVAL, "%s", e.reason);
	if (guid_random(&id) < 0)
		return say(why, size, -EIO, "no random numbers");
	if (d->id)
		id = *d->id;
	u = spare(UNIT_PARTITION, d->name, r, &id);
	if (!u)
		return say(why, size, -ENOMEM, "out of memory");
	{
		const char *const v[PARTITION_KEYS] = {
			[PARTITION_NAME] = d->name,
			[PARTITION_VMID] = guid_format(&id, text),
			[PARTITION_KIND] = d->kind,
			[PARTITION_PARENT] = d->parent,
			[PARTITION_USER] = d->user,
			[PARTITION_ENABLED] = d->disabled ? "no" : NULL,
		};

		return finish_partition(r, u, NULL, v, ret, why, size);
	}
}

/* The present value, or the draft's where it has one. */
static const char *either(const char *now, const char *draft)
{
	return draft ? draft : now;
}

int registry_set_partition(struct registry *r, const GUID *vmid,
			   const struct partition_draft *d, char *why,
			   size_t size)
{
	cleanup_spare_ struct unit *u = NULL;
	char *const *now;
	struct unit *old;
	int error;

	error = find(r, UNIT_PARTITION, vmid, &old, why, size);
	if (error < 0)
		return error;
	if (d->id && !guid_equal(d->id, vmid))
		return say(why, size, -EINVAL,
			   "the VmId of a partition does not change");
	u = calloc(1, sizeof(*u));
	if (!u)
		return say(why, size, -ENOMEM, "out of memory");
	u->kind = UNIT_PARTITION;
	u->is_volatile = true;
	u->stem = strdup(old->stem);
	if (!u->stem)
		return say(why, size, -ENOMEM, "out of memory");
	now = old->partition.value;
	{
		const char *const v[PARTITION_KEYS] = {
			[PARTITION_NAME] = either(now[PARTITION_NAME], d->name),
			[PARTITION_VMID] = now[PARTITION_VMID],
			[PARTITION_KIND] = either(now[PARTITION_KIND], d->kind),
			[PARTITION_PARENT] =
				either(now[PARTITION_PARENT], d->parent),
			[PARTITION_USER] = either(now[PARTITION_USER], d->user),
			[PARTITION_ENABLED] = d->disabled ? "no" : NULL,
		};

		return finish_partition(r, u, old, v, NULL, why, size);
	}
}

int registry_remove_partition(struct registry *r, const GUID *vmid, char *why,
			      size_t size)
{
	struct unit *u;
	int error;

	error = find(r, UNIT_PARTITION, vmid, &u, why, size);
	if (error < 0)
		return error;
	remove_unit(r, u);
	store_settle(r);
	return 0;
}
