/* SPDX-License-Identifier: MIT */
/*
 * dgram-route.c - who does a datagram reach?
 *
 * Decided as a connect of type DGRAM. What a connect allows in both directions
 * a datagram may, too: a socket may answer whoever could, and lately did, send
 * to it. With the address of a registered service only those send who may bind
 * it, as of its listeners only theirs are found.
 *
 * What came over an uplink is decided the same: its sender is the guest, or the
 * host, whatever it says; who may answer whom is kept for all that is beyond
 * it. Where the other broker is to decide, the uplink is the receiver.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "broker/dgram.h"
#include "broker/rules.h"
#include "broker/uplink.h"

/* Who sends: a program, by a socket if it has one yet, or what is beyond an
 * uplink. */
struct sender {
	struct caller c;
	struct dgram_socket *s;
	struct dgram_uplink *up;
	GUID from, source; /* as the other broker says */
};

static uint64_t token_of(const struct sender *x)
{
	if (x->s)
		return x->s->token;
	return x->up ? x->up->token : 0;
}

static bool is_peer(const struct dgram_peer *p, uint64_t token,
		    const struct sender *x)
{
	return p->token == token && guid_equal(&p->from, &x->from) &&
	       guid_equal(&p->source, &x->source);
}

/* It may answer from now on. */
static void remember(const struct sender *x, uint64_t token,
		     const SOCKADDR_HV *dest)
{
	struct dgram_peers *ps = x->s  ? &x->s->peers :
				 x->up ? &x->up->peers :
					 NULL;
	struct dgram_peer *p;

	if (!ps)
		return;
	for (unsigned int i = 0; i < ps->n; i++) {
		if (is_peer(&ps->all[i], token, x)) {
			ps->all[i].dest = *dest;
			return;
		}
	}
	/* grows to a power of two, then goes round */
	if (ps->n < ps->max && !(ps->n & (ps->n - 1))) {
		unsigned int n = ps->n ? 2 * ps->n : 1;

		p = realloc(ps->all, n * sizeof(*p));
		if (!p)
			return;
		ps->all = p;
	}
	if (ps->n < ps->max)
		p = &ps->all[ps->n++];
	else
		p = &ps->all[ps->next++ % ps->max];
	*p = (struct dgram_peer){
		.token = token,
		.dest = *dest,
		.from = x->from,
		.source = x->source,
	};
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

/* A service may be known by its id and by its port. */
static bool same_service(const struct dgrams *d, const GUID *a, const GUID *b)
{
	const struct service *x = registry_service(d->b->registry, a);

	return guid_equal(a, b) ||
	       (x && x == registry_service(d->b->registry, b));
}

/* Did who is in @ps send to @x, and may it, @c, still? @from, @source: only who
 * is beyond an uplink as that. */
static bool may_answer(const struct dgrams *d, const struct sender *x,
		       const struct dgram_peers *ps, const struct caller *c,
		       const GUID *from, const GUID *source)
{
	const struct dgram_peer *p = ps->all, *end = ps->all + ps->n;
	struct verdict v;

	for (; p < end; p++) {
		if (p->token != token_of(x) ||
		    (source && (!guid_equal(&p->from, from) ||
				!same_service(d, &p->source, source))) ||
		    /* one token stands for all beyond an uplink */
		    (x->up &&
		     !same_service(d, &p->dest.ServiceId, &x->source)))
			continue;
		verdict_init(&v);
		decide_connect(&d->b->world, c, &p->dest, SOCK_DGRAM, false,
			       &v);
		if (passes(&v) &&
		    (!x->up || guid_equal(&v.target->vmid, &x->c.partition)))
			return true;
	}
	return false;
}

static struct caller caller_beyond(const struct dgram_uplink *u)
{
	return (struct caller){
		.partition = u->partition,
		.uid = NAME_UID_NONE,
		.gid = NAME_UID_NONE,
	};
}

/* What @p, beyond an uplink, is called in its frames. */
static GUID beyond(const struct dgram_uplink *u, const struct partition *p)
{
	return guid_equal(&u->partition, &p->vmid) ? guid_zero : p->vmid;
}

/* Beyond the uplink, too, only those hear an answer who have sent. */
static void answered_beyond(const struct dgrams *d, const struct sender *x,
			    const struct partition *p, const GUID *service,
			    struct dgram_route *ret)
{
	const struct dgram_uplink *u = dgram_uplink_of(d, p);
	struct caller c;
	GUID from;

	if (!u || u == x->up)
		return;
	c = caller_beyond(u);
	from = beyond(u, p);
	if (may_answer(d, x, &u->peers, &c, &from, service))
		add(ret, u->token, &from);
}

/* The sockets that hear an answer to this address. A grandparent is PARENT,
 * too, to whom it sends to. */
static void find_answered(const struct dgrams *d, const struct sender *x,
			  const SOCKADDR_HV *dest, const struct verdict *v,
			  struct dgram_route *ret)
{
	const struct world *w = &d->b->world;
	const struct partition *p = v->target;
	bool up = guid_equal(&dest->VmId, &guid_parent);

	for (; p && !ret->n; p = up ? parent_of(w, p) : NULL) {
		const struct dgram_socket *to =
			dgram_find_key(d, &p->vmid, &dest->ServiceId);

		for (; to; to = to->same) {
			struct caller c = dgram_caller(to);

			if (to != x->s && may_answer(d, x, &to->peers, &c,
						     NULL, NULL))
				add(ret, to->token,
				    p == v->target ? &v->peer :
						     &x->c.partition);
		}
		answered_beyond(d, x, p, &dest->ServiceId, ret);
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

void dgram_not_carried(const struct dgrams *d, struct verdict *v)
{
	const struct world *w = &d->b->world;
	const struct transport *guest =
		v->relayed ? uplink_below(d->b, &v->target->vmid) : NULL;
	const struct uplinks *u = d->b->uplinks;

	if (!v->reason && v->relayed && v->target == w->parent)
		refuse(v,
		       u->dgram.older ? HVS_REASON_TYPE :
					HVS_REASON_PARTITION_OFF,
		       "the uplink does not carry datagrams: %s",
		       uplink_dgram_down(u));
	else if (!v->reason && guest && asked_lately(guest->uplink))
		refuse(v, HVS_REASON_PARTITION_OFF,
		       "the broker in the guest of \"%s\" has just come, and has not asked for datagrams yet",
		       v->target->name);
	else if (!v->reason && guest)
		refuse(v, HVS_REASON_TYPE,
		       "the uplink of the guest of \"%s\" does not carry datagrams: its broker is an older one, or has no hvsocket-dgram",
		       v->target->name);
	else if (!v->reason && v->relayed)
		refuse(v, HVS_REASON_TYPE,
		       "the transport of partition \"%s\" does not carry datagrams",
		       v->target->name);
	else if (!v->reason && v->unix_target)
		refuse(v, HVS_REASON_TYPE,
		       "the service is a daemon's (Target=), which takes no datagrams");
}

/* Nothing goes to or from disabled partitions, answer or not. */
static bool answerable(const struct dgrams *d, const struct sender *x,
		       const struct partition *target)
{
	const struct world *w = &d->b->world;
	const struct partition *me = partition_find(w, &x->c.partition);

	return me && !disabled_between(w, me, target);
}

/* The other broker decides. Not that which it came from. */
static bool by_uplink(const struct dgrams *d, const struct sender *x,
		      const SOCKADDR_HV *dest, const struct verdict *v,
		      struct dgram_route *ret)
{
	const struct dgram_uplink *u =
		v->relayed ? dgram_uplink_of(d, v->target) : NULL;
	GUID to;

	if (!u || u == x->up)
		return false;
	to = beyond(u, v->target);
	/* a VmId that only the host may know */
	if (v->target == d->b->world.parent &&
	    !guid_special_name(&dest->VmId))
		to = dest->VmId;
	add(ret, u->token, &to);
	return true;
}

/* What an uplink brings comes from the host, to whom it goes: so no sibling's
 * datagram may go there. */
static bool is_siblings(const struct dgrams *d, const struct sender *x,
			struct verdict *v)
{
	const struct world *w = &d->b->world;
	const struct partition *p = v->target;

	if (!v->relayed || p == w->parent || !dgram_uplink_of(d, p))
		return false;
	while (p && !guid_equal(&p->vmid, &x->c.partition))
		p = parent_of(w, p);
	if (p)
		return false;
	refuse(v, HVS_REASON_TYPE,
	       "the uplink of the guest of \"%s\" carries no datagrams of its siblings",
	       v->target->name);
	return true;
}

static void to_one(struct dgrams *d, const struct sender *x,
		   const SOCKADDR_HV *dest, struct dgram_route *ret,
		   struct verdict *v)
{
	decide_connect(&d->b->world, &x->c, dest, SOCK_DGRAM, false, v);
	if (x->s && v->target && !may_send_as(d, x->s, v->target, v))
		return;
	if (!v->reason && v->listener) {
		add(ret, v->listener->token, &v->peer);
		return;
	}
	if (!v->reason && is_siblings(d, x, v))
		return;
	if (!v->reason && by_uplink(d, x, dest, v, ret))
		return;
	if ((x->s || x->up) && v->target && answerable(d, x, v->target))
		find_answered(d, x, dest, v, ret);
	if (!ret->n)
		dgram_not_carried(d, v);
}

struct children {
	struct dgrams *d;
	const struct sender *x;
	const struct partition *me;
	GUID service;
	struct dgram_route *ret;
};

/* A BROADCAST: @dest is one that is to hear it. */
static void to_child(struct dgrams *d, const struct sender *x,
		     const struct partition *p, const SOCKADDR_HV *dest,
		     struct dgram_route *ret)
{
	const struct world *w = &d->b->world;
	const struct listener *l;
	size_t before = ret->n;
	struct verdict v;

	verdict_init(&v);
	decide_connect(w, &x->c, dest, SOCK_DGRAM, false, &v);
	if (!passes(&v) || (x->s && !may_send_as(d, x->s, p, &v)))
		return;
	if (v.listener)
		add(ret, v.listener->token, &v.peer);
	else if (!v.reason)
		(void)by_uplink(d, x, dest, &v, ret);
	l = w->find(w->arg, &p->vmid, &guid_broadcast, &v.service, SOCK_DGRAM);
	if (l)
		add(ret, l->token, &v.peer);
	while (before < ret->n)
		remember(x, ret->to[before++].token, dest);
}

static int on_child(const struct partition *p, void *arg)
{
	struct children *k = arg;
	const SOCKADDR_HV dest = { .Family = AF_HYPERV,
				   .VmId = p->vmid,
				   .ServiceId = k->service };

	if (parent_of(&k->d->b->world, p) == k->me)
		to_child(k->d, k->x, p, &dest, k->ret);
	return 0;
}

static void to_children(struct dgrams *d, const struct sender *x,
			const GUID *service, struct dgram_route *ret,
			struct verdict *v)
{
	struct children k = {
		.d = d,
		.x = x,
		.me = registry_partition(d->b->registry, &x->c.partition),
		.service = *service,
		.ret = ret,
	};

	if (k.me)
		registry_each_partition(d->b->registry, on_child, &k);
	else
		refuse(v, HVS_REASON_PARTITION_UNKNOWN,
		       "the sender's partition has been removed");
}

static void remember_all(const struct sender *x, const SOCKADDR_HV *dest,
			 const struct dgram_route *r)
{
	for (size_t i = 0; i < r->n; i++)
		remember(x, r->to[i].token, dest);
}

void dgram_route(struct dgrams *d, const struct caller *c,
		 struct dgram_socket *s, const SOCKADDR_HV *dest,
		 struct dgram_route *ret, struct verdict *v)
{
	const struct sender x = { .c = *c, .s = s };

	ret->n = 0;
	v->reason = 0;
	v->error = 0;
	if (guid_equal(&dest->VmId, &guid_broadcast)) {
		to_children(d, &x, &dest->ServiceId, ret, v);
		return;
	}
	to_one(d, &x, dest, ret, v);
	remember_all(&x, dest, ret);
}

/* ---- From beyond an uplink -----------------------------------------------*/

/* One below the guest only answers: with its own word for who it is it gets
 * nowhere where nobody has sent to it. */
static void from_below(struct dgrams *d, struct sender *x,
		       const struct msg_uplink_route *m,
		       struct dgram_route *ret, struct verdict *v)
{
	const struct world *w = &d->b->world;
	const struct partition *guest =
		registry_partition(w->registry, &x->up->partition);
	const struct partition *p =
		registry_partition(w->registry, &m->ends.from);
	const SOCKADDR_HV dest = { .Family = AF_HYPERV,
				   .VmId = guid_parent,
				   .ServiceId = m->ends.service };

	if (!guest || !p || !is_below(w, p, guest)) {
		refuse(v, HVS_REASON_NOT_PERMITTED,
		       "the guest does not speak for that partition");
		return;
	}
	x->c.partition = m->ends.from;
	v->target = parent_of(w, guest);
	v->peer = m->ends.from;
	if (guid_is_zero(&m->ends.to) && v->target &&
	    answerable(d, x, v->target))
		find_answered(d, x, &dest, v, ret);
	if (!ret->n)
		refuse(v, HVS_REASON_NO_LISTENER,
		       "nobody has sent to partition \"%s\" from there",
		       p->name);
}

void dgram_route_beyond(struct dgrams *d, struct dgram_uplink *u,
			const struct msg_uplink_route *m,
			struct dgram_route *ret, struct verdict *v)
{
	const struct world *w = &d->b->world;
	bool of_host = w->parent && guid_equal(&u->partition, &guid_parent);
	SOCKADDR_HV dest = { .Family = AF_HYPERV,
			     .VmId = m->ends.to,
			     .ServiceId = m->ends.service };
	struct sender x = {
		.c = caller_beyond(u),
		.up = u,
		.from = m->ends.from,
		.source = m->ends.source,
	};

	ret->n = 0;
	if (!of_host && guid_is_zero(&dest.VmId))
		dest.VmId = guid_parent;
	if (!guid_is_zero(&m->ends.from)) {
		from_below(d, &x, m, ret, v);
	} else if (m->flags & DGRAM_BROADCAST) {
		to_child(d, &x, registry_partition(w->registry, &guid_zero),
			 &dest, ret);
		return;
	} else if (guid_equal(&dest.VmId, &guid_loopback)) {
		refuse(v, HVS_REASON_NOT_A_DESTINATION,
		       "LOOPBACK does not go over an uplink");
	} else {
		to_one(d, &x, &dest, ret, v);
	}
	remember_all(&x, &dest, ret);
}
