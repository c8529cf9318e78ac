/* SPDX-License-Identifier: MIT */
/*
 * sibling.h - between two partitions of one parent
 *
 * Nothing passes there unless the service says so: Siblings= in its file, or in
 * its section of the file of the partition that is reached, names the
 * partition that may connect. Everything else has to allow it, too, and in
 * both partitions. Pure, like decide.c.
 */
#ifndef BROKER_SIBLING_H
#define BROKER_SIBLING_H

#include <stdbool.h>

#include "broker/decide.h"
#include "broker/rules.h"

/* A connect from @from to @to, or a bind in @to that is to hear @from. */
struct sibling_case {
	const struct world *w;
	const struct caller *caller; /* of a bind: NULL */
	const struct partition *from, *to;
	const GUID *service;
	const struct effective *e; /* @to's */
};

/** sibling_allowed() - false: refused in @v */
bool sibling_allowed(const struct sibling_case *k, struct verdict *v);

/** sibling_named() - does Siblings= of @service let @from connect to @to? */
bool sibling_named(const struct world *w, const struct partition *from,
		   const struct partition *to, const GUID *service);

/** sibling_cid() - what a stock guest beside it knows @p by; 0: nothing */
uint32_t sibling_cid(const struct partition *p);

/** sibling_told_apart() - is the CID that a guest sees @from by its alone?
 * false: refused in @v */
bool sibling_told_apart(const struct world *w, const struct partition *from,
			struct verdict *v);

/** sibling_of_cid() - which partition beside @me has that CID? NULL: refused
 * in @v */
const struct partition *sibling_of_cid(const struct world *w,
				       const struct partition *me, uint32_t cid,
				       struct verdict *v);

#endif /* BROKER_SIBLING_H */
