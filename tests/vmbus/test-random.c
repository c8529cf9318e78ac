/* SPDX-License-Identifier: MIT */
/*
 * test-random.c - everything at once, in an order that a seed decides
 *
 * Connections from both sides, data, half closes, closes, time-outs, injected
 * rescinds, moved processors, unloads, reboots, resets, save and load, and
 * recoveries from the journal, with every byte checked, and nothing left over
 * at the end. VMBUS_SEED runs one seed, VMBUS_SEEDS that many.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

#define ACTIONS 400u
#define SEEDS 300u

static struct rig_flow *any(struct rig *r)
{
	/* mostly the youngest: the others are over */
	unsigned int span = r->nflows < 24 ? r->nflows : 24;

	return span ? &r->flows[r->nflows - 1 - rig_random(r, span)] : NULL;
}

static uint32_t some_bytes(struct rig *r)
{
	static const uint32_t most[] = { 1, 40, 5000, 30000, 300000 };

	return rig_random(r, most[rig_random(r, 5)] + 1);
}

static void new_flow(struct rig *r)
{
	static const uint32_t bufs[] = { 0, 0, 30000, 65536, 262144 };
	struct rig_flow *f;
	GUID service;
	uint32_t buf = bufs[rig_random(r, 5)], local = 0;

	if (r->nflows == RIG_FLOWS)
		return;
	f = rig_flow_new(r);
	f->host.to_send = some_bytes(r);
	f->guest.to_send = some_bytes(r);
	f->host.fin = rig_random(r, 2);
	f->guest.fin = rig_random(r, 2);
	if (rig_random(r, 2)) {
		if (rig_random(r, 2))
			local = 0x10 + rig_random(r, 8);
		f->v = vg_connect(r->g, local, RIG_SERVICE + f->id, buf, buf);
		f->guest_done = !f->v;
		return;
	}
	f->from_host = true;
	service = rig_port(RIG_SERVICE + f->id);
	if (rig_random(r, 8))
		vg_listen(r->g, service.Data1, 4);
	if (vmbh_sock_connect(r->h, &service, f, 0, &f->s) == 0)
		vmbh_sock_set_tag(f->s, f->id);
}

static void more(struct rig *r, struct rig_flow *f)
{
	if (!f->host.fin && f->s)
		f->host.to_send += some_bytes(r);
	if (!f->guest.fin && f->v)
		f->guest.to_send += some_bytes(r);
	f->host.fin |= !rig_random(r, 3);
	f->guest.fin |= !rig_random(r, 3);
	/* a program that does something else wakes itself */
	f->host.woken = true;
	if (f->v)
		f->v->woken = true;
}

static void stall(struct rig *r, struct rig_flow *f)
{
	f->host_stalls = !rig_random(r, 3);
	f->guest_stalls = !rig_random(r, 3);
	f->host.woken = true;
	if (f->v)
		f->v->woken = true;
}

static void modify(struct rig *r)
{
	struct vg_chan *c = r->g->chans[1 + rig_random(r, 20)];

	if (c && c->state == VG_OPEN && !c->rescinded && !r->g->modify_waiting)
		vg_modify(r->g, c, rig_random(r, VG_VPS));
}

/* The slot is out of reach for a while. */
static void hide_slot(struct rig *r)
{
	r->no_page[r->g->vp] = true;
	for (int i = 0; i < 3; i++)
		rig_step(r);
	r->no_page[r->g->vp] = false;
	vmbh_slot_free(r->h, r->g->vp);
}

static void upheaval(struct rig *r)
{
	switch (rig_random(r, 4)) {
	case 0: /* modules are unloaded and loaded */
		rig_settle(r);
		vg_unload(r->g);
		rig_settle(r);
		ck_assert(!r->g->unloading);
		break;
	case 1: /* kexec: nobody is told */
		rig_reboot(r);
		break;
	case 2: /* the machine is reset */
		rig_reboot(r);
		vmbh_reset(r->h);
		break;
	case 3:
		rig_settle(r);
		return;
	}
	memset(r->pending, 0, sizeof(r->pending));
	r->g->vp = rig_random(r, VG_VPS);
	vg_load(r->g);
	rig_settle(r);
	ck_assert(r->g->loaded && r->ready);
}

static void act(struct rig *r)
{
	struct rig_flow *f = any(r);
	uint32_t what = rig_random(r, 100);

	if (what < 22 || !f)
		new_flow(r);
	else if (what < 50)
		for (uint32_t n = 1 + rig_random(r, 6); n; n--)
			rig_step(r);
	else if (what < 62)
		more(r, f);
	else if (what < 68)
		stall(r, f);
	else if (what < 73)
		rig_close_host(f);
	else if (what < 78)
		rig_close_guest(f);
	else if (what < 82)
		rig_pass(r, rig_random(r, 600));
	else if (what < 83)
		rig_pass(r, 11000);
	else if (what < 85)
		vmbh_rescind(r->h, 1 + rig_random(r, 20));
	else if (what < 88)
		modify(r);
	else if (what < 90)
		hide_slot(r);
	else if (what < 94)
		rig_reload(r);
	else if (what < 96)
		rig_crash(r);
	else if (what < 98)
		upheaval(r);
	else
		rig_settle(r);
}

/* Whatever nobody disturbs comes to its end. */
static void finish(struct rig *r)
{
	for (unsigned int i = 0; i < r->nflows; i++) {
		struct rig_flow *f = &r->flows[i];

		f->host_stalls = f->guest_stalls = false;
		f->host.fin = f->guest.fin = true;
		f->host.woken = true;
		if (f->v)
			f->v->woken = true;
	}
	rig_settle(r);
	for (unsigned int i = 0; i < r->nflows; i++) {
		struct rig_flow *f = &r->flows[i];

		if (f->s && f->connected && f->v &&
		    f->v->state == VG_ESTABLISHED) {
			ck_assert_uint_eq(f->host.got, f->guest.to_send);
			ck_assert_uint_eq(f->guest.got, f->host.to_send);
			ck_assert(f->host.eof && f->guest.eof);
		}
		rig_close_guest(f);
		if (f->s && f->connected)
			rig_close_host(f);
		if (f->from_host)
			vg_unlisten(r->g, RIG_SERVICE + f->id);
	}
	rig_settle(r);
	rig_pass(r, 30000);
	for (unsigned int i = 0; i < r->nflows; i++)
		ck_assert_ptr_null(r->flows[i].s);
}

static void run(uint32_t seed)
{
	static const uint32_t versions[] = {
		VMBH_VERSION_4_0, VMBH_VERSION_4_1, VMBH_VERSION_5_0,
		VMBH_VERSION_5_1, VMBH_VERSION_5_2, VMBH_VERSION_5_3
	};
	struct vmbh_config config = {
		.max_version = versions[seed % 6],
		.max_input = seed % 3 ? 0 : 2,
		.max_connects = seed % 5 ? 0 : 2,
		.packet = seed % 7 ? 0 : 1 + seed % 16384,
		.connect_early = seed / 8 % 2,
	};
	struct rig *r = rig_new(&config, seed);

	r->g->propose_6_0 = seed % 2;
	r->g->vp = seed % VG_VPS;
	r->g->lazy_open = seed % 4 == 1;
	r->polls = seed % 4 >= 2;
	r->check_vp = config.max_version == VMBH_VERSION_5_3;
	r->packets_per_peek = 2 + seed % 30;
	vg_load(r->g);
	rig_settle(r);
	ck_assert_uint_eq(r->g->version, config.max_version);
	for (unsigned int i = 0; i < ACTIONS; i++)
		act(r);
	finish(r);
	rig_check_clean(r);
	vg_unload(r->g);
	rig_settle(r);
	ck_assert(!r->g->unloading && !r->ready);
	rig_check_clean(r);
	rig_free(r);
}

START_TEST(test_random)
{
	const char *one = getenv("VMBUS_SEED"), *many = getenv("VMBUS_SEEDS");
	uint32_t n = many ? (uint32_t)atoi(many) : SEEDS;

	if (one) {
		run((uint32_t)atoi(one));
		return;
	}
	for (uint32_t seed = 1; seed <= n; seed++) {
		if (getenv("VMBUS_VERBOSE"))
			fprintf(stderr, "seed %u\n", seed);
		run(seed);
	}
}
END_TEST

static void fill(void *c)
{
	tcase_add_test(c, test_random);
}

int main(void)
{
	return rig_suite("vmbus-random", fill, 900);
}
