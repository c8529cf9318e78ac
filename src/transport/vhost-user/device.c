/* SPDX-License-Identifier: MIT */
/* device.c - see device.h */
#include "transport/vhost-user/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

#define BIT(n) (1ull << (n))

#define F_PROTOCOL BIT(30) /* vhost-user's own */
#define FEATURES                                                      \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | \
	 BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_IN_ORDER) |      \
	 VU_F_STREAM | VU_F_SEQPACKET | F_PROTOCOL)

#define PF_MQ BIT(0)
#define PF_REPLY_ACK BIT(3)
#define PF_CONFIG BIT(9)
#define PF_RESET_DEVICE BIT(13)
#define PF_MEM_SLOTS BIT(15)
#define PROTOCOL_FEATURES \
	(PF_MQ | PF_REPLY_ACK | PF_CONFIG | PF_RESET_DEVICE | PF_MEM_SLOTS)

#define CONFIG_SIZE 8u /* le64 guest_cid */

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
	signal_fd(d->rings[i].call);
}

void vu_ring_broken(struct vu_device *d, unsigned int i)
{
	d->rings[i].q.broken = true;
	signal_fd(d->rings[i].err);
}

static void ring_stop(struct vu_device *d, unsigned int i)
{
	struct vu_ring *r = &d->rings[i];

	if (!r->running)
		return;
	r->running = false;
	d->ops->ring_stopping(d->ctx, i);
}

/* Run, if everything is known. A ring that cannot run is refused. */
static int ring_try(struct vu_device *d, unsigned int i)
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
static int rings_remap(struct vu_device *d)
{
	int result = 0;

	for (unsigned int i = 0; i < VU_RINGS; i++) {
		struct vu_ring *r = &d->rings[i];

		r->q.desc = r->q.avail = r->q.used = NULL;
		if (!r->running) {
			/* its addresses may have waited for this memory */
			(void)ring_try(d, i);
			continue;
		}
		if (vring_map(&r->q, &d->gmem, r->at.desc, r->at.avail,
			      r->at.used) < 0) {
			ring_stop(d, i);
			vu_ring_broken(d, i);
			result = -EFAULT;
		}
	}
	return result;
}

static void ring_clear(struct vu_device *d, unsigned int i)
{
	struct vu_ring *r = &d->rings[i];

	ring_stop(d, i);
	close_fd(&r->kick);
	close_fd(&r->call);
	close_fd(&r->err);
	*r = (struct vu_ring) { .kick = -1, .call = -1, .err = -1 };
}

/* ---- forgetting */

void vu_device_init(struct vu_device *d, uint64_t guest_cid,
		    const struct vu_device_ops *ops, void *ctx)
{
	memset(d, 0, sizeof(*d));
	d->guest_cid = guest_cid;
	d->ops = ops;
	d->ctx = ctx;
	for (unsigned int i = 0; i < VU_RINGS; i++)
		d->rings[i] =
			(struct vu_ring) { .kick = -1, .call = -1, .err = -1 };
}

static bool touched(const struct vu_device *d)
{
	for (unsigned int i = 0; i < VU_RINGS; i++)
		if (d->rings[i].q.num || d->rings[i].kick >= 0 ||
		    d->rings[i].has_addr)
			return true;
	return d->gmem.count != 0;
}

static void start_over(struct vu_device *d)
{
	if (!touched(d))
		return;
	for (unsigned int i = 0; i < VU_RINGS; i++)
		ring_clear(d, i);
	d->ops->reset(d->ctx);
	gmem_clear(&d->gmem);
	d->features = 0;
}

void vu_device_forget(struct vu_device *d)
{
	for (unsigned int i = 0; i < VU_RINGS; i++)
		ring_clear(d, i);
	d->ops->reset(d->ctx);
	gmem_clear(&d->gmem);
	d->features = 0;
	d->protocol_features = 0;
	d->has_protocol = false;
}

/* ---- messages about memory */

static int set_mem_table(struct vu_device *d, const struct vu_message *m,
			 const int *fds)
{
	struct gmem *new = calloc(1, sizeof(*new));
	int r = new ? 0 : -ENOMEM;

	for (uint32_t i = 0; r == 0 && i < m->u.regions.count; i++)
		r = gmem_add(new, &m->u.regions.at[i], fds[i]);
	/* Nothing is in flight between messages: the old one may go. */
	gmem_clear(&d->gmem);
	if (r == 0) {
		d->gmem.count = new->count;
		memcpy(d->gmem.at, new->at, new->count * sizeof(new->at[0]));
	} else if (new) {
		gmem_clear(new);
	}
	free(new);
	if (rings_remap(d) < 0 && r == 0)
		r = -EFAULT;
	return r;
}

static int add_mem_reg(struct vu_device *d, const struct vu_message *m,
		       const int *fds)
{
	int r = gmem_add(&d->gmem, &m->u.regions.at[0], fds[0]);

	if (r == 0)
		(void)rings_remap(d);
	return r;
}

static int rem_mem_reg(struct vu_device *d, const struct vu_message *m)
{
	int r = gmem_remove(&d->gmem, &m->u.regions.at[0]);

	/* a ring that was in it is broken, which is what was asked for */
	if (r == 0)
		(void)rings_remap(d);
	return r;
}

/* ---- messages about rings */

static int set_num(struct vu_device *d, unsigned int i, uint32_t num)
{
	if (!num || num > VRING_NUM_MAX || num & (num - 1))
		return -EINVAL;
	ring_stop(d, i);
	d->rings[i].q.num = num;
	return ring_try(d, i);
}

static int set_addr(struct vu_device *d, const struct vu_message *m)
{
	unsigned int i = m->u.addr.index;
	struct vu_ring *r = &d->rings[i];
	int err = 0;

	if (m->u.addr.flags)
		return -EOPNOTSUPP; /* logging, which is not offered */
	ring_stop(d, i);
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
	return ring_try(d, i);
}

static int set_base(struct vu_device *d, unsigned int i, uint32_t base)
{
	struct vu_ring *r = &d->rings[i];

	if (base > UINT16_MAX)
		return -EINVAL;
	ring_stop(d, i);
	/* not where it stopped: the guest has reset the device meanwhile */
	if (r->stopped && r->stopped_base != base)
		d->ops->reset(d->ctx);
	r->stopped = false;
	r->q.last_avail = (uint16_t)base;
	r->q.broken = false;
	return ring_try(d, i);
}

static void get_base(struct vu_device *d, unsigned int i, struct vu_answer *ret)
{
	struct vu_ring *r = &d->rings[i];

	ring_stop(d, i);
	close_fd(&r->kick);
	r->stopped = true;
	r->stopped_base = r->q.last_avail;
	le32_put(ret->payload, i);
	le32_put(ret->payload + 4, r->stopped_base);
	ret->size = 8;
}

/*
 * A file, a pipe or a socket could make a write or a wait take for ever; so
 * could an epoll descriptor, which leads to others. Adding nothing is a thing
 * that only an eventfd does.
 */
static int check_eventfd(int fd)
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

static int set_vring_fd(struct vu_device *d, const struct vu_message *m,
			int *fds)
{
	struct vu_ring *r = &d->rings[m->u.vring_fd.index];
	bool kick = m->header.request == VU_SET_VRING_KICK;
	int *to = kick					   ? &r->kick
		  : m->header.request == VU_SET_VRING_CALL ? &r->call
							   : &r->err;
	int err;

	if (m->u.vring_fd.has_fd) {
		err = check_eventfd(fds[0]);
		if (err < 0)
			return err;
	} else if (kick) {
		return -EOPNOTSUPP; /* it wants its ring polled */
	}
	if (kick)
		ring_stop(d, m->u.vring_fd.index);
	close_fd(to);
	if (m->u.vring_fd.has_fd) {
		*to = fds[0];
		fds[0] = -1;
	}
	return kick ? ring_try(d, m->u.vring_fd.index) : 0;
}

static int set_enable(struct vu_device *d, unsigned int i, uint32_t on)
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

/* ---- features, configuration */

static int set_features(struct vu_device *d, uint64_t v)
{
	if (v & ~FEATURES)
		return -EOPNOTSUPP;
	d->features = v;
	for (unsigned int i = 0; i < VU_RINGS; i++) {
		struct vu_ring *r = &d->rings[i];

		r->q.event_idx = v & BIT(VIRTIO_RING_F_EVENT_IDX);
		r->q.indirect = v & BIT(VIRTIO_RING_F_INDIRECT_DESC);
		if (!(v & F_PROTOCOL))
			(void)set_enable(d, i, 1);
	}
	return 0;
}

static int set_protocol_features(struct vu_device *d, uint64_t v)
{
	if (v & ~PROTOCOL_FEATURES)
		return -EOPNOTSUPP;
	start_over(d);
	d->protocol_features = v;
	d->has_protocol = true;
	return 0;
}

static void get_config(const struct vu_device *d, const struct vu_message *m,
		       struct vu_answer *ret)
{
	uint32_t offset = m->u.config.offset, size = m->u.config.size;
	uint8_t config[CONFIG_SIZE];

	if (offset > CONFIG_SIZE || size > CONFIG_SIZE - offset)
		size = 0; /* "no" */
	le64_put(config, d->guest_cid);
	le32_put(ret->payload, offset);
	le32_put(ret->payload + 4, size);
	le32_put(ret->payload + 8, m->u.config.flags);
	memcpy(ret->payload + 12, config + (size ? offset : 0), size);
	ret->size = 12 + size;
}

static void answer_u64(struct vu_answer *ret, uint64_t v)
{
	le64_put(ret->payload, v);
	ret->size = 8;
}

/* ---- dispatch */

static bool ring_index_ok(const struct vu_message *m)
{
	switch (m->kind) {
	case VU_PAYLOAD_STATE:
		return m->u.state.index < VU_RINGS;
	case VU_PAYLOAD_ADDR:
		return m->u.addr.index < VU_RINGS;
	case VU_PAYLOAD_VRING_FD:
		return m->u.vring_fd.index < VU_RINGS;
	default:
		return true;
	}
}

static int handle(struct vu_device *d, const struct vu_message *m, int *fds,
		  struct vu_answer *ret)
{
	switch (m->header.request) {
	case VU_GET_FEATURES:
		answer_u64(ret, FEATURES);
		return 0;
	case VU_SET_FEATURES:
		return set_features(d, m->u.u64);
	case VU_GET_PROTOCOL_FEATURES:
		answer_u64(ret, PROTOCOL_FEATURES);
		return 0;
	case VU_SET_PROTOCOL_FEATURES:
		return set_protocol_features(d, m->u.u64);
	case VU_SET_OWNER:
		start_over(d);
		return 0;
	case VU_RESET_OWNER: /* obsolete */
		return 0;
	case VU_GET_QUEUE_NUM:
		answer_u64(ret, VU_RINGS);
		return 0;
	case VU_GET_MAX_MEM_SLOTS:
		answer_u64(ret, GMEM_SLOTS);
		return 0;
	case VU_SET_MEM_TABLE:
		return set_mem_table(d, m, fds);
	case VU_ADD_MEM_REG:
		return add_mem_reg(d, m, fds);
	case VU_REM_MEM_REG:
		return rem_mem_reg(d, m);
	case VU_SET_VRING_NUM:
		return set_num(d, m->u.state.index, m->u.state.num);
	case VU_SET_VRING_ADDR:
		return set_addr(d, m);
	case VU_SET_VRING_BASE:
		return set_base(d, m->u.state.index, m->u.state.num);
	case VU_GET_VRING_BASE:
		get_base(d, m->u.state.index, ret);
		return 0;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		return set_vring_fd(d, m, fds);
	case VU_SET_VRING_ENABLE:
		return set_enable(d, m->u.state.index, m->u.state.num);
	case VU_GET_CONFIG:
		get_config(d, m, ret);
		return 0;
	case VU_RESET_DEVICE:
		for (unsigned int i = 0; i < VU_RINGS; i++) {
			ring_stop(d, i);
			close_fd(&d->rings[i].kick);
			d->rings[i].q.last_avail = 0;
			d->rings[i].stopped = false;
		}
		d->ops->reset(d->ctx);
		return 0;
	case VU_SET_CONFIG: /* nothing in it can be written */
		return -EPERM;
	default:
		return -EOPNOTSUPP;
	}
}

int vu_device_message(struct vu_device *d, const struct vu_message *m,
		      int error, int *fds, struct vu_answer *ret,
		      int *ret_refused)
{
	bool ack = m->header.flags & VU_FLAG_NEED_REPLY;
	int r = error;

	/* A front-end that came back without a handshake had our features. */
	if (d->has_protocol && !(d->protocol_features & PF_REPLY_ACK))
		ack = false;
	ret->size = 0;
	if (r == 0 && !ring_index_ok(m))
		r = -ERANGE;
	if (r == 0)
		r = handle(d, m, fds, ret);
	*ret_refused = r;
	if (ret->size)
		return 0;
	if (r < 0 && vu_has_reply(m->header.request))
		return r; /* it would wait for ever */
	/* (SET_PROTOCOL_FEATURES may itself have turned acknowledgements on) */
	if (ack)
		answer_u64(ret, r < 0);
	return 0;
}
