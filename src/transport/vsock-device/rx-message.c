/* SPDX-License-Identifier: MIT */
/*
 * rx-message.c - messages to the guest
 *
 * A message begins when the guest has room for all of it, and is read from its
 * socket as a whole: into the guest's buffers, and what these do not take, or
 * what would be more than a quantum, into a copy, from which it goes on in the
 * next rounds. So it costs memory only while it is under way, one per
 * connection, and no more than the guest's window.
 */
#include <errno.h>
#include <stdlib.h>

#include "transport/vsock-device/conn.h"

static void wait_for_credit(struct vsock *v, struct vsock_conn *c)
{
	c->blocked = true;
	conn_ready(v, c, false);
	conn_stalled(v, c, true);
}

static void too_long(struct vsock *v, struct vsock_conn *c)
{
	v->stats.too_long++;
	conn_reset(v, c, VSOCK_END_TOO_LONG);
}

/* One packet of the message: @len bytes, which are in @b. */
static void put(struct vsock *v, struct vsock_conn *c, struct vsock_buf *b,
		uint32_t len, bool last)
{
	credit_sent(c, len);
	rx_put(v, c, b, VSOCK_OP_RW, len, last ? VSOCK_SEQ_EOM : 0);
}

/* What is left of a message. Return: buffers used */
static unsigned int go_on(struct vsock *v, struct vsock_conn *c,
			  struct vsock_buf *bufs, unsigned int n)
{
	uint32_t quantum = VSOCK_QUANTUM;
	unsigned int used = 0;

	if (c->peer_buf_alloc < c->message_len) {
		too_long(v, c); /* by now: it has made its buffer smaller */
		return 0;
	}
	while (used < n && c->tail_len && quantum) {
		struct vsock_buf *b = &bufs[used];
		uint32_t part = c->tail_len, credit = credit_free(c);
		unsigned int entries;

		if (part > rx_room(b))
			part = (uint32_t)rx_room(b);
		if (part > quantum)
			part = quantum;
		if (part > credit)
			part = credit;
		if (!part) {
			wait_for_credit(v, c);
			return used;
		}
		(void)rx_iov(v, b, 1, part, &entries);
		(void)vsock_iov_write(v->gather_iov, entries,
				      c->tail + c->tail_at, part);
		c->tail_at += part;
		c->tail_len -= part;
		quantum -= part;
		conn_charge(v, c);
		put(v, c, b, part, !c->tail_len);
		used++;
	}
	if (!c->tail_len) {
		free(c->tail);
		c->tail = NULL;
	}
	rx_next(v, c);
	return used;
}

/* In how many packets @len bytes would go, if all buffers were as these */
static unsigned int packets(const struct vsock_buf *bufs, unsigned int n,
			    size_t len)
{
	size_t each = rx_room(&bufs[n - 1]);

	for (unsigned int i = 0; i < n; i++) {
		size_t part = rx_room(&bufs[i]);

		if (part >= len)
			return i + 1;
		len -= part;
	}
	return n + (unsigned int)((len + each - 1) / each);
}

/*
 * The next message, of @len bytes, into some of @bufs and the tail.
 * Return: as pull(); *@ret_direct: bytes that are in @bufs
 */
static ssize_t take(struct vsock *v, struct vsock_conn *c,
		    const struct vsock_buf *bufs, unsigned int n, size_t len,
		    size_t *ret_direct)
{
	size_t budget = len < VSOCK_QUANTUM ? len : VSOCK_QUANTUM, direct;
	unsigned int entries;
	ssize_t got;

	direct = rx_iov(v, bufs, n, budget, &entries);
	if (entries == VSOCK_IOV_MAX) {
		entries--; /* room for the tail */
		direct -= v->gather_iov[entries].iov_len;
	}
	if (direct < len) {
		if (v->held + len - direct > VSOCK_HELD_MAX)
			return -ENOMEM;
		c->tail = malloc(len - direct);
		if (!c->tail)
			return -ENOMEM;
		v->gather_iov[entries++] =
			(struct iovec) { c->tail, len - direct };
	}
	got = v->ops->pull(c->host, v->gather_iov, entries);
	*ret_direct = direct;
	if (got >= 0 && (size_t)got == len) {
		c->message_len = (uint32_t)len;
		c->tail_at = 0;
		c->tail_len = (uint32_t)(len - direct);
		conn_charge(v, c);
		return got;
	}
	free(c->tail);
	c->tail = NULL;
	return got < 0 ? got : -EIO; /* not what next() said */
}

unsigned int rx_message(struct vsock *v, struct vsock_conn *c,
			struct vsock_buf *bufs, unsigned int n)
{
	unsigned int used = 0;
	size_t direct;
	ssize_t len;

	if (c->tail_len)
		return go_on(v, c, bufs, n);
	len = v->ops->next(c->host);
	if (len <= 0) {
		rx_ended(v, c, len);
		return 0;
	}
	/* A buffer of no size is one that the guest has yet to tell of. */
	if (c->sent == c->peer_fwd_cnt && c->peer_buf_alloc &&
	    (size_t)len > c->peer_buf_alloc) {
		too_long(v, c);
		return 0;
	}
	if (!credit_fits(c, (uint32_t)len, packets(bufs, n, (size_t)len))) {
		c->need = (uint32_t)len;
		wait_for_credit(v, c);
		return 0;
	}
	len = take(v, c, bufs, n, (size_t)len, &direct);
	if (len < 0) {
		rx_ended(v, c, len);
		return 0;
	}
	while (direct) {
		size_t part = rx_room(&bufs[used]);

		if (part > direct)
			part = direct;
		direct -= part;
		put(v, c, &bufs[used++], (uint32_t)part,
		    !direct && !c->tail_len);
	}
	rx_next(v, c);
	return used;
}
