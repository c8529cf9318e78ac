/* SPDX-License-Identifier: MIT */
/* fuzz-message.c - one frame, read as every kind of frame */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

/* A decoder's strings lie within the frame. */
static void touch(const void *p, size_t len, const uint8_t *data, size_t size)
{
	const uint8_t *b = p;

	if (!len)
		return;
	if (b < data || len > size || (size_t)(b - data) > size - len)
		abort();
	for (size_t i = 0; i < len; i++)
		sink = b[i];
}

static void fixed(const uint8_t *p, size_t n)
{
	union {
		struct msg_hello hello;
		struct msg_bind bind;
		struct msg_connect connect;
		struct msg_connect_reply connect_reply;
		struct msg_listen listen;
		struct msg_dial dial;
		struct msg_dial_reply dial_reply;
		struct msg_open open;
		struct msg_token_u64 token;
		struct msg_close close;
		struct msg_closed closed;
		struct msg_live live;
		SOCKADDR_HV address;
		uint64_t u64;
		uint32_t u32;
	} u;

	if (msg_hello_decode(p, n, &u.hello) == 0)
		touch(u.hello.profile, u.hello.profile_len, p, n);
	msg_bind_decode(p, n, &u.bind);
	msg_bind_reply_decode(p, n, &u.bind);
	msg_connect_decode(p, n, &u.connect);
	msg_connect_reply_decode(p, n, &u.connect_reply);
	msg_listen_decode(p, n, &u.listen);
	msg_u64_decode(p, n, &u.u64);
	msg_u32_decode(p, n, &u.u32);
	msg_address_decode(p, n, false, &u.address);
	msg_address_decode(p, n, true, &u.address);
	if (msg_dial_decode(p, n, &u.dial) == 0)
		sink = (uint8_t)dial_cid(&u.dial.vmid);
	msg_dial_reply_decode(p, n, &u.dial_reply);
	msg_open_decode(p, n, &u.open);
	msg_token_u64_decode(p, n, &u.token);
	msg_close_decode(p, n, &u.close);
	msg_closed_decode(p, n, &u.closed);
	msg_live_decode(p, n, &u.live);
}

static void texts(const uint8_t *p, size_t n)
{
	struct msg_hello_reply hello;
	struct msg_result_reply result;
	struct msg_services services;
	struct msg_cids cids;
	struct msg_attach attach;
	struct msg_reply reply;
	const char *a, *b;
	size_t len;
	GUID g;

	if (msg_reply_decode(p, n, &reply) == 0) {
		touch(reply.payload, reply.len, p, n);
		sink = (uint8_t)reason_name(reply.reason)[0];
		sink = (uint8_t)reason_errno(reply.reason);
	}
	if (msg_hello_reply_decode(p, n, &hello) == 0)
		touch(hello.name, hello.name_len, p, n);
	if (msg_result_reply_decode(p, n, &result) == 0)
		touch(result.text, result.text_len, p, n);
	if (msg_attach_decode(p, n, &attach) == 0)
		touch(attach.name, attach.name_len, p, n);
	if (msg_services_decode(p, n, &services) == 0)
		touch(services.ids, services.n * 16, p, n);
	if (msg_cids_decode(p, n, &cids) == 0)
		touch(cids.entries, cids.n * CIDS_ENTRY, p, n);
	if (msg_attach_reply_decode(p, n, &g, &a, &len) == 0)
		touch(a, len, p, n);
	for (int r = 0; r < 2; r++) {
		if (msg_strings_decode(p, n, r, &a, &b) == 0) {
			touch(a, strlen(a) + 1, p, n);
			touch(b, strlen(b) + 1, p, n);
			if (b + strlen(b) + 1 != (const char *)p + n)
				abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_header h;

	if (msg_header_decode(data, size, &h) < 0 && size >= MSG_HEADER)
		abort();
	fixed(data, size);
	texts(data, size);
	return 0;
}
