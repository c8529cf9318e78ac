/* SPDX-License-Identifier: MIT */
/*
 * ring-out.c - the ring that is written, see ring.h
 *
 * Payload is put into the guest's pages by whoever asked for room; only headers
 * and trailers are copied there. Room is described as a run of full packets and
 * a last one; however many bytes then come, each packet starts where it was
 * planned, and the last ends earlier.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ring-internal.h"

#define LEAST (RING_OVERHEAD + 8) /* of a packet with data */

static uint32_t up8(uint32_t n)
{
	return (n + 7) & ~7u;
}

int ring_out_start(struct ring_out *out, uint32_t packet)
{
	uint32_t write = ring_load(&out->r, RING_WRITE);

	if (!ring_valid(&out->r, write) ||
	    !ring_valid(&out->r, ring_load(&out->r, RING_READ)))
		return -EPROTO;
	out->write = write;
	out->packet = packet;
	out->offered = out->usable = out->pending = 0;
	out->held = out->fin_wanted = out->fin_sent = false;
	ring_store(&out->r, RING_PENDING, 0);
	ring_store(&out->r, RING_FEATURES, RING_FEATURE_PENDING_SEND);
	return 0;
}

int ring_out_restore(struct ring_out *out, uint32_t packet, uint32_t write,
		     uint32_t pending)
{
	if (!ring_valid(&out->r, write) || pending > out->r.size)
		return -EPROTO;
	out->write = write;
	out->packet = packet;
	out->pending = pending;
	return 0;
}

uint32_t ring_out_read_index(const struct ring_out *out)
{
	uint32_t read = ring_load(&out->r, RING_READ);

	return ring_valid(&out->r, read) ? read : 0;
}

/* Free bytes, of which one packet may use all but 8. Return: 0 or -EPROTO. */
static int free_bytes(const struct ring_out *out, uint32_t *ret)
{
	uint32_t read = ring_load(&out->r, RING_READ);

	if (!ring_valid(&out->r, read))
		return -EPROTO;
	*ret = out->r.size - ring_distance(&out->r, read, out->write);
	return 0;
}

static void set_pending(struct ring_out *out, uint32_t pending)
{
	if (pending == out->pending)
		return;
	out->pending = pending;
	ring_store(&out->r, RING_PENDING, pending);
}

/* Is there room for a packet of @total ring bytes? If not, the guest is asked
 * to ring when there are @pending (0: it is not asked). Return: free bytes, 0,
 * -EPROTO. */
static int64_t need(struct ring_out *out, uint32_t total, uint32_t pending)
{
	uint32_t room;

	if (free_bytes(out, &room) < 0)
		return -EPROTO;
	if (room > total)
		return room;
	if (!pending)
		return 0;
	if (pending > out->r.size - 8)
		pending = out->r.size - 8;
	set_pending(out, pending);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (free_bytes(out, &room) < 0)
		return -EPROTO;
	if (room <= total)
		return 0;
	set_pending(out, 0);
	return room;
}

/* A quarter of the ring: fewer doorbells, and larger packets, than for the
 * first few bytes that the guest gives back. */
static uint32_t lump(const struct ring_out *out, uint32_t total)
{
	uint32_t quarter = up8(out->r.size / 4);

	return total > quarter ? total : quarter;
}

/* All up to @write is the guest's. Return: it has to be told. */
static bool publish(struct ring_out *out, uint32_t write)
{
	uint32_t was = out->write;

	out->write = write;
	ring_store(&out->r, RING_WRITE, write);
	set_pending(out, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !ring_load(&out->r, RING_MASK) &&
	       ring_load(&out->r, RING_READ) == was;
}

ssize_t ring_out_room(struct ring_out *out, struct iovec *iov, unsigned int max,
		      unsigned int *ret_n, size_t want)
{
	uint32_t at = out->write, left;
	size_t bytes = 0;
	int64_t room;

	*ret_n = 0;
	out->offered = out->usable = 0;
	room = need(out, LEAST, out->held ? 0 : lump(out, LEAST));
	if (room <= 0)
		return (ssize_t)room;
	out->usable = left = (uint32_t)room - 8;
	while (left >= LEAST && (!want || bytes < want)) {
		uint32_t n = left - RING_OVERHEAD, got;

		if (n > out->packet)
			n = out->packet;
		if (want && n > want - bytes)
			n = (uint32_t)(want - bytes);
		got = ring_iov(&out->r,
			       ring_add(&out->r, at, RING_PACKET + RING_PIPE),
			       n, iov, max, ret_n);
		bytes += got;
		if (got < n || *ret_n == max)
			break;
		at = ring_add(&out->r, at, RING_OVERHEAD + up8(n));
		left -= RING_OVERHEAD + up8(n);
	}
	out->offered = (uint32_t)bytes;
	return (ssize_t)bytes;
}

/* Header and end of a packet of @n bytes, which are in their place. Return:
 * where the next one begins. */
static uint32_t frame(const struct ring_out *out, uint32_t at, uint32_t n)
{
	uint8_t head[RING_PACKET + RING_PIPE] = { 0 }, tail[7 + RING_TRAILER];
	uint32_t pad = up8(n) - n;

	le16_put(head, RING_INBAND);
	le16_put(head + 2, RING_PACKET / 8);
	le16_put(head + 4, (uint16_t)((sizeof(head) + n + pad) / 8));
	le32_put(head + RING_PACKET, 1);
	le32_put(head + RING_PACKET + 4, n);
	ring_write(&out->r, at, head, sizeof(head));
	ring_dirty(&out->r, ring_add(&out->r, at, sizeof(head)), n);
	memset(tail, 0, sizeof(tail));
	le32_put(tail + pad + 4, at);
	ring_write(&out->r, ring_add(&out->r, at, (uint32_t)sizeof(head) + n),
		   tail, pad + RING_TRAILER);
	return ring_add(&out->r, at, RING_OVERHEAD + n + pad);
}

int ring_out_produce(struct ring_out *out, size_t bytes, bool *ret_ring)
{
	uint32_t at = out->write, left = out->usable;

	*ret_ring = false;
	if (bytes > out->offered)
		return -EINVAL;
	out->offered = out->usable = 0;
	if (!bytes)
		return 0;
	while (bytes) {
		uint32_t n = left - RING_OVERHEAD;

		if (n > out->packet)
			n = out->packet;
		if (n > bytes)
			n = (uint32_t)bytes;
		at = frame(out, at, n);
		left -= RING_OVERHEAD + up8(n);
		bytes -= n;
	}
	*ret_ring = publish(out, at);
	return 0;
}

int ring_out_fin(struct ring_out *out, bool *ret_ring)
{
	int64_t room;

	*ret_ring = false;
	out->fin_wanted = true;
	if (out->fin_sent)
		return 0;
	out->offered = 0;
	room = need(out, RING_OVERHEAD, RING_OVERHEAD);
	if (room <= 0)
		return room ? -EPROTO : -EAGAIN;
	out->fin_sent = true;
	*ret_ring = publish(out, frame(out, out->write, 0));
	return 0;
}

int ring_out_packet(struct ring_out *out, const void *buf, size_t len,
		    uint64_t transaction, bool *ret_ring)
{
	uint8_t head[RING_PACKET] = { 0 }, tail[7 + RING_TRAILER] = { 0 };
	uint32_t n = (uint32_t)len, pad, total, at = out->write;
	int64_t room;

	*ret_ring = false;
	/* its length in units of 8 bytes is a u16 */
	if (len > 0xffffu * 8 - RING_PACKET ||
	    len > out->r.size - RING_PACKET - RING_TRAILER - 8)
		return -EMSGSIZE;
	pad = up8(n) - n;
	total = RING_PACKET + n + pad + RING_TRAILER;
	if (total >= out->r.size)
		return -EMSGSIZE;
	room = need(out, total, lump(out, total));
	if (room <= 0)
		return room ? -EPROTO : -EAGAIN;
	le16_put(head, RING_INBAND);
	le16_put(head + 2, RING_PACKET / 8);
	le16_put(head + 4, (uint16_t)((RING_PACKET + n + pad) / 8));
	le64_put(head + 8, transaction);
	ring_write(&out->r, at, head, sizeof(head));
	at = ring_add(&out->r, at, sizeof(head));
	ring_write(&out->r, at, buf, n);
	at = ring_add(&out->r, at, n);
	le32_put(tail + pad + 4, out->write);
	ring_write(&out->r, at, tail, pad + RING_TRAILER);
	*ret_ring = publish(out, ring_add(&out->r, at, pad + RING_TRAILER));
	return 0;
}

bool ring_out_lump(const struct ring_out *out)
{
	uint32_t room;

	return free_bytes(out, &room) < 0 || room > lump(out, LEAST);
}

int ring_out_release(struct ring_out *out, bool blocked)
{
	out->held = false;
	if (!blocked)
		return 0;
	set_pending(out, lump(out, LEAST));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_out_unblocked(out);
}

int ring_out_unblocked(struct ring_out *out)
{
	uint32_t room;

	if (!out->pending)
		return 0;
	if (free_bytes(out, &room) < 0)
		return -EPROTO;
	if (room <= out->pending)
		return 0;
	set_pending(out, 0);
	return 1;
}
