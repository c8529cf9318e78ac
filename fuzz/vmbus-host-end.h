/* SPDX-License-Identifier: MIT */
/*
 * vmbus-host-end.h - for the two VMBus targets: guest memory of a few pages,
 * and an embedder that checks whatever the library tells it
 */
#ifndef FUZZ_VMBUS_HOST_END_H
#define FUZZ_VMBUS_HOST_END_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <vmbus-host.h>

#define PAGES 64u
#define SOCKS 32

static _Alignas(4096) uint8_t ram[PAGES][VMBH_PAGE];
static int mapped[PAGES];

struct fuzz {
	const uint8_t *p, *end;
	struct vmbh *h;
	struct vmbh_sock *socks[SOCKS]; /* those that were told */
	bool asked[SOCKS];
	struct vmbh_channel *device;
	uint64_t now;
	uint8_t answer; /* what callbacks do */
	bool slot_taken;
	bool ready;
	unsigned int random;
};

static inline uint8_t u8(struct fuzz *f)
{
	return f->p < f->end ? *f->p++ : 0;
}

static inline uint16_t u16(struct fuzz *f)
{
	uint16_t low = u8(f);

	return (uint16_t)(low | u8(f) << 8);
}

static inline int find(const struct fuzz *f, const struct vmbh_sock *s)
{
	for (int i = 0; i < SOCKS; i++)
		if (f->socks[i] == s)
			return i;
	return -1;
}

static inline int put_sock(struct fuzz *f, struct vmbh_sock *s)
{
	int i = find(f, NULL);

	if (find(f, s) >= 0)
		abort(); /* one that is known */
	if (i >= 0)
		f->socks[i] = s;
	return i;
}

static int on_post(void *ctx, uint32_t vp, const void *message, size_t len)
{
	struct fuzz *f = ctx;
	char line[200];

	(void)vp;
	if (len > VMBH_MESSAGE_MAX)
		abort();
	vmbh_describe(message, len, line, sizeof(line));
	if (f->slot_taken)
		return -11;
	f->slot_taken = f->answer & 1;
	return 0;
}

static void on_signal(void *ctx, uint32_t vp, uint32_t relid)
{
	(void)ctx;
	if (vp == 0xffffffffu || !relid || relid >= VMBH_RELIDS)
		abort();
}

static void *on_map(void *ctx, uint64_t gfn)
{
	(void)ctx;
	if (gfn >= PAGES)
		return NULL;
	mapped[gfn]++;
	return ram[gfn];
}

static void on_unmap(void *ctx, uint64_t gfn, void *page)
{
	(void)ctx;
	if (gfn >= PAGES || page != ram[gfn] || mapped[gfn]-- <= 0)
		abort();
}

static void on_written(void *ctx, uint64_t gpa, size_t len)
{
	(void)ctx;
	if (!len || gpa / VMBH_PAGE >= PAGES || !mapped[gpa / VMBH_PAGE] ||
	    gpa % VMBH_PAGE + len > VMBH_PAGE)
		abort();
}

static void on_random(void *ctx, void *buf, size_t len)
{
	struct fuzz *f = ctx;

	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(f->random++ * 37u >> 3);
}

static void on_connect(void *ctx, struct vmbh_sock *s, const GUID *service,
		       const GUID *endpoint)
{
	struct fuzz *f = ctx;
	int i = put_sock(f, s);

	(void)service;
	(void)endpoint;
	if (i < 0 || f->answer & 2) {
		if (i >= 0)
			f->socks[i] = NULL;
		vmbh_sock_refuse(s);
		return;
	}
	f->asked[i] = true;
	if (f->answer & 4) {
		f->asked[i] = false;
		vmbh_sock_accept(s);
	}
}

static void on_connected(void *ctx, struct vmbh_sock *s)
{
	if (find(ctx, s) < 0)
		abort();
}

/* Bytes are looked at, as a write to a socket would. */
static inline void look(const struct iovec *iov, unsigned int n, ssize_t bytes)
{
	volatile uint8_t sink = 0;
	size_t sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *p = iov[i].iov_base;

		if (p < ram[0] || !iov[i].iov_len ||
		    iov[i].iov_len > (size_t)(ram[PAGES - 1] + VMBH_PAGE - p))
			abort();
		sink ^= p[0] ^ p[iov[i].iov_len - 1];
		sum += iov[i].iov_len;
	}
	if (sum != (size_t)bytes)
		abort();
	(void)sink;
}

static inline void read_some(struct vmbh_sock *s, unsigned int max,
			     unsigned int take)
{
	struct iovec iov[16];
	unsigned int n;
	ssize_t bytes = vmbh_sock_peek(s, iov, 2 + max % 15, &n);

	if (bytes < 0)
		return;
	look(iov, n, bytes);
	vmbh_sock_consume(s, take < 256 ? (size_t)bytes * take / 255
					: (size_t)bytes);
}

static inline void write_some(struct vmbh_sock *s, unsigned int max,
			      unsigned int give, size_t want)
{
	struct iovec iov[16];
	unsigned int n;
	ssize_t bytes = vmbh_sock_room(s, iov, 2 + max % 15, &n, want);

	if (bytes < 0)
		return;
	look(iov, n, bytes);
	if (want && (size_t)bytes > want)
		abort();
	for (unsigned int i = 0; i < n; i++)
		memset(iov[i].iov_base, 0x5a, iov[i].iov_len);
	vmbh_sock_produce(s, (size_t)bytes * (give & 255) / 255);
}

static void on_readable(void *ctx, struct vmbh_sock *s)
{
	struct fuzz *f = ctx;
	int i = find(f, s);

	if (i < 0)
		abort();
	if (f->answer & 8)
		read_some(s, f->answer, 255);
	if (f->answer & 16) {
		f->socks[i] = NULL;
		vmbh_sock_close(s);
	}
}

static void on_gone(void *ctx, struct vmbh_sock *s, enum vmbh_gone why)
{
	struct fuzz *f = ctx;
	int i = find(f, s);

	if (i < 0 || why > VMBH_GONE_RESCINDED)
		abort();
	f->socks[i] = NULL;
	f->asked[i] = false;
}

static void on_ready(void *ctx, bool ready)
{
	struct fuzz *f = ctx;

	if (ready == f->ready)
		abort();
	f->ready = ready;
}

static bool on_admit(void *ctx, const GUID *service, const GUID *endpoint)
{
	const struct fuzz *f = ctx;

	(void)service;
	(void)endpoint;
	return !(f->answer & 32);
}

static void on_complain(void *ctx, const char *sentence)
{
	(void)ctx;
	if (!*sentence)
		abort();
}

static const struct vmbh_ops ops = {
	.post = on_post,
	.signal = on_signal,
	.map = on_map,
	.unmap = on_unmap,
	.written = on_written,
	.random = on_random,
	.connect = on_connect,
	.connected = on_connected,
	.readable = on_readable,
	.writable = on_readable,
	.gone = on_gone,
	.ready = on_ready,
	.admit = on_admit,
	.complain = on_complain,
};

static void device_event(void *ctx, struct vmbh_channel *c)
{
	struct fuzz *f = ctx;
	uint8_t buf[256];
	uint64_t t;

	if (f->answer & 64)
		vmbh_channel_read(c, buf, sizeof(buf), &t);
	if (f->answer & 128)
		vmbh_channel_write(c, buf, 40, 1);
}

static const struct vmbh_channel_ops device_ops = { device_event, device_event,
						    device_event };

static inline void new_bus(struct fuzz *f)
{
	static const struct vmbh_offer device = { .type = { .Data1 = 7 },
						  .instance = { .Data1 = 8 },
						  .flags = 0x11 };
	const struct vmbh_config config = { .max_gpadl_pages = 200,
					    .max_connects = 4,
					    .max_input = 8,
					    .packet = 2000,
					    .connect_early = f->answer & 8 };

	f->ready = f->slot_taken = false;
	if (vmbh_new(&config, &ops, f, &f->h) < 0 ||
	    vmbh_channel_offer(f->h, &device, &device_ops, f, &f->device) < 0)
		abort();
	vmbh_time(f->h, f->now);
}

/* Nothing is left: not a page, not a connection that waits for its end. */
static inline void end_bus(struct fuzz *f)
{
	struct vmbh_counters c;

	vmbh_reset(f->h);
	vmbh_counters(f->h, &c);
	if (c.channels || c.gpadls || c.gpadl_pages || c.queued ||
	    vmbh_deadline(f->h))
		abort();
	for (int i = 0; i < SOCKS; i++)
		if (f->socks[i])
			abort();
	f->h = vmbh_free(f->h);
	for (unsigned int i = 0; i < PAGES; i++)
		if (mapped[i])
			abort();
}

#endif /* FUZZ_VMBUS_HOST_END_H */
