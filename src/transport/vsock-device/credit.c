/* SPDX-License-Identifier: MIT */
/*
 * credit.c - how much may be sent, and when the guest is to be told
 *
 * All counters are mod 2^32. Besides bytes, packets are counted: a Linux guest
 * resets a connection whose unread packets, at 576 bytes each, exceed its
 * buffer. A packet retires when the guest's count reaches its end.
 */
#include <errno.h>
#include <stdlib.h>

#include "transport/vsock-device/conn.h"

#define PACKET_COST 576u
#define PACKETS_SPARE 8u
#define PACKETS_MAX 448u /* a power of two holds them: see credit_reserve() */
#define MARKS_MAX 512u

static void retire(struct vsock_conn *c)
{
	while (c->mark_count) {
		uint32_t end = c->marks[c->mark_first];

		if ((int32_t)(c->peer_fwd_cnt - end) < 0)
			break;
		c->mark_first = (c->mark_first + 1) & (c->mark_size - 1);
		c->mark_count--;
	}
}

int credit_update(struct vsock_conn *c, const struct vsock_header *h)
{
	uint32_t flying = c->sent - h->fwd_cnt;

	/*
	 * More consumed than sent: nonsense. Less than before is a packet that
	 * was overtaken by another one, which Linux can do: ignored.
	 */
	if (flying > INT32_MAX)
		return -EPROTO;
	c->peer_buf_alloc = h->buf_alloc;
	if (flying <= c->sent - c->peer_fwd_cnt) {
		c->peer_fwd_cnt = h->fwd_cnt;
		retire(c);
	}
	return 0;
}

static unsigned int packet_limit(const struct vsock_conn *c)
{
	unsigned int n = c->peer_buf_alloc / PACKET_COST;

	n = n > PACKETS_SPARE ? n - PACKETS_SPARE : 1;
	return n < PACKETS_MAX ? n : PACKETS_MAX;
}

unsigned int credit_packets(const struct vsock_conn *c)
{
	unsigned int limit = packet_limit(c);

	return c->mark_count < limit ? limit - c->mark_count : 0;
}

bool credit_crowded(const struct vsock_conn *c)
{
	return c->mark_count && c->mark_count >= packet_limit(c) / 2;
}

uint32_t credit_free(const struct vsock_conn *c)
{
	uint32_t flying = c->sent - c->peer_fwd_cnt;
	/* never further ahead than the counters can tell apart */
	uint32_t window = c->peer_buf_alloc < INT32_MAX / 2 ? c->peer_buf_alloc
							    : INT32_MAX / 2;

	/* the guest may have made its buffer smaller than what is flying */
	return window > flying ? window - flying : 0;
}

unsigned int credit_reserve(struct vsock_conn *c, unsigned int n)
{
	unsigned int room = credit_packets(c);
	unsigned int size = c->mark_size ? c->mark_size : 16;
	uint32_t *marks;

	if (n > room)
		n = room;
	if (!n || c->mark_count + n <= c->mark_size)
		return n;
	while (size < c->mark_count + n)
		size *= 2;
	marks = malloc(size * sizeof(*marks));
	if (!marks)
		return c->mark_size - c->mark_count; /* fewer, for now */
	for (unsigned int i = 0; i < c->mark_count; i++)
		marks[i] = c->marks[(c->mark_first + i) & (c->mark_size - 1)];
	free(c->marks);
	c->marks = marks;
	c->mark_size = (uint16_t)size;
	c->mark_first = 0;
	return n;
}

void credit_sent(struct vsock_conn *c, uint32_t len)
{
	c->sent += len;
	/* a message of more packets than there are marks: see credit_fits() */
	if (c->mark_count == c->mark_size)
		c->mark_count--;
	c->marks[(c->mark_first + c->mark_count++) & (c->mark_size - 1)] =
		c->sent;
}

/*
 * A guest hands out whole messages only, and credit comes back only for these:
 * one that has begun must not have to wait. Therefore all of it has to fit
 * first. With nothing under way there is nothing to wait for, and so as many
 * packets as it takes are sent, whatever their number.
 */
bool credit_fits(struct vsock_conn *c, uint32_t len, unsigned int packets)
{
	if (credit_free(c) < len ||
	    (c->mark_count && credit_packets(c) < packets))
		return false;
	if (packets > PACKETS_MAX)
		packets = PACKETS_MAX;
	return credit_reserve(c, packets) > 0;
}

bool credit_enough(const struct vsock_conn *c)
{
	if (c->type == VSOCK_STREAM || c->tail_len)
		return credit_free(c) && (c->tail_len || credit_packets(c));
	/* with nothing under way it fits now, or never */
	return c->sent == c->peer_fwd_cnt || credit_free(c) >= c->need;
}

bool credit_due(const struct vsock_conn *c)
{
	uint32_t untold = c->fwd_cnt - c->told_fwd_cnt;
	uint32_t seen = c->received - c->told_fwd_cnt; /* in flight, to it */
	uint32_t window = VSOCK_BUF_ALLOC;

	if (!untold)
		return false;
	/* Linux uses at most its own buffer's size of ours. */
	if (c->peer_buf_alloc < window)
		window = c->peer_buf_alloc;
	return untold >= 65536 || untold >= window / 4 || seen + 65536 > window;
}
