/* SPDX-License-Identifier: MIT */
/*
 * vring.h - a split virtqueue, the device's side
 *
 * Everything in a ring may change while it is looked at. Each index and each
 * descriptor is read once, into a local copy; the copy is checked and used.
 * A ring whose contents cannot be right is broken: it stops until it is set
 * up again.
 *
 * Chains are taken, worked on, and returned in order. Chains that were taken
 * last may be given back as if they had not been looked at.
 */
#ifndef VHOST_USER_VRING_H
#define VHOST_USER_VRING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "transport/gmem.h"

#define VRING_NUM_MAX 32768u
#define VRING_IOV_MAX 256u /* of one chain */

struct vqueue {
	uint32_t num;
	bool event_idx, indirect;
	bool broken;
	uint8_t *desc, *avail, *used; /* NULL: no addresses */
	uint16_t last_avail;	      /* next to take */
	uint16_t used_idx;	      /* next to return */
	uint16_t told_used; /* published, when the driver was last told */
};

struct vring_chain {
	uint16_t head;
	unsigned int readable, writable; /* entries; readable ones first */
	size_t readable_len, writable_len;
};

/** vring_map() - find the ring's parts. Return: 0, -EINVAL (alignment), -EFAULT
 * (not in memory) */
int vring_map(struct vqueue *q, struct gmem *g, uint64_t desc, uint64_t avail,
	      uint64_t used);
/** vring_start() - begin at the guest's used index. Return: 0 or -EINVAL: the
 * indices cannot be right */
int vring_start(struct vqueue *q);

/** vring_start_at_used() - begin where the last one that served it ended:
 * chains are returned in order, so what was not returned was not taken */
void vring_start_at_used(struct vqueue *q);

/** vring_take() - the next chain; @iov has VRING_IOV_MAX entries. Return: 1; 0:
 * none; -errno: broken, and why */
int vring_take(struct vqueue *q, struct gmem *g, struct vring_chain *c,
	       struct iovec *iov);
/** vring_untake() - the last @n taken were not used */
void vring_untake(struct vqueue *q, unsigned int n);
/** vring_return() - not seen by the driver before vring_show() */
void vring_return(struct vqueue *q, uint16_t head, uint32_t written);
/** vring_show() - what was returned is the driver's */
void vring_show(struct vqueue *q);
/** vring_tell() - Return: is the driver to be interrupted for what it has been
 * shown since the last time? */
bool vring_tell(struct vqueue *q);
/** vring_untold() - chains shown that were not told */
uint16_t vring_untold(const struct vqueue *q);
/** vring_publish() - show and tell */
bool vring_publish(struct vqueue *q);
/** vring_pending() - is there a chain to take? */
bool vring_pending(struct vqueue *q);
/** vring_arm() - ask for a kick. Return: true: there is already something (the
 * kick may or may not come) */
bool vring_arm(struct vqueue *q);
/** vring_disarm() - no kicks, please */
void vring_disarm(struct vqueue *q);

#endif /* VHOST_USER_VRING_H */
