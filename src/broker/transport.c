/* SPDX-License-Identifier: MIT */
/* transport.c - see transport.h; messages: docs/protocol.md, section 5 */
#include "broker/transport.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/guid.h"
#include "base/utf8.h"
#include "broker/ready.h"
#include "broker/rules.h"
#include "broker/sibling.h"
#include "broker/uplink.h"

const char *transport_kind_name(uint16_t kind)
{
	static const char *const names[] = {
		[TRANSPORT_LOCAL] = "local",
		[TRANSPORT_VHOST_USER] = "vhost-user",
		[TRANSPORT_VSOCK] = "vsock",
		[TRANSPORT_HYBRID] = "hybrid",
		[TRANSPORT_VMBUS] = "vmbus",
		[TRANSPORT_UPLINK] = "uplink",
	};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] :
							 "unknown";
}

struct transport *transport_find(const struct broker *b, const GUID *partition)
{
	struct transport *t;

	HASH_FIND(hh, b->transports, partition, sizeof(*partition), t);
	return t;
}

void transport_unmake_partition(struct broker *b, const GUID *vmid)
{
	char why[REGISTRY_WHY];

	(void)registry_remove_partition(b->registry, vmid, why, sizeof(why));
	broker_changed_soon(b);
}

static void unlink_rendezvous(const struct transport *t)
{
	static const uint8_t types[] = { SOCK_STREAM, SOCK_SEQPACKET };

	for (size_t i = 0; i < sizeof(types); i++) {
		struct rendezvous_name n = { .type = types[i],
					     .partition = t->partition };
		struct sockaddr_un sa;

		rendezvous_name_encode(&n, &sa);
		(void)unlink(sa.sun_path);
	}
}

static void relayed_free(struct transport *t, struct relayed *r)
{
	HASH_DELETE(hh, t->relayed, r);
	if (r->joined)
		r->joined->joined--;
	account_unref(t->client->b, r->joined);
	free(r);
}

void transport_gone(struct client *c)
{
	struct broker *b = c->b;
	struct transport *t = c->transport;
	struct relayed *r, *next;
	struct attempt *a, *next_a;

	if (!uplink_is_relay(t))
		unlink_rendezvous(t);
	uplink_transport_gone(t);
	ready_transport_gone(t);
	c->transport = NULL;
	HASH_DELETE(hh, b->transports, t);
	controls_transport_gone(t);
	DL_FOREACH_SAFE2(t->opens, a, next_a, open_next) {
		attempt_opened(a, EHOSTDOWN, HVS_REASON_PARTITION_OFF,
			       "the guest's transport ended");
	}
	HASH_ITER(hh, t->relayed, r, next) {
		relayed_free(t, r);
	}
	log_info("a %s transport (pid %d) ended", transport_kind_name(t->kind),
		 c->pid);
	if (t->made_partition)
		transport_unmake_partition(b, &t->partition);
	telling_fini(&t->services);
	free(t);
}

/* ---- What it relays ------------------------------------------------------*/

int transport_relays(struct transport *t, const struct relayed *proto)
{
	struct relayed *r;

	HASH_FIND(hh, t->relayed, &proto->token, sizeof(proto->token), r);
	if (!r) {
		/* what goes over uplinks is counted for each guest */
		if (HASH_COUNT(t->relayed) >= RELAYED_MAX &&
		    !uplink_is_relay(t))
			return -ENOBUFS;
		r = malloc(sizeof(*r));
		if (!r)
			return -ENOBUFS;
		*r = *proto;
		HASH_ADD(hh, t->relayed, token, sizeof(r->token), r);
	}
	return 0;
}

bool transport_token_known(const struct broker *b, uint64_t token)
{
	const struct transport *t;
	const struct attempt *a;
	const struct relayed *r;

	for (t = b->transports; t; t = t->hh.next) {
		HASH_FIND(hh, t->relayed, &token, sizeof(token), r);
		DL_SEARCH_SCALAR2(t->opens, a, token, token, open_next);
		if (r || a)
			return true;
	}
	return false;
}

void transport_other_half(struct transport *t, uint64_t token)
{
	struct relayed *r;

	HASH_FIND(hh, t->relayed, &token, sizeof(token), r);
	if (r)
		r->half = true;
}

/* Does @other say what @r of @t says, from the end that was dialled? A token
 * alone is nothing: whoever has one may tell it with another story. */
static bool says_the_same(const struct transport *other,
			  const struct transport *t, const struct relayed *r)
{
	const GUID *from = r->direction ? &r->from : &t->partition;
	const struct relayed *there = NULL;

	if (other)
		HASH_FIND(hh, other->relayed, &r->token, sizeof(r->token),
			  there);
	return there && there->direction && there->type == r->type &&
	       guid_equal(&there->from, from) &&
	       guid_equal(&there->dest, &r->dest) &&
	       guid_equal(&there->service, &r->service);
}

bool transport_told_twice(const struct broker *b, const struct transport *t,
			  const struct relayed *r)
{
	bool relay = uplink_is_relay(t);

	if (r->half)
		return true;
	/* (what the one that is reached says is never left out) */
	if (guid_special_name(&r->dest) || (r->direction && !relay))
		return false;
	return says_the_same(transport_find(b, &r->dest), t, r) ||
	       (!relay && says_the_same(transport_find(b, &guid_parent), t, r));
}

size_t transport_count_of(const struct broker *b, const GUID *service)
{
	const struct service *s, *want = registry_service(b->registry, service);
	const struct transport *t;
	const struct relayed *r;
	size_t n = 0;

	for (t = b->transports; want && t; t = t->hh.next) {
		for (r = t->relayed; r; r = r->hh.next) {
			s = registry_service(b->registry, &r->service);
			n += s == want && !transport_told_twice(b, t, r);
		}
	}
	return n;
}

static struct relayed *relayed_find(struct transport *t, uint64_t token)
{
	struct relayed *r;

	HASH_FIND(hh, t->relayed, &token, sizeof(token), r);
	return r;
}

void transport_opened(struct transport *t, uint64_t token)
{
	struct relayed *r = relayed_find(t, token);

	if (r)
		r->opening = false;
}

void transport_forget(struct transport *t, uint64_t token)
{
	struct relayed *r = relayed_find(t, token);

	if (r)
		relayed_free(t, r);
}

/* ---- To the transport ----------------------------------------------------*/

/*
 * Whoever holds a guest's connection itself talks to the VMM, with descriptors
 * too, whose closing may take the VMM's thread as long as it likes. So only the
 * VM's user and root, on the host; a kernel's AF_VSOCK carries no descriptors,
 * and any process could make one itself. And one at a time, as a descriptor
 * that nobody fetches is one of ours in flight.
 */
static bool may_be_native(const struct transport *t, const struct attempt *a)
{
	int unread = 0;

	return guid_is_zero(&a->partition) && a->client &&
	       (!a->uid || a->uid == t->client->uid ||
		t->kind == TRANSPORT_VSOCK) &&
	       ioctl(a->client->fd, SIOCOUTQ, &unread) == 0 && !unread;
}

/* What the guest sees, if it is a sibling that connects; 0 */
static uint32_t cid_beside(const struct transport *t, const struct attempt *a)
{
	const struct world *w = &a->b->world;
	const struct partition *from = partition_find(w, &a->partition);
	const struct partition *to = partition_find(w, &t->partition);

	if (!from || !to || relation(w, to, from) != REL_SIBLING)
		return 0;
	return sibling_cid(from);
}

int transport_open(struct transport *t, struct attempt *a)
{
	uint64_t now = ev_now_ns();
	uint64_t ms = a->deadline_ns > now ? (a->deadline_ns - now) / 1000000 :
					     1;
	MSG_BUF(m, 84);

	if (!may_be_native(t, a))
		a->flags &= ~CONNECT_NATIVE;
	a->open_serial = ++t->serial;
	msg_begin(&m, MSG_OPEN, a->open_serial);
	msg_put_u64(&m, a->token);
	msg_put_u16(&m, a->type);
	msg_put_u16(&m, (a->parked ? OPEN_PARKED : 0) |
			(a->flags & CONNECT_NATIVE ? OPEN_NATIVE : 0));
	msg_put_u32(&m, ms ? (uint32_t)ms : 1);
	msg_put_guid(&m, &a->dest.ServiceId);
	msg_put_guid(&m, &a->source);
	msg_put_u32(&m, a->uid);
	if (t->partitions)
		msg_put_guid(&m, &a->partition);
	if (t->cids)
		msg_put_u32(&m, cid_beside(t, a));
	client_send(t->client, &m, NULL, 0);
	return t->client->dead || t->client->broken ? -EPIPE : 0;
}

void transport_parked(struct transport *t, uint64_t token, uint64_t filler)
{
	MSG_BUF(m, 32);

	msg_begin(&m, MSG_PARKED, ++t->serial);
	msg_put_u64(&m, token);
	msg_put_u64(&m, filler);
	client_send(t->client, &m, NULL, 0);
}

void transport_close(struct transport *t, uint64_t token, uint32_t reason)
{
	struct relayed *r = relayed_find(t, token);
	MSG_BUF(m, 32);

	if (r && r->closing)
		return;
	if (r)
		r->closing = true;
	msg_begin(&m, MSG_CLOSE, ++t->serial);
	msg_put_u64(&m, token);
	msg_put_u32(&m, reason);
	if (r)
		client_send_kept(t->client, &m);
	else
		client_send(t->client, &m, NULL, 0);
}

void transport_stall(struct transport *t, bool stalled)
{
	MSG_BUF(m, 16);

	msg_begin(&m, MSG_STALL, ++t->serial);
	msg_put_u32(&m, stalled);
	client_send_kept(t->client, &m);
}

void transport_ask_counters(struct broker *b, const struct transport *t)
{
	struct transport *own = transport_find(b, &t->partition);
	MSG_BUF(m, 16);

	msg_begin(&m, MSG_COUNTERS, ++own->serial);
	client_send(own->client, &m, NULL, 0);
}

/* ---- From the transport --------------------------------------------------*/

/* What a native OPEN brought, if it is what it should be. */
static void take_native(struct attempt *a, const struct transport *t,
			struct frame *f)
{
	if (f->nfds != 1 ||
	    !sock_is_native(f->fds[0], t->kind == TRANSPORT_VSOCK, a->type))
		return;
	a->native = frame_take_fd(f, 0);
	a->handed_over = true;
}

static void on_open_reply(struct transport *t, struct frame *f)
{
	struct msg_reply r;
	struct attempt *a;
	char text[MSG_TEXT_MAX + 1];
	size_t n;

	if (msg_reply_decode(f->p, f->len, &r) < 0)
		return;
	DL_SEARCH_SCALAR2(t->opens, a, open_serial, f->h.serial, open_next);
	if (!a)
		return; /* given up meanwhile */
	n = r.error ? r.len : 0;
	if (n > MSG_TEXT_MAX)
		n = MSG_TEXT_MAX;
	memcpy(text, r.payload, n);
	text[n] = '\0';
	if (!utf8_printable(text, n))
		text[0] = '\0';
	/* the errno is ours to choose: a transport only says why */
	if (r.error && (!r.reason || r.reason >= REASON_COUNT))
		r.reason = HVS_REASON_NO_LISTENER;
	if (f->nfds && !(a->flags & CONNECT_NATIVE)) {
		client_drop(t->client);
		return;
	}
	if (!r.error && f->lost) {
		attempt_opened(a, EMFILE, HVS_REASON_BROKER_FAILED,
			       "the broker has no descriptor left");
		return;
	}
	if (!r.error && f->nfds) {
		take_native(a, t, f);
		if (!a->handed_over) {
			attempt_opened(a, EIO, HVS_REASON_BROKER_FAILED,
				       "the transport handed over something else than the guest's connection");
			return;
		}
	}
	attempt_opened(a, r.error ? (uint32_t)reason_errno(r.reason) : 0,
		       r.error ? r.reason : 0, text);
}

/* Does the partition that dialled the guest still exist, and above it, or
 * beside it? One that does not is nobody's: the host's rules say nothing about
 * it. */
static bool may_have_dialled(const struct broker *b, const struct transport *t,
			     const struct relayed *r)
{
	const struct partition *from, *here;

	if (guid_is_zero(&r->from))
		return true;
	from = registry_partition(b->registry, &r->from);
	here = registry_partition(b->registry, &t->partition);
	return from && here &&
	       (is_below(&b->world, here, from) ||
		relation(&b->world, here, from) == REL_SIBLING);
}

static void on_live(struct client *c, struct frame *f)
{
	struct transport *t = c->transport;
	struct relayed r = { .opening = false };
	struct msg_live m;

	if (msg_live_decode(f->p, f->len, &m) < 0 || m.direction > 1)
		return;
	r.token = m.token;
	r.type = m.type;
	r.direction = m.direction;
	r.uid = m.uid;
	r.service = m.service;
	r.source = m.source;
	r.dest = m.direction ? t->partition : guid_parent;
	if (m.direction)
		r.from = m.partition;
	else if (!guid_is_zero(&m.partition))
		r.dest = m.partition; /* it dialled a sibling */
	/* What is not counted cannot be ended later. Rules may have changed
	 * while there was no broker. */
	if (transport_relays(t, &r) < 0)
		transport_close(t, r.token, HVS_REASON_QUOTA);
	else if (!may_have_dialled(c->b, t, &r))
		transport_close(t, r.token, HVS_REASON_NO_LONGER_ALLOWED);
	else
		relayed_recheck(c->b, t, &r);
}

static void on_closed(struct transport *t, struct frame *f)
{
	struct msg_closed m;

	if (msg_closed_decode(f->p, f->len, &m) == 0)
		transport_forget(t, m.token);
}

/* Is one end of it in this client's hands? */
static bool is_theirs(const struct client *c, const struct transport *t,
		      const struct relayed *r)
{
	const struct world *w = &c->b->world;
	const GUID *door = &c->door->partition;
	const struct partition *me = registry_partition(w->registry, door);
	const struct partition *p =
		registry_partition(w->registry, &t->partition);

	if (r->direction)
		return guid_equal(&r->from, door) &&
		       (r->uid == c->uid || c->uid == 0);
	return me && p &&
	       (is_below(w, p, me) || guid_equal(&r->dest, door));
}

void request_keep(struct client *c, struct frame *f)
{
	struct msg_close m; /* laid out as that */
	struct transport *t;

	if (msg_close_decode(f->p, f->len, &m) < 0 || m.reason > 1)
		return;
	for (t = c->b->transports; t; t = t->hh.next) {
		struct relayed *r = relayed_find(t, m.token);

		if (r && is_theirs(c, t, r))
			r->suspend = m.reason;
	}
}

static void on_state(struct client *c, struct frame *f)
{
	uint32_t state;

	if (msg_u32_decode(f->p, f->len, &state) < 0 || state > 1)
		return;
	ready_state(c->transport, state);
	if (state)
		attempts_wake(c->b);
}

static void on_counters(struct transport *t, struct frame *f)
{
	struct msg_reply r;

	if (msg_reply_decode(f->p, f->len, &r) < 0 || r.error)
		return;
	for (; r.len >= 24; r.len -= 24, r.payload += 24) {
		/* each entry is laid out as CLOSED's payload */
		uint8_t one[MSG_HEADER + 24] = { 0 };
		struct msg_closed m;
		struct relayed *c;

		memcpy(one + MSG_HEADER, r.payload, 24);
		if (msg_closed_decode(one, sizeof(one), &m) < 0)
			return;
		c = relayed_find(t, m.token);
		if (c) {
			c->to_guest = m.to_guest;
			c->from_guest = m.from_guest;
		}
	}
}

void transport_frame(struct client *c, struct frame *f)
{
	struct transport *t = c->transport;

	if (f->nfds && !(f->h.reply && f->h.type == MSG_OPEN)) {
		client_drop(c);
		return;
	}
	if (f->h.reply) {
		if (f->h.type == MSG_OPEN)
			on_open_reply(t, f);
		else if (f->h.type == MSG_COUNTERS)
			on_counters(t, f);
		else if (f->h.type == MSG_CONTROL && t->controls)
			control_answered(t, f);
		else if (f->h.type == MSG_SERVICES)
			transport_services_taken(c->b, t, f->h.serial);
		return;
	}
	if (uplink_is_relay(t) && f->h.type == MSG_JOINED) {
		uplink_joined(t, f);
		return;
	}
	if (uplink_is_relay(t) && f->h.type != MSG_CLOSED) {
		client_refuse(c, f->h.type, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST,
			      "not a message of hvsocket-uplink");
		return;
	}
	switch (f->h.type) {
	case MSG_STATE:
		on_state(c, f);
		break;
	case MSG_DIAL:
		transport_dial(c, f);
		break;
	case MSG_CLOSED:
		on_closed(t, f);
		break;
	case MSG_LIVE:
		on_live(c, f);
		break;
	default:
		client_refuse(c, f->h.type, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST,
			      "not a message of a transport");
	}
}
