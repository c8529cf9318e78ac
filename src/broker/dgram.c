/* SPDX-License-Identifier: MIT */
/* dgram.c - REACH, and the messages of hvsocket-dgram; see dgram.h */
#include "broker/dgram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "broker/uplink.h"

/* One that had served died of something else: another one. */
static void on_ended(struct helper *h, const char *why)
{
	struct dgrams *d = container_of(h, struct dgrams, helper);

	if (h->served) {
		dgram_waits_lost(d);
		uplink_dgram_look(d->b->uplinks);
	} else {
		dgram_waits_refuse(d, why);
	}
}

static void on_again(struct helper *h)
{
	struct dgrams *d = container_of(h, struct dgrams, helper);

	dgram_waits_lost(d);
	asked_go_on(d->b->uplinks);
	uplink_dgram_look(d->b->uplinks);
}

int dgrams_new(struct broker *b, const char *program, struct dgrams **ret)
{
	struct dgrams *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->b = b;
	d->helper = (struct helper){
		.b = b,
		.name = "hvsocket-dgram",
		.what = "which carries datagrams",
		.lock = "datagrams.lock",
		.program = program,
		.ended = on_ended,
		.again = on_again,
		.pidfd = -1,
	};
	meeting_init(&d->meeting, b, NAME_DATAGRAMS);
	*ret = d;
	return 0;
}

struct dgrams *dgrams_free(struct dgrams *d)
{
	if (!d)
		return NULL;
	helper_fini(&d->helper);
	while (d->uplinks)
		dgram_uplink_forget(d, d->uplinks);
	dgram_forget_all(d);
	ev_timer_stop(&d->put_off);
	meeting_fini(&d->meeting);
	free(d);
	return NULL;
}

void dgram_flush(struct dgrams *d)
{
	MSG_BUF(m, MSG_HEADER);

	if (!d->ready || d->flushed)
		return;
	d->flushed = true;
	msg_begin(&m, MSG_FLUSH, ++d->serial);
	client_send(d->relay, &m, NULL, 0);
}

void dgram_partition_gone(struct dgrams *d, const GUID *partition)
{
	struct dgram_uplink *u = dgram_uplink_find(d, partition);
	struct dgram_socket *s, *next;
	MSG_BUF(m, 32);

	if (u)
		dgram_uplink_close(d, u);
	HASH_ITER(hh, d->sockets, s, next) {
		if (!guid_equal(&s->key.partition, partition))
			continue;
		msg_begin(&m, MSG_CLOSE, ++d->serial);
		msg_put_u64(&m, s->token);
		msg_put_u32(&m, HVS_REASON_PARTITION_UNKNOWN);
		if (d->relay)
			client_send(d->relay, &m, NULL, 0);
		dgram_forget(d, s);
	}
}

/* ---- REACH ---------------------------------------------------------------*/

static struct dgram_route route; /* one thread */

/* By which name it is known beyond an uplink. */
static void reach_beyond(struct client *c, uint32_t serial,
			 const struct dgram_uplink *u,
			 const struct dgram_socket *s, const GUID *service)
{
	bool up = guid_equal(&u->partition, &guid_parent);
	const struct uplink_ends ends = {
		.from = up ? c->door->partition : guid_zero,
		.source = s ? s->key.service : guid_zero,
		.to = route.to[0].peer,
		.service = *service,
	};

	dgram_ask(c->b->dgrams, c, serial, u, &ends);
}

void request_reach(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	struct caller caller = client_caller(c);
	const char *why = "REACH is malformed";
	struct dgram_uplink *u = NULL;
	struct dgram_socket *s;
	struct msg_reach m;
	struct verdict v;
	int err = EINVAL;

	if (msg_reach_decode(f->p, f->len, &m) < 0 ||
	    (err = address_check(&m.dest, &why))) {
		client_refuse(c, MSG_REACH, f->h.serial, (uint32_t)err,
			      HVS_REASON_BAD_REQUEST, why);
		return;
	}
	broker_refresh(b);
	if (c->dead)
		return;
	s = dgram_find_name(b->dgrams, &caller.partition, c->uid, m.token);
	verdict_init(&v);
	dgram_route(b->dgrams, &caller, s, &m.dest, &route, &v);
	if (route.n == 1)
		u = dgram_uplink_by_token(b->dgrams, route.to[0].token);
	if (u && !guid_equal(&m.dest.VmId, &guid_broadcast)) {
		reach_beyond(c, f->h.serial, u, s, &m.dest.ServiceId);
		return;
	}
	if (route.n || !v.reason) {
		client_reply_empty(c, MSG_REACH, f->h.serial);
		return;
	}
	broker_count(b, &m.dest.ServiceId, &caller.partition, NULL, v.reason);
	client_refuse_verdict(c, MSG_REACH, f->h.serial, &v);
}

/* ---- From hvsocket-dgram -------------------------------------------------*/

void request_relay(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	struct dgrams *d = b->dgrams;

	if (f->len != MSG_HEADER) {
		client_refuse(c, MSG_RELAY, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST, "RELAY is malformed");
	} else if (!guid_is_zero(&c->door->partition) ||
		   (c->uid != 0 && c->uid != b->world.broker_uid)) {
		client_refuse(c, MSG_RELAY, f->h.serial, EPERM,
			      HVS_REASON_NOT_PERMITTED,
			      "hvsocket-dgram runs as the broker's user, on the host");
	} else if (d->relay) {
		client_refuse(c, MSG_RELAY, f->h.serial, EBUSY,
			      HVS_REASON_EXISTS,
			      "another hvsocket-dgram serves this broker");
	} else {
		d->relay = c;
		d->flushed = true;
		d->helper.here = true;
		d->helper.served = d->helper.served ||
				   c->pid == d->helper.pid;
		c->relay = true;
		memset(&d->drops, 0, sizeof(d->drops));
		client_reply_empty(c, MSG_RELAY, f->h.serial);
	}
}

void dgram_relay_gone(struct dgrams *d)
{
	log_info("hvsocket-dgram (pid %d) ended", d->relay->pid);
	d->relay = NULL;
	d->helper.here = false;
	d->ready = false;
	while (d->uplinks)
		dgram_uplink_forget(d, d->uplinks);
	dgram_forget_all(d);
	dgram_waits_lost(d);
	uplink_dgram_look(d->b->uplinks);
}

static void on_known_socket(struct dgrams *d, const struct msg_socket *m)
{
	struct dgram_uplink *u;
	int r = 0;

	if (m->flags & SOCKET_UPLINK) {
		u = dgram_uplink_find(d, &m->partition);
		if (u)
			dgram_uplink_close(d, u);
		r = dgram_uplink_add(d, &m->partition, m->token);
	} else if (!dgram_find(d, m->token)) {
		r = dgram_add(d, m);
	}
	if (r < 0)
		log_err("no memory for a datagram socket");
}

static void on_known(struct dgrams *d, const struct frame *f)
{
	struct msg_socket m;

	if (f->len == MSG_HEADER) {
		d->ready = true;
		log_info("hvsocket-dgram (pid %d) is there, %u sockets",
			 d->relay->pid, HASH_COUNT(d->sockets));
		dgram_waits_go_on(d);
		asked_go_on(d->b->uplinks);
		uplink_dgram_look(d->b->uplinks);
	} else if (msg_socket_decode(f->p, f->len, &m) == 0 && !d->ready) {
		on_known_socket(d, &m);
	}
}

/* What came over an uplink, or a program's own. Return: false: malformed */
static bool find_route(struct dgrams *d, const struct frame *f,
		       struct verdict *v, struct dgram_uplink **ret_up)
{
	struct msg_uplink_route beyond;
	struct dgram_socket *s;
	struct msg_reach r;
	struct caller caller;

	*ret_up = NULL;
	route.n = 0;
	if (msg_uplink_route_decode(f->p, f->len, &beyond) == 0) {
		*ret_up = dgram_uplink_by_token(d, beyond.token);
		if (*ret_up)
			dgram_route_beyond(d, *ret_up, &beyond, &route, v);
		else
			refuse(v, HVS_REASON_NOT_FOUND, "no such uplink");
		return true;
	}
	if (msg_route_decode(f->p, f->len, &r) < 0)
		return false;
	s = dgram_find(d, r.token);
	if (s) {
		caller = dgram_caller(s);
		dgram_route(d, &caller, s, &r.dest, &route, v);
	} else {
		refuse(v, HVS_REASON_NOT_FOUND, "no such socket");
	}
	return true;
}

static void on_route(struct client *c, const struct frame *f)
{
	static uint8_t raw[MSG_REPLY_HEADER + sizeof(route.to)];
	struct msg_buf m = msg_buf(raw, sizeof(raw));
	struct broker *b = c->b;
	struct dgrams *d = b->dgrams;
	struct dgram_uplink *up;
	struct verdict v;

	broker_refresh(b);
	if (c->dead)
		return;
	verdict_init(&v);
	if (!find_route(d, f, &v, &up)) {
		client_drop(c);
		return;
	}
	if (!route.n && !v.reason)
		refuse(&v, HVS_REASON_NO_LISTENER, "no child listens");
	d->flushed = false;
	msg_begin_reply(&m, MSG_ROUTE, f->h.serial, 0,
			route.n ? 0 : (uint32_t)v.error,
			route.n ? 0 : v.reason);
	for (size_t i = 0; i < route.n; i++) {
		msg_put_u64(&m, route.to[i].token);
		msg_put_guid(&m, &route.to[i].peer);
	}
	if (!route.n && up) /* it may be a question */
		msg_put_bytes(&m, v.text, strlen(v.text));
	client_send(d->relay, &m, NULL, 0);
}

static void on_gone(struct dgrams *d, const struct frame *f)
{
	struct dgram_uplink *u;
	struct dgram_socket *s;
	bool heard;
	uint64_t token;

	if (msg_u64_decode(f->p, f->len, &token) < 0)
		return;
	s = dgram_find(d, token);
	u = s ? NULL : dgram_uplink_by_token(d, token);
	if (u) {
		bool up = guid_equal(&u->partition, &guid_parent);

		dgram_uplink_forget(d, u);
		if (up)
			uplink_dgram_ended(d->b->uplinks);
	}
	if (!s)
		return;
	heard = s->listener;
	dgram_forget(d, s);
	if (heard)
		dgram_flush(d);
}

void dgram_frame(struct client *c, struct frame *f)
{
	struct dgrams *d = c->b->dgrams;
	struct msg_drops drops;

	if (f->nfds) {
		client_drop(c);
		return;
	}
	if (f->h.reply) {
		if (f->h.type == MSG_PROBE)
			dgram_probed(d, f->h.serial);
		else if (f->h.type == MSG_ASK)
			dgram_asked(d, f);
		return;
	}
	switch (f->h.type) {
	case MSG_KNOWN:
		on_known(d, f);
		break;
	case MSG_ROUTE:
		on_route(c, f);
		break;
	case MSG_GONE:
		on_gone(d, f);
		break;
	case MSG_DROPS:
		if (msg_drops_decode(f->p, f->len, &drops) == 0)
			d->drops = drops;
		break;
	default:
		client_refuse(c, f->h.type, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST,
			      "not a message of hvsocket-dgram");
	}
}
