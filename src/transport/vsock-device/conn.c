/* SPDX-License-Identifier: MIT */
/* conn.c - the connections: table, states, ends */
#include "transport/vsock-device/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static struct conn_bucket *bucket_of(struct vsock *v, uint32_t peer_cid,
				     uint32_t guest_port, uint32_t host_port)
{
	uint64_t h = ((uint64_t)guest_port << 32 | host_port) ^ v->seed;

	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	h ^= h >> 32 ^ peer_cid;
	h *= 0xbf58476d1ce4e5b9u;
	h ^= h >> 32;
	return &v->buckets[h % BUCKETS];
}

struct vsock_conn *conn_find(struct vsock *v, enum vsock_type type,
			     uint32_t peer_cid, uint32_t guest_port,
			     uint32_t host_port)
{
	struct vsock_conn *c;

	LIST_FOREACH(c, bucket_of(v, peer_cid, guest_port, host_port), bucket)
	if (c->guest_port == guest_port && c->host_port == host_port &&
	    c->type == type && c->peer_cid == peer_cid)
		return c;
	return NULL;
}

static bool is_opening(enum conn_state s)
{
	return s == CONN_DIALLING || s == CONN_ASKED;
}

struct vsock_conn *conn_new(struct vsock *v, enum vsock_type type,
			    uint32_t peer_cid, uint32_t guest_port,
			    uint32_t host_port,
			    enum conn_state state)
{
	struct vsock_conn *c;

	if (v->conns >= VSOCK_CONNS_MAX ||
	    (is_opening(state) && v->opening >= VSOCK_OPENING_MAX)) {
		v->stats.over_quota++;
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->type = type;
	c->peer_cid = peer_cid;
	c->guest_port = guest_port;
	c->host_port = host_port;
	c->state = state;
	TAILQ_INSERT_TAIL(&v->all, c, all);
	LIST_INSERT_HEAD(bucket_of(v, peer_cid, guest_port, host_port), c,
			 bucket);
	v->conns++;
	v->opening += is_opening(state);
	return c;
}

static void no_waiting(struct vsock *v, struct vsock_conn *c)
{
	if (c->gather_ns)
		TAILQ_REMOVE(&v->gathering, c, gathering);
	c->gather_ns = 0;
	conn_stalled(v, c, false);
}

void conn_set_state(struct vsock *v, struct vsock_conn *c, enum conn_state s)
{
	v->opening -= is_opening(c->state);
	v->opening += is_opening(s);
	if (c->state == CONN_CLOSING)
		TAILQ_REMOVE(&v->linger, c, linger);
	if (s == CONN_DRAINING)
		LIST_REMOVE(c, bucket);
	c->state = s;
	if (s == CONN_OPEN)
		return;
	conn_ready(v, c, false);
	no_waiting(v, c);
}

static void unqueue(struct vsock *v, struct vsock_conn *c)
{
	if (c->pending)
		TAILQ_REMOVE(&v->control, c, control);
	c->pending = 0;
}

void conn_drain(struct vsock *v, struct vsock_conn *c)
{
	conn_set_state(v, c, CONN_DRAINING);
	unqueue(v, c);
}

void conn_part_drop(struct vsock_conn *c)
{
	free(c->part);
	c->part = NULL;
	c->part_len = c->part_size = 0;
}

void conn_charge(struct vsock *v, struct vsock_conn *c)
{
	uint32_t now = c->received - c->fwd_cnt + c->tail_len;

	v->held += (size_t)now - c->charged;
	c->charged = now;
}

/* Nothing of it waits any more. */
static void release(struct vsock *v, struct vsock_conn *c)
{
	free(c->tail);
	c->tail = NULL;
	c->tail_len = 0;
	conn_part_drop(c);
	v->held -= c->charged;
	c->charged = 0;
}

void conn_free(struct vsock *v, struct vsock_conn *c)
{
	if (v->gather == c) {
		v->gather = NULL;
		v->gather_n = 0;
		v->gather_len = 0;
	}
	if (c->state != CONN_DRAINING)
		LIST_REMOVE(c, bucket);
	if (c->state == CONN_CLOSING)
		TAILQ_REMOVE(&v->linger, c, linger);
	unqueue(v, c);
	conn_ready(v, c, false);
	no_waiting(v, c);
	release(v, c);
	TAILQ_REMOVE(&v->all, c, all);
	v->opening -= is_opening(c->state);
	v->conns--;
	free(c->marks);
	free(c);
}

void conn_detach(struct vsock *v, struct vsock_conn *c, enum vsock_end why)
{
	void *host = c->host;
	bool asked = c->state == CONN_ASKED;

	c->host = NULL;
	release(v, c);
	if (!host)
		return;
	if (asked)
		v->ops->answered(host, false);
	else
		v->ops->ended(host, why);
}

void conn_send(struct vsock *v, struct vsock_conn *c, unsigned int what)
{
	if (!c->pending)
		TAILQ_INSERT_TAIL(&v->control, c, control);
	c->pending |= (uint8_t)what;
	v->ops->wake(v->ctx);
}

void conn_reset(struct vsock *v, struct vsock_conn *c, enum vsock_end why)
{
	bool unseen = c->state == CONN_ASKED && c->pending & SEND_REQUEST;

	conn_detach(v, c, why);
	if (unseen) {
		conn_free(v, c); /* the guest has not heard of it yet */
		return;
	}
	conn_set_state(v, c, CONN_DEAD);
	unqueue(v, c);
	conn_send(v, c, SEND_RST);
}

void conn_ready(struct vsock *v, struct vsock_conn *c, bool ready)
{
	if (ready == c->is_ready)
		return;
	c->is_ready = ready;
	if (ready)
		TAILQ_INSERT_TAIL(&v->ready, c, ready);
	else
		TAILQ_REMOVE(&v->ready, c, ready);
}

void conn_host_shut(struct vsock *v, struct vsock_conn *c, unsigned int flags)
{
	if ((c->host_shut | flags) == c->host_shut)
		return;
	c->host_shut |= (uint8_t)flags;
	if (c->state == CONN_OPEN)
		conn_send(v, c, SEND_SHUTDOWN);
}

void conn_gather(struct vsock *v, struct vsock_conn *c)
{
	conn_ready(v, c, false);
	if (c->gather_ns)
		return; /* from when it began */
	c->gather_ns = v->now_ns + VSOCK_GATHER_MS * 1000000ull;
	TAILQ_INSERT_TAIL(&v->gathering, c, gathering);
}

void conn_stalled(struct vsock *v, struct vsock_conn *c, bool stalled)
{
	if (stalled == (c->stall_ns != 0))
		return;
	if (stalled) {
		c->stall_ns = v->now_ns + VSOCK_STALL_MS * 1000000ull;
		TAILQ_INSERT_TAIL(&v->stalled, c, stalled);
	} else {
		c->stall_ns = 0;
		TAILQ_REMOVE(&v->stalled, c, stalled);
	}
}

void conn_linger(struct vsock *v, struct vsock_conn *c)
{
	conn_set_state(v, c, CONN_CLOSING);
	conn_detach(v, c, VSOCK_END_CLOSED);
	c->linger_ns = v->now_ns + VSOCK_LINGER_MS * 1000000ull;
	TAILQ_INSERT_TAIL(&v->linger, c, linger);
}

void conn_failed(struct vsock *v, struct vsock_conn *c, ssize_t err)
{
	bool too_long = err == -EMSGSIZE;
	enum vsock_end why = too_long ? VSOCK_END_TOO_LONG : VSOCK_END_MEMORY;

	if (!too_long && err != -EFAULT && err != -ENOMEM) {
		vsock_unread(v, c);
		return;
	}
	v->stats.too_long += too_long;
	if (c->state == CONN_DRAINING) {
		conn_detach(v, c, why);
		conn_free(v, c);
	} else {
		conn_reset(v, c, why);
	}
}

void conn_flushed(struct vsock *v, struct vsock_conn *c)
{
	if (c->host && v->ops->held(c->host))
		return;
	if (c->state == CONN_DRAINING) {
		conn_detach(v, c, VSOCK_END_CLOSED);
		conn_free(v, c);
		return;
	}
	if (c->guest_shut == VSOCK_SHUT_BOTH) {
		/* everything that the guest sent has arrived: let it go */
		conn_reset(v, c, VSOCK_END_CLOSED);
		return;
	}
	if (c->shut_when_flushed) {
		c->shut_when_flushed = false;
		v->ops->shut(c->host, true, false);
	}
}

/* ---- lifetime of the device */

int vsock_new(uint64_t guest_cid, const struct vsock_ops *ops, void *ctx,
	      struct vsock **ret)
{
	struct vsock *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->guest_cid = guest_cid;
	v->ops = ops;
	v->ctx = ctx;
	v->next_port = 1u << 30;
	if (getrandom(&v->seed, sizeof(v->seed), GRND_NONBLOCK) !=
	    sizeof(v->seed))
		v->seed = (uintptr_t)v; /* only the guest can hurt itself */
	TAILQ_INIT(&v->all);
	TAILQ_INIT(&v->control);
	TAILQ_INIT(&v->ready);
	TAILQ_INIT(&v->linger);
	TAILQ_INIT(&v->gathering);
	TAILQ_INIT(&v->stalled);
	for (unsigned int i = 0; i < BUCKETS; i++)
		LIST_INIT(&v->buckets[i]);
	*ret = v;
	return 0;
}

static void forget(struct vsock *v, bool all)
{
	struct vsock_conn *c, *next;

	for (c = TAILQ_FIRST(&v->all); c; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->state == CONN_DRAINING && !all)
			continue; /* the guest was done with it before */
		conn_detach(v, c, VSOCK_END_DEVICE);
		conn_free(v, c);
	}
	v->reply_count = 0;
	v->gather_n = 0;
	v->gather_len = 0;
}

void vsock_reset(struct vsock *v)
{
	forget(v, false);
}

struct vsock *vsock_free(struct vsock *v)
{
	if (v) {
		forget(v, true);
		free(v);
	}
	return NULL;
}

void vsock_time(struct vsock *v, uint64_t now_ns)
{
	struct vsock_conn *c;

	v->now_ns = now_ns;
	while ((c = TAILQ_FIRST(&v->linger)) && c->linger_ns <= now_ns)
		conn_reset(v, c, VSOCK_END_CLOSED);
	while ((c = TAILQ_FIRST(&v->gathering)) && c->gather_ns <= now_ns) {
		TAILQ_REMOVE(&v->gathering, c, gathering);
		c->gather_ns = 0;
		c->gathered = true;
		vsock_readable(v, c);
	}
	/* Once for each stall: who does not read has nothing to say. */
	while ((c = TAILQ_FIRST(&v->stalled)) && c->stall_ns <= now_ns) {
		conn_stalled(v, c, false);
		conn_send(v, c, SEND_CREDIT_REQUEST);
	}
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

uint64_t vsock_deadline(const struct vsock *v)
{
	const struct vsock_conn *l = TAILQ_FIRST(&v->linger);
	const struct vsock_conn *g = TAILQ_FIRST(&v->gathering);
	const struct vsock_conn *s = TAILQ_FIRST(&v->stalled);

	return sooner(l ? l->linger_ns : 0,
		      sooner(g ? g->gather_ns : 0, s ? s->stall_ns : 0));
}

void vsock_set_seqpacket(struct vsock *v, bool on)
{
	v->seqpacket = on;
}

enum vsock_type vsock_type(const struct vsock_conn *c)
{
	return c->type;
}

uint32_t vsock_peer_cid(const struct vsock_conn *c)
{
	return c->peer_cid;
}

uint32_t vsock_guest_port(const struct vsock_conn *c)
{
	return c->guest_port;
}

uint32_t vsock_host_port(const struct vsock_conn *c)
{
	return c->host_port;
}

unsigned int vsock_conn_count(const struct vsock *v)
{
	return v->conns;
}

const struct vsock_stats *vsock_stats(const struct vsock *v)
{
	return &v->stats;
}

/* ---- host ends */

int vsock_open(struct vsock *v, enum vsock_type type, uint32_t peer_cid,
	       uint32_t guest_port, uint32_t host_port, void *host,
	       struct vsock_conn **ret)
{
	struct vsock_conn *c;

	if (type != VSOCK_STREAM && !v->seqpacket)
		return -EPROTONOSUPPORT;
	if (host_port == 0 || host_port == UINT32_MAX ||
	    conn_find(v, type, peer_cid, guest_port, host_port)) {
		/* at most VSOCK_CONNS_MAX are taken: this ends */
		do {
			host_port = v->next_port++;
			if (v->next_port == 1u << 31)
				v->next_port = 1u << 30;
		} while (conn_find(v, type, peer_cid, guest_port, host_port));
	}
	c = conn_new(v, type, peer_cid, guest_port, host_port, CONN_ASKED);
	if (!c)
		return -ENOBUFS;
	c->host = host;
	conn_send(v, c, SEND_REQUEST);
	*ret = c;
	return 0;
}

void vsock_set_host(struct vsock_conn *c, void *host)
{
	c->host = host;
}

void vsock_accept(struct vsock *v, struct vsock_conn *c)
{
	conn_set_state(v, c, CONN_OPEN);
	conn_send(v, c, SEND_RESPONSE);
	vsock_readable(v, c);
}

void vsock_abort(struct vsock *v, struct vsock_conn *c)
{
	c->host = NULL;
	if (c->state == CONN_DRAINING)
		conn_free(v, c);
	else
		conn_reset(v, c, VSOCK_END_RESET);
}

void vsock_readable(struct vsock *v, struct vsock_conn *c)
{
	if (c->state != CONN_OPEN || c->blocked ||
	    c->host_shut & VSOCK_SHUT_SEND || c->guest_shut & VSOCK_SHUT_RCV)
		return;
	conn_ready(v, c, true);
	v->ops->wake(v->ctx);
}

void vsock_unread(struct vsock *v, struct vsock_conn *c)
{
	if (c->state != CONN_OPEN && c->state != CONN_DRAINING)
		return;
	c->unread = true;
	conn_part_drop(c);
	c->fwd_cnt = c->received; /* thrown away is consumed */
	conn_charge(v, c);
	conn_host_shut(v, c, VSOCK_SHUT_RCV);
	conn_flushed(v, c);
}

void vsock_writable(struct vsock *v, struct vsock_conn *c)
{
	ssize_t n;

	if (!c->host || !v->ops->held(c->host))
		return;
	n = v->ops->flush(c->host);
	if (n < 0) {
		conn_failed(v, c, n);
		return;
	}
	c->fwd_cnt += (uint32_t)n;
	conn_charge(v, c);
	if (c->state == CONN_OPEN && credit_due(c))
		conn_send(v, c, SEND_CREDIT);
	conn_flushed(v, c);
}
