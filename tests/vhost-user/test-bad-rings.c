/* SPDX-License-Identifier: MIT */
/*
 * test-bad-rings.c - a guest whose rings cannot be right
 *
 * Each row is one thing wrong in a ring of the running program. Afterwards the
 * ring is stopped and the err descriptor signalled, and a reset makes it work.
 */
#include <check.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "rig.h"

#define RX_DESC 0x0u /* where the driver has its tables */
#define TX_DESC 0x10000u
#define SPARE 0x90000u /* RAM for indirect tables */

struct ring_row {
	const char *what;
	unsigned int ring;
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
		bool spare; /* in the indirect table */
	} desc[4];
	uint16_t head;
	int jump;  /* of the avail index; 0: 1 */
	bool fine; /* not broken: ignored */
	bool no_indirect;
};

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define OK_AT (DRV_GPA + 0xa0000u)

static const struct ring_row rings[] = {
	{ .what = "avail jumps", .ring = 1, .jump = 129 },
	{ .what = "avail jumps far", .ring = 1, .jump = 40000 },
	{ .what = "head 128", .ring = 1, .head = 128 },
	{ .what = "head 65535", .ring = 1, .head = 65535 },
	{ .what = "next 128",
	  .ring = 1,
	  .desc = { { OK_AT, 44, NEXT, 128, false } } },
	{ .what = "loop of one",
	  .ring = 1,
	  .desc = { { OK_AT, 44, NEXT, 0, false } } },
	{ .what = "loop of two",
	  .ring = 1,
	  .desc = { { OK_AT, 44, NEXT, 1, false },
		    { OK_AT, 44, NEXT, 0, false } } },
	{ .what = "address 0", .ring = 1, .desc = { { 0, 44, 0, 0, false } } },
	{ .what = "address behind RAM",
	  .ring = 1,
	  .desc = { { DRV_GPA + DRV_RAM, 44, 0, 0, false } } },
	{ .what = "last byte behind RAM",
	  .ring = 1,
	  .desc = { { DRV_GPA + DRV_RAM - 43, 44, 0, 0, false } } },
	{ .what = "address wraps",
	  .ring = 1,
	  .desc = { { UINT64_MAX - 10, 44, 0, 0, false } } },
	{ .what = "length 4 GiB",
	  .ring = 1,
	  .desc = { { OK_AT, UINT32_MAX, 0, 0, false } } },
	{ .what = "readable after writable",
	  .ring = 1,
	  .desc = { { OK_AT, 44, NEXT | WRITE, 1, false },
		    { OK_AT, 44, 0, 0, false } } },
	{ .what = "indirect of 0",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 0, INDIRECT, 0, false } } },
	{ .what = "indirect of 17",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 17, INDIRECT, 0, false } } },
	{ .what = "indirect, huge",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 0x1000000, INDIRECT, 0, false } } },
	{ .what = "indirect, longer than the ring",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 129 * 16, INDIRECT, 0, false } } },
	{ .what = "indirect outside",
	  .ring = 1,
	  .desc = { { 0x40000000000u, 16, INDIRECT, 0, false } } },
	{ .what = "indirect at the end of everything",
	  .ring = 1,
	  .desc = { { UINT64_MAX - 7, 32, INDIRECT, 0, false } } },
	{ .what = "indirect with next",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 16, INDIRECT | NEXT, 1, false },
		    { OK_AT, 44, 0, 0, true } } },
	{ .what = "indirect in indirect",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 32, INDIRECT, 0, false },
		    { DRV_GPA + SPARE, 16, INDIRECT, 0, true } } },
	{ .what = "indirect, next outside",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 16, INDIRECT, 0, false },
		    { OK_AT, 44, NEXT, 1, true } } },
	{ .what = "indirect, loop",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 32, INDIRECT, 0, false },
		    { OK_AT, 44, NEXT, 1, true },
		    { OK_AT, 44, NEXT, 0, true } } },
	{ .what = "indirect, not negotiated",
	  .ring = 1,
	  .no_indirect = true,
	  .desc = { { DRV_GPA + SPARE, 16, INDIRECT, 0, false },
		    { OK_AT, 44, 0, 0, true } } },
	{ .what = "length 0",
	  .ring = 1,
	  .fine = true,
	  .desc = { { OK_AT, 0, 0, 0, false } } },
	{ .what = "43 bytes",
	  .ring = 1,
	  .fine = true,
	  .desc = { { OK_AT, 43, 0, 0, false } } },
	{ .what = "writable in tx",
	  .ring = 1,
	  .fine = true,
	  .desc = { { OK_AT, 44, WRITE, 0, false } } },
	{ .what = "address 0, length 0",
	  .ring = 1,
	  .fine = true,
	  .desc = { { 0, 0, 0, 0, false } } },
	{ .what = "rx: head 128", .ring = 0, .head = 128 },
	{ .what = "rx: address behind RAM",
	  .ring = 0,
	  .desc = { { DRV_GPA + DRV_RAM, 44, WRITE, 0, false } } },
	{ .what = "rx: avail jumps", .ring = 0, .jump = 129 },
};

static const struct ring_row *row;

static void set_up_row(struct drv *d)
{
	if (row->no_indirect)
		d->features &= ~(1ull << 28);
	/* rx: nothing but what the row posts */
	if (row->ring == 0)
		d->rings[0].avail_idx = 0;
	if (row->ring == 0)
		memset(d->ram + d->rings[0].avail, 0, 4);
}

static void break_ring(struct rig *r)
{
	struct drv_ring *q = &r->d.rings[row->ring];
	uint64_t table = q->desc;
	unsigned int plain = 0, spare = 0;

	for (int i = 0; i < 4; i++)
		drv_put_desc(&r->d, row->desc[i].spare ? SPARE : table,
			     row->desc[i].spare ? spare++ : plain++,
			     row->desc[i].addr, row->desc[i].len,
			     row->desc[i].flags, row->desc[i].next);
	if (row->fine) {
		r->d.tx_busy[0] = true;
		r->d.tx_free--;
	}
	if (row->jump)
		q->avail_idx = (uint16_t)(q->avail_idx + row->jump - 1);
	drv_put_avail(&r->d, row->ring, row->head);
	drv_kick(&r->d, row->ring);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

START_TEST(test_ring)
{
	const struct vsock_header h = { .src_cid = DRV_CID,
					.dst_cid = 2,
					.src_port = 1,
					.dst_port = 1,
					.type = 9,
					.op = VSOCK_OP_RW };
	struct rig *r;
	uint32_t off = 0, on = 1;
	uint64_t v;

	row = &rings[_i];
	r = rig_start_with(set_up_row);
	/* something that is owed to the guest, so that rx is looked at */
	if (row->ring == 0)
		ck_assert(drv_tx(&r->d, &h, NULL));
	break_ring(r);
	if (row->fine) {
		/* returned, and the next packet is answered */
		while (r->d.tx_busy[0])
			rig_step(r, 10);
		rig_settle(r);
		ck_assert(!readable(r->d.rings[1].err, 0));
	} else {
		ck_assert_msg(readable(r->d.rings[row->ring].err, 10000),
			      "%s: err is not signalled", row->what);
		ck_assert_int_eq(read(r->d.rings[row->ring].err, &v, 8), 8);
		rig_wait(r, rig_idle_state, &off, row->what);
		/* the guest resets: all is well */
		drv_stop(&r->d);
		drv_forget(&r->d);
		drv_start(&r->d);
		rig_wait(r, rig_idle_state, &on, "STATE running");
		rig_settle(r);
	}
	rig_end(r);
}
END_TEST

/* Receive buffers of every useless size between good ones, and some that the
 * device may only read. */
START_TEST(test_rx_sizes)
{
	static const uint32_t lens[] = { 0, 1, 43, 44, 45, 100, 3776 };
	struct rig *r = rig_start();
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	/* what is posted next replaces the size of that descriptor */
	for (unsigned int i = 0; i < 64; i++)
		drv_put_desc(&r->d, RX_DESC, i,
			     DRV_GPA + 0x100000u + i * DRV_RX_BUF,
			     lens[i % ARRAY_LEN(lens)],
			     i % 11 == 5 ? 0 : WRITE, 0);
	r->prog[0].to_send = 500000;
	rig_wait(r, rig_all_arrived, &one, "bytes through bad buffers");
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-bad-rings");
	TCase *t = tcase_create("bad input");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_ring, 0, (int)ARRAY_LEN(rings));
	tcase_add_test(t, test_rx_sizes);
	suite_add_tcase(s, t);
	return rig_run(s);
}
