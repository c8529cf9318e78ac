/* SPDX-License-Identifier: MIT */
/* message-queue.c - see message-queue.h */
#include "transport/message-queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNIT 4096u
#define LENGTH_MAX 4u /* bytes of one */

/* Room for @more bytes behind what is there. */
static int reserve(struct message_bytes *b, size_t more)
{
	size_t size;
	uint8_t *p;

	/* moved only if a quarter was read meanwhile: so it is cheap, and no
	 * more than a quarter is lost */
	if (b->at >= b->len / 4 && b->at + b->len + more > b->size) {
		if (b->len)
			memmove(b->p, b->p + b->at, b->len);
		b->at = 0;
	}
	if (b->at + b->len + more <= b->size)
		return 0;
	size = (b->at + b->len + more + UNIT - 1) / UNIT * UNIT;
	p = realloc(b->p, size);
	if (!p)
		return -ENOMEM;
	b->p = p;
	b->size = size;
	return 0;
}

static void drop(struct message_bytes *b)
{
	free(b->p);
	*b = (struct message_bytes) { .p = NULL };
}

static void consume(struct message_bytes *b, size_t n)
{
	b->at += n;
	b->len -= n;
	if (!b->len)
		drop(b);
}

/* Seven bits each, the lowest first; the top bit: more follow. */
static size_t length_put(uint8_t *p, size_t len)
{
	size_t n = 0;

	while (len > 127) {
		p[n++] = (uint8_t)(len | 128);
		len >>= 7;
	}
	p[n++] = (uint8_t)len;
	return n;
}

static size_t length_get(const uint8_t *p, size_t *ret)
{
	size_t n = 0, len = 0;

	do
		len |= (size_t)(p[n] & 127) << (7 * n);
	while (p[n++] & 128);
	*ret = len;
	return n;
}

int message_queue_add(struct message_queue *q, const struct iovec *iov,
		      unsigned int n)
{
	struct message_bytes *d = &q->data, *l = &q->lengths;
	size_t len = 0;

	for (unsigned int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (reserve(d, len) < 0 || reserve(l, LENGTH_MAX) < 0)
		return -ENOMEM;
	l->len += length_put(l->p + l->at + l->len, len);
	for (unsigned int i = 0; i < n; i++) {
		memcpy(d->p + d->at + d->len, iov[i].iov_base, iov[i].iov_len);
		d->len += iov[i].iov_len;
	}
	return 0;
}

bool message_queue_next(const struct message_queue *q, struct message_place *at,
			struct iovec *ret)
{
	if (at->length == q->lengths.len)
		return false;
	ret->iov_base = q->data.p + q->data.at + at->data;
	at->length += length_get(q->lengths.p + q->lengths.at + at->length,
				 &ret->iov_len);
	at->data += ret->iov_len;
	return true;
}

bool message_queue_first(const struct message_queue *q, struct iovec *ret)
{
	struct message_place at = { 0 };

	return message_queue_next(q, &at, ret);
}

void message_queue_pop(struct message_queue *q)
{
	size_t len, n = length_get(q->lengths.p + q->lengths.at, &len);

	consume(&q->data, len);
	consume(&q->lengths, n);
}

void message_queue_drop(struct message_queue *q)
{
	drop(&q->data);
	drop(&q->lengths);
}
