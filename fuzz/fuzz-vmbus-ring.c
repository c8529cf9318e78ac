/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vmbus-ring.c - an open channel whose rings the guest spoils
 *
 * A connection is set up as a guest would, in pages in any order; then the
 * input pokes control pages, headers and data, writes packets that are nearly
 * right, moves indices, rings, and lets the host read and write.
 */
#include "base/bytes.h"
#include "vmbus-host-end.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct guest {
	uint8_t page[12];      /* of both rings */
	unsigned int g2h, h2g; /* pages of each */
	uint32_t write, read;  /* its own indices */
};

static void words(struct fuzz *f, size_t len, uint32_t type, uint32_t a,
		  uint32_t b, uint32_t c, uint32_t d, uint32_t e)
{
	uint8_t m[VMBH_MESSAGE_MAX] = { 0 };
	const uint32_t w[] = { type, 0, a, b, c, d, e };

	for (unsigned int i = 0; i < 7; i++)
		le32_put(m + 4 * i, w[i]);
	if (type == 14)
		m[16] = 2;
	vmbh_post_message(f->h, 0, 1, 1, m, len);
	f->slot_taken = false;
	vmbh_slot_free(f->h, 0);
}

/* Relid 1 is the device's, 2 the connection's. */
static void open_rings(struct fuzz *f, struct guest *g, uint32_t relid)
{
	uint8_t m[VMBH_MESSAGE_MAX] = { 8 };
	unsigned int n = g->g2h + g->h2g;

	for (unsigned int i = 0; i < n; i++)
		memset(ram[g->page[i]], 0, VMBH_PAGE);
	le32_put(m + 8, relid);
	le32_put(m + 12, relid);
	le16_put(m + 16, (uint16_t)(8 + 8 * n));
	m[18] = 1;
	le32_put(m + 20, n * VMBH_PAGE);
	for (unsigned int i = 0; i < n; i++)
		m[28 + 8 * i] = g->page[i];
	vmbh_post_message(f->h, 0, 1, 1, m, 28 + 8 * n);
	words(f, 148, 5, relid, relid, relid, 0, g->g2h);
}

static uint8_t *at(const struct guest *g, bool out, uint32_t offset)
{
	unsigned int first = out ? 1 : g->g2h + 1;
	unsigned int n = (out ? g->g2h : g->h2g) - 1;

	offset %= n * VMBH_PAGE;
	return &ram[g->page[first + offset / VMBH_PAGE]][offset % VMBH_PAGE];
}

static void packet(struct fuzz *f, struct guest *g)
{
	uint32_t size = (g->g2h - 1) * VMBH_PAGE, len = u16(f) % 3000;
	uint8_t spoil = u8(f), head[24] = { 6, 0, 2 };
	uint32_t total = 32 + (len + 7) / 8 * 8;

	le16_put(head + 4, (uint16_t)((total - 8) / 8));
	head[16] = 1;
	le32_put(head + 20, len);
	if (spoil < 24)
		head[spoil] = u8(f);
	for (uint32_t i = 0; i < 24; i++)
		*at(g, true, g->write + i) = head[i];
	if (spoil == 25)
		total += u8(f);
	g->write = (g->write + total) % size;
	le32_put(ram[g->page[0]], g->write);
}

static void step(struct fuzz *f, struct guest *g)
{
	struct vmbh_sock *s = f->socks[0];
	uint8_t what = u8(f), arg = u8(f), *p;

	switch (what % 12) {
	case 0:
	case 1:
	case 2:
		packet(f, g);
		break;
	case 3:
		vmbh_signal_event(f->h, 0x2002, 0);
		break;
	case 4:
		if (s)
			read_some(s, arg, u8(f));
		break;
	case 5:
		if (s)
			write_some(s, arg, u8(f), u8(f) * 16u);
		break;
	case 6: /* the guest has read: all, or some */
		p = ram[g->page[g->g2h]];
		g->read = arg & 1 ? le32_get(p) : g->read + arg / 2 * 8u;
		g->read %= (g->h2g - 1) * VMBH_PAGE;
		le32_put(p + 4, g->read);
		break;
	case 7: /* a word of a control page */
		p = ram[g->page[arg & 1 ? 0 : g->g2h]];
		le32_put(p + (arg >> 1 & 3) * 4u,
			 arg & 0x80 ? u16(f) * 65537u : u16(f));
		break;
	case 8:
		*at(g, arg & 1, u16(f)) = arg;
		break;
	case 9:
		if (s && arg == 9)
			vmbh_sock_shutdown(s);
		if (s && arg == 10)
			vmbh_sock_close(s);
		if (arg == 10)
			f->socks[0] = NULL;
		break;
	case 10:
		f->now += (uint64_t)arg * 50000000u;
		vmbh_time(f->h, f->now);
		break;
	case 11:
		f->answer = arg & (8 + 4 + 64 + 128);
		vmbh_signal_event(f->h, 0x2001, 0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const GUID service = { 1,
				      0xfacb,
				      0x11e6,
				      { 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79,
					0x86, 0xd3 } };
	static struct fuzz f;
	struct guest g = { 0 }, device = { 0 };
	uint8_t shape;

	memset(&f, 0, sizeof(f));
	f.p = data;
	f.end = data + size;
	f.now = 1;
	new_bus(&f);
	shape = u8(&f);
	g.g2h = 2 + shape % 4;
	g.h2g = 2 + shape / 4 % 4;
	/* in order, backwards, or with the same page twice */
	for (unsigned int i = 0; i < 12; i++)
		g.page[i] = (uint8_t)(shape & 64	     ? 20 - i
				      : shape & 128 && i > 1 ? 5 + i % 3
							     : 3 + i);
	device.g2h = device.h2g = 2;
	for (unsigned int i = 0; i < 4; i++)
		device.page[i] = (uint8_t)(40 + i);
	words(&f, 40, 14, VMBH_VERSION_5_3, 0, 2, 0, 0);
	words(&f, 8, 3, 0, 0, 0, 0, 0);
	open_rings(&f, &device, 1);
	if (vmbh_sock_connect(f.h, &service, NULL, 0, &f.socks[0]) < 0 ||
	    vmbh_sock_relid(f.socks[0]) != 2)
		abort();
	f.slot_taken = false;
	vmbh_slot_free(f.h, 0);
	open_rings(&f, &g, 2);
	while (f.p < f.end)
		step(&f, &g);
	end_bus(&f);
	return 0;
}
