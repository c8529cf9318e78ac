/* SPDX-License-Identifier: MIT */
/* test-save.c - save, load, journal: at each step, and hostile bytes */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

/* A connection with data both ways; @step steps in, the bus is replaced.
 * Return: it was over before that. */
static bool connection(unsigned int step, bool from_host, bool crash)
{
	struct rig *r = rig_new(NULL, 17);
	struct rig_flow *f = rig_flow_new(r);
	GUID service = rig_port(RIG_SERVICE);
	unsigned int n = 0;
	bool more = true, done = false;

	f->from_host = from_host;
	f->host.to_send = f->guest.to_send = 60000;
	f->host.fin = f->guest.fin = true;
	vg_listen(r->g, RIG_SERVICE, 4);
	vg_load(r->g);
	while (more || !r->ready) {
		if (r->ready && !f->s && !f->v && !f->gone && !done) {
			done = true;
			if (!from_host)
				f->v = vg_connect(r->g, 0, RIG_SERVICE, 0, 0);
			else if (vmbh_sock_connect(r->h, &service, f, 0,
						   &f->s) == 0)
				vmbh_sock_set_tag(f->s, 0);
		}
		if (n++ == step) {
			if (crash)
				rig_crash(r);
			else
				rig_reload(r);
		}
		more = rig_step(r);
	}
	/* set up when the bus went: the guest's program may ask again */
	if (f->connected && f->s && f->v) {
		ck_assert_uint_eq(f->host.got, 60000);
		ck_assert_uint_eq(f->guest.got, 60000);
		ck_assert(f->host.eof && f->guest.eof);
	} else {
		ck_assert(n > step && (crash || from_host));
	}
	rig_close_guest(f);
	rig_close_host(f);
	rig_settle(r);
	vg_unlisten(r->g, RIG_SERVICE);
	rig_settle(r);
	rig_pass(r, 10000);
	rig_check_clean(r);
	/* and it still works */
	f = rig_connect_guest(r, 0);
	ck_assert_ptr_nonnull(f);
	rig_free(r);
	return n <= step;
}

START_TEST(test_each_step)
{
	unsigned int step = 0;

	while (!connection(step, _i & 1, _i & 2))
		step++;
	ck_assert_uint_gt(step, 10);
}
END_TEST

/* A bus with something of everything. */
static struct rig *rich(void)
{
	struct vmbh_config config = { .open_host_ms = 100000 };
	struct rig *r = rig_new_loaded(&config, 19);
	struct rig_flow *f;
	GUID endpoint = rig_port(5000), service = rig_port(1);
	uint32_t w[14] = { 21 };

	for (int i = 0; i < 4; i++) {
		f = i % 2 ? rig_connect_host(r) : rig_connect_guest(r, 70000);
		ck_assert_ptr_nonnull(f);
		rig_settle(r);
		f->guest_stalls = f->host_stalls = i & 2;
		f->host.to_send = f->guest.to_send = 200000;
		f->host.fin = f->host.woken = f->v->woken = true;
		rig_settle(r);
	}
	rig_offer(r, &f);
	f = rig_flow_new(r);
	f->v = vg_connect(r->g, 5000, RIG_SERVICE + f->id, 0, 0);
	rig_settle(r);
	ck_assert(f->connected);
	rig_close_host(f);
	memcpy(&w[2], &endpoint, 16);
	memcpy(&w[6], &service, 16);
	rig_post(r, 40, w, 10);
	r->no_page[0] = true;
	RIG_POST(r, 28, 8, 0, vmbh_sock_relid(r->flows[0].s), 7, 0, 0, 0);
	rig_offer(r, &f);
	return r;
}

static void restored(void *ctx, struct vmbh_sock *s, uint64_t tag)
{
	(void)ctx;
	(void)tag;
	vmbh_sock_close(s);
}

static int load(struct rig *r, const uint8_t *p, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct vmbh_counters c;
	struct vmbh *h;
	int n;

	ck_assert_int_eq(vmbh_new(&r->config, rig_ops, r, &h), 0);
	r->ready = false;
	memcpy(exact, p, len);
	n = vmbh_load(h, exact, len, restored);
	free(exact);
	if (n < 0) {
		vmbh_counters(h, &c);
		ck_assert_uint_eq(
			c.channels + c.gpadls + c.gpadl_pages + c.queued, 0);
		ck_assert_uint_eq(vmbh_version(h), 0);
		ck_assert_uint_eq(vmbh_deadline(h), 0);
		ck_assert(!r->ready);
	}
	vmbh_free(h);
	return n;
}

START_TEST(test_hostile)
{
	struct rig *r = rich();
	size_t size = vmbh_save(r->h, NULL, 0), n;
	uint8_t *buf = malloc(size + 1);
	uint64_t mapped;
	int r_load;

	ck_assert_uint_gt(size, 500);
	memset(buf, 0, size + 1);
	ck_assert_uint_eq(vmbh_save(r->h, buf, size - 1), size);
	ck_assert_uint_eq(buf[size - 1], 0);
	ck_assert_uint_eq(vmbh_save(r->h, buf, size), size);
	/* a bus that is free touches no page any more */
	r->h = vmbh_free(r->h);
	mapped = r->mapped;
	ck_assert_uint_eq(mapped, r->unmapped);
	ck_assert_int_eq(load(r, buf, size), 0);
	ck_assert_uint_eq(r->mapped, r->unmapped);
	for (size_t i = 0; i < size; i++)
		ck_assert_int_eq(load(r, buf, i), -EINVAL);
	ck_assert_int_eq(load(r, buf, size + 1), -EINVAL);
	buf[4] = 2;
	ck_assert_int_eq(load(r, buf, size), -EPROTONOSUPPORT);
	buf[4] = 1;
	for (n = 0; n < size; n++) {
		uint8_t was = buf[n];

		for (unsigned int bit = 0; bit < 8; bit++) {
			buf[n] = was ^ (uint8_t)(1u << bit);
			r_load = load(r, buf, size);
			ck_assert(r_load <= 0 && r_load != -ENOMEM);
		}
		buf[n] = was;
	}
	for (n = 0; n < 20000; n++) {
		uint8_t *copy = malloc(size);

		memcpy(copy, buf, size);
		for (uint32_t k = 1 + rig_random(r, 8); k; k--)
			copy[rig_random(r, (uint32_t)size)] =
				(uint8_t)rig_random(r,
						    rig_random(r, 2) ? 4 : 256);
		load(r, copy, size);
		free(copy);
	}
	/* pages that are no memory any more */
	r->map_fails_from = 1;
	ck_assert_int_eq(load(r, buf, size), -EFAULT);
	ck_assert_uint_eq(r->mapped, r->unmapped);
	free(buf);
	/* no bus is left for the guest to talk to */
	ck_assert_int_eq(vmbh_new(NULL, rig_ops, r, &r->h), 0);
	r->ready = false;
	rig_reboot(r);
	rig_free(r);
}
END_TEST

START_TEST(test_rich)
{
	struct rig *r = rich();
	struct vmbh_counters before, after;

	vmbh_counters(r->h, &before);
	rig_reload(r);
	vmbh_counters(r->h, &after);
	/* the second offer was never posted and is gone without a trace */
	ck_assert_uint_eq(after.channels, before.channels - 1);
	ck_assert_uint_eq(after.open, before.open);
	ck_assert_uint_eq(after.gpadls, before.gpadls);
	ck_assert_uint_eq(after.gpadl_pages, before.gpadl_pages);
	r->no_page[0] = false;
	vmbh_slot_free(r->h, 0);
	for (int i = 0; i < 4; i++) {
		struct rig_flow *f = &r->flows[i];

		ck_assert_ptr_nonnull(f->s);
		f->guest_stalls = f->host_stalls = false;
		f->guest.fin = f->host.woken = f->v->woken = true;
	}
	rig_settle(r);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(r->flows[i].host.got, 200000);
		ck_assert_uint_eq(r->flows[i].guest.got, 200000);
	}
	rig_free(r);
}
END_TEST

START_TEST(test_journal_hostile)
{
	struct rig *r = rig_new_loaded(NULL, 19);
	uint8_t journal[VMBH_JOURNAL_SIZE];
	struct vmbh *h;

	memcpy(journal, r->journal, sizeof(journal));
	ck_assert_mem_eq(journal, "vmbj\1\0\0\0\3\0\5\0", 12);
	for (int i = 0; i < 5000; i++) {
		uint8_t page[VMBH_JOURNAL_SIZE];

		memcpy(page, journal, sizeof(page));
		for (uint32_t k = rig_random(r, 40); k; k--)
			page[rig_random(r, rig_random(r, 2) ? 24 : 536)] =
				(uint8_t)rig_random(r, 256);
		ck_assert_int_eq(vmbh_new(NULL, rig_ops, r, &h), 0);
		r->ready = false;
		vmbh_recover(h, page);
		vmbh_free(h);
	}
	r->ready = true;
	memset(r->pending, 0, sizeof(r->pending));
	rig_reboot(r);
	rig_free(r);
}
END_TEST

/* Killed between UNLOAD and its answer, and in negotiation. */
START_TEST(test_owed)
{
	struct rig *r = rig_new_loaded(NULL, 19);

	r->no_page[0] = true;
	vg_unload(r->g);
	rig_crash(r);
	r->no_page[0] = false;
	vmbh_slot_free(r->h, 0);
	rig_settle(r);
	ck_assert(!r->g->unloading);
	r->no_page[0] = true;
	vg_load(r->g);
	rig_crash(r);
	r->no_page[0] = false;
	vmbh_slot_free(r->h, 0);
	rig_settle(r);
	ck_assert(r->g->loaded && r->ready);
	ck_assert_ptr_nonnull(rig_connect_guest(r, 0));
	rig_free(r);
}
END_TEST

static void fill(void *c)
{
	tcase_add_loop_test(c, test_each_step, 0, 4);
	tcase_add_test(c, test_rich);
	tcase_add_test(c, test_hostile);
	tcase_add_test(c, test_journal_hostile);
	tcase_add_test(c, test_owed);
}

int main(void)
{
	return rig_suite("vmbus-save", fill, 300);
}
