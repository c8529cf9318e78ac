/* SPDX-License-Identifier: MIT */
/*
 * dialler.h - libhvsocket's calls that ask the broker, on threads of their own
 *
 * The library has no calls that ask and do not wait, and a broker may take its
 * time. Those who are connected already must not wait with the one who asks.
 */
#ifndef HYBRID_DIALLER_H
#define HYBRID_DIALLER_H

#include <stdbool.h>

#include "base/ev.h"

struct dial;

struct dial_result {
	int error;	 /* 0, EINPROGRESS, or why not: errno */
	int fd;		 /* the callee's; -1 unless 0 or EINPROGRESS */
	bool backlog;	 /* the listener's is full: worth another try */
	const char *why; /* a sentence */
};

/* Never from within the call that asks; the dial is gone then. */
typedef void (*dial_fn)(void *ctx, const struct dial_result *r);

/** dialler_start() - before seccomp, after Landlock (sandbox.h). Return: 0 or
 * -errno */
int dialler_start(struct ev *ev);
/** dialler_stop() - no more is heard of any. Every dial has been heard of, or
 * cancelled */
void dialler_stop(void);

/** dial_new() - connect to @address without blocking. Return: NULL: no memory
 */
struct dial *dial_new(const char *address, dial_fn fn, void *ctx);
/** dial_ask() - what came of @fd, whose connect was in progress, and which is
 * owned until then. Return: NULL: no memory, and @fd is the caller's */
struct dial *dial_ask(int fd, dial_fn fn, void *ctx);
/** dial_cancel() - Return: NULL */
struct dial *dial_cancel(struct dial *d);

#endif /* HYBRID_DIALLER_H */
