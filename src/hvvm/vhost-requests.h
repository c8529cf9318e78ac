/* SPDX-License-Identifier: MIT */
/*
 * vhost-requests.h - the back end's own requests, on a socket of their own
 *
 * One is of use: "the configuration has changed". Others are refused where an
 * answer is asked for. What cannot be a message ends this socket, and nothing
 * else.
 */
#ifndef HVVM_VHOST_REQUESTS_H
#define HVVM_VHOST_REQUESTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/ev.h"

#define VHOST_REQUEST_MAX 512u

struct vhost_requests {
	struct ev_io io;
	int fd; /* valid while io is active */
	void (*changed)(void *ctx);
	void *ctx;
	size_t got;
	uint8_t buf[VHOST_REQUEST_MAX];
};

/** vhost_requests_start() - @ret_theirs: for the back end, the caller's to
 * close. Return: 0 or -errno */
int vhost_requests_start(struct vhost_requests *q, struct ev *ev,
			 void (*changed)(void *ctx), void *ctx,
			 int *ret_theirs);
void vhost_requests_stop(struct vhost_requests *q);

#endif /* HVVM_VHOST_REQUESTS_H */
