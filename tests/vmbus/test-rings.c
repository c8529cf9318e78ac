/* SPDX-License-Identifier: MIT */
/* test-rings.c - rings that are corrupt, and rings against a model */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

static struct rig *r;
static struct rig_flow *f;

static void set_up(void)
{
	r = rig_new_loaded(NULL, 11);
	f = rig_connect_guest(r, 0);
	ck_assert_ptr_nonnull(f);
	f->host_stalls = f->guest_stalls = true;
	rig_settle(r);
}

static void tear_down(void)
{
	rig_close_guest(f);
	rig_close_host(f);
	rig_settle(r);
	rig_check_clean(r);
	/* nobody else has lost anything */
	f = rig_connect_guest(r, 0);
	ck_assert_ptr_nonnull(f);
	rig_free(r);
}

static void ring(void)
{
	if (f->s)
		vmbh_signal_event(r->h,
				  vmbh_connection_id(vmbh_sock_relid(f->s)), 0);
}

static ssize_t peek(void)
{
	struct iovec iov[64];
	unsigned int n;

	return vmbh_sock_peek(f->s, iov, 64, &n);
}

/* ---- what the host reads */

struct packet {
	const char *what;
	uint16_t type, offset8, length8;
	uint32_t pipe, len;
	uint32_t used; /* bytes that the write index goes on */
	bool good;
};

static const struct packet packets[] = {
	{ "fine", 6, 2, 4, 1, 8, 40, true },
	{ "seven bytes", 6, 2, 4, 1, 7, 40, true },
	{ "padded", 6, 2, 6, 1, 8, 56, true },
	{ "data later", 6, 4, 6, 1, 8, 56, true },
	{ "no type", 0, 2, 4, 1, 8, 40, false },
	{ "completion", 11, 2, 4, 1, 8, 40, false },
	{ "offset 0", 6, 0, 4, 1, 8, 40, false },
	{ "offset 1", 6, 1, 4, 1, 8, 40, false },
	{ "offset behind the end", 6, 5, 4, 1, 8, 40, false },
	{ "offset at the end", 6, 4, 4, 1, 8, 40, false },
	{ "offset far", 6, 0xffff, 4, 1, 8, 40, false },
	{ "length 0", 6, 2, 0, 1, 8, 40, false },
	{ "length 2", 6, 2, 2, 1, 0, 40, false },
	{ "longer than the ring has", 6, 2, 5, 1, 8, 40, false },
	{ "trailer is missing", 6, 2, 4, 1, 8, 32, false },
	{ "length far", 6, 2, 0xffff, 1, 8, 40, false },
	{ "all far", 6, 0xffff, 0xffff, 1, 8, 40, false },
	{ "pipe type 0", 6, 2, 4, 0, 8, 40, false },
	{ "pipe type 2", 6, 2, 4, 2, 8, 40, false },
	{ "pipe length 9", 6, 2, 4, 1, 9, 40, false },
	{ "pipe length wraps", 6, 2, 4, 1, 0xffffffffu, 40, false },
	{ "pipe length far", 6, 2, 4, 1, 0x80000008u, 40, false },
	{ "8 bytes", 6, 2, 4, 1, 8, 8, false },
	{ "16 bytes", 6, 2, 4, 1, 8, 16, false },
	{ "24 bytes", 6, 2, 4, 1, 8, 24, false },
};

static void put_packet(const struct packet *p, uint32_t at)
{
	uint32_t w[8] = { p->type | (uint32_t)p->offset8 << 16, p->length8 };
	struct vg_ring *g = &f->v->chan->out;
	uint32_t pipe[4] = { p->pipe, p->len, 0x11111111, 0x11111111 };

	vg_ring_copy_in(g, at, w, 32);
	vg_ring_copy_in(g, at + (p->offset8 == 4 ? 32 : 16), pipe, 16);
	g->control[0] = (at + p->used) % g->size;
}

START_TEST(test_packets)
{
	const struct packet *p = &packets[_i];
	static const uint32_t starts[] = { 0, 4096 - 16, 24576 - 8,
					   24576 - 24 };

	for (int k = 0; k < 4; k++) {
		struct vg_ring *g = &f->v->chan->out;
		uint32_t at = starts[k];
		char text[30];

		/* go there in an honest way */
		while (g->control[0] != at) {
			uint32_t left =
				(at + g->size - g->control[0]) % g->size;
			uint32_t n = left <= 4120 + 40 ? left - 32 : 4088;

			if (left < 40)
				n = 4088;
			ck_assert_int_eq(
				vg_send(f->v, (uint8_t[4088]) { 0 }, n), n);
			ck_assert_int_eq(peek(), n);
			vmbh_sock_consume(f->s, n);
		}
		put_packet(p, at);
		ring();
		if (p->good) {
			struct iovec iov[2];
			unsigned int n;

			ck_assert_int_eq(vmbh_sock_peek(f->s, iov, 2, &n),
					 p->len);
			memset(text, 0, sizeof(text));
			memcpy(text, iov[0].iov_base, iov[0].iov_len);
			if (n > 1)
				memcpy(text + iov[0].iov_len, iov[1].iov_base,
				       iov[1].iov_len);
			ck_assert_int_eq(text[p->len - 1], 0x11);
			vmbh_sock_consume(f->s, p->len);
			ck_assert_uint_eq(g->control[1], g->control[0]);
			continue;
		}
		ck_assert_msg(peek() == -EPROTO, "%s is taken", p->what);
		ck_assert(f->gone && f->why == VMBH_GONE_CORRUPT);
		break;
	}
}
END_TEST

START_TEST(test_write_index)
{
	static const uint32_t bad[] = { 1,     4,	    24576,
					24584, 0x80000000u, 0xfffffff8u };

	f->v->chan->out.control[0] = bad[_i];
	ring();
	ck_assert_int_eq(peek(), -EPROTO);
	ck_assert(f->gone && f->why == VMBH_GONE_CORRUPT);
	ck_assert_uint_gt(r->complaints, 0);
	f->v->chan->out.control[0] = 0; /* for the guest's own end */
}
END_TEST

START_TEST(test_read_index)
{
	static const uint32_t bad[] = { 1,     4,	    24576,
					24584, 0x80000000u, 0xfffffff8u };
	struct iovec iov[4];
	unsigned int n;

	f->v->chan->in.control[1] = bad[_i];
	ck_assert_int_eq(vmbh_sock_room(f->s, iov, 4, &n, 0), -EPROTO);
	ck_assert(f->gone && f->why == VMBH_GONE_CORRUPT);
}
END_TEST

/* The host's own indices are private: what the guest writes over them has no
 * effect on what the host does. */
START_TEST(test_own_indices)
{
	struct vg_chan *c = f->v->chan;
	struct iovec iov[8];
	unsigned int n;
	ssize_t room;

	ck_assert_int_eq(vg_send(f->v, "abc", 3), 3);
	c->out.control[1] = 0xdeadbeefu;
	c->in.control[0] = 0xdeadbeefu;
	ck_assert_int_eq(peek(), 3);
	vmbh_sock_consume(f->s, 3);
	ck_assert_uint_eq(c->out.control[1], 40);
	room = vmbh_sock_room(f->s, iov, 8, &n, 5);
	ck_assert_int_eq(room, 5);
	memcpy(iov[0].iov_base, "hello", 5);
	vmbh_sock_produce(f->s, 5);
	ck_assert_uint_eq(c->in.control[0], 40);
}
END_TEST

/* A header that changes after it was checked changes nothing. */
START_TEST(test_double_fetch)
{
	struct vg_ring *g = &f->v->chan->out;
	uint32_t huge[2] = { 6 | 2u << 16, 0xffff };
	uint32_t pipe[2] = { 1, 0xffffffffu };

	ck_assert_int_eq(vg_send(f->v, "0123456789", 10), 10);
	ck_assert_int_eq(vg_send(f->v, "0123456789", 10), 10);
	ck_assert_int_eq(peek(), 20);
	vg_ring_copy_in(g, 0, huge, 8);
	vg_ring_copy_in(g, 16, pipe, 8);
	ck_assert_int_eq(peek(), 20);
	vmbh_sock_consume(f->s, 4);
	ck_assert_int_eq(peek(), 16);
	vmbh_sock_consume(f->s, 6);
	ck_assert_uint_eq(g->control[1], 48);
	/* the write index goes backwards: over packets that were described */
	g->control[0] = 48;
	ck_assert_int_eq(peek(), 10);
	vmbh_sock_consume(f->s, 10);
	/* now it is behind the host's position: nearly a full ring of rubbish
	 */
	ck_assert(peek() == -EPROTO || f->gone);
}
END_TEST

START_TEST(test_no_corrupt_twice)
{
	f->v->chan->out.control[0] = 3;
	ck_assert_int_eq(peek(), -EPROTO);
	ck_assert(f->gone);
	ck_assert_uint_eq(r->messages[2], 1);
}
END_TEST

/* Good data before a bad packet is still the host's. */
START_TEST(test_good_before_bad)
{
	ck_assert_int_eq(vg_send(f->v, "0123456789", 10), 10);
	put_packet(&packets[4], 48);
	ck_assert_int_eq(peek(), 10);
	vmbh_sock_consume(f->s, 10);
	ck_assert_int_eq(peek(), -EPROTO);
}
END_TEST

START_TEST(test_after_fin)
{
	struct vg_ring *g = &f->v->chan->out;

	ck_assert_int_eq(vg_send(f->v, "0123456789", 10), 10);
	vg_shutdown(f->v);
	ck_assert(!vmbh_sock_eof(f->s));
	ck_assert_int_eq(peek(), 10);
	ck_assert(!vmbh_sock_eof(f->s));
	vmbh_sock_consume(f->s, 10);
	ck_assert(vmbh_sock_eof(f->s));
	ck_assert_uint_eq(g->control[1], g->control[0]);
	/* nothing behind it counts, however wrong */
	g->control[0] = 0xffffffffu;
	ck_assert_int_eq(peek(), 0);
	ck_assert(vmbh_sock_eof(f->s));
	ring();
	ck_assert(!f->gone);
}
END_TEST

/* Doorbells: none while the host drains, one when it has gone to sleep. */
START_TEST(test_mask)
{
	struct vg_chan *c = f->v->chan;
	uint64_t before = r->g->signals;

	ck_assert_int_eq(vg_send(f->v, "a", 1), 1);
	ck_assert_uint_eq(r->g->signals, before + 1);
	ck_assert_int_eq(peek(), 1);
	ck_assert_uint_eq(c->out.control[2], 1);
	vmbh_sock_consume(f->s, 1);
	ck_assert_int_eq(vg_send(f->v, "b", 1), 1);
	ck_assert_uint_eq(r->g->signals, before + 1);
	ck_assert_int_eq(peek(), 1);
	vmbh_sock_consume(f->s, 1);
	ck_assert_int_eq(peek(), 0);
	ck_assert_uint_eq(c->out.control[2], 0);
	ck_assert_int_eq(vg_send(f->v, "c", 1), 1);
	ck_assert_uint_eq(r->g->signals, before + 2);
	ck_assert_int_eq(peek(), 1);
	vmbh_sock_consume(f->s, 1);
}
END_TEST

static uint64_t signals_out(void)
{
	struct vmbh_counters c;

	vmbh_counters(r->h, &c);
	return c.signals_out;
}

/* Room for the guest: one doorbell when more than it asked for is free. */
START_TEST(test_space_doorbell)
{
	uint8_t buf[4088] = { 0 };
	uint64_t before;
	size_t all = 0;
	ssize_t n;

	while ((n = vg_send(f->v, buf, sizeof(buf))) > 0)
		all += (size_t)n;
	before = signals_out();
	while (all) {
		struct iovec iov[2];
		unsigned int k;
		size_t part = all < 500 ? all : 500;

		ck_assert_int_gt(vmbh_sock_peek(f->s, iov, 2, &k), 0);
		vmbh_sock_consume(f->s, part);
		all -= part;
	}
	ck_assert_uint_eq(signals_out(), before + 1);
}
END_TEST

/* Doorbells to the guest: when its ring was empty, and not masked. */
START_TEST(test_data_doorbell)
{
	struct vg_chan *c = f->v->chan;
	struct iovec iov[8];
	unsigned int n;
	uint64_t before = signals_out();

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(vmbh_sock_room(f->s, iov, 8, &n, 100), 100);
		vmbh_sock_produce(f->s, 100);
	}
	ck_assert_uint_eq(signals_out(), before + 1);
	c->in.control[1] = c->in.control[0];
	c->in.control[2] = 1;
	ck_assert_int_eq(vmbh_sock_room(f->s, iov, 8, &n, 100), 100);
	vmbh_sock_produce(f->s, 100);
	ck_assert_uint_eq(signals_out(), before + 1);
	c->in.control[1] = c->in.control[0];
	c->in.control[2] = 0;
	ck_assert_int_eq(vmbh_sock_room(f->s, iov, 8, &n, 100), 100);
	vmbh_sock_produce(f->s, 100);
	ck_assert_uint_eq(signals_out(), before + 2);
	c->in.control[1] = c->in.control[0];
	c->in.priv = c->in.control[0];
}
END_TEST

/* A guest that did not notice the first doorbell gets another one. */
START_TEST(test_unstick)
{
	struct iovec iov[8];
	unsigned int n;
	uint64_t before = signals_out();

	ck_assert_int_eq(vmbh_sock_room(f->s, iov, 8, &n, 100), 100);
	vmbh_sock_produce(f->s, 100);
	rig_pass(r, 99);
	ck_assert_uint_eq(signals_out(), before + 1);
	rig_pass(r, 1);
	ck_assert_uint_eq(signals_out(), before + 2);
	rig_pass(r, 100000);
	ck_assert_uint_eq(signals_out(), before + 2);
}
END_TEST

/* Packets have the largest payload that was configured, and what produce() is
 * told. */
START_TEST(test_partial_produce)
{
	for (unsigned int round = 0; round < 3000; round++) {
		struct iovec iov[20];
		unsigned int n, max = 2 + rig_random(r, 19);
		size_t want = rig_random(r, 2) * rig_random(r, 30000);
		ssize_t room = vmbh_sock_room(f->s, iov, max, &n, want);
		size_t sum = 0, put;
		uint8_t buf[30000];
		ssize_t got;

		ck_assert_int_gt(room, 0);
		ck_assert_uint_le(n, max);
		for (unsigned int i = 0; i < n; i++)
			sum += iov[i].iov_len;
		ck_assert_uint_eq(sum, (size_t)room);
		if (want)
			ck_assert_uint_le(sum, want);
		put = 1 + rig_random(r, (uint32_t)room);
		for (size_t i = 0, k = 0, at = 0; i < put; i++, at++) {
			while (at == iov[k].iov_len) {
				k++;
				at = 0;
			}
			((uint8_t *)iov[k].iov_base)[at] = (uint8_t)(i * 7);
		}
		vmbh_sock_produce(f->s, put);
		got = vg_recv(f->v, buf, sizeof(buf));
		ck_assert_int_eq(got, (ssize_t)put);
		for (size_t i = 0; i < put; i++)
			if (buf[i] != (uint8_t)(i * 7))
				ck_abort_msg("byte %zu of %zu", i, put);
	}
}
END_TEST

/* At every offset of the ring, in both directions. */
START_TEST(test_wrap)
{
	for (uint32_t i = 0; i < 24576 / 8; i++) {
		uint8_t data[200], back[200];
		struct iovec iov[8];
		unsigned int n;
		size_t len = 1 + i % 57, at = 0;

		for (size_t k = 0; k < len; k++)
			data[k] = (uint8_t)(i + k);
		ck_assert_int_eq(vg_send(f->v, data, len), (ssize_t)len);
		ck_assert_int_eq(vmbh_sock_peek(f->s, iov, 8, &n),
				 (ssize_t)len);
		for (unsigned int k = 0; k < n; k++) {
			memcpy(back + at, iov[k].iov_base, iov[k].iov_len);
			at += iov[k].iov_len;
		}
		ck_assert_mem_eq(back, data, len);
		vmbh_sock_consume(f->s, len);
		ck_assert_int_eq(vmbh_sock_room(f->s, iov, 8, &n, len),
				 (ssize_t)len);
		for (unsigned int k = 0; k < n; k++)
			memset(iov[k].iov_base, 0x77, iov[k].iov_len);
		vmbh_sock_produce(f->s, len);
		ck_assert_int_eq(vg_recv(f->v, back, sizeof(back)),
				 (ssize_t)len);
		for (size_t k = 0; k < len; k++)
			if (back[k] != 0x77)
				ck_abort_msg("offset %u", i * 8);
	}
}
END_TEST

static void fill(void *c)
{
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, test_packets, 0,
			    sizeof(packets) / sizeof(packets[0]));
	tcase_add_loop_test(c, test_write_index, 0, 6);
	tcase_add_loop_test(c, test_read_index, 0, 6);
	tcase_add_test(c, test_own_indices);
	tcase_add_test(c, test_double_fetch);
	tcase_add_test(c, test_no_corrupt_twice);
	tcase_add_test(c, test_good_before_bad);
	tcase_add_test(c, test_after_fin);
	tcase_add_test(c, test_mask);
	tcase_add_test(c, test_space_doorbell);
	tcase_add_test(c, test_data_doorbell);
	tcase_add_test(c, test_unstick);
	tcase_add_test(c, test_partial_produce);
	tcase_add_test(c, test_wrap);
}

int main(void)
{
	return rig_suite("vmbus-rings", fill, 120);
}
