/* SPDX-License-Identifier: MIT */
/*
 * link.c - what a partition's file says about other files
 *
 * Parents and the services of a table are known only when everything has been
 * read, and change with other files.
 */
#include "registry/store.h"

#include <errno.h>
#include <strings.h>

#include "base/guid.h"

int link_parent(const struct registry *r, const struct partition_file *f,
		struct unit **ret)
{
	const char *parent = f->value[PARTITION_PARENT];
	struct unit *u;
	GUID id;

	*ret = NULL;
	if (!parent || strcasecmp(parent, "host") == 0)
		return 0;
	if (guid_parse(parent, &id) == 0) {
		u = claim_guid(r, CLAIM_VMID, &id, CLAIM_NO_CONFLICT);
	} else {
		u = claim_name(r, CLAIM_PARTITION_NAME, parent,
			       CLAIM_NO_CONFLICT);
		if (!u)
			u = claim_name(r, CLAIM_PARTITION_STEM, parent,
				       CLAIM_NO_CONFLICT);
	}
	*ret = u;
	return u ? 0 : -ENOENT;
}

/* Up to the host. Return: the depth, or 0 with a problem. */
static size_t climb(const struct registry *r, struct unit *u)
{
	unsigned int line = u->partition.line[PARTITION_PARENT];
	const char *path = unit_path(u);
	struct unit *x = u, *parent;
	char q[QUOTE_SIZE];

	for (size_t depth = 1; depth <= PARTITION_DEPTH_MAX; depth++) {
		if (link_parent(r, &x->partition, &parent) < 0) {
			quote(x->partition.value[PARTITION_PARENT], q);
			if (x == u)
				problem_add(&u->state, path, line,
					    "there is no partition %s in "
					    "force to be the parent", q);
			else
				problem_add(&u->state, path, line,
					    "its ancestor %s is out of force "
					    "for want of its parent %s",
					    x->partition.p.name, q);
			return 0;
		}
		if (!parent)
			return depth;
		if (parent == u) {
			problem_add(&u->state, path, line,
				    "its parents form a circle: %s is a child "
				    "of it", x->partition.p.name);
			return 0;
		}
		x = parent;
	}
	problem_add(&u->state, path, line,
		    "its parents do not lead to the host in %d steps",
		    PARTITION_DEPTH_MAX);
	return 0;
}

static void link_one(struct registry *r, struct unit *u)
{
	struct partition *p = &u->partition.p;
	struct unit *parent = NULL;
	size_t depth;
	bool before = u->in_force;

	if (!u->parsed || u->conflict)
		return;
	problems_clear(&u->state);
	depth = climb(r, u);
	if (depth)
		(void)link_parent(r, &u->partition, &parent);
	u->in_force = depth > 0;
	if (u->in_force != before) {
		r->count[UNIT_PARTITION] += before ? (size_t)-1 : 1;
		r->changed = true;
	}
	p->depth = depth;
	p->parent = parent ? parent->partition.p.vmid : guid_zero;
}

void link_partitions(struct registry *r)
{
	for (size_t v = 0; v < 2; v++)
		for (struct unit *u = r->units[UNIT_PARTITION][v]; u;
		     u = u->hh.next)
			link_one(r, u);
	/* What was in force with another parent counts as changed. */
	r->changed = true;
	r->listing[UNIT_PARTITION]->valid = false;
}

/* Two sections for one service: whichever was meant, neither counts, and the
 * service is off there, so that no refusal gets lost. */
static const struct rules rules_off = { .policy = POLICY_DISABLED,
					.wildcard = -1 };

static int link_entry(struct registry *r, struct unit *u,
		       struct service_override *t, const struct override *o,
		       struct override_index *slot)
{
	const struct service *s;
	struct override_index *other;
	char q[QUOTE_SIZE];

	if (o->name)
		s = registry_service_by_name(r, o->name);
	else
		s = registry_service(r, &o->id);
	if (!s && o->name) {
		problem_add(&u->state, unit_path(u), o->line,
			    "no service %s is in force; the section has no "
			    "effect", quote(o->name, q));
		return 0;
	}
	slot->id = s ? s->id : o->id;
	slot->rules = &o->rules;
	HASH_FIND(hh, t->index, &slot->id, sizeof(slot->id), other);
	if (other) {
		other->rules = &rules_off;
		problem_add(&u->state, unit_path(u), o->line,
			    "a second section for the service %s, which is "
			    "disabled here until one is removed",
			    quote(s ? s->name : "", q));
		return 0;
	}
	HASH_ADD(hh, t->index, id, sizeof(slot->id), slot);
	return slot->hh.tbl ? 0 : -ENOMEM;
}

static void link_table(struct registry *r, struct unit *u)
{
	struct service_override *t = u->partition.p.table;

	if (!t || !u->in_force)
		return;
	/* Problems of the link itself keep a partition out of force: all that
	 * is there now is from the last time here. */
	problems_clear(&u->state);
	HASH_CLEAR(hh, t->index);
	t->registry = r;
	if (!t->slots)
		t->slots = calloc(t->n, sizeof(*t->slots));
	for (size_t i = 0; t->slots && i < t->n; i++) {
		t->slots[i] = (struct override_index){ 0 };
		if (link_entry(r, u, t, &t->entry[i], &t->slots[i]) == 0)
			continue;
		free(t->slots);
		t->slots = NULL;
	}
	if (t->slots)
		return;
	/* Not half a table: what it refuses must not be allowed. */
	HASH_CLEAR(hh, t->index);
	problem_add(&u->state, unit_path(u), 0, "out of memory");
	u->in_force = false;
	r->count[UNIT_PARTITION]--;
}

void link_tables(struct registry *r)
{
	for (size_t v = 0; v < 2; v++)
		for (struct unit *u = r->units[UNIT_PARTITION][v]; u;
		     u = u->hh.next)
			link_table(r, u);
}

void link_forget(struct partition_file *f)
{
	if (f->p.table)
		HASH_CLEAR(hh, f->p.table->index);
	partition_file_fini(f);
}

const struct rules *partition_rules(const struct partition *p, const GUID *id)
{
	const struct service_override *t = p->table;
	const struct override_index *slot = NULL;
	const struct service *s;

	if (!t || !t->index)
		return NULL;
	s = registry_service(t->registry, id);
	HASH_FIND(hh, t->index, s ? &s->id : id, sizeof(*id), slot);
	return slot ? slot->rules : NULL;
}
