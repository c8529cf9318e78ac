/* SPDX-License-Identifier: MIT */
/* test-control.c - the connection: versions, messages, slots, back-pressure */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

static const uint32_t versions[] = { VMBH_VERSION_4_0, VMBH_VERSION_4_1,
				     VMBH_VERSION_5_0, VMBH_VERSION_5_1,
				     VMBH_VERSION_5_2, VMBH_VERSION_5_3 };

static uint64_t malformed(struct rig *r)
{
	struct vmbh_counters c;

	vmbh_counters(r->h, &c);
	return c.malformed;
}

/* A connection works, in both directions. */
static void works(struct rig *r)
{
	struct rig_flow *f = rig_connect_guest(r, 0);

	ck_assert_ptr_nonnull(f);
	f->host.to_send = f->guest.to_send = 50000;
	f->host.fin = f->guest.fin = f->host.woken = f->v->woken = true;
	rig_settle(r);
	ck_assert(f->host.eof && f->guest.eof);
	rig_close_host(f);
	rig_close_guest(f);
	rig_settle(r);
}

START_TEST(test_versions)
{
	struct vmbh_config config = { .max_version = versions[_i] };
	struct rig *r = rig_new(&config, 3);

	r->g->propose_6_0 = true;
	vg_load(r->g);
	rig_settle(r);
	ck_assert_uint_eq(r->g->version, versions[_i]);
	ck_assert_uint_eq(vmbh_version(r->h), versions[_i]);
	ck_assert(vmbh_ready(r->h) && r->ready && r->g->all_offers);
	ck_assert_uint_eq(r->last_len[15], 16);
	ck_assert_uint_eq(rig_word(r, 15, 3),
			  versions[_i] >= VMBH_VERSION_5_0 ? 1 : versions[_i]);
	works(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_guest_version)
{
	struct rig *r = rig_new(NULL, 3);

	r->g->max_version = versions[_i];
	vg_load(r->g);
	rig_settle(r);
	ck_assert_uint_eq(r->g->version, versions[_i]);
	works(r);
	rig_free(r);
}
END_TEST

START_TEST(test_too_old)
{
	struct rig *r = rig_new(NULL, 3);

	r->g->max_version = 0x30000;
	vg_load(r->g);
	rig_settle(r);
	ck_assert(r->g->failed && !r->ready);
	ck_assert_uint_eq(vmbh_version(r->h), 0);
	rig_free(r);
}
END_TEST

START_TEST(test_6_0_refused)
{
	struct rig *r = rig_new(NULL, 3);

	ck_assert_uint_eq(RIG_POST(r, 40, 14, 0, 0x60000, 1, 2), 0);
	ck_assert_uint_eq(r->messages[15], 1);
	ck_assert_uint_eq(rig_word(r, 15, 2), 0);
	ck_assert_uint_eq(r->last_len[15], 16);
	ck_assert_uint_eq(vmbh_target_vp(r->h), 1);
	rig_free(r);
}
END_TEST

START_TEST(test_other_sint)
{
	struct rig *r = rig_new(NULL, 3);

	RIG_POST(r, 40, 14, 0, VMBH_VERSION_5_3, 0, 3);
	ck_assert_uint_eq(vmbh_version(r->h), 0);
	ck_assert_uint_eq(rig_word(r, 15, 2), 0);
	r->g->ops->eom(r, 0);
	/* in older ones this is an address */
	RIG_POST(r, 40, 14, 0, VMBH_VERSION_4_0, 0, 3);
	ck_assert_uint_eq(vmbh_version(r->h), VMBH_VERSION_4_0);
	RIG_POST(r, 40, 14, 0, VMBH_VERSION_5_3, 0, 0x102);
	ck_assert_uint_eq(vmbh_version(r->h), 0);
	memset(r->pending, 0, sizeof(r->pending));
	rig_free(r);
}
END_TEST

START_TEST(test_connection_ids)
{
	struct rig *r = rig_new_loaded(NULL, 3);
	uint32_t m[10] = { 3 };

	for (uint32_t id = 0; id < 8; id++)
		ck_assert_uint_eq(vmbh_post_message(r->h, 0, id, 1, m, 8),
				  id == 1 || id == 4 ? 0 : 18);
	/* 24 bits count */
	ck_assert_uint_eq(vmbh_post_message(r->h, 0, 0xff000001u, 1, m, 8), 0);
	ck_assert_uint_eq(vmbh_post_message(r->h, 0, 0x800074, 1, m, 8), 18);
	ck_assert_uint_eq(vmbh_post_message(r->h, 0, 1, 1, m, 241), 5);
	ck_assert_uint_eq(vmbh_post_message(r->h, 0, 1, 2, m, 8), 0);
	ck_assert_uint_eq(r->messages[4], 1);
	works(r);
	rig_free(r);
}
END_TEST

START_TEST(test_signal_codes)
{
	struct rig *r = rig_new_loaded(NULL, 3);
	struct rig_flow *f = rig_connect_guest(r, 0);
	uint32_t id = vmbh_connection_id(vmbh_sock_relid(f->s));

	ck_assert_uint_eq(id, 0x2001);
	ck_assert_uint_eq(vmbh_signal_event(r->h, id, 0), 0);
	ck_assert_uint_eq(vmbh_signal_event(r->h, id, 1), 5);
	ck_assert_uint_eq(vmbh_signal_event(r->h, id + 1, 0), 18);
	ck_assert_uint_eq(vmbh_signal_event(r->h, 0, 0), 18);
	ck_assert_uint_eq(vmbh_signal_event(r->h, 2, 0), 18);
	ck_assert_uint_eq(vmbh_signal_event(r->h, 0x2000, 0), 18);
	ck_assert_uint_eq(vmbh_signal_event(r->h, 0x2800, 0), 18);
	ck_assert_uint_eq(vmbh_signal_event(r->h, 0xffffff, 0), 18);
	rig_close_host(f);
	/* rescinded and not released: the guest may not know yet */
	ck_assert_uint_eq(vmbh_signal_event(r->h, id, 0), 0);
	rig_close_guest(f);
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

/* Each type in each length, before a connection and during one. */
START_TEST(test_lengths)
{
	struct rig *r = rig_new(NULL, 3);

	for (int connected = 0; connected < 2; connected++) {
		for (uint32_t type = 0; type < 40; type++) {
			for (size_t len = 0; len <= 240; len++) {
				uint64_t before = malformed(r);
				uint32_t w[60];

				if (type == 14 || type == 16)
					continue;
				for (int i = 0; i < 60; i++)
					w[i] = rig_random(r, 4)
						       ? rig_random(r, 0)
						       : rig_random(r, 4);
				w[0] = type;
				ck_assert_uint_le(rig_post(r, len, w, 60), 19);
				if (!connected)
					ck_assert_uint_gt(malformed(r), before);
			}
		}
		if (connected)
			break;
		vg_load(r->g);
		rig_settle(r);
		r->g->modify_waiting = 1000;
	}
	/* what TL_CONNECT_REQUEST began is over in time */
	rig_pass(r, 6000);
	works(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_offers_twice)
{
	struct rig *r = rig_new_loaded(NULL, 3);
	uint64_t before = malformed(r);

	RIG_POST(r, 8, 3);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[4], 1);
	ck_assert_uint_eq(malformed(r), before + 1);
	rig_free(r);
}
END_TEST

START_TEST(test_unload)
{
	struct rig *r = rig_new_loaded(NULL, 3);
	struct rig_flow *f = rig_connect_guest(r, 0);
	struct rig_flow *o;

	rig_offer(r, &o);
	RIG_POST(r, 8, 16);
	r->g->unloading = true;
	rig_settle(r);
	ck_assert_uint_eq(r->messages[17], 1);
	ck_assert(f->gone && f->why == VMBH_GONE_UNLOADED);
	ck_assert(o->gone && o->why == VMBH_GONE_UNLOADED);
	ck_assert(!r->ready);
	ck_assert_uint_eq(r->mapped, r->unmapped);
	/* nothing but a version is heeded now */
	RIG_POST(r, 8, 3);
	RIG_POST(r, 8, 16);
	ck_assert_uint_eq(r->messages[17], 1);
	rig_reboot(r);
	vg_load(r->g);
	rig_settle(r);
	works(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_second_contact)
{
	struct rig *r = rig_new_loaded(NULL, 3);
	struct rig_flow *f = rig_connect_guest(r, 0);

	rig_reboot(r);
	r->g->vp = 2;
	vg_load(r->g);
	rig_settle(r);
	ck_assert(f->gone && f->why == VMBH_GONE_UNLOADED);
	ck_assert_uint_eq(vmbh_target_vp(r->h), 2);
	ck_assert_uint_eq(r->messages[2], 0);
	works(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_reset)
{
	struct rig *r = rig_new_loaded(NULL, 3);
	struct rig_flow *f = rig_connect_guest(r, 0);
	uint64_t before = r->messages[2];

	rig_reboot(r);
	vmbh_reset(r->h);
	ck_assert(f->gone && f->why == VMBH_GONE_UNLOADED && !r->ready);
	ck_assert_uint_eq(r->messages[2], before);
	rig_check_clean(r);
	vg_load(r->g);
	rig_settle(r);
	works(r);
	rig_free(r);
}
END_TEST

START_TEST(test_back_pressure)
{
	struct vmbh_config config = { .max_input = 5 };
	struct rig *r = rig_new_loaded(&config, 3);
	struct rig_flow *f;
	uint32_t relid = rig_offer(r, &f);
	struct vmbh_counters c;
	int n = 0;

	r->no_page[0] = true;
	/* each is answered with a failure */
	while (RIG_POST(r, 28, 8, 0, relid, 7, 0, 0, 0) == 0)
		n++;
	ck_assert_int_eq(n, 5);
	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.queued, 5);
	ck_assert_uint_eq(c.refused, 1);
	ck_assert_uint_eq(RIG_POST(r, 8, 3), 19);
	/* these empty the queue, and are always taken */
	ck_assert_uint_eq(RIG_POST(r, 40, 14, 0, VMBH_VERSION_5_3, 1, 2), 0);
	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.queued, 0);
	ck_assert_uint_eq(r->messages[15], 2);
	r->no_page[0] = false;
	memset(r->pending, 0, sizeof(r->pending));
	rig_free(r);
}
END_TEST

START_TEST(test_promise)
{
	struct vmbh_config config = { .max_input = 5, .max_connects = 3 };
	struct rig *r = rig_new_loaded(&config, 3);
	struct rig_flow *f;
	uint32_t relid = rig_offer(r, &f);
	struct vmbh_counters c;

	/* as many as there is room for, also of connects */
	ck_assert_uint_eq(vmbh_promise(r->h, 2), 2);
	ck_assert_uint_eq(vmbh_promise(r->h, 100), 3);
	r->no_page[0] = true;
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(RIG_POST(r, 28, 8, 0, relid, 7, 0, 0, 0), 0);
	ck_assert_uint_eq(vmbh_promise(r->h, 100), 2);
	/* what the host sends meanwhile changes nothing */
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(vmbh_send_raw(r->h, (uint32_t[3]) { 4 }, 12),
				 0);
	for (int i = 0; i < 2; i++)
		ck_assert_uint_eq(RIG_POST(r, 28, 8, 0, relid, 7, 0, 0, 0), 0);
	ck_assert_uint_eq(RIG_POST(r, 8, 3), 19);
	ck_assert_uint_eq(vmbh_promise(r->h, 100), 0);
	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.queued, 9);
	/* a reset ends it */
	r->no_page[0] = false;
	memset(r->pending, 0, sizeof(r->pending));
	vmbh_reset(r->h);
	ck_assert_uint_eq(vmbh_promise(r->h, 1), 1);
	rig_free(r);
}
END_TEST

START_TEST(test_slot_order)
{
	struct rig *r = rig_new_loaded(NULL, 3);
	uint32_t m[3] = { 4, 0, 0 };

	/* the slot is taken from the first on; all come, in order */
	for (uint32_t i = 0; i < 100; i++) {
		m[2] = i;
		ck_assert_int_eq(vmbh_send_raw(r->h, m, 12), 0);
	}
	for (uint32_t i = 0; i < 100; i++) {
		ck_assert_uint_eq(rig_word(r, 4, 2), i);
		ck_assert(rig_step(r));
	}
	ck_assert(!rig_step(r));
	ck_assert_int_eq(vmbh_send_raw(r->h, m, 241), -EMSGSIZE);
	rig_free(r);
}
END_TEST

START_TEST(test_slot_helpers)
{
	_Alignas(4096) static uint8_t page[4096], flags[4096];
	uint8_t m[240];

	memset(m, 0x5a, sizeof(m));
	ck_assert_int_eq(vmbh_slot_put(page, m, 241), -EMSGSIZE);
	ck_assert(!vmbh_slot_taken(page));
	ck_assert_int_eq(vmbh_slot_put(page, m, 240), 0);
	ck_assert(vmbh_slot_taken(page));
	ck_assert_uint_eq(page[0x200], 1);
	ck_assert_uint_eq(page[0x204], 240);
	ck_assert_uint_eq(page[0x205], 0);
	ck_assert(memcmp(page + 0x210, m, 240) == 0);
	ck_assert_uint_eq(page[0x300], 0);
	ck_assert_int_eq(vmbh_slot_put(page, m, 1), -EAGAIN);
	ck_assert_uint_eq(page[0x205], 1);
	ck_assert_uint_eq(page[0x204], 240);
	page[0x200] = 0;
	ck_assert_int_eq(vmbh_slot_put(page, m, 8), 0);
	ck_assert_uint_eq(page[0x205], 0);
	ck_assert(vmbh_event_set(flags, 1));
	ck_assert(!vmbh_event_set(flags, 1));
	ck_assert(vmbh_event_set(flags, 2047));
	ck_assert_uint_eq(vmbh_events_set(flags), 2);
	ck_assert_uint_eq(flags[0x200], 2);
	ck_assert_uint_eq(flags[0x2ff], 0x80);
}
END_TEST

START_TEST(test_names)
{
	char line[256], tiny[8];
	uint32_t m[49] = { 14, 0, VMBH_VERSION_5_3, 1, 2 };

	for (uint32_t i = 1; i < 30; i++)
		ck_assert_uint_eq(vmbh_message_type(vmbh_message_name(i)), i);
	ck_assert_uint_eq(vmbh_message_type("open_channel"), 5);
	ck_assert_uint_eq(vmbh_message_type("nothing"), 0);
	ck_assert_ptr_null(vmbh_message_name(0));
	ck_assert_ptr_null(vmbh_message_name(30));
	ck_assert_str_eq(vmbh_describe(m, 40, line, sizeof(line)),
			 "INITIATE_CONTACT version=5.3 vp=1 sint=2 vtl=0");
	ck_assert_str_eq(vmbh_describe(m, 12, line, sizeof(line)),
			 "INITIATE_CONTACT version=5.3 (12 bytes: too short)");
	ck_assert_str_eq(vmbh_describe(m, 3, line, sizeof(line)),
			 "(3 bytes: too short)");
	ck_assert_str_eq(vmbh_describe(m, 40, tiny, sizeof(tiny)), "INITIAT");
	m[0] = 99;
	ck_assert_str_eq(vmbh_describe(m, 8, line, sizeof(line)), "MESSAGE_99");
	for (uint32_t i = 0; i < 40; i++) {
		m[0] = i;
		for (size_t len = 0; len <= sizeof(m); len++)
			vmbh_describe(m, len, line, sizeof(line));
	}
}
END_TEST

START_TEST(test_config)
{
	const struct vmbh_config bad[] = {
		{ .max_version = 0x30000 },
		{ .max_version = 0x60000 },
		{ .max_channels = 2048 },
		{ .packet = 16385 },
	};
	struct vmbh *h;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(vmbh_new(&bad[i], rig_ops, NULL, &h), -EINVAL);
	ck_assert_int_eq(vmbh_new(NULL, rig_ops, NULL, &h), 0);
	ck_assert_ptr_null(vmbh_free(h));
	ck_assert_ptr_null(vmbh_free(NULL));
}
END_TEST

static void fill(void *c)
{
	tcase_add_loop_test(c, test_versions, 0, 6);
	tcase_add_loop_test(c, test_guest_version, 0, 6);
	tcase_add_test(c, test_too_old);
	tcase_add_test(c, test_6_0_refused);
	tcase_add_test(c, test_other_sint);
	tcase_add_test(c, test_connection_ids);
	tcase_add_test(c, test_signal_codes);
	tcase_add_test(c, test_lengths);
	tcase_add_test(c, test_offers_twice);
	tcase_add_test(c, test_unload);
	tcase_add_test(c, test_second_contact);
	tcase_add_test(c, test_reset);
	tcase_add_test(c, test_back_pressure);
	tcase_add_test(c, test_promise);
	tcase_add_test(c, test_slot_order);
	tcase_add_test(c, test_slot_helpers);
	tcase_add_test(c, test_names);
	tcase_add_test(c, test_config);
}

int main(void)
{
	return rig_suite("vmbus-control", fill, 120);
}
