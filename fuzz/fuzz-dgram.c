/* SPDX-License-Identifier: MIT */
/*
 * fuzz-dgram.c - frames for datagrams, and the queues that they wait in
 *
 * There is one way to write each frame: what decodes is encoded to the same
 * bytes. The input is then read once more as pushes and pops of a queue.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/dgram/queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		abort();
}

static void on_socket(const uint8_t *frame, size_t len)
{
	uint8_t header[DGRAM_HEADER];
	struct dgram d;

	if (dgram_decode(frame, len, &d) < 0)
		return;
	dgram_encode(&d, header);
	must(memcmp(header, frame, sizeof(header)) == 0);
}

/* What follows the header of a message. */
static void same(const struct msg_buf *b, const uint8_t *frame, size_t len)
{
	must(!b->overflow && b->len == len - MSG_HEADER &&
	     memcmp(b->data, frame + MSG_HEADER, b->len) == 0);
}

static void messages(const uint8_t *frame, size_t len)
{
	static struct msg_receiver to[ROUTE_MAX];
	static uint8_t out[MSG_MAX];
	struct msg_buf b = { .data = out, .size = sizeof(out) };
	struct msg_socket s;
	struct msg_reach r;
	struct msg_drops d;
	int n;

	if (msg_socket_decode(frame, len, &s) == 0) {
		must(s.ngroups <= SOCKET_GROUPS_MAX);
		msg_put_socket(&b, &s);
		same(&b, frame, len);
	}
	b.len = 0;
	if (msg_drops_decode(frame, len, &d) == 0) {
		msg_put_drops(&b, &d);
		same(&b, frame, len);
	}
	b.len = 0;
	if (msg_route_decode(frame, len, &r) == 0) {
		msg_put_u64(&b, r.token);
		msg_put_address(&b, &r.dest);
		same(&b, frame, len);
	}
	b.len = 0;
	if (msg_reach_decode(frame, len, &r) == 0) {
		msg_put_address(&b, &r.dest);
		msg_put_u64(&b, r.token);
		same(&b, frame, len);
	}
	n = msg_route_reply_decode(frame, len, to);
	must(n <= ROUTE_MAX);
}

/* Each byte: who sends (3 bits), how much (4 bits), or a pop (top bit). */
static void queue(const uint8_t *p, size_t len)
{
	static const uint8_t header[DGRAM_HEADER];
	static const uint8_t bytes[DGRAM_MAX];
	struct queue q = { .turn = NULL };
	size_t in = 0;

	for (size_t i = 0; i < len && i < 4096; i++) {
		unsigned int dropped;
		struct load *l;

		if (p[i] & 0x80) {
			if (queue_head(&q)) {
				queue_pop(&q);
				in--;
			}
			continue;
		}
		l = load_new(bytes, (size_t)(p[i] >> 3) * 4369);
		if (!l)
			break;
		if (queue_push(&q, QUEUE_BYTES, p[i] & 7, l, header,
			       &dropped) == 0)
			in++;
		in -= dropped;
		load_unref(l);
		must(q.messages == in && q.messages <= QUEUE_MESSAGES &&
		     q.bytes <= QUEUE_BYTES && !q.turn == !in);
	}
	queue_free(&q);
	must(!q.turn && !q.bytes && !q.messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* exactly as long as it is, so that sanitizers see the end */
	uint8_t *frame = calloc(1, size ? size : 1);

	if (!frame)
		return 0;
	if (size)
		memcpy(frame, data, size);
	on_socket(frame, size);
	messages(frame, size);
	queue(frame, size);
	free(frame);
	return 0;
}
