/* SPDX-License-Identifier: MIT */
/*
 * driver.h - a synthetic front-end and guest driver
 *
 * Plays the VMM (vhost-user messages, memory in a memfd) and the guest's
 * virtio-vsock driver (rings in that memory, 3,776-byte receive buffers, the
 * credit rules of Linux) in one, without a VM. Any step can be done wrong on
 * purpose. Nothing here blocks but drv_reply().
 */
#ifndef TEST_VHOST_USER_DRIVER_H
#define TEST_VHOST_USER_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "must.h"
#include "transport/vsock-device/packet.h"

#define DRV_NUM 128u
#define DRV_RINGS 3u
#define DRV_RX_BUF 3776u
#define DRV_RAM (32u << 20)
#define DRV_LOW (16u << 20) /* RAM is two regions that touch, cut here */
#define DRV_GPA 0x100000u
#define DRV_UVA 0x7f1200000000u
#define DRV_TX_SLOT (44u + 65536u)
#define DRV_CID 3u

struct drv_ring {
	uint64_t desc, avail, used; /* offsets in RAM */
	uint16_t avail_idx, used_seen;
	int kick, call, err;
	uint16_t base; /* where it was stopped */
};

struct drv {
	int sock; /* to the device */
	int memfd;
	uint8_t *ram;
	struct drv_ring rings[DRV_RINGS];
	uint64_t features;  /* to negotiate, without bit 30 */
	bool mem_slots;	    /* ADD_MEM_REG instead of SET_MEM_TABLE */
	bool indirect;	    /* send packets through indirect tables */
	unsigned int split; /* cut the packet into this many descriptors */
	uint32_t rx_len;    /* of the receive buffers; DRV_RX_BUF */
	bool hold_rx;	    /* take nothing from the receive ring */
	unsigned int queues; /* that the VMM passes on: 2, or 3 */
	bool any_device;     /* of somebody else's: take what it offers */
	unsigned int events; /* TRANSPORT_RESET seen */
	unsigned int tx_free;
	bool tx_busy[DRV_NUM];
	uint64_t kicks, interrupts;
	/* a packet for the guest */
	void (*packet)(void *ctx, const struct vsock_header *h,
		       const uint8_t *payload);
	void *ctx;
};

void drv_init(struct drv *d);
void drv_fini(struct drv *d);

/* ---- the VMM */

/** drv_send() - a message of any kind. Return: 0 or -errno */
int drv_send(struct drv *d, uint32_t request, uint32_t flags, const void *p,
	     uint32_t size, const int *fds, int nfds);
/** drv_reply() - wait for a reply. Return: payload bytes; -errno; -ECONNRESET:
 * the device has closed the connection */
int drv_reply(struct drv *d, uint32_t request, void *p, uint32_t size);
/** drv_ack() - send with need-reply. Return: 0 or 1 as answered; -errno */
int drv_ack(struct drv *d, uint32_t request, const void *p, uint32_t size,
	    const int *fds, int nfds);
/** drv_get() - a request that has a u64 for a reply. -errno as drv_reply() */
int drv_get(struct drv *d, uint32_t request, uint64_t *ret);
int drv_state(struct drv *d, uint32_t request, uint32_t index, uint32_t num);

void drv_handshake(struct drv *d, int sock);
/** drv_memory() - give the RAM. Return: as drv_ack() */
int drv_memory(struct drv *d);
/** drv_start() - rings, from @base of each (drv_ring.base) */
void drv_start(struct drv *d);
/** drv_stop() - the stop sequence; drv_ring.base is set */
void drv_stop(struct drv *d);
/** drv_forget() - the guest was reset: fresh rings from 0 */
void drv_forget(struct drv *d);
/** drv_ring_addr() - the payload of SET_VRING_ADDR */
void drv_ring_addr(struct drv *d, unsigned int i, uint8_t p[40]);

/* ---- the guest */

/** drv_tx() - queue a packet. false: the ring is full */
bool drv_tx(struct drv *d, const struct vsock_header *h, const void *payload);
/** drv_tx_raw() - any bytes as one readable chain, without checks */
bool drv_tx_raw(struct drv *d, const void *p, size_t len);
/** drv_post_rx() - give a receive buffer of @len bytes */
void drv_post_rx(struct drv *d, unsigned int slot, uint32_t len);
/** drv_poll() - take what the device has returned; true: there was something */
bool drv_poll(struct drv *d);
void drv_kick(struct drv *d, unsigned int i);

/* for making rings by hand */
void drv_put_desc(struct drv *d, uint64_t table, unsigned int at, uint64_t addr,
		  uint32_t len, uint16_t flags, uint16_t next);
void drv_put_avail(struct drv *d, unsigned int ring, uint16_t head);
uint64_t drv_gpa(uint64_t off);
/* offsets of the buffers */
uint64_t drv_tx_slot(unsigned int slot);
uint64_t drv_rx_slot(unsigned int slot);

#endif /* TEST_VHOST_USER_DRIVER_H */
