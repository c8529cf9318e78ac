/* SPDX-License-Identifier: MIT */
/* dgram.c - REACH, and the messages of hvsocket-dgram; see dgram.h */
#include "broker/dgram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"

/* One that had served died of something else: another one. */
static void on_ended(struct helper *h, const char *why)
{
	struct dgrams *d = container_of(h, struct dgrams, helper);

	if (h->served)
		dgram_waits_lost(d);
	else
		dgram_waits_refuse(d, why);
}

static void on_again(struct helper *h)
{
	dgram_waits_lost(container_of(h, struct dgrams, helper));
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
	dgram_forget_all(d);
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
	struct dgram_socket *s, *next;
	MSG_BUF(m, 32);

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

void request_reach(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	struct caller caller = client_caller(c);
	const char *why = "REACH is malformed";
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
	dgram_forget_all(d);
	dgram_waits_lost(d);
}

static void on_known(struct dgrams *d, const struct frame *f)
{
	struct msg_socket m;

	if (f->len == MSG_HEADER) {
		d->ready = true;
		log_info("hvsocket-dgram (pid %d) is there, %u sockets",
			 d->relay->pid, HASH_COUNT(d->sockets));
		dgram_waits_go_on(d);
	} else if (msg_socket_decode(f->p, f->len, &m) == 0 &&
		   !dgram_find(d, m.token) && !d->ready) {
		if (dgram_add(d, &m) < 0)
			log_err("no memory for a datagram socket");
	}
}

static void on_route(struct client *c, const struct frame *f)
{
	static uint8_t raw[MSG_REPLY_HEADER + sizeof(route.to)];
	struct msg_buf m = msg_buf(raw, sizeof(raw));
	struct broker *b = c->b;
	struct dgrams *d = b->dgrams;
	struct dgram_socket *s;
	struct msg_reach r;
	struct caller caller;
	struct verdict v;

	if (msg_route_decode(f->p, f->len, &r) < 0) {
		client_drop(c);
		return;
	}
	broker_refresh(b);
	if (c->dead)
		return;
	s = dgram_find(d, r.token);
	verdict_init(&v);
	route.n = 0;
	if (s) {
		caller = dgram_caller(s);
		dgram_route(d, &caller, s, &r.dest, &route, &v);
	} else {
		refuse(&v, HVS_REASON_NOT_FOUND, "no such socket");
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
	client_send(d->relay, &m, NULL, 0);
}

static void on_gone(struct dgrams *d, const struct frame *f)
{
	struct dgram_socket *s;
	bool heard;
	uint64_t token;

	if (msg_u64_decode(f->p, f->len, &token) < 0 ||
	    !(s = dgram_find(d, token)))
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
