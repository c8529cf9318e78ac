/* SPDX-License-Identifier: MIT */
/*
 * decide-covers.c - would this listener hear that partition? See decide.h
 *
 * The decision about a connect, in a world in which there is one listener only.
 */
#include "broker/decide.h"

#include "base/guid.h"
#include "broker/listeners.h"
#include "broker/rules.h"

struct only {
	const struct world *w;
	const struct listener *l;
};

static const struct listener *find_only(const void *arg, const GUID *partition,
					const GUID *vmid, const GUID *service,
					uint8_t type)
{
	const struct only *o = arg;
	const struct listener_name *n = &o->l->name;

	(void)partition;
	return guid_equal(&n->vmid, vmid) && guid_equal(&n->service, service) &&
			       n->type == type ?
		       o->l :
		       NULL;
}

static enum attached attached_local(const void *arg, const GUID *partition)
{
	(void)arg;
	(void)partition;
	return ATTACHED_LOCAL;
}

void decide_covers(const struct world *w, const struct listener *l,
		   const struct partition *from, struct verdict *v)
{
	struct only only = { .w = w, .l = l };
	struct world narrow = *w;
	const struct partition *target;
	struct caller c = { .partition = from->vmid, .uid = NAME_UID_NONE };
	SOCKADDR_HV dest = { .Family = AF_HYPERV,
			     .ServiceId = l->name.service };
	struct listener alone = *l;

	alone.same = NULL;
	only.l = &alone;
	narrow.find = find_only;
	narrow.attached = attached_local;
	narrow.arg = &only;
	target = registry_partition(w->registry, &l->name.partition);
	if (!target) {
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "the listener's partition has been removed");
		return;
	}
	if (from == target)
		dest.VmId = guid_loopback;
	else if (parent_of(w, from) == target)
		dest.VmId = guid_parent;
	else if (is_below(w, target, from) ||
		 relation(w, target, from) == REL_SIBLING)
		dest.VmId = target->vmid;
	else {
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "partition \"%s\" cannot address \"%s\"", from->name,
		       target->name);
		return;
	}
	decide_connect(&narrow, &c, &dest, l->name.type, false, v);
	v->listener = v->refused = NULL; /* was the copy */
}
