/* SPDX-License-Identifier: MIT */
/*
 * splicer.h - bytes both ways between two connected stream sockets
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
 * connection, the descriptor being closed on a thread of its own; so is such a
 * side's socket itself, unless its end has been read.
 */
#ifndef BASE_SPLICER_H
#define BASE_SPLICER_H

#include <stdint.h>

#include "base/ev.h"

struct splicer;

/* @error: 0, or a positive errno that ended it. The relay is freed, and its
 * sockets closed, when this returns. */
typedef void (*splicer_end_fn)(void *arg, int error, uint64_t a_to_b,
			       uint64_t b_to_a);

/**
 * splicer_new() - start to relay
 * @a, @b:	connected, non-blocking; taken when the result is 0
 *
 * @end is never called from within this call. Return: 0 or -errno.
 */
int splicer_new(struct ev *ev, int a, int b, splicer_end_fn end, void *arg,
		struct splicer **ret);

/** splicer_free() - end it without calling @end. NULL is fine. Returns NULL */
struct splicer *splicer_free(struct splicer *r);

/** splicer_bytes() - moved so far */
void splicer_bytes(const struct splicer *r, uint64_t *ret_a_to_b,
		   uint64_t *ret_b_to_a);

/** splicer_close_with() - give strangers' descriptors to @fn, which must not
 * block, instead of making a thread for each lot; NULL: a thread again */
void splicer_close_with(void (*fn)(const int *fds, int n));

/** splicer_guard() - refuse descriptors on a Unix socket, listening ones too.
 * Return: 1 if the kernel does, 0 if not, or if it is no Unix socket */
int splicer_guard(int fd);

/** splicer_discard() - read no more from @fd: SHUT_RD, and what is queued is
 * dropped, so that closing it is no reset to the peer */
void splicer_discard(int fd);

#endif /* BASE_SPLICER_H */
