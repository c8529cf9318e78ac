/* SPDX-License-Identifier: MIT */
/* test-stall.c - STALL: nothing moves in any ring, and afterwards nothing is
 * missing */
#include <errno.h>
#include <sys/socket.h>

#include "vmm.h"

static bool counted(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.ncounters >= 0;
}

/* What was sent before has been served when COUNTERS is answered twice. */
static void settle(struct vmm *v)
{
	for (int i = 0; i < 2; i++) {
		for (int k = 0; k < 8; k++)
			vmm_step(v, 0);
		fb_counters(&v->b);
		vmm_wait(v, counted, NULL, "COUNTERS");
	}
}

START_TEST(test_nothing_moves)
{
	struct vmm *v = vmm_start();
	struct flow *f[3] = { flow_guest(v, 0), flow_host(v, 0, false),
			      flow_host(v, 0, true) };

	for (int round = 0; round < 3; round++) {
		uint64_t host[3], guest[3];

		for (int i = 0; i < 3; i++)
			flow_send(f[i], 100000, 100000, false);
		vmm_wait(v, flows_arrived, NULL, "bytes both ways");
		fb_stall(&v->b, true);
		settle(v);
		for (int i = 0; i < 3; i++) {
			host[i] = f[i]->host_got;
			guest[i] = f[i]->guest_got;
			flow_send(f[i], 1000000, 1000000, round == 2);
		}
		settle(v);
		for (int i = 0; i < 3; i++) {
			ck_assert_uint_eq(f[i]->host_got, host[i]);
			ck_assert_uint_eq(f[i]->guest_got, guest[i]);
		}
		fb_stall(&v->b, false);
		vmm_wait(v, flows_arrived, NULL, "what was held back");
	}
	vmm_wait(v, flows_finished, NULL, "the ends");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

START_TEST(test_ends_wait)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0), *g = flow_host(v, 0, false);

	fb_stall(&v->b, true);
	settle(v);
	flow_send(f, 0, 0, true);
	flow_send(g, 3000, 3000, true);
	settle(v);
	ck_assert(!f->host_eof && !f->guest_eof);
	ck_assert(!g->host_eof && !g->guest_eof);
	fb_stall(&v->b, false);
	vmm_wait(v, flows_finished, NULL, "the ends");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

static bool dialled(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.ndials > 0;
}

static bool answered(struct vmm *v, void *arg)
{
	return v->b.opens[*(int *)arg].answered;
}

START_TEST(test_dial_and_open_wait)
{
	struct vmm *v = vmm_start();
	struct flow *f;
	int o;

	fb_stall(&v->b, true);
	settle(v);
	f = flow_guest_begin(v, 0);
	o = fb_open(&v->b, 5000, 0x80000001u, false, 100);
	settle(v);
	ck_assert_int_eq(v->b.ndials, 0);
	vmm_wait(v, answered, &o, "the time limit");
	ck_assert_uint_eq(v->b.opens[o].reason, HVS_REASON_NO_ANSWER);
	fb_stall(&v->b, false);
	vmm_wait(v, dialled, NULL, "DIAL");
	f->fd = fb_dial_accept(&v->b, 0, &f->token);
	flow_send(f, 10000, 10000, true);
	vmm_wait(v, flow_finished, f, "its bytes");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

START_TEST(test_reset)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_host(v, 0, false), *g = flow_host(v, 0, false);

	fb_stall(&v->b, true);
	settle(v);
	must(send(f->fd, "unread", 6, MSG_NOSIGNAL) == 6);
	fb_close_for(&v->b, f->token, HVS_REASON_GUEST_RESET);
	vmm_wait(v, flow_host_over, f, "the program's end");
	ck_assert_int_eq(f->host_error, ECONNRESET);
	vmm_wait(v, flow_guest_over, f, "the guest's end");
	ck_assert(!g->host_eof && !g->host_error);
	fb_stall(&v->b, false);
	flow_send(g, 10000, 10000, true);
	vmm_wait(v, flow_finished, g, "the other one");
	vmm_end(v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("stall");

	tcase_add_test(t, test_nothing_moves);
	tcase_add_test(t, test_ends_wait);
	tcase_add_test(t, test_dial_and_open_wait);
	tcase_add_test(t, test_reset);
	return vmm_main("vmbus-user stall", t);
}
