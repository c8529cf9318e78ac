/* SPDX-License-Identifier: MIT */
/*
 * notice.h - what systemd in a guest says of how far it is
 *
 * The text of sd_notify(3), as it comes over AF_VSOCK: lines, each NAME=VALUE,
 * of which a few matter here. The guest is a stranger: lines that are too long,
 * unknown or malformed are passed over. Pure: bytes in, a state out.
 */
#ifndef PROTO_NOTICE_H
#define PROTO_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTICE_PORT 26743u	/* where a guest's systemd is to send it */
#define NOTICE_MAX 65536u	/* bytes of one connection */
#define NOTICE_LINE_MAX 512u	/* longer ones are passed over */
#define NOTICE_STATUS_SIZE 128u /* with the terminator: more is cut */

enum notice_state {
	NOTICE_NONE,
	NOTICE_READY,	 /* READY=1: everything that starts has started */
	NOTICE_STOPPING, /* STOPPING=1: it shuts down */
};

struct notice {
	enum notice_state state; /* as last said */
	bool has_status;
	char status[NOTICE_STATUS_SIZE]; /* printable UTF-8 */
	size_t taken;			 /* bytes, of all lines */
	char line[NOTICE_LINE_MAX];
	size_t len; /* of the line that has not ended */
	bool skip;  /* it is too long */
};

void notice_init(struct notice *n);

/** notice_feed() - what has come; @n says what is known of it so far. Return:
 * 0, or -EFBIG: more than NOTICE_MAX, and nothing more is taken */
int notice_feed(struct notice *n, const void *data, size_t len);

/** notice_end() - the end of a message, or of the stream: of the last line too,
 * which need not have a newline */
void notice_end(struct notice *n);

/** notice_state_name() - "ready", "stopping"; NULL for NOTICE_NONE */
const char *notice_state_name(enum notice_state state);

#endif /* PROTO_NOTICE_H */
