/* SPDX-License-Identifier: MIT */
/*
 * tx.c - packets from the guest
 *
 * Payload of consecutive packets of one connection is gathered and pushed in
 * one call. Anything else about that connection, and the end of the batch,
 * pushes first, so that order is kept. Of a message the pieces are gathered
 * until it ends; if something else comes first they are kept as a copy.
 */
#include "transport/vsock-device/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PART_UNIT 16384u

/* More has come, or has gone to its reader. */
static void tell_credit(struct vsock *v, struct vsock_conn *c)
{
	if (c->state == CONN_OPEN && credit_due(c))
		conn_send(v, c, SEND_CREDIT);
}

static void push(struct vsock *v, struct vsock_conn *c,
		 const struct iovec *iov, unsigned int n)
{
	ssize_t taken = -EPIPE;

	if (!c->unread && c->host)
		taken = v->ops->push(c->host, iov, n);
	if (taken < 0)
		conn_failed(v, c, taken);
	else
		c->fwd_cnt += (uint32_t)taken;
	if (c->host)
		conn_charge(v, c);
	tell_credit(v, c);
}

/* Keep what has been gathered of a message: credit bounds it. */
static void part_keep(struct vsock *v, struct vsock_conn *c,
		      const struct iovec *iov, unsigned int n, uint32_t len)
{
	uint32_t size = (c->part_len + len + PART_UNIT - 1) / PART_UNIT *
			PART_UNIT;
	uint8_t *p = c->part;

	if (c->unread) {
		c->fwd_cnt = c->received;
		tell_credit(v, c);
		return;
	}
	if (size > c->part_size) {
		p = realloc(c->part, size);
		if (!p) {
			conn_failed(v, c, -ENOMEM);
			return;
		}
		c->part = p;
		c->part_size = size;
	}
	(void)vsock_iov_read(iov, n, p + c->part_len, len);
	c->part_len += len;
	conn_charge(v, c);
	/* the rest may have to wait for what was consumed before it */
	tell_credit(v, c);
}

static void gather_flush(struct vsock *v)
{
	struct vsock_conn *c = v->gather;
	uint32_t len = (uint32_t)v->gather_len;
	unsigned int n = v->gather_n;

	v->gather = NULL;
	v->gather_n = 0;
	v->gather_len = 0;
	if (!c || !len)
		return;
	if (c->type == VSOCK_SEQPACKET)
		part_keep(v, c, v->gather_iov, n, len);
	else
		push(v, c, v->gather_iov, n);
}

/* The message that is gathered, or kept, or both, has ended. */
static void gather_message(struct vsock *v, struct vsock_conn *c)
{
	struct iovec *iov = v->gather_iov;
	unsigned int n;

	if (v->gather_n == VSOCK_IOV_MAX)
		gather_flush(v);
	n = v->gather_n;
	if (c->part_len && c->state == CONN_OPEN) {
		memmove(iov + 1, iov, n * sizeof(*iov));
		iov[0] = (struct iovec) { c->part, c->part_len };
		n++;
	}
	v->gather = NULL;
	v->gather_n = 0;
	v->gather_len = 0;
	if (n)
		push(v, c, iov, n);
	else
		v->stats.empty++; /* its reader would take it for the end */
	conn_part_drop(c);
}

/* One function makes resets from packets; it refuses to answer a reset. */
static void reply_rst(struct vsock *v, const struct vsock_header *h)
{
	unsigned int i;

	if (h->op == VSOCK_OP_RST || v->reply_count == VSOCK_REPLIES_MAX)
		return;
	i = (v->reply_first + v->reply_count++) % VSOCK_REPLIES_MAX;
	v->replies[i] = (struct reply) {
		.cid = h->dst_cid,
		.guest_port = h->src_port,
		.host_port = h->dst_port,
		.type = h->type,
	};
	v->ops->wake(v->ctx);
}

/* The guest, or its driver, broke a rule: this connection is over. */
static void broke(struct vsock *v, struct vsock_conn *c)
{
	v->stats.resets++;
	conn_reset(v, c, VSOCK_END_RESET);
}

static void on_request(struct vsock *v, struct vsock_conn *c,
		       const struct vsock_header *h)
{
	if (c && c->state == CONN_ASKED) {
		broke(v, c); /* both ends ask: neither gets it */
		return;
	}
	if (c) {
		/* The guest has forgotten the old one. */
		conn_detach(v, c, VSOCK_END_RESET);
		conn_free(v, c);
	}
	c = conn_new(v, h->type, (uint32_t)h->dst_cid, h->src_port, h->dst_port,
		     CONN_DIALLING);
	if (!c) {
		reply_rst(v, h);
		return;
	}
	c->peer_buf_alloc = h->buf_alloc;
	if (v->ops->dial(v->ctx, c) < 0)
		conn_reset(v, c, VSOCK_END_RESET);
}

static void on_response(struct vsock *v, struct vsock_conn *c)
{
	if (c->state != CONN_ASKED) {
		broke(v, c);
		return;
	}
	conn_set_state(v, c, CONN_OPEN);
	v->ops->answered(c->host, true);
	vsock_readable(v, c);
}

/* Is something owed to a slow reader? The guest need not wait for that. */
static bool drain(struct vsock *v, struct vsock_conn *c)
{
	if (c->state != CONN_OPEN || !c->host || !v->ops->held(c->host))
		return false;
	c->shut_when_flushed = false;
	conn_drain(v, c);
	return true;
}

static void on_rst(struct vsock *v, struct vsock_conn *c)
{
	/* What it sent before its SHUTDOWN is owed in any case. */
	if (c->guest_shut & VSOCK_SHUT_SEND && drain(v, c))
		return;
	conn_detach(v, c, VSOCK_END_RESET);
	conn_free(v, c);
}

static void on_shutdown(struct vsock *v, struct vsock_conn *c,
			const struct vsock_header *h)
{
	uint8_t more = (uint8_t)(h->flags & VSOCK_SHUT_BOTH & ~c->guest_shut);

	if (c->state == CONN_CLOSING) {
		c->guest_shut |= more;
		if (c->guest_shut == VSOCK_SHUT_BOTH)
			conn_reset(v, c, VSOCK_END_CLOSED);
		return;
	}
	if (c->state != CONN_OPEN) {
		broke(v, c);
		return;
	}
	if (!more)
		return;
	c->guest_shut |= more;
	/*
	 * It has closed, and keeps the port until RST comes, for 8 s. All of
	 * what it sent is here; the rest is between us and the reader.
	 */
	if (c->guest_shut == VSOCK_SHUT_BOTH && drain(v, c)) {
		reply_rst(v, h);
		return;
	}
	if (more & VSOCK_SHUT_RCV) {
		conn_ready(v, c, false);
		if (c->guest_shut != VSOCK_SHUT_BOTH)
			v->ops->shut(c->host, false, true);
	}
	if (more & VSOCK_SHUT_SEND)
		conn_part_drop(c); /* its end will not come */
	if (more & VSOCK_SHUT_SEND && !c->unread)
		c->shut_when_flushed = true;
	conn_flushed(v, c);
}

static void on_rw(struct vsock *v, struct vsock_conn *c,
		  const struct vsock_header *h, const struct iovec *iov,
		  unsigned int n)
{
	bool eom = c->type == VSOCK_SEQPACKET && h->flags & VSOCK_SEQ_EOM;
	size_t len;

	if (c->state == CONN_CLOSING) {
		c->received += h->len;
		c->fwd_cnt = c->received;
		return;
	}
	if (c->state != CONN_OPEN || c->guest_shut & VSOCK_SHUT_SEND ||
	    h->len > VSOCK_BUF_ALLOC - (c->received - c->fwd_cnt)) {
		broke(v, c);
		return;
	}
	if (!h->len && !eom)
		return;
	if (v->held + h->len > VSOCK_HELD_MAX) {
		v->stats.over_quota++;
		conn_reset(v, c, VSOCK_END_QUOTA);
		return;
	}
	/* A packet has at most half of the gather list's entries. */
	if (v->gather && v->gather_n + n > VSOCK_IOV_MAX)
		gather_flush(v);
	if (c->state != CONN_OPEN)
		return; /* that was its end */
	v->gather = c;
	v->gather_n += vsock_iov_slice(iov, n, VSOCK_HEADER, h->len,
				       v->gather_iov + v->gather_n,
				       VSOCK_IOV_MAX - v->gather_n, &len);
	v->gather_len += len;
	c->received += (uint32_t)len;
	/*
	 * What is gathered counts as received but not as consumed, so that the
	 * check above covers it.
	 */
	if (eom) {
		gather_message(v, c);
	} else if (c->type == VSOCK_SEQPACKET &&
		   c->part_len + v->gather_len == VSOCK_BUF_ALLOC) {
		/* No credit is left and none will come before it has ended. */
		v->stats.too_long++;
		conn_reset(v, c, VSOCK_END_TOO_LONG);
	}
}

static void on_packet(struct vsock *v, struct vsock_conn *c,
		      const struct vsock_header *h, const struct iovec *iov,
		      unsigned int n)
{
	if (credit_update(c, h) < 0) {
		broke(v, c);
		return;
	}
	switch (h->op) {
	case VSOCK_OP_RESPONSE:
		on_response(v, c);
		break;
	case VSOCK_OP_SHUTDOWN:
		on_shutdown(v, c, h);
		break;
	case VSOCK_OP_RW:
		on_rw(v, c, h, iov, n);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		if (c->state == CONN_OPEN)
			conn_send(v, c, SEND_CREDIT);
		break;
	default:
		broke(v, c);
		break;
	}
}

/* New credit: what waited for it goes on. */
static void unblock(struct vsock *v, struct vsock_conn *c)
{
	if (c->blocked && credit_enough(c)) {
		c->blocked = false;
		conn_stalled(v, c, false);
		vsock_readable(v, c);
	}
}

/*
 * The guest does not know @c yet: what comes is not meant for it. A late RST
 * must not hit who uses the port again.
 */
static void on_unseen(struct vsock *v, struct vsock_conn *c,
		      const struct vsock_header *h)
{
	if (h->op == VSOCK_OP_RST)
		return;
	broke(v, c);
	reply_rst(v, h);
}

/* The host, or somebody who is neither the guest nor one of the CIDs with a
 * meaning of their own (0, 1; -1: any). */
static bool is_peer(const struct vsock *v, uint64_t cid)
{
	return cid >= VSOCK_CID_HOST && cid < UINT32_MAX && cid != v->guest_cid;
}

bool vsock_tx_ready(const struct vsock *v)
{
	return v->reply_count < VSOCK_REPLIES_MAX;
}

void vsock_tx(struct vsock *v, const struct iovec *iov, unsigned int n,
	      size_t len)
{
	uint8_t raw[VSOCK_HEADER];
	struct vsock_header h;
	struct vsock_conn *c;
	bool ours;

	if (vsock_iov_read(iov, n, raw, sizeof(raw)) < 0) {
		v->stats.tx_dropped++;
		return;
	}
	vsock_header_decode(raw, &h);
	if (h.src_cid != v->guest_cid) {
		v->stats.tx_dropped++; /* nobody to answer */
		return;
	}
	v->stats.tx_packets++;
	ours = is_peer(v, h.dst_cid) &&
	       (h.type == VSOCK_STREAM ||
		(h.type == VSOCK_SEQPACKET && v->seqpacket));
	c = NULL;
	if (ours)
		c = conn_find(v, h.type, (uint32_t)h.dst_cid, h.src_port,
			      h.dst_port);
	/* (this never frees a connection of the table) */
	if (v->gather && (c != v->gather || h.op != VSOCK_OP_RW))
		gather_flush(v);
	if (h.op != VSOCK_OP_RW)
		h.len = 0;
	if (!ours) {
		reply_rst(v, &h);
	} else if (c && c->state == CONN_ASKED && c->pending & SEND_REQUEST) {
		on_unseen(v, c, &h);
	} else if (h.op == VSOCK_OP_REQUEST) {
		on_request(v, c, &h);
	} else if (!c) {
		reply_rst(v, &h);
	} else if (h.op == VSOCK_OP_RST) {
		on_rst(v, c);
	} else if (c->state == CONN_DEAD) {
		return; /* its RST is on the way */
	} else if (h.len > VSOCK_PAYLOAD_MAX || h.len > len - VSOCK_HEADER) {
		broke(v, c);
	} else {
		on_packet(v, c, &h, iov, n);
		/* it may be gone; look again rather than guess */
		c = conn_find(v, h.type, (uint32_t)h.dst_cid, h.src_port,
			      h.dst_port);
		if (c)
			unblock(v, c);
	}
}

void vsock_tx_end(struct vsock *v)
{
	gather_flush(v);
}
