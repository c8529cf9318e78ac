/* SPDX-License-Identifier: MIT */
/* test-flows.c - connections: many, their timers, their ends */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

static void start(struct rig_flow *f, uint64_t bytes)
{
	f->host.to_send = f->guest.to_send = bytes;
	f->host.fin = f->guest.fin = true;
	f->host.woken = true;
	if (f->v)
		f->v->woken = true;
}

START_TEST(test_many)
{
	static const unsigned int counts[] = { 1, 100, 500, 2047 };
	unsigned int n = counts[_i];
	struct rig *r = rig_new_loaded(NULL, 5);
	struct vmbh_counters c;

	for (unsigned int i = 0; i < n; i++) {
		struct rig_flow *f =
			i % 2 ? rig_connect_host(r) : rig_connect_guest(r, 0);

		ck_assert_ptr_nonnull(f);
	}
	for (unsigned int i = 0; i < r->nflows; i++)
		start(&r->flows[i], 3000);
	rig_settle(r);
	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.open, n);
	for (unsigned int i = 0; i < r->nflows; i++) {
		struct rig_flow *f = &r->flows[i];

		ck_assert(f->host.eof && f->guest.eof);
		rig_close_host(f);
		rig_close_guest(f);
	}
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

/* As many as there are relids; one more is refused, on either side. */
START_TEST(test_all_relids)
{
	struct vmbh_config config = { .max_connects = 4096,
				      .max_gpadl_pages = 16384 };
	struct rig *r = rig_new_loaded(&config, 5);
	GUID service = rig_port(77);
	struct vmbh_sock *s;
	struct vmbh_counters c;
	struct rig_flow *f;
	uint64_t results;

	for (unsigned int i = 1; i < VMBH_RELIDS; i++)
		ck_assert_uint_eq(rig_offer(r, &f), i);
	ck_assert_int_eq(vmbh_sock_connect(r->h, &service, NULL, 0, &s),
			 -ENOBUFS);
	results = r->messages[23];
	f = rig_flow_new(r);
	f->v = vg_connect(r->g, 0, RIG_SERVICE + f->id, 0, 0);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[23], results + 1);
	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.channels, 2047);
	/* nobody opens them: all time out, all are released */
	rig_pass(r, 2000);
	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.channels, 0);
	ck_assert(r->flows[0].gone && r->flows[0].why == VMBH_GONE_TIMEOUT);
	rig_pass(r, 5000);
	ck_assert(f->v->timed_out);
	rig_close_guest(f);
	f = rig_connect_guest(r, 0);
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(vmbh_sock_relid(f->s), 1);
	rig_free(r);
}
END_TEST

START_TEST(test_relids_reused)
{
	struct rig *r = rig_new_loaded(NULL, 5);

	for (int i = 0; i < 2000; i++) {
		struct rig_flow *f =
			i % 2 ? rig_connect_host(r) : rig_connect_guest(r, 0);

		ck_assert_ptr_nonnull(f);
		ck_assert_uint_eq(vmbh_sock_relid(f->s), 1);
		start(f, 100);
		rig_settle(r);
		if (i % 3)
			rig_close_guest(f);
		rig_close_host(f);
		if (i % 3 == 0)
			rig_close_guest(f);
		rig_settle(r);
		r->nflows = 0;
		memset(&r->flows[0], 0, sizeof(r->flows[0]));
		vg_unlisten(r->g, RIG_SERVICE);
	}
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_host_timeout)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f;
	uint32_t relid = rig_offer(r, &f);

	ck_assert_uint_eq(vmbh_deadline(r->h), r->now + 2000000000u);
	rig_pass(r, 1999);
	ck_assert(!f->gone);
	rig_pass(r, 1);
	ck_assert(f->gone && f->why == VMBH_GONE_TIMEOUT);
	ck_assert_uint_eq(rig_word(r, 2, 2), relid);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_guest_timeout)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_flow_new(r);

	/* the program gives up before the offer is looked at */
	f->v = vg_connect(r->g, 0, RIG_SERVICE, 0, 0);
	rig_close_guest(f);
	rig_settle(r);
	ck_assert_uint_eq(r->g->nchans, 1);
	rig_pass(r, 4999);
	ck_assert_uint_eq(r->messages[2], 0);
	rig_pass(r, 1);
	ck_assert_uint_eq(r->messages[2], 1);
	ck_assert(!f->gone && !f->asked); /* nobody was told of it */
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

static const struct vmbh_config early[] = { { 0 }, { .connect_early = true } };

START_TEST(test_unanswered)
{
	struct rig *r = rig_new_loaded(&early[_i], 5);
	struct rig_flow *f;

	r->hold = true;
	ck_assert_ptr_null(rig_connect_guest(r, 0));
	f = &r->flows[0];
	ck_assert(f->asked);
	rig_pass(r, 5000);
	ck_assert(f->gone && f->why == VMBH_GONE_TIMEOUT);
	/* the guest must not be left waiting for its OPEN_CHANNEL */
	ck_assert_uint_ne(rig_word(r, 6, 4), 0);
	ck_assert_uint_eq(r->g->open_failed, 1);
	rig_close_guest(f);
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_refused)
{
	struct rig *r = rig_new_loaded(&early[_i], 5);
	struct rig_flow *f;

	r->refuse = true;
	ck_assert_ptr_null(rig_connect_guest(r, 0));
	f = &r->flows[0];
	ck_assert(f->refused && !f->gone);
	ck_assert_uint_eq(r->g->nchans, 0);
	rig_pass(r, 2000);
	ck_assert(f->v->timed_out);
	rig_close_guest(f);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

/* The other end is looked for while the guest opens; what the host's program
 * does meanwhile (0: nothing; 1: it refuses; 2: it accepts and the guest never
 * opens; 3: it is gone; 4: another bus goes on) is known in the end. */
START_TEST(test_early)
{
	struct rig *r = rig_new_loaded(&early[1], 5);
	struct rig_flow *f = rig_flow_new(r);

	r->hold = true;
	f->v = vg_connect(r->g, 0, RIG_SERVICE + f->id, 0, 0);
	while (!f->asked)
		ck_assert(rig_step(r));
	ck_assert_uint_eq(r->messages[6], 0); /* nothing was opened */
	if (_i == 1) {
		vmbh_sock_refuse(f->s);
		f->s = NULL;
	} else if (_i == 3) {
		vmbh_sock_close(f->s);
		f->s = NULL;
	} else {
		vmbh_sock_accept(f->s);
		ck_assert(!f->connected);
	}
	if (_i == 4) {
		r->hold = false;
		rig_reload(r);
	}
	if (_i != 2) {
		rig_settle(r);
	} else {
		/* its driver is stopped before it has seen the offer */
		rig_crash(r);
		ck_assert(f->gone && !f->connected);
	}
	ck_assert(f->connected == (_i == 0 || _i == 4));
	if (f->connected) {
		ck_assert_uint_eq(rig_word(r, 6, 4), 0);
		ck_assert(f->v->state == VG_ESTABLISHED);
		rig_close_host(f);
	} else if (_i == 1) {
		ck_assert_uint_eq(r->g->open_failed, 1);
	}
	rig_pass(r, 2000);
	rig_close_guest(f);
	rig_settle(r);
	rig_pass(r, 6000);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_not_admitted)
{
	struct vmbh_config config = { .max_version = _i ? VMBH_VERSION_4_1
							: VMBH_VERSION_4_0 };
	struct rig *r = rig_new_loaded(&config, 5);

	r->admit_none = true;
	ck_assert_ptr_null(rig_connect_guest(r, 0));
	ck_assert_uint_eq(r->messages[1], 0);
	ck_assert_uint_eq(r->messages[23], _i ? 1 : 0);
	if (_i)
		ck_assert_uint_eq(rig_word(r, 23, 10), 0xc0000236u);
	rig_free(r);
}
END_TEST

START_TEST(test_silo_form)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	GUID endpoint = rig_port(0x4444), service = rig_port(RIG_SERVICE);
	uint32_t w[14] = { 21 };

	memcpy(&w[2], &endpoint, 16);
	memcpy(&w[6], &service, 16);
	/* 40 and 56 bytes, whatever the version */
	ck_assert_uint_eq(rig_post(r, 40, w, 14), 0);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[1], 1);
	w[2]++;
	ck_assert_uint_eq(rig_post(r, 56, w, 14), 0);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[1], 2);
	ck_assert_uint_eq(rig_word(r, 1, 2), RIG_SERVICE);
	ck_assert_uint_eq(rig_word(r, 1, 6), 0x4445);
	ck_assert_uint_eq(rig_word(r, 1, 14), 0x2011);
	ck_assert_uint_eq(r->last[1][64], 0);
	rig_pass(r, 5000);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

/* 16 may be on their way; those that wait get through in time. */
START_TEST(test_connect_limit)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	unsigned int established = 0;

	for (int i = 0; i < 100; i++) {
		struct rig_flow *f = rig_flow_new(r);

		f->v = vg_connect(r->g, 0, RIG_SERVICE + f->id, 0, 0);
	}
	ck_assert_ptr_nonnull(r->g->out);
	ck_assert_uint_le(r->messages[1], 16);
	rig_settle(r);
	for (int i = 0; i < 100; i++)
		established += r->flows[i].connected;
	ck_assert_uint_eq(established, 100);
	rig_free(r);
}
END_TEST

/* An endpoint whose last channel is not released gets its offer afterwards. */
START_TEST(test_delayed_offer)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *a = rig_flow_new(r);
	GUID endpoint = rig_port(5000), service = rig_port(RIG_SERVICE + 1);
	uint32_t w[10] = { 21 };
	uint64_t offers;

	a->v = vg_connect(r->g, 5000, RIG_SERVICE, 0, 0);
	rig_settle(r);
	ck_assert(a->connected);
	/* the guest's program has it open: no RELID_RELEASED yet */
	rig_close_host(a);
	rig_settle(r);
	rig_pass(r, 40); /* RESCIND gives its program time to see that */
	ck_assert_int_eq(a->v->state, VG_CLOSED);
	offers = r->messages[1];
	/* the guest's kernel would not ask before that; another one may */
	memcpy(&w[2], &endpoint, 16);
	memcpy(&w[6], &service, 16);
	ck_assert_uint_eq(rig_post(r, 40, w, 10), 0);
	rig_settle(r);
	ck_assert_uint_eq(r->messages[1], offers);
	rig_close_guest(a); /* releases it */
	rig_settle(r);
	ck_assert_uint_eq(r->messages[1], offers + 1);
	rig_pass(r, 5000);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

/* The guest's program is gone, and nobody reads what the host has sent. */
START_TEST(test_linger)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = _i ? rig_connect_host(r) : rig_connect_guest(r, 0);

	ck_assert_ptr_nonnull(f);
	if (_i) {
		rig_settle(r);
		ck_assert_ptr_nonnull(f->v);
	}
	f->host.to_send = 1000000;
	f->host.woken = true;
	rig_close_guest(f);
	rig_settle(r);
	ck_assert(f->host.eof && f->s);
	rig_pass(r, 9900);
	ck_assert(!f->gone);
	rig_pass(r, 200);
	ck_assert(f->gone && f->why == VMBH_GONE_LINGER);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

/* The same, but it is only slow: it reads all within 9 s, again and again. */
START_TEST(test_slow_reader)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_connect_guest(r, 0);

	f->guest_stalls = true;
	f->guest.fin = true;
	f->host.to_send = 150000;
	f->host.fin = true;
	f->host.woken = f->v->woken = true;
	rig_settle(r);
	ck_assert(f->host.eof);
	while (!f->guest.eof) {
		rig_pass(r, 9000);
		ck_assert(!f->gone);
		f->guest_stalls = false;
		f->v->woken = true;
		rig_move(f);
		f->guest_stalls = true;
		rig_settle(r);
	}
	ck_assert_uint_eq(f->guest.got, 150000);
	rig_close_host(f);
	rig_close_guest(f);
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

/* What the host has sent before it closes can still be read. */
START_TEST(test_read_after_rescind)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_connect_guest(r, 0);

	f->guest_stalls = true;
	f->host.to_send = 20000;
	f->host.fin = f->host.woken = true;
	rig_settle(r);
	rig_close_host(f);
	rig_settle(r);
	rig_pass(r, 40); /* RESCIND gives its program time to see that it is
			  * connected */
	ck_assert_int_eq(f->v->state, VG_CLOSED);
	ck_assert_int_eq(vg_send(f->v, "x", 1), -EPIPE);
	f->guest_stalls = false;
	f->v->woken = true;
	rig_settle(r);
	ck_assert_uint_eq(f->guest.got, 20000);
	ck_assert(f->guest.eof);
	rig_close_guest(f);
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_fin_waits)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_connect_guest(r, 0);

	uint8_t buf[30000];
	struct iovec iov[8];
	ssize_t room, sent = 0;
	unsigned int n;

	f->host_stalls = f->guest_stalls = true;
	/* 24,576: three packets leave 8 bytes, too few for FIN */
	while ((room = vmbh_sock_room(f->s, iov, 8, &n, 0)) > 0) {
		vmbh_sock_produce(f->s, (size_t)room);
		sent += room;
	}
	ck_assert_int_eq(sent, 8192 + 8192 + 8088);
	vmbh_sock_shutdown(f->s);
	ck_assert(!vmbh_sock_fin_sent(f->s));
	ck_assert_int_eq(vmbh_sock_room(f->s, iov, 8, &n, 0), 0);
	rig_settle(r);
	ck_assert(!vmbh_sock_fin_sent(f->s));
	/* the guest commits when it has read all, and rings */
	ck_assert_int_eq(vg_recv(f->v, buf, 10000), 10000);
	ck_assert(!vmbh_sock_fin_sent(f->s));
	ck_assert_int_eq(vg_recv(f->v, buf, 30000), sent - 10000);
	ck_assert(vmbh_sock_fin_sent(f->s));
	ck_assert_int_eq(vg_recv(f->v, buf, 1), 0);
	rig_free(r);
}
END_TEST

/* RESCIND that overtakes the guest's open would undo it. */
START_TEST(test_closed_at_once)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_flow_new(r);

	r->hold = r->g->lazy_open = true;
	f->v = vg_connect(r->g, 0, RIG_SERVICE + f->id, 0, 0);
	while (!f->asked)
		ck_assert(rig_step(r));
	vmbh_sock_accept(f->s);
	f->connected = true;
	f->host_done = true;
	vmbh_sock_close(f->s);
	rig_settle(r);
	ck_assert(f->v->state == VG_ESTABLISHED);
	ck_assert_uint_eq(r->g->rescinds, 0);
	/* its kernel has opened: its program is to see that */
	rig_pass(r, 20);
	ck_assert_uint_eq(r->g->rescinds, 0);
	rig_pass(r, 20);
	ck_assert(f->v->state == VG_CLOSED && !f->v->timed_out);
	rig_close_guest(f);
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

/* A guest that gives no sign: 0, it is rescinded in the end; 1: or it closes;
 * 2: or another bus goes on; 3: or its program writes after all, and rings. */
START_TEST(test_closed_unsettled)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_connect_guest(r, 0);

	f->v->chan->out.control[3] = 0;
	rig_close_host(f);
	rig_pass(r, 1000);
	ck_assert_uint_eq(r->g->rescinds, 0);
	if (_i == 0) {
		rig_pass(r, 999);
		ck_assert_uint_eq(r->g->rescinds, 0);
		rig_pass(r, 10);
	} else if (_i == 1) {
		vg_unbind(r->g, f->v->chan);
		rig_settle(r);
	} else if (_i == 2) {
		rig_reload(r);
		rig_settle(r);
		ck_assert_uint_eq(r->g->rescinds, 0);
		rig_pass(r, 2010);
	} else {
		ck_assert_int_eq(vg_send(f->v, "x", 1), 1);
		rig_settle(r);
	}
	ck_assert_uint_eq(r->g->rescinds, 1);
	rig_close_guest(f);
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_unbind)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_connect_guest(r, 0);

	f->host.to_send = 1000;
	f->host.woken = true;
	vg_unbind(r->g, f->v->chan);
	rig_settle(r);
	ck_assert(f->gone && f->why == VMBH_GONE_CLOSED);
	rig_close_guest(f);
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

START_TEST(test_connect_errors)
{
	struct rig *r = rig_new(NULL, 5);
	GUID service = rig_port(1), other = service;
	struct vmbh_sock *s;

	ck_assert_int_eq(vmbh_sock_connect(r->h, &service, NULL, 0, &s),
			 -ENETDOWN);
	vg_load(r->g);
	rig_settle(r);
	other.Data2++;
	ck_assert_int_eq(vmbh_sock_connect(r->h, &other, NULL, 0, &s), -EINVAL);
	rig_free(r);
}
END_TEST

static void fill(void *c)
{
	tcase_add_loop_test(c, test_many, 0, 4);
	tcase_add_test(c, test_all_relids);
	tcase_add_test(c, test_relids_reused);
	tcase_add_test(c, test_host_timeout);
	tcase_add_test(c, test_guest_timeout);
	tcase_add_loop_test(c, test_unanswered, 0, 2);
	tcase_add_loop_test(c, test_refused, 0, 2);
	tcase_add_loop_test(c, test_early, 0, 5);
	tcase_add_loop_test(c, test_not_admitted, 0, 2);
	tcase_add_test(c, test_silo_form);
	tcase_add_test(c, test_connect_limit);
	tcase_add_test(c, test_delayed_offer);
	tcase_add_loop_test(c, test_linger, 0, 2);
	tcase_add_test(c, test_slow_reader);
	tcase_add_test(c, test_read_after_rescind);
	tcase_add_test(c, test_fin_waits);
	tcase_add_test(c, test_closed_at_once);
	tcase_add_loop_test(c, test_closed_unsettled, 0, 4);
	tcase_add_test(c, test_unbind);
	tcase_add_test(c, test_connect_errors);
}

int main(void)
{
	return rig_suite("vmbus-flows", fill, 120);
}
