/* SPDX-License-Identifier: MIT */
/* manage-explain.c - explain: the decision function, with its reasons said */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "broker/attempt.h"
#include "broker/dgram.h"
#include "broker/listeners.h"
#include "broker/manage.h"
#include "broker/transport.h"
#include "broker/users.h"
#include "broker/verdict.h"

static json_t *steps_json(const char *steps)
{
	json_t *a = json_array();

	while (*steps) {
		size_t n = strcspn(steps, "\n");

		json_array_append_new(a, json_stringn(steps, n));
		steps += n + (steps[n] == '\n');
	}
	return a;
}

/* A yes in one sentence. */
static void say_yes(const struct broker *b, struct verdict *v, bool bind)
{
	if (v->reason)
		return;
	if (bind)
		snprintf(v->text, sizeof(v->text), "it may be bound");
	else if (v->uplink)
		snprintf(v->text, sizeof(v->text),
			 "the broker itself takes it: a guest's broker has its uplink there");
	else if (v->relayed && v->target == b->world.parent)
		snprintf(v->text, sizeof(v->text),
			 "the host's broker is asked over the uplink");
	else if (v->relayed && !transport_find(b, &v->target->vmid))
		snprintf(v->text, sizeof(v->text),
			 "the broker of the guest that has \"%s\" is asked",
			 v->target->name);
	else if (v->relayed)
		snprintf(v->text, sizeof(v->text),
			 "the guest of \"%s\" is asked", v->target->name);
	else if (v->unix_target)
		snprintf(v->text, sizeof(v->text),
			 "the daemon at %.200s is connected to",
			 v->unix_target);
	else
		snprintf(v->text, sizeof(v->text),
			 "a listener of uid %u in partition \"%s\" is reached",
			 v->listener->name.uid, v->target->name);
}

/* Some uplinks carry them, and no transport. */
static void explain_dgram(const struct dgrams *d, struct verdict *v)
{
	if (!v->reason && v->relayed && dgram_uplink_of(d, v->target))
		verdict_step(v, "datagrams go there over the uplink");
	else
		dgram_not_carried(d, v);
}

/*
 * What nobody here decides: any process of the host may open AF_VSOCK itself,
 * and the kernel asks no one.
 */
static void past_the_broker(const struct world *w, const struct caller *c,
			    struct verdict *v)
{
	const struct partition *from =
		registry_partition(w->registry, &c->partition);
	const struct partition *to = v->target;

	if (from && from->cid && to && to->kind == PARTITION_HOST)
		verdict_step(v,
			     "not decided here: \"%s\" has CID %u of the kernel's vsock, and reaches any program of the host that listens on AF_VSOCK itself",
			     from->name, from->cid);
	if (to && to->cid && from && from->kind == PARTITION_HOST)
		verdict_step(v,
			     "not decided here: any program of the host may reach CID %u by AF_VSOCK itself, past the broker",
			     to->cid);
}

static json_t *verdict_json(const struct verdict *v)
{
	return json_pack("{s:b, s:s, s:i, s:s, s:s, s:s, s:s, s:o}", "allowed",
			 v->reason == 0, "error",
			 v->error ? strerrorname_np(v->error) : "", "errno",
			 v->error, "reason", reason_name(v->reason), "text",
			 v->text, "rule", v->rule, "fix", v->fix, "steps",
			 steps_json(v->steps));
}

/* Who is asked about: the caller, or, from the host, anybody. */
static bool who(struct call *c, const char *from, json_t *uid,
		struct caller *ret, struct user **users)
{
	const struct partition *p;
	const struct user *u;

	*ret = client_caller(c->client);
	if (from) {
		if (!guid_is_zero(&ret->partition)) {
			refuse(c->v, HVS_REASON_NOT_PERMITTED,
			       "only the host may ask about other partitions");
			return false;
		}
		p = find_partition(c, from);
		if (!p)
			return false;
		ret->partition = p->vmid;
	}
	if (uid) {
		json_int_t n = json_integer_value(uid);

		if (!json_is_integer(uid) || n < 0 || n >= UINT32_MAX) {
			refuse(c->v, HVS_REASON_BAD_REQUEST,
			       "uid: a number of 0 to 4294967294");
			return false;
		}
		if (!guid_is_zero(&c->client->door->partition) &&
		    n != c->client->uid) {
			refuse(c->v, HVS_REASON_NOT_PERMITTED,
			       "only the host may ask about other users");
			return false;
		}
		ret->uid = (uint32_t)n;
		u = users_find(users, ret->uid);
		ret->gid = u ? u->gid : NAME_UID_NONE;
		ret->groups = u ? u->groups : NULL;
		ret->ngroups = u ? u->ngroups : 0;
	} else if (from && !guid_is_zero(&ret->partition)) {
		/* processes in there, or a guest: nobody of this host */
		ret->uid = ret->gid = NAME_UID_NONE;
		ret->groups = NULL;
		ret->ngroups = 0;
	}
	return true;
}

json_t *manage_explain(struct call *c)
{
	const char *from = NULL, *to, *verb = "connect", *type = "stream";
	const char *profile = NULL;
	cleanup_(users_free) struct user *users = NULL;
	struct caller caller;
	struct verdict v;
	SOCKADDR_HV addr;
	json_t *uid = NULL;
	int passthru = 0;
	uint8_t t;

	if (!unpack(c, "{s:s, s?s, s?s, s?s, s?o, s?b, s?s}", "to", &to, "from",
		    &from, "verb", &verb, "type", &type, "uid", &uid,
		    "passthru", &passthru, "profile", &profile) ||
	    !who(c, from, uid, &caller, &users))
		return NULL;
	if (profile && profile_parse(profile, strlen(profile),
				     &caller.profile) < 0) {
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "profile: default or windows");
		return NULL;
	}
	t = strcmp(type, "raw") == 0 ? SOCK_SEQPACKET :
	    strcmp(type, "dgram") == 0 ? SOCK_DGRAM :
					 SOCK_STREAM;
	verdict_init(&v);
	v.explain = true;
	if (!parse_address(c, &caller.partition, to, &addr))
		return NULL;
	if (strcmp(verb, "bind") == 0) {
		decide_bind(&c->b->world, &caller, &addr, t, &v);
		if (!v.reason && v.disabled)
			refuse(&v, HVS_REASON_DISABLED,
			       "it may bind, but listen is refused: the service is disabled");
	} else {
		connect_decide(c->b, &caller, &addr, t, passthru, &v);
		if (t == SOCK_DGRAM)
			explain_dgram(c->b->dgrams, &v);
	}
	past_the_broker(&c->b->world, &caller, &v);
	say_yes(c->b, &v, strcmp(verb, "bind") == 0);
	return verdict_json(&v);
}
