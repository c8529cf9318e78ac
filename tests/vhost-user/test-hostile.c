/* SPDX-License-Identifier: MIT */
/*
 * test-hostile.c - memory that changes while the device looks at it, and memory
 * that goes away
 *
 * A thread of the guest writes all over one kind of thing (addresses, lengths,
 * indices, headers, ...) while the device works on packets. Nothing is promised
 * to that guest but that the program goes on: afterwards it resets its device,
 * and all is well.
 */
#include <check.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "rig.h"

#define OK_AT 0xa0000u /* RAM that nobody else uses */
#define INDIRECT_AT 0x80000u
#define RX_AT 0x100000u
#define ROUNDS 12

enum target {
	ADDRESSES,
	LENGTHS,
	FLAGS,
	NEXTS,
	HEADS,	   /* in the avail ring */
	INDICES,   /* of it */
	EVENTS,	   /* and flags */
	USED,	   /* what the device alone may write */
	HEADERS,   /* of packets */
	INDIRECTS, /* tables */
	TARGETS
};

static struct {
	struct drv *d;
	enum target target;
	uint32_t x;
	atomic_bool stop;
} scribbler;

static uint32_t any(void)
{
	scribbler.x = scribbler.x * 1664525u + 1013904223u;
	return scribbler.x >> 8;
}

static uint64_t any_address(void)
{
	switch (any() % 8) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX - any() % 64;
	case 2:
		return drv_gpa(DRV_RAM - any() % 64);
	case 3:
		return drv_gpa(DRV_LOW - any() % 64); /* across regions */
	case 4:
		return drv_gpa(any() % 0x30000); /* the rings themselves */
	default:
		return drv_gpa(OK_AT + any() % 4096);
	}
}

static uint32_t any_length(void)
{
	static const uint32_t lens[] = { 0,	43,    44,	  45,	 100,
					 65536, 65580, UINT32_MAX, 1u << 24,
					 16,	4096,  3776 };

	return lens[any() % ARRAY_LEN(lens)];
}

static void put_anything(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)any();
}

static void scribble_desc(uint8_t *p, enum target what)
{
	if (what == ADDRESSES)
		le64_put(p, any_address());
	else if (what == LENGTHS)
		le32_put(p + 8, any_length());
	else if (what == FLAGS)
		le16_put(p + 12, any() & 7);
	else
		le16_put(p + 14, any() % (DRV_NUM + 4));
}

static void *scribble(void *arg)
{
	struct drv *d = scribbler.d;

	(void)arg;
	while (!atomic_load(&scribbler.stop)) {
		struct drv_ring *r = &d->rings[any() % 2];
		uint8_t *p = d->ram;
		uint32_t at = any() % DRV_NUM;

		switch (scribbler.target) {
		case ADDRESSES:
		case LENGTHS:
		case FLAGS:
		case NEXTS:
			scribble_desc(p + r->desc + 16 * at, scribbler.target);
			break;
		case HEADS:
			le16_put(p + r->avail + 4 + 2 * at,
				 (uint16_t)(any() % (DRV_NUM + 2)));
			break;
		case INDICES:
			le16_put(p + r->avail + 2,
				 (uint16_t)(r->avail_idx + any() % 200 - 100));
			break;
		case EVENTS:
			le16_put(p + r->avail, any() & 1);
			le16_put(p + r->avail + 4 + 2 * DRV_NUM,
				 (uint16_t)any());
			break;
		case USED:
			put_anything(p + r->used, 4 + 8 * DRV_NUM + 2);
			break;
		case HEADERS:
			put_anything(p + drv_tx_slot(any() % 32) + any() % 44,
				     1);
			break;
		default:
			scribble_desc(p + INDIRECT_AT + 16 * at,
				      any() % 4);
			break;
		}
	}
	return NULL;
}

static uint16_t used_idx(struct drv *d, unsigned int i)
{
	return __atomic_load_n(
		(uint16_t *)(void *)(d->ram + d->rings[i].used + 2),
		__ATOMIC_ACQUIRE);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* Good packets into the ring, as far as the scribbler leaves them so. */
static void work(struct rig *r)
{
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = 2,
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_RW,
				  .src_port = 1025,
				  .dst_port = 5000,
				  .buf_alloc = 262144 };
	static uint8_t payload[3000];
	bool broken = false;

	for (int n = 0; n < 20 && !broken; n++) {
		while (r->d.tx_free) {
			h.len = r->d.tx_free % 2 ? sizeof(payload) : 10;
			h.src_port = 1025 + r->d.tx_free % 2;
			(void)drv_tx(&r->d, &h, payload);
		}
		drv_kick(&r->d, 0);
		drv_kick(&r->d, 1);
		/* done, or broken, or not even seen as it is now: go on */
		for (int i = 0; i < 20 && !broken; i++) {
			if (used_idx(&r->d, 1) == r->d.rings[1].avail_idx)
				break;
			broken = readable(r->d.rings[1].err, 1) ||
				 readable(r->d.rings[0].err, 0);
		}
		/* the driver's own notes are of no use here */
		memset(r->d.tx_busy, 0, sizeof(r->d.tx_busy));
		r->d.tx_free = DRV_NUM / 4;
		(void)fb_poll(&r->b);
	}
}

static void start_again(struct rig *r)
{
	uint32_t on = 1;
	uint64_t v;

	drv_stop(&r->d);
	for (unsigned int i = 0; i < 2; i++)
		(void)!read(r->d.rings[i].err, &v, sizeof(v));
	drv_forget(&r->d);
	memset(r->guest, 0, sizeof(r->guest));
	drv_start(&r->d);
	rig_wait(r, rig_idle_state, &on, "STATE running");
	rig_settle(r);
	while (r->b.ndials)
		fb_dial_refuse(&r->b, 0, HVS_REASON_NO_LISTENER);
	rig_settle(r);
}

static void set_indirect(struct drv *d)
{
	d->indirect = true;
	d->split = 8;
}

static void set_chains(struct drv *d)
{
	d->split = 4;
}

START_TEST(test_memory_changes)
{
	struct rig *r = rig_start_with(_i == INDIRECTS ? set_indirect
						       : set_chains);
	int one = 1;

	for (uint32_t n = 0; n < ROUNDS; n++) {
		pthread_t t;

		rig_connected(r, 0, 1025, 5000);
		r->prog[0].to_send = 50000;
		scribbler.d = &r->d;
		scribbler.target = (enum target)_i;
		scribbler.x = n * 77 + (uint32_t)_i;
		atomic_store(&scribbler.stop, false);
		ck_assert_int_eq(pthread_create(&t, NULL, scribble, NULL), 0);
		work(r);
		atomic_store(&scribbler.stop, true);
		pthread_join(t, NULL);
		close(r->prog[0].fd);
		r->prog[0].fd = -1;
		start_again(r);
	}
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 100000;
	rig_wait(r, rig_all_arrived, &one, "all bytes, afterwards");
	rig_end(r);
}
END_TEST

/* ---- memory that goes away: all behind 8 MiB, but for the rings */

#define CUT (8u << 20)
#define GONE 0xf80000u

static void by_hand(struct rig *r, const struct vsock_header *h, bool header)
{
	uint8_t raw[VSOCK_HEADER];

	vsock_header_encode(h, raw);
	memcpy(r->d.ram + OK_AT, raw, sizeof(raw));
	drv_put_desc(&r->d, r->d.rings[1].desc, 0,
		     drv_gpa(header ? OK_AT : GONE), VSOCK_HEADER,
		     VRING_DESC_F_NEXT, 1);
	drv_put_desc(&r->d, r->d.rings[1].desc, 1, drv_gpa(GONE), h->len, 0, 0);
	r->d.tx_busy[0] = true;
	r->d.tx_free--;
	drv_put_avail(&r->d, 1, 0);
	drv_kick(&r->d, 1);
}

/* 0: the payload; 1: the header; 2: receive buffers; 3: the payload of what is
 * held, since the program does not read */
START_TEST(test_part_of_memory_gone)
{
	struct rig *r = rig_start();
	struct vsock_header h;
	uint8_t byte;
	int zero = 0;

	rig_connected(r, 0, 1025, 5000);
	rig_connected(r, 1, 1026, 5000);
	if (_i == 3) {
		r->prog[0].stalled = true;
		r->guest[0].to_send = 500000;
		while (r->guest[0].sent < r->guest[0].to_send)
			rig_step(r, 10);
	}
	rig_settle(r);
	if (_i == 2) {
		for (unsigned int i = 0; i < DRV_NUM; i++)
			drv_put_desc(&r->d, r->d.rings[0].desc, i,
				     drv_gpa(GONE), DRV_RX_BUF,
				     VRING_DESC_F_WRITE, 0);
		r->d.hold_rx = true;
	}
	ck_assert_int_eq(ftruncate(r->d.memfd, CUT), 0);
	h = rig_header(&r->guest[0], VSOCK_OP_RW);
	h.len = 1000;
	if (_i == 2) {
		/* read into what is not there; or headers are written there */
		ck_assert_int_eq(send(r->prog[0].fd, "x", 1, 0), 1);
	} else {
		by_hand(r, &h, _i != 1);
	}
	if (_i == 0) {
		/* this connection only */
		rig_wait(r, rig_was_reset, &zero, "RST");
		r->prog[1].to_send = 100000;
		while (r->guest[1].received < 100000 && !r->guest[1].reset) {
			r->guest[1].stalled = true;
			rig_step(r, 10);
		}
		ck_assert(!r->guest[1].reset);
	} else {
		/* the device: the front-end is dropped */
		ck_assert_int_eq(recv(r->d.sock, &byte, 1, 0), 0);
		rig_wait(r, rig_idle_state, &(uint32_t) { 0 }, "STATE off");
	}
	ck_assert_int_eq(ftruncate(r->d.memfd, DRV_RAM), 0);
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-hostile");
	TCase *t = tcase_create("hostile memory");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_memory_changes, 0, TARGETS);
	tcase_add_loop_test(t, test_part_of_memory_gone, 0, 4);
	suite_add_tcase(s, t);
	return rig_run(s);
}
