/* SPDX-License-Identifier: MIT */
/*
 * device.c - channels that are offered for as long as the embedder likes
 *
 * They are offered whenever the guest asks for offers. After the guest has
 * released one by itself, or one had to be rescinded, it comes back with the
 * guest's next connection and not before.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/guid.h"
#include "vmbus/internal.h"

void device_offer(struct vmbh_channel *d)
{
	struct vmbh *h = d->h;
	uint32_t relid = chan_free_relid(h);
	struct chan *c;

	/* Linux takes a second channel of one instance for the first one. What
	 * a bus before this one had offered cannot be told apart. */
	if (!relid || h->nrecovered_devices ||
	    chan_by_instance(h, &d->offer.instance))
		return;
	c = chan_new(h, relid, &d->offer.type, &d->offer.instance);
	if (!c)
		return;
	c->device = d;
	d->chan = c;
	chan_offer(c);
}

void device_opened(struct vmbh_channel *d)
{
	d->ops->opened(d->ctx, d);
}

void device_closed(struct vmbh_channel *d)
{
	if (!d->dead)
		d->ops->closed(d->ctx, d);
}

void device_fail(struct vmbh_channel *d)
{
	bool open = d->chan->state == CHAN_OPEN;

	d->held = true;
	chan_revoke(d->chan);
	if (open)
		device_closed(d);
}

int vmbh_channel_offer(struct vmbh *h, const struct vmbh_offer *offer,
		       const struct vmbh_channel_ops *ops, void *ctx,
		       struct vmbh_channel **ret)
{
	struct vmbh_channel *d;

	TAILQ_FOREACH(d, &h->devices, link)
	if (guid_equal(&d->offer.instance, &offer->instance))
		return -EEXIST;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	*d = (struct vmbh_channel) {
		.h = h,
		.offer = *offer,
		.ops = ops,
		.ctx = ctx,
	};
	enter(h);
	TAILQ_INSERT_TAIL(&h->devices, d, link);
	if (h->offers_requested)
		device_offer(d);
	*ret = d;
	leave(h);
	return 0;
}

void vmbh_channel_revoke(struct vmbh_channel *c)
{
	struct vmbh *h = c->h;

	if (c->dead)
		return;
	enter(h);
	c->dead = true;
	TAILQ_REMOVE(&h->devices, c, link);
	TAILQ_INSERT_TAIL(&h->device_graves, c, link);
	h->busy = true;
	if (c->chan)
		chan_revoke(c->chan);
	leave(h);
}

static struct rings *rings_of(struct vmbh_channel *c)
{
	return !c->dead && c->chan && c->chan->state == CHAN_OPEN
		       ? c->chan->rings
		       : NULL;
}

static int corrupt(struct vmbh_channel *c)
{
	complain(c->h, "channel %u: its ring is corrupt", c->chan->relid);
	device_fail(c);
	return -EPROTO;
}

ssize_t vmbh_channel_read(struct vmbh_channel *c, void *buf, size_t size,
			  uint64_t *ret_transaction)
{
	struct rings *rings = rings_of(c);
	uint64_t transaction = 0;
	ssize_t n;
	bool ring;

	if (!rings)
		return -ENOTCONN;
	enter(c->h);
	n = ring_in_packet(&rings->in, buf, size, &transaction, &ring);
	if (n == -EPROTO)
		n = corrupt(c);
	else if (ring)
		chan_signal(c->chan);
	if (n >= 0)
		*ret_transaction = transaction;
	leave(c->h);
	return n;
}

int vmbh_channel_write(struct vmbh_channel *c, const void *buf, size_t len,
		       uint64_t transaction)
{
	struct rings *rings = rings_of(c);
	bool ring;
	int r;

	if (!rings)
		return -ENOTCONN;
	enter(c->h);
	r = ring_out_packet(&rings->out, buf, len, transaction, &ring);
	if (r == -EPROTO)
		r = corrupt(c);
	else if (ring)
		chan_signal(c->chan);
	leave(c->h);
	return r;
}

uint32_t vmbh_channel_relid(const struct vmbh_channel *c)
{
	return c->chan ? c->chan->relid : 0;
}
