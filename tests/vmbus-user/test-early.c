/* SPDX-License-Identifier: MIT */
/* While the guest's connect is not answered, or not opened: whoever ends it
 * then, and however. */
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/bytes.h"
#include "vmm.h"

static bool opening(struct vmm *v, void *arg)
{
	const struct flow *f = arg;

	return v->b.ndials == 1 && f->s->chan &&
	       f->s->chan->state == VG_OPENING;
}

static bool only_one(struct vmm *v, void *arg)
{
	(void)arg;
	return v->g->nchans == 1;
}

/* The rings are nonsense before the host has answered. */
START_TEST(test_corrupt_before_the_answer)
{
	struct vmm *v = vmm_start();
	struct flow *good = flow_guest(v, 0);

	for (unsigned int k = 0; k < 2; k++) {
		struct flow *f = flow_guest_begin(v, 0);

		vmm_wait(v, opening, f, "OPEN_CHANNEL");
		v->faulty = true; /* its own FIN finds no room there */
		if (k)
			f->s->chan->out.control[0] = f->s->chan->out.size;
		else
			f->s->chan->in.control[1] = 0xfffffff8;
		f->fd = fb_dial_accept(&v->b, 0, &f->token);
		f->host_to_send = 100; /* the host looks at its own ring */
		f->guest_stalls = true;
		vmm_wait(v, flow_host_over, f, "the end at the program");
		f->used = false;
		flow_close_guest(f);
		flow_close_host(f);
	}
	vmm_wait(v, only_one, NULL, "RESCIND");
	v->faulty = false;
	v->g->fault = 0;
	flow_send(good, 100000, 100000, true);
	vmm_wait(v, flow_finished, good, "the innocent one's bytes");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

static bool dialled(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.ndials == 1;
}

/* The process sleeps while all time limits of a connect run out: 0, nobody
 * answers; 1, the answer is there when it wakes. */
START_TEST(test_time_runs_out_asleep)
{
	struct vmm *v = vmm_start();
	struct flow *good = flow_guest(v, 0), *f = flow_guest_begin(v, 0);

	vmm_wait(v, dialled, NULL, "DIAL");
	must(kill(v->child, SIGSTOP) == 0);
	if (_i) {
		f->fd = fb_dial_accept(&v->b, 0, &f->token);
		f->used = false;
	}
	(void)poll(NULL, 0, 5500); /* of the guest, 5 s */
	must(kill(v->child, SIGCONT) == 0);
	flow_send(good, 100000, 100000, true);
	vmm_wait(v, flow_finished, good, "the other one's bytes");
	flow_close_guest(f);
	flow_close_host(f);
	v->b.ndials = 0;
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* A guest that asks and does not wait cannot make connections without end. */
START_TEST(test_asks_and_goes)
{
	struct vmm *v = vmm_start();
	static const uint8_t tail[12] = { 0xcb, 0xfa, 0xe6, 0x11, 0xbd, 0x58,
					  0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 };
	uint8_t m[40] = { 21 };

	memcpy(m + 12, tail, 12);
	memcpy(m + 28, tail, 12);
	le32_put(m + 24, 1000);
	v->faulty = true; /* answers that its driver did not ask for */
	for (unsigned int i = 0; i < 100; i++) {
		uint32_t relid;

		le32_put(m + 8, 5000 + i); /* another end each time */
		(void)v->g->ops->post(v, 0, v->g->connection, 1, m, 40);
		for (int k = 0; k < 3; k++)
			vmm_step(v, 1);
		for (relid = 1; relid < 40; relid++) {
			uint8_t gone[12] = { 13 };

			le32_put(gone + 8, relid);
			(void)v->g->ops->post(v, 0, v->g->connection, 1, gone,
					      12);
		}
		for (int k = 0; k < 3; k++)
			vmm_step(v, 1);
	}
	ck_assert_int_gt(v->b.ndials, 0);
	ck_assert_int_le(v->b.ndials, 17);
	vmm_end(v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("early");

	signal(SIGPIPE, SIG_IGN);
	tcase_add_test(t, test_corrupt_before_the_answer);
	tcase_add_loop_test(t, test_time_runs_out_asleep, 0, 2);
	tcase_add_test(t, test_asks_and_goes);
	return vmm_main("vmbus-user early", t);
}
