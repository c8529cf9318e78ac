/* SPDX-License-Identifier: MIT */
/*
 * test-resets.c - a guest that begins anew, in all the ways in which that
 * shows; memory that changes; guests that come from somewhere else
 */
#include <check.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "rig.h"
#include "transport/vhost-user/message.h"

#define MANY 200
#define V VU_FLAG_VERSION
#define N (VU_FLAG_VERSION | VU_FLAG_NEED_REPLY)

static bool prog_over(struct rig *r, void *arg)
{
	struct prog_end *p = &r->prog[*(int *)arg];

	return p->eof || p->error;
}

static bool many_over(struct rig *r, void *arg)
{
	(void)arg;
	for (int i = 0; i < MANY; i++)
		if (!r->prog[i].eof && !r->prog[i].error)
			return false;
	return r->b.nclosed >= MANY;
}

static bool asked(struct rig *r, void *arg)
{
	(void)arg;
	return r->last.op == VSOCK_OP_REQUEST;
}

static bool answered(struct rig *r, void *arg)
{
	return r->b.opens[*(int *)arg].answered;
}

static void running(struct rig *r)
{
	uint32_t on = 1;

	rig_wait(r, rig_idle_state, &on, "STATE running");
}

static void connect_many(struct rig *r)
{
	for (int i = 0; i < MANY; i++)
		rig_connected(r, i, 2000 + (uint32_t)i, 5000);
}

static void move_many(struct rig *r)
{
	for (int i = 0; i < MANY; i++) {
		r->guest[i].chunk = r->prog[i].chunk = 4000;
		r->guest[i].to_send = r->prog[i].to_send = 100000000;
	}
	while (r->guest[MANY - 1].received < 10000 ||
	       r->prog[MANY - 1].received < 10000)
		rig_step(r, 10);
}

static void close_progs(struct rig *r)
{
	r->b.nclosed = 0;
	for (int i = 0; i < RIG_ENDS; i++) {
		if (r->prog[i].fd >= 0)
			close(r->prog[i].fd);
		r->prog[i].fd = -1;
	}
}

static void data(struct rig *r)
{
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 100000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
}

static void set_features(struct rig *r, uint64_t v)
{
	uint8_t p[8];

	le64_put(p, v | 1ull << 30);
	ck_assert_int_eq(drv_ack(&r->d, VU_SET_FEATURES, p, 8, NULL, 0), 0);
}

enum way {
	WAY_BASE,
	WAY_MESSAGE,
	WAY_HANDSHAKE,
	WAY_OWNER,
	WAY_FEATURES,
	WAYS
};

/*
 * 200 connections move data, a program waits for the guest's answer, another
 * is parked; the guest begins anew. Everything of it ends, and it begins well.
 */
START_TEST(test_reset_many)
{
	struct rig *r = rig_start();
	int fd, open, park;

	connect_many(r);
	open = fb_open(&r->b, 22, 0x80000001u, false, 20000);
	rig_wait(r, asked, NULL, "REQUEST");
	park = fb_open(&r->b, 23, 0x80000002u, true, 20000);
	fd = fb_meet(&r->b, r->b.opens[park].token);
	fb_parked(&r->b, r->b.opens[park].token, fb_fill(fd));
	move_many(r);
	if (_i != WAY_MESSAGE)
		drv_stop(&r->d);
	if (_i == WAY_MESSAGE)
		ck_assert_int_eq(
			drv_ack(&r->d, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	/* features alone say it in rings that go on */
	if (_i != WAY_FEATURES)
		drv_forget(&r->d);
	memset(r->guest, 0, sizeof(r->guest));
	if (_i == WAY_HANDSHAKE || _i == WAY_OWNER) {
		if (_i == WAY_HANDSHAKE)
			drv_handshake(&r->d, r->d.sock);
		else
			ck_assert_int_eq(
				drv_ack(&r->d, VU_SET_OWNER, NULL, 0, NULL, 0),
				0);
		ck_assert_int_eq(drv_memory(&r->d), 0);
	}
	if (_i == WAY_FEATURES) {
		r->d.features &= ~(1ull << 29);
		set_features(r, r->d.features);
	}
	drv_start(&r->d);
	rig_wait(r, many_over, NULL, "the end of 200 connections");
	rig_wait(r, answered, &open, "the answer to OPEN");
	rig_wait(r, answered, &park, "the answer to the parked one");
	ck_assert_uint_ne(r->b.opens[open].error, 0);
	ck_assert_uint_ne(r->b.opens[park].error, 0);
	running(r);
	close(fd);
	close_progs(r);
	/* what listens on the host does not notice */
	data(r);
	rig_end(r);
}
END_TEST

/* The same features again, or a RESET_OWNER, are no reset. */
START_TEST(test_no_reset)
{
	struct rig *r = rig_start();
	int one = 1;

	data(r);
	set_features(r, r->d.features);
	ck_assert_int_eq(drv_ack(&r->d, VU_RESET_OWNER, NULL, 0, NULL, 0), 0);
	r->guest[0].to_send = r->prog[0].to_send = 500000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	ck_assert(!r->guest[0].reset);
	rig_end(r);
}
END_TEST

/* ---- memory */

/* A table that cannot be right has no effect: the one before stays. */
START_TEST(test_bad_table)
{
	struct rig *r = rig_start();
	const int fds[2] = { r->d.memfd, r->d.memfd };
	uint8_t p[72] = { 2 };
	int one = 1;

	data(r);
	le64_put(p + 8, drv_gpa(0));
	le64_put(p + 16, DRV_LOW);
	le64_put(p + 24, DRV_UVA);
	/* the second one goes over the end of the file */
	le64_put(p + 40, drv_gpa(DRV_LOW));
	le64_put(p + 48, DRV_RAM);
	le64_put(p + 56, DRV_UVA + DRV_LOW);
	le64_put(p + 64, DRV_LOW);
	ck_assert_int_eq(drv_ack(&r->d, VU_SET_MEM_TABLE, p, 72, fds, 2), 1);
	r->guest[0].to_send = r->prog[0].to_send = 500000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

static void with_slots(struct drv *d)
{
	d->mem_slots = true;
}

/* A region comes and goes while rings run, many times; as many as there may
 * be, and one more. */
START_TEST(test_slots)
{
	struct rig *r = rig_start_with(with_slots);
	uint64_t slots;
	uint8_t p[40] = { 0 };
	int one = 1;

	ck_assert_int_eq(drv_get(&r->d, VU_GET_MAX_MEM_SLOTS, &slots), 0);
	ck_assert_uint_ge(slots, 32);
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 3000000;
	for (uint64_t i = 0; i < slots - 1; i++) {
		le64_put(p + 8, 0x100000000u + i * 0x10000);
		le64_put(p + 16, 0x1000);
		le64_put(p + 24, 0x10000000u + i * 0x10000);
		ck_assert_int_eq(
			drv_ack(&r->d, VU_ADD_MEM_REG, p, 40, &r->d.memfd, 1),
			i == slots - 2);
		rig_step(r, 0);
	}
	for (uint64_t i = 0; i < slots - 2; i++) {
		/* (the one that stays unplugged comes with a descriptor) */
		le64_put(p + 8, 0x100000000u + i * 0x10000);
		le64_put(p + 24, 0x10000000u + i * 0x10000);
		ck_assert_int_eq(drv_ack(&r->d, VU_REM_MEM_REG, p, 40,
					 &r->d.memfd, (int)(i & 1)),
				 0);
		rig_step(r, 0);
	}
	ck_assert_int_eq(drv_ack(&r->d, VU_REM_MEM_REG, p, 40, NULL, 0), 1);
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

/* Whatever a message is: descriptors that it has no use for are closed. */
START_TEST(test_surplus)
{
	struct rig *r = rig_start();
	int fds[VU_FDS_MAX], pipe_[2], one = 1;
	uint8_t payload[264] = { 0 };
	struct pollfd p;
	uint64_t v;

	data(r);
	ck_assert_int_eq(pipe2(pipe_, 0), 0);
	for (uint32_t request = 0; request < 50; request++) {
		bool changes = request == VU_SET_FEATURES ||
			       request == VU_SET_OWNER ||
			       request == VU_SET_PROTOCOL_FEATURES ||
			       request == VU_RESET_DEVICE;

		for (uint32_t size = 0; size <= 264; size += 4) {
			if ((changes && size == 8) || (changes && !size))
				continue;
			for (int i = 0; i < VU_FDS_MAX; i++)
				fds[i] = pipe_[1];
			if (drv_send(&r->d, request, V, payload, size, fds,
				     VU_FDS_MAX) < 0)
				break;
			/* a question that is not one ends the connection */
			if (drv_get(&r->d, VU_GET_FEATURES, &v) == 0)
				continue;
			close(r->d.sock);
			r->d.sock = rig_front_end(r);
		}
	}
	close(pipe_[1]);
	/* nobody else has it */
	p = (struct pollfd) { .fd = pipe_[0], .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	ck_assert_int_eq(p.revents, POLLHUP);
	close(pipe_[0]);
	close(r->d.sock);
	close_progs(r);
	memset(r->guest, 0, sizeof(r->guest));
	drv_forget(&r->d);
	drv_handshake(&r->d, rig_front_end(r));
	ck_assert_int_eq(drv_memory(&r->d), 0);
	drv_start(&r->d);
	running(r);
	data(r);
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

/* ---- three queues */

static void with_events(struct drv *d)
{
	d->queues = 3;
}

static bool told(struct rig *r, void *arg)
{
	return r->d.events == *(unsigned int *)arg;
}

/* Nothing is said to a guest that begins anew, or goes on. */
START_TEST(test_no_event)
{
	struct rig *r = rig_start_with(with_events);
	int zero = 0, one = 1;

	data(r);
	drv_stop(&r->d);
	drv_start(&r->d);
	running(r);
	r->guest[0].to_send = r->prog[0].to_send = 200000;
	rig_wait(r, rig_all_arrived, &one, "bytes after a pause");
	drv_stop(&r->d);
	drv_forget(&r->d);
	memset(r->guest, 0, sizeof(r->guest));
	drv_start(&r->d);
	rig_wait(r, prog_over, &zero, "the old connection's end");
	running(r);
	close_progs(r);
	data(r);
	rig_settle(r);
	ck_assert_uint_eq(r->d.events, 0);
	rig_end(r);
}
END_TEST

/*
 * A guest with a past that this process does not know: it was restored (0), or
 * its back end is a new one (1), or both (2, with the state that says so). It
 * is told that its connections are gone, once.
 */
START_TEST(test_restored)
{
	struct rig *r = rig_start_with(with_events);
	unsigned int want = 1;
	int zero = 0, pair[2];
	uint8_t p[8] = { 0 };

	data(r);
	drv_stop(&r->d);
	if (_i == 2)
		drv_stop(&r->d);
	close(r->d.sock);
	rig_wait(r, prog_over, &zero, "the old connection's end");
	close_progs(r);
	memset(r->guest, 0, sizeof(r->guest));
	if (_i == 1) {
		r->d.sock = rig_front_end(r);
		ck_assert_int_eq(drv_state(&r->d, VU_SET_VRING_ENABLE, 0, 0),
				 0);
	} else {
		drv_handshake(&r->d, rig_front_end(r));
	}
	ck_assert_int_eq(drv_memory(&r->d), 0);
	if (_i == 2) {
		p[0] = 1;
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		ck_assert_int_eq(drv_send(&r->d, VU_SET_DEVICE_STATE_FD, V, p,
					  8, &pair[1], 1),
				 0);
		close(pair[1]);
		ck_assert_int_eq(drv_reply(&r->d, VU_SET_DEVICE_STATE_FD, p, 8),
				 8);
		ck_assert_uint_eq(le64_get(p), 0x100);
		close(pair[0]);
		ck_assert_int_eq(drv_send(&r->d, VU_CHECK_DEVICE_STATE, V, NULL,
					  0, NULL, 0),
				 0);
		ck_assert_int_eq(drv_reply(&r->d, VU_CHECK_DEVICE_STATE, p, 8),
				 8);
		ck_assert_uint_eq(le64_get(p), 0);
	}
	drv_start(&r->d);
	running(r);
	rig_wait(r, told, &want, "TRANSPORT_RESET");
	data(r);
	rig_settle(r);
	ck_assert_uint_eq(r->d.events, 1);
	rig_end(r);
}
END_TEST

/* A state is saved (nothing), and one that is not ours is refused. */
START_TEST(test_state)
{
	struct rig *r = rig_start();
	static const struct {
		uint32_t direction, phase;
		bool file, full;
		uint64_t set, check;
	} rows[] = {
		{ 0, 0, false, false, 0x100, 0 },
		{ 1, 0, false, true, 0x100, 1 },
		{ 2, 0, false, false, 0x101, 0 },
		{ 0, 1, false, false, 0x101, 0 },
		{ 0, 0, true, false, 0x101, 0 },
	};
	uint8_t p[8], byte;
	int pair[2];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		if (rows[i].full)
			ck_assert_int_eq(send(pair[0], "?", 1, 0), 1);
		le32_put(p, rows[i].direction);
		le32_put(p + 4, rows[i].phase);
		ck_assert_int_eq(
			drv_send(&r->d, VU_SET_DEVICE_STATE_FD, V, p, 8,
				 rows[i].file ? &r->d.memfd : &pair[1], 1),
			0);
		close(pair[1]);
		ck_assert_int_eq(drv_reply(&r->d, VU_SET_DEVICE_STATE_FD, p, 8),
				 8);
		ck_assert_uint_eq(le64_get(p), rows[i].set);
		if (!rows[i].full)
			ck_assert_int_eq(recv(pair[0], &byte, 1, 0), 0);
		ck_assert_int_eq(drv_send(&r->d, VU_CHECK_DEVICE_STATE, V, NULL,
					  0, NULL, 0),
				 0);
		ck_assert_int_eq(drv_reply(&r->d, VU_CHECK_DEVICE_STATE, p, 8),
				 8);
		ck_assert_uint_eq(le64_get(p), rows[i].check);
		close(pair[0]);
	}
	data(r);
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-resets");
	TCase *t = tcase_create("resets");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_reset_many, 0, WAYS);
	tcase_add_test(t, test_no_reset);
	tcase_add_test(t, test_bad_table);
	tcase_add_test(t, test_slots);
	tcase_add_test(t, test_surplus);
	tcase_add_test(t, test_no_event);
	tcase_add_loop_test(t, test_restored, 0, 3);
	tcase_add_test(t, test_state);
	suite_add_tcase(s, t);
	return rig_run(s);
}
