/* SPDX-License-Identifier: MIT */
/* rig.c - see rig.h */
#include "rig.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

GUID rig_port(uint32_t port)
{
	GUID g = { port,
		   0xfacb,
		   0x11e6,
		   { 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 } };

	return g;
}

uint32_t rig_random(struct rig *r, uint32_t below)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 17;
	r->random ^= r->random << 5;
	return below ? r->random % below : r->random;
}

/* ---- what the bus asks */

static int on_post(void *ctx, uint32_t vp, const void *message, size_t len)
{
	struct rig *r = ctx;
	uint32_t type;
	int n;

	if (vp >= VG_VPS || r->no_page[vp])
		return -ENXIO;
	n = vmbh_slot_put(vg_page(r->g, r->g->message_page[vp]), message, len);
	if (n < 0)
		return n;
	memcpy(&type, message, 4);
	r->messages[type % 32]++;
	memcpy(r->last[type % 32], message, len);
	r->last_len[type % 32] = len;
	r->pending[vp] = true;
	return 0;
}

static void on_signal(void *ctx, uint32_t vp, uint32_t relid)
{
	struct rig *r = ctx;

	if (!relid || relid >= VMBH_RELIDS)
		ck_abort_msg("doorbell for relid %u", relid);
	if (r->check_vp) {
		const struct vg_chan *c = r->g->chans[relid];

		if (c && vp != c->vp &&
		    !(r->g->modify_waiting && vp == c->next_vp))
			ck_abort_msg("doorbell at VP %u", vp);
	}
	if (vp < VG_VPS &&
	    vmbh_event_set(vg_page(r->g, r->g->event_page[vp]), relid))
		r->pending[vp] = true;
}

static void *on_map(void *ctx, uint64_t gfn)
{
	struct rig *r = ctx;

	if (!gfn || gfn >= r->g->npages ||
	    (r->map_fails_from && gfn >= r->map_fails_from))
		return NULL;
	r->mapped++;
	return vg_page(r->g, (uint32_t)gfn);
}

static void on_unmap(void *ctx, uint64_t gfn, void *page)
{
	struct rig *r = ctx;

	if (page != vg_page(r->g, (uint32_t)gfn))
		ck_abort_msg("another page is unmapped");
	r->unmapped++;
}

static void on_written(void *ctx, uint64_t gpa, size_t len)
{
	struct rig *r = ctx;

	if (!len || gpa % VG_PAGE + len > VG_PAGE ||
	    gpa / VG_PAGE >= r->g->npages)
		ck_abort_msg("%zu bytes written at %llx", len,
			     (unsigned long long)gpa);
	r->written += len;
}

static void on_random(void *ctx, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)rig_random(ctx, 256);
}

static struct rig_flow *flow_of_port(struct rig *r, uint32_t port)
{
	unsigned int i = port - RIG_SERVICE;

	return i < r->nflows ? &r->flows[i] : NULL;
}

static void on_connect(void *ctx, struct vmbh_sock *s, const GUID *service,
		       const GUID *endpoint)
{
	struct rig *r = ctx;
	struct rig_flow *f = flow_of_port(r, service->Data1);

	(void)endpoint;
	ck_assert(!vmbh_sock_from_host(s));
	/* a flow has one connection: an earlier one is superseded; an early
	 * request comes while the guest's end is being made */
	if (!f || r->refuse || f->s || f->host_done ||
	    (!f->v && !r->config.connect_early)) {
		if (f)
			f->refused = true;
		vmbh_sock_refuse(s);
		return;
	}
	f->s = s;
	f->asked = true;
	vmbh_sock_set_user(s, f);
	vmbh_sock_set_tag(s, f->id);
	if (r->hold)
		return;
	vmbh_sock_accept(s);
	if (!r->config.connect_early) /* on_connected() comes */
		f->connected = f->host.woken = true;
}

static void on_connected(void *ctx, struct vmbh_sock *s)
{
	struct rig_flow *f = vmbh_sock_user(s);

	(void)ctx;
	ck_assert_ptr_eq(f->s, s);
	f->connected = f->host.woken = true;
}

static void on_readable(void *ctx, struct vmbh_sock *s)
{
	struct rig_flow *f = vmbh_sock_user(s);

	(void)ctx;
	if (f)
		f->host.woken = true;
}

static void on_gone(void *ctx, struct vmbh_sock *s, enum vmbh_gone why)
{
	struct rig_flow *f = vmbh_sock_user(s);

	(void)ctx;
	if (!f)
		return;
	ck_assert_ptr_eq(f->s, s);
	f->s = NULL;
	f->gone = true;
	f->why = why;
}

static void on_ready(void *ctx, bool ready)
{
	struct rig *r = ctx;

	ck_assert(r->ready != ready);
	r->ready = ready;
}

static bool on_admit(void *ctx, const GUID *service, const GUID *endpoint)
{
	const struct rig *r = ctx;

	(void)service;
	(void)endpoint;
	return !r->admit_none;
}

static void on_complain(void *ctx, const char *sentence)
{
	struct rig *r = ctx;

	r->complaints++;
	strncpy(r->complaint, sentence, sizeof(r->complaint) - 1);
}

static const struct vmbh_ops bus_ops = {
	.post = on_post,
	.signal = on_signal,
	.map = on_map,
	.unmap = on_unmap,
	.written = on_written,
	.random = on_random,
	.connect = on_connect,
	.connected = on_connected,
	.readable = on_readable,
	.writable = on_readable,
	.gone = on_gone,
	.ready = on_ready,
	.admit = on_admit,
	.complain = on_complain,
};

const struct vmbh_ops *const rig_ops = &bus_ops;

/* ---- hypercalls */

static uint16_t guest_posts(void *ctx, uint32_t vp, uint32_t connection,
			    uint32_t type, const void *payload, size_t len)
{
	struct rig *r = ctx;

	return vmbh_post_message(r->h, vp, connection, type, payload, len);
}

static uint16_t guest_signals(void *ctx, uint32_t connection, uint16_t flag)
{
	struct rig *r = ctx;

	return vmbh_signal_event(r->h, connection, flag);
}

static void guest_eom(void *ctx, uint32_t vp)
{
	struct rig *r = ctx;

	vmbh_slot_free(r->h, vp);
}

static const struct vg_ops hypercalls = {
	.post = guest_posts,
	.signal = guest_signals,
	.eom = guest_eom,
};

/* ---- */

struct rig *rig_new(const struct vmbh_config *config, uint32_t seed)
{
	struct rig *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	if (config)
		r->config = *config;
	r->random = seed * 2654435761u | 1;
	r->now = 1000;
	r->packets_per_peek = 64;
	r->g = vg_new(NULL, RIG_PAGES, seed, &hypercalls, r);
	r->free_pages = vg_free_pages(r->g);
	ck_assert_int_eq(vmbh_new(&r->config, &bus_ops, r, &r->h), 0);
	vmbh_time(r->h, r->now);
	vmbh_journal(r->h, r->journal);
	return r;
}

struct rig *rig_new_loaded(const struct vmbh_config *config, uint32_t seed)
{
	struct rig *r = rig_new(config, seed);

	vg_load(r->g);
	rig_settle(r);
	ck_assert(r->g->loaded);
	ck_assert(r->ready);
	return r;
}

void rig_check_clean(struct rig *r)
{
	struct vmbh_counters c;

	vmbh_counters(r->h, &c);
	ck_assert_uint_eq(c.channels, 0);
	ck_assert_uint_eq(c.open, 0);
	ck_assert_uint_eq(c.unreleased, 0);
	ck_assert_uint_eq(c.gpadls, 0);
	ck_assert_uint_eq(c.gpadl_pages, 0);
	ck_assert_uint_eq(c.queued, 0);
	ck_assert_uint_eq(r->mapped, r->unmapped);
	ck_assert_uint_eq(vmbh_deadline(r->h), 0);
	ck_assert_uint_eq(r->g->nchans, 0);
	ck_assert_uint_eq(vg_free_pages(r->g), r->free_pages);
	ck_assert_msg(!r->g->fault, "the guest says: %s", r->g->fault_text);
}

void rig_free(struct rig *r)
{
	ck_assert_msg(!r->g->fault, "the guest says: %s", r->g->fault_text);
	r->h = vmbh_free(r->h);
	ck_assert_uint_eq(r->mapped, r->unmapped);
	vg_free(r->g);
	free(r);
}

bool rig_step(struct rig *r)
{
	bool did = false;

	for (uint32_t vp = 0; vp < VG_VPS; vp++) {
		if (!r->pending[vp])
			continue;
		r->pending[vp] = false;
		did = true;
		vg_interrupt(r->g, vp);
	}
	if (vg_work(r->g, r->now))
		did = true;
	for (unsigned int i = 0; i < r->nflows; i++)
		if (rig_move(&r->flows[i]))
			did = true;
	return did || rig_release(r);
}

void rig_settle(struct rig *r)
{
	unsigned int steps = 0;

	while (rig_step(r))
		if (++steps > 1000000)
			ck_abort_msg("it does not settle");
}

void rig_pass(struct rig *r, uint32_t ms)
{
	uint64_t end = r->now + ms * 1000000ull;

	while (r->now < end) {
		uint64_t due = vmbh_deadline(r->h);

		r->now = due > r->now && due < end ? due : end;
		vmbh_time(r->h, r->now);
		rig_settle(r);
	}
}

struct rig_flow *rig_flow_new(struct rig *r)
{
	struct rig_flow *f = &r->flows[r->nflows];

	ck_assert_uint_lt(r->nflows, RIG_FLOWS);
	f->id = r->nflows++;
	f->r = r;
	return f;
}

struct rig_flow *rig_connect_guest(struct rig *r, uint32_t buf)
{
	struct rig_flow *f = rig_flow_new(r);

	f->v = vg_connect(r->g, 0, RIG_SERVICE + f->id, buf, buf);
	ck_assert_ptr_nonnull(f->v);
	rig_settle(r);
	return f->connected && f->v->state == VG_ESTABLISHED ? f : NULL;
}

struct rig_flow *rig_connect_host(struct rig *r)
{
	struct rig_flow *f = rig_flow_new(r);
	GUID service = rig_port(RIG_SERVICE + f->id);

	f->from_host = true;
	vg_listen(r->g, service.Data1, 4);
	if (vmbh_sock_connect(r->h, &service, f, 0, &f->s) < 0)
		return NULL;
	vmbh_sock_set_tag(f->s, f->id);
	rig_settle(r);
	return f->connected && f->v ? f : NULL;
}

void rig_close_host(struct rig_flow *f)
{
	if (f->s)
		vmbh_sock_close(f->s);
	f->s = NULL;
	f->host_done = true;
}

void rig_close_guest(struct rig_flow *f)
{
	if (f->v)
		vg_close(f->v);
	f->v = NULL;
	f->guest_done = true;
	f->guest.fin_sent = true;
}

uint16_t rig_post(struct rig *r, size_t len, const uint32_t *words,
		  unsigned int n)
{
	/* exactly as long as it is, so that sanitizers see the end */
	uint8_t *m = calloc(1, len ? len : 1);
	uint16_t status;

	ck_assert_ptr_nonnull(m);
	memcpy(m, words, n * 4 < len ? n * 4 : len);
	status = vmbh_post_message(r->h, 0, 1, 1, m, len);
	free(m);
	return status;
}

uint32_t rig_word(const struct rig *r, unsigned int type, unsigned int i)
{
	uint32_t v;

	memcpy(&v, r->last[type] + 4 * i, 4);
	return v;
}

uint32_t rig_offer(struct rig *r, struct rig_flow **ret)
{
	struct rig_flow *f = rig_flow_new(r);
	GUID service = rig_port(RIG_SERVICE + f->id);

	f->from_host = true;
	ck_assert_int_eq(vmbh_sock_connect(r->h, &service, f, 0, &f->s), 0);
	vmbh_sock_set_tag(f->s, f->id);
	rig_settle(r);
	ck_assert(!f->connected);
	*ret = f;
	return vmbh_sock_relid(f->s);
}

int rig_suite(const char *name, void (*fill)(void *tcase), int timeout)
{
	Suite *s = suite_create(name);
	TCase *c = tcase_create(name);
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, timeout);
	fill(c);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_set_tap(sr, "-");
	srunner_run_all(sr, CK_SILENT);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
