/* SPDX-License-Identifier: MIT */
/* rig-restart.c - one bus after another under the same guest, see rig.h */
#include "rig.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

void rig_crash(struct rig *r)
{
	uint8_t journal[VMBH_JOURNAL_SIZE];
	bool ready = r->ready;

	/* a process that is killed unmaps, and touches nothing */
	vmbh_journal(r->h, NULL);
	memcpy(journal, r->journal, sizeof(journal));
	r->h = vmbh_free(r->h);
	for (unsigned int i = 0; i < r->nflows; i++) {
		struct rig_flow *f = &r->flows[i];

		if (f->s)
			f->gone = true;
		f->s = NULL;
	}
	r->ready = false;
	ck_assert_int_eq(vmbh_new(&r->config, rig_ops, r, &r->h), 0);
	vmbh_time(r->h, r->now);
	if (r->offer_again)
		r->offer_again(r);
	ck_assert_int_eq(vmbh_recover(r->h, journal), 0);
	vmbh_journal(r->h, r->journal);
	ck_assert(r->ready == ready);
	for (uint32_t vp = 0; vp < VG_VPS; vp++)
		vmbh_slot_free(r->h, vp);
}

static void on_restored(void *ctx, struct vmbh_sock *s, uint64_t tag)
{
	struct rig *r = ctx;
	struct rig_flow *f;

	ck_assert_uint_lt(tag, r->nflows);
	f = &r->flows[tag];
	ck_assert(f->connected);
	f->s = s;
	f->host.woken = true;
	vmbh_sock_set_user(s, f);
}

void rig_reload(struct rig *r)
{
	bool ready = r->ready;
	uint8_t *buf;
	size_t size;

	(void)rig_release(r);
	size = vmbh_save(r->h, NULL, 0);
	buf = malloc(size);

	ck_assert_ptr_nonnull(buf);
	ck_assert_uint_eq(vmbh_save(r->h, buf, size), size);
	r->h = vmbh_free(r->h);
	for (unsigned int i = 0; i < r->nflows; i++) {
		struct rig_flow *f = &r->flows[i];

		if (f->s && !f->connected && !f->from_host)
			f->asked = false; /* connect() comes again */
		if (f->s && !f->connected && f->from_host)
			f->gone = true;
		f->s = NULL;
	}
	r->ready = false;
	ck_assert_int_eq(vmbh_new(&r->config, rig_ops, r, &r->h), 0);
	vmbh_time(r->h, r->now);
	vmbh_journal(r->h, r->journal);
	if (r->offer_again)
		r->offer_again(r);
	ck_assert_int_eq(vmbh_load(r->h, buf, size, on_restored), 0);
	ck_assert(r->ready == ready);
	free(buf);
	for (uint32_t vp = 0; vp < VG_VPS; vp++)
		vmbh_slot_free(r->h, vp);
}

void rig_reboot(struct rig *r)
{
	vg_reboot(r->g);
	for (unsigned int i = 0; i < r->nflows; i++) {
		r->flows[i].v = NULL;
		r->flows[i].guest_done = true;
	}
	memset(r->pending, 0, sizeof(r->pending));
}
