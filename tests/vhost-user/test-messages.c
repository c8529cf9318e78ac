/* SPDX-License-Identifier: MIT */
/*
 * test-messages.c - SEQPACKET: bounds of messages, credit, ends, bad input
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "seq.h"

static const uint32_t sizes[] = {
	1,     2,     100,   3731,   3732,   3733,   7464,   10000,
	65535, 65536, 65537, 131072, 200000, 238848, 238849, 262144,
};

/* What a program's send buffer takes. */
#define DOWN_MAX 212000u

static void set_indirect(struct drv *d)
{
	d->indirect = true;
	d->split = 18;
}

static void set_no_event_idx(struct drv *d)
{
	d->features &= ~(1ull << 29);
}

static void (*const set_ups[])(struct drv *d) = {
	NULL,
	set_indirect,
	seq_small_buffers,
	set_no_event_idx,
};

/* All sizes in both directions, one by one and many at a time. */
START_TEST(test_sizes)
{
	struct rig *r = seq_start(set_ups[_i]);
	struct seq *s = seq_dial(r, 0, 1025, 5000);

	for (int burst = 1; burst <= 8; burst += 7) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			for (int k = 0; k < burst; k++)
				seq_up(r, s, sizes[i]);
			for (int k = 0; k < burst && sizes[i] < DOWN_MAX; k++)
				seq_down(r, s, sizes[i]);
			seq_wait(r, s);
		}
	}
	ck_assert(!s->reset && !s->eof && !s->error && !s->peer_shut);
	seq_end(r);
}
END_TEST

/* A program connects; parked, what fills its buffer goes nowhere. */
START_TEST(test_open)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_open(r, 0, 22, _i);

	for (uint32_t i = 1; i < 50; i++) {
		seq_up(r, s, i * 37);
		seq_down(r, s, i * 41);
	}
	seq_wait(r, s);
	seq_end(r);
}
END_TEST

/* Neither side mixes types, also where ports are the same. */
START_TEST(test_types_are_apart)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 100000;
	for (int i = 0; i < 20; i++) {
		seq_up(r, s, 5000);
		seq_down(r, s, 5000);
	}
	rig_wait(r, rig_all_arrived, &one, "the stream's bytes");
	seq_wait(r, s);
	seq_packet(r, s, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH);
	seq_until(r, &s->reset, "RST");
	ck_assert(!r->guest[0].reset);
	seq_end(r);
}
END_TEST

/* Refused: by the broker, by the guest, and where it was not negotiated. */
START_TEST(test_refused)
{
	struct rig *r = _i ? rig_start() : seq_start(NULL);
	struct seq *s = &seqs[0];
	uint64_t unknown;
	int o;

	*s = (struct seq) {
		.used = true, .port = 1025, .host_port = 5000, .fd = -1
	};
	unknown = r->rst_unknown;
	seq_packet(r, s, VSOCK_OP_REQUEST, 0);
	if (_i) {
		rig_settle(r);
		ck_assert_uint_eq(r->rst_unknown, unknown + 1);
		ck_assert_int_eq(r->b.ndials, 0);
	} else {
		while (!r->b.ndials)
			seq_step(r, 5);
		fb_dial_refuse(&r->b, 0, HVS_REASON_NO_LISTENER);
		seq_until(r, &s->reset, "RST");
	}
	*s = (struct seq) {
		.used = true, .port = 22, .asked = true, .fd = -1
	};
	o = fb_open_type(&r->b, SOCK_SEQPACKET, 22, 0x80000123u, false, 20000);
	if (!_i) {
		while (!s->host_port)
			seq_step(r, 5);
		seq_packet(r, s, VSOCK_OP_RST, 0);
	}
	while (!r->b.opens[o].answered)
		seq_step(r, 5);
	ck_assert_uint_eq(r->b.opens[o].reason,
			  _i ? HVS_REASON_TYPE : HVS_REASON_NO_LISTENER);
	ck_assert_msg(strstr(r->b.opens[o].text, "SOCK_SEQPACKET") != NULL,
		      "%s", r->b.opens[o].text);
	seq_end(r);
}
END_TEST

/* Pieces of two messages at the same time, of any size. */
START_TEST(test_pieces)
{
	struct rig *r = seq_start(NULL);
	struct seq *a = seq_dial(r, 0, 1025, 5000);
	struct seq *b = seq_dial(r, 1, 1026, 5000);

	for (uint32_t i = 0; i < 1000; i++) {
		seq_piece(r, a, i, 1, i == 999);
		seq_piece(r, b, i * 100, 100, i == 999);
	}
	/* the end alone */
	seq_piece(r, a, 0, 1000, false);
	seq_piece(r, a, 1000, 0, true);
	/* EOR: it is the end of a message, too */
	seq_piece(r, b, 0, 10, false);
	seq_settle(r);
	ck_assert_uint_eq(b->up.received, 1);
	seq_piece(r, b, 10, 10, true);
	seq_wait(r, a);
	seq_wait(r, b);
	seq_end(r);
}
END_TEST

/* A message that does not end: no more of it than the window, then RST. */
START_TEST(test_no_end)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);
	struct seq *other = seq_dial(r, 1, 1026, 5000);

	if (_i == 0) {
		for (uint32_t at = 0; at < SEQ_MAX; at += 32768)
			seq_piece(r, s, at, 32768, false);
		seq_until(r, &s->reset, "RST");
		seq_until(r, &s->eof, "the end");
	} else {
		/* its sender closes in the middle of it */
		seq_up(r, s, 100);
		seq_piece(r, s, 0, 60000, false);
		seq_packet(r, s, VSOCK_OP_SHUTDOWN,
			   _i == 1 ? VSOCK_SHUT_SEND : VSOCK_SHUT_BOTH);
		seq_until(r, &s->eof, "the end");
		ck_assert_uint_eq(s->up.received, 1);
		if (_i == 2)
			seq_until(r, &s->reset, "RST");
	}
	seq_up(r, other, SEQ_MAX);
	seq_down(r, other, 1000);
	seq_wait(r, other);
	seq_end(r);
}
END_TEST

static unsigned long resident_kib(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	must(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %lu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

/* Messages of one byte to a program that does not read: as many as credit
 * allows are held, they cost little, and all arrive. */
START_TEST(test_tiny_messages)
{
	struct rig *r = seq_start(set_indirect);
	struct seq *s = seq_dial(r, 0, 1025, 5000);
	unsigned long before;

	seq_up(r, s, 1);
	seq_wait(r, s);
	before = resident_kib(r->child);
	s->prog_stalled = true;
	while (s->bytes_sent - s->peer_fwd < SEQ_MAX)
		seq_piece(r, s, 0, 1, true);
	seq_settle(r);
	ck_assert(!s->reset);
	/* a window of bytes, a byte of length for each */
	if (!getenv("VHOST_USER_SANDBOX") ||
	    strcmp(getenv("VHOST_USER_SANDBOX"), "none"))
		ck_assert_uint_lt(resident_kib(r->child), before + 1024);
	s->prog_stalled = false;
	seq_wait(r, s);
	seq_up(r, s, SEQ_MAX);
	seq_wait(r, s);
	seq_end(r);
}
END_TEST

/* A program that does not read stops its own connection only. */
START_TEST(test_stalled_program)
{
	struct rig *r = seq_start(NULL);
	struct seq *a = seq_dial(r, 0, 1025, 5000);
	struct seq *b = seq_dial(r, 1, 1026, 5000);

	a->prog_stalled = true;
	while (a->peer_alloc - (a->bytes_sent - a->peer_fwd) >= 20000)
		seq_up(r, a, 20000);
	for (int i = 0; i < 50; i++)
		seq_up(r, b, 60000);
	seq_wait(r, b);
	a->prog_stalled = false;
	seq_up(r, a, SEQ_MAX);
	seq_wait(r, a);
	seq_end(r);
}
END_TEST

/* The guest reads nothing: messages wait as wholes, and not too many. */
START_TEST(test_stalled_guest)
{
	struct rig *r = seq_start(NULL);
	struct seq *a = seq_dial(r, 0, 1025, 5000);
	struct seq *b = seq_dial(r, 1, 1026, 5000);

	a->stalled = true;
	for (int i = 0; i < 4; i++)
		seq_down(r, a, 100000);
	for (int i = 0; i < 50; i++)
		seq_down(r, b, 60000);
	seq_wait(r, b);
	seq_settle(r);
	/* the third does not fit, and has not begun */
	ck_assert_uint_eq(a->down.received, 2);
	ck_assert_uint_eq(a->msg_len, 0);
	a->stalled = false;
	seq_wait(r, a);
	a->stalled = true;
	for (int i = 0; i < 1000; i++) {
		seq_down(r, a, 1);
		if (i % 50 == 0)
			seq_settle(r);
		if (i == 600)
			a->stalled = false;
	}
	seq_wait(r, a);
	ck_assert_uint_le(a->packets_most, 448);
	seq_end(r);
}
END_TEST

/* A window of 10,000 bytes, which is made smaller than a message that waits. */
START_TEST(test_too_long)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);
	struct seq *other = seq_dial(r, 1, 1026, 5000);
	uint8_t byte;

	s->buf_alloc = 10000;
	seq_packet(r, s, VSOCK_OP_CREDIT_UPDATE, 0);
	seq_down(r, s, 10000);
	seq_down(r, s, 9999);
	seq_wait(r, s);
	s->prog_stalled = true; /* it reads what it is told below */
	if (_i) {
		s->stalled = true;
		seq_down(r, s, 6000);
		seq_down(r, s, 6000);
		seq_settle(r);
		s->buf_alloc = 5000;
		s->stalled = false;
		s->unread = 0;
		s->fwd += 6000;
		seq_packet(r, s, VSOCK_OP_CREDIT_UPDATE, 0);
	} else {
		seq_down(r, s, 10001);
	}
	seq_until(r, &s->reset, "RST");
	/* it is told: its message has not gone anywhere */
	while (recv(s->fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
		seq_step(r, 5);
	ck_assert(errno == ECONNRESET);
	seq_up(r, other, 1000);
	seq_down(r, other, 1000);
	seq_wait(r, other);
	seq_end(r);
}
END_TEST

/* Messages of no bytes are dropped; the end is the end. */
START_TEST(test_empty)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);
	struct vsock_header h = seq_header(s, VSOCK_OP_RW);

	ck_assert_int_eq(send(s->fd, "", 0, 0), 0);
	seq_down(r, s, 10);
	seq_wait(r, s);
	for (int i = 0; i < 200; i++)
		if (send(s->fd, "", 0, MSG_DONTWAIT) < 0)
			seq_step(r, 0);
	seq_down(r, s, 10);
	seq_wait(r, s);
	h.flags = VSOCK_SEQ_EOM;
	rig_put(r, &h, NULL);
	seq_up(r, s, 10);
	seq_wait(r, s);
	ck_assert(!s->eof && !s->peer_shut);
	ck_assert_int_eq(send(s->fd, "", 0, 0), 0);
	seq_down(r, s, 10);
	ck_assert_int_eq(send(s->fd, "", 0, 0), 0);
	ck_assert_int_eq(shutdown(s->fd, SHUT_WR), 0);
	while (!s->peer_shut)
		seq_step(r, 5);
	ck_assert_uint_eq(s->peer_shut, VSOCK_SHUT_SEND);
	ck_assert_uint_eq(s->down.received, 3);
	seq_up(r, s, 10);
	seq_wait(r, s);
	seq_end(r);
}
END_TEST

/* Each direction ends by itself, behind all that was sent. */
START_TEST(test_half_close)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);

	for (int i = 0; i < 3; i++)
		seq_down(r, s, 60000);
	ck_assert_int_eq(shutdown(s->fd, SHUT_WR), 0);
	while (!s->peer_shut)
		seq_step(r, 5);
	ck_assert_uint_eq(s->peer_shut, VSOCK_SHUT_SEND);
	ck_assert_uint_eq(s->down.received, 3);
	s->prog_stalled = true;
	for (int i = 0; i < 4; i++)
		seq_up(r, s, 100000);
	s->prog_stalled = false;
	seq_packet(r, s, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND);
	seq_until(r, &s->eof, "end of file");
	ck_assert_uint_eq(s->up.received, 4);
	ck_assert(!s->reset);
	seq_packet(r, s, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH);
	seq_until(r, &s->reset, "RST");
	seq_end(r);
}
END_TEST

/* A program that stops reading: the guest's next message finds out. */
START_TEST(test_program_stops_reading)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);

	ck_assert_int_eq(shutdown(s->fd, SHUT_RD), 0);
	s->prog_stalled = true;
	seq_up(r, s, 10);
	while (!s->peer_shut)
		seq_step(r, 5);
	ck_assert_uint_eq(s->peer_shut, VSOCK_SHUT_RCV);
	s->up.received = s->up.sent;
	seq_down(r, s, 60000);
	seq_wait(r, s);
	seq_end(r);
}
END_TEST

/* A program sends and closes at once, with something unread or not. */
START_TEST(test_program_closes)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);

	if (_i) {
		s->prog_stalled = true;
		seq_up(r, s, 10);
		seq_settle(r);
		s->up.received = s->up.sent;
	}
	for (int i = 0; i < 3; i++)
		seq_down(r, s, 60000);
	close(s->fd);
	s->fd = -1;
	while (s->peer_shut != VSOCK_SHUT_BOTH)
		seq_step(r, 5);
	ck_assert_uint_eq(s->down.received, 3);
	seq_packet(r, s, VSOCK_OP_RST, 0);
	seq_settle(r);
	ck_assert_int_eq(r->b.nclosed, 1);
	seq_end(r);
}
END_TEST

/* STALL holds messages back as it does bytes, and loses none. */
START_TEST(test_stall)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);

	seq_up(r, s, 10);
	seq_down(r, s, 10);
	seq_wait(r, s);
	fb_stall(&r->b, true);
	fb_counters(&r->b);
	while (r->b.ncounters < 0)
		seq_step(r, 5);
	for (int i = 0; i < 3; i++) {
		seq_up(r, s, 50000);
		seq_down(r, s, 50000);
	}
	for (int i = 0; i < 2; i++) {
		fb_counters(&r->b);
		while (r->b.ncounters < 0)
			seq_step(r, 5);
		seq_settle(r);
	}
	ck_assert_uint_eq(s->up.received, 1);
	ck_assert_uint_eq(s->down.received, 1);
	fb_stall(&r->b, false);
	seq_wait(r, s);
	seq_end(r);
}
END_TEST

/* The next broker hears of it with its type. */
START_TEST(test_live)
{
	struct rig *r = seq_start(NULL);
	struct seq *s = seq_dial(r, 0, 1025, 5000);

	seq_down(r, s, 10);
	seq_wait(r, s);
	fb_kill(&r->b);
	fb_start(&r->b, r->dir);
	while (!r->b.nlive)
		seq_step(r, 5);
	ck_assert_uint_eq(r->b.live[0].type, SOCK_SEQPACKET);
	seq_up(r, s, 70000);
	seq_down(r, s, 70000);
	seq_wait(r, s);
	seq_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-messages");
	TCase *t = tcase_create("messages");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_sizes, 0, (int)ARRAY_LEN(set_ups));
	tcase_add_loop_test(t, test_open, 0, 2);
	tcase_add_test(t, test_types_are_apart);
	tcase_add_loop_test(t, test_refused, 0, 2);
	tcase_add_test(t, test_pieces);
	tcase_add_loop_test(t, test_no_end, 0, 3);
	tcase_add_test(t, test_tiny_messages);
	tcase_add_test(t, test_stalled_program);
	tcase_add_test(t, test_stalled_guest);
	tcase_add_loop_test(t, test_too_long, 0, 2);
	tcase_add_test(t, test_empty);
	tcase_add_test(t, test_half_close);
	tcase_add_test(t, test_program_stops_reading);
	tcase_add_loop_test(t, test_program_closes, 0, 2);
	tcase_add_test(t, test_stall);
	tcase_add_test(t, test_live);
	suite_add_tcase(s, t);
	return rig_run(s);
}
