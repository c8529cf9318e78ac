/* SPDX-License-Identifier: MIT */
/* rules.c - see rules.h */
#include "broker/rules.h"

#include <stdio.h>

#include "base/guid.h"
#include "broker/listeners.h"

/* ---- Partitions ----------------------------------------------------------*/

const struct partition *partition_find(const struct world *w,
				       const GUID *vmid)
{
	if (w->parent && guid_equal(vmid, &w->parent->vmid))
		return w->parent;
	return registry_partition(w->registry, vmid);
}

const struct partition *parent_of(const struct world *w,
					 const struct partition *p)
{
	if (p->kind == PARTITION_HOST)
		return p == w->parent ? NULL : w->parent;
	return registry_partition(w->registry, &p->parent);
}

bool is_below(const struct world *w, const struct partition *p,
		     const struct partition *above)
{
	for (size_t i = p->depth + (w->parent != NULL); i && p; i--) {
		p = parent_of(w, p);
		if (p == above)
			return true;
	}
	return false;
}

const struct partition *disabled_between(const struct world *w,
					 const struct partition *a,
					 const struct partition *b)
{
	const struct partition *p = is_below(w, a, b) ? a : b;
	const struct partition *top = p == a ? b : a;

	if (relation(w, a, b) == REL_SIBLING)
		return !a->enabled ? a : !b->enabled ? b : NULL;

	for (; p && p->enabled && p != top; p = parent_of(w, p))
		;
	return p && !p->enabled ? p : NULL;
}

enum relation relation(const struct world *w, const struct partition *me,
			      const struct partition *other)
{
	if (me == other)
		return REL_SELF;
	if (parent_of(w, other) == me)
		return REL_CHILD;
	if (parent_of(w, me) == other)
		return REL_PARENT;
	if (is_below(w, other, me))
		return REL_DESCENDANT;
	if (is_below(w, me, other))
		return REL_ANCESTOR;
	if (parent_of(w, me) && parent_of(w, me) == parent_of(w, other))
		return REL_SIBLING;
	return REL_NONE;
}

const char *service_text(const struct world *w, const GUID *id,
				char *buf, size_t size)
{
	const struct service *s = registry_service(w->registry, id);
	char g[GUID_TEXT_SIZE];

	if (s)
		snprintf(buf, size, "\"%.100s\"", s->name);
	else
		snprintf(buf, size, "%s", guid_format(id, g));
	return buf;
}

/* ---- Rules ---------------------------------------------------------------*/

struct effective effective_rules(const struct world *w,
					const struct partition *lower,
					const GUID *id)
{
	struct effective e = {
		.service = registry_service(w->registry, id),
		.lower = lower,
		.policy = POLICY_ENABLED,
		.wildcard = true,
		.policy_from = "the built-in default",
		.wildcard_from = "the built-in default",
	};
	const struct rules *from[3];
	static const char *const who[3] = { "the partition's table",
					    "the service's file",
					    "the partition's defaults" };

	e.table = partition_rules(lower, e.service ? &e.service->id : id);
	from[0] = e.table;
	from[1] = e.service ? &e.service->rules : NULL;
	from[2] = &lower->defaults;
	for (int i = 2; i >= 0; i--) {
		const struct rules *r = from[i];

		if (!r)
			continue;
		if (r->policy != POLICY_DEFAULT) {
			e.policy = r->policy;
			e.policy_from = who[i];
		}
		if (r->bind.set) {
			e.bind = &r->bind;
			e.bind_from = who[i];
		}
		if (r->connect.set) {
			e.connect = &r->connect;
			e.connect_from = who[i];
		}
		if (r->siblings.set) {
			e.siblings = &r->siblings;
			e.siblings_from = who[i];
		}
		if (r->wildcard >= 0) {
			e.wildcard = r->wildcard > 0;
			e.wildcard_set = true;
			e.wildcard_from = who[i];
		}
	}
	return e;
}

static bool in_groups(const struct caller *c, uint32_t gid)
{
	if (c->gid == gid)
		return true;
	for (size_t i = 0; i < c->ngroups; i++)
		if (c->groups[i] == gid)
			return true;
	return false;
}

bool acl_allows(const struct world *w, const struct acl *a,
		       const struct caller *c)
{
	const struct partition *p;

	for (size_t i = 0; i < a->n; i++) {
		const struct acl_entry *e = &a->entry[i];

		switch (e->kind) {
		case ACL_ANY:
			return true;
		case ACL_USER:
			if (c->uid == e->id && c->uid != NAME_UID_NONE)
				return true;
			break;
		case ACL_GROUP:
			if (c->uid != NAME_UID_NONE && in_groups(c, e->id))
				return true;
			break;
		case ACL_PARTITION:
			if (!e->partition) {
				if (guid_equal(&e->vmid, &c->partition))
					return true;
				break;
			}
			p = registry_partition_by_name(w->registry,
						       e->partition);
			if (p && guid_equal(&p->vmid, &c->partition))
				return true;
			break;
		}
	}
	return false;
}

bool may_bind(const struct world *w, const struct effective *e,
		     const struct caller *c)
{
	if (e->bind)
		return acl_allows(w, e->bind, c);
	return c->uid == 0 || c->uid == w->broker_uid ||
	       (e->service && c->uid == e->service->owner_uid);
}

struct caller listener_owner(const struct listener *l)
{
	return (struct caller){
		.partition = l->name.partition,
		.uid = l->name.uid,
		.gid = l->name.gid,
		.groups = l->groups,
		.ngroups = l->ngroups,
	};
}

bool is_registered(const struct effective *e)
{
	return e->service || e->table;
}
