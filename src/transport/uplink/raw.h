/* SPDX-License-Identifier: MIT */
/*
 * raw.h - messages over an uplink's stream (docs/protocol.md, 10)
 *
 * Between a SOCK_SEQPACKET Unix socket and a stream in which each message has
 * its length before it. A direction ends by itself, as in base/splicer.h; a
 * length that cannot be ends the connection. At most one message is held each
 * way.
 */
#ifndef TRANSPORT_UPLINK_RAW_H
#define TRANSPORT_UPLINK_RAW_H

#include <stdint.h>

#include "base/ev.h"

struct raw;

/* It is freed, and its sockets closed, when this returns. */
typedef void (*raw_end_fn)(void *arg, int error);

/** raw_new() - @messages, @stream: connected, non-blocking; taken when the
 * result is 0. @end is never called from within. Return: 0 or -errno */
int raw_new(struct ev *ev, int messages, int stream, raw_end_fn end, void *arg,
	    struct raw **ret);
/** raw_free() - end it without calling @end. NULL is fine. Return: NULL */
struct raw *raw_free(struct raw *r);
/** raw_bytes() - of messages, so far */
void raw_bytes(const struct raw *r, uint64_t *ret_out, uint64_t *ret_in);

#endif /* TRANSPORT_UPLINK_RAW_H */
