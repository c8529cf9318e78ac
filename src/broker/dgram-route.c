/* SPDX-License-Identifier: MIT */
/*
 * dgram-route.c - who does a datagram reach?
 *
 * Decided as a connect of type DGRAM. What a connect allows in both directions
 * a datagram may, too: a socket may answer whoever could, and lately did, send
 * to it. With the address of a registered service only those send who may bind
 * it, as of its listeners only theirs are found.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "broker/dgram.h"
#include "broker/rules.h"

/* It may answer from now on. */
static void remember(struct dgram_socket *s, uint64_t token,
		     const SOCKADDR_HV *dest)
{
	struct dgram_peer *p;

	if (!s)
		return;
	for (unsigned int i = 0; i < s->npeers; i++) {
		if (s->peers[i].token == token) {
			s->peers[i].dest = *dest;
			return;
		}
	}
	/* grows to a power of two, then goes round */
	if (s->npeers < DGRAM_PEERS_MAX && !(s->npeers & (s->npeers - 1))) {
		unsigned int n = s->npeers ? 2 * s->npeers : 1;

		p = realloc(s->peers, n * sizeof(*p));
		if (!p)
			return;
		s->peers = p;
	}
	if (s->npeers < DGRAM_PEERS_MAX)
		p = &s->peers[s->npeers++];
	else
		p = &s->peers[s->next_peer++ % DGRAM_PEERS_MAX];
	*p = (struct dgram_peer){ .token = token, .dest = *dest };
}

static void add(struct dgram_route *r, uint64_t token, const GUID *peer)
{
	if (r->n < ROUTE_MAX)
		r->to[r->n++] = (struct msg_receiver){
			.token = token,
			.peer = *peer,
		};
}

/* Policy lets it pass; whether somebody listens is another matter. */
static bool passes(const struct verdict *v)
{
	return !v->reason || v->reason == HVS_REASON_NO_LISTENER;
}

/* Did @to send to @from, and may it still? */
static bool may_answer(const struct dgrams *d, const struct dgram_socket *from,
		       const struct dgram_socket *to)
{
	struct caller c = dgram_caller(to);
	struct verdict v;

	for (unsigned int i = 0; i < to->npeers; i++) {
		if (to->peers[i].token != from->token)
			continue;
		verdict_init(&v);
		decide_connect(&d->b->world, &c, &to->peers[i].dest,
			       SOCK_DGRAM, false, &v);
		return passes(&v);
	}
	return false;
}

/* The sockets that hear an answer to this address. A grandparent is PARENT,
 * too, to whom it sends to. */
static void find_answered(const struct dgrams *d, struct dgram_socket *s,
			  const SOCKADDR_HV *dest, const struct verdict *v,
			  struct dgram_route *ret)
{
	const struct world *w = &d->b->world;
	const struct partition *p = v->target;
	bool up = guid_equal(&dest->VmId, &guid_parent);

	for (; p && !ret->n; p = up ? parent_of(w, p) : NULL) {
		const struct dgram_socket *to =
			dgram_find_key(d, &p->vmid, &dest->ServiceId);

		for (; to; to = to->same)
			if (to != s && may_answer(d, s, to))
				add(ret, to->token,
				    p == v->target ? &v->peer :
						     &s->key.partition);
	}
}

/* May it send with its address there? Rules are for the parent's processes:
 * those above know a child by its VmId. */
static bool may_send_as(const struct dgrams *d, const struct dgram_socket *s,
			const struct partition *target, struct verdict *v)
{
	const struct world *w = &d->b->world;
	const struct partition *me =
		registry_partition(w->registry, &s->key.partition);
	struct caller owner = dgram_caller(s);
	struct effective e;
	char text[128];

	if (!me || (target != me && !is_below(w, target, me)))
		return true;
	e = effective_rules(w, target, &s->key.service);
	if (!is_registered(&e) || may_bind(w, &e, &owner))
		return true;
	refuse(v, HVS_REASON_BIND_DENIED,
	       "uid %u may not bind service %s, whose address the socket has",
	       s->uid, service_text(w, &s->key.service, text, sizeof(text)));
	return false;
}

void dgram_not_carried(struct verdict *v)
{
	if (!v->reason && v->relayed)
		refuse(v, HVS_REASON_TYPE,
		       "the transport of partition \"%s\" does not carry datagrams",
		       v->target->name);
	else if (!v->reason && v->unix_target)
		refuse(v, HVS_REASON_TYPE,
		       "the service is a daemon's (Target=), which takes no datagrams");
}

/* Nothing goes to or from disabled partitions, answer or not. */
static bool answerable(const struct dgrams *d, const struct dgram_socket *s,
		       const struct partition *target)
{
	const struct world *w = &d->b->world;
	const struct partition *me =
		registry_partition(d->b->registry, &s->key.partition);

	return me && !disabled_between(w, me, target);
}

static void to_one(struct dgrams *d, const struct caller *c,
		   struct dgram_socket *s, const SOCKADDR_HV *dest,
		   struct dgram_route *ret, struct verdict *v)
{
	decide_connect(&d->b->world, c, dest, SOCK_DGRAM, false, v);
	if (s && v->target && !may_send_as(d, s, v->target, v))
		return;
	if (!v->reason && v->listener) {
		add(ret, v->listener->token, &v->peer);
		return;
	}
	if (s && v->target && answerable(d, s, v->target))
		find_answered(d, s, dest, v, ret);
	if (!ret->n)
		dgram_not_carried(v);
}

struct children {
	struct dgrams *d;
	const struct caller *c;
	struct dgram_socket *s;
	const struct partition *me;
	GUID service;
	struct dgram_route *ret;
};

static int to_child(const struct partition *p, void *arg)
{
	struct children *x = arg;
	const struct world *w = &x->d->b->world;
	SOCKADDR_HV dest = { .Family = AF_HYPERV,
			     .VmId = p->vmid,
			     .ServiceId = x->service };
	const struct listener *l;
	size_t before = x->ret->n;
	struct verdict v;

	if (parent_of(w, p) != x->me)
		return 0;
	verdict_init(&v);
	decide_connect(w, x->c, &dest, SOCK_DGRAM, false, &v);
	if (!passes(&v) || (x->s && !may_send_as(x->d, x->s, p, &v)))
		return 0;
	if (v.listener)
		add(x->ret, v.listener->token, &v.peer);
	l = w->find(w->arg, &p->vmid, &guid_broadcast, &v.service, SOCK_DGRAM);
	if (l)
		add(x->ret, l->token, &v.peer);
	while (before < x->ret->n)
		remember(x->s, x->ret->to[before++].token, &dest);
	return 0;
}

static void to_children(struct dgrams *d, const struct caller *c,
			struct dgram_socket *s, const GUID *service,
			struct dgram_route *ret, struct verdict *v)
{
	struct children x = {
		.d = d,
		.c = c,
		.s = s,
		.me = registry_partition(d->b->registry, &c->partition),
		.service = *service,
		.ret = ret,
	};

	if (x.me)
		registry_each_partition(d->b->registry, to_child, &x);
	else
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "the sender's partition has been removed");
}

void dgram_route(struct dgrams *d, const struct caller *c,
		 struct dgram_socket *s, const SOCKADDR_HV *dest,
		 struct dgram_route *ret, struct verdict *v)
{
	ret->n = 0;
	v->reason = 0;
	v->error = 0;
	if (guid_equal(&dest->VmId, &guid_broadcast)) {
		to_children(d, c, s, &dest->ServiceId, ret, v);
		return;
	}
	to_one(d, c, s, dest, ret, v);
	for (size_t i = 0; i < ret->n; i++)
		remember(s, ret->to[i].token, dest);
}
