/* SPDX-License-Identifier: MIT */
/*
 * vhost-user.h - the front end's side of a vhost-user connection
 *
 * Requests and their replies, one at a time, on a blocking conversation with a
 * time limit. The back end is a stranger: a reply must be the one to the
 * request, of the size that it has to have, without descriptors; anything else
 * ends the connection, and every later call fails with the same error.
 *
 * With VHOST_USER_REPLY_ACK agreed upon, each request is acknowledged, so that
 * a call that returns 0 has been carried out.
 *
 * Not locked: the owner lets one thread in at a time.
 */
#ifndef HVVM_VHOST_USER_H
#define HVVM_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hvvm/memory.h"

#define VHOST_USER_F_PROTOCOL 30 /* feature: has the protocol ones */

/* protocol features, by bit */
#define VHOST_USER_MQ 0
#define VHOST_USER_REPLY_ACK 3
#define VHOST_USER_BACKEND_REQ 5
#define VHOST_USER_CONFIG 9

#define VHOST_USER_CONFIG_MAX 256u
#define VHOST_USER_LIMIT_MS 30000

struct vhost_user {
	int fd;			     /* -1 */
	int error;		     /* -errno: it has ended, and why */
	const char *during;	     /* the request at which it ended */
	uint64_t features, protocol; /* offered; agreed upon */
	uint64_t queues;	     /* 0: it has not said */
	int limit_ms;		     /* for a reply */
	/* called when a signal interrupts waiting; true: stop */
	bool (*give_up)(void *ctx);
	void *ctx;
};

struct vhost_user_ring {
	uint32_t num;
	uint64_t desc, avail, used; /* addresses of this process */
	int kick, call;
};

/** vhost_user_open() - connect to the socket at @path, no more.
 * Return: 0 or -errno */
int vhost_user_open(const char *path, struct vhost_user *v);
void vhost_user_close(struct vhost_user *v);
/** vhost_user_begin() - features, protocol features (those in @protocol that
 * it has too), ownership. Return: 0 or -errno */
int vhost_user_begin(struct vhost_user *v, uint64_t protocol);
int vhost_user_set_features(struct vhost_user *v, uint64_t features);
int vhost_user_set_memory(struct vhost_user *v, const struct memory *m);
/** vhost_user_start_ring() - all that a ring needs; it runs when @r is 0 */
int vhost_user_start_ring(struct vhost_user *v, unsigned int index,
			  const struct vhost_user_ring *r);
/** vhost_user_stop_ring() - from now on the back end leaves it alone */
int vhost_user_stop_ring(struct vhost_user *v, unsigned int index);
int vhost_user_get_config(struct vhost_user *v, uint8_t *ret, uint32_t size);
int vhost_user_set_config(struct vhost_user *v, uint32_t at,
			  const uint8_t *data, uint32_t size);
/** vhost_user_set_requests() - @fd: where the back end may send its own */
int vhost_user_set_requests(struct vhost_user *v, int fd);

/** vhost_user_why() - what went wrong, as part of a sentence */
const char *vhost_user_why(const struct vhost_user *v, char *out, size_t size);

#endif /* HVVM_VHOST_USER_H */
