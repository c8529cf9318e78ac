/* SPDX-License-Identifier: MIT */
/*
 * test-link.c - the broker's side: programs that connect to the guest, parked
 * and not, and a broker that dies at every point of it
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/guid.h"
#include "opening.h"

static bool attached(struct rig *r, void *arg)
{
	(void)arg;
	return r->b.attached;
}

static void both_ways(struct rig *r, int n)
{
	for (int i = 0; i < n; i++) {
		r->guest[i].to_send += 300000;
		r->prog[i].to_send += 300000;
	}
	rig_wait(r, rig_all_arrived, &n, "bytes both ways");
}

START_TEST(test_open)
{
	struct rig *r = rig_start();
	int o = fb_open(&r->b, 22, 0x80000123u, false, 2000);
	int zero = 0;

	guest_is_asked(r, 0, 22);
	/* the guest sees what the program's getsockname() says */
	ck_assert_uint_eq(r->last.src_port, 0x80000123u);
	ck_assert_uint_eq(r->last.buf_alloc, 262144);
	guest_says_yes(r, 0);
	/* a guest may send before the socket is there */
	r->guest[0].to_send = 1000;
	rig_wait(r, answered, &o, "the reply to OPEN");
	ck_assert_uint_eq(r->b.opens[o].error, 0);
	program(r, 0, fb_meet(&r->b, r->b.opens[o].token));
	both_ways(r, 1);
	/* the same source again: taken, so another port */
	o = fb_open(&r->b, 22, 0x80000123u, false, 2000);
	guest_is_asked(r, 1, 22);
	ck_assert_uint_ge(r->last.src_port, 1u << 30);
	ck_assert_uint_lt(r->last.src_port, 1u << 31);
	rig_packet(r, 1, VSOCK_OP_RST, 0);
	rig_wait(r, answered, &o, "the refusal");
	ck_assert_uint_eq(r->b.opens[o].reason, HVS_REASON_NO_LISTENER);
	ck_assert_uint_eq(r->b.opens[o].error, ECONNREFUSED);
	/* no longer allowed */
	fb_close(&r->b, r->b.opens[0].token);
	rig_wait(r, rig_was_reset, &zero, "RST");
	rig_wait(r, prog_over, &zero, "end of file");
	rig_end(r);
}
END_TEST

START_TEST(test_open_refused)
{
	struct rig *r = rig_start();
	int o;

	/* not answered in time */
	o = fb_open(&r->b, 22, 1, false, 50);
	guest_is_asked(r, 0, 22);
	rig_wait(r, answered, &o, "a time limit");
	ck_assert_uint_eq(r->b.opens[o].reason, HVS_REASON_NO_ANSWER);
	while (!r->guest[0].reset)
		rig_step(r, 10);
	r->guest[0].used = false;
	/* given up by the broker */
	o = fb_open(&r->b, 22, 1, false, 5000);
	guest_is_asked(r, 1, 22);
	fb_close(&r->b, r->b.opens[o].token);
	while (!r->guest[1].reset)
		rig_step(r, 10);
	r->guest[1].used = false;
	/* the guest has gone */
	o = fb_open(&r->b, 22, 1, false, 5000);
	guest_is_asked(r, 2, 22);
	close(r->d.sock);
	r->d.sock = -1;
	rig_wait(r, answered, &o, "the guest's end");
	ck_assert_uint_eq(r->b.opens[o].reason, HVS_REASON_PARTITION_OFF);
	o = fb_open(&r->b, 22, 1, false, 5000);
	rig_wait(r, answered, &o, "no guest");
	ck_assert_uint_eq(r->b.opens[o].reason, HVS_REASON_PARTITION_OFF);
	ck_assert_uint_eq(r->b.opens[o].error, EHOSTDOWN);
	rig_end(r);
}
END_TEST

static bool writable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, ms) == 1 && p.revents == POLLOUT;
}

static int parked(struct rig *r, int i, bool tell, int *ret_fd)
{
	int o = fb_open(&r->b, 22, 0x80000001u + (uint32_t)i, true, 5000);
	uint64_t filler;

	*ret_fd = fb_meet(&r->b, r->b.opens[o].token);
	filler = fb_fill(*ret_fd);
	ck_assert_uint_gt(filler, 100000);
	ck_assert(!writable(*ret_fd, 0));
	if (tell)
		fb_parked(&r->b, r->b.opens[o].token, filler);
	guest_is_asked(r, i, 22);
	return o;
}

START_TEST(test_parked)
{
	struct rig *r = rig_start();
	int fd, o = parked(r, 0, true, &fd);

	rig_settle(r);
	ck_assert(!writable(fd, 0));
	guest_says_yes(r, 0);
	rig_wait(r, answered, &o, "the reply");
	ck_assert_uint_eq(r->b.opens[o].error, 0);
	/* the filler is out, exactly: the pattern says */
	ck_assert(writable(fd, 0));
	program(r, 0, fd);
	both_ways(r, 1);
	rig_end(r);
}
END_TEST

START_TEST(test_parked_refused)
{
	struct rig *r = rig_start();
	int fd, zero = 0, o = parked(r, 0, true, &fd);

	rig_packet(r, 0, VSOCK_OP_RST, 0);
	rig_wait(r, answered, &o, "the refusal");
	ck_assert_uint_eq(r->b.opens[o].reason, HVS_REASON_NO_LISTENER);
	program(r, 0, fd);
	rig_wait(r, prog_over, &zero, "the program's end");
	/* closed with the filler unread */
	ck_assert_int_eq(r->prog[0].error, ECONNRESET);
	rig_end(r);
}
END_TEST

/* The program closes the socket while it is parked. */
START_TEST(test_parked_given_up)
{
	struct rig *r = rig_start();
	int fd, zero = 0, o = parked(r, 0, true, &fd);

	close(fd);
	rig_wait(r, rig_was_reset, &zero, "RST to the guest");
	rig_wait(r, answered, &o, "the reply");
	ck_assert_uint_ne(r->b.opens[o].error, 0);
	rig_end(r);
}
END_TEST

static void broker_again(struct rig *r)
{
	fb_kill(&r->b);
	fb_start(&r->b, r->dir);
	rig_wait(r, attached, NULL, "ATTACH again");
}

/* 0: after PARKED; 1: before PARKED; 2: and the guest says yes before there is
 * a broker again; 3: and it says no */
START_TEST(test_parked_broker_dies)
{
	struct rig *r = rig_start();
	int fd, zero = 0;

	(void)parked(r, 0, _i == 0, &fd);
	fb_kill(&r->b);
	if (_i == 2)
		guest_says_yes(r, 0);
	if (_i == 3)
		rig_packet(r, 0, VSOCK_OP_RST, 0);
	rig_settle(r);
	fb_start(&r->b, r->dir);
	rig_wait(r, attached, NULL, "ATTACH again");
	if (_i < 2)
		guest_says_yes(r, 0);
	program(r, 0, fd);
	if (_i == 3) {
		rig_wait(r, prog_over, &zero, "the program's end");
		ck_assert_int_eq(r->prog[0].error, ECONNRESET);
	} else {
		both_ways(r, 1);
	}
	rig_end(r);
}
END_TEST

/* An OPEN whose socket never arrived is given up. */
START_TEST(test_open_broker_dies)
{
	struct rig *r = rig_start();
	int o = fb_open(&r->b, 22, 1, _i & 1, 5000), zero = 0;

	guest_is_asked(r, 0, 22);
	if (_i & 2) {
		guest_says_yes(r, 0);
		if (!(_i & 1))
			rig_wait(r, answered, &o, "the reply");
		else
			rig_settle(r);
	}
	broker_again(r);
	rig_wait(r, rig_was_reset, &zero, "RST");
	rig_settle(r);
	ck_assert_int_eq(r->b.nlive, 0);
	rig_end(r);
}
END_TEST

START_TEST(test_broker_again)
{
	struct rig *r = rig_start();
	uint32_t on = 1;
	int n = 20, o;
	GUID vmid = r->b.vmid;

	for (int i = 0; i < n; i++)
		rig_connected(r, i, 2000 + (uint32_t)i, 5000);
	o = fb_open(&r->b, 22, 0x80000009u, false, 2000);
	guest_is_asked(r, n, 22);
	guest_says_yes(r, n);
	rig_wait(r, answered, &o, "the reply");
	program(r, n, fb_meet(&r->b, r->b.opens[o].token));
	n++;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < n; i++) {
			r->guest[i].to_send += 100000;
			r->prog[i].to_send += 100000;
		}
		while (r->guest[0].received < r->prog[0].to_send - 50000)
			rig_step(r, 10);
		fb_kill(&r->b);
		rig_wait(r, rig_all_arrived, &n, "bytes without a broker");
		fb_start(&r->b, r->dir);
		rig_wait(r, attached, NULL, "ATTACH again");
		ck_assert(guid_equal(&vmid, &r->b.vmid));
		rig_wait(r, rig_idle_state, &on, "STATE running");
		while (r->b.nlive < n)
			rig_step(r, 10);
	}
	for (int i = 0; i < n; i++) {
		const struct msg_live *m = &r->b.live[i];
		uint32_t port;

		ck_assert_uint_eq(m->type, SOCK_STREAM);
		ck_assert(guid_is_port(&m->service, &port));
		ck_assert_uint_eq(m->direction, port == 22);
		ck_assert_uint_eq(m->uid, port == 22 ? 1000 : UINT32_MAX);
		ck_assert(guid_equal(&m->partition, port == 22 ? &fb_partition
							       : &guid_zero));
	}
	/* the new one knows them: it may end one */
	for (int i = 0; i < n; i++)
		if (r->b.live[i].direction == 1)
			fb_close(&r->b, r->b.live[i].token);
	n--;
	rig_wait(r, rig_was_reset, &n, "RST");
	rig_end(r);
}
END_TEST

/* A guest's connect waits for the next broker. */
START_TEST(test_dial_broker_dies)
{
	struct rig *r = rig_start();
	int zero = 0;

	rig_connect(r, 0, 1025, 5000);
	while (!r->b.ndials)
		rig_step(r, 10);
	fb_kill(&r->b);
	rig_connect(r, 1, 1026, 5000); /* asked while there is none */
	rig_settle(r);
	fb_start(&r->b, r->dir);
	while (r->b.ndials < 2)
		rig_step(r, 10);
	for (int i = 0; i < 2; i++) {
		uint32_t port;

		ck_assert(guid_is_port(&r->b.dials[0].m.source, &port));
		program(r, (int)port - 1025, fb_dial_accept(&r->b, 0, NULL));
	}
	both_ways(r, 2);
	/* and gives up after the guest's own time limit */
	fb_kill(&r->b);
	rig_connect(r, 2, 1027, 5000);
	zero = 2;
	rig_wait(r, rig_was_reset, &zero, "RST after 2 s");
	rig_end(r);
}
END_TEST

START_TEST(test_refused_attach)
{
	struct rig *r = rig_start();
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	fb_kill(&r->b);
	fb_start(&r->b, r->dir);
	strcpy(r->b.refuse, "held by another");
	while (r->b.conn < 0)
		rig_step(r, 10);
	while (r->b.conn >= 0)
		rig_step(r, 10); /* it goes away, and comes back */
	r->b.refuse[0] = '\0';
	rig_wait(r, attached, NULL, "ATTACH");
	r->guest[0].to_send = 10000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

/* One that is older than what a transport can: it is asked for less, and in
 * the end for no more than there always was. */
START_TEST(test_older_broker)
{
	static const uint32_t unknown[] = {
		ATTACH_CIDS, ATTACH_CIDS | ATTACH_PARTITIONS,
		ATTACH_CIDS | ATTACH_PARTITIONS | ATTACH_STALLS
	};
	struct rig *r = rig_start();
	int o, one = 1;

	fb_kill(&r->b);
	r->b.unknown = unknown[_i];
	fb_start(&r->b, r->dir);
	rig_wait(r, attached, NULL, "ATTACH");
	o = fb_open(&r->b, 22, 0x80000009u, false, 2000);
	guest_is_asked(r, 0, 22);
	guest_says_yes(r, 0);
	rig_wait(r, answered, &o, "the reply");
	program(r, 0, fb_meet(&r->b, r->b.opens[o].token));
	r->guest[0].to_send = r->prog[0].to_send = 50000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	/* and the next one is asked for all again */
	fb_kill(&r->b);
	r->b.unknown = 0;
	fb_start(&r->b, r->dir);
	rig_wait(r, attached, NULL, "ATTACH again");
	rig_end(r);
}
END_TEST

/* Given up after the guest has said yes and before the socket came: the OPEN
 * is answered all the same. */
START_TEST(test_parked_closed)
{
	struct rig *r = rig_start();
	int zero = 0, o;

	o = fb_open(&r->b, 22, 0x80000001u, true, 5000);
	guest_is_asked(r, 0, 22);
	r->guest[0] = (struct guest_end) { .used = true,
					   .port = 22,
					   .host_port = r->last.src_port,
					   .buf_alloc = 262144,
					   .open = true };
	rig_packet(r, 0, VSOCK_OP_RESPONSE, 0);
	rig_settle(r);
	fb_close(&r->b, r->b.opens[o].token);
	rig_wait(r, answered, &o, "an answer to OPEN");
	ck_assert_uint_ne(r->b.opens[o].error, 0);
	rig_wait(r, rig_was_reset, &zero, "RST");
	rig_end(r);
}
END_TEST

/* A type that is not carried, parked or not, is refused, and why. */
START_TEST(test_raw)
{
	struct rig *r = rig_start();
	int o, one = 1;

	o = fb_open_type(&r->b, SOCK_SEQPACKET, 22, 0x80000001u, _i, 5000);
	if (_i)
		fb_parked(&r->b, r->b.opens[o].token, 100000);
	rig_wait(r, answered, &o, "an answer to OPEN");
	ck_assert_uint_eq(r->b.opens[o].reason, HVS_REASON_TYPE);
	rig_settle(r);
	ck_assert_int_eq(r->b.nclosed, 0);
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 50000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-link");
	TCase *t = tcase_create("link");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_open);
	tcase_add_test(t, test_open_refused);
	tcase_add_test(t, test_parked);
	tcase_add_test(t, test_parked_refused);
	tcase_add_test(t, test_parked_given_up);
	tcase_add_loop_test(t, test_parked_broker_dies, 0, 4);
	tcase_add_loop_test(t, test_open_broker_dies, 0, 4);
	tcase_add_test(t, test_broker_again);
	tcase_add_test(t, test_dial_broker_dies);
	tcase_add_test(t, test_refused_attach);
	tcase_add_loop_test(t, test_older_broker, 0, 3);
	tcase_add_test(t, test_parked_closed);
	tcase_add_loop_test(t, test_raw, 0, 2);
	suite_add_tcase(s, t);
	return rig_run(s);
}
