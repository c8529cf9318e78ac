/* SPDX-License-Identifier: MIT */
/* ring.c - see ring.h: access to guest memory, and the ring that is read */
#include "vmbus/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ring-internal.h"

void ring_init(struct ring *r, void *const *map, const uint64_t *gfn,
	       uint32_t n, struct ring_page *pages)
{
	uint32_t run = 0;

	r->control = map[0];
	r->pages = pages;
	r->gfn = gfn;
	r->size = (n - 1) * RING_PAGE;
	for (uint32_t i = n - 1; i-- > 0;) {
		uint8_t *p = map[i + 1];

		/* the sum of runs fits: a ring is at most 4 GiB by its GPADL */
		run = run && p + RING_PAGE == (uint8_t *)map[i + 2]
			      ? run + RING_PAGE
			      : RING_PAGE;
		pages[i] = (struct ring_page) { .p = p, .run = run };
	}
}

void ring_dirty(const struct ring *r, uint32_t at, uint32_t len)
{
	while (r->written && len) {
		uint32_t in = at % RING_PAGE, part = RING_PAGE - in;

		if (part > len)
			part = len;
		r->written(r->ctx, r->gfn[1 + at / RING_PAGE] << 12 | in, part);
		at = ring_add(r, at, part);
		len -= part;
	}
}

uint32_t ring_load(const struct ring *r, unsigned int field)
{
	return __atomic_load_n((uint32_t *)(void *)(r->control + field),
			       __ATOMIC_ACQUIRE);
}

void ring_store(const struct ring *r, unsigned int field, uint32_t v)
{
	__atomic_store_n((uint32_t *)(void *)(r->control + field), v,
			 __ATOMIC_RELEASE);
	if (r->written)
		r->written(r->ctx, r->gfn[0] << 12 | field, 4);
}

bool ring_valid(const struct ring *r, uint32_t index)
{
	return index < r->size && index % 8 == 0;
}

void ring_read(const struct ring *r, uint32_t at, void *buf, uint32_t len)
{
	uint8_t *to = buf;

	while (len) {
		uint32_t run, part;
		const uint8_t *p = ring_at(r, at, &run);

		part = len < run ? len : run;
		memcpy(to, p, part);
		to += part;
		len -= part;
		at = ring_add(r, at, part);
	}
}

void ring_write(const struct ring *r, uint32_t at, const void *buf,
		uint32_t len)
{
	const uint8_t *from = buf;

	ring_dirty(r, at, len);
	while (len) {
		uint32_t run, part;
		uint8_t *p = ring_at(r, at, &run);

		part = len < run ? len : run;
		memcpy(p, from, part);
		from += part;
		len -= part;
		at = ring_add(r, at, part);
	}
}

uint32_t ring_iov(const struct ring *r, uint32_t at, uint32_t len,
		  struct iovec *iov, unsigned int max, unsigned int *n)
{
	uint32_t done = 0;

	while (done < len && *n < max) {
		uint32_t run, part;
		uint8_t *p = ring_at(r, at, &run);

		part = len - done < run ? len - done : run;
		iov[(*n)++] = (struct iovec) { .iov_base = p, .iov_len = part };
		done += part;
		at = ring_add(r, at, part);
	}
	return done;
}

/* ---- guest to host */

int ring_in_start(struct ring_in *in)
{
	uint32_t read = ring_load(&in->r, RING_READ);

	in->packets = in->few;
	in->cap = RING_IN_INLINE;
	in->head = in->count = 0;
	in->off = 0;
	in->masked = in->held = in->fin = false;
	if (!ring_valid(&in->r, read) ||
	    !ring_valid(&in->r, ring_load(&in->r, RING_WRITE)))
		return -EPROTO;
	in->read = in->parse = in->seen = read;
	ring_store(&in->r, RING_MASK, 0);
	return 0;
}

void ring_in_free(struct ring_in *in)
{
	if (in->packets != in->few)
		free(in->packets);
	in->packets = in->few;
	in->cap = RING_IN_INLINE;
	in->count = 0;
}

bool ring_in_news(const struct ring_in *in)
{
	return !in->fin && ring_load(&in->r, RING_WRITE) != in->parse;
}

bool ring_in_used(const struct ring_in *in)
{
	return ring_load(&in->r, RING_WRITE);
}

bool ring_in_awaited(const struct ring_in *in)
{
	return ring_load(&in->r, RING_PENDING);
}

/* The header of the packet at @in->parse, and the 8 bytes behind it. Return: 1,
 * 0 (nothing there) or -EPROTO. */
static int next_packet(struct ring_in *in,
		       uint8_t head[RING_PACKET + RING_PIPE],
		       uint32_t *ret_offset, uint32_t *ret_len)
{
	uint32_t avail, offset, len;

	if (in->seen == in->parse) {
		in->seen = ring_load(&in->r, RING_WRITE);
		if (!ring_valid(&in->r, in->seen)) {
			in->seen = in->parse;
			return -EPROTO;
		}
	}
	avail = ring_distance(&in->r, in->parse, in->seen);
	if (!avail)
		return 0;
	if (avail < RING_PACKET + RING_TRAILER)
		return -EPROTO;
	ring_read(&in->r, in->parse, head, RING_PACKET + RING_PIPE);
	offset = le16_get(head + 2) * 8u;
	len = le16_get(head + 4) * 8u;
	if (offset < RING_PACKET || len < offset || len > avail - RING_TRAILER)
		return -EPROTO;
	*ret_offset = offset;
	*ret_len = len;
	return 1;
}

/* Nothing was found. From now on the guest rings; what came in between is seen
 * here. Return: look again. */
static bool unmask(struct ring_in *in)
{
	if (!in->masked || in->held)
		return false;
	in->masked = false;
	ring_store(&in->r, RING_MASK, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_load(&in->r, RING_WRITE) != in->parse;
}

bool ring_in_release(struct ring_in *in)
{
	in->held = false;
	/* who has not consumed all will look again */
	if (!in->count)
		(void)unmask(in);
	return !in->count && ring_in_news(in);
}

static void mask(struct ring_in *in)
{
	if (in->masked)
		return;
	in->masked = true;
	ring_store(&in->r, RING_MASK, 1);
}

/* The guest gets back what lies before @read. Return: it waits for that. */
static bool commit(struct ring_in *in, uint32_t read)
{
	uint32_t pending, write, was = in->read;

	if (read == was)
		return false;
	in->read = read;
	ring_store(&in->r, RING_READ, read);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	pending = ring_load(&in->r, RING_PENDING);
	if (!pending)
		return false;
	write = ring_load(&in->r, RING_WRITE);
	if (!ring_valid(&in->r, write))
		return false; /* the next look at it tells */
	return in->r.size - ring_distance(&in->r, was, write) <= pending &&
	       in->r.size - ring_distance(&in->r, read, write) > pending;
}

static bool remember(struct ring_in *in, const struct ring_packet *packet)
{
	if (in->head && in->head + in->count == in->cap) {
		memmove(in->packets, in->packets + in->head,
			in->count * sizeof(*in->packets));
		in->head = 0;
	}
	if (in->count == in->cap) {
		bool few = in->packets == in->few;
		struct ring_packet *more = realloc(few ? NULL : in->packets,
						   2 * in->cap * sizeof(*more));

		if (!more)
			return false;
		if (few)
			memcpy(more, in->few, sizeof(in->few));
		in->packets = more;
		in->cap *= 2;
	}
	in->packets[in->head + in->count++] = *packet;
	return true;
}

/* One more packet of a pipe. Return: 1, 0 (none, or no memory to remember it:
 * what was described before has to be consumed first) or -EPROTO. */
static int parse_pipe(struct ring_in *in)
{
	uint8_t head[RING_PACKET + RING_PIPE], *pipe = head + RING_PACKET;
	struct ring_packet packet;
	uint32_t offset, len;
	int r;

	if (in->fin)
		return 0;
	r = next_packet(in, head, &offset, &len);
	if (r <= 0)
		return r;
	if (le16_get(head) != RING_INBAND || len - offset < RING_PIPE)
		return -EPROTO;
	if (offset != RING_PACKET)
		ring_read(&in->r, ring_add(&in->r, in->parse, offset), pipe,
			  RING_PIPE);
	packet.len = le32_get(pipe + 4);
	if (le32_get(pipe) != 1 || packet.len > len - offset - RING_PIPE)
		return -EPROTO;
	packet.data = ring_add(&in->r, in->parse, offset + RING_PIPE);
	packet.total = len + RING_TRAILER;
	if (!packet.len)
		in->fin = true;
	else if (!remember(in, &packet))
		return 0;
	in->parse = ring_add(&in->r, in->parse, packet.total);
	return 1;
}

int ring_in_restore(struct ring_in *in, uint32_t read, uint32_t off,
		    bool masked, bool fin)
{
	if (!ring_valid(&in->r, read))
		return -EPROTO;
	in->read = in->parse = in->seen = read;
	in->off = off;
	in->masked = masked;
	in->fin = fin;
	return 0;
}

int ring_in_check(struct ring_in *in)
{
	if (!in->off || in->count)
		return 0;
	return parse_pipe(in) > 0 && in->count &&
			       in->off < in->packets[in->head].len
		       ? 0
		       : -EPROTO;
}

ssize_t ring_in_peek(struct ring_in *in, struct iovec *iov, unsigned int max,
		     unsigned int *ret_n, bool *ret_ring)
{
	uint32_t off = in->off, got;
	unsigned int i = 0;
	size_t bytes = 0;

	*ret_n = 0;
	*ret_ring = false;
	for (;;) {
		const struct ring_packet *p;

		if (i == in->count) {
			int r = *ret_n < max ? parse_pipe(in) : 0;

			/* What was good before it is still the reader's. */
			if (r < 0 && !in->count)
				return r;
			if (r <= 0 || in->fin) {
				if (i || in->fin || !unmask(in))
					break;
				continue;
			}
			mask(in);
		}
		p = &in->packets[in->head + i++];
		got = ring_iov(&in->r, ring_add(&in->r, p->data, off),
			       p->len - off, iov, max, ret_n);
		bytes += got;
		if (got < p->len - off)
			break;
		off = 0;
	}
	if (ring_in_eof(in))
		*ret_ring = commit(in, in->parse);
	return (ssize_t)bytes;
}

int ring_in_consume(struct ring_in *in, size_t bytes, bool *ret_ring)
{
	uint32_t read = in->read;

	*ret_ring = false;
	while (bytes) {
		const struct ring_packet *p = &in->packets[in->head];

		if (!in->count)
			return -EINVAL;
		if (bytes < p->len - in->off) {
			in->off += (uint32_t)bytes;
			break;
		}
		bytes -= p->len - in->off;
		in->off = 0;
		read = ring_add(&in->r, read, p->total);
		in->head++;
		if (!--in->count)
			in->head = 0;
	}
	if (ring_in_eof(in))
		read = in->parse;
	*ret_ring = commit(in, read);
	return 0;
}

ssize_t ring_in_packet(struct ring_in *in, void *buf, size_t size,
		       uint64_t *ret_transaction, bool *ret_ring)
{
	uint8_t head[RING_PACKET + RING_PIPE];
	uint32_t offset, len;
	int r;

	*ret_ring = false;
	while ((r = next_packet(in, head, &offset, &len)) == 0)
		if (!unmask(in))
			return -EAGAIN;
	if (r < 0)
		return r;
	mask(in);
	if (len - offset <= size) {
		ring_read(&in->r, ring_add(&in->r, in->parse, offset), buf,
			  len - offset);
		*ret_transaction = le64_get(head + 8);
	}
	in->parse = ring_add(&in->r, in->parse, len + RING_TRAILER);
	*ret_ring = commit(in, in->parse);
	return len - offset <= size ? (ssize_t)(len - offset) : -EMSGSIZE;
}
