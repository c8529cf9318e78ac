/* SPDX-License-Identifier: MIT */
/*
 * sock.c - hv_sock connections: how they begin and end
 *
 * Each is a channel of its own. The guest asks with TL_CONNECT_REQUEST, and is
 * offered a channel whose type is the service and whose instance is its end;
 * the host asks by offering one with a fresh instance. Either is established
 * when the guest has opened it, and ends with RESCIND, always: a guest that
 * does not get one keeps a kernel thread busy for it.
 *
 * A guest that sees RESCIND before its open has returned takes that for failed,
 * whatever the result was: its program waits in vain, and what the host had
 * sent is lost. Linux sets the ring's pending send size right after the open;
 * until there is a sign of that kind RESCIND waits, for SETTLE_MAX_MS at most.
 * A connect() waits in another thread of the guest, which has to see the socket
 * connected: what has no data left is not so any more after RESCIND. So unless
 * the program has used the rings, it is given SETTLE_PROGRAM_MS from there on.
 *
 * Linux takes an offer whose instance it knows for the old channel. So a
 * request from an end whose last channel is not released yet waits for that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "vmbus/internal.h"

#define SETTLE_MS 3u	    /* from look to look */
#define SETTLE_MAX_MS 2000u /* as long as a guest's connect() waits */
#define SETTLE_PROGRAM_MS 30u

struct vmbh_sock *sock_new(struct vmbh *h, bool from_host, const GUID *service,
			   const GUID *endpoint)
{
	struct vmbh_sock *s;

	if (!timer_reserve(h, h->nsocks + 1))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->h = h;
	s->from_host = from_host;
	s->told = from_host;
	s->service = *service;
	s->endpoint = *endpoint;
	s->state = SOCK_DEAD; /* until it is set */
	TAILQ_INSERT_TAIL(&h->socks, s, link);
	h->nsocks++;
	return s;
}

static bool connecting(const struct vmbh_sock *s, enum sock_state state)
{
	return !s->from_host && state < SOCK_OPEN;
}

void sock_set_state(struct vmbh_sock *s, enum sock_state state)
{
	struct vmbh *h = s->h;

	h->nconnects += connecting(s, state) - connecting(s, s->state);
	if (s->state == SOCK_DELAYED)
		TAILQ_REMOVE(&h->delayed, s, delayed);
	if (state == SOCK_DELAYED)
		TAILQ_INSERT_TAIL(&h->delayed, s, delayed);
	s->state = state;
}

void sock_end(struct vmbh_sock *s, enum vmbh_gone why)
{
	struct vmbh *h = s->h;

	if (s->state == SOCK_DEAD)
		return;
	timer_clear(s);
	sock_set_state(s, SOCK_DEAD);
	if (s->chan)
		s->chan->sock = NULL;
	s->chan = NULL;
	s->why = why;
	s->ending = s->told;
	TAILQ_REMOVE(&h->socks, s, link);
	h->nsocks--;
	if (s->told)
		TAILQ_INSERT_TAIL(&h->gone, s, link);
	else
		TAILQ_INSERT_TAIL(&h->graves, s, link);
	h->busy = true;
}

void sock_fail(struct vmbh_sock *s, enum vmbh_gone why)
{
	struct chan *c = s->chan;

	if (s->state == SOCK_DEAD)
		return;
	sock_end(s, why);
	if (c)
		chan_revoke(c);
}

/* Look again; once the kernel has opened, only the program is waited for, which
 * may well say nothing. */
static void settle(struct vmbh_sock *s)
{
	uint64_t now = s->h->now;

	if (!sock_half_settled(s)) {
		timer_set(s, TIMER_SETTLE, SETTLE_MS);
		return;
	}
	if (s->settle_until > now + SETTLE_PROGRAM_MS * MS)
		s->settle_until = now + SETTLE_PROGRAM_MS * MS;
	timer_set_due(s, TIMER_SETTLE, s->settle_until);
}

void sock_settle(struct vmbh_sock *s)
{
	s->told = false;
	s->user = NULL;
	sock_set_state(s, SOCK_SETTLING);
	s->settle_until = s->h->now + SETTLE_MAX_MS * MS;
	settle(s);
}

/* Over by the embedder's wish: it is not told. */
static void end_silently(struct vmbh_sock *s)
{
	if (s->state == SOCK_OPEN && !sock_settled(s)) {
		sock_settle(s);
	} else if (s->state != SOCK_DEAD) {
		s->told = false;
		sock_fail(s, VMBH_GONE_CLOSED);
	} else if (s->ending) {
		s->ending = s->told = false;
		TAILQ_REMOVE(&s->h->gone, s, link);
		TAILQ_INSERT_TAIL(&s->h->graves, s, link);
	}
}

/* Return: 0, -ENOBUFS or -ENOMEM. */
static int offer(struct vmbh_sock *s)
{
	struct vmbh *h = s->h;
	uint32_t relid = chan_free_relid(h);
	struct chan *c;

	if (!relid)
		return -ENOBUFS;
	c = chan_new(h, relid, &s->service, &s->endpoint);
	if (!c)
		return -ENOMEM;
	c->accept = s->from_host;
	c->sock = s;
	s->chan = c;
	sock_set_state(s, SOCK_OFFERED);
	chan_offer(c);
	return 0;
}

/* The embedder may look for the other end while the guest opens. */
void sock_connect_early(struct vmbh_sock *s)
{
	struct vmbh *h = s->h;

	if (!h->config.connect_early || s->from_host || s->told ||
	    s->state != SOCK_OFFERED || s->answer != ANSWER_NONE)
		return;
	s->told = true;
	h->ops->connect(h->ctx, s, &s->service, &s->endpoint);
}

static void refuse(struct vmbh *h, const GUID *service, const GUID *endpoint)
{
	uint8_t m[44];

	/* Linux before 4.20 does not know it, and no Linux heeds it. */
	if (h->version >= VMBH_VERSION_4_1)
		queue_plain(h, m,
			    put_tl_result(m, endpoint, service,
					  MSG_STATUS_REFUSED));
}

/* The guest asks once more from an end that has asked before. What is on its
 * way for the earlier one cannot be meant any more. */
static void supersede(struct vmbh *h, const GUID *endpoint)
{
	struct vmbh_sock *s, *next;
	struct chan *c;

	for (s = TAILQ_FIRST(&h->delayed); s; s = next) {
		next = TAILQ_NEXT(s, delayed);
		if (guid_equal(&s->endpoint, endpoint))
			sock_end(s, VMBH_GONE_TIMEOUT);
	}
	c = chan_by_instance(h, endpoint);
	if (c && c->sock && !c->sock->from_host &&
	    c->sock->state == SOCK_OFFERED)
		sock_fail(c->sock, VMBH_GONE_TIMEOUT);
}

void sock_request(struct vmbh *h, const uint8_t *m)
{
	GUID endpoint = guid_get(m + 8), service = guid_get(m + 24);
	struct vmbh_sock *s;
	int r = 0;

	if (!h->offers_requested) {
		complain(h, "TL_CONNECT_REQUEST before REQUEST_OFFERS");
		return;
	}
	if (h->ops->admit && !h->ops->admit(h->ctx, &service, &endpoint)) {
		refuse(h, &service, &endpoint);
		return;
	}
	/* admit() may have done anything */
	if (!h->offers_requested)
		return;
	supersede(h, &endpoint);
	if (!h->offers_requested)
		return; /* nor what waited for that */
	s = sock_new(h, false, &service, &endpoint);
	if (!s) {
		refuse(h, &service, &endpoint);
		return;
	}
	if (chan_by_instance(h, &endpoint))
		sock_set_state(s, SOCK_DELAYED);
	else
		r = offer(s);
	if (r < 0) {
		sock_set_state(s, SOCK_OFFERED);
		sock_end(s, VMBH_GONE_MEMORY);
		complain(h, "a connect of the guest: %s",
			 r == -ENOBUFS ? "no relid is free" : "no memory here");
		refuse(h, &service, &endpoint);
		return;
	}
	timer_set(s, TIMER_OPEN, h->config.open_guest_ms);
	queue_flush(h); /* it has the offer to work on meanwhile */
	sock_connect_early(s);
}

/* The first that could be offered now. NULL: none */
static struct vmbh_sock *deliverable(struct vmbh *h)
{
	struct vmbh_sock *s;

	TAILQ_FOREACH(s, &h->delayed, delayed)
	if (!chan_by_instance(h, &s->endpoint))
		break;
	return s;
}

void sock_retry_delayed(struct vmbh *h)
{
	struct vmbh_sock *s;

	/* connect() may have done anything: from the beginning each time.
	 * Without a relid it goes on waiting. */
	while ((s = deliverable(h)) && offer(s) == 0)
		sock_connect_early(s);
}

/* An instance that no channel has, and that is no port of the guest's. */
static int fresh_instance(struct vmbh *h, GUID *ret)
{
	for (int i = 0; i < 16; i++) {
		uint8_t b[16];

		h->ops->random(h->ctx, b, sizeof(b));
		b[7] = (uint8_t)((b[7] & 0x0f) | 0x40); /* version 4 */
		b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
		*ret = guid_get(b);
		if (!guid_is_port(ret, NULL) && !chan_by_instance(h, ret))
			return 0;
	}
	return -ENOBUFS;
}

int vmbh_sock_connect(struct vmbh *h, const GUID *service, void *user,
		      uint32_t timeout_ms, struct vmbh_sock **ret)
{
	struct vmbh_sock *s;
	GUID instance;
	int r;

	if (!vmbh_ready(h))
		return -ENETDOWN;
	if (!guid_is_port(service, NULL))
		return -EINVAL;
	r = fresh_instance(h, &instance);
	if (r < 0)
		return r;
	s = sock_new(h, true, service, &instance);
	if (!s)
		return -ENOMEM;
	s->user = user;
	enter(h);
	r = offer(s);
	if (r < 0) {
		s->told = false;
		sock_set_state(s, SOCK_OFFERED);
		sock_end(s, VMBH_GONE_MEMORY);
	} else {
		timer_set(s, TIMER_OPEN,
			  timeout_ms ? timeout_ms : h->config.open_host_ms);
		*ret = s;
	}
	leave(h);
	return r;
}

/* Open for both. The result goes before the first doorbell. */
static void establish(struct vmbh_sock *s)
{
	struct chan *c = s->chan;

	timer_clear(s);
	chan_set_state(c, CHAN_OPEN);
	sock_set_state(s, SOCK_OPEN);
	chan_result(c, 0);
	queue_flush(s->h);
}

/* The guest has asked and opened, and the embedder has accepted. */
static void accepted(struct vmbh_sock *s)
{
	struct vmbh *h = s->h;

	establish(s);
	if (h->config.connect_early)
		h->ops->connected(h->ctx, s);
	if (s->state == SOCK_OPEN && ring_in_news(&s->chan->rings->in))
		h->ops->readable(h->ctx, s);
}

void sock_opened(struct vmbh_sock *s)
{
	struct vmbh *h = s->h;

	if (s->from_host) {
		establish(s);
		h->ops->connected(h->ctx, s);
		return;
	}
	sock_set_state(s, SOCK_ASKED);
	if (s->answer == ANSWER_ACCEPT) {
		accepted(s);
	} else if (s->answer == ANSWER_REFUSE) {
		sock_fail(s, VMBH_GONE_CLOSED);
	} else if (!s->told) {
		s->told = true;
		h->ops->connect(h->ctx, s, &s->service, &s->endpoint);
	}
}

void vmbh_sock_accept(struct vmbh_sock *s)
{
	if (s->from_host)
		return;
	if (s->state == SOCK_OFFERED)
		s->answer = ANSWER_ACCEPT;
	if (s->state != SOCK_ASKED)
		return;
	enter(s->h);
	accepted(s);
	leave(s->h);
}

void vmbh_sock_refuse(struct vmbh_sock *s)
{
	if (s->state == SOCK_OFFERED && !s->from_host) {
		/* said when the guest has opened: it understands it then */
		s->answer = ANSWER_REFUSE;
		s->told = false;
		s->user = NULL;
	} else if (s->state == SOCK_ASKED || s->state == SOCK_DEAD) {
		vmbh_sock_close(s);
	}
}

void vmbh_sock_close(struct vmbh_sock *s)
{
	struct vmbh *h = s->h;

	enter(h);
	end_silently(s);
	leave(h);
}

void sock_timer(struct vmbh_sock *s)
{
	struct chan *c = s->chan;

	switch (s->timer) {
	case TIMER_OPEN:
		sock_fail(s, VMBH_GONE_TIMEOUT);
		break;
	case TIMER_UNSTICK:
		if (!ring_out_empty(&c->rings->out))
			chan_signal(c);
		sock_check_linger(s);
		break;
	case TIMER_LINGER:
		if (ring_out_read_index(&c->rings->out) == s->linger_read)
			sock_fail(s, VMBH_GONE_LINGER);
		else
			sock_check_linger(s);
		break;
	case TIMER_SETTLE:
		if (sock_settled(s) || s->h->now >= s->settle_until)
			sock_fail(s, VMBH_GONE_CLOSED);
		else
			settle(s);
		break;
	}
}

/* ---- facts */

void *vmbh_sock_user(const struct vmbh_sock *s)
{
	return s->user;
}

void vmbh_sock_set_user(struct vmbh_sock *s, void *user)
{
	s->user = user;
}

uint64_t vmbh_sock_tag(const struct vmbh_sock *s)
{
	return s->tag;
}

void vmbh_sock_set_tag(struct vmbh_sock *s, uint64_t tag)
{
	s->tag = tag;
}

uint32_t vmbh_sock_relid(const struct vmbh_sock *s)
{
	return s->chan ? s->chan->relid : 0;
}

void vmbh_sock_guids(const struct vmbh_sock *s, GUID *ret_service,
		     GUID *ret_endpoint)
{
	*ret_service = s->service;
	*ret_endpoint = s->endpoint;
}

bool vmbh_sock_from_host(const struct vmbh_sock *s)
{
	return s->from_host;
}

void vmbh_sock_ring_sizes(const struct vmbh_sock *s, size_t *ret_g2h,
			  size_t *ret_h2g)
{
	const struct rings *r = s->chan ? s->chan->rings : NULL;

	*ret_g2h = r ? r->in.r.size : 0;
	*ret_h2g = r ? r->out.r.size : 0;
}
