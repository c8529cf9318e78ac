/* SPDX-License-Identifier: MIT */
/*
 * test-stall.c - STALL: nothing moves, and afterwards nothing is missing
 *
 * That nothing moves is seen without waiting for time: questions to the program
 * from both sides, broker and guest, have been answered behind what was sent.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "opening.h"

static bool counted(struct rig *r, void *arg)
{
	(void)arg;
	return r->b.ncounters >= 0;
}

static bool dialled(struct rig *r, void *arg)
{
	(void)arg;
	return r->b.ndials > 0;
}

static bool all_sent(struct rig *r, void *arg)
{
	int i = *(int *)arg;

	return r->guest[i].sent == r->guest[i].to_send &&
	       r->prog[i].sent == r->prog[i].to_send;
}

static bool one_end_is_over(struct rig *r, void *arg)
{
	return r->guest[*(int *)arg].peer_shut;
}

/* Both sides have had their answers, twice: what the first round brought about
 * has been served in the second. */
static void settle(struct rig *r)
{
	for (int i = 0; i < 2; i++) {
		fb_counters(&r->b);
		rig_wait(r, counted, NULL, "COUNTERS");
		rig_settle(r);
	}
}

static void stall(struct rig *r)
{
	fb_stall(&r->b, true);
	settle(r);
}

/* The guest is asked for @port, and says yes; the program of @o has @fd, or
 * (-1) what comes at the rendezvous. */
static void accepts(struct rig *r, int i, int o, uint32_t port, int fd)
{
	guest_is_asked(r, i, port);
	guest_says_yes(r, i);
	rig_wait(r, answered, &o, "the reply to OPEN");
	ck_assert_uint_eq(r->b.opens[o].error, 0);
	program(r, i, fd < 0 ? fb_meet(&r->b, r->b.opens[o].token) : fd);
}

/* A connection of a program's, open: its index in opens */
static int program_opens(struct rig *r, int i, uint32_t port)
{
	int o = fb_open(&r->b, port, 0x80000123u + (uint32_t)i, false, 20000);

	r->last.op = 0;
	accepts(r, i, o, port, -1);
	return o;
}

static void more(struct rig *r, int n, uint64_t bytes)
{
	for (int i = 0; i < n; i++) {
		r->guest[i].to_send += bytes;
		r->prog[i].to_send += bytes;
	}
}

START_TEST(test_nothing_moves)
{
	struct rig *r = rig_start();
	int n = 2;

	rig_connected(r, 0, 2000, 22);
	program_opens(r, 1, 22);
	for (int round = 0; round < 3; round++) {
		more(r, n, 100000);
		rig_wait(r, rig_all_arrived, &n, "bytes both ways");
		stall(r);
		/* more than a guest has credit for, and a socket room */
		more(r, n, 2000000);
		settle(r);
		for (int i = 0; i < n; i++) {
			ck_assert_uint_lt(r->prog[i].received,
					  r->guest[i].to_send - 1999999);
			ck_assert_uint_lt(r->guest[i].received,
					  r->prog[i].to_send - 1999999);
		}
		fb_stall(&r->b, false);
		rig_wait(r, rig_all_arrived, &n, "what was held back");
	}
	/* once more than needed */
	fb_stall(&r->b, false);
	fb_stall(&r->b, true);
	fb_stall(&r->b, true);
	fb_stall(&r->b, false);
	more(r, n, 100000);
	rig_wait(r, rig_all_arrived, &n, "bytes both ways");
	rig_end(r);
}
END_TEST

/* Ends of one direction wait behind the bytes before them, or alone. */
START_TEST(test_half_close)
{
	struct rig *r = rig_start();
	int n = 2, zero = 0, one = 1;

	rig_connected(r, 0, 2000, 22);
	rig_connected(r, 1, 2001, 22);
	more(r, n, 1000);
	rig_wait(r, rig_all_arrived, &n, "bytes both ways");
	stall(r);
	if (_i) {
		r->guest[0].to_send += 5000;
		r->prog[1].to_send += 5000;
		rig_wait(r, all_sent, &zero, "sent");
		rig_wait(r, all_sent, &one, "sent");
	}
	rig_packet(r, 0, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND);
	ck_assert_int_eq(shutdown(r->prog[1].fd, SHUT_WR), 0);
	settle(r);
	ck_assert(!r->prog[0].eof);
	ck_assert_uint_eq(r->guest[1].peer_shut, 0);
	fb_stall(&r->b, false);
	rig_wait(r, prog_over, &zero, "the guest's end");
	ck_assert(r->prog[0].eof);
	rig_wait(r, one_end_is_over, &one, "the program's end");
	rig_wait(r, rig_all_arrived, &n, "all of it");
	/* the other directions go on */
	r->prog[0].to_send += 3000;
	r->guest[1].to_send += 3000;
	rig_wait(r, rig_all_arrived, &n, "the other directions");
	rig_end(r);
}
END_TEST

START_TEST(test_open_and_dial_wait)
{
	struct rig *r = rig_start();
	int soon, late, n = 1;

	stall(r);
	soon = fb_open(&r->b, 23, 0x80000001u, false, 100);
	late = fb_open(&r->b, 22, 0x80000002u, false, 20000);
	rig_connect(r, 1, 2000, 22);
	settle(r);
	ck_assert_int_eq(r->b.ndials, 0);
	rig_wait(r, answered, &soon, "the time limit");
	ck_assert_uint_eq(r->b.opens[soon].reason, HVS_REASON_NO_ANSWER);
	ck_assert(!r->b.opens[late].answered);
	r->last.op = 0;
	fb_stall(&r->b, false);
	accepts(r, 0, late, 22, -1);
	rig_wait(r, dialled, NULL, "DIAL");
	fb_dial_refuse(&r->b, 0, HVS_REASON_NO_LISTENER);
	more(r, n, 300000);
	rig_wait(r, rig_all_arrived, &n, "bytes both ways");
	rig_end(r);
}
END_TEST

/* The program sees nothing of it but that it takes longer. */
START_TEST(test_parked_waits)
{
	struct rig *r = rig_start();
	struct pollfd p = { .events = POLLOUT };
	int o, n = 1;

	stall(r);
	o = fb_open(&r->b, 22, 0x80000001u, true, 20000);
	p.fd = fb_meet(&r->b, r->b.opens[o].token);
	fb_parked(&r->b, r->b.opens[o].token, fb_fill(p.fd));
	settle(r);
	ck_assert(!r->b.opens[o].answered);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	r->last.op = 0;
	fb_stall(&r->b, false);
	accepts(r, 0, o, 22, p.fd);
	ck_assert_int_eq(poll(&p, 1, 0), 1);
	ck_assert_int_eq(p.revents, POLLOUT);
	more(r, n, 300000);
	rig_wait(r, rig_all_arrived, &n, "bytes both ways");
	rig_end(r);
}
END_TEST

/* The guest has gone meanwhile. */
START_TEST(test_no_guest_afterwards)
{
	struct rig *r = rig_start();
	uint32_t off = 0;
	int o;

	stall(r);
	o = fb_open(&r->b, 22, 0x80000001u, false, 20000);
	close(r->d.sock);
	r->d.sock = -1;
	rig_wait(r, rig_idle_state, &off, "STATE");
	ck_assert(!r->b.opens[o].answered);
	fb_stall(&r->b, false);
	rig_wait(r, answered, &o, "the refusal");
	ck_assert_uint_eq(r->b.opens[o].reason, HVS_REASON_PARTITION_OFF);
	rig_end(r);
}
END_TEST

/* Given up by the broker before the guest was asked. */
START_TEST(test_open_given_up)
{
	struct rig *r = rig_start();
	int o, p;

	stall(r);
	o = fb_open(&r->b, 22, 0x80000001u, false, 20000);
	p = fb_open(&r->b, 22, 0x80000002u, false, 20000);
	fb_close_for(&r->b, r->b.opens[o].token, HVS_REASON_GUEST_RESET);
	fb_close(&r->b, r->b.opens[p].token);
	rig_wait(r, answered, &o, "the answer");
	rig_wait(r, answered, &p, "the answer");
	ck_assert_uint_eq(r->b.opens[o].reason, HVS_REASON_GUEST_RESET);
	ck_assert_uint_eq(r->b.opens[p].reason, HVS_REASON_NO_LONGER_ALLOWED);
	r->last.op = 0;
	fb_stall(&r->b, false);
	settle(r);
	ck_assert_uint_ne(r->last.op, VSOCK_OP_REQUEST);
	rig_end(r);
}
END_TEST

/* CLOSE is obeyed at once. _i: while it is stalled */
START_TEST(test_reset)
{
	struct rig *r = rig_start();
	int zero = 0, one = 1, n = 3;
	int a = program_opens(r, 0, 22), b = program_opens(r, 1, 22);

	program_opens(r, 2, 22);
	more(r, n, 1000);
	rig_wait(r, rig_all_arrived, &n, "bytes both ways");
	if (_i) {
		stall(r);
		/* not to be read any more */
		r->prog[0].to_send += 5000;
		rig_wait(r, all_sent, &zero, "sent");
	}
	fb_close_for(&r->b, r->b.opens[a].token, HVS_REASON_GUEST_RESET);
	fb_close_for(&r->b, r->b.opens[b].token, HVS_REASON_GUEST_RESET);
	rig_wait(r, rig_was_reset, &zero, "RST");
	rig_wait(r, rig_was_reset, &one, "RST");
	rig_wait(r, prog_over, &zero, "its end");
	rig_wait(r, prog_over, &one, "its end");
	if (_i)
		ck_assert_int_eq(r->prog[0].error, ECONNRESET);
	else
		ck_assert(r->prog[0].eof);
	ck_assert(r->prog[1].eof);
	ck_assert(!r->prog[2].eof && !r->prog[2].error);
	rig_end(r);
}
END_TEST

/* The broker's death ends it. */
START_TEST(test_broker_dies)
{
	struct rig *r = rig_start();
	int n = 1;

	program_opens(r, 0, 22);
	stall(r);
	more(r, n, 300000);
	settle(r);
	ck_assert_uint_lt(r->prog[0].received, 300000);
	fb_kill(&r->b);
	rig_wait(r, rig_all_arrived, &n, "what was held back");
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stall");
	TCase *t = tcase_create("stall");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_nothing_moves);
	tcase_add_loop_test(t, test_half_close, 0, 2);
	tcase_add_test(t, test_open_and_dial_wait);
	tcase_add_test(t, test_parked_waits);
	tcase_add_test(t, test_no_guest_afterwards);
	tcase_add_test(t, test_open_given_up);
	tcase_add_loop_test(t, test_reset, 0, 2);
	tcase_add_test(t, test_broker_dies);
	suite_add_tcase(s, t);
	return rig_run(s);
}
