/* SPDX-License-Identifier: MIT */
/* guest.c - memory, SynIC and the bus driver of a guest, see guest.h */
#include "guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest-internal.h"

static const uint32_t versions[] = { 0x60000, 0x50003, 0x50002, 0x50001,
				     0x50000, 0x40001, 0x40000, 0x30000 };

void vg_fault(struct vg *g, const char *text)
{
	if (!g->fault++)
		g->fault_text = text;
}

uint32_t vg_random(struct vg *g)
{
	g->seed ^= g->seed << 13;
	g->seed ^= g->seed >> 17;
	g->seed ^= g->seed << 5;
	return g->seed;
}

/* ---- memory */

void *vg_page(const struct vg *g, uint32_t page)
{
	return g->ram + (size_t)page * VG_PAGE;
}

static int descending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x > y ? -1 : x < y;
}

void vg_sort_pages(struct vg *g)
{
	qsort(g->free, g->nfree, sizeof(*g->free), descending);
}

uint32_t vg_alloc_page(struct vg *g)
{
	uint32_t at, page;

	if (!g->nfree)
		return UINT32_MAX;
	at = g->in_order ? g->nfree - 1 : vg_random(g) % g->nfree;
	page = g->free[at];
	g->free[at] = g->free[--g->nfree];
	memset(vg_page(g, page), 0xa5, VG_PAGE);
	return page;
}

void vg_free_page(struct vg *g, uint32_t page)
{
	g->free[g->nfree++] = page;
}

uint32_t vg_free_pages(const struct vg *g)
{
	return g->nfree;
}

/* Not of the heap: most pages are never touched, and what fills each block
 * that is allocated or freed (MALLOC_PERTURB_) would touch them all. The last
 * page is nobody's, and nobody may touch it. */
static size_t ram_size(uint32_t npages)
{
	return ((size_t)npages + 1) * VG_PAGE;
}

static uint8_t *own_ram(uint32_t npages)
{
	size_t size = ram_size(npages);
	uint8_t *ram = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ram == MAP_FAILED ||
	    mprotect(ram + size - VG_PAGE, VG_PAGE, PROT_NONE) < 0)
		abort();
	return ram;
}

struct vg *vg_new(uint8_t *ram, uint32_t npages, uint32_t seed,
		  const struct vg_ops *ops, void *ctx)
{
	struct vg *g = calloc(1, sizeof(*g));

	if (!g)
		abort();
	g->ops = ops;
	g->ctx = ctx;
	g->npages = npages;
	g->seed = seed ? seed : 1;
	g->owns_ram = !ram;
	g->ram = ram ? ram : own_ram(npages);
	g->free = calloc(npages, sizeof(*g->free));
	if (!g->free)
		abort();
	/* page 0 is nobody's: a frame number that was never set shows */
	for (uint32_t i = 1; i < npages; i++)
		g->free[g->nfree++] = i;
	for (unsigned int i = 0; i < VG_VPS; i++) {
		g->message_page[i] = vg_alloc_page(g);
		g->event_page[i] = vg_alloc_page(g);
		memset(vg_page(g, g->message_page[i]), 0, VG_PAGE);
		memset(vg_page(g, g->event_page[i]), 0, VG_PAGE);
	}
	g->connect_timeout = 2000000000u;
	g->linger = 8000000000u;
	g->next_gpadl = 0xe1e10;
	g->next_port = 0x400;
	g->out_end = &g->out;
	return g;
}

void vg_free(struct vg *g)
{
	if (!g)
		return;
	vg_reboot(g);
	while (g->listeners) {
		struct vg_listener *l = g->listeners;

		g->listeners = l->next;
		free(l);
	}
	if (g->owns_ram)
		(void)munmap(g->ram, ram_size(g->npages));
	free(g->free);
	free(g);
}

/* ---- posting */

static uint32_t type_of(const void *message)
{
	uint32_t type;

	memcpy(&type, message, 4);
	return type;
}

/* Threads of the guest wait each for itself; those that connect do not hold up
 * the others. */
static bool alone(const void *message)
{
	return type_of(message) == 21;
}

static uint16_t try_post(struct vg *g, uint32_t connection, const void *m,
			 size_t len)
{
	g->posts++;
	return g->ops->post(g->ctx, g->vp, connection, 1, m, len);
}

static void keep(struct vg *g, const void *m, size_t len)
{
	struct vg_out *o = calloc(1, sizeof(*o));

	if (!o)
		abort();
	o->connection = g->connection;
	o->len = len;
	memcpy(o->data, m, len);
	*g->out_end = o;
	g->out_end = &o->next;
}

void vg_post(struct vg *g, const void *message, size_t len)
{
	uint16_t status;
	bool wait = false;

	for (struct vg_out *o = g->out; o && !wait; o = o->next)
		wait = !alone(o->data) && !alone(message);
	status = wait ? 19 : try_post(g, g->connection, message, len);
	if (status == 19)
		keep(g, message, len);
	else if (status)
		vg_fault(g, "HvPostMessage failed for good");
}

static void clear_out(struct vg *g)
{
	while (g->out) {
		struct vg_out *o = g->out;

		g->out = o->next;
		free(o);
	}
	g->out_end = &g->out;
}

static bool retry_posts(struct vg *g)
{
	bool stuck = false, did = false;

	for (struct vg_out **p = &g->out; *p;) {
		struct vg_out *o = *p;
		uint16_t status = 19;

		if (alone(o->data) || !stuck) {
			g->retries++;
			status = try_post(g, o->connection, o->data, o->len);
			/* it may have unloaded */
			if (!g->out)
				return true;
		}
		if (status == 19) {
			stuck = stuck || !alone(o->data);
			p = &o->next;
			continue;
		}
		if (status)
			vg_fault(g, "HvPostMessage failed for good");
		did = true;
		*p = o->next;
		if (!o->next)
			g->out_end = p;
		free(o);
	}
	return did;
}

void vg_post_words(struct vg *g, uint32_t type, size_t len, uint32_t a,
		   uint32_t b)
{
	struct vg_msg m = { { type, 0, a, b } };

	vg_post(g, &m, len);
}

/* ---- version */

static void initiate(struct vg *g)
{
	for (;; g->trial++) {
		struct vg_msg m = { { 14 } };
		uint32_t v;
		uint16_t status;

		if (g->trial == sizeof(versions) / sizeof(versions[0])) {
			g->failed = true;
			return;
		}
		v = versions[g->trial];
		if ((v == 0x60000 && !g->propose_6_0) ||
		    (g->max_version && v > g->max_version))
			continue;
		m.w[2] = v;
		m.w[3] = g->vp;
		m.w[4] = v >= 0x50000 ? 2 : 0x1000;
		m.w[6] = 0x2000;
		m.w[8] = 0x3000;
		g->connection = v >= 0x50000 ? 4 : 1;
		status = try_post(g, g->connection, &m, 40);
		if (status == 18)
			continue;
		if (status)
			vg_fault(g, "INITIATE_CONTACT was not taken");
		return;
	}
}

void vg_load(struct vg *g)
{
	g->trial = 0;
	g->failed = g->loaded = g->unloading = g->all_offers = false;
	initiate(g);
}

static void on_version(struct vg *g, const struct vg_msg *m)
{
	const uint8_t *p = (const uint8_t *)m;

	if (g->loaded || g->failed) {
		vg_fault(g, "VERSION_RESPONSE unasked");
		return;
	}
	if (!p[8]) {
		g->trial++;
		initiate(g);
		return;
	}
	g->loaded = true;
	g->version = versions[g->trial];
	if (g->version >= 0x50000)
		g->connection = m->w[3];
	vg_post_words(g, 3, 8, 0, 0);
}

/* ---- interrupts */

static void dispatch(struct vg *g, const struct vg_msg *m, uint32_t len)
{
	static const uint8_t least[25] = {
		[1] = 196, [2] = 12,  [6] = 20, [10] = 20,
		[12] = 12, [15] = 16, [24] = 16
	};

	if (m->w[0] >= 25 || len < least[m->w[0]]) {
		vg_fault(g, "a message that is unknown or short");
		return;
	}
	if (!g->loaded && m->w[0] != 15 && m->w[0] != 17) {
		/* of before UNLOAD was seen */
		return;
	}
	switch (m->w[0]) {
	case 1:
		vg_on_offer(g, m);
		break;
	case 2:
		vg_on_rescind(g, m->w[2]);
		break;
	case 4:
		g->all_offers = true;
		break;
	case 6:
		vg_on_opened(g, m);
		break;
	case 10:
		vg_on_created(g, m);
		break;
	case 12:
		vg_on_torndown(g, m->w[2]);
		break;
	case 15:
		on_version(g, m);
		break;
	case 17:
		if (!g->unloading)
			vg_fault(g, "UNLOAD_COMPLETE unasked");
		g->unloading = false;
		break;
	case 23:
		if (g->version < 0x40001)
			vg_fault(g, "TL_CONNECT_RESULT below 4.1");
		g->tl_results++;
		break;
	case 24:
		vg_on_modified(g, m);
		break;
	default:
		vg_fault(g, "a message that hosts do not send");
	}
}

static void handle_message(struct vg *g, uint32_t vp)
{
	uint8_t *slot = (uint8_t *)vg_page(g, g->message_page[vp]) + 0x200;
	uint32_t *word = (uint32_t *)(void *)slot;
	uint32_t type = __atomic_load_n(word, __ATOMIC_ACQUIRE);
	uint8_t copy[256];
	struct vg_msg m;

	if (!type)
		return;
	memcpy(copy, slot, sizeof(copy));
	if (type != 1 || copy[4] > 240)
		vg_fault(g, "the message slot is malformed");
	memset(&m, 0, sizeof(m));
	memcpy(&m, copy + 16, copy[4] > 240 ? 240 : copy[4]);
	dispatch(g, &m, copy[4]);
	__atomic_compare_exchange_n(word, &type, 0, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(slot + 5, __ATOMIC_ACQUIRE) & 1)
		g->ops->eom(g->ctx, vp);
}

void vg_interrupt(struct vg *g, uint32_t vp)
{
	uint64_t *flags =
		(uint64_t *)(void *)((uint8_t *)vg_page(g, g->event_page[vp]) +
				     0x200);

	g->interrupts++;
	for (uint32_t i = 0; i < VG_RELIDS / 64; i++) {
		uint64_t bits = __atomic_load_n(&flags[i], __ATOMIC_ACQUIRE);

		if (!bits)
			continue;
		bits = __atomic_exchange_n(&flags[i], 0, __ATOMIC_SEQ_CST);
		for (uint32_t b = 0; b < 64; b++) {
			struct vg_chan *c = g->chans[i * 64 + b];

			if (!(bits >> b & 1) || !c || c->rescinded)
				continue;
			c->rung = true;
			if (c->hvsock)
				vg_sock_event(c);
		}
	}
	handle_message(g, vp);
}

bool vg_work(struct vg *g, uint64_t now)
{
	bool did;

	g->now = now;
	did = retry_posts(g);
	did = vg_open_late(g) || did;
	did = vg_probe_all(g) || did;
	return vg_sock_work(g) || did;
}

void vg_signal(struct vg_chan *c)
{
	uint16_t status;

	c->g->signals++;
	status = c->g->ops->signal(c->g->ctx, c->connection, 0);
	if (status)
		vg_fault(c->g, "HvSignalEvent failed");
}

/* ---- the end */

void vg_unload(struct vg *g)
{
	vg_sock_reset(g);
	for (uint32_t i = 1; i < VG_RELIDS; i++)
		if (g->chans[i])
			vg_chan_remove(g->chans[i]);
	g->loaded = false;
	g->unloading = true;
	vg_post_words(g, 16, 8, 0, 0);
}

void vg_reboot(struct vg *g)
{
	clear_out(g);
	vg_sock_end_all(g);
	for (uint32_t i = 1; i < VG_RELIDS; i++)
		if (g->chans[i])
			vg_chan_free(g->chans[i]);
	for (unsigned int i = 0; i < VG_VPS; i++) {
		memset(vg_page(g, g->message_page[i]), 0, VG_PAGE);
		memset(vg_page(g, g->event_page[i]), 0, VG_PAGE);
	}
	g->loaded = g->unloading = g->failed = g->all_offers = false;
	g->modify_waiting = 0;
}
