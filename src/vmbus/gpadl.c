/* SPDX-License-Identifier: MIT */
/*
 * gpadl.c - lists of guest pages
 *
 * A GPADL comes as a header and, if it is long, bodies, which name only its
 * number. When it is complete its pages are looked up, once; they stay mapped
 * until it is torn down, or its channel revoked or released. The number of
 * pages counts against the limit from the header on.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "vmbus/internal.h"

#define GFN_LIMIT (1ull << 52)

struct gpadl *gpadl_find(struct chan *c, uint32_t id)
{
	struct gpadl *g;

	LIST_FOREACH(g, &c->gpadls, link)
	if (g->id == id)
		return g;
	return NULL;
}

static struct gpadl *find_growing(struct vmbh *h, uint32_t id)
{
	struct gpadl *g;

	LIST_FOREACH(g, &h->growing, growing)
	if (g->id == id)
		return g;
	return NULL;
}

void gpadl_unmap(struct vmbh *h, struct gpadl *g)
{
	for (uint32_t i = 0; g->map && i < g->pages; i++)
		if (g->map[i] && h->ops->unmap)
			h->ops->unmap(h->ctx, g->gfn[i], g->map[i]);
	free(g->map);
	g->map = NULL;
}

int gpadl_map(struct vmbh *h, struct gpadl *g)
{
	g->map = calloc(g->pages, sizeof(*g->map));
	if (!g->map)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->pages; i++) {
		g->map[i] = h->ops->map(h->ctx, g->gfn[i]);
		if (!g->map[i]) {
			gpadl_unmap(h, g);
			return -EFAULT;
		}
	}
	return 0;
}

void gpadl_free(struct vmbh *h, struct gpadl *g)
{
	if (g->have < g->pages) {
		LIST_REMOVE(g, growing);
		h->ngrowing--;
	}
	gpadl_unmap(h, g);
	LIST_REMOVE(g, link);
	g->chan->ngpadls--;
	h->ngpadls--;
	h->gpadl_pages -= g->pages;
	free(g->gfn);
	free(g);
}

void gpadl_free_all(struct vmbh *h, struct chan *c)
{
	struct gpadl *g;

	while ((g = LIST_FIRST(&c->gpadls)))
		gpadl_free(h, g);
}

int gpadl_new(struct chan *c, uint32_t id, uint32_t byte_count,
	      uint32_t byte_offset, uint32_t pages, struct gpadl **ret)
{
	struct vmbh *h = c->h;
	struct gpadl *g;

	if (!byte_count || byte_offset >= VMBH_PAGE ||
	    ((uint64_t)byte_offset + byte_count + VMBH_PAGE - 1) / VMBH_PAGE !=
		    pages)
		return -EINVAL;
	if (gpadl_find(c, id))
		return -EEXIST;
	if (c->ngpadls >= GPADLS_PER_CHANNEL || h->ngrowing >= GPADLS_GROWING ||
	    h->gpadl_pages + pages > h->config.max_gpadl_pages)
		return -ENOSPC;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->gfn = calloc(pages, sizeof(*g->gfn));
	if (!g->gfn) {
		free(g);
		return -ENOMEM;
	}
	g->chan = c;
	g->id = id;
	g->byte_count = byte_count;
	g->byte_offset = byte_offset;
	g->pages = pages;
	LIST_INSERT_HEAD(&c->gpadls, g, link);
	LIST_INSERT_HEAD(&h->growing, g, growing);
	c->ngpadls++;
	h->ngrowing++;
	h->ngpadls++;
	h->gpadl_pages += pages;
	*ret = g;
	return 0;
}

static void answer(struct vmbh *h, uint32_t relid, uint32_t id, uint32_t status)
{
	queue_words(h, MSG_GPADL_CREATED, 3, relid, id, status);
}

int gpadl_add(struct vmbh *h, struct gpadl *g, uint64_t gfn)
{
	if (gfn >= GFN_LIMIT)
		return -EFAULT;
	g->gfn[g->have++] = gfn;
	if (g->have < g->pages)
		return 0;
	LIST_REMOVE(g, growing);
	h->ngrowing--;
	return gpadl_map(h, g);
}

/* More page frames; the message may have more than are missing. */
static void grow(struct vmbh *h, struct gpadl *g, const uint8_t *p, size_t n)
{
	uint32_t relid = g->chan->relid, id = g->id;
	int r = 0;

	for (; n && g->have < g->pages && r == 0; n--, p += 8)
		r = gpadl_add(h, g, le64_get(p));
	if (r == 0 && g->have < g->pages)
		return;
	if (r < 0) {
		complain(h, "GPADL 0x%x of channel %u: %s", id, relid,
			 r == -EFAULT ? "not memory" : "no memory here");
		gpadl_free(h, g);
	}
	answer(h, relid, id, r == 0 ? 0 : MSG_GPADL_FAILED);
}

void gpadl_header(struct vmbh *h, const uint8_t *m, size_t len)
{
	struct gpadl_header head;
	struct gpadl *g;
	struct chan *c;
	int r;

	get_gpadl_header(m, &head);
	c = chan_by_relid(h, head.relid);
	if (!c) {
		complain(h, "GPADL_HEADER for channel %u, which is not there",
			 head.relid);
		return;
	}
	if (c->state == CHAN_REVOKED) {
		/* sent before the guest saw RESCIND; nothing uses it */
		answer(h, head.relid, head.gpadl, 0);
		return;
	}
	if (head.ranges != 1 || head.bytes < 16 || head.bytes % 8)
		r = -EINVAL;
	else if (find_growing(h, head.gpadl))
		r = -EEXIST;
	else
		r = gpadl_new(c, head.gpadl, head.byte_count, head.byte_offset,
			      (head.bytes - 8u) / 8, &g);
	if (r < 0) {
		complain(h, "GPADL 0x%x of channel %u: %s", head.gpadl,
			 head.relid,
			 r == -EEXIST	? "its number is taken"
			 : r == -EINVAL ? "its ranges are malformed"
					: "too many pages");
		answer(h, head.relid, head.gpadl, MSG_GPADL_FAILED);
		return;
	}
	grow(h, g, m + 28, (len - 28) / 8);
}

void gpadl_body(struct vmbh *h, const uint8_t *m, size_t len)
{
	struct gpadl *g = find_growing(h, le32_get(m + 12));

	/* of a revoked channel, or of one that was refused: no harm */
	if (g)
		grow(h, g, m + 16, (len - 16) / 8);
	else
		h->counters.malformed++;
}

void gpadl_teardown(struct vmbh *h, const uint8_t *m)
{
	uint32_t relid = le32_get(m + 8), id = le32_get(m + 12);
	struct chan *c = chan_by_relid(h, relid);
	struct gpadl *g;

	if (!c) {
		complain(h, "GPADL_TEARDOWN for channel %u, which is not there",
			 relid);
		return;
	}
	if (c->state != CHAN_REVOKED) {
		g = gpadl_find(c, id);
		if (!g || g->used) {
			complain(h, "GPADL_TEARDOWN of 0x%x, which %s", id,
				 g ? "is used by an open channel"
				   : "is not there");
			return;
		}
		gpadl_free(h, g);
	}
	queue_words(h, MSG_GPADL_TORNDOWN, 1, id, 0, 0);
}

void vmbh_pages_changed(struct vmbh *h)
{
	enter(h);
	for (uint32_t i = 1; i < VMBH_RELIDS; i++) {
		struct chan *c = h->relids[i];
		struct gpadl *g, *next;
		bool lost = false;

		for (g = c ? LIST_FIRST(&c->gpadls) : NULL; g; g = next) {
			next = LIST_NEXT(g, link);
			if (!g->map)
				continue;
			gpadl_unmap(h, g);
			if (gpadl_map(h, g) == 0)
				continue;
			if (g->used)
				lost = true;
			else
				gpadl_free(h, g);
		}
		if (!c || !c->rings)
			continue;
		if (!lost) {
			chan_remap_rings(c);
			continue;
		}
		complain(h, "channel %u lost its pages", c->relid);
		if (c->sock)
			sock_fail(c->sock, VMBH_GONE_MEMORY);
		else
			device_fail(c->device);
	}
	leave(h);
}
