/* SPDX-License-Identifier: MIT */
/*
 * decide.c - see decide.h
 *
 * A connect goes: address -> target partition -> how the target sees the
 * caller -> rules -> registered, enabled, allowed to connect -> the most
 * specific listener that may be heard. Every refusal names its rule; the first
 * one met is the answer, except among listeners, where a less specific one
 * that is allowed wins over a more specific one that is not.
 */
#include "broker/decide.h"

#include <stdio.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "broker/decide-listener.h"
#include "broker/listeners.h"
#include "broker/sibling.h"
#include "broker/verdict.h"
#include "proto/uplink.h"

bool decide_is_policy(uint32_t reason)
{
	switch (reason) {
	case HVS_REASON_NOT_REGISTERED:
	case HVS_REASON_BIND_DENIED:
	case HVS_REASON_CONNECT_DENIED:
	case HVS_REASON_DISABLED:
	case HVS_REASON_WILDCARD:
	case HVS_REASON_PARTITION_UNKNOWN:
		return true;
	default:
		return false;
	}
}

/* Registered, enabled? Sets the refusal. @up: the caller is below the target */
bool decide_in_force(const struct world *w, const struct effective *e,
			     const GUID *id, bool up, struct verdict *v)
{
	char text[128] = "";

	/* No text is made where nobody reads it. */
	if (v->explain || (up && !is_registered(e)) ||
	    e->policy == POLICY_DISABLED)
		service_text(w, id, text, sizeof(text));
	if (up && !is_registered(e)) {
		rule_is(v, "an unregistered service may not talk to partitions");
		fix_is(v, "register it: hvctl service add NAME --id GUID (or --port N)");
		refuse(v, HVS_REASON_NOT_REGISTERED,
		       "service %s is not registered with the host", text);
		return false;
	}
	if (e->service)
		verdict_step(v, "service %s is registered in %s", text,
		     e->service->path ? e->service->path : "memory");
	if (e->policy == POLICY_DISABLED) {
		rule_is(v, "Policy=disabled in %s", e->policy_from);
		fix_is(v, "hvctl service enable %s", text);
		refuse(v, HVS_REASON_DISABLED, "service %s is disabled by %s",
		       text, e->policy_from);
		return false;
	}
	verdict_step(v, "it is enabled by %s", e->policy_from);
	return true;
}

/* ---- Connect -------------------------------------------------------------*/

static bool no_parent(const struct partition *me, const char *word,
		      struct verdict *v)
{
	if (me->kind == PARTITION_HOST)
		refuse(v, HVS_REASON_NOT_A_DESTINATION,
		       "%s: a physical host has no parent", word);
	else
		refuse(v, HVS_REASON_NOT_A_DESTINATION,
		       "%s: \"%s\" is not a container", word, me->name);
	rule_is(v, "the address rules");
	return false;
}

/* Which partition does a destination VmId mean to @me? */
static bool connect_target(const struct world *w, const struct partition *me,
			   const GUID *vmid, bool passthru,
			   const struct partition **ret, struct verdict *v)
{
	const struct partition *p, *up;
	char g[GUID_TEXT_SIZE];

	if (me == w->parent && guid_is_zero(vmid)) {
		*ret = registry_partition(w->registry, vmid);
		return true;
	}
	if (guid_is_zero(vmid) || guid_equal(vmid, &guid_children) ||
	    guid_equal(vmid, &guid_broadcast)) {
		rule_is(v, "the address rules");
		fix_is(v, "name one partition");
		refuse(v, HVS_REASON_NOT_A_DESTINATION,
		       "%s cannot be connected to: it is for binding",
		       guid_special_name(vmid));
		return false;
	}
	up = parent_of(w, me);
	if (guid_equal(vmid, &guid_loopback)) {
		*ret = me;
		return true;
	}
	if (guid_equal(vmid, &guid_parent)) {
		if (!up)
			return no_parent(me, "PARENT", v);
		if (passthru && parent_of(w, up))
			up = parent_of(w, up);
		*ret = up;
		return true;
	}
	if (guid_equal(vmid, &guid_silohost)) {
		if (me->kind != PARTITION_CONTAINER)
			return no_parent(me, "SILOHOST", v);
		*ret = up;
		return true;
	}
	p = registry_partition(w->registry, vmid);
	if (p && (p == me || is_below(w, p, me) ||
		  relation(w, p, me) == REL_SIBLING)) {
		*ret = p;
		return true;
	}
	if (!p && w->parent && me->kind == PARTITION_HOST && me != w->parent) {
		verdict_step(v, "no partition here has that VmId");
		*ret = w->parent;
		return true;
	}
	rule_is(v, "the address rules");
	if (p) {
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "partition \"%s\" is not below \"%s\"", p->name,
		       me->name);
	} else {
		fix_is(v, "hvctl partition add NAME --id %s",
		       guid_format(vmid, g));
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "no partition has the VmId %s", guid_format(vmid, g));
	}
	return false;
}

/* The caller as a listener in the target's partition sees it. */
static GUID seen_as(enum relation r, const struct partition *caller)
{
	switch (r) {
	case REL_SELF:
		return guid_loopback;
	case REL_PARENT:
	case REL_ANCESTOR:
		return guid_parent;
	case REL_CHILD:
	case REL_DESCENDANT:
	case REL_SIBLING:
	case REL_NONE:
		break;
	}
	return caller->vmid;
}

/* Who would be heard if only the type were the other one. */
static bool other_type_listens(const struct search *s, enum relation r)
{
	struct search other = *s;

	other.type = s->type == SOCK_STREAM ? SOCK_SEQPACKET : SOCK_STREAM;
	return s->type != SOCK_DGRAM && decide_most_specific(&other, r);
}

static void no_listener(struct search *s, enum attached a, enum relation r)
{
	struct verdict *v = s->v;
	char name[128];

	service_text(s->w, s->service, name, sizeof(name));
	if (s->reason) {
		rule_is(v, "%s", s->rule);
		fix_is(v, "%s", s->fix);
		refuse(v, s->reason, "%s", s->text);
		v->refused = s->refused;
		return;
	}
	if (a == ATTACHED_TRANSPORT_OFF) {
		rule_is(v, "the partition is off");
		fix_is(v, "start the guest, and load its vsock driver");
		refuse(v, HVS_REASON_PARTITION_OFF,
		       "partition \"%s\" is attached, but its guest is not up",
		       s->target->name);
		return;
	}
	if (a == ATTACHED_TRANSPORT_SAVED) {
		rule_is(v, "the partition is off");
		fix_is(v, "hvctl simulate %s resume", s->target->name);
		refuse(v, HVS_REASON_PARTITION_OFF,
		       "partition \"%s\" is simulated to be saved: hvctl simulate %s resume",
		       s->target->name, s->target->name);
		return;
	}
	if (a == ATTACHED_NOBODY) {
		rule_is(v, "the partition is off");
		fix_is(v, "start it");
		refuse(v, HVS_REASON_PARTITION_OFF,
		       "partition \"%s\" is off: no transport attaches it and no process is in it",
		       s->target->name);
		return;
	}
	if (s->windows && s->e->service && s->e->service->target &&
	    s->target->kind == PARTITION_HOST) {
		rule_is(v, "profile \"windows\": a listener is a program (source: Microsoft's documentation)");
		fix_is(v, "start a program that listens on the service");
		refuse(v, HVS_REASON_NO_LISTENER,
		       "not on Windows: a daemon that does not listen on the service itself (Target=) is no listener (profile \"windows\")");
		return;
	}
	rule_is(v, "nobody listens");
	if (other_type_listens(s, r)) {
		bool stream = s->type == SOCK_STREAM;

		fix_is(v, "connect with type %s", stream ? "RAW" : "STREAM");
		refuse(v, HVS_REASON_NO_LISTENER,
		       "in partition \"%s\" service %s is listened on with type %s, not %s",
		       s->target->name, name, stream ? "RAW" : "STREAM",
		       stream ? "STREAM" : "RAW");
		return;
	}
	fix_is(v, "start the service's program");
	refuse(v, HVS_REASON_NO_LISTENER,
	       "nobody in partition \"%s\" listens on service %s for \"%s\"",
	       s->target->name, name, s->caller->name);
}

/* Beyond the uplink the broker of the host decides. */
static void ask_parent(const struct world *w, struct verdict *v)
{
	const char *why = w->uplink_down(w->arg);

	if (why) {
		rule_is(v, "the uplink is down");
		fix_is(v, "a broker on the host, and the service \"uplink\" there");
		refuse(v, HVS_REASON_PARTITION_OFF, "the uplink is down: %s",
		       why);
		return;
	}
	v->relayed = true;
	rule_is(v, "the host decides");
	verdict_step(v, "the host's broker is asked over the uplink");
}

static bool is_uplink(const struct search *s)
{
	uint32_t port;

	return s->target->kind == PARTITION_HOST && s->up &&
	       s->type == SOCK_STREAM && guid_is_port(s->service, &port) &&
	       port == UPLINK_PORT;
}

/* The part after target and relation are known; also for decide_covers(). */
static void find_listener(const struct world *w, const struct caller *c,
			  struct search *s, enum relation r)
{
	struct verdict *v = s->v;
	const struct partition *target = s->target;
	enum attached a;
	char name[128];

	if (!decide_in_force(w, s->e, s->service, s->up, v))
		return;
	if (s->e->connect && !acl_allows(w, s->e->connect, c)) {
		service_text(w, s->service, name, sizeof(name));
		rule_is(v, "Connect= in %s", s->e->connect_from);
		if (c->uid == NAME_UID_NONE) {
			fix_is(v, "add partition:%s to Connect= of service %s",
			       s->caller->name, name);
			refuse(v, HVS_REASON_CONNECT_DENIED,
			       "partition \"%s\" may not connect to service %s",
			       s->caller->name, name);
		} else {
			fix_is(v, "add user:%u to Connect= of service %s",
			       c->uid, name);
			refuse(v, HVS_REASON_CONNECT_DENIED,
			       "uid %u in partition \"%s\" may not connect to service %s",
			       c->uid, s->caller->name, name);
		}
		return;
	}
	verdict_step(v, "\"%s\" may connect (%s)", s->caller->name,
	     s->e->connect ? s->e->connect_from : "no rule says otherwise");
	if (target == w->parent) {
		ask_parent(w, v);
		return;
	}
	if (is_uplink(s)) {
		v->uplink = true;
		rule_is(v, "a guest's broker comes to the broker itself");
		return;
	}
	v->listener = decide_most_specific(s, r);
	if (v->listener) {
		const char *word = guid_special_name(&v->listener->name.vmid);

		verdict_step(v, "a listener of uid %u, bound to %s, hears it",
		     v->listener->name.uid, word ? word : "the exact VmId");
		rule_is(v, "%s", is_registered(s->e) ?
					 "the service's rules" :
					 "no registration is needed in this direction");
		return;
	}
	if (s->e->service && s->e->service->target && !s->windows &&
	    target->kind == PARTITION_HOST) {
		v->unix_target = s->e->service->target;
		rule_is(v, "Target= of the service's file");
		verdict_step(v, "it is served by the daemon at %s",
			     v->unix_target);
		return;
	}
	a = target->kind == PARTITION_HOST ? ATTACHED_LOCAL :
					     w->attached(w->arg, &target->vmid);
	if (a == ATTACHED_TRANSPORT && !s->reason) {
		v->relayed = true;
		rule_is(v, "the guest decides");
		verdict_step(v, "the guest of \"%s\" is asked", target->name);
		return;
	}
	no_listener(s, a, r);
}

static void refuse_disabled(const struct partition *off, struct verdict *v)
{
	rule_is(v, "Enabled=no of the partition");
	fix_is(v, "hvctl partition set %s --enable", off->name);
	refuse(v, HVS_REASON_PARTITION_OFF, "partition \"%s\" is disabled",
	       off->name);
}

/* A sibling: v's service is known. Who may not learns nothing else of it. */
static bool to_sibling(const struct world *w, const struct caller *c,
		       const struct partition *me,
		       const struct partition *target,
		       const struct effective *e, struct verdict *v)
{
	const struct sibling_case k = { .w = w, .caller = c, .from = me,
					.to = target, .service = &v->service,
					.e = e };
	const struct partition *off;

	if (!sibling_allowed(&k, v))
		return false;
	off = disabled_between(w, me, target);
	if (off) {
		refuse_disabled(off, v);
		return false;
	}
	if (target->kind == PARTITION_VM && !sibling_told_apart(w, me, v))
		return false;
	if (sibling_cid(me))
		verdict_step(v, "a stock virtio guest sees it come from CID %u",
			     sibling_cid(me));
	else
		verdict_step(v, "a stock guest sees it come from its host: \"%s\" has no SiblingCid=",
			     me->name);
	return true;
}

static void connect_by_rules(const struct world *w, const struct caller *c,
			     const SOCKADDR_HV *dest, uint8_t type,
			     bool passthru, bool windows, struct verdict *v)
{
	const struct partition *me, *target = NULL, *off;
	struct windows_case k;
	struct effective e;
	enum relation r;
	struct search s;

	v->reason = 0;
	v->error = 0;
	me = partition_find(w, &c->partition);
	if (!me) {
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "the caller's partition has been removed");
		return;
	}
	if (!connect_target(w, me, &dest->VmId, passthru, &target, v))
		return;
	v->target = target;
	verdict_step(v, "\"%s\" asks for partition \"%s\"", me->name,
		     target->name);
	r = relation(w, target, me);
	off = r == REL_SIBLING ? NULL : disabled_between(w, me, target);
	if (off) {
		refuse_disabled(off, v);
		return;
	}
	if (r == REL_DESCENDANT && passthru)
		r = REL_CHILD; /* past the VM, to its host */
	e = effective_rules(w, is_below(w, me, target) ? me : target,
			    &dest->ServiceId);
	if (windows)
		windows_rules(&e);
	v->service = e.service ? e.service->id : dest->ServiceId;
	v->peer = seen_as(r, me);
	if (r == REL_SIBLING && !to_sibling(w, c, me, target, &e, v))
		return;
	s = (struct search){
		.w = w,
		.caller = me,
		.target = target,
		.service = &v->service,
		.type = type,
		.e = &e,
		.up = (r == REL_CHILD || r == REL_DESCENDANT) &&
		      target != w->parent,
		.windows = windows,
		.connected = c->connected,
		.k = &k,
		.v = v,
	};
	k = (struct windows_case){
		.w = w,
		.caller = c,
		.addr = dest,
		.type = type,
		.passthru = passthru,
		.me = me,
		.target = target,
		.e = &e,
	};
	find_listener(w, c, &s, r);
	if (v->reason || !windows || windows_allows(&k, v))
		return;
	v->listener = NULL;
	v->unix_target = NULL;
	v->relayed = false;
}

void decide_connect(const struct world *w, const struct caller *c,
		    const SOCKADDR_HV *dest, uint8_t type, bool passthru,
		    struct verdict *v)
{
	bool windows = windows_in_force(w, c);
	const struct partition *me;

	connect_by_rules(w, c, dest, type, passthru, windows, v);
	if (!windows || !v->reason)
		return;
	me = partition_find(w, &c->partition);
	v->error = windows_error(v->error, v->reason, false,
				 me && v->target && is_below(w, me, v->target));
}
