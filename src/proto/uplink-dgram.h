/* SPDX-License-Identifier: MIT */
/*
 * uplink-dgram.h - datagrams over an uplink (docs/protocol.md, 10)
 *
 * Frames on the one connection between hvsocket-dgram of a guest's broker and
 * that of its host's, and what the brokers say to theirs about it. Pure
 * functions, as those of dgram.h.
 */
#ifndef PROTO_UPLINK_DGRAM_H
#define PROTO_UPLINK_DGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/dgram.h"
#include "proto/uplink.h"

#define UPLINK_DGRAM_HEADER 72
/* what may follow: a datagram, or an answer */
#define UPLINK_DGRAM_MAX DGRAM_MAX
#define UPLINK_QUESTION_SIZE 4
#define UPLINK_REPLY_SIZE 8 /* without its sentence */
#define UPLINK_REPLY_MAX (UPLINK_REPLY_SIZE + UPLINK_TEXT_MAX)

enum uplink_dgram_kind {
	UPLINK_DATAGRAM = 1,
	UPLINK_QUESTION,
	UPLINK_REPLY,
};

/* The two ends, as they stand in a frame. */
struct uplink_ends {
	GUID from, source, to, service;
};

struct uplink_dgram {
	uint32_t len; /* of what follows */
	uint16_t kind;
	uint16_t flags; /* DGRAM_BROADCAST */
	struct uplink_ends ends;
};

struct uplink_reply {
	uint32_t number, reason;
	char text[UPLINK_TEXT_MAX + 1];
};

/** uplink_dgram_encode() - @ret: UPLINK_DGRAM_HEADER bytes */
void uplink_dgram_encode(const struct uplink_dgram *d, uint8_t *ret);
/** uplink_dgram_decode() - UPLINK_DGRAM_HEADER bytes. @of_host: it comes from
 * the host, not from a guest. Return: 0 or -EINVAL */
int uplink_dgram_decode(const uint8_t *p, bool of_host,
			struct uplink_dgram *ret);

/** uplink_reply_encode() - a sentence that is not printable is left out, one
 * that is too long is cut. @ret: UPLINK_REPLY_MAX bytes. Return: its length */
size_t uplink_reply_encode(const struct uplink_reply *r, uint8_t *ret);
/** uplink_reply_decode() - Return: 0 or -EINVAL */
int uplink_reply_decode(const uint8_t *p, size_t len, struct uplink_reply *ret);

/* ---- To and from the broker ----------------------------------------------*/

struct msg_uplink_route { /* ROUTE of an uplink's token */
	uint64_t token;
	struct uplink_ends ends;
	uint32_t flags; /* DGRAM_BROADCAST */
};

struct msg_ask { /* ASK */
	uint64_t token;
	struct uplink_ends ends;
};

int msg_uplink_route_decode(const uint8_t *p, size_t len,
			    struct msg_uplink_route *ret);
void msg_put_uplink_route(struct msg_buf *b, const struct msg_uplink_route *m);
int msg_ask_decode(const uint8_t *p, size_t len, struct msg_ask *ret);
void msg_put_ask(struct msg_buf *b, const struct msg_ask *m);

#endif /* PROTO_UPLINK_DGRAM_H */
