/* SPDX-License-Identifier: MIT */
/*
 * pump.h - between the rings and the device: one batch each way per call
 *
 * A batch takes at most PUMP_BATCH chains from a ring, lets the device work on
 * them in place, returns them all, publishes once and interrupts at most once.
 * Nothing is in flight between two calls.
 *
 * That its packets have been taken a guest sees when it looks. It is told, by
 * an interrupt, when half of the ring is its own again, or PUMP_UNTOLD_MAX
 * bytes are; PUMP_UNTOLD_LEN bytes, of which something may wait for its memory,
 * before we sleep. For less, pump_tell() is to be called after PUMP_TELL_MS, or
 * up to PUMP_TELL_MAX_MS where answers take that long: the answer to a small
 * packet mostly comes earlier, and wakes it anyway.
 *
 * On the event ring, which not every front-end passes on, there is one thing
 * to say: that no connection of the guest's is known here any more.
 */
#ifndef VHOST_USER_PUMP_H
#define VHOST_USER_PUMP_H

#include <stdbool.h>

#include "transport/vhost-user/device.h"
#include "transport/vsock-device/vsock.h"

#define PUMP_BATCH 64u
#define PUMP_IOV 1024u
#define PUMP_UNTOLD_LEN 16384u
#define PUMP_UNTOLD_MAX 131072u
#define PUMP_TELL_MS 1u
#define PUMP_TELL_MAX_MS 5u

struct pump {
	struct vu_device *d;
	struct vsock *v;
	struct iovec iov[PUMP_IOV];
	struct vsock_buf bufs[PUMP_BATCH];
	uint16_t heads[PUMP_BATCH];
	unsigned int rx_batch; /* buffers to be taken at once */
	uint32_t untold_places; /* of the transmit ring, at least */
	size_t untold_len;
	size_t moved; /* bytes in the last pump_run(), with headers */
	bool reset_wanted; /* tell the guest that its connections are gone */
};

/** pump_run() - Return: 1: call again soon; 0: wait for the guest, or for
 * something to be sent; -errno: a ring broke (its number in @ret_ring) */
int pump_run(struct pump *p, unsigned int *ret_ring);
/** pump_pending() - has the guest put something into a ring? It need not kick
 * while we look */
bool pump_pending(struct pump *p);
/** pump_arm() - the same, and from now on it kicks */
bool pump_arm(struct pump *p);
/** pump_owes() - is there something for pump_tell()? */
bool pump_owes(const struct pump *p);
void pump_tell(struct pump *p);

#endif /* VHOST_USER_PUMP_H */
