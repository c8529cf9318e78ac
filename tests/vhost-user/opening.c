/* SPDX-License-Identifier: MIT */
/* opening.c - see opening.h */
#include "opening.h"

static bool asked(struct rig *r, void *arg)
{
	(void)arg;
	return r->last.op == VSOCK_OP_REQUEST;
}

bool answered(struct rig *r, void *arg)
{
	return r->b.opens[*(int *)arg].answered;
}

bool prog_over(struct rig *r, void *arg)
{
	return r->prog[*(int *)arg].eof || r->prog[*(int *)arg].error;
}

void guest_is_asked(struct rig *r, int i, uint32_t port)
{
	rig_wait(r, asked, NULL, "REQUEST");
	ck_assert_uint_eq(r->last.dst_port, port);
	r->last.op = 0;
	r->guest[i] = (struct guest_end) { .used = true,
					   .port = port,
					   .host_port = r->last.src_port,
					   .seed = (uint32_t)i * 2,
					   .buf_alloc = 262144,
					   .chunk = 65536 };
}

void guest_says_yes(struct rig *r, int i)
{
	rig_packet(r, i, VSOCK_OP_RESPONSE, 0);
	r->guest[i].open = true;
	r->guest[i].peer_alloc = r->last.buf_alloc;
}

void program(struct rig *r, int i, int fd)
{
	r->prog[i] = (struct prog_end) { .fd = fd,
					 .seed = (uint32_t)i * 2 + 1,
					 .chunk = 65536 };
}
