/* SPDX-License-Identifier: MIT */
/* test-channels.c - GPADLs and channels of a guest that does not behave */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

#define FAILED 0x8000ffffu

static struct rig *r;
static struct rig_flow *flow;
static uint32_t relid;

static void set_up(void)
{
	r = rig_new_loaded(NULL, 7);
	relid = rig_offer(r, &flow);
	/* the guest's driver is out of this */
	r->g->chans[relid]->hvsock = false;
}

static void tear_down(void)
{
	struct vmbh_counters c;

	rig_pass(r, 20000);
	rig_reboot(r);
	vmbh_reset(r->h);
	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.gpadls + c.gpadl_pages + c.channels + c.queued, 0);
	rig_free(r);
}

static uint64_t malformed(void)
{
	struct vmbh_counters c;

	vmbh_counters(r->h, &c);
	return c.malformed;
}

/* What GPADL_CREATED says to a header with one range and frames 2, 3, ... */
static uint32_t header(uint32_t id, uint32_t bytes_ranges, uint32_t count,
		       uint32_t offset, unsigned int frames)
{
	uint64_t before = r->messages[10];
	uint32_t w[60] = { 8, 0, relid, id, bytes_ranges, count, offset };

	for (unsigned int i = 0; i < frames; i++)
		w[7 + 2 * i] = 2 + i;
	ck_assert_uint_eq(rig_post(r, 28 + 8 * frames, w, 60), 0);
	rig_settle(r);
	if (r->messages[10] == before)
		return 1; /* nothing */
	ck_assert_uint_eq(rig_word(r, 10, 2), relid);
	ck_assert_uint_eq(rig_word(r, 10, 3), id);
	return rig_word(r, 10, 4);
}

#define RANGE(frames) ((8 + 8 * (frames)) | 1u << 16)

static uint32_t good(uint32_t id, unsigned int frames)
{
	return header(id, RANGE(frames), frames * 4096, 0, frames);
}

START_TEST(test_gpadl_forms)
{
	const struct {
		uint32_t bytes_ranges, count, offset;
		unsigned int frames;
	} bad[] = {
		{ RANGE(4) & 0xffff, 4 * 4096, 0, 4 }, /* no range */
		{ (RANGE(4) & 0xffff) | 2u << 16, 4 * 4096, 0, 4 },
		{ 8 | 1u << 16, 4096, 0, 0 },
		{ 0 | 1u << 16, 4096, 0, 0 },
		{ 12 | 1u << 16, 4096, 0, 1 },
		{ 43 | 1u << 16, 4 * 4096, 0, 4 },
		{ RANGE(4), 0, 0, 4 },
		{ RANGE(4), 3 * 4096, 0, 4 },	 /* too many frames */
		{ RANGE(4), 5 * 4096, 0, 4 },	 /* too few */
		{ RANGE(4), 4 * 4096, 4096, 4 }, /* offset beyond the page */
		{ RANGE(4), 4 * 4096, 1, 4 },
		{ RANGE(4), 0xffffffffu, 0xfff, 4 },
		{ RANGE(4), 4 * 4096, 0xffffffffu, 4 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_uint_eq(header(9, bad[i].bytes_ranges, bad[i].count,
					 bad[i].offset, bad[i].frames),
				  FAILED);
	ck_assert_uint_eq(good(9, 4), 0);
	/* an offset is fine here, though not for rings */
	ck_assert_uint_eq(header(10, RANGE(4), 3 * 4096 + 1, 8, 4), 0);
	/* its number is taken */
	ck_assert_uint_eq(good(9, 4), FAILED);
	/* more frames than announced: only those count */
	ck_assert_uint_eq(header(11, RANGE(4), 4 * 4096, 0, 20), 0);
}
END_TEST

START_TEST(test_gpadl_not_memory)
{
	uint32_t w[] = { 8, 0, relid, 5, RANGE(2), 8192, 0, 3, 0, 0, 0 };
	static const struct {
		uint32_t low, high;
	} bad[] = { { 0, 0 },	     { RIG_PAGES, 0 },
		    { 3, 1 },	     { 0xffffffffu, 0xfffff },
		    { 0, 0x100000 }, { 0xffffffffu, 0xffffffffu } };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w[9] = bad[i].low;
		w[10] = bad[i].high;
		rig_post(r, sizeof(w), w, 11);
		rig_settle(r);
		ck_assert_uint_eq(rig_word(r, 10, 4), FAILED);
		ck_assert_uint_eq(r->mapped, r->unmapped);
	}
	/* the same page twice is the guest's affair */
	w[9] = 3;
	w[10] = 0;
	rig_post(r, sizeof(w), w, 11);
	rig_settle(r);
	ck_assert_uint_eq(rig_word(r, 10, 4), 0);
}
END_TEST

START_TEST(test_gpadl_bodies)
{
	uint32_t body[60] = { 9, 0, 77, 5 };
	uint64_t bad = malformed();

	for (int i = 0; i < 28; i++)
		body[4 + 2 * i] = 100 + (uint32_t)i;
	/* of a GPADL that nobody announced */
	rig_post(r, 240, body, 60);
	ck_assert_uint_eq(malformed(), bad + 1);
	ck_assert_uint_eq(header(5, RANGE(70), 70 * 4096, 0, 26), 1);
	/* a second one of this number, while it grows */
	ck_assert_uint_eq(header(5, RANGE(70), 70 * 4096, 0, 26), FAILED);
	rig_post(r, 16, body, 60); /* an empty one */
	rig_post(r, 240, body, 60);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[10], 1);
	/* 16 are missing; a message of full length has 28 */
	rig_post(r, 240, body, 60);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[10], 2);
	ck_assert_uint_eq(rig_word(r, 10, 4), 0);
	rig_post(r, 240, body, 60);
	ck_assert_uint_eq(malformed(), bad + 3);
	/* and one whose later frames are no memory */
	ck_assert_uint_eq(header(6, RANGE(30), 30 * 4096, 0, 26), 1);
	body[3] = 6;
	body[10] = 0;
	rig_post(r, 48, body, 60);
	rig_settle(r);
	ck_assert_uint_eq(rig_word(r, 10, 3), 6);
	ck_assert_uint_eq(rig_word(r, 10, 4), FAILED);
}
END_TEST

START_TEST(test_gpadl_limits)
{
	struct vmbh_counters c;
	uint32_t n = 0;

	while (good(1000 + n, 2) == 0)
		n++;
	ck_assert_uint_eq(n, 64); /* of one channel */
	for (uint32_t i = 0; i < n; i++)
		RIG_POST(r, 16, 11, 0, relid, 1000 + i);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[12], 64);
	/* pages count from the header on: 65,536 of all */
	for (n = 0; header(2000 + n, RANGE(8190), 8190 * 4096, 0, 26) == 1;)
		n++;
	ck_assert_uint_eq(n, 8);
	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.gpadl_pages, 8 * 8190);
	ck_assert_uint_eq(good(3000, 17), FAILED);
	ck_assert_uint_eq(good(3001, 16), 0);
	ck_assert_uint_eq(good(3002, 2), FAILED);
}
END_TEST

START_TEST(test_gpadl_teardown)
{
	uint64_t bad = malformed();

	ck_assert_uint_eq(good(5, 4), 0);
	RIG_POST(r, 16, 11, 0, relid, 6);
	RIG_POST(r, 16, 11, 0, relid + 1, 5);
	rig_settle(r);
	ck_assert_uint_eq(malformed(), bad + 2);
	ck_assert_uint_eq(r->messages[12], 0);
	RIG_POST(r, 16, 11, 0, relid, 5);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[12], 1);
	ck_assert_uint_eq(rig_word(r, 12, 2), 5);
	ck_assert_uint_eq(r->mapped, r->unmapped);
	ck_assert_uint_eq(good(5, 4), 0);
	/* while a body is missing */
	ck_assert_uint_eq(header(6, RANGE(30), 30 * 4096, 0, 26), 1);
	RIG_POST(r, 16, 11, 0, relid, 6);
	rig_settle(r);
	ck_assert_uint_eq(rig_word(r, 12, 2), 6);
}
END_TEST

static uint32_t open_it(uint32_t gpadl, uint32_t downstream)
{
	uint64_t before = r->messages[6];

	RIG_POST(r, 148, 5, 0, relid, 4711, gpadl, 0, downstream);
	rig_settle(r);
	if (r->messages[6] == before)
		return 1;
	ck_assert_uint_eq(rig_word(r, 6, 2), relid);
	ck_assert_uint_eq(rig_word(r, 6, 3), 4711);
	return rig_word(r, 6, 4);
}

static void clear_rings(unsigned int frames)
{
	for (unsigned int i = 0; i < frames; i++)
		memset(vg_page(r->g, 2 + i), 0, 4096);
}

START_TEST(test_open_forms)
{
	uint32_t *control = vg_page(r->g, 2), *second = vg_page(r->g, 4);

	clear_rings(8);
	ck_assert_uint_eq(good(5, 4), 0);
	ck_assert_uint_eq(header(6, RANGE(4), 4 * 4096 - 8, 8, 4), 0);
	ck_assert_uint_eq(header(7, RANGE(4), 4 * 4096 - 8, 0, 4), 0);
	ck_assert_uint_eq(header(8, RANGE(30), 30 * 4096, 0, 26), 1);
	ck_assert_uint_gt(open_it(4, 2), 1);
	ck_assert_uint_gt(open_it(6, 2), 1);
	ck_assert_uint_gt(open_it(7, 2), 1);
	ck_assert_uint_gt(open_it(8, 2), 1);
	ck_assert_uint_gt(open_it(5, 0), 1);
	ck_assert_uint_gt(open_it(5, 1), 1);
	ck_assert_uint_gt(open_it(5, 3), 1);
	ck_assert_uint_gt(open_it(5, 4), 1);
	ck_assert_uint_gt(open_it(5, 5), 1);
	ck_assert_uint_gt(open_it(5, 0xffffffffu), 1);
	for (int i = 0; i < 2; i++) {
		control[i] = 4096;
		ck_assert_uint_gt(open_it(5, 2), 1);
		control[i] = 4;
		ck_assert_uint_gt(open_it(5, 2), 1);
		control[i] = 0;
		second[i] = 0xfffffff8u;
		ck_assert_uint_gt(open_it(5, 2), 1);
		second[i] = 0;
	}
	ck_assert(!flow->connected);
	ck_assert_uint_eq(open_it(5, 2), 0);
	ck_assert(flow->connected);
	ck_assert_uint_eq(second[16], 1); /* pending send size is heeded */
	/* once more */
	ck_assert_uint_eq(open_it(5, 2), 1);
	/* a relid that is not there */
	relid++;
	ck_assert_uint_eq(open_it(5, 2), 1);
	relid = 0xffffffffu;
	ck_assert_uint_eq(open_it(5, 2), 1);
	relid = vmbh_sock_relid(flow->s);
	/* its pages cannot be taken away meanwhile */
	RIG_POST(r, 16, 11, 0, relid, 5);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[12], 0);
}
END_TEST

START_TEST(test_wrong_state)
{
	uint64_t bad = malformed();

	r->g->modify_waiting = 10;
	clear_rings(4);
	RIG_POST(r, 12, 7, 0, relid);
	RIG_POST(r, 12, 7, 0, 99);
	RIG_POST(r, 12, 13, 0, 99);
	RIG_POST(r, 12, 13, 0, 0xffffffffu);
	ck_assert_uint_eq(malformed(), bad + 4);
	RIG_POST(r, 16, 22, 0, relid, 1);
	rig_settle(r);
	ck_assert_uint_ne(rig_word(r, 24, 3), 0);
	ck_assert_uint_eq(good(5, 4), 0);
	ck_assert_uint_eq(open_it(5, 2), 0);
	RIG_POST(r, 12, 13, 0, relid); /* open: it cannot be released */
	ck_assert_uint_eq(malformed(), bad + 6);
	ck_assert(!flow->gone);
	RIG_POST(r, 16, 22, 0, relid, 0xffffffffu);
	rig_settle(r);
	ck_assert_uint_ne(rig_word(r, 24, 3), 0);
	RIG_POST(r, 16, 22, 0, relid, 3);
	rig_settle(r);
	ck_assert_uint_eq(rig_word(r, 24, 3), 0);
	RIG_POST(r, 12, 7, 0, relid);
	ck_assert(flow->gone && flow->why == VMBH_GONE_CLOSED);
}
END_TEST

/* Everything that was sent before the guest saw RESCIND. */
START_TEST(test_after_rescind)
{
	uint64_t bad;

	clear_rings(4);
	ck_assert_uint_eq(good(5, 4), 0);
	r->no_page[0] = true;
	rig_close_host(flow);
	bad = malformed();
	RIG_POST(r, 148, 5, 0, relid, relid, 5, 0, 2);
	RIG_POST(r, 12, 7, 0, relid);
	RIG_POST(r, 60, 8, 0, relid, 9, RANGE(4), 4 * 4096, 0, 1, 0, 1, 0, 1, 0,
		 1, 0);
	RIG_POST(r, 16, 11, 0, relid, 5);
	RIG_POST(r, 16, 22, 0, relid, 1);
	ck_assert_uint_eq(malformed(), bad);
	ck_assert_uint_eq(r->mapped, r->unmapped);
	r->no_page[0] = false;
	r->g->chans[relid]->rescinded = true; /* it shall not answer */
	r->g->modify_waiting = 1;
	vmbh_slot_free(r->h, 0);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[2], 1);
	ck_assert_uint_eq(r->messages[6], 0);
	ck_assert_uint_eq(r->messages[10], 2);
	ck_assert_uint_eq(rig_word(r, 10, 4), 0);
	ck_assert_uint_eq(rig_word(r, 12, 2), 5);
	ck_assert_uint_ne(rig_word(r, 24, 3), 0);
	RIG_POST(r, 12, 13, 0, relid);
	ck_assert_uint_eq(malformed(), bad);
}
END_TEST

/* Revoked while the guest waits for a GPADL: it is answered. */
START_TEST(test_rescind_in_gpadl)
{
	ck_assert_uint_eq(header(5, RANGE(30), 30 * 4096, 0, 26), 1);
	vmbh_rescind(r->h, relid);
	rig_settle(r);
	ck_assert_uint_eq(rig_word(r, 10, 4), FAILED);
	ck_assert(flow->gone && flow->why == VMBH_GONE_RESCINDED);
	ck_assert_int_eq(vmbh_rescind(r->h, 2000), -ENOENT);
}
END_TEST

/* An offer that has not left is taken back without a word. */
START_TEST(test_offer_withdrawn)
{
	struct vmbh_counters c;
	GUID service = rig_port(9);
	struct vmbh_sock *s;

	vmbh_counters(r->h, &c);
	r->no_page[0] = true;
	ck_assert_int_eq(vmbh_sock_connect(r->h, &service, NULL, 0, &s), 0);
	ck_assert_uint_eq(vmbh_sock_relid(s), relid + 1);
	vmbh_sock_close(s);
	r->no_page[0] = false;
	vmbh_slot_free(r->h, 0);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[1], 1);
	ck_assert_uint_eq(r->messages[2], 0);
	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.channels, 1);
}
END_TEST

START_TEST(test_pages_changed)
{
	struct rig_flow *f = rig_connect_guest(r, 0);
	uint64_t mapped;

	ck_assert_ptr_nonnull(f);
	mapped = r->mapped;
	vmbh_pages_changed(r->h);
	ck_assert_uint_eq(r->mapped, 2 * mapped);
	f->host.to_send = f->guest.to_send = 100000;
	f->host.woken = f->v->woken = true;
	rig_settle(r);
	ck_assert_uint_eq(f->host.got, 100000);
	ck_assert_uint_eq(good(5, 4), 0);
	r->map_fails_from = 1;
	vmbh_pages_changed(r->h);
	rig_settle(r);
	ck_assert(f->gone && f->why == VMBH_GONE_MEMORY);
	ck_assert_uint_eq(r->mapped, r->unmapped);
	r->map_fails_from = 0;
}
END_TEST

START_TEST(test_released_unopened)
{
	RIG_POST(r, 12, 13, 0, relid);
	ck_assert(flow->gone && flow->why == VMBH_GONE_CLOSED);
	rig_reboot(r); /* it does not know */
	rig_settle(r);
	ck_assert_uint_eq(r->messages[2], 0);
}
END_TEST

static void fill(void *c)
{
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, test_gpadl_forms);
	tcase_add_test(c, test_gpadl_not_memory);
	tcase_add_test(c, test_gpadl_bodies);
	tcase_add_test(c, test_gpadl_limits);
	tcase_add_test(c, test_gpadl_teardown);
	tcase_add_test(c, test_open_forms);
	tcase_add_test(c, test_wrong_state);
	tcase_add_test(c, test_after_rescind);
	tcase_add_test(c, test_rescind_in_gpadl);
	tcase_add_test(c, test_offer_withdrawn);
	tcase_add_test(c, test_pages_changed);
	tcase_add_test(c, test_released_unopened);
}

int main(void)
{
	return rig_suite("vmbus-channels", fill, 120);
}
