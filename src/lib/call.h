/* SPDX-License-Identifier: MIT */
/*
 * call.h - one request to the broker, and its reply
 */
#ifndef LIB_CALL_H
#define LIB_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

/* How long a broker may take beyond what the request itself allows. */
#define CALL_GRACE_MS 5000
#define CALL_TIMEOUT_MS (HVSOCKET_CONNECT_TIMEOUT_DEFAULT + CALL_GRACE_MS)

/* Room for a request of fixed size, and for a reply. */
#define CALL_FRAME_SIZE 96
#define CALL_REPLY_SIZE 1024

struct call {
	/* the request: call_begin(), then msg_put_*() to .frame */
	struct msg_buf frame;
	int fd; /* sent along, and whose reason a failure is; or -1 */
	int reason_fd; /* whose reason a failure is; or -1 */
	int timeout_ms;
	bool interruptible; /* a signal ends it (EINTR) */
	bool binds; /* on success the connection owns a listener */
	bool takes_fd; /* a descriptor may come with the reply */
	/*
	 * The broker is gone, the reply with it: has the kernel's object
	 * already become what was asked for? NULL: no, ask again.
	 */
	bool (*done)(struct call *c);

	/* the outcome */
	uint8_t reply[CALL_REPLY_SIZE];
	size_t reply_len;
	int got_fd; /* the caller's; -1: none */
	char dir[128]; /* runtime directory of the broker that answered */
};

/** call_begin() - an empty request in @raw */
void call_begin(struct call *c, enum msg_type type, uint8_t *raw, size_t size);

/**
 * call_run() - send it, wait for the reply
 *
 * A broker that has gone away is looked for once more. No thread is
 * cancelled in here.
 *
 * Return: 1, a good reply is in c->reply; 0, no reply, but done() said yes;
 * -1 with errno and reason set.
 */
int call_run(struct call *c);

/** call_bad_reply() - the reply made no sense. Return: -1. */
int call_bad_reply(struct call *c);

/** call_errno() - an errno of a peer's, or EIO where it is none */
int call_errno(uint32_t error);

/** call_notice() - send what has no reply; errno and reason are untouched */
void call_notice(struct call *c);

/** call_hello() - which partition is this? @name has CONN_NAME_SIZE bytes.
 * Return: 0, or -1 with errno and reason set */
int call_hello(GUID *ret_partition, char *name);

#endif /* LIB_CALL_H */
