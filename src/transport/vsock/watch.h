/* SPDX-License-Identifier: MIT */
/*
 * watch.h - what the broker says of all VMs together (docs/protocol.md, CIDS)
 *
 * Which CID stands for which partition, and what is registered. When the broker
 * ends, what it said last stands until there is another one.
 */
#ifndef VSOCK_WATCH_H
#define VSOCK_WATCH_H

#include "base/ev.h"
#include "proto/message.h"

struct watch;

struct watch_ops {
	/* parts of the two lists; both point into the frame */
	void (*cids)(void *ctx, const struct msg_cids *m);
	void (*services)(void *ctx, const struct msg_services *m);
};

/** watch_new() - finds the broker's place. 0; -errno: @ret_why */
int watch_new(struct ev *ev, const struct watch_ops *ops, void *ctx,
	      struct watch **ret, const char **ret_why);
struct watch *watch_free(struct watch *w);
/** watch_start() - try now, and for ever */
void watch_start(struct watch *w);
/** watch_failed() - why it is not connected, one sentence; NULL: it is, or has
 * not been decided yet */
const char *watch_failed(const struct watch *w);
/** watch_place() - the control socket's path, for messages */
const char *watch_place(const struct watch *w);

#endif /* VSOCK_WATCH_H */
