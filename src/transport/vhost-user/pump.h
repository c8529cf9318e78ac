/* SPDX-License-Identifier: MIT */
/*
 * pump.h - between the rings and the device: one batch each way per call
 *
 * A batch takes at most PUMP_BATCH chains from a ring, lets the device work on
 * them in place, returns them all, publishes once and interrupts at most once.
 * Nothing is in flight between two calls.
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

struct pump {
	struct vu_device *d;
	struct vsock *v;
	struct iovec iov[PUMP_IOV];
	struct vsock_buf bufs[PUMP_BATCH];
	uint16_t heads[PUMP_BATCH];
	bool reset_wanted; /* tell the guest that its connections are gone */
};

/** pump_run() - Return: 1: call again soon; 0: wait for kicks, or for something
 * to be sent; -errno: a ring broke (its number in @ret_ring) */
int pump_run(struct pump *p, unsigned int *ret_ring);

#endif /* VHOST_USER_PUMP_H */
