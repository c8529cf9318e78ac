/* SPDX-License-Identifier: MIT */
/*
 * rendezvous.h - where the broker connects programs' sockets to a transport
 *
 * One listening socket, which the broker binds. What arrives is known by its
 * name, which the broker alone gives.
 *
 * The broker says what will arrive before it connects it. Therefore taking a
 * socket and handing it on are two steps: what was taken before the last frame
 * was read has been announced by then; what is taken after it may not have.
 */
#ifndef TRANSPORT_RENDEZVOUS_H
#define TRANSPORT_RENDEZVOUS_H

#include "base/ev.h"
#include "proto/name.h"

struct taken;

struct rendezvous {
	struct ev_io io;
	int fd;	   /* -1 */
	int spare; /* a descriptor to give up when there are no more; -1 */
	/* a socket with its name; @fd is the callee's */
	void (*arrived)(void *ctx, int fd, const struct connector_name *n);
	void *ctx;
	struct taken *first, **last; /* not handed on yet */
};

void rendezvous_init(struct rendezvous *r,
		     void (*arrived)(void *ctx, int fd,
				     const struct connector_name *n),
		     void *ctx);
/** rendezvous_fini() - close all; after rendezvous_init() in any state */
void rendezvous_fini(struct rendezvous *r);

/** rendezvous_new() - a fresh socket, for the broker to bind. 0 or -errno */
int rendezvous_new(struct rendezvous *r);
/** rendezvous_listen() - bound by now: wait for sockets, calling @fn. 0 or
 * -errno */
int rendezvous_listen(struct rendezvous *r, struct ev *ev, ev_io_fn fn);
/** rendezvous_take() - every socket that has arrived so far */
void rendezvous_take(struct rendezvous *r);
/** rendezvous_deliver() - call arrived() for what was taken: the one with
 * *@token, or all (NULL) */
void rendezvous_deliver(struct rendezvous *r, const uint64_t *token);
/** rendezvous_drop() - close it */
void rendezvous_drop(struct rendezvous *r);

#endif /* TRANSPORT_RENDEZVOUS_H */
