/* SPDX-License-Identifier: MIT */
/* test-devices.c - channels that are no sockets: integration components */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

static const struct vmbh_offer offers[2] = {
	{ .type = { 1, 2, 3, { 4 } },
	  .instance = { 5, 6, 7, { 8 } },
	  .flags = 0x11,
	  .user_data = { 4 } },
	{ .type = { 9, 2, 3, { 4 } },
	  .instance = { 5, 6, 7, { 9 } },
	  .flags = 0x11,
	  .user_data = { 4 } },
};

static struct vmbh_channel *channels[2];
static unsigned int opened, closed, signalled;

static void on_opened(void *ctx, struct vmbh_channel *c)
{
	(void)ctx;
	(void)c;
	opened++;
}

static void on_closed(void *ctx, struct vmbh_channel *c)
{
	(void)ctx;
	(void)c;
	closed++;
}

static void on_signalled(void *ctx, struct vmbh_channel *c)
{
	(void)ctx;
	(void)c;
	signalled++;
}

static const struct vmbh_channel_ops ops = { on_opened, on_closed,
					     on_signalled };

static void offer(struct rig *r)
{
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(vmbh_channel_offer(r->h, &offers[i], &ops, r,
						    &channels[i]),
				 0);
}

static struct rig *new_rig(void)
{
	struct rig *r = rig_new(NULL, 13);

	offer(r);
	r->offer_again = offer;
	vg_load(r->g);
	rig_settle(r);
	ck_assert_uint_eq(r->g->nchans, 2);
	return r;
}

static struct vg_chan *open_one(struct rig *r, unsigned int pages)
{
	struct vg_chan *c = vg_chan_by_type(r->g, &offers[0].type);

	ck_assert_ptr_nonnull(c);
	vg_chan_open(c, pages, pages);
	rig_settle(r);
	ck_assert_int_eq(c->state, VG_OPEN);
	return c;
}

START_TEST(test_offer)
{
	struct rig *r = new_rig();
	struct vmbh_channel *again;

	ck_assert_uint_eq(r->messages[1], 2);
	ck_assert_uint_eq(rig_word(r, 1, 14), 0x11);
	ck_assert_uint_eq(r->last[1][60], 4);
	ck_assert_uint_eq(r->last[1][188], 0xff);
	ck_assert_uint_eq(rig_word(r, 1, 48), 0x2002);
	ck_assert_int_eq(vmbh_channel_offer(r->h, &offers[0], &ops, r, &again),
			 -EEXIST);
	ck_assert_uint_eq(vmbh_channel_relid(channels[0]), 1);
	vmbh_channel_revoke(channels[0]);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[2], 1);
	ck_assert_uint_eq(r->g->nchans, 1);
	/* hot-added */
	ck_assert_int_eq(
		vmbh_channel_offer(r->h, &offers[0], &ops, r, &channels[0]), 0);
	rig_settle(r);
	ck_assert_uint_eq(r->g->nchans, 2);
	rig_free(r);
}
END_TEST

START_TEST(test_packets)
{
	struct rig *r = new_rig();
	struct vg_chan *c = open_one(r, 4);
	uint8_t out[9000], in[9000];
	uint64_t t;

	c->batched = _i;
	ck_assert_uint_eq(opened, 1);
	ck_assert_int_eq(vmbh_channel_read(channels[0], in, 100, &t), -EAGAIN);
	ck_assert_int_eq(vmbh_channel_read(channels[1], in, 100, &t),
			 -ENOTCONN);
	ck_assert_int_eq(vmbh_channel_write(channels[1], in, 100, 1),
			 -ENOTCONN);
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t len = rig_random(r, 5) ? rig_random(r, 100)
						: rig_random(r, 9000);
		uint32_t padded = (len + 7) / 8 * 8;

		for (uint32_t k = 0; k < len; k++)
			out[k] = (uint8_t)(i + k * 3);
		ck_assert_int_eq(vmbh_channel_write(channels[0], out, len, i),
				 0);
		ck_assert_int_eq(vg_chan_recv(c, in, sizeof(in), &t), padded);
		ck_assert_uint_eq(t, i);
		ck_assert(!len || !memcmp(in, out, len));
		ck_assert_int_eq(vg_chan_recv(c, in, sizeof(in), &t), -EAGAIN);
		ck_assert_int_eq(vg_chan_send(c, out, len, i + 5), 0);
		ck_assert_int_eq(
			vmbh_channel_read(channels[0], in, sizeof(in), &t),
			padded);
		ck_assert_uint_eq(t, i + 5);
		ck_assert(!len || !memcmp(in, out, len));
		ck_assert_int_eq(
			vmbh_channel_read(channels[0], in, sizeof(in), &t),
			-EAGAIN);
	}
	ck_assert_uint_ge(signalled, 3000);
	/* too long for the buffer: dropped, and the next one is there */
	ck_assert_int_eq(vg_chan_send(c, out, 100, 1), 0);
	ck_assert_int_eq(vg_chan_send(c, out, 8, 2), 0);
	ck_assert_int_eq(vmbh_channel_read(channels[0], in, 50, &t), -EMSGSIZE);
	ck_assert_int_eq(vmbh_channel_read(channels[0], in, 50, &t), 8);
	ck_assert_int_eq(vmbh_channel_write(channels[0], out, 12288, 1),
			 -EMSGSIZE);
	ck_assert_int_eq(vmbh_channel_write(channels[0], out, 1u << 20, 1),
			 -EMSGSIZE);
	rig_free(r);
}
END_TEST

START_TEST(test_full)
{
	struct rig *r = new_rig();
	struct vg_chan *c = open_one(r, 4);
	uint8_t buf[1000] = { 0 };
	unsigned int n = 0, before;
	uint64_t t;

	while (vmbh_channel_write(channels[0], buf, 1000, n) == 0)
		n++;
	ck_assert_uint_eq(n, 11);
	before = signalled;
	/* it is told once a quarter of the ring is free */
	while (signalled == before)
		ck_assert_int_eq(vg_chan_recv(c, buf, 1000, &t), 1000);
	ck_assert_uint_eq(t, 2);
	ck_assert_int_eq(vmbh_channel_write(channels[0], buf, 1000, n), 0);
	rig_free(r);
}
END_TEST

START_TEST(test_reopen)
{
	struct rig *r = new_rig();

	for (unsigned int i = 1; i < 20; i++) {
		struct vg_chan *c = open_one(r, 2 + i);

		ck_assert_uint_eq(opened, i);
		vg_chan_close(c);
		rig_settle(r);
		ck_assert_uint_eq(closed, i);
		ck_assert_int_eq(c->state, VG_OFFERED);
		ck_assert_uint_eq(r->mapped, r->unmapped);
	}
	rig_free(r);
}
END_TEST

START_TEST(test_corrupt)
{
	struct rig *r = new_rig();
	struct vg_chan *c = open_one(r, 4);
	uint8_t buf[100];
	uint64_t t;

	c->out.control[0] = 7;
	ck_assert_int_eq(vmbh_channel_read(channels[0], buf, 100, &t), -EPROTO);
	ck_assert_uint_eq(closed, 1);
	ck_assert_int_eq(vmbh_channel_read(channels[0], buf, 100, &t),
			 -ENOTCONN);
	rig_settle(r);
	/* it comes back when the guest connects anew, not before */
	ck_assert_uint_eq(r->g->nchans, 1);
	vg_unload(r->g);
	rig_settle(r);
	vg_load(r->g);
	rig_settle(r);
	ck_assert_uint_eq(r->g->nchans, 2);
	c = open_one(r, 4);
	c->in.control[1] = 24576;
	ck_assert_int_eq(vmbh_channel_write(channels[0], buf, 8, 0), -EPROTO);
	rig_settle(r);
	ck_assert_int_eq(vmbh_rescind(r->h, vmbh_channel_relid(channels[1])),
			 0);
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_unload)
{
	struct rig *r = new_rig();

	open_one(r, 4);
	vg_unload(r->g);
	rig_settle(r);
	ck_assert_uint_eq(closed, 1);
	rig_check_clean(r);
	vg_load(r->g);
	rig_settle(r);
	ck_assert_uint_eq(r->g->nchans, 2);
	open_one(r, 4);
	rig_reboot(r);
	vmbh_reset(r->h);
	ck_assert_uint_eq(closed, 2);
	rig_free(r);
}
END_TEST

START_TEST(test_restarts)
{
	struct rig *r = new_rig();
	struct vg_chan *c = open_one(r, 4);
	uint64_t offered = r->messages[1];
	uint8_t buf[100] = "hello";
	uint64_t t;

	ck_assert_int_eq(vmbh_channel_write(channels[0], buf, 8, 3), 0);
	rig_reload(r);
	rig_settle(r);
	/* it goes on, and its component begins again */
	ck_assert_uint_eq(opened, 2);
	ck_assert_uint_eq(r->messages[1], offered);
	ck_assert_int_eq(vg_chan_recv(c, buf, 100, &t), 8);
	ck_assert_int_eq(vg_chan_send(c, buf, 8, 4), 0);
	ck_assert_int_eq(vmbh_channel_read(channels[0], buf, 100, &t), 8);
	ck_assert_uint_eq(t, 4);
	/* without state: rescinded, released, offered again */
	rig_crash(r);
	ck_assert_uint_eq(r->messages[1], offered);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[1], offered + 2);
	ck_assert_uint_eq(r->g->nchans, 2);
	open_one(r, 4);
	ck_assert_uint_eq(opened, 3);
	/* and a machine that has lost one of them */
	r->offer_again = NULL;
	rig_reload(r);
	rig_settle(r);
	ck_assert_uint_eq(r->g->nchans, 0);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

static void fill(void *c)
{
	tcase_add_test(c, test_offer);
	tcase_add_loop_test(c, test_packets, 0, 2);
	tcase_add_test(c, test_full);
	tcase_add_test(c, test_reopen);
	tcase_add_test(c, test_corrupt);
	tcase_add_test(c, test_unload);
	tcase_add_test(c, test_restarts);
}

int main(void)
{
	return rig_suite("vmbus-devices", fill, 120);
}
