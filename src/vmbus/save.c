/* SPDX-License-Identifier: MIT */
/* save.c - a bus as bytes, see save.h */
#include "vmbus/save.h"

#include <string.h>

#include "base/bytes.h"
#include "vmbus/internal.h"

struct out {
	uint8_t *p;
	size_t size, n; /* n goes on beyond size: it is what would be needed */
};

static void put(struct out *o, const void *bytes, size_t len)
{
	if (len <= o->size && o->n <= o->size - len)
		memcpy(o->p + o->n, bytes, len);
	o->n += len;
}

static void put8(struct out *o, unsigned int v)
{
	uint8_t b = (uint8_t)v;

	put(o, &b, 1);
}

static void put32(struct out *o, uint32_t v)
{
	uint8_t b[4];

	le32_put(b, v);
	put(o, b, sizeof(b));
}

static void put64(struct out *o, uint64_t v)
{
	uint8_t b[8];

	le64_put(b, v);
	put(o, b, sizeof(b));
}

static void put_gpadls(struct out *o, const struct chan *c)
{
	const struct gpadl *g;

	put32(o, c->ngpadls);
	LIST_FOREACH(g, &c->gpadls, link)
	{
		put32(o, g->id);
		put32(o, g->byte_count);
		put32(o, g->byte_offset);
		put32(o, g->pages);
		put32(o, g->have);
		for (uint32_t i = 0; i < g->have; i++)
			put64(o, g->gfn[i]);
	}
}

static void put_rings(struct out *o, const struct rings *r)
{
	put32(o, r->gpadl->id);
	put32(o, r->downstream);
	/* what was parsed and not consumed is parsed again */
	put32(o, r->in.read);
	put32(o, r->in.off);
	put32(o, r->out.write);
	put32(o, r->out.pending);
	put8(o, (r->in.masked ? SAVE_RING_MASKED : 0) |
			(ring_in_eof(&r->in) ? SAVE_RING_FIN : 0) |
			(r->out.fin_wanted ? SAVE_RING_FIN_WANTED : 0) |
			(r->out.fin_sent ? SAVE_RING_FIN_SENT : 0));
}

static uint64_t remaining(const struct vmbh_sock *s)
{
	if (!s->due)
		return 0;
	return s->due > s->h->now ? s->due - s->h->now : 1;
}

static void put_sock(struct out *o, const struct vmbh_sock *s)
{
	put8(o, s->state);
	put8(o, (s->from_host ? SAVE_SOCK_FROM_HOST : 0) |
			(s->blocked ? SAVE_SOCK_BLOCKED : 0) |
			(s->moved ? SAVE_SOCK_MOVED : 0));
	put64(o, s->tag);
	put8(o, s->timer);
	put64(o, remaining(s));
	put32(o, s->linger_read);
}

static void put_chan(struct out *o, const struct chan *c)
{
	/* one that is closed here already has nobody after the load */
	const struct vmbh_sock *s =
		c->sock && c->sock->state != SOCK_SETTLING ? c->sock : NULL;

	put32(o, c->relid);
	put8(o, c->state);
	put8(o, (c->recovered ? SAVE_RECOVERED : 0) |
			(c->for_device ? SAVE_FOR_DEVICE : 0) |
			(c->accept ? SAVE_ACCEPT : 0) |
			(c->rings ? SAVE_RINGS : 0) | (s ? SAVE_SOCK : 0) |
			(c->device ? SAVE_DEVICE : 0));
	put(o, &c->type, sizeof(c->type));
	put(o, &c->instance, sizeof(c->instance));
	put32(o, c->target_vp);
	put32(o, c->open_id);
	put32(o, c->open_status);
	put_gpadls(o, c);
	if (c->rings)
		put_rings(o, c->rings);
	if (s)
		put_sock(o, s);
}

static void put_delayed(struct out *o, const struct vmbh *h)
{
	const struct vmbh_sock *s;
	uint32_t n = 0;

	TAILQ_FOREACH(s, &h->delayed, delayed)
	n++;
	put32(o, n);
	TAILQ_FOREACH(s, &h->delayed, delayed)
	{
		put(o, &s->service, sizeof(s->service));
		put(o, &s->endpoint, sizeof(s->endpoint));
		put64(o, remaining(s));
	}
}

static void put_queue(struct out *o, const struct vmbh *h)
{
	const struct entry *e;

	put32(o, h->queued);
	TAILQ_FOREACH(e, &h->queue, link)
	{
		const struct plain *p = (const void *)e; /* its first member */

		put8(o, e->kind);
		if (e->kind == ENTRY_PLAIN) {
			put8(o, p->len);
			put(o, p->data, p->len);
		} else {
			put32(o, e->chan->relid);
		}
	}
}

size_t vmbh_save(const struct vmbh *h, void *buf, size_t size)
{
	struct out o = { .p = buf, .size = buf ? size : 0 };

	put32(&o, SAVE_MAGIC);
	put32(&o, SAVE_FORM);
	put32(&o, h->version);
	put32(&o, h->target_vp);
	put8(&o, h->offers_requested);
	put32(&o, h->nchans);
	for (uint32_t i = 1; i < VMBH_RELIDS; i++)
		if (h->relids[i])
			put_chan(&o, h->relids[i]);
	put_delayed(&o, h);
	put_queue(&o, h);
	return o.n;
}
