/* SPDX-License-Identifier: MIT */
/*
 * decide-listener.c - see decide-listener.h
 *
 * The most specific listener that may be heard; one that may not be is passed
 * over for a less specific one, and its refusal is remembered.
 */
#include "broker/decide-listener.h"

#include <stdio.h>
#include <string.h>

#include "base/guid.h"
#include "broker/listeners.h"
#include "broker/verdict.h"

/* A wildcard listener that the rules do not let match this caller. */
static void not_matched(struct search *s, const struct listener *l,
			const struct effective *e)
{
	char name[128];

	if (s->reason)
		return; /* the first refusal is the answer */
	service_text(s->w, s->service, name, sizeof(name));
	s->reason = HVS_REASON_WILDCARD;
	s->refused = l;
	snprintf(s->text, sizeof(s->text),
		 "the listener of service %s is bound to %s, which %s does not let match partition \"%.64s\"",
		 name, guid_special_name(&l->name.vmid), e->wildcard_from,
		 s->caller->name);
	snprintf(s->rule, sizeof(s->rule), "AllowWildcardBinds=no in %s",
		 e->wildcard_from);
	snprintf(s->fix, sizeof(s->fix),
		 "bind the exact VmId, or set AllowWildcardBinds=yes");
}

/* A listener whose owner may not bind the service. */
static void not_entitled(struct search *s, const struct listener *l,
			 bool wildcard)
{
	char name[128];

	if (s->reason)
		return;
	service_text(s->w, s->service, name, sizeof(name));
	s->reason = wildcard ? HVS_REASON_WILDCARD : HVS_REASON_BIND_DENIED;
	s->refused = l;
	snprintf(s->text, sizeof(s->text),
		 "the listener of service %s belongs to uid %u, which may not bind it",
		 name, l->name.uid);
	snprintf(s->rule, sizeof(s->rule), "Bind= in %s",
		 s->e->bind_from ? s->e->bind_from : "the built-in default");
	snprintf(s->fix, sizeof(s->fix),
		 "add user:%u to Bind= of service %s", l->name.uid, name);
}

/* Its program has chosen the profile: what would not reach it on Windows does
 * not here, whoever connects. */
static bool reaches_on_windows(struct search *s, const struct listener *l,
			       bool wildcard)
{
	struct windows_case k = *s->k;
	struct effective e = *s->e;
	struct verdict v;

	windows_rules(&e);
	if (s->up && wildcard && !e.wildcard) {
		not_matched(s, l, &e);
		return false;
	}
	k.e = &e;
	verdict_init(&v);
	v.explain = s->v->explain;
	if (windows_allows(&k, &v))
		return true;
	if (!s->reason) {
		s->reason = v.reason;
		s->refused = l;
		memcpy(s->text, v.text, sizeof(s->text));
		memcpy(s->rule, v.rule, sizeof(s->rule));
		memcpy(s->fix, v.fix, sizeof(s->fix));
	}
	return false;
}

/* Is this listener to be heard? */
static bool heard(struct search *s, const struct listener *l, bool wildcard)
{
	struct caller owner = listener_owner(l);

	if (s->up && wildcard && !s->e->wildcard) {
		not_matched(s, l, s->e);
		return false;
	}
	if ((s->up || s->caller == s->target) && is_registered(s->e) &&
	    !may_bind(s->w, s->e, &owner)) {
		not_entitled(s, l, wildcard);
		return false;
	}
	return s->windows || s->connected ||
	       l->name.profile != PROFILE_WINDOWS ||
	       reaches_on_windows(s, l, wildcard);
}

static const struct listener *look_for(struct search *s, const GUID *vmid,
				       const GUID *service)
{
	bool wildcard = guid_is_zero(vmid) || guid_equal(vmid, &guid_children);
	const struct listener *l, *first = NULL;

	/* Of several, one that may be there by the rules. */
	for (l = s->w->find(s->w->arg, &s->target->vmid, vmid, service,
			    s->type);
	     l; l = l->same) {
		struct caller owner = listener_owner(l);

		if (!heard(s, l, wildcard))
			continue;
		if (!is_registered(s->e) || may_bind(s->w, s->e, &owner))
			return l;
		if (!first)
			first = l;
	}
	return first;
}

/* By the service's id, or by its port: a listener that was there before the
 * service was registered has the name it was bound to. */
static const struct listener *look_at(struct search *s, const GUID *vmid)
{
	const struct listener *l = look_for(s, vmid, s->service);
	const struct service *reg = s->e->service;
	GUID by_port;

	if (l || !reg || !reg->has_port)
		return l;
	by_port = guid_from_port(reg->port);
	return look_for(s, vmid, &by_port);
}

const struct listener *decide_most_specific(struct search *s, enum relation r)
{
	const struct listener *l = NULL;

	if (s->caller->kind != PARTITION_HOST)
		l = look_at(s, &s->caller->vmid);
	if (l)
		return l;
	switch (r) {
	case REL_CHILD:
		l = look_at(s, &guid_children);
		break;
	case REL_PARENT:
		l = look_at(s, &guid_parent);
		if (!l && s->target->kind == PARTITION_CONTAINER)
			l = look_at(s, &guid_silohost);
		break;
	case REL_SELF:
		l = look_at(s, &guid_loopback);
		break;
	case REL_SIBLING:
	case REL_NONE:
	case REL_DESCENDANT:
	case REL_ANCESTOR:
		break;
	}
	return l ? l : look_at(s, &guid_zero);
}
