/* SPDX-License-Identifier: MIT */
/*
 * relay.h - bytes both ways between two connected stream sockets
 *
 * A direction ends by itself: end of file on one side is shutdown(SHUT_WR) on
 * the other, a side that no longer reads is SHUT_RD on the one that feeds it,
 * and the reverse direction goes on. The relay is over when both directions
 * are, when a side is closed altogether, or at an error.
 *
 * Bytes move by splice(2) through a pipe. A Unix socket can bring descriptors
 * as well, and closing a stranger's descriptor can take seconds: where the
 * kernel can refuse them (SO_PASSRIGHTS, 6.16) it is told to; elsewhere such a
 * side is read with recvmsg(2), and whoever sends a descriptor loses the
 * connection, the descriptor being closed on a thread of its own.
 */
#ifndef HVCTL_RELAY_H
#define HVCTL_RELAY_H

#include <stdint.h>

#include "base/ev.h"

struct relay;

/* @error: 0, or a positive errno that ended it. The relay is freed, and its
 * sockets closed, when this returns. */
typedef void (*relay_end_fn)(void *arg, int error, uint64_t a_to_b,
			     uint64_t b_to_a);

/**
 * relay_new() - start to relay
 * @a, @b:	connected, non-blocking; taken when the result is 0
 *
 * @end is never called from within this call. Return: 0 or -errno.
 */
int relay_new(struct ev *ev, int a, int b, relay_end_fn end, void *arg,
	      struct relay **ret);

/** relay_free() - end it without calling @end. NULL is fine. Returns NULL */
struct relay *relay_free(struct relay *r);

/** relay_guard() - refuse descriptors on a Unix socket, listening ones too.
 * Return: 1 if the kernel does, 0 if not, or if it is no Unix socket */
int relay_guard(int fd);

/** relay_discard() - read no more from @fd: SHUT_RD, and what is queued is
 * dropped, so that closing it is no reset to the peer */
void relay_discard(int fd);

#endif /* HVCTL_RELAY_H */
