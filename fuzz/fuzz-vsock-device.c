/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vsock-device.c - rings and packets of a hostile guest
 *
 * The input is a program: good packets, bytes poked anywhere into the guest's
 * memory (rings included), receive buffers, what host ends do, time, resets.
 * Everything that the device does is checked: what it asks of host ends, that
 * it holds no more than it may, and that packets for the guest are well formed.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "transport/vhost-user/pump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RAM 0x40000u
#define GPA 0x10000u
#define NUM 16u
#define RING_AT(i) ((i)*0x1000u)
#define AVAIL_AT 0x400u
#define USED_AT 0x800u
#define TX_AT 0x4000u
#define TX_SIZE 0x1000u
#define RX_AT 0x20000u
#define RX_SIZE 0x1000u
#define HOSTS 64

static _Alignas(16) uint8_t ram[RAM];

struct host {
	struct vsock_conn *conn; /* NULL: free */
	bool dialling, asked;
	size_t held;
	size_t takes; /* bytes, of the next push or flush */
	size_t gives; /* bytes, of pulls to come */
	size_t message; /* of them, what next() has told */
	bool eof, broken;
};

struct fuzz {
	const uint8_t *p, *end;
	struct host hosts[HOSTS];
	struct vu_device d;
	struct pump *pump;
	uint16_t avail[2];
	uint64_t now;
};

static uint8_t u8(struct fuzz *f)
{
	return f->p < f->end ? *f->p++ : 0;
}

static uint16_t u16(struct fuzz *f)
{
	uint16_t low = u8(f);

	return (uint16_t)(low | u8(f) << 8);
}

/* ---- host ends */

static int dial(void *ctx, struct vsock_conn *c)
{
	struct fuzz *f = ctx;

	for (int i = 0; i < HOSTS; i++) {
		if (f->hosts[i].conn)
			continue;
		f->hosts[i] = (struct host) { .conn = c, .dialling = true };
		vsock_set_host(c, &f->hosts[i]);
		return 0;
	}
	return -ENOBUFS;
}

static void answered(void *host, bool accepted)
{
	struct host *h = host;

	if (!h->conn || !h->asked)
		abort();
	h->asked = false;
	if (!accepted)
		h->conn = NULL;
}

static ssize_t next(void *host)
{
	struct host *h = host;

	if (!h->conn || h->asked || h->dialling ||
	    vsock_type(h->conn) != VSOCK_SEQPACKET)
		abort();
	/* of any size, also of more than a guest can take */
	h->message = h->gives % 7 ? h->gives : h->gives / 7;
	if (h->message)
		return (ssize_t)h->message;
	return h->eof ? 0 : -EAGAIN;
}

static ssize_t pull(void *host, const struct iovec *iov, unsigned int n)
{
	struct host *h = host;
	size_t done = 0;

	if (!h->conn || h->asked || h->dialling || !n)
		abort();
	if (vsock_type(h->conn) == VSOCK_SEQPACKET) {
		/* all of it, and no more */
		for (unsigned int i = 0; i < n; i++) {
			memset(iov[i].iov_base, 0x55, iov[i].iov_len);
			done += iov[i].iov_len;
		}
		if (!h->message || done != h->message)
			abort();
		h->gives -= done;
		h->message = 0;
		return (ssize_t)done;
	}
	for (unsigned int i = 0; i < n && done < h->gives; i++) {
		size_t part = iov[i].iov_len;

		if (part > h->gives - done)
			part = h->gives - done;
		memset(iov[i].iov_base, 0x55, part);
		done += part;
	}
	h->gives -= done;
	if (done)
		return (ssize_t)done;
	return h->eof ? 0 : -EAGAIN;
}

static ssize_t take(struct host *h, size_t len)
{
	size_t n = len < h->takes ? len : h->takes;

	if (n < len && vsock_type(h->conn) == VSOCK_SEQPACKET)
		n = 0;
	h->takes -= n;
	h->held = len - n;
	if (h->held > VSOCK_BUF_ALLOC)
		abort();
	return (ssize_t)n;
}

static size_t waiting(void *host)
{
	const struct host *h = host;

	if (!h->conn || h->asked || h->dialling)
		abort();
	return h->gives;
}

static ssize_t push(void *host, const struct iovec *iov, unsigned int n)
{
	struct host *h = host;
	size_t len = 0, was = h->held;
	volatile uint8_t sink;

	if (!h->conn || h->asked || h->dialling || n > VSOCK_IOV_MAX)
		abort();
	for (unsigned int i = 0; i < n; i++) {
		len += iov[i].iov_len;
		if (!iov[i].iov_len)
			abort();
		sink = *(uint8_t *)iov[i].iov_base;
		sink = ((uint8_t *)iov[i].iov_base)[iov[i].iov_len - 1];
		(void)sink;
	}
	if (!len)
		abort();
	if (h->broken) {
		h->held = 0;
		return -EPIPE;
	}
	if (h->takes % 1000 == 13) { /* too long, or no memory */
		h->held = 0;
		return len & 1 ? -EMSGSIZE : -ENOMEM;
	}
	if (was) {
		h->held += len;
		if (h->held > VSOCK_BUF_ALLOC)
			abort();
		return 0;
	}
	return take(h, len);
}

static ssize_t flush(void *host)
{
	struct host *h = host;

	if (!h->conn)
		abort();
	if (h->broken) {
		h->held = 0;
		return -EPIPE;
	}
	return take(h, h->held);
}

static size_t held(void *host)
{
	return ((struct host *)host)->held;
}

static void shut(void *host, bool no_more_data, bool no_more_reading)
{
	struct host *h = host;

	(void)no_more_reading;
	if (!h->conn || (no_more_data && h->held))
		abort();
}

static void ended(void *host, enum vsock_end why)
{
	struct host *h = host;

	if (!h->conn || (why == VSOCK_END_CLOSED && h->held))
		abort();
	h->conn = NULL;
}

static void wake(void *ctx)
{
	(void)ctx;
}

static const struct vsock_ops ops = {
	.dial = dial,
	.next = next,
	.answered = answered,
	.pull = pull,
	.waiting = waiting,
	.push = push,
	.flush = flush,
	.held = held,
	.shut = shut,
	.ended = ended,
	.wake = wake,
};

/* ---- the guest */

static void none(void *ctx, unsigned int i)
{
	(void)ctx;
	(void)i;
}

static void on_reset(void *ctx)
{
	struct fuzz *f = ctx;

	vsock_reset(f->pump->v);
}

static const struct vu_device_ops device_ops = {
	.ring_started = none,
	.ring_stopping = none,
	.reset = on_reset,
	.lost_track = on_reset,
};

static void rings(struct fuzz *f)
{
	memset(ram, 0, RX_AT);
	for (unsigned int i = 0; i < 2; i++) {
		struct vu_ring *r = &f->d.rings[i];

		r->q = (struct vqueue) {
			.num = NUM,
			.event_idx = i == 0,
			.indirect = true,
		};
		if (vring_map(&r->q, &f->d.gmem, GPA + RING_AT(i),
			      GPA + RING_AT(i) + AVAIL_AT,
			      GPA + RING_AT(i) + USED_AT) < 0 ||
		    vring_start(&r->q) < 0)
			abort();
		r->running = r->enabled = true;
		f->avail[i] = 0;
	}
}

static void put_desc(unsigned int ring, unsigned int i, uint32_t off,
		     uint32_t len, uint16_t flags)
{
	uint8_t *p = ram + RING_AT(ring) + 16u * i;

	le64_put(p, GPA + off);
	le32_put(p + 8, len);
	le16_put(p + 12, flags);
	le16_put(p + 14, 0);
}

static void put_avail(struct fuzz *f, unsigned int ring, uint16_t head)
{
	uint8_t *a = ram + RING_AT(ring) + AVAIL_AT;

	le16_put(a + 4 + 2u * (f->avail[ring] % NUM), head);
	le16_put(a + 2, ++f->avail[ring]);
}

static void good_packet(struct fuzz *f)
{
	static const uint32_t windows[] = { 0,	    128,	4096,
					    262144, UINT32_MAX, 0x80000000u,
					    65536,  1 };
	unsigned int slot = f->avail[1] % NUM;
	uint8_t kind = u8(f), port = u8(f), window = u8(f);
	struct vsock_header h = {
		.src_cid = 3,
		.dst_cid = kind & 0x40 ? 7 : 2,
		.src_port = port & 15,
		.dst_port = (port >> 4) & 3,
		.type = kind & 0x80 ? 2 : 1,
		.op = kind & 15,
		.flags = window >> 4,
		.buf_alloc = windows[window & 7],
	};
	uint32_t chain;

	h.fwd_cnt = u16(f);
	h.len = u16(f) & 0x3fff;
	chain = VSOCK_HEADER + (h.len < TX_SIZE * 2 ? h.len : TX_SIZE * 2);
	if (kind & 0x20)
		h.fwd_cnt <<= 16;
	vsock_header_encode(&h, ram + TX_AT + slot * TX_SIZE);
	put_desc(1, slot, TX_AT + slot * TX_SIZE, chain, 0);
	put_avail(f, 1, (uint16_t)slot);
}

static void rx_buffers(struct fuzz *f)
{
	uint8_t n = u8(f) % NUM, len = u8(f);

	for (unsigned int i = 0; i < n; i++) {
		unsigned int slot = f->avail[0] % NUM;

		put_desc(0, slot, RX_AT + slot * RX_SIZE,
			 len < 128 ? len : (uint32_t)len * 16,
			 VRING_DESC_F_WRITE);
		put_avail(f, 0, (uint16_t)slot);
	}
}

static void poke(struct fuzz *f)
{
	uint32_t at = u16(f), n = u8(f) % 32;

	for (uint32_t i = 0; i < n && at + i < RX_AT; i++)
		ram[at + i] = u8(f);
}

static void host_event(struct fuzz *f)
{
	struct host *h = &f->hosts[u8(f) % HOSTS];
	struct vsock *v = f->pump->v;
	struct vsock_conn *c = h->conn;
	uint8_t what = u8(f);

	if (!c) {
		if (what & 1 ||
		    vsock_open(v, what & 2 ? VSOCK_SEQPACKET : VSOCK_STREAM,
			       VSOCK_CID_HOST + (what >> 6 & 1) * 5, what >> 4,
			       (what >> 2) & 3, h, &c) < 0)
			return;
		*h = (struct host) { .conn = c, .asked = true };
		return;
	}
	switch (what % 6) {
	case 0:
		if (h->dialling) {
			h->dialling = false;
			vsock_accept(v, c);
		}
		break;
	case 1:
		h->conn = NULL;
		vsock_abort(v, c);
		break;
	case 2:
		h->gives += u16(f);
		h->eof = what & 0x80;
		vsock_readable(v, c);
		break;
	case 3:
		h->takes += u16(f) * 4u;
		vsock_writable(v, c);
		break;
	case 4:
		if (!h->dialling && !h->asked) {
			h->broken = true;
			h->held = 0;
			vsock_unread(v, c);
		}
		break;
	case 5:
		h->takes = u16(f);
		break;
	}
}

static void run(struct fuzz *f)
{
	unsigned int ring = 0;

	vsock_time(f->pump->v, f->now);
	if (pump_run(f->pump, &ring) < 0) {
		vu_ring_broken(&f->d, ring);
		/* as a front-end does: the guest is reset */
		vsock_reset(f->pump->v);
		rings(f);
	}
	if (vsock_conn_count(f->pump->v) > VSOCK_CONNS_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;
	static struct pump pump;

	memset(&f, 0, sizeof(f));
	f.p = data;
	f.end = data + size;
	f.pump = &pump;
	vu_device_init(&f.d, 3, &device_ops, &f);
	f.d.gmem.count = 1;
	f.d.gmem.at[0] = (struct gmem_region) {
		.r = { .gpa = GPA, .size = RAM, .uva = GPA },
		.map = ram,
		.map_len = RAM,
	};
	pump.d = &f.d;
	if (vsock_new(3, &ops, &f, &pump.v) < 0)
		return 0;
	vsock_set_seqpacket(pump.v, true);
	rings(&f);
	while (f.p < f.end) {
		switch (u8(&f) % 8) {
		case 0:
		case 1:
			good_packet(&f);
			break;
		case 2:
			poke(&f);
			break;
		case 3:
			rx_buffers(&f);
			break;
		case 4:
			run(&f);
			break;
		case 5:
			host_event(&f);
			break;
		case 6:
			f.now += (uint64_t)u8(&f) * 100000000u;
			break;
		case 7:
			if (u8(&f) == 7) {
				vsock_reset(pump.v);
				rings(&f);
			}
			break;
		}
	}
	run(&f);
	pump.v = vsock_free(pump.v);
	for (int i = 0; i < HOSTS; i++)
		if (f.hosts[i].conn)
			abort(); /* every host end was told */
	return 0;
}
