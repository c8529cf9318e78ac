/* SPDX-License-Identifier: MIT */
/* decide-bind.c - may this bind? See decide.h */
#include "broker/decide.h"

#include <stdio.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "broker/listeners.h"
#include "broker/rules.h"
#include "broker/sibling.h"
#include "broker/verdict.h"
#include "broker/windows.h"
#include "proto/uplink.h"

static bool bind_target(const struct world *w, const struct partition *me,
			const SOCKADDR_HV *addr, uint8_t type,
			const struct partition **ret, struct verdict *v)
{
	const struct partition *p;
	char g[GUID_TEXT_SIZE];

	*ret = NULL;
	if (guid_equal(&addr->VmId, &guid_broadcast) && type != SOCK_DGRAM) {
		refuse(v, HVS_REASON_NOT_A_DESTINATION,
		       "BROADCAST is for datagrams");
		return false;
	}
	if (guid_equal(&addr->VmId, &guid_broadcast) &&
	    me->kind == PARTITION_HOST && !w->parent) {
		refuse(v, HVS_REASON_NOT_A_DESTINATION,
		       "BROADCAST: a physical host has no parent that sends to it");
		return false;
	}
	if (guid_equal(&addr->VmId, &guid_parent) &&
	    me->kind == PARTITION_HOST && !w->parent) {
		refuse(v, HVS_REASON_NOT_A_DESTINATION,
		       "PARENT: a physical host has no parent");
		return false;
	}
	if (guid_equal(&addr->VmId, &guid_silohost) &&
	    me->kind != PARTITION_CONTAINER) {
		refuse(v, HVS_REASON_NOT_A_DESTINATION,
		       "SILOHOST: \"%s\" is not a container", me->name);
		return false;
	}
	if (guid_special_name(&addr->VmId))
		return true;
	p = registry_partition(w->registry, &addr->VmId);
	if (!p) {
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "no partition has the VmId %s",
		       guid_format(&addr->VmId, g));
		return false;
	}
	if (!is_below(w, p, me) && relation(w, p, me) != REL_SIBLING) {
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "partition \"%s\" is not below \"%s\"", p->name,
		       me->name);
		return false;
	}
	*ret = p;
	return true;
}

/* Who holds an address. @allowed: @c may bind it by the rules; then one who may
 * not does not hold it. */
static const struct listener *taken_by(const struct world *w,
				       const struct caller *c, const GUID *vmid,
				       const GUID *service, uint8_t type,
				       const struct effective *e, bool allowed)
{
	const struct listener *l;

	for (l = w->find(w->arg, &c->partition, vmid, service, type); l;
	     l = l->same) {
		struct caller owner = listener_owner(l);
		bool theirs = !is_registered(e) || may_bind(w, e, &owner);

		if (l->name.uid == c->uid || !allowed || theirs)
			return l;
	}
	return NULL;
}

static bool is_uplink(const struct partition *me, const GUID *service,
		      uint8_t type)
{
	uint32_t port;

	return me->kind == PARTITION_HOST && type == SOCK_STREAM &&
	       guid_is_port(service, &port) && port == UPLINK_PORT;
}

static void bind_by_rules(const struct world *w, const struct caller *c,
			  const SOCKADDR_HV *addr, uint8_t type,
			  bool windows, struct verdict *v)
{
	const struct partition *me, *exact;
	const struct partition *beside = NULL; /* exact is: */
	struct effective e;
	const struct listener *l;
	char text[128];
	bool children, allowed;

	v->reason = 0;
	v->error = 0;
	me = registry_partition(w->registry, &c->partition);
	if (!me) {
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "the caller's partition has been removed");
		return;
	}
	if (!bind_target(w, me, addr, type, &exact, v)) {
		rule_is(v, "the address rules");
		return;
	}
	if (is_uplink(me, &addr->ServiceId, type)) {
		rule_is(v, "the port of uplinks");
		refuse(v, HVS_REASON_BIND_DENIED,
		       "port %u is the broker's own: guests' uplinks come there",
		       UPLINK_PORT);
		return;
	}
	if (exact && relation(w, exact, me) == REL_SIBLING)
		beside = exact;
	children = guid_equal(&addr->VmId, &guid_children);
	e = effective_rules(w, exact && !beside ? exact : me, &addr->ServiceId);
	v->service = e.service ? e.service->id : addr->ServiceId;
	service_text(w, &v->service, text, sizeof(text));
	if (beside && !sibling_allowed(&(struct sibling_case){
					       .w = w, .from = beside, .to = me,
					       .service = &v->service,
					       .e = &e },
				       v))
		return;

	/* Whoever is to be heard by VMs has to be registered. WILDCARD is
	 * loopback too, which needs no registration. */
	if ((exact || children) && !is_registered(&e)) {
		decide_in_force(w, &e, &v->service, true, v);
		return;
	}
	/* As on Windows: with an exact VmId a rule is told at once, with a
	 * wildcard the bind works and the listener is not matched. Rules are
	 * for the parent's processes; a child listens as it likes. Who binds a
	 * datagram socket also sends with its address. */
	allowed = !is_registered(&e) || may_bind(w, &e, c);
	if (!allowed && ((exact && !beside) || (type == SOCK_DGRAM &&
				   me->kind == PARTITION_HOST))) {
		rule_is(v, "Bind= in %s",
			e.bind_from ? e.bind_from : "the built-in default");
		fix_is(v, "add user:%u to Bind= of service %s", c->uid, text);
		refuse(v, HVS_REASON_BIND_DENIED,
		       "uid %u may not bind service %s", c->uid, text);
		return;
	}
	if (exact && e.policy == POLICY_DISABLED)
		v->disabled = true;

	l = taken_by(w, c, &addr->VmId, &v->service, type, &e, allowed);
	if (!l && e.service && e.service->has_port) {
		/* bound before the service was registered */
		GUID by_port = guid_from_port(e.service->port);

		l = taken_by(w, c, &addr->VmId, &by_port, type, &e, allowed);
	}
	if (l) {
		v->listener = l;
		rule_is(v, "one listener for an address");
		refuse(v, HVS_REASON_ADDRESS_TAKEN,
		       "service %s is already bound there by uid %u", text,
		       l->name.uid);
		return;
	}
	rule_is(v, "%s", is_registered(&e) ?
				 "the service's rules" :
				 "loopback and listening for the parent need no registration");
	if (windows &&
	    !windows_allows(&(struct windows_case){ .bind = true, .w = w,
						    .caller = c, .addr = addr,
						    .type = type, .me = me,
						    .target = exact, .e = &e },
			    v))
		v->disabled = false;
}

void decide_bind(const struct world *w, const struct caller *c,
		 const SOCKADDR_HV *addr, uint8_t type, struct verdict *v)
{
	bool windows = windows_in_force(w, c);

	bind_by_rules(w, c, addr, type, windows, v);
	if (windows)
		v->error = windows_error(v->error, v->reason, true, false);
}
