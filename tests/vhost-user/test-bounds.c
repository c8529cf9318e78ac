/* SPDX-License-Identifier: MIT */
/*
 * test-bounds.c - what a guest, or a program, can make the device hold, and how
 * connections share it
 */
#include <check.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "rig.h"
#include "transport/vsock-device/vsock.h"

static unsigned long resident_kib(struct rig *r)
{
	char path[64], line[128];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)r->child);
	f = fopen(path, "r");
	must(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %lu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

/* Sanitizers keep what is freed. */
static bool memory_counts(void)
{
	const char *sandbox = getenv("VHOST_USER_SANDBOX");

	return sandbox && strcmp(sandbox, "none");
}

static void set_indirect(struct drv *d)
{
	d->indirect = true;
}

/* Bytes in packets of one: what is held is bytes, not packets. */
START_TEST(test_tiny_packets)
{
	struct rig *r = rig_start_with(set_indirect);
	unsigned long before;
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 1000;
	rig_wait(r, rig_all_arrived, &one, "some bytes");
	before = resident_kib(r);
	r->prog[0].stalled = true;
	r->guest[0].chunk = 1;
	r->guest[0].to_send += 60000;
	while (r->guest[0].sent < r->guest[0].to_send)
		rig_step(r, 10);
	rig_settle(r);
	if (memory_counts())
		ck_assert_uint_lt(resident_kib(r), before + 256);
	r->prog[0].stalled = false;
	rig_wait(r, rig_all_arrived, &one, "the rest");
	ck_assert(!r->guest[0].reset);
	rig_end(r);
}
END_TEST

/* As many connections as may be opening, each with its window full: what they
 * hold is there once, and given back. */
START_TEST(test_many_windows)
{
	struct rig *r = rig_start_with(set_indirect);
	unsigned long before;
	int n = 40;

	for (int i = 0; i < n; i++)
		rig_connected(r, i, 2000 + (uint32_t)i, 5000);
	before = resident_kib(r);
	for (int i = 0; i < n; i++) {
		r->prog[i].stalled = true;
		r->guest[i].to_send = 600000;
	}
	for (int i = 0; i < n; i++)
		while (r->guest[i].sent < r->guest[i].to_send)
			rig_step(r, 10);
	rig_settle(r);
	if (memory_counts())
		ck_assert_uint_lt(resident_kib(r),
				  before + (unsigned long)n * 272 + 512);
	for (int i = 0; i < n; i++)
		r->prog[i].stalled = false;
	rig_wait(r, rig_all_arrived, &n, "all bytes");
	rig_end(r);
}
END_TEST

static bool reached(struct rig *r, void *bytes)
{
	return r->prog[0].received == *(uint64_t *)bytes;
}

static bool answered(struct rig *r, void *resets)
{
	return r->rst_unknown == *(uint64_t *)resets;
}

/* The guest takes nothing from its receive ring: what it sends arrives, until
 * as much waits to be answered as may; then it has to wait, and all is
 * answered in the end. */
START_TEST(test_no_receive_buffers)
{
	struct rig *r = rig_start_with(set_indirect);
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = 2,
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_RW };
	uint64_t bytes = 200000, resets = 0;

	rig_connected(r, 0, 1025, 5000);
	r->d.hold_rx = true;
	/* all buffers are used, and some answers wait */
	for (; resets < DRV_NUM + 100; resets++) {
		h.src_port = 10000 + (uint32_t)resets;
		rig_put(r, &h, NULL);
	}
	r->guest[0].to_send = bytes;
	rig_wait(r, reached, &bytes, "the guest's bytes");
	/* more than may wait: the transmit ring fills */
	while (r->d.tx_free || drv_poll(&r->d)) {
		h.src_port = 10000 + (uint32_t)resets;
		if (drv_tx(&r->d, &h, NULL))
			resets++;
		else
			rig_step(r, 10);
		ck_assert_uint_lt(resets, 3 * DRV_NUM + 256);
	}
	r->d.hold_rx = false;
	rig_wait(r, answered, &resets, "a reset for each");
	rig_end(r);
}
END_TEST

static void set_in_order(struct drv *d)
{
	d->features |= 1ull << 35;
	d->indirect = true;
}

static void set_in_order_plain(struct drv *d)
{
	d->features |= 1ull << 35;
	d->features &= ~(1ull << 29 | 1ull << 28);
	d->split = 3;
}

/* Buffers come back in the order in which they were given (the driver looks),
 * round the 16-bit indices; the receive ring asks for no kick while nothing
 * waits for buffers. */
START_TEST(test_in_order)
{
	struct rig *r = rig_start_with(_i ? set_in_order_plain : set_in_order);
	const uint8_t *flags = r->d.ram + r->d.rings[0].used;
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = 2,
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_RW };
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	r->guest[0].chunk = 100;
	r->guest[0].to_send = 7000000;
	r->prog[0].to_send = 20000000;
	rig_wait(r, rig_all_arrived, &one, "all bytes");
	rig_settle(r);
	ck_assert_uint_gt(r->packets, 5000);
	/* it waits for buffers, and says so; then it does not any more */
	r->d.hold_rx = true;
	for (h.src_port = 10000; h.src_port < 10000 + DRV_NUM + 10;
	     h.src_port++)
		rig_put(r, &h, NULL);
	while (_i && le16_get(flags) & VRING_USED_F_NO_NOTIFY)
		rig_step(r, 5);
	r->d.hold_rx = false;
	rig_settle(r);
	ck_assert_uint_eq(le16_get(flags), _i ? VRING_USED_F_NO_NOTIFY : 0);
	rig_end(r);
}
END_TEST

/* ---- shares, in a device of its own */

#define ENDS 12

struct share {
	struct vsock_conn *c;
	size_t gives, got;
};

static struct share shares[ENDS];

static int ops_dial(void *ctx, struct vsock_conn *c)
{
	struct share *s = &shares[vsock_guest_port(c)];

	(void)ctx;
	s->c = c;
	vsock_set_host(c, s);
	return 0;
}

static ssize_t ops_next(void *host)
{
	struct share *s = host;

	return s->gives ? (ssize_t)(s->gives < 60000 ? s->gives : 60000)
			: -EAGAIN;
}

static ssize_t ops_pull(void *host, const struct iovec *iov, unsigned int n)
{
	struct share *s = host;
	size_t room = 0;

	for (unsigned int i = 0; i < n; i++)
		room += iov[i].iov_len;
	if (room > s->gives)
		room = s->gives;
	s->gives -= room;
	return room ? (ssize_t)room : -EAGAIN;
}

static size_t ops_held(void *host)
{
	(void)host;
	return 0;
}

static void ops_ended(void *host, enum vsock_end why)
{
	(void)host;
	(void)why;
}

static void ops_wake(void *ctx)
{
	(void)ctx;
}

static const struct vsock_ops ops = {
	.dial = ops_dial,
	.next = ops_next,
	.pull = ops_pull,
	.waiting = ops_held,
	.held = ops_held,
	.ended = ops_ended,
	.wake = ops_wake,
};

static void from_guest(struct vsock *v, uint32_t port, enum vsock_type type,
		       enum vsock_op op, uint32_t fwd_cnt)
{
	const struct vsock_header h = { .src_cid = 3,
					.dst_cid = 2,
					.src_port = port,
					.dst_port = 5000,
					.type = (uint16_t)type,
					.op = (uint16_t)op,
					.buf_alloc = 10000000,
					.fwd_cnt = fwd_cnt };
	uint8_t raw[VSOCK_HEADER];
	const struct iovec iov = { raw, sizeof(raw) };

	vsock_header_encode(&h, raw);
	vsock_tx(v, &iov, 1, sizeof(raw));
	vsock_tx_end(v);
}

static enum vsock_type type_of(uint32_t port)
{
	return port % 2 ? VSOCK_SEQPACKET : VSOCK_STREAM;
}

/* Up to 64 buffers, as a driver gives them. */
static unsigned int round_of(struct vsock *v, unsigned int n)
{
	static uint8_t raw[64][DRV_RX_BUF];
	struct iovec iov[64];
	struct vsock_buf bufs[64];
	struct vsock_header h;

	for (unsigned int i = 0; i < n; i++) {
		iov[i] = (struct iovec) { raw[i], DRV_RX_BUF };
		bufs[i] = (struct vsock_buf) { .iov = &iov[i],
					       .n = 1,
					       .len = DRV_RX_BUF };
	}
	n = vsock_rx(v, bufs, n);
	for (unsigned int i = 0; i < n; i++) {
		vsock_header_decode(raw[i], &h);
		must(h.dst_port < ENDS);
		if (h.op == VSOCK_OP_RW)
			shares[h.dst_port].got += h.len;
	}
	return n;
}

/*
 * All have much to send, streams and messages; the last one has a few bytes,
 * and comes last. It is served within one round, and nobody has had more than
 * another by more than a quantum and a message.
 */
START_TEST(test_shares)
{
	size_t most = 0, least = SIZE_MAX, before = 0;
	struct vsock *v;

	memset(shares, 0, sizeof(shares));
	ck_assert_int_eq(vsock_new(3, &ops, NULL, &v), 0);
	vsock_set_seqpacket(v, true);
	vsock_time(v, 1000000);
	for (uint32_t i = 0; i < ENDS; i++) {
		from_guest(v, i, type_of(i), VSOCK_OP_REQUEST, 0);
		vsock_accept(v, shares[i].c);
	}
	ck_assert_uint_eq(round_of(v, 64), ENDS);
	for (uint32_t i = 0; i < ENDS - 1; i++) {
		shares[i].gives = 600000000;
		vsock_readable(v, shares[i].c);
	}
	for (int n = 0; n < 1000; n++) {
		ck_assert_uint_eq(round_of(v, (unsigned int)(1 + n % 64)),
				  (unsigned int)(1 + n % 64));
		for (uint32_t i = 0; i < ENDS - 1; i++)
			from_guest(v, i, type_of(i), VSOCK_OP_CREDIT_UPDATE,
				   (uint32_t)shares[i].got);
	}
	for (uint32_t i = 0; i < ENDS - 1; i++) {
		most = shares[i].got > most ? shares[i].got : most;
		least = shares[i].got < least ? shares[i].got : least;
		before += shares[i].got;
	}
	/* (with few buffers a message goes in parts, and each is a turn) */
	ck_assert_uint_gt(least, most / 2);
	shares[ENDS - 1].gives = 10;
	vsock_readable(v, shares[ENDS - 1].c);
	while (!shares[ENDS - 1].got)
		ck_assert_uint_eq(round_of(v, 64), 64);
	for (uint32_t i = 0; i < ENDS - 1; i++)
		before -= shares[i].got;
	ck_assert_uint_lt(0 - before, ENDS * (size_t)VSOCK_QUANTUM +
					      64 * (size_t)DRV_RX_BUF);
	vsock_free(v);
}
END_TEST

/* ---- all windows full */

static size_t waits;

static ssize_t push_nothing(void *host, const struct iovec *iov, unsigned int n)
{
	struct share *s = host;

	for (unsigned int i = 0; i < n; i++) {
		s->got += iov[i].iov_len;
		waits += iov[i].iov_len;
	}
	return 0;
}

static ssize_t flush_all(void *host)
{
	struct share *s = host;
	size_t n = s->got;

	waits -= n;
	s->got = 0;
	return (ssize_t)n;
}

static size_t held_there(void *host)
{
	return ((struct share *)host)->got;
}

static struct share *many;

static int dial_many(void *ctx, struct vsock_conn *c)
{
	struct share *s = &many[vsock_guest_port(c)];

	(void)ctx;
	s->c = c;
	vsock_set_host(c, s);
	return 0;
}

static void ended_many(void *host, enum vsock_end why)
{
	struct share *s = host;

	waits -= s->got;
	s->got = 0;
	s->c = NULL;
	s->gives = why;
}

/* A window: 65536 and the header, four times. */
static void fill_window(struct vsock *v, uint32_t port)
{
	static uint8_t raw[VSOCK_HEADER + 65536];
	const struct iovec iov = { raw, sizeof(raw) };
	struct vsock_header h = { .src_cid = 3,
				  .dst_cid = 2,
				  .src_port = port,
				  .dst_port = 5000,
				  .type = (uint16_t)type_of(port),
				  .op = VSOCK_OP_RW,
				  .len = 65536,
				  .buf_alloc = 262144 };

	for (int i = 0; i < 4; i++) {
		/* of messages half have no end yet */
		h.flags = port % 4 == 1 && i == 3 ? 1 : 0;
		if (port % 4 == 3)
			h.len = 65535;
		vsock_header_encode(&h, raw);
		vsock_tx(v, &iov, 1, VSOCK_HEADER + h.len);
		vsock_tx_end(v);
	}
}

START_TEST(test_all_windows)
{
	struct vsock_ops more = ops;
	uint32_t n = VSOCK_HELD_MAX / VSOCK_BUF_ALLOC, lost = 0;
	struct vsock *v;

	more.dial = dial_many;
	more.push = push_nothing;
	more.flush = flush_all;
	more.held = held_there;
	more.ended = ended_many;
	waits = 0;
	many = calloc(n * 2, sizeof(*many));
	ck_assert_ptr_nonnull(many);
	ck_assert_int_eq(vsock_new(3, &more, NULL, &v), 0);
	vsock_set_seqpacket(v, true);
	vsock_time(v, 1000000);
	for (uint32_t i = 0; i < n * 2; i++) {
		from_guest(v, i, type_of(i), VSOCK_OP_REQUEST, 0);
		vsock_accept(v, many[i].c);
	}
	for (uint32_t i = 0; i < n; i++)
		fill_window(v, i);
	/* (the messages without an end are a byte short of their windows) */
	for (uint32_t i = 0; i < n * 2; i++)
		lost += !many[i].c;
	ck_assert_uint_eq(lost, 0);
	for (uint32_t i = n; i < n * 2; i++)
		fill_window(v, i);
	ck_assert_uint_le(waits, VSOCK_HELD_MAX);
	for (uint32_t i = 0; i < n * 2; i++) {
		ck_assert((many[i].c != NULL) == (i < n));
		ck_assert_uint_eq(many[i].gives, i < n ? 0 : VSOCK_END_QUOTA);
	}
	/* some are read, one ends: there is room for others */
	for (uint32_t i = 0; i < 8; i += 2)
		vsock_writable(v, many[i].c);
	from_guest(v, 9, VSOCK_SEQPACKET, VSOCK_OP_RST, 0);
	for (uint32_t i = n; i < n + 4; i++) {
		from_guest(v, i, type_of(i), VSOCK_OP_REQUEST, 0);
		vsock_accept(v, many[i].c);
		fill_window(v, i);
		ck_assert_ptr_nonnull(many[i].c);
	}
	vsock_reset(v);
	ck_assert_uint_eq(waits, 0);
	vsock_free(v);
	free(many);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-bounds");
	TCase *t = tcase_create("bounds");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_tiny_packets);
	tcase_add_test(t, test_many_windows);
	tcase_add_test(t, test_no_receive_buffers);
	tcase_add_loop_test(t, test_in_order, 0, 2);
	tcase_add_test(t, test_shares);
	tcase_add_test(t, test_all_windows);
	suite_add_tcase(s, t);
	return rig_run(s);
}
