/* SPDX-License-Identifier: MIT */
/* guest-ring.c - the guest's end of both rings, see guest.h */
#include <errno.h>
#include <string.h>

#include "guest.h"

enum { WRITE, READ, MASK, PENDING, FEATURES = 16 };

static uint32_t load(const struct vg_ring *r, int field)
{
	return __atomic_load_n(&r->control[field], __ATOMIC_ACQUIRE);
}

static void store(struct vg_ring *r, int field, uint32_t v)
{
	__atomic_store_n(&r->control[field], v, __ATOMIC_RELEASE);
}

static void barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void vg_ring_init(struct vg_ring *r)
{
	store(r, READ, 0);
	store(r, WRITE, 0);
	store(r, FEATURES, 1);
	r->priv = 0;
}

uint32_t vg_ring_to_write(const struct vg_ring *r)
{
	uint32_t read = load(r, READ), write = load(r, WRITE);

	return write >= read ? r->size - (write - read) : read - write;
}

uint32_t vg_ring_to_read(const struct vg_ring *r)
{
	return r->size - vg_ring_to_write(r);
}

/* Bytes from @at on that lie together: the kernel maps a ring in one piece. */
static uint32_t together(const struct vg_ring *r, uint32_t at, uint32_t most)
{
	uint32_t page = at / VG_PAGE, n = VG_PAGE - at % VG_PAGE;

	while (n < most && ++page < r->size / VG_PAGE &&
	       r->page[page] == r->page[page - 1] + VG_PAGE)
		n += VG_PAGE;
	return n < most ? n : most;
}

void vg_ring_copy_in(struct vg_ring *r, uint32_t at, const void *buf,
		     uint32_t len)
{
	while (at >= r->size)
		at -= r->size;
	for (uint32_t i = 0; i < len;) {
		uint32_t n = together(r, at, len - i);

		memcpy(r->page[at / VG_PAGE] + at % VG_PAGE,
		       (const uint8_t *)buf + i, n);
		i += n;
		at += n;
		if (at == r->size)
			at = 0;
	}
}

void vg_ring_copy_out(const struct vg_ring *r, uint32_t at, void *buf,
		      uint32_t len)
{
	while (at >= r->size)
		at -= r->size;
	for (uint32_t i = 0; i < len;) {
		uint32_t n = together(r, at, len - i);

		memcpy((uint8_t *)buf + i, r->page[at / VG_PAGE] + at % VG_PAGE,
		       n);
		i += n;
		at += n;
		if (at == r->size)
			at = 0;
	}
}

int vg_ring_write(struct vg_ring *r, const void *head, uint32_t head_len,
		  const void *buf, uint32_t len, uint64_t transaction,
		  bool *ret_signal)
{
	uint32_t body = head_len + len, whole = 16 + (body + 7) / 8 * 8;
	uint32_t was = load(r, WRITE), at = was;
	struct {
		uint16_t type, offset8, length8, flags;
		uint64_t transaction;
	} packet = { 6, 2, (uint16_t)(whole / 8), 0, transaction };
	static const uint8_t zero[8];
	uint64_t trailer = (uint64_t)was << 32;

	*ret_signal = false;
	if (vg_ring_to_write(r) <= whole + 8)
		return -EAGAIN;
	vg_ring_copy_in(r, at, &packet, 16);
	vg_ring_copy_in(r, at + 16, head, head_len);
	vg_ring_copy_in(r, at + 16 + head_len, buf, len);
	vg_ring_copy_in(r, at + 16 + body, zero, whole - 16 - body);
	vg_ring_copy_in(r, at + whole, &trailer, 8);
	barrier();
	store(r, WRITE, (at + whole + 8) % r->size);
	barrier();
	if (!load(r, MASK))
		*ret_signal = was == load(r, READ);
	return 0;
}

uint32_t vg_ring_first(struct vg_ring *r, uint8_t head[16])
{
	uint32_t write = load(r, WRITE);
	uint32_t avail = (write + r->size - r->priv) % r->size, len;

	if (avail < 16)
		return 0;
	vg_ring_copy_out(r, r->priv, head, 16);
	len = (uint32_t)(head[4] | head[5] << 8) * 8;
	return len < 16 || len + 8 > avail ? UINT32_MAX : len;
}

void vg_ring_next(struct vg_ring *r, uint32_t len)
{
	r->priv = (r->priv + len + 8) % r->size;
}

bool vg_ring_commit(struct vg_ring *r)
{
	uint32_t was = load(r, READ), pending, room, got;

	store(r, READ, r->priv);
	barrier();
	pending = load(r, PENDING);
	if (!pending)
		return false;
	barrier();
	room = vg_ring_to_write(r);
	got = (r->priv + r->size - was) % r->size;
	return room - got <= pending && room > pending;
}
