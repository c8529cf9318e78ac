/* SPDX-License-Identifier: MIT */
/* vring.c - see vring.h */
#include "transport/vhost-user/vring.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define DESC_SIZE 16u

/* Places in the avail and used rings. */
#define RING_FLAGS 0u
#define RING_IDX 2u
#define RING_ENTRIES 4u
#define USED_ELEM 8u

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

_Static_assert(sizeof(struct desc) == DESC_SIZE, "a descriptor's layout");

static uint16_t *u16_at(uint8_t *p, size_t off)
{
	return (uint16_t *)(void *)(p + off);
}

static uint16_t get16(uint8_t *p, size_t off)
{
	return __atomic_load_n(u16_at(p, off), __ATOMIC_ACQUIRE);
}

static void put16(uint8_t *p, size_t off, uint16_t v)
{
	__atomic_store_n(u16_at(p, off), v, __ATOMIC_RELEASE);
}

static size_t used_event_off(const struct vqueue *q)
{
	return RING_ENTRIES + 2u * q->num; /* in avail */
}

static size_t avail_event_off(const struct vqueue *q)
{
	return RING_ENTRIES + USED_ELEM * q->num; /* in used */
}

int vring_map(struct vqueue *q, struct gmem *g, uint64_t desc, uint64_t avail,
	      uint64_t used)
{
	uint8_t *d, *a, *u;

	if (desc % 16 || avail % 2 || used % 4)
		return -EINVAL;
	d = gmem_uva(g, desc, (size_t)DESC_SIZE * q->num);
	a = gmem_uva(g, avail, used_event_off(q) + 2);
	u = gmem_uva(g, used, avail_event_off(q) + 2);
	if (!d || !a || !u)
		return -EFAULT;
	/* the file's offset may spoil what the address promised */
	if ((uintptr_t)d % 16 || (uintptr_t)a % 2 || (uintptr_t)u % 4)
		return -EINVAL;
	q->desc = d;
	q->avail = a;
	q->used = u;
	return 0;
}

int vring_start(struct vqueue *q)
{
	uint16_t used = get16(q->used, RING_IDX);

	if ((uint16_t)(q->last_avail - used) > q->num)
		return -EINVAL;
	q->used_idx = used;
	q->told_used = used;
	q->broken = false;
	vring_disarm(q);
	return 0;
}

void vring_start_at_used(struct vqueue *q)
{
	q->last_avail = get16(q->used, RING_IDX);
	(void)vring_start(q);
}

static int broken(struct vqueue *q, int err)
{
	q->broken = true;
	return err;
}

/* One descriptor, copied once: @table may be in the ring or in a buffer. */
static struct desc desc_get(const uint8_t *p)
{
	struct desc d;

	memcpy(&d, p, sizeof(d));
	/* no second look: see vsock_iov_read() */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return d;
}

/* One of an indirect table, which may straddle regions. */
static int desc_get_at(struct gmem *g, uint64_t addr, struct desc *ret)
{
	struct iovec iov[2];
	uint8_t raw[DESC_SIZE];
	size_t at = 0;
	int n;

	n = gmem_iov(g, addr, DESC_SIZE, iov, 2);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		memcpy(raw + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	*ret = desc_get(raw);
	return 0;
}

static int add_buffer(struct gmem *g, struct vring_chain *c, struct iovec *iov,
		      const struct desc *d)
{
	bool writable = d->flags & VRING_DESC_F_WRITE;
	unsigned int at = c->readable + c->writable;
	int n;

	if (!writable && c->writable)
		return -EINVAL; /* readable after writable */
	if (!d->len)
		return 0;
	n = gmem_iov(g, d->addr, d->len, iov + at, VRING_IOV_MAX - at);
	if (n < 0)
		return n;
	if (writable) {
		c->writable += (unsigned int)n;
		c->writable_len += d->len;
	} else {
		c->readable += (unsigned int)n;
		c->readable_len += d->len;
	}
	return 0;
}

static int walk_indirect(struct vqueue *q, struct gmem *g,
			 struct vring_chain *c, struct iovec *iov,
			 const struct desc *table)
{
	uint32_t count = table->len / DESC_SIZE, at = 0, seen = 0;
	uint64_t addr;
	struct desc d;
	int r;

	if (!q->indirect || table->flags & VRING_DESC_F_NEXT || !table->len ||
	    table->len % DESC_SIZE || count > q->num)
		return -EINVAL;
	do {
		if (at >= count || seen++ == count)
			return -EINVAL; /* outside, or a loop */
		if (__builtin_add_overflow(table->addr,
					   (uint64_t)at * DESC_SIZE, &addr))
			return -EFAULT;
		r = desc_get_at(g, addr, &d);
		if (r == 0 && d.flags & VRING_DESC_F_INDIRECT)
			r = -EINVAL;
		if (r == 0)
			r = add_buffer(g, c, iov, &d);
		if (r < 0)
			return r;
		at = d.next;
	} while (d.flags & VRING_DESC_F_NEXT);
	return 0;
}

static int walk(struct vqueue *q, struct gmem *g, struct vring_chain *c,
		struct iovec *iov)
{
	uint32_t at = c->head, seen = 0;
	struct desc d;
	int r;

	do {
		if (at >= q->num || seen++ == q->num)
			return -EINVAL; /* outside, or a loop */
		d = desc_get(q->desc + (size_t)at * DESC_SIZE);
		if (d.flags & VRING_DESC_F_INDIRECT)
			r = walk_indirect(q, g, c, iov, &d);
		else
			r = add_buffer(g, c, iov, &d);
		if (r < 0)
			return r;
		at = d.next;
	} while (d.flags & VRING_DESC_F_NEXT);
	return 0;
}

int vring_take(struct vqueue *q, struct gmem *g, struct vring_chain *c,
	       struct iovec *iov)
{
	uint16_t pending;
	int r;

	if (q->broken || !q->desc)
		return 0;
	pending = (uint16_t)(get16(q->avail, RING_IDX) - q->last_avail);
	if (!pending)
		return 0;
	if (pending > q->num)
		return broken(q, -EINVAL);
	*c = (struct vring_chain) {
		.head = get16(q->avail, RING_ENTRIES + 2u * (q->last_avail &
							     (q->num - 1))),
	};
	r = walk(q, g, c, iov);
	if (r < 0)
		return broken(q, r);
	q->last_avail++;
	return 1;
}

void vring_untake(struct vqueue *q, unsigned int n)
{
	q->last_avail = (uint16_t)(q->last_avail - n);
}

void vring_return(struct vqueue *q, uint16_t head, uint32_t written)
{
	size_t off = RING_ENTRIES + USED_ELEM * (q->used_idx & (q->num - 1));
	uint32_t elem[2] = { head, written };

	if (q->broken || !q->used)
		return;
	memcpy(q->used + off, elem, sizeof(elem));
	q->used_idx++;
}

void vring_show(struct vqueue *q)
{
	if (!q->broken && q->used)
		put16(q->used, RING_IDX, q->used_idx);
}

uint16_t vring_untold(const struct vqueue *q)
{
	return (uint16_t)(q->used_idx - q->told_used);
}

bool vring_tell(struct vqueue *q)
{
	uint16_t old = q->told_used, event;

	if (q->broken || !q->used || old == q->used_idx)
		return false;
	q->told_used = q->used_idx;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(get16(q->avail, RING_FLAGS) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	event = get16(q->avail, used_event_off(q));
	return (uint16_t)(q->used_idx - event - 1) <
	       (uint16_t)(q->used_idx - old);
}

bool vring_publish(struct vqueue *q)
{
	vring_show(q);
	return vring_tell(q);
}

bool vring_pending(struct vqueue *q)
{
	return !q->broken && q->avail &&
	       get16(q->avail, RING_IDX) != q->last_avail;
}

bool vring_arm(struct vqueue *q)
{
	if (q->broken || !q->used)
		return false;
	if (q->event_idx)
		put16(q->used, avail_event_off(q), q->last_avail);
	else
		put16(q->used, RING_FLAGS, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return get16(q->avail, RING_IDX) != q->last_avail;
}

void vring_disarm(struct vqueue *q)
{
	/* With event indices one that is behind asks for nothing. */
	if (!q->broken && q->used && !q->event_idx)
		put16(q->used, RING_FLAGS, VRING_USED_F_NO_NOTIFY);
}
