/* SPDX-License-Identifier: MIT */
/*
 * journal.c - what outlives a bus that ends without vmbh_save()
 *
 * A page that another process can still read: which relids the guest may know,
 * and where the connection stands. Each step is ordered so that, whenever the
 * process ends, what the page says is safe: a relid is noted before its OFFER
 * can be seen, a version only after its target. A successor rescinds all
 * relids, and answers what the guest waits for without limit.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/internal.h"

#define MAGIC 0x6a626d76u /* "vmbj" */
#define FORM 1u
#define AT_FORM 4u
#define AT_VERSION 8u
#define AT_VP 12u
#define AT_FLAGS 16u
#define AT_RELIDS 24u
#define AT_DEVICES 280u

static void store(struct vmbh *h, unsigned int at, uint32_t v)
{
	if (h->journal)
		__atomic_store_n((uint32_t *)(void *)(h->journal + at), v,
				 __ATOMIC_SEQ_CST);
}

static void store_bit(struct vmbh *h, unsigned int at, uint32_t n, bool on)
{
	uint8_t *byte, bit = (uint8_t)(1u << n % 8);

	if (!h->journal)
		return;
	byte = h->journal + at + n / 8;
	if (on)
		__atomic_fetch_or(byte, bit, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(byte, (uint8_t)~bit, __ATOMIC_SEQ_CST);
}

void journal_connection(struct vmbh *h)
{
	uint32_t flags = h->owed | (h->offers_requested ? JOURNAL_OFFERS : 0);

	if (!h->version)
		store(h, AT_VERSION, 0);
	store(h, AT_VP, h->target_vp);
	store(h, AT_FLAGS, flags);
	store(h, AT_VERSION, h->version);
}

void journal_relid(struct vmbh *h, uint32_t relid, bool known, bool device)
{
	if (!known)
		store_bit(h, AT_RELIDS, relid, false);
	store_bit(h, AT_DEVICES, relid, device);
	if (known)
		store_bit(h, AT_RELIDS, relid, true);
}

void journal_owed(struct vmbh *h, uint32_t type, bool owed)
{
	uint32_t bit = type == MSG_VERSION_RESPONSE  ? JOURNAL_VERSION
		       : type == MSG_UNLOAD_COMPLETE ? JOURNAL_UNLOAD
						     : 0;

	if (!bit)
		return;
	h->owed = owed ? h->owed | bit : h->owed & ~bit;
	journal_connection(h);
}

void vmbh_journal(struct vmbh *h, void *page)
{
	h->journal = page;
	if (!page)
		return;
	store(h, 0, 0); /* not a journal until it is complete */
	memset(h->journal + 4, 0, VMBH_JOURNAL_SIZE - 4);
	store(h, AT_FORM, FORM);
	for (uint32_t i = 1; i < VMBH_RELIDS; i++) {
		const struct chan *c = h->relids[i];

		if (c && !c->offer.queued)
			journal_relid(h, i, true, c->device || c->for_device);
	}
	journal_connection(h);
	store(h, 0, MAGIC);
}

static bool noted(const uint8_t *p, unsigned int at, uint32_t n)
{
	return p[at + n / 8] & 1u << n % 8;
}

static int recover_relids(struct vmbh *h, const uint8_t *p)
{
	for (uint32_t i = 1; i < VMBH_RELIDS; i++) {
		struct chan *c;

		if (!noted(p, AT_RELIDS, i))
			continue;
		c = chan_new(h, i, NULL, NULL);
		if (!c)
			return -ENOMEM;
		c->for_device = noted(p, AT_DEVICES, i);
		h->nrecovered_devices += c->for_device;
		journal_relid(h, i, true, c->for_device);
		chan_set_state(c, CHAN_REVOKED);
		queue_entry(h, &c->rescind);
	}
	return 0;
}

/* Answers that the guest waits for without limit. */
static int recover_owed(struct vmbh *h, uint32_t flags)
{
	uint8_t m[16];
	int r = 0;

	if (flags & JOURNAL_VERSION) {
		put_version_response(m, h->version != 0,
				     h->version >= VMBH_VERSION_5_0
					     ? PORT_CLASSIC
					     : h->version);
		r = queue_plain(h, m, sizeof(m));
	}
	if (r == 0 && flags & JOURNAL_UNLOAD)
		r = queue_words(h, MSG_UNLOAD_COMPLETE, 0, 0, 0, 0);
	return r;
}

int vmbh_recover(struct vmbh *h, const void *page)
{
	const uint8_t *p = page;
	uint32_t version = le32_get(p + AT_VERSION);
	uint32_t flags = le32_get(p + AT_FLAGS);
	int r = 0;

	if (le32_get(p) != MAGIC || le32_get(p + AT_FORM) != FORM ||
	    (version &&
	     (!version_known(version) || version > h->config.max_version)))
		return -EINVAL;
	enter(h);
	h->target_vp = le32_get(p + AT_VP);
	h->version = version;
	if (version)
		r = recover_relids(h, p);
	if (r == 0)
		r = recover_owed(h, flags);
	if (r < 0) {
		bus_forget(h);
		h->target_vp = 0;
	} else {
		h->offers_requested = version && flags & JOURNAL_OFFERS;
		chan_offer_waiting(h);
	}
	journal_connection(h);
	bus_tell_ready(h);
	leave(h);
	return r;
}
