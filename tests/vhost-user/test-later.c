/* SPDX-License-Identifier: MIT */
/*
 * test-later.c - what is not done at once, to save system calls and wake-ups,
 * is done nevertheless: a guest is told that its packets have been taken, and
 * that a program of a busy connection reads no more. And no longer than there
 * is something to do
 */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "must.h"
#include "rig.h"

#define TX 1

static bool taken(const struct rig *r)
{
	const struct drv_ring *tx = &r->d.rings[TX];
	uint8_t idx[2];

	for (int i = 0; i < 2; i++)
		idx[i] = __atomic_load_n(r->d.ram + tx->used + 2 + i,
					 __ATOMIC_ACQUIRE);
	return le16_get(idx) == tx->avail_idx;
}

/* From a guest that only waits for its transmit interrupt, which was asked for
 * when the rig last looked. */
static void send_small(struct rig *r)
{
	rig_connected(r, 0, 1025, 5000);
	rig_settle(r);
	while (drv_poll(&r->d))
		;
	rig_packet(r, 0, VSOCK_OP_CREDIT_UPDATE, 0);
}

static bool told(struct rig *r, int ms)
{
	struct pollfd p = { .fd = r->d.rings[TX].call, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

START_TEST(test_taken_is_told)
{
	struct rig *r = rig_start();

	send_small(r);
	ck_assert(told(r, RIG_LIMIT_MS));
	ck_assert(taken(r));
	rig_end(r);
}
END_TEST

/* A ring that has been stopped makes no interrupts: what is owed comes first.
 */
START_TEST(test_told_before_stop)
{
	struct rig *r = rig_start();

	send_small(r);
	while (!taken(r))
		;
	drv_stop(&r->d);
	ck_assert(told(r, 0));
	rig_end(r);
}
END_TEST

static bool got_shut(struct rig *r, void *arg)
{
	(void)arg;
	return r->guest[0].peer_shut == VSOCK_SHUT_RCV;
}

/* Both ways, in so many pieces that it counts as busy; @_i: only to the guest
 */
START_TEST(test_busy_program_stops_reading)
{
	struct rig *r = rig_start();
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	for (int i = 0; i < 40; i++) {
		r->prog[0].to_send += 100;
		if (!_i)
			r->guest[0].to_send += 100;
		rig_wait(r, rig_all_arrived, &one, "100 bytes");
	}
	r->prog[0].stalled = true;
	ck_assert_int_eq(shutdown(r->prog[0].fd, SHUT_RD), 0);
	rig_wait(r, got_shut, NULL, "SHUTDOWN with flag 1");
	rig_end(r);
}
END_TEST

static unsigned long sleeps(const struct rig *r)
{
	char path[64], line[128];
	unsigned long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)r->child);
	f = fopen(path, "r");
	must(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
			break;
	fclose(f);
	return n;
}

static bool window_full(struct rig *r, void *arg)
{
	(void)arg;
	return r->guest[0].received - r->guest[0].fwd >=
	       r->guest[0].buf_alloc;
}

/* A guest that takes no more, and a program that has more: nothing happens, and
 * nothing is looked at. (That it does not happen only time can show.) */
START_TEST(test_quiet_while_stalled)
{
	struct rig *r = rig_start();
	unsigned long before;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].stalled = true;
	r->prog[0].to_send = 400000;
	rig_wait(r, window_full, NULL, "a window full");
	rig_settle(r);
	(void)poll(NULL, 0, 200); /* what was begun is over */
	before = sleeps(r);
	(void)poll(NULL, 0, 1000);
	ck_assert_uint_le(sleeps(r) - before, 5);
	/* nor is anything missed */
	r->prog[0].stalled = true;
	ck_assert_int_eq(shutdown(r->prog[0].fd, SHUT_RD), 0);
	rig_wait(r, got_shut, NULL, "SHUTDOWN with flag 1");
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-later");
	TCase *t = tcase_create("later");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_taken_is_told);
	tcase_add_test(t, test_told_before_stop);
	tcase_add_loop_test(t, test_busy_program_stops_reading, 0, 2);
	tcase_add_test(t, test_quiet_while_stalled);
	suite_add_tcase(s, t);
	return rig_run(s);
}
