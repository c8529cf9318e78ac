/* SPDX-License-Identifier: MIT */
/*
 * offload.h - worker threads for what may block
 *
 * Two kinds of work: close() of a stranger's descriptor (SO_LINGER, FUSE), and
 * connect() for a user who was caught clearing O_NONBLOCK (guard.h). Workers
 * see nothing but the job; results come back to the broker's thread.
 *
 * Both are guarded, but what a file system does in close() no signal ends. So
 * strangers' files are charged to who sent them (stranger.c).
 */
#ifndef BROKER_OFFLOAD_H
#define BROKER_OFFLOAD_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/ev.h"

struct offload;

struct offload_connect {
	int fd; /* borrowed until done */
	struct sockaddr_un addr;
	socklen_t len;
	uint64_t timeout_ms;
	int error; /* result: 0 or an errno; EINTR: the time was up */
	void (*done)(struct offload_connect *job);
	struct offload_connect *next; /* offload's own */
};

/** offload_new() - threads start when there is work. Return: 0 or -errno */
int offload_new(struct ev *ev, struct offload **ret);
/** offload_free() - waits for connects, leaves closes to the exit */
struct offload *offload_free(struct offload *o);

/** offload_close() - close @fd (consumed) somewhere else */
void offload_close(struct offload *o, int fd);

struct offload_closing {
	int fd;
	void (*done)(struct offload_closing *job);
	struct offload_closing *next; /* offload's own */
};

/** offload_close_job() - the same, saying when it is done; @job is the
 * caller's until then */
void offload_close_job(struct offload *o, struct offload_closing *job);

/** offload_connect() - run @job (the caller's, until done is called) */
void offload_connect(struct offload *o, struct offload_connect *job);

#endif /* BROKER_OFFLOAD_H */
