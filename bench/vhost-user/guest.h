/* SPDX-License-Identifier: MIT */
/*
 * guest.h - a guest that costs nothing, for measuring a vhost-user device
 *
 * The front-end and the rings are those of tests/vhost-user/driver.h (memory in
 * a memfd, 128 descriptors a ring, event indices, receive buffers of 3,776
 * bytes); this is a driver over them that does as little as a driver can. What
 * it sends lies in memory already and what it gets it does not look at. It
 * takes and gives buffers in batches, kicks once for each, and follows Linux's
 * rules for credit: it sends no more than its own buffer (256 KiB) ahead, and
 * tells what it has consumed when the device sees less than 64 KiB of room.
 *
 * Blocking, it sleeps as an idle processor does, until a call eventfd is
 * written; spinning, it looks at the rings and never asks to be called.
 */
#ifndef BENCH_VHOST_USER_GUEST_H
#define BENCH_VHOST_USER_GUEST_H

#include "driver.h"

#define VG_CONNS 1024u
#define VG_LISTENS 20000u /* on this port, and the next VG_CONNS */
#define VG_WINDOW 262144u
#define VG_WAITING 4096u

struct vconn {
	uint32_t port, host_port;
	bool used, open, over;
	uint8_t peer_shut;
	uint32_t peer_alloc, peer_fwd, sent; /* mod 2^32 */
	uint32_t got, told;
	uint64_t to_send; /* bytes, in packets of .. */
	uint32_t size;
	uint64_t received;
};

struct vguest {
	struct drv d;
	bool spin;
	int also; /* wakes it too, when it can be read; -1 */
	struct vconn conns[VG_CONNS]; /* by port */
	unsigned int nconns, turn;
	uint32_t next_dial;
	uint64_t accepted; /* connections that the host has opened */
	/* packets without payload that wait for a place in the ring */
	struct vsock_header waiting[VG_WAITING];
	unsigned int wait_at, wait_n;
	uint8_t free_slots[DRV_NUM / 2]; /* a stack: the last one is warm */
	unsigned int nfree;
	uint16_t rx_given; /* avail_idx that the device has been told */
	uint64_t packets_in, packets_out, bytes_in;
	uint64_t ended; /* connections that were */
};

typedef bool (*vg_fn)(struct vguest *g, void *arg);

/** vg_start() - a guest behind the device that listens at @path. @any: it is
 * not ours */
void vg_start(struct vguest *g, const char *path, bool any);
void vg_stop(struct vguest *g);

/** vg_dial() - connect to @host_port; its end here */
struct vconn *vg_dial(struct vguest *g, unsigned int i, uint32_t host_port);
/** vg_run() - serve until @fn */
void vg_run(struct vguest *g, vg_fn fn, void *arg);
/** vg_events() - writes to eventfds so far, both ways */
uint64_t vg_events(const struct vguest *g);

#endif /* BENCH_VHOST_USER_GUEST_H */
