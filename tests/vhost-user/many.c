/* SPDX-License-Identifier: MIT */
/* many.c - see many.h */
#include "many.h"

#include <check.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static bool ready(struct rig *r, void *arg)
{
	return r->service->ready > *(unsigned int *)arg;
}

void many_restart(struct rig *r, int sig)
{
	unsigned int before;
	int status;

	svc_poll(r->service);
	ck_assert_int_eq(kill(r->child, sig), 0);
	ck_assert_int_eq(waitpid(r->child, &status, 0), r->child);
	if (sig == SIGTERM)
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
			      "it ended with status %x", status);
	svc_poll(r->service);
	before = r->service->ready;
	rig_spawn(r);
	rig_wait(r, ready, &before, "READY=1");
}

void many_connect(struct rig *r)
{
	const int few = 8192;

	for (int i = 0; i < MANY; i++)
		rig_connected(r, i, 2000 + (uint32_t)i, 5000);
	for (int i = 0; i < MANY; i++) {
		/* little on the way at a time: all of it has to arrive */
		must(setsockopt(r->prog[i].fd, SOL_SOCKET, SO_SNDBUF, &few,
				sizeof(few)) == 0);
		r->guest[i].buf_alloc = 32768;
		rig_packet(r, i, VSOCK_OP_CREDIT_UPDATE, 0);
		r->guest[i].chunk = r->prog[i].chunk = 4000 + (uint32_t)i * 10;
		r->guest[i].to_send = r->prog[i].to_send = 100000000;
	}
}

void many_flow(struct rig *r, uint64_t more)
{
	uint64_t guest = r->guest[MANY - 1].received + more;
	uint64_t prog = r->prog[MANY - 1].received + more;

	while (r->guest[MANY - 1].received < guest ||
	       r->prog[MANY - 1].received < prog)
		rig_step(r, 10);
}

void many_well(struct rig *r, int n)
{
	for (int i = 0; i < n; i++) {
		r->guest[i].to_send = r->guest[i].sent;
		r->prog[i].to_send = r->prog[i].sent;
	}
	rig_wait(r, rig_all_arrived, &n, "all bytes");
	for (int i = 0; i < n; i++) {
		ck_assert(!r->guest[i].reset && !r->guest[i].peer_shut);
		ck_assert(!r->prog[i].eof && !r->prog[i].error);
	}
}

void many_slots(struct drv *d)
{
	d->mem_slots = true;
	d->queues = 3;
	d->features &= ~(1ull << 29);
	d->indirect = true;
}
