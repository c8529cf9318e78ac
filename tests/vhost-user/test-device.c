/* SPDX-License-Identifier: MIT */
/* test-device.c - the program between a guest and programs: what must work */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "rig.h"
#include "transport/vhost-user/message.h"

static bool dials(struct rig *r, void *arg)
{
	return r->b.ndials >= *(int *)arg;
}

static bool prog_over(struct rig *r, void *arg)
{
	struct prog_end *p = &r->prog[*(int *)arg];

	return p->eof || p->error;
}

START_TEST(test_dial_names)
{
	struct rig *r = rig_start();
	struct msg_dial *m = &r->b.dials[0].m;
	uint32_t port;
	int i = 0;

	rig_connect(r, 0, 1025, 5000);
	i = 1;
	rig_wait(r, dials, &i, "DIAL");
	ck_assert_uint_eq(m->type, SOCK_STREAM);
	ck_assert(guid_equal(&m->vmid, &guid_parent));
	ck_assert(guid_is_port(&m->service, &port) && port == 5000);
	ck_assert(guid_is_port(&m->source, &port) && port == 1025);
	ck_assert_uint_gt(m->timeout_ms, 0);
	ck_assert_uint_le(m->timeout_ms, 2000);
	fb_dial_refuse(&r->b, 0, HVS_REASON_NOT_REGISTERED);
	i = 0;
	rig_wait(r, rig_was_reset, &i, "RST for a refused connect");
	rig_end(r);
}
END_TEST

static const struct {
	uint64_t to_host, to_guest;
	uint32_t guest_chunk, prog_chunk;
	uint64_t features;
	bool indirect, slots;
	unsigned int split;
} sizes[] = {
	{ 1, 0, 65536, 65536, 0, false, false, 2 },
	{ 0, 1, 65536, 65536, 0, false, false, 2 },
	{ 3732, 3732, 3732, 3732, 0, false, false, 2 },
	{ 3733, 3733, 65536, 65536, 0, false, false, 1 },
	{ 65536, 65536, 65536, 65536, 0, false, true, 4 },
	{ 65537, 65537, 4096, 100, 0, true, false, 2 },
	{ 262144, 262144, 65536, 65536, 0, true, true, 18 },
	{ 262145, 262145, 1000, 65536, 1ull << 29, false, false, 3 },
	{ 5000000, 0, 65536, 65536, 0, false, false, 2 },
	{ 0, 5000000, 65536, 65536, 0, false, false, 2 },
	{ 3000001, 2999999, 65536, 30000, 0, true, false, 17 },
	{ 400000, 100000, 100, 17, 0, true, false, 2 },
	{ 2000000, 2000000, 65536, 65536, 1ull << 29, true, false, 2 },
};

static int size_at;

static void set_up_size(struct drv *d)
{
	d->features &= ~sizes[size_at].features;
	d->indirect = sizes[size_at].indirect;
	d->mem_slots = sizes[size_at].slots;
	d->split = sizes[size_at].split;
}

START_TEST(test_sizes)
{
	struct rig *r;
	int one = 1, zero = 0;

	size_at = _i;
	r = rig_start_with(set_up_size);
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].chunk = sizes[_i].guest_chunk;
	r->guest[0].to_send = sizes[_i].to_host;
	r->prog[0].chunk = sizes[_i].prog_chunk;
	r->prog[0].to_send = sizes[_i].to_guest;
	rig_wait(r, rig_all_arrived, &one, "all bytes");
	ck_assert(!r->prog[0].eof);
	rig_packet(r, 0, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH);
	rig_wait(r, rig_was_reset, &zero, "RST after the guest's close");
	rig_wait(r, prog_over, &zero, "end of file");
	ck_assert_int_eq(r->b.nclosed, 1);
	ck_assert_uint_eq(r->b.closed[0].to_guest, sizes[_i].to_guest);
	ck_assert_uint_eq(r->b.closed[0].from_guest, sizes[_i].to_host);
	rig_end(r);
}
END_TEST

static bool guest_got_shut(struct rig *r, void *arg)
{
	return r->guest[0].peer_shut == *(uint32_t *)arg;
}

/* The program says it is done; the guest goes on sending for a while. */
START_TEST(test_half_close_by_program)
{
	struct rig *r = rig_start();
	uint32_t shut = VSOCK_SHUT_SEND;
	int one = 1, zero = 0;

	rig_connected(r, 0, 1025, 5000);
	r->prog[0].to_send = 100000;
	r->prog[0].shut_when_sent = true;
	rig_wait(r, guest_got_shut, &shut, "SHUTDOWN with flag 2 alone");
	ck_assert_uint_eq(r->guest[0].received, 100000);
	r->guest[0].to_send = 600000;
	rig_wait(r, rig_all_arrived, &one, "the guest's data");
	ck_assert(!r->prog[0].eof);
	rig_packet(r, 0, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH);
	rig_wait(r, prog_over, &zero, "end of file");
	ck_assert(r->prog[0].eof);
	rig_wait(r, rig_was_reset, &zero, "RST");
	ck_assert_uint_eq(r->guest[0].peer_shut, VSOCK_SHUT_SEND);
	rig_end(r);
}
END_TEST

START_TEST(test_half_close_by_guest)
{
	struct rig *r = rig_start();
	int one = 1, zero = 0;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = 700000;
	r->prog[0].stalled = true; /* so that some of it is held */
	rig_wait(r, dials, &zero, "nothing");
	while (r->guest[0].sent < r->guest[0].to_send &&
	       r->guest[0].sent - r->guest[0].peer_fwd < 262144)
		rig_step(r, 10);
	r->prog[0].stalled = false;
	while (r->guest[0].sent < r->guest[0].to_send)
		rig_step(r, 10);
	rig_packet(r, 0, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND);
	rig_wait(r, prog_over, &zero, "end of file");
	ck_assert(r->prog[0].eof);
	ck_assert_uint_eq(r->prog[0].received, 700000);
	/* the other direction lives */
	r->prog[0].to_send = 300000;
	rig_wait(r, rig_all_arrived, &one, "the program's data");
	ck_assert_uint_eq(r->guest[0].peer_shut, 0);
	close(r->prog[0].fd);
	r->prog[0].fd = -1;
	rig_wait(r, guest_got_shut, &(uint32_t) { 3 }, "both flags");
	rig_packet(r, 0, VSOCK_OP_RST, 0);
	rig_settle(r);
	ck_assert_int_eq(r->b.nclosed, 1);
	rig_end(r);
}
END_TEST

/* The guest closes while the program has not read: nothing is lost. */
START_TEST(test_close_with_held_data)
{
	struct rig *r = rig_start();
	int zero = 0, one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->prog[0].stalled = true;
	r->guest[0].to_send = 500000;
	while (r->guest[0].sent < r->guest[0].to_send)
		rig_step(r, 10);
	/* the guest keeps its port for 8 s unless RST comes: at once, since
	 * what the program has not got the device holds */
	rig_packet(r, 0, VSOCK_OP_SHUTDOWN,
		   _i ? VSOCK_SHUT_SEND : VSOCK_SHUT_BOTH);
	if (_i)
		rig_packet(r, 0, VSOCK_OP_RST, 0);
	rig_settle(r);
	ck_assert(r->guest[0].reset == !_i);
	ck_assert(!r->prog[0].eof && r->prog[0].received < 500000);
	ck_assert_int_eq(r->b.nclosed, 0);
	/* the port is free */
	r->guest[0].used = false;
	rig_connected(r, 1, 1025, 5000);
	/* also when the guest is reset after that */
	if (_i) {
		drv_stop(&r->d);
		drv_forget(&r->d);
		drv_start(&r->d);
		rig_wait(r, prog_over, &one, "end of the other one");
	}
	r->prog[0].stalled = false;
	rig_wait(r, prog_over, &zero, "end of file");
	ck_assert(r->prog[0].eof);
	ck_assert_uint_eq(r->prog[0].received, 500000);
	rig_settle(r);
	ck_assert_int_eq(r->b.nclosed, 1 + _i);
	ck_assert_uint_eq(r->b.closed[_i].from_guest, 500000);
	rig_end(r);
}
END_TEST

/* shutdown(SHUT_RD) of a program makes no readable event at all. */
START_TEST(test_program_stops_reading)
{
	struct rig *r = rig_start();

	rig_connected(r, 0, 1025, 5000);
	ck_assert_int_eq(shutdown(r->prog[0].fd, SHUT_RD), 0);
	r->prog[0].stalled = true;
	rig_wait(r, guest_got_shut, &(uint32_t) { VSOCK_SHUT_RCV },
		 "SHUTDOWN with flag 1");
	r->prog[0].to_send = 10000;
	while (r->guest[0].received < 10000)
		rig_step(r, 10);
	rig_end(r);
}
END_TEST

/* The guest's shutdown(SHUT_RD): the program's writes fail, not its reads. */
START_TEST(test_guest_stops_reading)
{
	struct rig *r = rig_start();

	rig_connected(r, 0, 1025, 5000);
	rig_packet(r, 0, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_RCV);
	rig_settle(r);
	ck_assert_int_eq(send(r->prog[0].fd, "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(errno, EPIPE);
	r->guest[0].to_send = 300000;
	while (r->prog[0].received < 300000)
		rig_step(r, 10);
	ck_assert(!r->prog[0].eof && !r->guest[0].reset);
	rig_packet(r, 0, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND);
	rig_wait(r, rig_was_reset, &(int) { 0 }, "RST");
	rig_end(r);
}
END_TEST

START_TEST(test_program_closes)
{
	struct rig *r = rig_start();
	int zero = 0;

	rig_connected(r, 0, 1025, 5000);
	r->prog[0].to_send = 200000;
	while (r->prog[0].sent < 200000)
		rig_step(r, 10);
	close(r->prog[0].fd);
	r->prog[0].fd = -1;
	rig_wait(r, guest_got_shut, &(uint32_t) { 3 }, "both flags");
	while (r->guest[0].received < 200000)
		rig_step(r, 10);
	if (_i) {
		rig_packet(r, 0, VSOCK_OP_RST, 0);
		rig_settle(r);
		ck_assert(!r->guest[0].reset);
	} else {
		/* the guest keeps it open: RST after the linger time */
		rig_wait(r, rig_was_reset, &zero, "RST after 2 s");
	}
	/* the tuple is free again */
	rig_connected(r, 0, 1025, 5000);
	rig_end(r);
}
END_TEST

START_TEST(test_hundred)
{
	struct rig *r = rig_start();
	int n = 100;

	for (int i = 0; i < n; i++)
		rig_connect(r, i, 2000 + (uint32_t)i, 5000 + (uint32_t)i % 7);
	rig_wait(r, dials, &n, "100 DIALs");
	for (int i = 0; i < n; i++) {
		uint32_t port;
		uint64_t token;

		ck_assert(guid_is_port(&r->b.dials[0].m.source, &port));
		port -= 2000;
		ck_assert_uint_lt(port, 100);
		r->prog[port] = (struct prog_end) { .seed = port * 2 + 1,
						    .chunk = 1000 + port * 97 };
		r->prog[port].fd = fb_dial_accept(&r->b, 0, &token);
		r->prog[port].to_send = 20000 + port * 1001;
		r->guest[port].to_send = 15000 + port * 999;
		r->guest[port].chunk = 500 + port * 300;
	}
	rig_wait(r, rig_all_arrived, &n, "all bytes of 100 connections");
	fb_counters(&r->b);
	while (r->b.ncounters < 0)
		rig_step(r, 10);
	ck_assert_int_eq(r->b.ncounters, 100);
	rig_end(r);
}
END_TEST

/* A guest that reads nothing stops its connection and no other. */
START_TEST(test_credit_stall)
{
	struct rig *r = rig_start();
	int two = 2;

	rig_connected(r, 0, 1025, 5000);
	rig_connected(r, 1, 1026, 5000);
	r->guest[0].stalled = true;
	r->prog[0].to_send = 2000000;
	while (r->guest[0].received < 262144)
		rig_step(r, 10);
	r->prog[1].to_send = 1000000;
	while (r->guest[1].received < 1000000)
		rig_step(r, 10);
	ck_assert_uint_eq(r->guest[0].received, 262144);
	r->guest[0].stalled = false;
	rig_wait(r, rig_all_arrived, &two, "the rest");
	rig_end(r);
}
END_TEST

/* A program that reads nothing: the guest may send its window, others go on. */
START_TEST(test_program_stall)
{
	struct rig *r = rig_start();
	int two = 2;

	rig_connected(r, 0, 1025, 5000);
	rig_connected(r, 1, 1026, 5000);
	r->prog[0].stalled = true;
	r->guest[0].to_send = 2000000;
	r->guest[1].to_send = 1000000;
	while (r->prog[1].received < 1000000)
		rig_step(r, 10);
	rig_settle(r);
	ck_assert_uint_eq(r->guest[0].sent - r->guest[0].peer_fwd, 262144);
	ck_assert_uint_lt(r->guest[0].sent, 1000000);
	r->prog[0].stalled = false;
	rig_wait(r, rig_all_arrived, &two, "the rest");
	rig_end(r);
}
END_TEST

/* Many small writes must not become more packets than the guest bears. */
START_TEST(test_small_packets)
{
	struct rig *r = rig_start();
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].stalled = true;
	r->prog[0].chunk = 1;
	/* one by one, lest a slow device gets many at once */
	while (r->guest[0].packets_unread < 200) {
		r->prog[0].to_send = r->guest[0].received + 1;
		rig_step(r, 10);
	}
	r->prog[0].to_send = 3000;
	for (int i = 0; i < 3000; i++)
		rig_step(r, 0);
	rig_settle(r);
	ck_assert_uint_le(r->guest[0].packets_most, 448);
	r->guest[0].stalled = false;
	rig_wait(r, rig_all_arrived, &one, "the rest");
	rig_end(r);
}
END_TEST

/* A window smaller than a receive buffer, and none at all at first. */
START_TEST(test_small_window)
{
	struct rig *r = rig_start();
	struct vsock_header h;
	int one = 1, zero = 0;

	r->guest[0] = (struct guest_end) {
		.used = true, .port = 1025, .host_port = 5000, .chunk = 65536
	};
	rig_packet(r, 0, VSOCK_OP_REQUEST, 0);
	rig_wait(r, dials, &one, "DIAL");
	r->prog[0] = (struct prog_end) { .seed = 1, .chunk = 65536 };
	r->prog[0].fd = fb_dial_accept(&r->b, 0, NULL);
	while (!r->guest[0].open)
		rig_step(r, 10);
	r->prog[0].to_send = 100000;
	while (r->prog[0].sent < 100000)
		rig_step(r, 10);
	rig_settle(r);
	ck_assert_uint_eq(r->guest[0].received, 0);
	r->guest[0].buf_alloc = 1000;
	h = rig_header(&r->guest[0], VSOCK_OP_CREDIT_UPDATE);
	rig_put(r, &h, NULL);
	rig_wait(r, rig_all_arrived, &one, "all through a window of 1000");
	ck_assert(!rig_was_reset(r, &zero));
	rig_end(r);
}
END_TEST

START_TEST(test_pause)
{
	struct rig *r = rig_start();
	uint32_t off = 0, on = 1;
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 1000000;
	for (int i = 0; i < 5; i++) {
		while (r->guest[0].received < (uint64_t)(i + 1) * 150000)
			rig_step(r, 10);
		drv_stop(&r->d);
		rig_wait(r, rig_idle_state, &off, "STATE off");
		if (!r->d.mem_slots)
			ck_assert_int_eq(drv_memory(&r->d), 0);
		drv_start(&r->d);
		rig_wait(r, rig_idle_state, &on, "STATE running");
	}
	rig_wait(r, rig_all_arrived, &one, "all bytes across five pauses");
	ck_assert(!r->guest[0].reset);
	rig_end(r);
}
END_TEST

static const char *const resets[] = { "base", "message", "handshake" };

/* The guest restarts: 0 seen from BASE, 1 RESET_DEVICE, 2 a new handshake. */
START_TEST(test_reset)
{
	struct rig *r = rig_start();
	uint32_t on = 1;
	int zero = 0, one = 1, sock;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 50000;
	rig_wait(r, rig_all_arrived, &one, "some data");
	rig_connect(r, 1, 1026, 5000); /* left in the middle */
	rig_wait(r, dials, &one, "DIAL");
	drv_stop(&r->d);
	ck_assert_uint_ne(r->d.rings[0].base, 0);
	if (_i == 1)
		ck_assert_int_eq(
			drv_ack(&r->d, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	drv_forget(&r->d);
	memset(r->guest, 0, sizeof(r->guest));
	if (_i == 2) {
		sock = r->d.sock;
		drv_handshake(&r->d, sock);
		ck_assert_int_eq(drv_memory(&r->d), 0);
	}
	drv_start(&r->d);
	rig_wait(r, prog_over, &zero, resets[_i]);
	rig_wait(r, rig_idle_state, &on, "STATE running");
	ck_assert_int_eq(r->b.nclosed, 1);
	/* the answer to the forgotten dial comes late */
	close(fb_dial_accept(&r->b, 0, NULL));
	while (r->b.nclosed < 2)
		rig_step(r, 10);
	close(r->prog[0].fd);
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 50000;
	rig_wait(r, rig_all_arrived, &one, "data after the reset");
	rig_end(r);
}
END_TEST

START_TEST(test_front_end_again)
{
	struct rig *r = rig_start();
	uint32_t off = 0, on = 1;
	int zero = 0, one = 1;

	for (int i = 0; i < 3; i++) {
		rig_connected(r, 0, 1025, 5000);
		r->guest[0].to_send = r->prog[0].to_send = 50000;
		rig_wait(r, rig_all_arrived, &one, "some data");
		if (i == 1)
			drv_stop(&r->d);
		close(r->d.sock);
		r->d.sock = -1;
		rig_wait(r, prog_over, &zero, "end of file");
		rig_wait(r, rig_idle_state, &off, "STATE off");
		close(r->prog[0].fd);
		r->prog[0].fd = -1;
		drv_forget(&r->d);
		memset(r->guest, 0, sizeof(r->guest));
		drv_handshake(&r->d, rig_front_end(r));
		ck_assert_int_eq(drv_memory(&r->d), 0);
		drv_start(&r->d);
		rig_wait(r, rig_idle_state, &on, "STATE running");
	}
	rig_end(r);
}
END_TEST

/* A back-end that was started again gets no handshake from QEMU. */
START_TEST(test_no_handshake)
{
	struct rig *r = rig_launch();
	uint32_t on = 1;
	int one = 1;

	r->d.sock = rig_front_end(r);
	ck_assert_int_eq(drv_state(&r->d, VU_SET_VRING_ENABLE, 0, 0), 0);
	drv_stop(&r->d);
	r->d.rings[0].base = r->d.rings[1].base = 0;
	ck_assert_int_eq(drv_memory(&r->d), 0);
	drv_start(&r->d);
	rig_wait(r, rig_idle_state, &on, "STATE running");
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 50000;
	rig_wait(r, rig_all_arrived, &one, "data");
	rig_end(r);
}
END_TEST

/* Memory is given again while rings run, as when a DIMM is plugged. */
START_TEST(test_memory_while_running)
{
	struct rig *r = rig_start();
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 1000000;
	for (int i = 0; i < 10; i++) {
		while (r->guest[0].received < (uint64_t)(i + 1) * 50000)
			rig_step(r, 10);
		ck_assert_int_eq(drv_memory(&r->d), 0);
	}
	rig_wait(r, rig_all_arrived, &one, "all bytes");
	rig_end(r);
}
END_TEST

START_TEST(test_interrupts_are_few)
{
	struct rig *r = rig_start();
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->prog[0].to_send = 4000000;
	rig_wait(r, rig_all_arrived, &one, "4 MB");
	/* more than 1,000 packets */
	ck_assert_uint_gt(r->packets, 1000);
	ck_assert_uint_lt(r->d.interrupts, r->packets / 2);
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-device");
	TCase *t = tcase_create("device");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_dial_names);
	tcase_add_loop_test(t, test_sizes, 0, (int)ARRAY_LEN(sizes));
	tcase_add_test(t, test_half_close_by_program);
	tcase_add_test(t, test_half_close_by_guest);
	tcase_add_loop_test(t, test_close_with_held_data, 0, 2);
	tcase_add_test(t, test_program_stops_reading);
	tcase_add_test(t, test_guest_stops_reading);
	tcase_add_loop_test(t, test_program_closes, 0, 2);
	tcase_add_test(t, test_hundred);
	tcase_add_test(t, test_credit_stall);
	tcase_add_test(t, test_program_stall);
	tcase_add_test(t, test_small_packets);
	tcase_add_test(t, test_small_window);
	tcase_add_test(t, test_pause);
	tcase_add_loop_test(t, test_reset, 0, 3);
	tcase_add_test(t, test_front_end_again);
	tcase_add_test(t, test_no_handshake);
	tcase_add_test(t, test_memory_while_running);
	tcase_add_test(t, test_interrupts_are_few);
	suite_add_tcase(s, t);
	return rig_run(s);
}
