/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vmbus-control.c - control messages of a hostile guest, calls of a host
 *
 * The input is a program: messages, whole or made of likely values, what the
 * host does with its connections, time, bytes poked into guest memory, reset,
 * save and load, recovery from a journal.
 */
#include "base/bytes.h"
#include "vmbus-host-end.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void post(struct fuzz *f, const uint8_t *m, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);

	if (!exact)
		abort();
	memcpy(exact, m, len);
	vmbh_post_message(f->h, 0, 1, 1, exact, len);
	free(exact);
}

static void raw_message(struct fuzz *f)
{
	uint8_t m[VMBH_MESSAGE_MAX] = { 0 };
	size_t len = u8(f);

	m[0] = u8(f) % 32;
	for (size_t i = 8; i < len && i < sizeof(m); i++)
		m[i] = u8(f);
	post(f, m, len < sizeof(m) ? len : sizeof(m));
}

/* A message that gets far, of a few bytes of input. */
static void likely_message(struct fuzz *f)
{
	static const uint32_t versions[] = { 0x40000, 0x40001, 0x50000, 0x50001,
					     0x50002, 0x50003, 0x60000, 0 };
	uint8_t m[VMBH_MESSAGE_MAX] = { 0 }, what = u8(f), a = u8(f);
	uint32_t relid = a & 7, gpadl = a >> 3 & 7, n;
	size_t len = 16;

	m[0] = (uint8_t[]) { 14, 3,  8,	 9, 5, 7, 11, 13,
			     16, 21, 22, 8, 5, 3, 21, 8 }[what & 15];
	le32_put(m + 8, relid);
	switch (m[0]) {
	case 14:
		le32_put(m + 8, versions[a & 7]);
		m[16] = 2;
		len = 40;
		break;
	case 8:
		n = what >> 4;
		le32_put(m + 12, gpadl);
		le16_put(m + 16, (uint16_t)(8 + 8 * n));
		m[18] = 1;
		le32_put(m + 20, n * VMBH_PAGE);
		for (uint32_t i = 0; i < n && i < 6; i++)
			m[28 + 8 * i] = (uint8_t)(u8(f) % (PAGES + 1));
		len = 28 + 8 * (n < 6 ? n : 6);
		break;
	case 9:
		le32_put(m + 12, gpadl);
		n = what >> 4;
		for (uint32_t i = 0; i < n; i++)
			m[16 + 8 * i] = (uint8_t)(u8(f) % PAGES);
		len = 16 + 8 * n;
		break;
	case 5:
		le32_put(m + 16, gpadl);
		le32_put(m + 24, what >> 4);
		len = 148;
		break;
	case 21:
		m[8] = a & 3;
		m[24] = a >> 2 & 3;
		len = what & 16 ? 56 : 40;
		break;
	case 11:
		le32_put(m + 12, gpadl);
		break;
	case 22:
		le32_put(m + 12, gpadl == 7 ? 0xffffffffu : gpadl);
		break;
	}
	post(f, m, len);
}

static void host(struct fuzz *f)
{
	uint8_t what = u8(f), arg = u8(f);
	GUID service = { 0,
			 0xfacb,
			 0x11e6,
			 { 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 } };
	int i = what >> 3;
	struct vmbh_sock *s = f->socks[i];

	if (!s) {
		if (vmbh_sock_connect(f->h, &service, NULL, arg, &s) == 0 &&
		    put_sock(f, s) < 0)
			abort();
		return;
	}
	switch (what & 7) {
	case 0:
		f->asked[i] = false;
		vmbh_sock_accept(s);
		break;
	case 1:
		f->socks[i] = NULL;
		f->asked[i] = false;
		vmbh_sock_close(s);
		break;
	case 2:
		vmbh_sock_shutdown(s);
		break;
	case 3:
		read_some(s, arg, arg);
		break;
	case 4:
		write_some(s, arg, arg, 0);
		break;
	case 5:
		if (f->asked[i]) {
			f->asked[i] = false;
			f->socks[i] = NULL;
			vmbh_sock_refuse(s);
		}
		break;
	default:
		vmbh_rescind(f->h, arg & 15);
	}
}

static void restored(void *ctx, struct vmbh_sock *s, uint64_t tag)
{
	struct fuzz *f = ctx;

	(void)tag;
	if (put_sock(f, s) < 0 || f->answer & 2) {
		if (find(f, s) >= 0)
			f->socks[find(f, s)] = NULL;
		vmbh_sock_close(s);
	}
}

static void forget(struct fuzz *f)
{
	f->h = vmbh_free(f->h);
	memset(f->socks, 0, sizeof(f->socks));
	memset(f->asked, 0, sizeof(f->asked));
	for (unsigned int i = 0; i < PAGES; i++)
		if (mapped[i])
			abort();
	new_bus(f);
}

/* Saved, with a few bytes changed, or none. */
static void reload(struct fuzz *f)
{
	size_t size = vmbh_save(f->h, NULL, 0);
	uint8_t *buf = malloc(size), n = u8(f) % 4;
	bool whole = !n;
	int r;

	if (!buf || vmbh_save(f->h, buf, size) != size)
		abort();
	while (n--) {
		size_t at = u16(f) % size;

		buf[at] = u8(f);
	}
	forget(f);
	r = vmbh_load(f->h, buf, size, restored);
	free(buf);
	if (whole && r < 0)
		abort();
}

static void recover(struct fuzz *f)
{
	uint8_t page[VMBH_JOURNAL_SIZE];
	uint8_t n = u8(f) % 4;
	bool whole = !n;
	int r;

	vmbh_journal(f->h, page);
	while (n--) {
		size_t at = u16(f) % 536;

		page[at] = u8(f);
	}
	vmbh_journal(f->h, NULL);
	forget(f);
	r = vmbh_recover(f->h, page);
	if (whole && r < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;

	memset(&f, 0, sizeof(f));
	memset(ram, 0, sizeof(ram));
	f.p = data;
	f.end = data + size;
	f.now = 1;
	new_bus(&f);
	while (f.p < f.end) {
		uint8_t what = u8(&f);

		switch (what % 16) {
		case 0:
			raw_message(&f);
			break;
		case 1:
		case 2:
		case 3:
		case 4:
		case 5:
			likely_message(&f);
			break;
		case 6:
		case 7:
			host(&f);
			break;
		case 8:
			f.slot_taken = false;
			vmbh_slot_free(f.h, 0);
			break;
		case 9:
			f.now += (uint64_t)u8(&f) * 100000000u;
			vmbh_time(f.h, f.now);
			break;
		case 10:
			f.answer = u8(&f);
			break;
		case 11:
			vmbh_signal_event(f.h, 0x2000u + (u8(&f) & 15), 0);
			break;
		case 12: {
			uint8_t page = u8(&f) % PAGES, at = u8(&f) % 20;

			ram[page][at] = u8(&f);
			break;
		}
		case 13:
			if (u8(&f) & 1)
				reload(&f);
			else
				recover(&f);
			break;
		case 14:
			vmbh_pages_changed(f.h);
			break;
		case 15:
			if (u8(&f) == 15)
				vmbh_reset(f.h);
			break;
		}
	}
	end_bus(&f);
	return 0;
}
