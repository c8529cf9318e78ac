/* SPDX-License-Identifier: MIT */
/*
 * test-ends.c - what was sent arrives, whatever the sizes and whoever is slow,
 * when the end follows the last byte at once
 *
 * Several connections at a time, by a seed: rings of all sizes, writes of all
 * sizes, programs that stop reading for a while. The guest's FIN comes with its
 * last bytes; then its program waits for the end, or closes.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm.h"

#define FLOWS 6u
#define SEEDS 12

static const uint32_t bufs[] = { 0, 32768, 65536, 131072, 200000, 262144 };

static uint32_t below(struct vmm *v, uint32_t n)
{
	return vg_random(v->g) % n;
}

static bool arrived_all(struct vmm *v, void *arg)
{
	bool all = true;

	(void)arg;
	for (unsigned int i = 0; i < v->nflows; i++) {
		struct flow *f = &v->flows[i];

		ck_assert_msg(!f->host_error, "flow %u: error %d", i,
			      f->host_error);
		if (f->host_eof && f->host_got != f->guest_to_send)
			ck_abort_msg(
				"flow %u: %llu of %llu bytes, then the end", i,
				(unsigned long long)f->host_got,
				(unsigned long long)f->guest_to_send);
		/* programs of the host that read in fits and starts */
		f->host_stalls = !f->host_eof && below(v, 3);
		if (f->s && f->guest_fin_sent && f->chunk % 3 == 0)
			flow_close_guest(f);
		all &= f->host_eof;
	}
	return all;
}

START_TEST(test_guest_ends)
{
	struct vmm *v = vmm_new();
	bool program_ends = false;

	v->g->seed = 77777u + (uint32_t)_i * 7919u;
	v->g->in_order = _i % 2;
	vmm_launch(v, NULL);
	vmm_boot(v);
	for (unsigned int i = 0; i < FLOWS; i++) {
		uint32_t buf = bufs[below(v, 6)];
		struct flow *f = i % 3 == 2 ? flow_host(v, buf, i % 2)
					    : flow_guest(v, buf);

		f->chunk = 1 + below(v, below(v, 2) ? 65536 : 6000);
	}
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct flow *f = &v->flows[i];

		f->guest_to_send = below(v, below(v, 2) ? 300000 : 2000000);
		f->guest_fin = f->guest_try = true;
		/* a program that ends with its last byte, as processes do */
		program_ends = below(v, 2);
		if (program_ends)
			f->host_to_send = below(v, 30000);
	}
	vmm_wait(v, arrived_all, NULL, "what the guests sent");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* The same towards the guest: the program writes and is gone. */
static bool guest_has_all(struct vmm *v, void *arg)
{
	bool all = true;

	(void)arg;
	for (unsigned int i = 0; i < v->nflows; i++) {
		struct flow *f = &v->flows[i];

		if (f->fd >= 0 && f->host_sent == f->host_to_send)
			flow_close_host(f);
		if (f->guest_eof && f->guest_got != f->host_to_send)
			ck_abort_msg(
				"flow %u: %llu of %llu bytes, then the end", i,
				(unsigned long long)f->guest_got,
				(unsigned long long)f->host_to_send);
		f->guest_stalls = !f->guest_eof && below(v, 3);
		f->guest_try = true;
		all &= f->guest_eof;
	}
	return all;
}

START_TEST(test_program_ends)
{
	struct vmm *v = vmm_new();

	v->g->seed = 99991u + (uint32_t)_i * 7919u;
	v->g->in_order = _i % 2;
	vmm_launch(v, NULL);
	vmm_boot(v);
	for (unsigned int i = 0; i < FLOWS; i++) {
		uint32_t buf = bufs[below(v, 6)];
		struct flow *f = i % 3 == 2 ? flow_host(v, buf, i % 2)
					    : flow_guest(v, buf);

		f->chunk = 1 + below(v, below(v, 2) ? 65536 : 6000);
		f->host_to_send = below(v, below(v, 2) ? 300000 : 2000000);
	}
	vmm_wait(v, guest_has_all, NULL, "what the programs sent");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("ends");

	tcase_add_loop_test(t, test_guest_ends, 0, SEEDS);
	tcase_add_loop_test(t, test_program_ends, 0, SEEDS);
	return vmm_main("vmbus-user ends", t);
}
