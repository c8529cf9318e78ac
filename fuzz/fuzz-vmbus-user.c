/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vmbus-user.c - frames of vmbus-user, both ways
 *
 * The first byte is the number of descriptors, then the frame. There is one
 * way to write each frame: what decodes is encoded to the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/vmbus-user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct msg_buf *b, const uint8_t *frame, size_t len)
{
	if (b->overflow || b->len != len || memcmp(b->data, frame, len) != 0)
		abort();
}

static void request(const uint8_t *frame, size_t len, unsigned int nfds)
{
	static uint8_t out[VMBU_FRAME_MAX];
	struct msg_buf b = { .data = out, .size = sizeof(out) };
	struct vmbu_request r;

	if (vmbu_request_decode(frame, len, nfds, &r) < 0)
		return;
	if (r.type == VMBU_MEMORY &&
	    (!r.u.memory.count || r.u.memory.count > VMBU_REGIONS_MAX ||
	     r.u.memory.count != nfds))
		abort();
	if ((r.type == VMBU_POST || r.type == VMBU_POST_AHEAD) &&
	    (r.u.post.len > VMBU_PAYLOAD_MAX ||
	     (r.u.post.size <= VMBU_PAYLOAD_MAX &&
	      r.u.post.size != r.u.post.len)))
		abort();
	if (r.type == VMBU_GIVE && (r.u.give.count != nfds || !nfds))
		abort();
	vmbu_request_encode(&r, &b);
	same(&b, frame, len);
}

static void reply(const uint8_t *frame, size_t len, unsigned int nfds)
{
	struct vmbu_reply r;

	if (vmbu_reply_decode(frame, len, nfds, &r) < 0)
		return;
	if (r.error && (r.text < (const char *)frame ||
			r.text + r.text_len != (const char *)frame + len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int nfds;
	uint8_t *frame;

	if (!size)
		return 0;
	nfds = data[0];
	/* exactly as long as it is, so that sanitizers see the end */
	frame = malloc(size > 1 ? size - 1 : 1);
	if (!frame)
		return 0;
	memcpy(frame, data + 1, size - 1);
	request(frame, size - 1, nfds);
	reply(frame, size - 1, nfds);
	free(frame);
	return 0;
}
