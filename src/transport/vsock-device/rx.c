/* SPDX-License-Identifier: MIT */
/*
 * rx.c - packets to the guest
 *
 * Control packets first: resets for packets of no connection, then what
 * connections have to say, at most one packet of each kind per connection.
 * Then data, round robin, a quantum of each; a host end reads straight into
 * as many of the guest's buffers as one quantum needs, and the headers are
 * written in front afterwards. (Messages: rx-message.c)
 */
#include "transport/vsock-device/conn.h"

#include <errno.h>

static void put(struct vsock *v, struct vsock_buf *b,
		const struct vsock_header *h)
{
	uint8_t raw[VSOCK_HEADER];

	vsock_header_encode(h, raw);
	(void)vsock_iov_write(b->iov, b->n, raw, sizeof(raw));
	b->used = VSOCK_HEADER + h->len;
	v->stats.rx_packets++;
}

void rx_put(struct vsock *v, struct vsock_conn *c, struct vsock_buf *b,
	    enum vsock_op op, uint32_t len, uint32_t flags)
{
	const struct vsock_header h = {
		.src_cid = c->peer_cid,
		.dst_cid = v->guest_cid,
		.src_port = c->host_port,
		.dst_port = c->guest_port,
		.len = len,
		.type = (uint16_t)c->type,
		.op = (uint16_t)op,
		.flags = flags,
		.buf_alloc = VSOCK_BUF_ALLOC,
		.fwd_cnt = c->fwd_cnt,
	};

	put(v, b, &h);
	/* every packet carries it */
	c->told_fwd_cnt = c->fwd_cnt;
	c->pending &= (uint8_t)~SEND_CREDIT;
}

static void put_reply(struct vsock *v, struct vsock_buf *b)
{
	const struct reply *r = &v->replies[v->reply_first];
	const struct vsock_header h = {
		.src_cid = r->cid,
		.dst_cid = v->guest_cid,
		.src_port = r->host_port,
		.dst_port = r->guest_port,
		.type = r->type,
		.op = VSOCK_OP_RST,
	};

	put(v, b, &h);
	v->reply_first = (v->reply_first + 1) % VSOCK_REPLIES_MAX;
	v->reply_count--;
}

/* One packet of the first connection that has something to say. */
static void put_control(struct vsock *v, struct vsock_buf *b)
{
	struct vsock_conn *c = TAILQ_FIRST(&v->control);

	TAILQ_REMOVE(&v->control, c, control);
	if (c->pending & SEND_REQUEST) {
		c->pending &= (uint8_t)~SEND_REQUEST;
		rx_put(v, c, b, VSOCK_OP_REQUEST, 0, 0);
	} else if (c->pending & SEND_RESPONSE) {
		c->pending &= (uint8_t)~SEND_RESPONSE;
		rx_put(v, c, b, VSOCK_OP_RESPONSE, 0, 0);
	} else if (c->pending & SEND_SHUTDOWN) {
		c->pending &= (uint8_t)~SEND_SHUTDOWN;
		rx_put(v, c, b, VSOCK_OP_SHUTDOWN, 0, c->host_shut);
		if (c->host_shut == VSOCK_SHUT_BOTH) {
			if (c->pending)
				TAILQ_INSERT_TAIL(&v->control, c, control);
			conn_linger(v, c);
			return;
		}
	} else if (c->pending & SEND_RST) {
		c->pending = 0;
		rx_put(v, c, b, VSOCK_OP_RST, 0, 0);
		conn_free(v, c);
		return;
	} else if (c->pending & SEND_CREDIT_REQUEST) {
		c->pending &= (uint8_t)~SEND_CREDIT_REQUEST;
		rx_put(v, c, b, VSOCK_OP_CREDIT_REQUEST, 0, 0);
	} else {
		rx_put(v, c, b, VSOCK_OP_CREDIT_UPDATE, 0, 0);
	}
	if (c->pending)
		TAILQ_INSERT_TAIL(&v->control, c, control);
}

size_t rx_room(const struct vsock_buf *b)
{
	size_t n = b->len > VSOCK_HEADER ? b->len - VSOCK_HEADER : 0;

	return n < VSOCK_PAYLOAD_MAX ? n : VSOCK_PAYLOAD_MAX;
}

/* The guest's buffers, behind their headers, as one list of at most @budget
 * bytes and @max buffers. Return: its bytes; @ret_n: its entries */
size_t rx_iov(struct vsock *v, const struct vsock_buf *bufs, unsigned int max,
	      size_t budget, unsigned int *ret_n)
{
	struct iovec *iov = v->gather_iov; /* nothing is gathered now */
	unsigned int n = 0;
	size_t total = 0;

	for (unsigned int i = 0; i < max && total < budget; i++) {
		size_t want = rx_room(&bufs[i]), got;

		/* a buffer as a whole, or not at all */
		if (n + bufs[i].n > VSOCK_IOV_MAX && i)
			break;
		if (want > budget - total)
			want = budget - total;
		n += vsock_iov_slice(bufs[i].iov, bufs[i].n, VSOCK_HEADER, want,
				     iov + n, VSOCK_IOV_MAX - n, &got);
		total += got;
	}
	*ret_n = n;
	return total;
}

void rx_next(struct vsock *v, struct vsock_conn *c)
{
	TAILQ_REMOVE(&v->ready, c, ready);
	TAILQ_INSERT_TAIL(&v->ready, c, ready);
}

/*
 * The guest counts unread packets, and resets the connection when there are
 * too many. From half of that on only full buffers are sent, or what has
 * waited for a while. Return: of @n buffers, those to be used; *@budget: bytes
 */
static unsigned int crowded(struct vsock *v, struct vsock_conn *c,
			    const struct vsock_buf *bufs, unsigned int n,
			    size_t *budget)
{
	size_t waiting = v->ops->waiting(c->host), total = 0;
	unsigned int i;

	if (!waiting)
		return n; /* pull() tells what that means */
	if (waiting > *budget)
		waiting = *budget;
	for (i = 0; i < n && total + rx_room(&bufs[i]) <= waiting; i++)
		total += rx_room(&bufs[i]);
	if (!i && waiting == *budget)
		return n; /* more would not fit anyway */
	*budget = total;
	return i;
}

void rx_ended(struct vsock *v, struct vsock_conn *c, ssize_t got)
{
	conn_ready(v, c, false);
	if (got == -EFAULT || got == -ENOMEM)
		conn_failed(v, c, got);
	else if (got != -EAGAIN)
		conn_host_shut(v, c, VSOCK_SHUT_SEND);
}

/*
 * One quantum of @c into @bufs, all of which have room. Return: buffers used.
 */
static unsigned int put_data(struct vsock *v, struct vsock_conn *c,
			     struct vsock_buf *bufs, unsigned int n)
{
	size_t budget = credit_free(c);
	unsigned int entries, used = 0;
	ssize_t got;

	n = budget ? credit_reserve(c, n) : 0;
	if (!n) {
		/* unblock() goes on; without memory, the next edge does */
		c->blocked = true;
		conn_ready(v, c, false);
		conn_stalled(v, c, true);
		return 0;
	}
	if (!c->gathered && credit_crowded(c)) {
		n = crowded(v, c, bufs, n, &budget);
		if (!n) {
			conn_gather(v, c);
			return 0;
		}
	}
	c->gathered = false;
	if (budget > VSOCK_QUANTUM)
		budget = VSOCK_QUANTUM;
	rx_iov(v, bufs, n, budget, &entries);
	got = v->ops->pull(c->host, v->gather_iov, entries);
	if (got <= 0) {
		rx_ended(v, c, got);
		return 0;
	}
	while (got > 0) {
		size_t part = rx_room(&bufs[used]);

		if (part > (size_t)got)
			part = (size_t)got;
		credit_sent(c, (uint32_t)part);
		rx_put(v, c, &bufs[used++], VSOCK_OP_RW, (uint32_t)part, 0);
		got -= (ssize_t)part;
	}
	rx_next(v, c);
	return used;
}

bool vsock_rx_wanted(const struct vsock *v)
{
	return v->reply_count || !TAILQ_EMPTY(&v->control) ||
	       !TAILQ_EMPTY(&v->ready);
}

unsigned int vsock_rx(struct vsock *v, struct vsock_buf *bufs, unsigned int n)
{
	unsigned int i = 0, with_room;
	struct vsock_conn *c;

	while (i < n && vsock_rx_wanted(v)) {
		struct vsock_buf *b = &bufs[i];

		b->used = 0;
		if (b->len < VSOCK_HEADER) {
			i++; /* too small for anything */
		} else if (v->reply_count) {
			put_reply(v, b);
			i++;
		} else if (!TAILQ_EMPTY(&v->control)) {
			put_control(v, b);
			i++;
		} else if (!rx_room(b)) {
			i++; /* no control packet to use it for */
		} else {
			with_room = 1;
			while (i + with_room < n &&
			       rx_room(&bufs[i + with_room]))
				with_room++;
			c = TAILQ_FIRST(&v->ready);
			i += c->type == VSOCK_STREAM
				     ? put_data(v, c, b, with_room)
				     : rx_message(v, c, b, with_room);
		}
	}
	return i;
}
