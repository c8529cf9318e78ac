/* SPDX-License-Identifier: MIT */
/*
 * test-front-ends.c - VMMs that come and go, and those that only look
 */
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "rig.h"
#include "transport/vhost-user/message.h"

static bool prog_over(struct rig *r, void *arg)
{
	struct prog_end *p = &r->prog[*(int *)arg];

	return p->eof || p->error;
}

static void front_end(struct rig *r)
{
	uint32_t on = 1;

	drv_handshake(&r->d, rig_front_end(r));
	ck_assert_int_eq(drv_memory(&r->d), 0);
	drv_start(&r->d);
	rig_wait(r, rig_idle_state, &on, "STATE running");
}

static void data(struct rig *r)
{
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 100000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
}

/* A question, answered. */
static void look(int fd)
{
	struct drv d = { .sock = fd };
	uint64_t v;

	ck_assert_int_eq(drv_get(&d, VU_GET_FEATURES, &v), 0);
	ck_assert_int_eq(drv_get(&d, VU_GET_PROTOCOL_FEATURES, &v), 0);
	ck_assert_int_eq(drv_get(&d, VU_GET_QUEUE_NUM, &v), 0);
	ck_assert_uint_eq(v, 3);
}

/* What somebody does who is no VMM, and keeps its connection. */
static int probe(struct rig *r, int kind)
{
	struct drv d = { .sock = rig_front_end(r) };
	uint8_t v[8] = { 1 };

	switch (kind) {
	case 0: /* nothing */
		break;
	case 1:
		look(d.sock);
		break;
	case 2: /* the features of the protocol, but no owner */
		look(d.sock);
		ck_assert_int_eq(
			drv_ack(&d, VU_SET_PROTOCOL_FEATURES, v, 8, NULL, 0),
			0);
		break;
	case 3: /* half a message */
		ck_assert_int_eq(send(d.sock, v, 5, 0), 5);
		break;
	case 4: /* something unknown */
		ck_assert_int_eq(drv_ack(&d, 77, NULL, 0, NULL, 0), 1);
		break;
	}
	return d.sock;
}

#define PROBES 5

/* Before the VMM comes, with the connection kept or closed. */
START_TEST(test_probe_before)
{
	struct rig *r = rig_launch();
	int fd = probe(r, _i % PROBES);

	if (_i < PROBES) {
		close(fd);
		fd = -1;
	}
	front_end(r);
	data(r);
	if (fd >= 0)
		close(fd);
	rig_end(r);
}
END_TEST

/* While there is one: it is not disturbed. */
START_TEST(test_probe_beside)
{
	struct rig *r = rig_start();
	int fd, one = 1;

	data(r);
	fd = probe(r, _i);
	r->guest[0].to_send = r->prog[0].to_send = 400000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	close(fd);
	rig_settle(r);
	r->guest[0].to_send = r->prog[0].to_send = 500000;
	rig_wait(r, rig_all_arrived, &one, "more bytes");
	ck_assert(!r->guest[0].reset);
	rig_end(r);
}
END_TEST

/* So many that say nothing that the oldest must go. */
START_TEST(test_many_probes)
{
	struct rig *r = rig_launch();
	int fds[50];

	for (int i = 0; i < 50; i++)
		fds[i] = rig_front_end(r);
	front_end(r);
	data(r);
	for (int i = 0; i < 50; i++)
		close(fds[i]);
	rig_end(r);
}
END_TEST

/* A VMM comes before the old one has gone: it waits for that. */
START_TEST(test_next_waits)
{
	struct rig *r = rig_start();
	struct drv next;
	struct pollfd p;
	int zero = 0, one = 1;
	uint8_t v[8];

	data(r);
	drv_init(&next);
	next.packet = r->d.packet;
	next.ctx = r->d.ctx;
	next.sock = rig_front_end(r);
	look(next.sock);
	ck_assert_int_eq(drv_send(&next, VU_SET_OWNER,
				  VU_FLAG_VERSION | VU_FLAG_NEED_REPLY, NULL, 0,
				  NULL, 0),
			 0);
	r->guest[0].to_send = r->prog[0].to_send = 300000;
	rig_wait(r, rig_all_arrived, &one, "the old one's bytes");
	p = (struct pollfd) { .fd = next.sock, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	drv_fini(&r->d);
	r->d = next;
	rig_wait(r, prog_over, &zero, "the old one's end");
	ck_assert_int_eq(drv_reply(&r->d, VU_SET_OWNER, v, 8), 8);
	ck_assert_uint_eq(le64_get(v), 0);
	close(r->prog[0].fd);
	memset(r->guest, 0, sizeof(r->guest));
	drv_handshake(&r->d, r->d.sock);
	ck_assert_int_eq(drv_memory(&r->d), 0);
	drv_start(&r->d);
	rig_wait(r, rig_idle_state, &one, "STATE running");
	data(r);
	rig_end(r);
}
END_TEST

/* One that waits loses patience. */
START_TEST(test_next_goes)
{
	struct rig *r = rig_start();
	struct drv next = { .sock = rig_front_end(r) };
	int one = 1;

	ck_assert_int_eq(drv_send(&next, VU_SET_OWNER, VU_FLAG_VERSION, NULL, 0,
				  NULL, 0),
			 0);
	data(r);
	close(next.sock);
	rig_settle(r);
	drv_fini(&r->d);
	close(r->prog[0].fd);
	r->prog[0].fd = -1;
	memset(r->guest, 0, sizeof(r->guest));
	{
		struct drv fresh;

		drv_init(&fresh);
		fresh.packet = r->d.packet;
		fresh.ctx = r->d.ctx;
		r->d = fresh;
	}
	front_end(r);
	data(r);
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

#define MANY 200

static void connect_many(struct rig *r)
{
	for (int i = 0; i < MANY; i++)
		rig_connected(r, i, 2000 + (uint32_t)i, 5000);
	for (int i = 0; i < MANY; i++) {
		r->guest[i].chunk = 4000;
		r->prog[i].chunk = 4000;
		r->guest[i].to_send = r->prog[i].to_send = 100000000;
	}
	while (r->guest[MANY - 1].received < 10000 ||
	       r->prog[MANY - 1].received < 10000)
		rig_step(r, 10);
}

static bool all_over(struct rig *r, void *arg)
{
	(void)arg;
	for (int i = 0; i < MANY; i++)
		if (!r->prog[i].eof && !r->prog[i].error)
			return false;
	return true;
}

static bool all_told(struct rig *r, void *arg)
{
	(void)arg;
	return r->b.nclosed >= MANY;
}

static void forget_many(struct rig *r)
{
	r->b.nclosed = 0;
	for (int i = 0; i < RIG_ENDS; i++) {
		if (r->prog[i].fd >= 0)
			close(r->prog[i].fd);
		r->prog[i].fd = -1;
	}
	memset(r->guest, 0, sizeof(r->guest));
}

/*
 * The VMM is killed at any moment, with 200 connections moving data: in the
 * middle of a message if @_i is odd. What it held is gone with it; the next
 * one, at once, is a new machine.
 */
START_TEST(test_vmm_killed)
{
	struct rig *r = rig_start();
	uint32_t off = 0;
	struct drv lost;
	int zero = 0;
	pid_t vmm;

	connect_many(r);
	/* a process of its own has all that is the VMM's */
	vmm = fork();
	if (vmm == 0) {
		const uint8_t part[5] = { VU_SET_VRING_CALL, 0, 0, 0, 1 };

		if (_i & 1)
			(void)!write(r->d.sock, part, sizeof(part));
		for (;;)
			pause();
	}
	lost = r->d;
	close(lost.sock);
	ck_assert_int_eq(kill(vmm, SIGKILL), 0);
	ck_assert_int_eq(waitpid(vmm, NULL, 0), vmm);
	lost.sock = -1;
	drv_fini(&lost);
	drv_init(&r->d);
	r->d.packet = lost.packet;
	r->d.ctx = lost.ctx;
	memset(r->guest, 0, sizeof(r->guest));
	rig_wait(r, all_over, NULL, "the end of 200 connections");
	rig_wait(r, all_told, NULL, "200 notices");
	rig_wait(r, rig_idle_state, &off, "STATE off");
	forget_many(r);
	front_end(r);
	connect_many(r);
	forget_many(r);
	rig_wait(r, rig_all_arrived, &zero, "nothing");
	rig_end(r);
}
END_TEST

/* device_del: the stop sequence, and the socket stays. device_add: all again
 * from the handshake on. */
START_TEST(test_unplug)
{
	struct rig *r = rig_start();
	uint32_t on = 1, off = 0;

	for (int i = 0; i < 3; i++) {
		connect_many(r);
		drv_stop(&r->d);
		rig_wait(r, rig_idle_state, &off, "STATE off");
		drv_forget(&r->d);
		memset(r->guest, 0, sizeof(r->guest));
		drv_handshake(&r->d, r->d.sock);
		rig_wait(r, all_over, NULL, "the end of 200 connections");
		rig_wait(r, all_told, NULL, "200 notices");
		forget_many(r);
		ck_assert_int_eq(drv_memory(&r->d), 0);
		drv_start(&r->d);
		rig_wait(r, rig_idle_state, &on, "STATE running");
	}
	data(r);
	rig_end(r);
}
END_TEST

/* The broker is killed and comes back, three times, while all that moves. */
START_TEST(test_broker_killed)
{
	struct rig *r = rig_start();
	uint32_t on = 1;
	int n = MANY;

	connect_many(r);
	for (int i = 0; i < 3; i++) {
		uint64_t was = r->guest[MANY - 1].received;

		fb_kill(&r->b);
		while (r->guest[MANY - 1].received < was + 50000)
			rig_step(r, 10);
		fb_start(&r->b, r->dir);
		while (r->b.nlive < MANY)
			rig_step(r, 10);
		rig_wait(r, rig_idle_state, &on, "STATE running");
	}
	for (int i = 0; i < MANY; i++) {
		r->guest[i].to_send = r->guest[i].sent;
		r->prog[i].to_send = r->prog[i].sent;
	}
	rig_wait(r, rig_all_arrived, &n, "all bytes");
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-front-ends");
	TCase *t = tcase_create("front-ends");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_probe_before, 0, 2 * PROBES);
	tcase_add_loop_test(t, test_probe_beside, 0, PROBES);
	tcase_add_test(t, test_many_probes);
	tcase_add_test(t, test_next_waits);
	tcase_add_test(t, test_next_goes);
	tcase_add_loop_test(t, test_vmm_killed, 0, 2);
	tcase_add_test(t, test_unplug);
	tcase_add_test(t, test_broker_killed);
	suite_add_tcase(s, t);
	return rig_run(s);
}
