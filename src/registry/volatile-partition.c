/* SPDX-License-Identifier: MIT */
/* volatile-partition.c - partitions at run time (volatile.h) */
#include "registry/volatile.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/guid.h"

static int build_partition(struct registry *r, struct unit *u,
			   const char *text, char *why, size_t size)
{
	struct partition *p = &u->partition.p;
	struct parse_error e = { 0 };
	int error;

	error = partition_file_parse(text, strlen(text), u->stem,
				     &name_lookup_system, &u->partition, &e);
	if (error < 0)
		return volatile_say_parse(why, size, error, &e);
	p->origin = ORIGIN_VOLATILE;
	if (asprintf(&p->path, "%s/%s.conf", r->volatile_path[UNIT_PARTITION],
		     u->stem) < 0) {
		p->path = NULL;
		return volatile_say(why, size, -ENOMEM, "out of memory");
	}
	return 0;
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
			return volatile_say(why, size, -EINVAL,
				   "there is no partition %s in force to be "
				   "the parent", quote(text, q));
		if (!parent)
			return 0;
		if (parent == old)
			return volatile_say(why, size, -EINVAL,
				   "its parents would form a circle");
		x = parent;
	}
	return volatile_say(why, size, -EINVAL,
		   "partitions are nested at most %d deep",
		   PARTITION_DEPTH_MAX);
}

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
		return volatile_say(why, size, error, "%s",
			   error == -EINVAL ? "a value is not text or has "
					      "control characters" :
					      strerror(-error));
	error = build_partition(r, u, text, why, size);
	if (error == 0)
		error = volatile_rival(r, u, old, why, size);
	if (error == 0)
		error = check_parent(r, u, old, why, size);
	if (error == 0)
		error = volatile_write(r, u, text, why, size);
	if (error < 0)
		return error;
	to = volatile_install(r, u);
	if (!to)
		return volatile_say(why, size, -ENOMEM, "out of memory");
	if (ret)
		*ret = &to->partition.p;
	return 0;
}

/* The present value, or the draft's where it has one. */
static const char *either(const char *now, const char *draft)
{
	return draft ? draft : now;
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

	error = volatile_possible(r, why, size);
	if (error < 0)
		return error;
	if (!d->name)
		return volatile_say(why, size, -EINVAL,
				    "a partition needs a name");
	if (name_check("the name", d->name, 0, &e) < 0)
		return volatile_say(why, size, -EINVAL, "%s", e.reason);
	if (guid_random(&id) < 0)
		return volatile_say(why, size, -EIO, "no random numbers");
	if (d->id)
		id = *d->id;
	u = volatile_spare(UNIT_PARTITION, d->name, r, &id);
	if (!u)
		return volatile_say(why, size, -ENOMEM, "out of memory");
	{
		const char *const v[PARTITION_KEYS] = {
			[PARTITION_NAME] = d->name,
			[PARTITION_VMID] = guid_format(&id, text),
			[PARTITION_KIND] = d->kind,
			[PARTITION_PARENT] = d->parent,
			[PARTITION_USER] = d->user,
			[PARTITION_ENABLED] = d->disabled ? "no" : NULL,
			[PARTITION_CID] = d->cid,
			[PARTITION_SIBLING_CID] = d->sibling_cid,
		};

		return finish_partition(r, u, NULL, v, ret, why, size);
	}
}

int registry_set_partition(struct registry *r, const GUID *vmid,
			   const struct partition_draft *d, char *why,
			   size_t size)
{
	cleanup_spare_ struct unit *u = NULL;
	char *const *now;
	struct unit *old;
	int error;

	error = volatile_find(r, UNIT_PARTITION, vmid, &old, why, size);
	if (error < 0)
		return error;
	if (d->id && !guid_equal(d->id, vmid))
		return volatile_say(why, size, -EINVAL,
			   "the VmId of a partition does not change");
	u = calloc(1, sizeof(*u));
	if (!u)
		return volatile_say(why, size, -ENOMEM, "out of memory");
	u->kind = UNIT_PARTITION;
	u->is_volatile = true;
	u->stem = strdup(old->stem);
	if (!u->stem)
		return volatile_say(why, size, -ENOMEM, "out of memory");
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
			[PARTITION_CID] = either(now[PARTITION_CID], d->cid),
			[PARTITION_SIBLING_CID] =
				either(now[PARTITION_SIBLING_CID],
				       d->sibling_cid),
		};

		return finish_partition(r, u, old, v, NULL, why, size);
	}
}

int registry_remove_partition(struct registry *r, const GUID *vmid, char *why,
			      size_t size)
{
	struct unit *u;
	int error;

	error = volatile_find(r, UNIT_PARTITION, vmid, &u, why, size);
	if (error < 0)
		return error;
	volatile_remove(r, u);
	store_settle(r);
	return 0;
}
