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
#include "transport/vhost-user/rings.h"

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
#define PF_DEVICE_STATE BIT(19)
#define PROTOCOL_FEATURES                                                    \
	(PF_MQ | PF_REPLY_ACK | PF_CONFIG | PF_RESET_DEVICE | PF_MEM_SLOTS | \
	 PF_DEVICE_STATE)

#define CONFIG_SIZE 8u /* le64 guest_cid */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- forgetting */

void vu_device_init(struct vu_device *d, uint64_t guest_cid,
		    const struct vu_device_ops *ops, void *ctx)
{
	memset(d, 0, sizeof(*d));
	d->guest_cid = guest_cid;
	d->ops = ops;
	d->ctx = ctx;
	d->state_fd = -1;
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
		vu_ring_clear(d, i);
	d->ops->reset(d->ctx);
	gmem_clear(&d->gmem);
	d->features = 0;
}

void vu_device_forget(struct vu_device *d)
{
	for (unsigned int i = 0; i < VU_RINGS; i++)
		vu_ring_clear(d, i);
	d->ops->reset(d->ctx);
	gmem_clear(&d->gmem);
	close_fd(&d->state_fd);
	d->features = 0;
	d->protocol_features = 0;
	d->has_protocol = false;
}

/* ---- messages about memory */

/* The descriptor is kept, too: another process may come after this one. */
static int add_region(struct gmem *g, const struct gmem_range *range, int *fd)
{
	int r = gmem_add(g, range, *fd);

	if (r < 0)
		return r;
	gmem_keep(g, range->gpa, *fd);
	*fd = -1;
	return 0;
}

static int set_mem_table(struct vu_device *d, const struct vu_message *m,
			 int *fds)
{
	struct gmem *new = calloc(1, sizeof(*new));
	int r = new ? 0 : -ENOMEM;

	for (uint32_t i = 0; r == 0 && i < m->u.regions.count; i++)
		r = add_region(new, &m->u.regions.at[i], &fds[i]);
	if (r == 0) {
		/* Nothing is in flight between messages: the old one may go. */
		gmem_clear(&d->gmem);
		d->gmem.count = new->count;
		memcpy(d->gmem.at, new->at, new->count * sizeof(new->at[0]));
		r = vu_rings_remap(d);
	} else if (new) {
		gmem_clear(new);
	}
	free(new);
	return r;
}

static int add_mem_reg(struct vu_device *d, const struct vu_message *m,
		       int *fds)
{
	int r = add_region(&d->gmem, &m->u.regions.at[0], &fds[0]);

	if (r == 0)
		(void)vu_rings_remap(d);
	return r;
}

static int rem_mem_reg(struct vu_device *d, const struct vu_message *m)
{
	int r = gmem_remove(&d->gmem, &m->u.regions.at[0]);

	/* a ring that was in it is broken, which is what was asked for */
	if (r == 0)
		(void)vu_rings_remap(d);
	return r;
}

/* ---- features, configuration */

static int set_features(struct vu_device *d, uint64_t v)
{
	if (v & ~FEATURES)
		return -EOPNOTSUPP;
	/* only a driver that begins anew negotiates anew */
	if (d->features && d->features != v)
		d->ops->reset(d->ctx);
	d->features = v;
	for (unsigned int i = 0; i < VU_RINGS; i++) {
		struct vu_ring *r = &d->rings[i];

		r->q.event_idx = v & BIT(VIRTIO_RING_F_EVENT_IDX);
		r->q.indirect = v & BIT(VIRTIO_RING_F_INDIRECT_DESC);
		if (!(v & F_PROTOCOL))
			(void)vu_set_enable(d, i, 1);
	}
	return 0;
}

int vu_device_may_protocol(uint64_t v)
{
	return v & ~PROTOCOL_FEATURES ? -EOPNOTSUPP : 0;
}

void vu_device_handshake(struct vu_device *d, uint64_t v)
{
	start_over(d);
	d->protocol_features = v;
	d->has_protocol = true;
}

static int set_protocol_features(struct vu_device *d, uint64_t v)
{
	int r = vu_device_may_protocol(v);

	if (r == 0)
		vu_device_handshake(d, v);
	return r;
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

/* ---- a machine that is moved, or restored */

#define STATE_SAVE 0u
#define STATE_LOAD 1u
#define STATE_NO_FD 0x100u /* none of our own: we use theirs */

/*
 * Connections do not survive that, so the state is empty: nothing is written,
 * and what is read must be nothing.
 */
static int set_state_fd(struct vu_device *d, const struct vu_message *m,
			int *fds, struct vu_answer *ret)
{
	struct stat st;
	int flags, r = 0;

	close_fd(&d->state_fd);
	if (m->u.move.direction > STATE_LOAD || m->u.move.phase)
		r = -EINVAL;
	else if (fstat(fds[0], &st) < 0 ||
		 (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)))
		r = -EBADF;
	if (r == 0 && m->u.move.direction == STATE_LOAD) {
		flags = fcntl(fds[0], F_GETFL);
		if (flags < 0 || fcntl(fds[0], F_SETFL, flags | O_NONBLOCK) < 0)
			r = -errno;
	}
	if (r == 0 && m->u.move.direction == STATE_LOAD) {
		d->state_fd = fds[0];
		fds[0] = -1;
		d->ops->reset(d->ctx);
		d->ops->lost_track(d->ctx);
	}
	answer_u64(ret, r < 0 ? STATE_NO_FD | 1 : STATE_NO_FD);
	return r;
}

static int check_state(struct vu_device *d)
{
	uint8_t byte;
	int r = 0;

	/* all has been written, or the front-end would not ask */
	if (d->state_fd >= 0 && read(d->state_fd, &byte, 1) > 0)
		r = -EINVAL;
	close_fd(&d->state_fd);
	return r;
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
		return vu_set_num(d, m->u.state.index, m->u.state.num);
	case VU_SET_VRING_ADDR:
		return vu_set_addr(d, m);
	case VU_SET_VRING_BASE:
		return vu_set_base(d, m->u.state.index, m->u.state.num);
	case VU_GET_VRING_BASE:
		vu_get_base(d, m->u.state.index, ret);
		return 0;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		return vu_set_vring_fd(d, m, fds);
	case VU_SET_VRING_ENABLE:
		return vu_set_enable(d, m->u.state.index, m->u.state.num);
	case VU_GET_CONFIG:
		get_config(d, m, ret);
		return 0;
	case VU_RESET_DEVICE:
		for (unsigned int i = 0; i < VU_RINGS; i++)
			vu_ring_reset(d, i);
		d->ops->reset(d->ctx);
		return 0;
	case VU_SET_DEVICE_STATE_FD:
		return set_state_fd(d, m, fds, ret);
	case VU_CHECK_DEVICE_STATE:
		answer_u64(ret, check_state(d) < 0);
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
