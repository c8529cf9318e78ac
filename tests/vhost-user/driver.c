/* SPDX-License-Identifier: MIT */
/* driver.c - see driver.h */
#include "driver.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "transport/vhost-user/message.h"

#define F_PROTOCOL (1ull << 30)
#define PROTOCOL \
	((1ull << 0) | (1ull << 3) | (1ull << 9) | (1ull << 13) | (1ull << 19))
#define PF_SLOTS (1ull << 15)
#define REPLY_MS 10000

/* Places in RAM. */
#define RING_AT(i) ((uint64_t)(i)*0x10000u)
#define AVAIL_OFF 0x4000u
#define USED_OFF 0x8000u
#define INDIRECT_AT 0x80000u /* a table for each transmit slot */
#define INDIRECT_SIZE 0x200u
#define RX_AT 0x100000u
#define EVENT_AT 0xa0000u
#define EVENT_BUFS 8u
#define TX_AT 0xf80000u /* goes across the cut between the regions */

uint64_t drv_gpa(uint64_t off)
{
	return DRV_GPA + off;
}

uint64_t drv_tx_slot(unsigned int slot)
{
	return TX_AT + (uint64_t)slot * DRV_TX_SLOT;
}

uint64_t drv_rx_slot(unsigned int slot)
{
	return RX_AT + (uint64_t)slot * DRV_RX_BUF;
}

static uint16_t load16(struct drv *d, uint64_t off)
{
	return __atomic_load_n((uint16_t *)(void *)(d->ram + off),
			       __ATOMIC_ACQUIRE);
}

static void store16(struct drv *d, uint64_t off, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)(d->ram + off), v,
			 __ATOMIC_RELEASE);
}

void drv_init(struct drv *d)
{
	memset(d, 0, sizeof(*d));
	d->sock = -1;
	d->features = (1ull << 32) | (1ull << 29) | (1ull << 28);
	d->split = 2;
	d->rx_len = DRV_RX_BUF;
	d->queues = 2;
	d->memfd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	must(d->memfd >= 0);
	must(ftruncate(d->memfd, DRV_RAM) == 0);
	d->ram = mmap(NULL, DRV_RAM, PROT_READ | PROT_WRITE, MAP_SHARED,
		      d->memfd, 0);
	must(d->ram != MAP_FAILED);
	for (unsigned int i = 0; i < DRV_RINGS; i++) {
		struct drv_ring *r = &d->rings[i];

		r->desc = RING_AT(i);
		r->avail = RING_AT(i) + AVAIL_OFF;
		r->used = RING_AT(i) + USED_OFF;
		r->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	drv_forget(d);
}

void drv_fini(struct drv *d)
{
	for (unsigned int i = 0; i < DRV_RINGS; i++) {
		close(d->rings[i].kick);
		close(d->rings[i].call);
		close(d->rings[i].err);
	}
	munmap(d->ram, DRV_RAM);
	close(d->memfd);
	if (d->sock >= 0)
		close(d->sock);
	d->sock = -1;
}

/* ---- the VMM */

int drv_send(struct drv *d, uint32_t request, uint32_t flags, const void *p,
	     uint32_t size, const int *fds, int nfds)
{
	uint8_t buf[VU_HEADER + 1024];

	must(size <= 1024);
	le32_put(buf, request);
	le32_put(buf + 4, flags);
	le32_put(buf + 8, size);
	if (size)
		memcpy(buf + VU_HEADER, p, size);
	return fdmsg_send(d->sock, buf, VU_HEADER + size, fds, nfds, 0);
}

static int read_all(int fd, uint8_t *p, size_t len)
{
	while (len) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&pfd, 1, REPLY_MS) == 0)
			return -ETIMEDOUT;
		n = read(fd, p, len);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int drv_reply(struct drv *d, uint32_t request, void *p, uint32_t size)
{
	uint8_t head[VU_HEADER];
	uint32_t len;
	int r;

	r = read_all(d->sock, head, sizeof(head));
	if (r < 0)
		return r;
	len = le32_get(head + 8);
	must(le32_get(head) == request);
	must(le32_get(head + 4) == 5);
	must(len <= size);
	r = read_all(d->sock, p, len);
	return r < 0 ? r : (int)len;
}

int drv_ack(struct drv *d, uint32_t request, const void *p, uint32_t size,
	    const int *fds, int nfds)
{
	uint8_t v[8];
	int r;

	r = drv_send(d, request, VU_FLAG_VERSION | VU_FLAG_NEED_REPLY, p, size,
		     fds, nfds);
	if (r == 0)
		r = drv_reply(d, request, v, sizeof(v));
	if (r < 0)
		return r;
	must(r == 8);
	return le64_get(v) != 0;
}

int drv_get(struct drv *d, uint32_t request, uint64_t *ret)
{
	uint8_t v[8];
	int r;

	r = drv_send(d, request, VU_FLAG_VERSION, NULL, 0, NULL, 0);
	if (r == 0)
		r = drv_reply(d, request, v, sizeof(v));
	if (r < 0)
		return r;
	must(r == 8);
	*ret = le64_get(v);
	return 0;
}

int drv_state(struct drv *d, uint32_t request, uint32_t index, uint32_t num)
{
	uint8_t p[8];

	le32_put(p, index);
	le32_put(p + 4, num);
	return drv_ack(d, request, p, sizeof(p), NULL, 0);
}

static void set_u64(struct drv *d, uint32_t request, uint64_t v)
{
	uint8_t p[8];

	le64_put(p, v);
	must(drv_ack(d, request, p, sizeof(p), NULL, 0) == 0);
}

void drv_handshake(struct drv *d, int sock)
{
	uint64_t offered, protocol, queues;
	uint8_t config[20] = { 0 };

	d->sock = sock;
	must(drv_get(d, VU_GET_FEATURES, &offered) == 0);
	if (d->any_device)
		d->features &= offered;
	must((~offered & (d->features | F_PROTOCOL)) == 0);
	must(drv_get(d, VU_GET_PROTOCOL_FEATURES, &protocol) == 0);
	must(d->any_device || protocol == (PROTOCOL | PF_SLOTS));
	set_u64(d, VU_SET_PROTOCOL_FEATURES,
		(PROTOCOL | (d->mem_slots ? PF_SLOTS : 0)) & protocol);
	must(drv_get(d, VU_GET_QUEUE_NUM, &queues) == 0);
	must(d->any_device ? queues >= d->queues : queues == 3);
	must(drv_ack(d, VU_SET_OWNER, NULL, 0, NULL, 0) == 0);
	le32_put(config + 4, 8);
	must(drv_send(d, VU_GET_CONFIG, VU_FLAG_VERSION, config, sizeof(config),
		      NULL, 0) == 0);
	must(drv_reply(d, VU_GET_CONFIG, config, sizeof(config)) == 20);
	must(le32_get(config + 4) == 8);
	must(le64_get(config + 12) == DRV_CID);
}

static void put_region(uint8_t *p, uint64_t off, uint64_t len)
{
	le64_put(p, drv_gpa(off));
	le64_put(p + 8, len);
	le64_put(p + 16, DRV_UVA + off);
	le64_put(p + 24, off);
}

int drv_memory(struct drv *d)
{
	const int fds[2] = { d->memfd, d->memfd };
	uint8_t p[8 + 64] = { 0 };
	int r;

	if (!d->mem_slots) {
		le32_put(p, 2);
		put_region(p + 8, 0, DRV_LOW);
		put_region(p + 40, DRV_LOW, DRV_RAM - DRV_LOW);
		return drv_ack(d, VU_SET_MEM_TABLE, p, sizeof(p), fds, 2);
	}
	put_region(p + 8, 0, DRV_LOW);
	r = drv_ack(d, VU_ADD_MEM_REG, p, 40, fds, 1);
	if (r)
		return r;
	put_region(p + 8, DRV_LOW, DRV_RAM - DRV_LOW);
	return drv_ack(d, VU_ADD_MEM_REG, p, 40, fds, 1);
}

void drv_ring_addr(struct drv *d, unsigned int i, uint8_t p[40])
{
	memset(p, 0, 40);
	le32_put(p, i);
	le64_put(p + 8, DRV_UVA + d->rings[i].desc);
	le64_put(p + 16, DRV_UVA + d->rings[i].used);
	le64_put(p + 24, DRV_UVA + d->rings[i].avail);
}

static void set_fd(struct drv *d, uint32_t request, unsigned int i, int fd)
{
	uint8_t p[8];

	le64_put(p, i);
	must(drv_ack(d, request, p, sizeof(p), &fd, 1) == 0);
}

void drv_start(struct drv *d)
{
	uint8_t addr[40];

	set_u64(d, VU_SET_FEATURES, d->features | F_PROTOCOL);
	for (unsigned int i = 0; i < d->queues; i++) {
		must(drv_state(d, VU_SET_VRING_NUM, i, DRV_NUM) == 0);
		must(drv_state(d, VU_SET_VRING_BASE, i, d->rings[i].base) == 0);
		drv_ring_addr(d, i, addr);
		must(drv_ack(d, VU_SET_VRING_ADDR, addr, sizeof(addr), NULL,
			     0) == 0);
		set_fd(d, VU_SET_VRING_KICK, i, d->rings[i].kick);
	}
	for (unsigned int i = 0; i < d->queues; i++) {
		must(drv_state(d, VU_SET_VRING_ENABLE, i, 1) == 0);
		set_fd(d, VU_SET_VRING_CALL, i, d->rings[i].call);
		set_fd(d, VU_SET_VRING_ERR, i, d->rings[i].err);
	}
}

void drv_stop(struct drv *d)
{
	uint8_t p[8];

	for (unsigned int i = 0; i < d->queues; i++)
		must(drv_state(d, VU_SET_VRING_ENABLE, i, 0) == 0);
	for (unsigned int i = 0; i < d->queues; i++) {
		le32_put(p, i);
		le32_put(p + 4, 0);
		must(drv_send(d, VU_GET_VRING_BASE, VU_FLAG_VERSION, p,
			      sizeof(p), NULL, 0) == 0);
		must(drv_reply(d, VU_GET_VRING_BASE, p, sizeof(p)) == 8);
		must(le32_get(p) == i);
		d->rings[i].base = (uint16_t)le32_get(p + 4);
	}
}

/* ---- the guest */

void drv_put_desc(struct drv *d, uint64_t table, unsigned int at, uint64_t addr,
		  uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t *p = d->ram + table + (uint64_t)at * 16;

	le64_put(p, addr);
	le32_put(p + 8, len);
	le16_put(p + 12, flags);
	le16_put(p + 14, next);
}

void drv_put_avail(struct drv *d, unsigned int ring, uint16_t head)
{
	struct drv_ring *r = &d->rings[ring];

	store16(d, r->avail + 4 + 2u * (r->avail_idx % DRV_NUM), head);
	store16(d, r->avail + 2, ++r->avail_idx);
}

void drv_kick(struct drv *d, unsigned int i)
{
	uint64_t one = 1;

	d->kicks++;
	must(write(d->rings[i].kick, &one, sizeof(one)) == 8);
}

/* As a driver does it: only if the device asks. */
static void kick_if_asked(struct drv *d, unsigned int i, uint16_t old)
{
	struct drv_ring *r = &d->rings[i];
	uint16_t event;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (d->features & (1ull << 29)) {
		event = load16(d, r->used + 4 + 8 * DRV_NUM);
		if ((uint16_t)(r->avail_idx - event - 1) <
		    (uint16_t)(r->avail_idx - old))
			drv_kick(d, i);
	} else if (!(load16(d, r->used) & VRING_USED_F_NO_NOTIFY)) {
		drv_kick(d, i);
	}
}

void drv_post_rx(struct drv *d, unsigned int slot, uint32_t len)
{
	uint16_t old = d->rings[0].avail_idx;

	drv_put_desc(d, d->rings[0].desc, slot,
		     drv_gpa(RX_AT + (uint64_t)slot * DRV_RX_BUF), len,
		     VRING_DESC_F_WRITE, 0);
	drv_put_avail(d, 0, (uint16_t)slot);
	kick_if_asked(d, 0, old);
}

static void put_event(struct drv *d, unsigned int slot)
{
	drv_put_desc(d, d->rings[2].desc, slot, drv_gpa(EVENT_AT + 8u * slot),
		     8, VRING_DESC_F_WRITE, 0);
	drv_put_avail(d, 2, (uint16_t)slot);
}

/* Rings as a freshly loaded driver makes them. */
void drv_forget(struct drv *d)
{
	for (unsigned int i = 0; i < DRV_RINGS; i++) {
		struct drv_ring *r = &d->rings[i];

		memset(d->ram + RING_AT(i), 0, 0x10000);
		r->avail_idx = r->used_seen = r->base = 0;
	}
	memset(d->ram + EVENT_AT, 0xff, 8 * EVENT_BUFS);
	memset(d->tx_busy, 0, sizeof(d->tx_busy));
	d->tx_free = DRV_NUM / 4;
	for (unsigned int i = 0; i < DRV_NUM; i++) {
		drv_put_desc(d, d->rings[0].desc, i,
			     drv_gpa(RX_AT + (uint64_t)i * DRV_RX_BUF),
			     DRV_RX_BUF, VRING_DESC_F_WRITE, 0);
		drv_put_avail(d, 0, (uint16_t)i);
	}
	for (unsigned int i = 0; i < EVENT_BUFS; i++)
		put_event(d, i);
}

/*
 * A transmit slot has four descriptors of the ring. The packet is cut into
 * d->split pieces, the first of them so that the header straddles two if
 * there are more than two.
 */
bool drv_tx_raw(struct drv *d, const void *p, size_t len)
{
	unsigned int slot = 0, n = d->split, first;
	uint64_t buf, table;
	uint16_t old = d->rings[1].avail_idx;
	size_t at = 0;

	must(len <= DRV_TX_SLOT);
	must(n <= (d->indirect ? 18u : 4u));
	if (!d->tx_free)
		return false;
	while (d->tx_busy[slot])
		slot++;
	d->tx_busy[slot] = true;
	d->tx_free--;
	buf = drv_tx_slot(slot);
	memcpy(d->ram + buf, p, len);
	table = d->indirect ? INDIRECT_AT + slot * INDIRECT_SIZE
			    : d->rings[1].desc;
	first = d->indirect ? 0 : slot * 4;
	if (n > len)
		n = 1;
	for (unsigned int i = 0; i < n; i++) {
		size_t part = n == 2 && i == 0 && len > 44 ? 44 : len / n;

		if (i == n - 1)
			part = len - at;
		drv_put_desc(d, table, first + i, drv_gpa(buf + at),
			     (uint32_t)part, i == n - 1 ? 0 : VRING_DESC_F_NEXT,
			     (uint16_t)(first + i + 1));
		at += part;
	}
	if (d->indirect)
		drv_put_desc(d, d->rings[1].desc, slot * 4, drv_gpa(table),
			     n * 16, VRING_DESC_F_INDIRECT, 0);
	drv_put_avail(d, 1, (uint16_t)(slot * 4));
	kick_if_asked(d, 1, old);
	return true;
}

bool drv_tx(struct drv *d, const struct vsock_header *h, const void *payload)
{
	uint8_t buf[DRV_TX_SLOT];

	must(h->len <= sizeof(buf) - 44);
	vsock_header_encode(h, buf);
	if (h->len)
		memcpy(buf + 44, payload, h->len);
	return drv_tx_raw(d, buf, 44 + h->len);
}

static void rx_used(struct drv *d, uint32_t id, uint32_t len)
{
	const uint8_t *p = d->ram + RX_AT + (uint64_t)id * DRV_RX_BUF;
	struct vsock_header h;

	must(id < DRV_NUM);
	must(len <= DRV_RX_BUF);
	if (len) {
		must(len >= 44);
		vsock_header_decode(p, &h);
		must(len == 44 + h.len);
		if (d->packet)
			d->packet(d->ctx, &h, p + 44);
	}
}

static void drain(int fd, uint64_t *count)
{
	uint64_t v;

	if (read(fd, &v, sizeof(v)) == sizeof(v))
		*count += v;
}

bool drv_poll(struct drv *d)
{
	bool any = false;

	for (unsigned int i = 0; i < d->queues; i++) {
		struct drv_ring *r = &d->rings[i];

		drain(r->call, &d->interrupts);
	again:
		if (i == 0 && d->hold_rx)
			continue;
		while (load16(d, r->used + 2) != r->used_seen) {
			const uint8_t *e = d->ram + r->used + 4 +
					   8u * (r->used_seen % DRV_NUM);
			uint32_t id = le32_get(e), len = le32_get(e + 4);

			/* the place of the one that is oldest */
			if (d->features & (1ull << 35))
				must(load16(d, r->avail + 4 +
						       2 * (r->used_seen %
							    DRV_NUM)) == id);
			any = true;
			r->used_seen++;
			if (i == 0) {
				rx_used(d, id, len);
				drv_post_rx(d, id, d->rx_len);
				continue;
			}
			if (i == 2) {
				must(len == 4 && id < EVENT_BUFS);
				must(le32_get(d->ram + EVENT_AT + 8 * id) == 0);
				d->events++;
				put_event(d, id);
				drv_kick(d, 2);
				continue;
			}
			must(len == 0);
			must(id / 4 < DRV_NUM / 4);
			must(d->tx_busy[id / 4]);
			d->tx_busy[id / 4] = false;
			d->tx_free++;
		}
		/* ask for the next interrupt, look again */
		store16(d, r->avail + 4 + 2 * DRV_NUM, r->used_seen);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (load16(d, r->used + 2) != r->used_seen)
			goto again;
	}
	return any;
}
