/* SPDX-License-Identifier: MIT */
/* guest-chan.c - channels of the guest's bus driver, see guest.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "guest-internal.h"

/* ---- channels */

static void free_rings(struct vg_chan *c)
{
	for (uint32_t i = 0; i < c->pages; i++)
		vg_free_page(c->g, c->page[i]);
	free(c->page);
	free(c->out.page);
	free(c->in.page);
	c->page = NULL;
	c->out.page = c->in.page = NULL;
	c->pages = 0;
}

void vg_chan_free(struct vg_chan *c)
{
	struct vg *g = c->g;

	free_rings(c);
	g->probes -= c->probe;
	g->late -= c->late;
	g->chans[c->relid] = NULL;
	g->nchans--;
	free(c);
}

void vg_chan_remove(struct vg_chan *c)
{
	struct vg *g = c->g;
	uint32_t relid = c->relid;

	if (c->state == VG_OPEN)
		vg_post_words(g, 7, 12, relid, 0);
	vg_chan_free(c);
	g->released++;
	vg_post_words(g, 13, 12, relid, 0);
}

void vg_on_offer(struct vg *g, const struct vg_msg *m)
{
	const uint8_t *p = (const uint8_t *)m;
	uint32_t relid = m->w[46];
	struct vg_chan *c;

	g->offers++;
	if (!relid || relid >= VG_RELIDS || g->chans[relid]) {
		vg_fault(g, "OFFER_CHANNEL with a relid that is known");
		return;
	}
	for (uint32_t i = 0; i < VG_RELIDS; i++)
		if (g->chans[i] && !memcmp(g->chans[i]->instance, p + 24, 16))
			vg_fault(g,
				 "OFFER_CHANNEL of an instance that is known");
	if (!(p[190] & 1))
		vg_fault(g, "OFFER_CHANNEL without an interrupt of its own");
	c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->g = g;
	c->relid = relid;
	c->connection = m->w[48];
	memcpy(c->type, p + 8, 16);
	memcpy(c->instance, p + 24, 16);
	c->flags = (uint16_t)(m->w[14] & 0xffff);
	c->hvsock = c->flags & 0x2000;
	c->accept = p[64];
	g->chans[relid] = c;
	g->nchans++;
	c->probe = c->hvsock;
	g->probes += c->probe;
}

bool vg_probe_all(struct vg *g)
{
	bool did = false;

	for (uint32_t i = 1; g->probes && i < VG_RELIDS; i++) {
		struct vg_chan *c = g->chans[i];

		if (!c || !c->probe)
			continue;
		c->probe = false;
		g->probes--;
		did = true;
		vg_sock_offered(c);
	}
	return did;
}

void vg_on_rescind(struct vg *g, uint32_t relid)
{
	struct vg_chan *c = relid < VG_RELIDS ? g->chans[relid] : NULL;

	g->rescinds++;
	if (!c || c->rescinded)
		return;
	c->rescinded = true;
	g->probes -= c->probe;
	c->probe = false;
	if (c->state == VG_GPADL || c->state == VG_OPENING) {
		c->state = VG_OFFERED;
		if (c->hvsock)
			vg_sock_opened(c, false);
		vg_chan_remove(c);
	} else if (c->sock) {
		vg_sock_rescinded(c);
	} else {
		vg_chan_remove(c);
	}
}

void vg_chan_open(struct vg_chan *c, uint32_t pages_out, uint32_t pages_in)
{
	struct vg *g = c->g;
	uint32_t n = pages_out + pages_in, at = 0;
	struct vg_msg m = { { 8, 0, c->relid, g->next_gpadl++ } };

	if (c->state != VG_OFFERED || c->rescinded || g->nfree < n)
		return;
	c->page = calloc(n, sizeof(*c->page));
	c->out.page = calloc(pages_out, sizeof(*c->out.page));
	c->in.page = calloc(pages_in, sizeof(*c->in.page));
	if (!c->page || !c->out.page || !c->in.page)
		abort();
	c->pages = n;
	c->downstream = pages_out;
	if (g->in_order)
		vg_sort_pages(g);
	for (uint32_t i = 0; i < n; i++)
		c->page[i] = vg_alloc_page(g);
	c->out.control = vg_page(g, c->page[0]);
	c->in.control = vg_page(g, c->page[pages_out]);
	for (uint32_t i = 1; i < pages_out; i++)
		c->out.page[i - 1] = vg_page(g, c->page[i]);
	for (uint32_t i = 1; i < pages_in; i++)
		c->in.page[i - 1] = vg_page(g, c->page[pages_out + i]);
	c->out.size = (pages_out - 1) * VG_PAGE;
	c->in.size = (pages_in - 1) * VG_PAGE;
	c->gpadl = m.w[3];
	c->state = VG_GPADL;
	m.w[4] = (8 + 8 * n) | 1u << 16;
	m.w[5] = n * VG_PAGE;
	for (; at < n && at < 26; at++)
		m.w[7 + 2 * at] = c->page[at];
	vg_post(g, &m, 28 + 8 * at);
	while (at < n) {
		struct vg_msg body = { { 9, 0, 0, c->gpadl } };
		uint32_t i = 0;

		for (; i < 28 && at < n; i++, at++)
			body.w[4 + 2 * i] = c->page[at];
		vg_post(g, &body, 16 + 8 * i);
	}
}

void vg_on_created(struct vg *g, const struct vg_msg *m)
{
	struct vg_chan *c = m->w[2] < VG_RELIDS ? g->chans[m->w[2]] : NULL;
	struct vg_msg open = { { 5 } };

	if (!c || c->state != VG_GPADL || c->gpadl != m->w[3])
		return;
	if (m->w[4]) {
		g->gpadl_failed++;
		free_rings(c);
		c->state = VG_OFFERED;
		if (c->hvsock)
			vg_sock_opened(c, false);
		return;
	}
	memset(c->out.control, 0, VG_PAGE);
	memset(c->in.control, 0, VG_PAGE);
	vg_ring_init(&c->out);
	vg_ring_init(&c->in);
	c->state = VG_OPENING;
	open.w[2] = open.w[3] = c->relid;
	open.w[4] = c->gpadl;
	open.w[5] = c->vp;
	open.w[6] = c->downstream;
	vg_post(g, &open, 148);
}

static void teardown(struct vg_chan *c)
{
	c->state = VG_TEARDOWN;
	vg_post_words(c->g, 11, 16, c->relid, c->gpadl);
}

void vg_on_opened(struct vg *g, const struct vg_msg *m)
{
	struct vg_chan *c = m->w[2] < VG_RELIDS ? g->chans[m->w[2]] : NULL;

	if (!c || c->state != VG_OPENING || m->w[3] != c->relid)
		return;
	if (m->w[4]) {
		g->open_failed++;
		if (c->hvsock)
			vg_sock_opened(c, false);
		teardown(c);
		return;
	}
	g->opened++;
	if (g->lazy_open) {
		g->late++;
		c->late = true;
		return;
	}
	c->state = VG_OPEN;
	if (c->hvsock)
		vg_sock_opened(c, true);
}

bool vg_open_late(struct vg *g)
{
	bool did = g->late;

	for (uint32_t i = 1; g->late && i < VG_RELIDS; i++) {
		struct vg_chan *c = g->chans[i];

		if (!c || !c->late)
			continue;
		c->late = false;
		g->late--;
		c->state = VG_OPEN;
		if (c->hvsock)
			vg_sock_opened(c, true);
	}
	return did;
}

void vg_on_torndown(struct vg *g, uint32_t gpadl)
{
	for (uint32_t i = 1; i < VG_RELIDS; i++) {
		struct vg_chan *c = g->chans[i];

		if (!c || c->state != VG_TEARDOWN || c->gpadl != gpadl)
			continue;
		free_rings(c);
		c->state = VG_OFFERED;
		return;
	}
}

void vg_chan_close(struct vg_chan *c)
{
	if (c->state != VG_OPEN)
		return;
	vg_post_words(c->g, 7, 12, c->relid, 0);
	teardown(c);
}

void vg_unbind(struct vg *g, struct vg_chan *c)
{
	(void)g;
	vg_chan_close(c);
}

void vg_modify(struct vg *g, struct vg_chan *c, uint32_t vp)
{
	if (g->version < 0x40001)
		return;
	if (g->version >= 0x50003) {
		g->modify_waiting++;
		c->next_vp = vp;
	} else {
		c->vp = vp;
	}
	vg_post_words(g, 22, 16, c->relid, vp);
}

void vg_on_modified(struct vg *g, const struct vg_msg *m)
{
	struct vg_chan *c = m->w[2] < VG_RELIDS ? g->chans[m->w[2]] : NULL;

	if (g->version < 0x50003 || !g->modify_waiting) {
		vg_fault(g, "MODIFY_CHANNEL_RESPONSE unasked");
		return;
	}
	g->modify_waiting--;
	if (c && !m->w[3])
		c->vp = c->next_vp;
}

struct vg_chan *vg_chan_by_type(struct vg *g, const void *guid)
{
	for (uint32_t i = 1; i < VG_RELIDS; i++)
		if (g->chans[i] && !memcmp(g->chans[i]->type, guid, 16))
			return g->chans[i];
	return NULL;
}

/* ---- drivers of other channels */

int vg_chan_send(struct vg_chan *c, const void *payload, size_t len,
		 uint64_t transaction)
{
	bool ring;
	int r;

	if (c->state != VG_OPEN || c->rescinded)
		return -ENOTCONN;
	r = vg_ring_write(&c->out, NULL, 0, payload, (uint32_t)len, transaction,
			  &ring);
	if (ring)
		vg_signal(c);
	return r;
}

ssize_t vg_chan_recv(struct vg_chan *c, void *buf, size_t size,
		     uint64_t *ret_transaction)
{
	uint8_t head[16];
	uint32_t len, offset;
	bool again = false;

	if (c->state != VG_OPEN)
		return -ENOTCONN;
	while (!(len = vg_ring_first(&c->in, head))) {
		if (!c->batched || again)
			return -EAGAIN;
		__atomic_store_n(&c->in.control[2], 0, __ATOMIC_SEQ_CST);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		again = true;
	}
	if (c->batched)
		__atomic_store_n(&c->in.control[2], 1, __ATOMIC_SEQ_CST);
	offset = (uint32_t)(head[2] | head[3] << 8) * 8;
	if (len == UINT32_MAX || offset < 16 || offset > len ||
	    len - offset > size) {
		vg_fault(c->g, "a packet of the host's is malformed");
		return -EIO;
	}
	memcpy(ret_transaction, head + 8, 8);
	vg_ring_copy_out(&c->in, c->in.priv + offset, buf, len - offset);
	vg_ring_next(&c->in, len);
	if (vg_ring_commit(&c->in))
		vg_signal(c);
	return (ssize_t)(len - offset);
}
