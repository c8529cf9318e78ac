/* SPDX-License-Identifier: MIT */
/* rings.c - see rings.h */
#include "transport/vhost-user/rings.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

#define BIT(n) (1ull << (n))

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- rings */

bool vu_ring_live(const struct vu_device *d, unsigned int i)
{
	const struct vu_ring *r = &d->rings[i];

	return r->running && r->enabled && !r->q.broken;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	/* EAGAIN: it is signalled already */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

void vu_ring_call(struct vu_device *d, unsigned int i)
{
	d->calls += d->rings[i].call >= 0;
	signal_fd(d->rings[i].call);
}

void vu_ring_broken(struct vu_device *d, unsigned int i)
{
	d->rings[i].q.broken = true;
	signal_fd(d->rings[i].err);
}

void vu_ring_stop(struct vu_device *d, unsigned int i)
{
	struct vu_ring *r = &d->rings[i];

	if (!r->running)
		return;
	r->running = false;
	d->ops->ring_stopping(d->ctx, i);
}

/* Run, if everything is known. A ring that cannot run is refused. */
int vu_ring_try(struct vu_device *d, unsigned int i)
{
	struct vu_ring *r = &d->rings[i];
	int err;

	if (r->running || r->kick < 0 || !r->has_addr || !r->q.num)
		return 0;
	r->q.event_idx = d->features & BIT(VIRTIO_RING_F_EVENT_IDX);
	r->q.indirect = d->features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
	err = vring_map(&r->q, &d->gmem, r->at.desc, r->at.avail, r->at.used);
	if (err == 0)
		err = vring_start(&r->q);
	if (err < 0)
		return err;
	r->running = true;
	d->ops->ring_started(d->ctx, i);
	return 0;
}

/* The memory has changed: rings run on in it, or are broken. */
int vu_rings_remap(struct vu_device *d)
{
	int result = 0;

	for (unsigned int i = 0; i < VU_RINGS; i++) {
		struct vu_ring *r = &d->rings[i];

		r->q.desc = r->q.avail = r->q.used = NULL;
		if (!r->running) {
			/* its addresses may have waited for this memory */
			(void)vu_ring_try(d, i);
			continue;
		}
		if (vring_map(&r->q, &d->gmem, r->at.desc, r->at.avail,
			      r->at.used) < 0) {
			vu_ring_stop(d, i);
			vu_ring_broken(d, i);
			result = -EFAULT;
		}
	}
	return result;
}

void vu_ring_clear(struct vu_device *d, unsigned int i)
{
	struct vu_ring *r = &d->rings[i];

	vu_ring_stop(d, i);
	close_fd(&r->kick);
	close_fd(&r->call);
	close_fd(&r->err);
	*r = (struct vu_ring) { .kick = -1, .call = -1, .err = -1 };
}

void vu_ring_reset(struct vu_device *d, unsigned int i)
{
	struct vu_ring *r = &d->rings[i];

	vu_ring_stop(d, i);
	close_fd(&r->kick);
	r->q.last_avail = 0;
}

/* ---- messages about rings */

int vu_set_num(struct vu_device *d, unsigned int i, uint32_t num)
{
	if (!num || num > VRING_NUM_MAX || num & (num - 1))
		return -EINVAL;
	vu_ring_stop(d, i);
	d->rings[i].q.num = num;
	return vu_ring_try(d, i);
}

int vu_set_addr(struct vu_device *d, const struct vu_message *m)
{
	unsigned int i = m->u.addr.index;
	struct vu_ring *r = &d->rings[i];
	int err = 0;

	if (m->u.addr.flags)
		return -EOPNOTSUPP; /* logging, which is not offered */
	vu_ring_stop(d, i);
	r->at = (struct vring_map_at) { .desc = m->u.addr.desc,
					.avail = m->u.addr.avail,
					.used = m->u.addr.used };
	r->has_addr = false;
	/* With memory and size known it can be checked now, else at start. */
	if (d->gmem.count && r->q.num)
		err = vring_map(&r->q, &d->gmem, r->at.desc, r->at.avail,
				r->at.used);
	if (err < 0)
		return err;
	r->has_addr = true;
	return vu_ring_try(d, i);
}

int vu_set_base(struct vu_device *d, unsigned int i, uint32_t base)
{
	struct vu_ring *r = &d->rings[i];

	if (base > UINT16_MAX)
		return -EINVAL;
	vu_ring_stop(d, i);
	/*
	 * Not where it stopped: the guest has reset the device meanwhile, or,
	 * if it goes on somewhere else, was served by somebody else.
	 */
	if (r->q.last_avail != base)
		d->ops->reset(d->ctx);
	if (r->q.last_avail != base && base)
		d->ops->lost_track(d->ctx);
	r->q.last_avail = (uint16_t)base;
	r->q.broken = false;
	return vu_ring_try(d, i);
}

void vu_get_base(struct vu_device *d, unsigned int i, struct vu_answer *ret)
{
	struct vu_ring *r = &d->rings[i];

	vu_ring_stop(d, i);
	close_fd(&r->kick);
	le32_put(ret->payload, i);
	le32_put(ret->payload + 4, r->q.last_avail);
	ret->size = 8;
}

/*
 * A file, a pipe or a socket could make a write or a wait take for ever; so
 * could an epoll descriptor, which leads to others. Adding nothing is a thing
 * that only an eventfd does.
 */
int vu_check_eventfd(int fd)
{
	const uint64_t nothing = 0;
	struct stat st;
	int flags;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_mode & S_IFMT)
		return -EBADF;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	if (write(fd, &nothing, sizeof(nothing)) < 0 && errno != EAGAIN)
		return -EBADF;
	return 0;
}

int vu_set_vring_fd(struct vu_device *d, const struct vu_message *m, int *fds)
{
	struct vu_ring *r = &d->rings[m->u.vring_fd.index];
	bool kick = m->header.request == VU_SET_VRING_KICK;
	int *to = kick					   ? &r->kick
		  : m->header.request == VU_SET_VRING_CALL ? &r->call
							   : &r->err;
	int err;

	if (m->u.vring_fd.has_fd) {
		err = vu_check_eventfd(fds[0]);
		if (err < 0)
			return err;
	} else if (kick) {
		return -EOPNOTSUPP; /* it wants its ring polled */
	}
	if (kick)
		vu_ring_stop(d, m->u.vring_fd.index);
	close_fd(to);
	if (m->u.vring_fd.has_fd) {
		*to = fds[0];
		fds[0] = -1;
	}
	return kick ? vu_ring_try(d, m->u.vring_fd.index) : 0;
}

int vu_set_enable(struct vu_device *d, unsigned int i, uint32_t on)
{
	struct vu_ring *r = &d->rings[i];

	if (on > 1)
		return -EINVAL;
	if (r->enabled == (on == 1))
		return 0;
	r->enabled = on;
	if (r->running && on)
		d->ops->ring_started(d->ctx, i);
	else if (r->running)
		d->ops->ring_stopping(d->ctx, i);
	return 0;
}
