/* SPDX-License-Identifier: MIT */
/*
 * beside.h - a program beside the broker that carries bytes for it
 *
 * Its connection to the broker: says HELLO and the one request that tells what
 * it is (RELAY, UPLINK), hands on the frames, and connects again when the
 * broker has ended. What the frames mean is not known here.
 */
#ifndef TRANSPORT_BESIDE_H
#define TRANSPORT_BESIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ev.h"
#include "base/fdmsg.h"
#include "base/log.h"
#include "proto/message.h"
#include "transport/place.h"

struct beside;

struct beside_ops {
	uint16_t request; /* what it says it is */
	/* taken: tell what there is from before */
	void (*attached)(struct beside *e);
	/* the broker has gone, or refuses */
	void (*lost)(struct beside *e, const char *why);
	/* one frame, once attached; descriptors that it takes are taken out of
	 * @f. Return: 0; -EPROTO: it is malformed */
	int (*frame)(struct beside *e, const struct msg_header *h,
		     const uint8_t *p, struct fdmsg *f);
};

struct beside {
	struct ev *ev;
	const struct beside_ops *ops;
	struct place place;
	int fd; /* -1 */
	struct ev_io io;
	struct ev_timer timer;
	uint64_t retry_ms;
	uint32_t serial;
	bool up;
	struct log_limit limit;
};

/* A frame to be written, with its memory, as local variables. */
#define BESIDE_BUF(name, bytes)      \
	uint8_t name##_bytes[bytes]; \
	struct msg_buf name = msg_buf(name##_bytes, sizeof(name##_bytes))

/** beside_init() - find the broker's place. Return: 0; -errno, @ret_why */
int beside_init(struct beside *e, struct ev *ev, const struct beside_ops *ops,
		const char **ret_why);
void beside_fini(struct beside *e);
/** beside_start() - try now, and again until it succeeds */
void beside_start(struct beside *e);
/** beside_drain() - handle the frames that are there */
void beside_drain(struct beside *e);
/** beside_send() - one frame; nothing while there is no broker */
void beside_send(struct beside *e, const struct msg_buf *m);

#endif /* TRANSPORT_BESIDE_H */
