/* SPDX-License-Identifier: MIT */
/*
 * virtio-mmio.h - the registers of a virtio device (virtio 1.2, 4.2.2)
 *
 * Version 2, modern devices alone. Pure: it keeps what the driver has written,
 * says no to what is out of order, and calls its owner when the device is to
 * begin, to stop, or to look at a queue. No lock: the owner has one.
 *
 * Interrupts are edges. A queue's comes from the back end straight through
 * KVM, so nobody here knows of it; the status register therefore says "look at
 * the queues" whenever the device runs. A driver that finds nothing in them
 * has lost one look; one that was not told would wait for ever. Changes of
 * configuration have a bit of their own, which is exact.
 */
#ifndef HVVM_VIRTIO_MMIO_H
#define HVVM_VIRTIO_MMIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTIO_QUEUES_MAX 16u
#define VIRTIO_CONFIG_MAX 256u

#define VIRTIO_MMIO_QUEUE_NOTIFY 0x50u

#define VIRTIO_F_RING_INDIRECT_DESC 28
#define VIRTIO_F_RING_EVENT_IDX 29
#define VIRTIO_F_MODERN 32 /* VIRTIO_F_VERSION_1 */

#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER 2u
#define VIRTIO_STATUS_DRIVER_OK 4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED 0x80u

#define VIRTIO_IRQ_QUEUE 1u
#define VIRTIO_IRQ_CONFIG 2u

struct virtio_queue {
	uint32_t num;
	bool ready;
	uint64_t desc, avail, used; /* guest addresses */
};

struct virtio_ops {
	/* the driver is ready: false: the device cannot be */
	bool (*start)(void *ctx);
	/* stop touching the guest's memory; only when started */
	void (*stop)(void *ctx);
	void (*notify)(void *ctx, unsigned int queue);
	/* the driver writes @len bytes of the configuration, all within it:
	 * what of them counts is the owner's to say */
	void (*config)(void *ctx, unsigned int at, const uint8_t *data,
		       unsigned int len);
	/* an edge on the device's line */
	void (*interrupt)(void *ctx);
};

struct virtio_mmio {
	/* set once by the owner */
	const struct virtio_ops *ops;
	void *ctx;
	uint32_t device; /* id; 0: there is none */
	uint64_t offered;
	unsigned int count; /* queues */
	uint32_t num_max;   /* entries in each */
	unsigned int config_len;

	uint8_t config[VIRTIO_CONFIG_MAX];
	uint32_t generation; /* of it */
	uint64_t accepted;
	uint32_t offered_page, accepted_page, selected, status, interrupt;
	bool started;
	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
};

/** virtio_mmio_read(), _write() - as struct bus_device wants them, with a
 * struct virtio_mmio for @ctx */
void virtio_mmio_read(void *ctx, uint64_t at, void *data, unsigned int len);
void virtio_mmio_write(void *ctx, uint64_t at, const void *data,
		       unsigned int len);
/** virtio_mmio_reset() - as after power-on; stops it when started */
void virtio_mmio_reset(struct virtio_mmio *v);
/** virtio_mmio_broken() - it works no more until the driver resets it */
void virtio_mmio_broken(struct virtio_mmio *v);
/** virtio_mmio_configure() - another configuration, config_len bytes */
void virtio_mmio_configure(struct virtio_mmio *v, const uint8_t *config);

#endif /* HVVM_VIRTIO_MMIO_H */
