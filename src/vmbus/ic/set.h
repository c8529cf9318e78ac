/* SPDX-License-Identifier: MIT */
/*
 * set.h - the integration components of one guest
 *
 * Who embeds it says what the guest does with each channel, and when it is;
 * packets go out by ops->send(). Which of them are offered at all is not known
 * here: one that is not is never opened.
 */
#ifndef VMBUS_IC_SET_H
#define VMBUS_IC_SET_H

#include "vmbus/ic/services.h"

struct ic_set_ops {
	/* as of struct ic_ops */
	int (*send)(void *ctx, enum ic_kind kind, const void *packet,
		    size_t len, uint64_t transaction);
	struct timesync_clock (*clock)(void *ctx);
};

struct ic_set {
	const struct ic_set_ops *ops;
	void *ctx;
	uint64_t now;
	struct ic ic[IC_KINDS];
	struct heartbeat heartbeat;
	struct timesync timesync;
	struct vss vss;
	struct fcopy fcopy;
};

void ic_set_init(struct ic_set *s, const struct ic_set_ops *ops, void *ctx,
		 uint64_t sequence);
void ic_set_fini(struct ic_set *s);

void ic_set_opened(struct ic_set *s, enum ic_kind kind);
void ic_set_closed(struct ic_set *s, enum ic_kind kind);
void ic_set_packet(struct ic_set *s, enum ic_kind kind, const void *p,
		   size_t len, uint64_t transaction);
void ic_set_writable(struct ic_set *s, enum ic_kind kind);
/** ic_set_resumed() - the guest has not run for a while */
void ic_set_resumed(struct ic_set *s);

/** ic_set_now() - what time it is, before anything is told or asked: what is
 * asked is late, and what is frozen thaws, as counted from here */
void ic_set_now(struct ic_set *s, uint64_t now);
/** ic_set_time() - @now: nanoseconds of a monotonic clock */
void ic_set_time(struct ic_set *s, uint64_t now);
uint64_t ic_set_deadline(const struct ic_set *s); /* 0: none */

#endif /* VMBUS_IC_SET_H */
