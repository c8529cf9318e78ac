/* SPDX-License-Identifier: MIT */
/*
 * test-death.c - the process is killed, and a service manager starts another
 */
#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "many.h"
#include "seq.h"
#include "transport/vhost-user/message.h"

static struct svc service;

static void with_events(struct drv *d)
{
	d->queues = 3;
}

static bool all_reset(struct rig *r, void *arg)
{
	(void)arg;
	for (int i = 0; i < MANY; i++)
		if (!r->guest[i].reset)
			return false;
	return true;
}

static bool told(struct rig *r, void *arg)
{
	(void)arg;
	return r->d.events == 1;
}

static bool all_over(struct rig *r, void *arg)
{
	(void)arg;
	for (int i = 0; i < MANY; i++)
		if (!r->prog[i].eof && !r->prog[i].error)
			return false;
	return true;
}

/*
 * Killed with 200 connections moving data. They end, for both sides; the VMM
 * and the guest's driver notice nothing, and new connections work.
 */
START_TEST(test_killed)
{
	struct rig *r = rig_start_service(&service, _i ? with_events : NULL);
	uint32_t on = 1;
	int one = 1;

	for (int i = 0; i < 2; i++) {
		many_connect(r);
		many_flow(r, 10000);
		many_restart(r, SIGKILL);
		if (_i)
			rig_wait(r, told, NULL, "TRANSPORT_RESET");
		else
			rig_wait(r, all_reset, NULL, "200 RSTs");
		rig_wait(r, all_over, NULL, "the programs' ends");
		rig_wait(r, rig_idle_state, &on, "STATE running");
		for (int k = 0; k < MANY; k++) {
			close(r->prog[k].fd);
			r->prog[k].fd = -1;
		}
		ck_assert_uint_eq(r->d.events, _i);
		r->d.events = 0;
		memset(r->guest, 0, sizeof(r->guest));
		/* (what the guest had sent by then is answered) */
		rig_settle(r);
		r->rst_unknown = 0;
	}
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 300000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	/* nothing is told of what had ended before */
	rig_settle(r);
	ck_assert_uint_eq(r->rst_unknown, 0);
	rig_end(r);
}
END_TEST

/* Ten connections, eight deaths at whatever moment it is; the VMM stops and
 * starts the rings in between. What comes after works each time. */
START_TEST(test_killed_often)
{
	struct rig *r = rig_start_service(&service, _i ? many_slots : NULL);
	uint32_t on = 1;

	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 10; i++) {
			rig_connected(r, i, 2000 + (uint32_t)i, 5000);
			r->guest[i].to_send = r->prog[i].to_send = 50000000;
		}
		for (int step = 0; step < 3 + round * 17; step++)
			rig_step(r, 1);
		many_restart(r, SIGKILL);
		rig_wait(r, rig_idle_state, &on, "STATE running");
		for (int i = 0; i < 10; i++) {
			/* (with three queues all are, at once) */
			if (!_i)
				rig_wait(r, rig_was_reset, &i, "RST");
			close(r->prog[i].fd);
			r->prog[i].fd = -1;
		}
		if (_i)
			rig_wait(r, told, NULL, "TRANSPORT_RESET");
		r->d.events = 0;
		memset(r->guest, 0, sizeof(r->guest));
		rig_settle(r);
		if (round % 3)
			continue;
		drv_stop(&r->d);
		drv_start(&r->d);
		rig_wait(r, rig_idle_state, &on, "STATE running");
	}
	rig_end(r);
}
END_TEST

static bool interrupted(struct rig *r, void *arg)
{
	return r->d.interrupts > *(uint64_t *)arg;
}

/* It may have died between returning a buffer and saying so. */
START_TEST(test_killed_unsaid)
{
	struct rig *r = rig_start_service(&service, NULL);
	uint64_t before;

	rig_settle(r);
	rig_step(r, 1);
	before = r->d.interrupts + 1; /* one for each ring */
	many_restart(r, SIGKILL);
	rig_wait(r, interrupted, &before, "interrupts");
	rig_end(r);
}
END_TEST

static bool one_closed(struct rig *r, void *arg)
{
	(void)arg;
	return r->b.nclosed == 1 && r->prog[0].eof;
}

/* The guest has closed a connection to a slow program, and uses its ports
 * again. The end of the first one is not the end of the second one. */
START_TEST(test_killed_ports_again)
{
	struct rig *r = rig_start_service(&service, NULL);
	int first = 0, second = 1;

	rig_connected(r, 0, 2000, 5000);
	r->prog[0].stalled = true;
	/* more than its socket takes */
	r->guest[0].to_send = 500000;
	while (r->guest[0].sent < 500000)
		rig_step(r, 10);
	rig_packet(r, 0, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH);
	rig_wait(r, rig_was_reset, &first, "RST");
	ck_assert_int_eq(r->b.nclosed, 0);
	r->guest[0].used = false;
	rig_connected(r, 1, 2000, 5000);
	r->prog[0].stalled = false;
	rig_wait(r, one_closed, NULL, "the end of the first one");
	ck_assert_uint_eq(r->prog[0].received, 500000);
	many_restart(r, SIGKILL);
	rig_wait(r, rig_was_reset, &second, "RST of the second one");
	rig_end(r);
}
END_TEST

/* With messages under way, and others after it. */
START_TEST(test_killed_messages)
{
	struct rig *r = seq_start_service(&service, NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);

	seq_piece(r, s, 0, 10000, false);
	seq_down(r, s, 100);
	while (s->down.received == 0)
		seq_step(r, 5);
	many_restart(r, SIGKILL);
	seq_until(r, &s->reset, "RST");
	while (!s->eof && !s->error)
		seq_step(r, 5);
	s = seq_dial(r, 1, 1026, 5000);
	seq_up(r, s, SEQ_MAX);
	seq_down(r, s, 100000);
	seq_wait(r, s);
	seq_end(r);
}
END_TEST

/* Killed with half a message read: nobody can go on with that connection, and
 * the VMM sees its end. */
START_TEST(test_killed_in_message)
{
	struct rig *r = rig_start_service(&service, NULL);
	const uint8_t m[20] = { VU_SET_VRING_CALL, 0, 0, 0, 9, 0, 0, 0, 8 };
	uint32_t on = 1;
	uint8_t byte;
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	ck_assert_int_eq(send(r->d.sock, m, 14, 0), 14);
	rig_settle(r);
	many_restart(r, SIGKILL);
	ck_assert_int_eq(recv(r->d.sock, &byte, 1, 0), 0);
	close(r->d.sock);
	close(r->prog[0].fd);
	r->prog[0].fd = -1;
	memset(r->guest, 0, sizeof(r->guest));
	drv_forget(&r->d);
	drv_handshake(&r->d, rig_front_end(r));
	ck_assert_int_eq(drv_memory(&r->d), 0);
	drv_start(&r->d);
	rig_wait(r, rig_idle_state, &on, "STATE running");
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 300000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

/* The service manager has kept something else: it begins anew. */
START_TEST(test_kept_nonsense)
{
	struct rig *r = rig_start_service(&service, NULL);
	int pair[2], fd = r->d.memfd, one = 1;
	uint32_t on = 1;
	uint8_t head[20] = "hvsP";

	rig_settle(r);
	ck_assert_int_eq(service.nkept, 1);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	head[4] = _i ? 1 : 77; /* version */
	le64_put(head + 8, 1000);
	ck_assert_int_eq(fdmsg_send(pair[0], head, 20, &fd, 1, 0), 0);
	close(service.kept[0].fd);
	service.kept[0].fd = pair[1];
	many_restart(r, SIGKILL);
	close(pair[0]);
	close(r->d.sock);
	drv_forget(&r->d);
	drv_handshake(&r->d, rig_front_end(r));
	ck_assert_int_eq(drv_memory(&r->d), 0);
	drv_start(&r->d);
	rig_wait(r, rig_idle_state, &on, "STATE running");
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 300000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-death");
	TCase *t = tcase_create("death");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_killed, 0, 2);
	tcase_add_loop_test(t, test_killed_often, 0, 2);
	tcase_add_test(t, test_killed_unsaid);
	tcase_add_test(t, test_killed_ports_again);
	tcase_add_test(t, test_killed_messages);
	tcase_add_test(t, test_killed_in_message);
	tcase_add_loop_test(t, test_kept_nonsense, 0, 2);
	suite_add_tcase(s, t);
	return rig_run(s);
}
