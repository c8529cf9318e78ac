/* SPDX-License-Identifier: MIT */
/* sibling.c - see sibling.h */
#include "broker/sibling.h"

#include <string.h>

#include "base/guid.h"
#include "broker/verdict.h"
#include "proto/name.h"
#include "proto/uplink.h"

#define SIBLING_CID 3u /* and on: what siblings may have */

/* The rules of the partition that connects: what it may not use with its
 * parent it does not use with those beside it. */
static bool own_rules_allow(const struct sibling_case *k, struct verdict *v)
{
	struct effective own = effective_rules(k->w, k->from, k->service);
	char name[128];

	if (!decide_in_force(k->w, &own, k->service, false, v))
		return false;
	if (!k->caller || !own.connect ||
	    acl_allows(k->w, own.connect, k->caller))
		return true;
	service_text(k->w, k->service, name, sizeof(name));
	rule_is(v, "Connect= in %s of \"%s\"", own.connect_from, k->from->name);
	fix_is(v, "let Connect= of service %s name it there", name);
	refuse(v, HVS_REASON_CONNECT_DENIED,
	       "in partition \"%s\" service %s may not be connected to by whoever asks",
	       k->from->name, name);
	return false;
}

/* Partitions only are named: by whom it is asked for is nothing to that. */
static bool named(const struct world *w, const struct effective *e,
		  const struct partition *from)
{
	struct caller any = { .partition = from->vmid,
			      .uid = NAME_UID_NONE };

	return e->siblings && acl_allows(w, e->siblings, &any);
}

bool sibling_named(const struct world *w, const struct partition *from,
		   const struct partition *to, const GUID *service)
{
	struct effective e;

	if (relation(w, to, from) != REL_SIBLING)
		return false;
	e = effective_rules(w, to, service);
	return named(w, &e, from);
}

bool sibling_allowed(const struct sibling_case *k, struct verdict *v)
{
	const char *mark = strchr(k->from->name, ' ') ? "\"" : "";
	const struct service *s = k->e->service;
	char name[128];
	uint32_t port;

	if ((guid_is_port(k->service, &port) && port == UPLINK_PORT) ||
	    (s && s->has_port && s->port == UPLINK_PORT)) {
		rule_is(v, "the port of uplinks");
		refuse(v, HVS_REASON_CONNECT_DENIED,
		       "port %u is between a guest's broker and its host, and not for siblings",
		       UPLINK_PORT);
		return false;
	}
	service_text(k->w, k->service, name, sizeof(name));
	if (!k->e->siblings) {
		rule_is(v, "siblings do not reach each other unless a service says so");
		fix_is(v, "%sSiblings=%s%s%s in the file of service %s, or in its section of the file of partition \"%s\"",
		       is_registered(k->e) ? "" : "register the service, with ",
		       mark, k->from->name, mark, name, k->to->name);
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "\"%s\" is a sibling of \"%s\", and service %s names nobody who may connect to a sibling (Siblings=)",
		       k->to->name, k->from->name, name);
		return false;
	}
	if (!named(k->w, k->e, k->from)) {
		rule_is(v, "Siblings= in %s", k->e->siblings_from);
		fix_is(v, "add %s%s%s to Siblings= of service %s", mark,
		       k->from->name, mark, name);
		refuse(v, HVS_REASON_CONNECT_DENIED,
		       "partition \"%s\" may not connect to its sibling \"%s\": Siblings= of service %s does not name it",
		       k->from->name, k->to->name, name);
		return false;
	}
	verdict_step(v, "\"%s\" may connect to siblings (Siblings= in %s)",
		     k->from->name, k->e->siblings_from);
	return own_rules_allow(k, v);
}

uint32_t sibling_cid(const struct partition *p)
{
	/* (1 is this host itself, and means something else to a guest) */
	return p->sibling_cid	      ? p->sibling_cid
	       : p->cid < SIBLING_CID ? 0
				      : p->cid;
}

struct cid_search {
	const struct world *w;
	const struct partition *me, *found;
	uint32_t cid;
	unsigned int n;
};

static int look_at(const struct partition *p, void *arg)
{
	struct cid_search *s = arg;

	if (sibling_cid(p) != s->cid ||
	    parent_of(s->w, p) != parent_of(s->w, s->me))
		return 0;
	s->found = p;
	s->n++;
	return 0;
}

bool sibling_told_apart(const struct world *w, const struct partition *from,
			struct verdict *v)
{
	struct cid_search s = { .w = w, .me = from,
				.cid = sibling_cid(from) };

	if (s.cid)
		(void)registry_each_partition(w->registry, look_at, &s);
	if (s.n < 2)
		return true;
	rule_is(v, "whom a CID stands for is known");
	fix_is(v, "give each its own SiblingCid=");
	refuse(v, HVS_REASON_PARTITION_UNKNOWN,
	       "\"%s\" and another one beside it have CID %u: the guest could not tell which of them connects (SiblingCid=)",
	       from->name, s.cid);
	return false;
}

const struct partition *sibling_of_cid(const struct world *w,
				       const struct partition *me, uint32_t cid,
				       struct verdict *v)
{
	struct cid_search s = { .w = w, .me = me, .cid = cid };

	if (cid)
		(void)registry_each_partition(w->registry, look_at, &s);
	if (s.n == 1 && s.found != me)
		return s.found;
	rule_is(v, "the address rules");
	if (!s.n)
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "no sibling of \"%s\" has CID %u (SiblingCid=)",
		       me->name, cid);
	else if (s.n > 1)
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "%u partitions have CID %u, which is nobody's then (SiblingCid=)",
		       s.n, cid);
	else
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "CID %u is that of \"%s\" itself", cid, me->name);
	return NULL;
}
