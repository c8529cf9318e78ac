/* SPDX-License-Identifier: MIT */
/*
 * channel.c - relids: offer, open, close, modify, rescind, release
 *
 *	(none) --OFFER--> OFFERED --OPEN--> OPENING --result 0--> OPEN
 *	OPEN --CLOSE--> OFFERED (a device), REVOKED (a connection)
 *	any --RESCIND--> REVOKED --RELID_RELEASED--> (none)
 *
 * A relid is free again when the guest has released it, and not before. An
 * offer that was not posted yet is taken back without a trace.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "vmbus/internal.h"

static unsigned int bucket(const GUID *g)
{
	const uint8_t *p = (const uint8_t *)g;
	uint32_t v = 2166136261u;

	for (unsigned int i = 0; i < sizeof(*g); i++)
		v = (v ^ p[i]) * 16777619u;
	return (v ^ v >> 16) % BUCKETS;
}

struct chan *chan_by_relid(struct vmbh *h, uint32_t relid)
{
	return relid < VMBH_RELIDS ? h->relids[relid] : NULL;
}

struct chan *chan_by_instance(struct vmbh *h, const GUID *instance)
{
	struct chan *c = h->buckets[bucket(instance)];

	while (c && !guid_equal(&c->instance, instance))
		c = c->next;
	return c;
}

uint32_t chan_free_relid(struct vmbh *h)
{
	if (h->nchans >= h->config.max_channels)
		return 0;
	while (h->lowest < VMBH_RELIDS && h->relids[h->lowest])
		h->lowest++;
	return h->lowest < VMBH_RELIDS ? h->lowest : 0;
}

static void entry_init(struct chan *c, struct entry *e, enum entry_kind kind)
{
	e->chan = c;
	e->kind = kind;
}

struct chan *chan_new(struct vmbh *h, uint32_t relid, const GUID *type,
		      const GUID *instance)
{
	struct chan *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->h = h;
	c->relid = relid;
	c->target_vp = MSG_NO_VP;
	LIST_INIT(&c->gpadls);
	entry_init(c, &c->offer, ENTRY_OFFER);
	entry_init(c, &c->rescind, ENTRY_RESCIND);
	entry_init(c, &c->result, ENTRY_OPEN_RESULT);
	if (type) {
		struct chan **head = &h->buckets[bucket(instance)];

		c->type = *type;
		c->instance = *instance;
		c->next = *head;
		*head = c;
	} else {
		c->recovered = true;
	}
	h->relids[relid] = c;
	h->nchans++;
	return c;
}

void chan_set_state(struct chan *c, enum chan_state state)
{
	struct vmbh *h = c->h;

	h->nopen += (state == CHAN_OPEN) - (c->state == CHAN_OPEN);
	h->nunreleased += (state == CHAN_REVOKED) - (c->state == CHAN_REVOKED);
	c->state = state;
}

void chan_offer(struct chan *c)
{
	queue_entry(c->h, &c->offer);
}

void chan_drop_rings(struct chan *c)
{
	if (!c->rings)
		return;
	c->rings->gpadl->used = false;
	ring_in_free(&c->rings->in);
	free(c->rings);
	c->rings = NULL;
}

static void detach(struct chan *c)
{
	if (c->device)
		c->device->chan = NULL;
	if (c->sock)
		c->sock->chan = NULL;
	c->device = NULL;
	c->sock = NULL;
}

void chan_free(struct chan *c)
{
	struct vmbh *h = c->h;

	detach(c);
	chan_drop_rings(c);
	gpadl_free_all(h, c);
	queue_unlink(h, &c->offer);
	queue_unlink(h, &c->rescind);
	queue_unlink(h, &c->result);
	chan_set_state(c, CHAN_OFFERED); /* counters */
	if (!c->recovered) {
		struct chan **p = &h->buckets[bucket(&c->instance)];

		while (*p != c)
			p = &(*p)->next;
		*p = c->next;
	}
	if (c->recovered && c->for_device)
		h->nrecovered_devices--;
	h->relids[c->relid] = NULL;
	if (c->relid < h->lowest)
		h->lowest = c->relid;
	h->nchans--;
	journal_relid(h, c->relid, false, false);
	free(c);
}

void chan_result(struct chan *c, uint32_t status)
{
	c->open_status = status;
	queue_entry(c->h, &c->result);
}

void chan_revoke(struct chan *c)
{
	struct vmbh *h = c->h;
	struct gpadl *g;

	if (c->state == CHAN_REVOKED)
		return;
	if (c->offer.queued) {
		chan_free(c);
		chan_offer_waiting(h);
		return;
	}
	if (c->state == CHAN_OPENING)
		chan_result(c, MSG_STATUS_FAILED);
	/* The guest's waiters are woken by RESCIND too: no harm if there is no
	 * memory for this. */
	LIST_FOREACH(g, &c->gpadls, link)
	if (g->have < g->pages)
		queue_words(h, MSG_GPADL_CREATED, 3, c->relid, g->id,
			    MSG_GPADL_FAILED);
	detach(c);
	chan_drop_rings(c);
	gpadl_free_all(h, c);
	chan_set_state(c, CHAN_REVOKED);
	queue_entry(h, &c->rescind);
}

void chan_signal(const struct chan *c)
{
	if (c->target_vp == MSG_NO_VP)
		return;
	c->h->counters.signals_out++;
	c->h->ops->signal(c->h->ctx, c->target_vp, c->relid);
}

void chan_remap_rings(struct chan *c)
{
	struct rings *r = c->rings;
	struct gpadl *g = r->gpadl;
	uint32_t d = r->downstream;

	ring_init(&r->in.r, g->map, g->gfn, d, r->pages);
	ring_init(&r->out.r, g->map + d, g->gfn + d, g->pages - d,
		  r->pages + d - 1);
}

int chan_map_rings(struct chan *c, struct gpadl *g, uint32_t downstream,
		   struct rings **ret)
{
	struct vmbh *h = c->h;
	struct rings *r;

	/* two pages each are the least: control and data */
	if (!g->map || g->used || g->byte_offset || g->byte_count % VMBH_PAGE ||
	    downstream < 2 || downstream > g->pages ||
	    g->pages - downstream < 2)
		return -EINVAL;
	r = calloc(1, sizeof(*r) + (g->pages - 2) * sizeof(r->pages[0]));
	if (!r)
		return -ENOMEM;
	r->gpadl = g;
	r->downstream = downstream;
	r->in.r.written = r->out.r.written = h->ops->written;
	r->in.r.ctx = r->out.r.ctx = h->ctx;
	r->in.packets = r->in.few;
	r->in.cap = RING_IN_INLINE;
	c->rings = r;
	chan_remap_rings(c);
	g->used = true;
	*ret = r;
	return 0;
}

void chan_open(struct vmbh *h, const uint8_t *m)
{
	struct open_channel o;
	struct rings *rings;
	struct gpadl *g;
	struct chan *c;
	int r;

	get_open_channel(m, &o);
	c = chan_by_relid(h, o.relid);
	if (c && c->state == CHAN_REVOKED)
		return; /* sent before the guest saw RESCIND */
	if (!c || c->state != CHAN_OFFERED || c->result.queued) {
		complain(h, "OPEN_CHANNEL of channel %u, which is %s", o.relid,
			 c ? "open" : "not there");
		return;
	}
	c->open_id = o.open_id;
	g = gpadl_find(c, o.gpadl);
	r = g ? chan_map_rings(c, g, o.downstream, &rings) : -EINVAL;
	if (r == 0) {
		r = ring_in_start(&rings->in);
		if (r == 0)
			r = ring_out_start(&rings->out, h->config.packet);
		if (r < 0)
			chan_drop_rings(c);
	}
	if (r < 0) {
		complain(h, "OPEN_CHANNEL of channel %u: %s", o.relid,
			 r == -ENOMEM	? "no memory here"
			 : r == -EPROTO ? "its rings are not initialised"
					: "GPADL or offset is malformed");
		chan_result(c, MSG_STATUS_FAILED);
		return;
	}
	c->target_vp = o.vp;
	chan_set_state(c, CHAN_OPENING);
	if (c->sock) {
		sock_opened(c->sock);
		return;
	}
	chan_set_state(c, CHAN_OPEN);
	chan_result(c, 0);
	queue_flush(h);
	device_opened(c->device);
}

void chan_close(struct vmbh *h, uint32_t relid)
{
	struct chan *c = chan_by_relid(h, relid);

	if (c && c->state == CHAN_REVOKED)
		return;
	if (!c || c->state != CHAN_OPEN) {
		complain(h, "CLOSE_CHANNEL of channel %u, which is not open",
			 relid);
		return;
	}
	chan_drop_rings(c);
	chan_set_state(c, CHAN_OFFERED);
	if (c->sock)
		sock_fail(c->sock, VMBH_GONE_CLOSED);
	else
		device_closed(c->device);
}

void chan_modify(struct vmbh *h, uint32_t relid, uint32_t vp)
{
	struct chan *c = chan_by_relid(h, relid);
	bool fine = c && c->state == CHAN_OPEN && vp != MSG_NO_VP;

	if (h->version < VMBH_VERSION_4_1) {
		complain(h, "MODIFY_CHANNEL below 4.1");
		return;
	}
	if (fine) {
		c->target_vp = vp;
		/* a flag may be on its way to the processor that was */
		if (!ring_out_empty(&c->rings->out))
			chan_signal(c);
	} else if (!c || c->state != CHAN_REVOKED) {
		complain(h, "MODIFY_CHANNEL of channel %u, which is not open",
			 relid);
	}
	if (h->version >= VMBH_VERSION_5_3)
		queue_words(h, MSG_MODIFY_CHANNEL_RESPONSE, 2, relid,
			    fine ? 0 : MSG_STATUS_FAILED, 0);
}

void chan_released(struct vmbh *h, uint32_t relid)
{
	struct chan *c = chan_by_relid(h, relid);

	if (!c || (c->state != CHAN_OFFERED && c->state != CHAN_REVOKED)) {
		complain(h, "RELID_RELEASED of channel %u, which is %s", relid,
			 c ? "open" : "not there");
		return;
	}
	if (c->sock)
		sock_end(c->sock, VMBH_GONE_CLOSED);
	if (c->device)
		c->device->held = true;
	chan_free(c);
	chan_offer_waiting(h);
}

void chan_offer_waiting(struct vmbh *h)
{
	struct vmbh_channel *d, *next;

	if (!h->offers_requested)
		return;
	for (d = TAILQ_FIRST(&h->devices); d; d = next) {
		next = TAILQ_NEXT(d, link);
		if (!d->chan && !d->held)
			device_offer(d);
	}
	sock_retry_delayed(h);
}

int vmbh_rescind(struct vmbh *h, uint32_t relid)
{
	struct chan *c = chan_by_relid(h, relid);

	if (!c)
		return -ENOENT;
	enter(h);
	if (c->sock)
		sock_fail(c->sock, VMBH_GONE_RESCINDED);
	else if (c->device)
		device_fail(c->device);
	else
		queue_entry(h, &c->rescind); /* once more */
	leave(h);
	return 0;
}
