/* SPDX-License-Identifier: MIT */
/*
 * test-upgrade.c - one process after the other: started again by a service
 * manager, replaced, killed
 */
#include <check.h>
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/guid.h"
#include "many.h"
#include "seq.h"
#include "transport/vhost-user/message.h"

static struct svc service;

enum way { BY_SERVICE, BY_REPLACING, WAYS };

static struct rig *begin(int way, void (*setup)(struct drv *d))
{
	return way == BY_SERVICE ? rig_start_service(&service, setup)
				 : rig_start_with(setup);
}

static void upgrade(struct rig *r, int way)
{
	if (way == BY_SERVICE)
		many_restart(r, SIGTERM);
	else
		rig_replace(r);
}

/* 200 connections move data; the process changes, three times. Neither the
 * guest nor the programs, nor the broker, nor the VMM notice. */
START_TEST(test_many)
{
	struct rig *r = begin(_i % WAYS, _i / WAYS ? many_slots : NULL);
	unsigned int notices;

	many_connect(r);
	many_flow(r, 10000);
	notices = r->b.state_notices;
	for (int i = 0; i < 3; i++) {
		upgrade(r, _i % WAYS);
		many_flow(r, 20000);
	}
	many_well(r, MANY);
	ck_assert_uint_eq(r->b.state_notices, notices);
	ck_assert_int_eq(r->b.nlive, 0);
	ck_assert_int_eq(r->b.nclosed, 0);
	ck_assert_uint_eq(r->d.events, 0);
	/* and all is as ever */
	rig_connected(r, MANY, 1025, 5000);
	rig_packet(r, 0, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH);
	{
		int zero = 0;

		rig_wait(r, rig_was_reset, &zero,
			 "RST after the guest's close");
	}
	drv_stop(&r->d);
	drv_start(&r->d);
	rig_settle(r);
	rig_end(r);
}
END_TEST

static bool asked(struct rig *r, void *arg)
{
	return r->last.op == VSOCK_OP_REQUEST &&
	       r->last.dst_port == *(uint32_t *)arg;
}

static bool answered(struct rig *r, void *arg)
{
	return r->b.opens[*(int *)arg].answered;
}

static void is_asked(struct rig *r, int i, uint32_t port)
{
	rig_wait(r, asked, &port, "REQUEST");
	r->guest[i] = (struct guest_end) { .used = true,
					   .port = port,
					   .host_port = r->last.src_port,
					   .seed = (uint32_t)i * 2,
					   .chunk = 65536,
					   .buf_alloc = 262144 };
}

static void says_yes(struct rig *r, int i)
{
	r->guest[i].open = true;
	rig_packet(r, i, VSOCK_OP_RESPONSE, 0);
}

static void program(struct rig *r, int i, int fd)
{
	r->prog[i] = (struct prog_end) { .fd = fd,
					 .seed = (uint32_t)i * 2 + 1,
					 .chunk = 65536 };
}

static bool dialled(struct rig *r, void *arg)
{
	return r->b.ndials >= *(int *)arg;
}

static bool is_open(struct rig *r, void *arg)
{
	return r->guest[*(int *)arg].open;
}

/* Connections in every state on the way: each gets there. */
START_TEST(test_on_the_way)
{
	struct rig *r = begin(_i, NULL);
	int one = 1, zero = 0, fds[2], o[4], n = 6;
	uint64_t filler;

	/* 0: the guest dials. 1: a program's OPEN. 2: parked, the guest has
	 * not answered. 3: the same, and PARKED has not come. 4: the guest has
	 * said yes, the socket comes. 5: the guest has given too much. */
	rig_connect(r, 0, 1025, 5000);
	rig_wait(r, dialled, &one, "DIAL");
	o[0] = fb_open(&r->b, 31, 0x80000001u, false, 20000);
	is_asked(r, 1, 31);
	for (int i = 0; i < 2; i++) {
		o[1 + i] = fb_open(&r->b, 32 + (uint32_t)i,
				   0x80000002u + (uint32_t)i, true, 20000);
		fds[i] = fb_meet(&r->b, r->b.opens[o[1 + i]].token);
		filler = fb_fill(fds[i]);
		if (i == 0)
			fb_parked(&r->b, r->b.opens[o[1]].token, filler);
		is_asked(r, 2 + i, 32 + (uint32_t)i);
	}
	o[3] = fb_open(&r->b, 34, 0x80000004u, false, 20000);
	is_asked(r, 4, 34);
	says_yes(r, 4);
	rig_wait(r, answered, &o[3], "the reply");
	{
		int i = 5;

		rig_connect(r, i, 1026, 5000);
		i = 2;
		rig_wait(r, dialled, &i, "DIAL");
		program(r, 5, fb_dial_accept(&r->b, 1, NULL));
		i = 5;
		rig_wait(r, is_open, &i, "RESPONSE");
		r->prog[5].stalled = true;
		r->guest[5].to_send = 1000000;
		while (r->guest[5].sent - r->guest[5].peer_fwd < 262144)
			rig_step(r, 10);
	}
	rig_settle(r);
	upgrade(r, _i);
	fb_parked(&r->b, r->b.opens[o[2]].token, filler);
	program(r, 0, fb_dial_accept(&r->b, 0, NULL));
	rig_wait(r, is_open, &zero, "RESPONSE");
	for (int i = 1; i < 4; i++)
		says_yes(r, i);
	for (int i = 0; i < 3; i++) {
		rig_wait(r, answered, &o[i], "the reply");
		ck_assert_uint_eq(r->b.opens[o[i]].error, 0);
	}
	program(r, 1, fb_meet(&r->b, r->b.opens[o[0]].token));
	program(r, 2, fds[0]);
	program(r, 3, fds[1]);
	program(r, 4, fb_meet(&r->b, r->b.opens[o[3]].token));
	r->prog[5].stalled = false;
	for (int i = 0; i < n; i++)
		r->guest[i].to_send = r->prog[i].to_send = 1000000;
	rig_wait(r, rig_all_arrived, &n, "all bytes");
	many_well(r, n);
	rig_end(r);
}
END_TEST

/* Half-closed ones, and one that only waits for the guest's RST. */
START_TEST(test_half_closed)
{
	struct rig *r = begin(_i, NULL);
	int two = 2;

	for (int i = 0; i < 3; i++)
		rig_connected(r, i, 2000 + (uint32_t)i, 5000);
	r->prog[0].to_send = 1000;
	r->prog[0].shut_when_sent = true;
	while (r->guest[0].peer_shut != VSOCK_SHUT_SEND)
		rig_step(r, 10);
	rig_packet(r, 1, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND);
	close(r->prog[2].fd);
	r->prog[2].fd = -1;
	while (r->guest[2].peer_shut != VSOCK_SHUT_BOTH)
		rig_step(r, 10);
	upgrade(r, _i);
	r->guest[0].to_send = r->prog[1].to_send = 500000;
	while (r->prog[0].received < 500000 || r->guest[1].received < 500000)
		rig_step(r, 10);
	ck_assert(r->prog[1].eof && !r->prog[0].eof);
	rig_wait(r, rig_was_reset, &two, "RST after 2 s");
	rig_end(r);
}
END_TEST

/* In the middle of a message, with its descriptor; and others that wait. */
START_TEST(test_message_in_two)
{
	struct rig *r = begin(_i, NULL);
	struct drv next = { .sock = rig_front_end(r) };
	uint8_t m[20] = { VU_SET_VRING_CALL, 0, 0, 0, 9, 0, 0, 0, 8 }, v[8];
	int one = 1;

	ck_assert_int_eq(drv_send(&next, VU_SET_OWNER, 9, NULL, 0, NULL, 0), 0);
	rig_connected(r, 0, 1025, 5000);
	ck_assert_int_eq(
		fdmsg_send(r->d.sock, m, 14, &r->d.rings[0].call, 1, 0), 0);
	rig_settle(r);
	upgrade(r, _i);
	ck_assert_int_eq(send(r->d.sock, m + 14, 6, 0), 6);
	ck_assert_int_eq(drv_reply(&r->d, VU_SET_VRING_CALL, v, 8), 8);
	ck_assert_uint_eq(le64_get(v), 0);
	r->guest[0].to_send = r->prog[0].to_send = 300000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	close(r->d.sock);
	r->d.sock = -1;
	ck_assert_int_eq(drv_reply(&next, VU_SET_OWNER, v, 8), 8);
	close(next.sock);
	rig_end(r);
}
END_TEST

/* The process has read all that the program has sent. */
static bool taken(const struct seq *s)
{
	int n = 1;

	must(ioctl(s->fd, SIOCOUTQ, &n) == 0);
	return n == 0;
}

/* Messages, of both directions, that are under way or have to wait; and RAW
 * connections on the way: two processes later all arrive as they were. */
START_TEST(test_messages)
{
	struct rig *r = seq_start_service(_i == BY_SERVICE ? &service : NULL,
					  seq_small_buffers);
	struct seq *held = seq_dial(r, 0, 1025, 5000);
	struct seq *part = seq_dial(r, 1, 1026, 5000);
	struct seq *tail = seq_dial(r, 2, 1027, 5000);
	struct seq *blocked = seq_open(r, 3, 22, true);
	struct seq *dialling = seq_new(4, 1028);
	struct seq *asking = seq_new(5, 23);
	int o, one = 1;

	rig_connected(r, 0, 1025, 5000);
	/* messages that a program does not read, the last ones of a byte */
	held->prog_stalled = true;
	while (held->peer_alloc - (held->bytes_sent - held->peer_fwd) >= 20000)
		seq_up(r, held, 20000);
	while (held->bytes_sent - held->peer_fwd < SEQ_MAX)
		seq_piece(r, held, 0, 1, true);
	seq_piece(r, part, 0, 60000, false);
	/* a message for which the guest has no room */
	blocked->stalled = true;
	for (int i = 0; i < 2; i++)
		seq_down(r, blocked, 200000);
	while (!blocked->down.received)
		seq_step(r, 5);
	/* ones that nobody has answered */
	dialling->host_port = 5001;
	seq_packet(r, dialling, VSOCK_OP_REQUEST, 0);
	while (!r->b.ndials)
		seq_step(r, 5);
	asking->asked = true;
	o = fb_open_type(&r->b, SOCK_SEQPACKET, 23, 0x80000124u, false, 20000);
	while (!asking->host_port)
		seq_step(r, 5);
	seq_settle(r);
	ck_assert_uint_eq(blocked->down.received, 1);
	ck_assert_uint_eq(blocked->msg_len, 0);
	/* and one that the guest's buffers take the beginning of */
	r->d.hold_rx = true;
	seq_down(r, tail, 200000);
	while (!taken(tail))
		seq_step(r, 5);
	upgrade(r, _i);
	seq_piece(r, part, 60000, 60000, false);
	upgrade(r, _i);
	ck_assert_uint_eq(tail->down.received, 0);
	r->d.hold_rx = false;
	drv_poll(&r->d);
	seq_wait(r, tail);
	seq_piece(r, part, 120000, 1, true);
	blocked->stalled = false;
	held->prog_stalled = false;
	dialling->fd = fb_dial_accept(&r->b, 0, NULL);
	seq_until(r, &dialling->open, "RESPONSE");
	asking->asked = false;
	asking->open = true;
	seq_packet(r, asking, VSOCK_OP_RESPONSE, 0);
	while (!r->b.opens[o].answered)
		seq_step(r, 5);
	ck_assert_uint_eq(r->b.opens[o].error, 0);
	asking->fd = fb_meet(&r->b, r->b.opens[o].token);
	r->guest[0].to_send = r->prog[0].to_send = 300000;
	for (int i = 0; i < 6; i++) {
		seq_wait(r, &seqs[i]);
		seq_up(r, &seqs[i], SEQ_MAX);
		seq_down(r, &seqs[i], 100000);
		seq_wait(r, &seqs[i]);
		ck_assert(!seqs[i].eof && !seqs[i].peer_shut);
	}
	rig_wait(r, rig_all_arrived, &one, "the stream's bytes");
	ck_assert_int_eq(r->b.nlive, 0);
	ck_assert_int_eq(r->b.nclosed, 0);
	seq_end(r);
}
END_TEST

/* The broker is gone while it happens: the next one is told what lives. */
START_TEST(test_without_broker)
{
	struct rig *r = begin(_i, NULL);
	GUID vmid = r->b.vmid;
	uint32_t on = 1;

	many_connect(r);
	many_flow(r, 10000);
	fb_kill(&r->b);
	many_flow(r, 10000);
	rig_connect(r, MANY, 1025, 5000); /* waits for one, SESSION_DIAL_MS */
	rig_settle(r);
	upgrade(r, _i);
	fb_start(&r->b, r->dir);
	while (r->b.nlive < MANY || !r->b.ndials)
		rig_step(r, 10);
	ck_assert(guid_equal(&vmid, &r->b.vmid));
	rig_wait(r, rig_idle_state, &on, "STATE running");
	program(r, MANY, fb_dial_accept(&r->b, 0, NULL));
	many_flow(r, 10000);
	many_well(r, MANY + 1);
	rig_end(r);
}
END_TEST

/* Everything has been handed out, but whoever asked does not take it: the
 * process goes on. 0: gone at once; 1: it says something else */
START_TEST(test_not_taken)
{
	struct rig *r = rig_start();
	struct drv d = { .sock = rig_front_end(r) };
	uint8_t v[20];

	many_connect(r);
	many_flow(r, 10000);
	ck_assert_int_eq(drv_send(&d, VU_HAND_OVER, 9, NULL, 0, NULL, 0), 0);
	while (recv(d.sock, v, sizeof(v), MSG_DONTWAIT) != sizeof(v))
		rig_step(r, 1);
	if (_i == 1)
		ck_assert_int_eq(send(d.sock, "?", 1, 0), 1);
	close(d.sock);
	many_flow(r, 10000);
	many_well(r, MANY);
	rig_end(r);
}
END_TEST

/* What a service manager keeps is not for others, too. */
START_TEST(test_not_given)
{
	struct rig *r = rig_start_service(&service, NULL);
	struct drv d = { .sock = rig_front_end(r) };
	uint8_t v[8];
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	ck_assert_int_eq(drv_send(&d, VU_HAND_OVER, 9, NULL, 0, NULL, 0), 0);
	ck_assert_int_eq(drv_reply(&d, VU_HAND_OVER, v, 8), 8);
	ck_assert_uint_eq(le64_get(v), 1);
	close(d.sock);
	r->guest[0].to_send = r->prog[0].to_send = 300000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-upgrade");
	TCase *t = tcase_create("upgrade");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_many, 0, 2 * WAYS);
	tcase_add_loop_test(t, test_on_the_way, 0, WAYS);
	tcase_add_loop_test(t, test_half_closed, 0, WAYS);
	tcase_add_loop_test(t, test_message_in_two, 0, WAYS);
	tcase_add_loop_test(t, test_messages, 0, WAYS);
	tcase_add_loop_test(t, test_without_broker, 0, WAYS);
	tcase_add_loop_test(t, test_not_taken, 0, 2);
	tcase_add_test(t, test_not_given);
	suite_add_tcase(s, t);
	return rig_run(s);
}
