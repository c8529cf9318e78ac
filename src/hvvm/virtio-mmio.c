/* SPDX-License-Identifier: MIT */
/* virtio-mmio.c - see virtio-mmio.h */
#include "hvvm/virtio-mmio.h"

#include <string.h>

#include "base/bytes.h"

#define MAGIC 0x74726976u  /* "virt" */
#define VENDOR 0x4b535648u /* "HVSK" */

/* Offsets; 64-bit values are two registers, the low half first. */
enum {
	REG_MAGIC = 0x00,
	REG_VERSION = 0x04,
	REG_DEVICE = 0x08,
	REG_VENDOR = 0x0c,
	REG_OFFERED = 0x10,
	REG_OFFERED_PAGE = 0x14,
	REG_ACCEPTED = 0x20,
	REG_ACCEPTED_PAGE = 0x24,
	REG_QUEUE = 0x30,
	REG_QUEUE_NUM_MAX = 0x34,
	REG_QUEUE_NUM = 0x38,
	REG_QUEUE_READY = 0x44,
	REG_NOTIFY = VIRTIO_MMIO_QUEUE_NOTIFY,
	REG_INTERRUPT = 0x60,
	REG_INTERRUPT_ACK = 0x64,
	REG_STATUS = 0x70,
	REG_DESC = 0x80,
	REG_AVAIL = 0x90,
	REG_USED = 0xa0,
	REG_SHM_LEN = 0xb0,
	REG_SHM_BASE = 0xb8,
	REG_GENERATION = 0xfc,
	REG_CONFIG = 0x100,
};

static struct virtio_queue *selected(struct virtio_mmio *v)
{
	return v->selected < v->count ? &v->queues[v->selected] : NULL;
}

static uint32_t read_register(struct virtio_mmio *v, uint64_t at)
{
	const struct virtio_queue *q = selected(v);

	switch (at) {
	case REG_MAGIC:
		return MAGIC;
	case REG_VERSION:
		return 2;
	case REG_DEVICE:
		return v->device;
	case REG_VENDOR:
		return VENDOR;
	case REG_OFFERED:
		return v->offered_page < 2 ? (uint32_t)(v->offered >>
							(32 * v->offered_page))
					   : 0;
	case REG_QUEUE_NUM_MAX:
		return q ? v->num_max : 0;
	case REG_QUEUE_READY:
		return q && q->ready;
	case REG_INTERRUPT:
		return v->interrupt | (v->started ? VIRTIO_IRQ_QUEUE : 0);
	case REG_STATUS:
		return v->status;
	case REG_SHM_LEN:
	case REG_SHM_LEN + 4:
	case REG_SHM_BASE:
	case REG_SHM_BASE + 4:
		return UINT32_MAX; /* no such region */
	case REG_GENERATION:
		return v->generation;
	default:
		return 0;
	}
}

void virtio_mmio_read(void *ctx, uint64_t at, void *data, unsigned int len)
{
	struct virtio_mmio *v = ctx;
	uint8_t reg[4];

	memset(data, 0, len);
	if (at >= REG_CONFIG) {
		at -= REG_CONFIG;
		if (at < v->config_len && v->config_len - at >= len)
			memcpy(data, v->config + at, len);
		return;
	}
	if (at % 4 || len != 4)
		return;
	le32_put(reg, read_register(v, at));
	memcpy(data, reg, sizeof(reg));
}

/* ---- what the driver writes */

static void set_half(uint64_t *v, unsigned int half, uint32_t to)
{
	*v = half ? (*v & UINT32_MAX) | (uint64_t)to << 32
		  : (*v & ~(uint64_t)UINT32_MAX) | to;
}

void virtio_mmio_reset(struct virtio_mmio *v)
{
	if (v->started)
		v->ops->stop(v->ctx);
	v->started = false;
	v->accepted = 0;
	v->offered_page = v->accepted_page = v->selected = 0;
	v->status = v->interrupt = 0;
	memset(v->queues, 0, sizeof(v->queues));
}

static void config_interrupt(struct virtio_mmio *v)
{
	v->interrupt |= VIRTIO_IRQ_CONFIG;
	v->ops->interrupt(v->ctx);
}

void virtio_mmio_broken(struct virtio_mmio *v)
{
	bool told = v->status & VIRTIO_STATUS_DRIVER_OK;

	if (v->started)
		v->ops->stop(v->ctx);
	v->started = false;
	if (!v->status)
		return; /* no driver: it will hear of it when one begins */
	v->status |= VIRTIO_STATUS_NEEDS_RESET;
	if (told)
		config_interrupt(v);
}

void virtio_mmio_configure(struct virtio_mmio *v, const uint8_t *config)
{
	memcpy(v->config, config, v->config_len);
	v->generation++;
	if (v->status & VIRTIO_STATUS_DRIVER_OK)
		config_interrupt(v);
}

static void write_status(struct virtio_mmio *v, uint32_t to)
{
	uint32_t before = v->status;
	bool agreed = !(v->accepted & ~v->offered) &&
		      v->accepted & 1ull << VIRTIO_F_MODERN;

	to &= 0xff;
	if (!to) {
		virtio_mmio_reset(v);
		return;
	}
	to &= ~VIRTIO_STATUS_NEEDS_RESET; /* ours to set */
	if (!agreed)
		to &= ~VIRTIO_STATUS_FEATURES_OK;
	/* only a reset takes a bit away */
	v->status |= to;
	if (before & VIRTIO_STATUS_DRIVER_OK || !(to & VIRTIO_STATUS_DRIVER_OK))
		return;
	if (v->status & VIRTIO_STATUS_FEATURES_OK &&
	    !(v->status & VIRTIO_STATUS_NEEDS_RESET) && v->ops->start(v->ctx))
		v->started = true;
	else
		virtio_mmio_broken(v);
}

static void write_queue(struct virtio_mmio *v, uint64_t at, uint32_t value)
{
	struct virtio_queue *q = selected(v);

	/* the back end has these once the device runs */
	if (!q || v->status & VIRTIO_STATUS_DRIVER_OK)
		return;
	switch (at) {
	case REG_QUEUE_READY:
		q->ready = value & 1;
		return;
	case REG_QUEUE_NUM:
		if (!q->ready)
			q->num = value;
		return;
	default:
		if (q->ready)
			return;
		set_half(at < REG_AVAIL	 ? &q->desc
			 : at < REG_USED ? &q->avail
					 : &q->used,
			 at % 8 != 0, value);
	}
}

static void write_register(struct virtio_mmio *v, uint64_t at, uint32_t value)
{
	switch (at) {
	case REG_OFFERED_PAGE:
		v->offered_page = value;
		return;
	case REG_ACCEPTED_PAGE:
		v->accepted_page = value;
		return;
	case REG_ACCEPTED:
		if (v->accepted_page < 2 &&
		    !(v->status & VIRTIO_STATUS_FEATURES_OK))
			set_half(&v->accepted, v->accepted_page, value);
		return;
	case REG_QUEUE:
		v->selected = value;
		return;
	case REG_QUEUE_NUM:
	case REG_QUEUE_READY:
	case REG_DESC:
	case REG_DESC + 4:
	case REG_AVAIL:
	case REG_AVAIL + 4:
	case REG_USED:
	case REG_USED + 4:
		write_queue(v, at, value);
		return;
	case REG_NOTIFY:
		if (v->started && value < v->count)
			v->ops->notify(v->ctx, value);
		return;
	case REG_INTERRUPT_ACK:
		v->interrupt &= ~value;
		return;
	case REG_STATUS:
		write_status(v, value);
		return;
	default:
		return;
	}
}

void virtio_mmio_write(void *ctx, uint64_t at, const void *data,
		       unsigned int len)
{
	struct virtio_mmio *v = ctx;
	uint8_t reg[4];

	if (at >= REG_CONFIG) {
		at -= REG_CONFIG;
		if (at >= v->config_len || v->config_len - at < len)
			return;
		v->ops->config(v->ctx, (unsigned int)at, data, len);
		return;
	}
	if (at % 4 || len != 4)
		return;
	memcpy(reg, data, sizeof(reg));
	write_register(v, at, le32_get(reg));
}
