/* SPDX-License-Identifier: MIT */
/*
 * vmbus-link.h - one connection to a VMBus back-end: frames there and back
 *
 * Not locked, and knows no machine: vmbus.c does. An answer that was given up
 * (because the processor is to stop) is skipped when it comes.
 */
#ifndef HVVM_VMBUS_LINK_H
#define HVVM_VMBUS_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fdmsg.h"
#include "base/yielder.h"
#include "proto/vmbus-user.h"

struct vmbus_link {
	int fd;	   /* -1: none */
	pid_t pid; /* of the process, 0: not ours */
	uint32_t serial;
	uint64_t features;
	uint8_t frame[VMBU_FRAME_MAX];
	struct fdmsg in;
	struct yielder yielder;
	/* should the wait for an answer end? Asked when a signal came. */
	bool (*give_up)(void *ctx);
	void *ctx;
};

/** vmbus_link_spawn() - start @argv, whose --fd gets the other end. 0 or -errno
 */
int vmbus_link_spawn(struct vmbus_link *l, char **argv, int child_fd,
		     int our_fd);
/** vmbus_link_connect() - to a socket's path */
int vmbus_link_connect(struct vmbus_link *l, const char *path);
/** vmbus_link_limit() - seconds for an answer, after which it counts as gone;
 * 0: none, as at first */
void vmbus_link_limit(struct vmbus_link *l, unsigned int s);
/** vmbus_link_close() - and end the process if it is ours */
void vmbus_link_close(struct vmbus_link *l);

/**
 * vmbus_link_ask() - a request, and its answer
 * @fds:	borrowed
 *
 * Descriptors of the answer are in l->in.fds, and the caller's. Return: 0;
 * -EINTR: given up; -EPIPE: the back-end has gone, or talks nonsense; else the
 * negated error of the reply, whose sentence is in @ret.
 */
int vmbus_link_ask(struct vmbus_link *l, struct vmbu_request *r, const int *fds,
		   int nfds, struct vmbu_reply *ret);
/** vmbus_link_tell() - what has no answer; errors as above */
int vmbus_link_tell(struct vmbus_link *l, struct vmbu_request *r);

#endif /* HVVM_VMBUS_LINK_H */
