/* SPDX-License-Identifier: MIT */
/* ring-internal.h - what ring.c and ring-out.c share: bytes in guest memory */
#ifndef VMBUS_RING_INTERNAL_H
#define VMBUS_RING_INTERNAL_H

#include "vmbus/ring.h"

/* fields of the control page */
#define RING_WRITE 0u
#define RING_READ 4u
#define RING_MASK 8u
#define RING_PENDING 12u
#define RING_FEATURES 64u

uint32_t ring_load(const struct ring *r, unsigned int field);
void ring_store(const struct ring *r, unsigned int field, uint32_t v);
/* An index as it may stand in the control page? */
bool ring_valid(const struct ring *r, uint32_t index);
void ring_read(const struct ring *r, uint32_t at, void *buf, uint32_t len);
void ring_write(const struct ring *r, uint32_t at, const void *buf,
		uint32_t len);
/* @len bytes from @at on have been written by somebody: tell for migration. */
void ring_dirty(const struct ring *r, uint32_t at, uint32_t len);
/* Describe a range; *@n entries are used. Return: bytes for which there were.
 */
uint32_t ring_iov(const struct ring *r, uint32_t at, uint32_t len,
		  struct iovec *iov, unsigned int max, unsigned int *n);

/* @len is at most the ring's size. */
static inline uint32_t ring_add(const struct ring *r, uint32_t at, uint32_t len)
{
	at += len;
	return at >= r->size ? at - r->size : at;
}

static inline uint32_t ring_distance(const struct ring *r, uint32_t from,
				     uint32_t to)
{
	return to >= from ? to - from : to + (r->size - from);
}

static inline uint8_t *ring_at(const struct ring *r, uint32_t at, uint32_t *run)
{
	const struct ring_page *page = &r->pages[at / RING_PAGE];

	*run = page->run - at % RING_PAGE;
	return page->p + at % RING_PAGE;
}

#endif /* VMBUS_RING_INTERNAL_H */
