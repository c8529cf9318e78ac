/* SPDX-License-Identifier: MIT */
/*
 * rules.h - the tree of partitions, and the rules in force between two of them
 *
 * What decide.c decides with. Pure, like it.
 */
#ifndef BROKER_RULES_H
#define BROKER_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "broker/decide.h"

/* How one partition sees another. */
enum relation {
	REL_NONE,
	REL_SELF,
	REL_CHILD, /* the other is my child (or reaches me as one) */
	REL_DESCENDANT, /* my child's child and so on */
	REL_PARENT,
	REL_ANCESTOR,
	REL_SIBLING, /* another of my parent's */
};

/** partition_find() - of the registry, or what is beyond the uplink */
const struct partition *partition_find(const struct world *w,
				       const GUID *vmid);
const struct partition *parent_of(const struct world *w,
				  const struct partition *p);
bool is_below(const struct world *w, const struct partition *p,
	      const struct partition *above);
/** disabled_between() - the first disabled one of @a, @b, and those between
 * them (of siblings: the two), or NULL */
const struct partition *disabled_between(const struct world *w,
					 const struct partition *a,
					 const struct partition *b);
enum relation relation(const struct world *w, const struct partition *me,
		       const struct partition *other);

/** service_text() - a service for people: its name in quotes, or its GUID.
 * Return: @buf */
const char *service_text(const struct world *w, const GUID *id, char *buf,
			 size_t size);

/* The rules in force, and where each comes from. */
struct effective {
	const struct service *service; /* NULL: not registered */
	const struct rules *table; /* the lower partition's entry, or NULL */
	const struct partition *lower;
	enum policy policy;
	const struct acl *bind, *connect; /* NULL: not set anywhere */
	const struct acl *siblings; /* the same */
	bool wildcard, wildcard_set; /* set: somewhere */
	const char *policy_from, *bind_from, *connect_from, *wildcard_from;
	const char *siblings_from;
};

/** effective_rules() - between @lower and whoever is above it, for a service */
struct effective effective_rules(const struct world *w,
				 const struct partition *lower, const GUID *id);

/** acl_allows() - does any entry match? */
bool acl_allows(const struct world *w, const struct acl *a,
		const struct caller *c);

/** may_bind() - by Bind=; without one: root, the broker's user, and whoever
 * owns the registration */
bool may_bind(const struct world *w, const struct effective *e,
	      const struct caller *c);

/** is_registered() - by a file, or in the partition's table? */
bool is_registered(const struct effective *e);

/** listener_owner() - who bound it (borrows its groups) */
struct caller listener_owner(const struct listener *l);

/** decide_in_force() - registered (where it has to be: @up, the caller is below
 * the target) and enabled? False: refused in @v. (In decide.c.) */
bool decide_in_force(const struct world *w, const struct effective *e,
		     const GUID *id, bool up, struct verdict *v);

#endif /* BROKER_RULES_H */
