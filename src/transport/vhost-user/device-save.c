/* SPDX-License-Identifier: MIT */
/* device-save.c - what the front-end has told, in another process: it notices
 * nothing */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <unistd.h>

#include "transport/vhost-user/device.h"
#include "transport/vhost-user/rings.h"

#define BIT(n) (1ull << (n))

static void pack_ring(const struct vu_ring *r, struct parcel *p)
{
	struct pack *out = &p->out;

	pack_u32(out, r->q.num);
	pack_u64(out, r->at.desc);
	pack_u64(out, r->at.avail);
	pack_u64(out, r->at.used);
	pack_u8(out, r->has_addr);
	pack_u8(out, r->enabled);
	pack_u8(out, r->running);
	pack_u8(out, r->q.broken);
	pack_u16(out, r->q.last_avail);
	pack_u16(out, r->q.used_idx);
	pack_u16(out, r->q.told_used);
	parcel_put_fd(p, r->kick);
	parcel_put_fd(p, r->call);
	parcel_put_fd(p, r->err);
}

void vu_device_pack(const struct vu_device *d, struct parcel *p)
{
	struct pack *out = &p->out;

	pack_u64(out, d->features);
	pack_u64(out, d->protocol_features);
	pack_u8(out, d->has_protocol);
	pack_u32(out, d->gmem.count);
	for (unsigned int i = 0; i < d->gmem.count; i++) {
		const struct gmem_region *at = &d->gmem.at[i];

		pack_u64(out, at->r.gpa);
		pack_u64(out, at->r.size);
		pack_u64(out, at->r.uva);
		pack_u64(out, at->r.offset);
		parcel_put_fd(p, at->fd);
	}
	for (unsigned int i = 0; i < VU_RINGS; i++)
		pack_ring(&d->rings[i], p);
}

static int unpack_region(struct vu_device *d, struct parcel *p)
{
	struct gmem_range range;
	int fd, r = -EPROTO;

	range.gpa = unpack_u64(&p->in);
	range.size = unpack_u64(&p->in);
	range.uva = unpack_u64(&p->in);
	range.offset = unpack_u64(&p->in);
	fd = parcel_take_fd(p);
	if (fd >= 0 && gmem_range_ok(&range))
		r = gmem_add(&d->gmem, &range, fd);
	if (r == 0)
		gmem_keep(&d->gmem, range.gpa, fd);
	else if (fd >= 0)
		close(fd);
	return r;
}

static int unpack_eventfd(struct parcel *p, int *ret)
{
	*ret = parcel_take_fd(p);
	return *ret < 0 ? 0 : vu_check_eventfd(*ret);
}

static int unpack_ring(struct vu_device *d, struct vu_ring *r, struct parcel *p)
{
	struct vqueue *q = &r->q;
	int kick, call, err;

	q->num = unpack_u32_max(&p->in, VRING_NUM_MAX);
	if (q->num & (q->num - 1))
		p->in.failed = true;
	r->at.desc = unpack_u64(&p->in);
	r->at.avail = unpack_u64(&p->in);
	r->at.used = unpack_u64(&p->in);
	r->has_addr = unpack_bool(&p->in);
	r->enabled = unpack_bool(&p->in);
	r->running = unpack_bool(&p->in);
	q->broken = unpack_bool(&p->in);
	q->last_avail = unpack_u16(&p->in);
	q->used_idx = unpack_u16(&p->in);
	q->told_used = unpack_u16(&p->in);
	kick = unpack_eventfd(p, &r->kick);
	call = unpack_eventfd(p, &r->call);
	err = unpack_eventfd(p, &r->err);
	if (p->in.failed || kick < 0 || call < 0 || err < 0)
		return -EPROTO;
	q->event_idx = d->features & BIT(VIRTIO_RING_F_EVENT_IDX);
	q->indirect = d->features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (!r->running)
		return 0;
	if (!q->num || r->kick < 0 || !r->has_addr ||
	    (uint16_t)(q->last_avail - q->used_idx) > q->num)
		return -EPROTO;
	return vring_map(q, &d->gmem, r->at.desc, r->at.avail, r->at.used);
}

int vu_device_unpack(struct vu_device *d, struct parcel *p)
{
	uint32_t n;
	int r = 0;

	d->features = unpack_u64(&p->in);
	d->protocol_features = unpack_u64(&p->in);
	d->has_protocol = unpack_bool(&p->in);
	n = unpack_u32_max(&p->in, GMEM_SLOTS);
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = unpack_region(d, p);
	for (unsigned int i = 0; i < VU_RINGS && r == 0; i++)
		r = unpack_ring(d, &d->rings[i], p);
	return p->in.failed ? -EPROTO : r;
}

void vu_device_resume(struct vu_device *d, bool from_used)
{
	for (unsigned int i = 0; i < VU_RINGS; i++) {
		struct vu_ring *r = &d->rings[i];

		if (!r->running)
			continue;
		if (from_used && !r->q.broken)
			vring_start_at_used(&r->q);
		d->ops->ring_started(d->ctx, i);
		/* it may not have come to saying what it returned */
		if (from_used)
			vu_ring_call(d, i);
	}
}
