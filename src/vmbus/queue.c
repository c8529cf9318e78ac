/* SPDX-License-Identifier: MIT */
/*
 * queue.c - messages to the guest, one after the other
 *
 * There is one slot, that of the processor which INITIATE_CONTACT named. The
 * first message goes into it when the outermost call ends; if it is taken, all
 * wait for vmbh_slot_free(), and no post is tried before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/internal.h"

static struct plain *plain_of(struct entry *e)
{
	return (struct plain *)(void *)((char *)e - offsetof(struct plain, e));
}

static struct plain *take(struct vmbh *h)
{
	struct entry *e = TAILQ_FIRST(&h->spare);

	if (!e)
		return calloc(1, sizeof(struct plain));
	TAILQ_REMOVE(&h->spare, e, link);
	h->nspare--;
	return plain_of(e);
}

static void give(struct vmbh *h, struct plain *p)
{
	if (h->nspare >= SPARES) {
		free(p);
		return;
	}
	TAILQ_INSERT_HEAD(&h->spare, &p->e, link);
	h->nspare++;
}

bool queue_reserve(struct vmbh *h)
{
	while (h->nspare < SPARES) {
		struct plain *p = calloc(1, sizeof(*p));

		if (!p)
			return false;
		give(h, p);
	}
	return true;
}

void queue_entry(struct vmbh *h, struct entry *e)
{
	if (e->queued)
		return;
	e->queued = true;
	TAILQ_INSERT_TAIL(&h->queue, e, link);
	h->queued++;
	h->busy = true;
}

int queue_plain(struct vmbh *h, const uint8_t *message, size_t len)
{
	struct plain *p = take(h);

	if (!p)
		return -ENOMEM;
	memset(&p->e, 0, sizeof(p->e));
	p->e.kind = ENTRY_PLAIN;
	p->len = (uint8_t)len;
	memcpy(p->data, message, len);
	queue_entry(h, &p->e);
	if (len >= 4)
		journal_owed(h, le32_get(message), true);
	return 0;
}

int queue_words(struct vmbh *h, uint32_t type, unsigned int n, uint32_t a,
		uint32_t b, uint32_t c)
{
	uint8_t m[MSG_HEADER + 12];
	size_t len = put_words(m, type, n, a, b, c);

	return queue_plain(h, m, len);
}

void queue_unlink(struct vmbh *h, struct entry *e)
{
	if (!e->queued)
		return;
	e->queued = false;
	TAILQ_REMOVE(&h->queue, e, link);
	h->queued--;
}

void queue_clear(struct vmbh *h)
{
	struct entry *e;

	while ((e = TAILQ_FIRST(&h->queue))) {
		queue_unlink(h, e);
		if (e->kind == ENTRY_PLAIN)
			give(h, plain_of(e));
	}
	h->owed = 0;
}

void queue_free(struct vmbh *h)
{
	struct entry *e;

	queue_clear(h);
	while ((e = TAILQ_FIRST(&h->spare))) {
		TAILQ_REMOVE(&h->spare, e, link);
		free(plain_of(e));
	}
	h->nspare = 0;
}

static size_t put_chan_offer(uint8_t *m, const struct chan *c)
{
	uint8_t user_data[120];
	struct offer o = {
		.type = c->type,
		.instance = c->instance,
		.flags = OFFER_HVSOCK,
		.user_data = user_data,
		.relid = c->relid,
	};

	if (c->device) {
		o.flags = c->device->offer.flags;
		o.user_data = c->device->offer.user_data;
	} else {
		put_hvsock_user_data(user_data, c->accept);
	}
	return put_offer(m, &o);
}

static size_t encode(const struct entry *e, uint8_t *m)
{
	const struct chan *c = e->chan;

	switch (e->kind) {
	case ENTRY_OFFER:
		return put_chan_offer(m, c);
	case ENTRY_RESCIND:
		return put_words(m, MSG_RESCIND_CHANNEL_OFFER, 1, c->relid, 0,
				 0);
	default:
		return put_words(m, MSG_OPEN_CHANNEL_RESULT, 3, c->relid,
				 c->open_id, c->open_status);
	}
}

void queue_flush(struct vmbh *h)
{
	struct entry *e;

	while (!h->slot_taken && (e = TAILQ_FIRST(&h->queue))) {
		struct plain *p = e->kind == ENTRY_PLAIN ? plain_of(e) : NULL;
		uint8_t buf[VMBH_MESSAGE_MAX];
		const uint8_t *m = p ? p->data : buf;
		size_t len = p ? p->len : encode(e, buf);

		/* before the guest can know of it, see journal.c */
		if (e->kind == ENTRY_OFFER)
			journal_relid(h, e->chan->relid, true,
				      e->chan->device != NULL);
		if (h->ops->post(h->ctx, h->target_vp, m, len) < 0) {
			if (e->kind == ENTRY_OFFER)
				journal_relid(h, e->chan->relid, false, false);
			h->slot_taken = true;
			break;
		}
		queue_unlink(h, e);
		h->counters.messages_out++;
		if (h->ops->trace)
			h->ops->trace(h->ctx, false, h->target_vp, m, len);
		if (p) {
			if (len >= 4)
				journal_owed(h, le32_get(m), false);
			give(h, p);
		}
	}
}

void vmbh_slot_free(struct vmbh *h, uint32_t vp)
{
	enter(h);
	if (vp == h->target_vp) {
		h->slot_taken = false;
		h->busy = true;
	}
	leave(h);
}

int vmbh_send_raw(struct vmbh *h, const void *message, size_t len)
{
	int r;

	if (len > VMBH_MESSAGE_MAX)
		return -EMSGSIZE;
	enter(h);
	r = queue_plain(h, message, len);
	leave(h);
	return r;
}
