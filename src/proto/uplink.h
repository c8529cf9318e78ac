/* SPDX-License-Identifier: MIT */
/*
 * uplink.h - what brokers of a guest and of its host say to each other
 *
 * One line from who asks, one from who is asked, on a connection of its own
 * (docs/protocol.md, 10). Pure functions over whole lines; no I/O.
 */
#ifndef PROTO_UPLINK_H
#define PROTO_UPLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

#include "proto/message.h"

#define UPLINK_PORT 26742u
#define UPLINK_REQUEST_MAX 160 /* with its newline */
#define UPLINK_ANSWER_MAX 320
#define UPLINK_NAME_MAX 255
#define UPLINK_TEXT_MAX 200
#define UPLINK_MESSAGE_MAX 65536u /* of a raw connection */

enum uplink_verb { UPLINK_HELLO, UPLINK_CONNECT, UPLINK_DGRAM };

struct uplink_request {
	enum uplink_verb verb;
	/* of CONNECT: */
	uint8_t type; /* SOCK_STREAM or SOCK_SEQPACKET */
	bool here; /* to the partition of who is asked; else to vmid */
	GUID vmid, service, source;
	uint32_t timeout_ms;
};

struct uplink_answer {
	uint32_t reason; /* 0: yes */
	GUID vmid; /* yes to HELLO: what the guest is known as */
	char text[UPLINK_NAME_MAX + 1]; /* its name; or the sentence of a no */
};

/** uplink_request_parse() - @line is @len bytes, of which the last is the
 * newline. Return: 0 or -EINVAL */
int uplink_request_parse(const char *line, size_t len,
			 struct uplink_request *ret);
/** uplink_request_format() - @ret: UPLINK_REQUEST_MAX + 1 bytes. Return: the
 * line's length */
size_t uplink_request_format(const struct uplink_request *r, char *ret);

/** uplink_answer_parse() - to @verb. Return: 0 or -EINVAL */
int uplink_answer_parse(enum uplink_verb verb, const char *line, size_t len,
			struct uplink_answer *ret);
/** uplink_answer_format() - a text that does not fit, or is not printable, is
 * left out or cut. @ret: UPLINK_ANSWER_MAX + 1 bytes. Return: its length */
size_t uplink_answer_format(enum uplink_verb verb,
			    const struct uplink_answer *a, char *ret);

/** uplink_text_fitting() - as much of @text as fits, in whole characters and
 * without a blank at the end; nothing of what is not printable. Return: its
 * length */
size_t uplink_text_fitting(const char *text, size_t most);

/* JOIN, JOINED (docs/protocol.md, 10) */
struct msg_join {
	uint64_t token;
	uint16_t type, flags;
	uint32_t uid;
	GUID from, dest, service, source;
};

#define JOIN_PASSTHRU 1u
#define JOIN_ANSWER 2u /* say OK over the stream first */
#define JOIN_SIZE 88 /* of the frame */

int msg_join_decode(const uint8_t *p, size_t len, struct msg_join *ret);
void msg_put_join(struct msg_buf *b, const struct msg_join *m);

#endif /* PROTO_UPLINK_H */
