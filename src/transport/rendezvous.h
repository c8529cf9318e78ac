/* SPDX-License-Identifier: MIT */
/*
 * rendezvous.h - where the broker connects programs' sockets to a transport
 *
 * One listening socket for each type carried, which the broker binds. What
 * arrives is known by its name, which the broker alone gives.
 *
 * The broker says what will arrive before it connects it. Therefore taking a
 * socket and handing it on are two steps: what was taken before the last frame
 * was read has been announced by then; what is taken after it may not have.
 */
#ifndef TRANSPORT_RENDEZVOUS_H
#define TRANSPORT_RENDEZVOUS_H

#include <stdbool.h>

#include "base/ev.h"
#include "proto/name.h"

struct taken;

#define RENDEZVOUS_MAX 2 /* STREAM, RAW */

struct rendezvous {
	struct ev_io io[RENDEZVOUS_MAX];
	int fds[RENDEZVOUS_MAX], n;
	/* something has arrived, or may have */
	void (*ready)(struct rendezvous *r);
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

/** rendezvous_new() - fresh sockets, for the broker to bind: of SOCK_STREAM
 * and, if @raw, of SOCK_SEQPACKET. 0 or -errno */
int rendezvous_new(struct rendezvous *r, bool raw);
/** rendezvous_listen() - bound by now: wait for sockets, calling @ready. 0 or
 * -errno */
int rendezvous_listen(struct rendezvous *r, struct ev *ev,
		      void (*ready)(struct rendezvous *r));
/** rendezvous_take() - every socket that has arrived so far */
void rendezvous_take(struct rendezvous *r);
/** rendezvous_deliver() - call arrived() for what was taken: the one with
 * *@token, or all (NULL) */
void rendezvous_deliver(struct rendezvous *r, const uint64_t *token);
/** rendezvous_drop() - close them */
void rendezvous_drop(struct rendezvous *r);

#endif /* TRANSPORT_RENDEZVOUS_H */
