/* SPDX-License-Identifier: MIT */
/*
 * test-bad-input.c - a front-end and a guest that break every rule
 *
 * Each row is one thing done wrong, to the running program. Afterwards the
 * program must be there: in rows of messages the same front-end or the next
 * one gets a working device; in rows of rings the ring is stopped and the err
 * descriptor signalled, and a reset makes it work; in rows of packets the
 * connection is reset and its neighbour lives.
 */
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
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "rig.h"
#include "transport/vhost-user/message.h"

#define V VU_FLAG_VERSION
#define N (VU_FLAG_VERSION | VU_FLAG_NEED_REPLY)

static bool all_arrived(struct rig *r, void *arg)
{
	int n = *(int *)arg;

	for (int i = 0; i < n; i++)
		if (r->prog[i].received != r->guest[i].to_send ||
		    r->guest[i].received != r->prog[i].to_send)
			return false;
	return true;
}

static bool was_reset(struct rig *r, void *arg)
{
	return r->guest[*(int *)arg].reset;
}

/* A fresh VMM and guest work. */
static void works(struct rig *r)
{
	uint32_t on = 1;
	int one = 1;

	drv_forget(&r->d);
	memset(r->guest, 0, sizeof(r->guest));
	drv_handshake(&r->d, rig_front_end(r));
	ck_assert_int_eq(drv_memory(&r->d), 0);
	drv_start(&r->d);
	rig_wait(r, rig_idle_state, &on, "STATE running");
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 100000;
	rig_wait(r, all_arrived, &one, "bytes");
}

/* ---- messages: sent to a device that runs */

enum outcome {
	IGNORED,  /* no answer, goes on */
	ACCEPTED, /* acknowledged with 0 */
	REFUSED,  /* acknowledged with 1 */
	ENDED,	  /* the connection is closed */
};

static const struct {
	const char *what;
	uint32_t request, flags, size;
	int fds; /* >= 0: eventfds; -n: n times the RAM */
	uint8_t payload[48];
	enum outcome outcome;
} messages[] = {
	{ "version 0", VU_GET_FEATURES, 0, 0, 0, { 0 }, ENDED },
	{ "version 2", VU_GET_FEATURES, 2, 0, 0, { 0 }, ENDED },
	{ "version 3", VU_SET_OWNER, 3, 0, 0, { 0 }, ENDED },
	{ "reply bit", VU_SET_OWNER, 5, 0, 0, { 0 }, ENDED },
	{ "request 0", 0, N, 0, 0, { 0 }, REFUSED },
	{ "request 200", 200, N, 8, 0, { 0 }, REFUSED },
	{ "request 2^32-1", UINT32_MAX, N, 8, 0, { 0 }, REFUSED },
	{ "request 200, no reply", 200, V, 8, 0, { 0 }, IGNORED },
	{ "request with descriptors", 200, N, 8, 3, { 0 }, REFUSED },
	{ "SET_FEATURES short", VU_SET_FEATURES, N, 4, 0, { 0 }, REFUSED },
	{ "SET_FEATURES odd", VU_SET_FEATURES, N, 7, 0, { 0 }, REFUSED },
	{ "SET_FEATURES long", VU_SET_FEATURES, N, 16, 0, { 0 }, REFUSED },
	{ "SET_FEATURES not offered",
	  VU_SET_FEATURES,
	  N,
	  8,
	  0,
	  { [5] = 0xff },
	  REFUSED },
	{ "SET_FEATURES with a descriptor",
	  VU_SET_FEATURES,
	  N,
	  8,
	  1,
	  { 0 },
	  REFUSED },
	{ "SET_PROTOCOL_FEATURES not offered",
	  VU_SET_PROTOCOL_FEATURES,
	  N,
	  8,
	  0,
	  { [3] = 0xff },
	  REFUSED },
	{ "GET_FEATURES with payload", VU_GET_FEATURES, V, 8, 0, { 0 }, ENDED },
	{ "GET_QUEUE_NUM with a descriptor",
	  VU_GET_QUEUE_NUM,
	  V,
	  0,
	  1,
	  { 0 },
	  ENDED },
	{ "SET_OWNER with 8 descriptors",
	  VU_SET_OWNER,
	  N,
	  0,
	  8,
	  { 0 },
	  REFUSED },
	{ "SET_OWNER with 9 descriptors", VU_SET_OWNER, N, 0, 9, { 0 }, ENDED },
	{ "size 2^32-1", VU_SET_OWNER, V, UINT32_MAX, 0, { 0 }, ENDED },
	{ "size 277", VU_SET_CONFIG, V, 277, 0, { 0 }, ENDED },
	{ "NUM of ring 3",
	  VU_SET_VRING_NUM,
	  N,
	  8,
	  0,
	  { [0] = 3, [4] = 128 },
	  REFUSED },
	{ "NUM of ring 256",
	  VU_SET_VRING_NUM,
	  N,
	  8,
	  0,
	  { [1] = 1, [4] = 128 },
	  REFUSED },
	{ "NUM of ring 2^31",
	  VU_SET_VRING_NUM,
	  N,
	  8,
	  0,
	  { [3] = 128, [4] = 128 },
	  REFUSED },
	{ "NUM 0", VU_SET_VRING_NUM, N, 8, 0, { 0 }, REFUSED },
	{ "NUM 100", VU_SET_VRING_NUM, N, 8, 0, { [4] = 100 }, REFUSED },
	{ "NUM 65536", VU_SET_VRING_NUM, N, 8, 0, { [6] = 1 }, REFUSED },
	{ "NUM 2^31", VU_SET_VRING_NUM, N, 8, 0, { [7] = 128 }, REFUSED },
	{ "BASE 65536", VU_SET_VRING_BASE, N, 8, 0, { [6] = 1 }, REFUSED },
	{ "BASE of ring 3", VU_SET_VRING_BASE, N, 8, 0, { [0] = 3 }, REFUSED },
	{ "GET_VRING_BASE of ring 3",
	  VU_GET_VRING_BASE,
	  V,
	  8,
	  0,
	  { [0] = 3 },
	  ENDED },
	{ "ENABLE 2", VU_SET_VRING_ENABLE, N, 8, 0, { [4] = 2 }, REFUSED },
	{ "ENABLE of ring 255",
	  VU_SET_VRING_ENABLE,
	  N,
	  8,
	  0,
	  { [0] = 255 },
	  REFUSED },
	{ "ENABLE of a ring that is not there",
	  VU_SET_VRING_ENABLE,
	  N,
	  8,
	  0,
	  { [0] = 2, [4] = 1 },
	  ACCEPTED },
	{ "KICK of ring 3", VU_SET_VRING_KICK, N, 8, 1, { [0] = 3 }, REFUSED },
	{ "KICK without a descriptor",
	  VU_SET_VRING_KICK,
	  N,
	  8,
	  0,
	  { 0 },
	  REFUSED },
	{ "KICK with two", VU_SET_VRING_KICK, N, 8, 2, { 0 }, REFUSED },
	{ "KICK, no descriptor said but sent",
	  VU_SET_VRING_KICK,
	  N,
	  8,
	  1,
	  { [1] = 1 },
	  REFUSED },
	{ "KICK that wants polling",
	  VU_SET_VRING_KICK,
	  N,
	  8,
	  0,
	  { [1] = 1 },
	  REFUSED },
	{ "KICK, unknown bits",
	  VU_SET_VRING_KICK,
	  N,
	  8,
	  1,
	  { [2] = 1 },
	  REFUSED },
	{ "KICK that is a file", VU_SET_VRING_KICK, N, 8, -1, { 0 }, REFUSED },
	{ "CALL that is a file", VU_SET_VRING_CALL, N, 8, -1, { 0 }, REFUSED },
	{ "CALL without, as said",
	  VU_SET_VRING_CALL,
	  N,
	  8,
	  0,
	  { [1] = 1 },
	  ACCEPTED },
	{ "KICK of the event ring before ADDR",
	  VU_SET_VRING_KICK,
	  N,
	  8,
	  1,
	  { [0] = 2 },
	  ACCEPTED },
	{ "ADDR of ring 3", VU_SET_VRING_ADDR, N, 40, 0, { [0] = 3 }, REFUSED },
	{ "ADDR short", VU_SET_VRING_ADDR, N, 32, 0, { 0 }, REFUSED },
	{ "ADDR with logging",
	  VU_SET_VRING_ADDR,
	  N,
	  40,
	  0,
	  { [4] = 1 },
	  REFUSED },
	{ "ADDR outside",
	  VU_SET_VRING_ADDR,
	  N,
	  40,
	  0,
	  { [15] = 0x10 },
	  REFUSED },
	{ "MEM_TABLE of 0", VU_SET_MEM_TABLE, N, 8, 0, { 0 }, REFUSED },
	{ "MEM_TABLE of 0, with room",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  -1,
	  { 0 },
	  REFUSED },
	{ "MEM_TABLE of 9", VU_SET_MEM_TABLE, N, 40, -1, { [0] = 9 }, REFUSED },
	{ "MEM_TABLE of 2^32-1",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  -1,
	  { 255, 255, 255, 255 },
	  REFUSED },
	{ "MEM_TABLE of 1 without a descriptor",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  0,
	  { [0] = 1, [17] = 16 },
	  REFUSED },
	{ "MEM_TABLE of 1 with two",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  -2,
	  { [0] = 1, [17] = 16 },
	  REFUSED },
	{ "MEM_TABLE, region of size 0",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  -1,
	  { [0] = 1 },
	  REFUSED },
	{ "MEM_TABLE, guest address wraps",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  -1,
	  { [0] = 1, [8] = 255, 255, 255, 255, 255, 255, 255, 255, [17] = 16 },
	  REFUSED },
	{ "MEM_TABLE, front-end address wraps",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  -1,
	  { [0] = 1,
	    [17] = 16,
	    [31] = 255,
	    [30] = 255,
	    [29] = 255,
	    [28] = 255,
	    [27] = 255,
	    [26] = 255,
	    [25] = 255 },
	  REFUSED },
	{ "MEM_TABLE, offset wraps",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  -1,
	  { [0] = 1,
	    [17] = 16,
	    [33] = 255,
	    [34] = 255,
	    [35] = 255,
	    [36] = 255,
	    [37] = 255,
	    [38] = 255,
	    [39] = 255 },
	  REFUSED },
	{ "MEM_TABLE, file too short",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  -1,
	  { [0] = 1, [21] = 16 },
	  REFUSED },
	{ "MEM_TABLE, an eventfd",
	  VU_SET_MEM_TABLE,
	  N,
	  40,
	  1,
	  { [0] = 1, [17] = 16 },
	  REFUSED },
	{ "ADD_MEM_REG without a descriptor",
	  VU_ADD_MEM_REG,
	  N,
	  40,
	  0,
	  { [17] = 16 },
	  REFUSED },
	{ "ADD_MEM_REG that overlaps",
	  VU_ADD_MEM_REG,
	  N,
	  40,
	  -1,
	  { [10] = 0x10, [17] = 16 },
	  REFUSED },
	{ "REM_MEM_REG of none",
	  VU_REM_MEM_REG,
	  N,
	  40,
	  0,
	  { [17] = 16 },
	  REFUSED },
	{ "REM_MEM_REG with a descriptor",
	  VU_REM_MEM_REG,
	  N,
	  40,
	  -1,
	  { [17] = 16 },
	  REFUSED },
	{ "SET_LOG_BASE", VU_SET_LOG_BASE, N, 16, -1, { 0 }, REFUSED },
	{ "SET_CONFIG", VU_SET_CONFIG, N, 20, 0, { [4] = 8 }, REFUSED },
	{ "SET_CONFIG, size is wrong",
	  VU_SET_CONFIG,
	  N,
	  20,
	  0,
	  { [4] = 9 },
	  REFUSED },
	{ "GET_CONFIG, size is wrong",
	  VU_GET_CONFIG,
	  V,
	  20,
	  0,
	  { [4] = 9 },
	  ENDED },
	{ "GET_CONFIG short", VU_GET_CONFIG, V, 11, 0, { 0 }, ENDED },
};

static int open_fds(struct rig *r, int want, int *fds)
{
	int n = want < 0 ? -want : want;

	for (int i = 0; i < n; i++)
		fds[i] = want < 0 ? dup(r->d.memfd) : eventfd(0, EFD_CLOEXEC);
	return n;
}

START_TEST(test_message)
{
	struct rig *r = rig_start();
	uint8_t payload[512] = { 0 }, v[8];
	uint32_t size = messages[_i].size, request = messages[_i].request;
	int fds[9], nfds, got;
	uint64_t features;

	memcpy(payload, messages[_i].payload, sizeof(messages[_i].payload));
	nfds = open_fds(r, messages[_i].fds, fds);
	if (size > sizeof(payload)) {
		uint8_t head[12];

		le32_put(head, request);
		le32_put(head + 4, messages[_i].flags);
		le32_put(head + 8, size);
		ck_assert_int_eq(write(r->d.sock, head, 12), 12);
	} else {
		ck_assert_int_eq(drv_send(&r->d, request, messages[_i].flags,
					  payload, size, fds, nfds),
				 0);
	}
	for (int i = 0; i < nfds; i++)
		close(fds[i]);
	switch (messages[_i].outcome) {
	case IGNORED:
		break;
	case ACCEPTED:
	case REFUSED:
		ck_assert_msg(drv_reply(&r->d, request, v, 8) == 8,
			      "%s: no answer", messages[_i].what);
		ck_assert_msg(le64_get(v) == (messages[_i].outcome == REFUSED),
			      "%s: answered %u", messages[_i].what, v[0]);
		break;
	case ENDED:
		got = drv_reply(&r->d, request, v, 8);
		ck_assert_msg(got == -ECONNRESET, "%s: got %d",
			      messages[_i].what, got);
		break;
	}
	if (messages[_i].outcome != ENDED)
		ck_assert_msg(drv_get(&r->d, VU_GET_FEATURES, &features) == 0,
			      "%s: nothing works afterwards",
			      messages[_i].what);
	close(r->d.sock);
	works(r);
	rig_end(r);
}
END_TEST

/* End of file at each byte of a message, with and without a descriptor. */
START_TEST(test_cut_short)
{
	struct rig *r = rig_launch();
	uint8_t m[20] = { VU_SET_VRING_CALL, 0, 0, 0, 1, 0, 0, 0, 8 };

	for (size_t n = 0; n < sizeof(m); n++) {
		int fd = rig_front_end(r), e = eventfd(0, 0);

		if (n) {
			r->d.sock = fd;
			ck_assert_int_eq(send(fd, m, n, 0), (ssize_t)n);
		}
		close(e);
		close(fd);
	}
	works(r);
	rig_end(r);
}
END_TEST

/* A message in single bytes is a message. */
START_TEST(test_in_pieces)
{
	struct rig *r = rig_launch();
	const uint8_t m[12] = { VU_GET_QUEUE_NUM, 0, 0, 0, 1 };
	uint8_t v[8];

	r->d.sock = rig_front_end(r);
	for (size_t i = 0; i < sizeof(m); i++)
		ck_assert_int_eq(send(r->d.sock, m + i, 1, 0), 1);
	ck_assert_int_eq(drv_reply(&r->d, VU_GET_QUEUE_NUM, v, 8), 8);
	ck_assert_uint_eq(v[0], 3);
	close(r->d.sock);
	rig_end(r);
}
END_TEST

START_TEST(test_config_outside)
{
	static const struct {
		uint32_t offset, size, answer;
	} rows[] = { { 0, 8, 8 },	  { 4, 4, 4 }, { 8, 0, 0 },
		     { 4, 8, 0 },	  { 9, 1, 0 }, { 0, 256, 0 },
		     { UINT32_MAX, 8, 0 } };
	struct rig *r = rig_launch();
	uint8_t p[268], a[268];

	r->d.sock = rig_front_end(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		memset(p, 0, sizeof(p));
		le32_put(p, rows[i].offset);
		le32_put(p + 4, rows[i].size);
		ck_assert_int_eq(drv_send(&r->d, VU_GET_CONFIG, V, p,
					  12 + rows[i].size, NULL, 0),
				 0);
		ck_assert_int_eq(drv_reply(&r->d, VU_GET_CONFIG, a, sizeof(a)),
				 12 + (int)rows[i].answer);
		ck_assert_uint_eq(le32_get(a + 4), rows[i].answer);
	}
	close(r->d.sock);
	rig_end(r);
}
END_TEST

/* A region with a ring in it is taken away while the ring runs. */
START_TEST(test_memory_taken)
{
	struct rig *r = rig_launch();
	uint32_t on = 1, off = 0;
	uint8_t p[40] = { 0 };

	r->d.mem_slots = true;
	drv_handshake(&r->d, rig_front_end(r));
	ck_assert_int_eq(drv_memory(&r->d), 0);
	/* the same region twice */
	ck_assert_int_eq(drv_memory(&r->d), 1);
	drv_start(&r->d);
	rig_wait(r, rig_idle_state, &on, "STATE running");
	le64_put(p + 8, drv_gpa(0));
	le64_put(p + 16, DRV_LOW);
	le64_put(p + 24, DRV_UVA);
	ck_assert_int_eq(drv_ack(&r->d, VU_REM_MEM_REG, p, 40, NULL, 0), 0);
	rig_wait(r, rig_idle_state, &off, "STATE off");
	drv_kick(&r->d, 1);
	close(r->d.sock);
	works(r);
	rig_end(r);
}
END_TEST

/* The file is cut short under the mapping. */
START_TEST(test_memory_cut)
{
	struct rig *r = rig_start();
	struct drv lost;
	uint8_t byte;

	rig_connected(r, 0, 1025, 5000);
	r->prog[0].to_send = 10000;
	r->no_auto = true;
	/* the guest side of the test must not touch it any more either */
	lost = r->d;
	drv_init(&r->d);
	r->d.packet = lost.packet;
	r->d.ctx = lost.ctx;
	ck_assert_int_eq(ftruncate(lost.memfd, 0), 0);
	drv_kick(&lost, 1);
	ck_assert_int_eq(recv(lost.sock, &byte, 1, 0), 0);
	munmap(lost.ram, DRV_RAM);
	close(lost.memfd);
	close(lost.sock);
	close(r->prog[0].fd);
	r->no_auto = false;
	memset(r->prog, 0, sizeof(r->prog));
	for (int i = 0; i < RIG_ENDS; i++)
		r->prog[i].fd = -1;
	works(r);
	rig_end(r);
}
END_TEST

/* ---- rings */

#define RX_DESC 0x0u /* where the driver has its tables */
#define TX_DESC 0x10000u
#define SPARE 0x90000u /* RAM for indirect tables */

struct ring_row {
	const char *what;
	unsigned int ring;
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
		bool spare; /* in the indirect table */
	} desc[4];
	uint16_t head;
	int jump;  /* of the avail index; 0: 1 */
	bool fine; /* not broken: ignored */
	bool no_indirect;
};

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define OK_AT (DRV_GPA + 0xa0000u)

static const struct ring_row rings[] = {
	{ .what = "avail jumps", .ring = 1, .jump = 129 },
	{ .what = "avail jumps far", .ring = 1, .jump = 40000 },
	{ .what = "head 128", .ring = 1, .head = 128 },
	{ .what = "head 65535", .ring = 1, .head = 65535 },
	{ .what = "next 128",
	  .ring = 1,
	  .desc = { { OK_AT, 44, NEXT, 128, false } } },
	{ .what = "loop of one",
	  .ring = 1,
	  .desc = { { OK_AT, 44, NEXT, 0, false } } },
	{ .what = "loop of two",
	  .ring = 1,
	  .desc = { { OK_AT, 44, NEXT, 1, false },
		    { OK_AT, 44, NEXT, 0, false } } },
	{ .what = "address 0", .ring = 1, .desc = { { 0, 44, 0, 0, false } } },
	{ .what = "address behind RAM",
	  .ring = 1,
	  .desc = { { DRV_GPA + DRV_RAM, 44, 0, 0, false } } },
	{ .what = "last byte behind RAM",
	  .ring = 1,
	  .desc = { { DRV_GPA + DRV_RAM - 43, 44, 0, 0, false } } },
	{ .what = "address wraps",
	  .ring = 1,
	  .desc = { { UINT64_MAX - 10, 44, 0, 0, false } } },
	{ .what = "length 4 GiB",
	  .ring = 1,
	  .desc = { { OK_AT, UINT32_MAX, 0, 0, false } } },
	{ .what = "readable after writable",
	  .ring = 1,
	  .desc = { { OK_AT, 44, NEXT | WRITE, 1, false },
		    { OK_AT, 44, 0, 0, false } } },
	{ .what = "indirect of 0",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 0, INDIRECT, 0, false } } },
	{ .what = "indirect of 17",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 17, INDIRECT, 0, false } } },
	{ .what = "indirect, huge",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 0x1000000, INDIRECT, 0, false } } },
	{ .what = "indirect outside",
	  .ring = 1,
	  .desc = { { 0x40000000000u, 16, INDIRECT, 0, false } } },
	{ .what = "indirect at the end of everything",
	  .ring = 1,
	  .desc = { { UINT64_MAX - 7, 32, INDIRECT, 0, false } } },
	{ .what = "indirect with next",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 16, INDIRECT | NEXT, 1, false },
		    { OK_AT, 44, 0, 0, true } } },
	{ .what = "indirect in indirect",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 32, INDIRECT, 0, false },
		    { DRV_GPA + SPARE, 16, INDIRECT, 0, true } } },
	{ .what = "indirect, next outside",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 16, INDIRECT, 0, false },
		    { OK_AT, 44, NEXT, 1, true } } },
	{ .what = "indirect, loop",
	  .ring = 1,
	  .desc = { { DRV_GPA + SPARE, 32, INDIRECT, 0, false },
		    { OK_AT, 44, NEXT, 1, true },
		    { OK_AT, 44, NEXT, 0, true } } },
	{ .what = "indirect, not negotiated",
	  .ring = 1,
	  .no_indirect = true,
	  .desc = { { DRV_GPA + SPARE, 16, INDIRECT, 0, false },
		    { OK_AT, 44, 0, 0, true } } },
	{ .what = "length 0",
	  .ring = 1,
	  .fine = true,
	  .desc = { { OK_AT, 0, 0, 0, false } } },
	{ .what = "43 bytes",
	  .ring = 1,
	  .fine = true,
	  .desc = { { OK_AT, 43, 0, 0, false } } },
	{ .what = "writable in tx",
	  .ring = 1,
	  .fine = true,
	  .desc = { { OK_AT, 44, WRITE, 0, false } } },
	{ .what = "address 0, length 0",
	  .ring = 1,
	  .fine = true,
	  .desc = { { 0, 0, 0, 0, false } } },
	{ .what = "rx: head 128", .ring = 0, .head = 128 },
	{ .what = "rx: address behind RAM",
	  .ring = 0,
	  .desc = { { DRV_GPA + DRV_RAM, 44, WRITE, 0, false } } },
	{ .what = "rx: avail jumps", .ring = 0, .jump = 129 },
};

static const struct ring_row *row;

static void set_up_row(struct drv *d)
{
	if (row->no_indirect)
		d->features &= ~(1ull << 28);
	/* rx: nothing but what the row posts */
	if (row->ring == 0)
		d->rings[0].avail_idx = 0;
	if (row->ring == 0)
		memset(d->ram + d->rings[0].avail, 0, 4);
}

static void break_ring(struct rig *r)
{
	struct drv_ring *q = &r->d.rings[row->ring];
	uint64_t table = q->desc;
	unsigned int plain = 0, spare = 0;

	for (int i = 0; i < 4; i++)
		drv_put_desc(&r->d, row->desc[i].spare ? SPARE : table,
			     row->desc[i].spare ? spare++ : plain++,
			     row->desc[i].addr, row->desc[i].len,
			     row->desc[i].flags, row->desc[i].next);
	if (row->fine) {
		r->d.tx_busy[0] = true;
		r->d.tx_free--;
	}
	if (row->jump)
		q->avail_idx = (uint16_t)(q->avail_idx + row->jump - 1);
	drv_put_avail(&r->d, row->ring, row->head);
	drv_kick(&r->d, row->ring);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

START_TEST(test_ring)
{
	const struct vsock_header h = { .src_cid = DRV_CID,
					.dst_cid = 2,
					.src_port = 1,
					.dst_port = 1,
					.type = 9,
					.op = VSOCK_OP_RW };
	struct rig *r;
	uint32_t off = 0, on = 1;
	uint64_t v;

	row = &rings[_i];
	r = rig_start_with(set_up_row);
	/* something that is owed to the guest, so that rx is looked at */
	if (row->ring == 0)
		ck_assert(drv_tx(&r->d, &h, NULL));
	break_ring(r);
	if (row->fine) {
		/* returned, and the next packet is answered */
		while (r->d.tx_busy[0])
			rig_step(r, 10);
		rig_settle(r);
		ck_assert(!readable(r->d.rings[1].err, 0));
	} else {
		ck_assert_msg(readable(r->d.rings[row->ring].err, 10000),
			      "%s: err is not signalled", row->what);
		ck_assert_int_eq(read(r->d.rings[row->ring].err, &v, 8), 8);
		rig_wait(r, rig_idle_state, &off, row->what);
		/* the guest resets: all is well */
		drv_stop(&r->d);
		drv_forget(&r->d);
		drv_start(&r->d);
		rig_wait(r, rig_idle_state, &on, "STATE running");
		rig_settle(r);
	}
	rig_end(r);
}
END_TEST

/* Receive buffers of every useless size between good ones. */
START_TEST(test_rx_sizes)
{
	static const uint32_t lens[] = { 0, 1, 43, 44, 45, 100, 3776 };
	struct rig *r = rig_start();
	int one = 1;

	rig_connected(r, 0, 1025, 5000);
	/* what is posted next replaces the size of that descriptor */
	for (unsigned int i = 0; i < 64; i++)
		drv_put_desc(&r->d, RX_DESC, i,
			     DRV_GPA + 0x100000u + i * DRV_RX_BUF,
			     lens[i % ARRAY_LEN(lens)], WRITE, 0);
	r->prog[0].to_send = 500000;
	rig_wait(r, all_arrived, &one, "bytes through bad buffers");
	rig_end(r);
}
END_TEST

/* ---- packets, on a guest's connection 0 beside an honest one, 1 */

static const struct {
	const char *what;
	uint64_t src_cid, dst_cid;
	uint16_t type, op;
	uint32_t len, flags;
	int extra; /* bytes less (< 0) or more behind the header than len says
		    */
	bool fine; /* the connection lives */
	bool answered; /* by a RST that is not the connection's */
	uint32_t fwd;  /* added to fwd_cnt */
} packets[] = {
	{ "another source CID", 4, 2, 1, VSOCK_OP_RW, 10, 0, 0, true, false,
	  0 },
	{ "source CID, upper bits", 3 | 1ull << 32, 2, 1, VSOCK_OP_RST, 0, 0, 0,
	  true, false, 0 },
	{ "a sibling", 3, 7, 1, VSOCK_OP_REQUEST, 0, 0, 0, true, true, 0 },
	{ "destination CID, upper bits", 3, 2 | 1ull << 40, 1, VSOCK_OP_RW, 1,
	  0, 0, true, true, 0 },
	{ "type 0", 3, 2, 0, VSOCK_OP_RW, 1, 0, 0, true, true, 0 },
	{ "seqpacket", 3, 2, 2, VSOCK_OP_RW, 1, 1, 0, true, true, 0 },
	{ "seqpacket REQUEST", 3, 2, 2, VSOCK_OP_REQUEST, 0, 0, 0, true, true,
	  0 },
	{ "op 0", 3, 2, 1, VSOCK_OP_INVALID, 0, 0, 0, false, false, 0 },
	{ "op 8", 3, 2, 1, 8, 0, 0, 0, false, false, 0 },
	{ "op 65535", 3, 2, 1, 65535, 0, 0, 0, false, false, 0 },
	{ "RESPONSE again", 3, 2, 1, VSOCK_OP_RESPONSE, 0, 0, 0, false, false,
	  0 },
	{ "chain shorter than len", 3, 2, 1, VSOCK_OP_RW, 1000, 0, -1, false,
	  false, 0 },
	{ "no payload at all", 3, 2, 1, VSOCK_OP_RW, 1000, 0, -1000, false,
	  false, 0 },
	{ "len of 4 GiB", 3, 2, 1, VSOCK_OP_RW, UINT32_MAX, 0, INT32_MIN, false,
	  false, 0 },
	{ "consumed more than was sent", 3, 2, 1, VSOCK_OP_CREDIT_UPDATE, 0, 0,
	  0, false, false, 1 },
	{ "consumed nearly 2^31 more", 3, 2, 1, VSOCK_OP_CREDIT_UPDATE, 0, 0, 0,
	  false, false, 0x7ffffff0 },
	{ "SHUTDOWN without flags", 3, 2, 1, VSOCK_OP_SHUTDOWN, 0, 0, 0, true,
	  false, 0 },
	{ "SHUTDOWN, unknown flags", 3, 2, 1, VSOCK_OP_SHUTDOWN, 0, 0xfffffffc,
	  0, true, false, 0 },
	{ "CREDIT_REQUEST", 3, 2, 1, VSOCK_OP_CREDIT_REQUEST, 0, 0, 0, true,
	  false, 0 },
	{ "an empty RW", 3, 2, 1, VSOCK_OP_RW, 0, 0, 0, true, false, 0 },
};

START_TEST(test_packet)
{
	struct rig *r = rig_start();
	uint8_t raw[DRV_TX_SLOT] = { 0 };
	struct vsock_header h;
	int two = 2, zero = 0;
	uint64_t unknown;
	size_t len = 44;

	rig_connected(r, 0, 1025, 5000);
	rig_connected(r, 1, 1026, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 1000;
	rig_wait(r, all_arrived, &two, "some bytes");
	unknown = r->rst_unknown;
	h = rig_header(&r->guest[0], packets[_i].op);
	h.src_cid = packets[_i].src_cid;
	h.dst_cid = packets[_i].dst_cid;
	h.type = packets[_i].type;
	h.len = packets[_i].len;
	h.flags = packets[_i].flags;
	h.fwd_cnt += packets[_i].fwd;
	if (packets[_i].extra != INT32_MIN)
		len += (size_t)((int)packets[_i].len + packets[_i].extra);
	vsock_header_encode(&h, raw);
	/* answers to its tuple are not the connection's */
	r->guest[0].used = !packets[_i].answered;
	ck_assert(drv_tx_raw(&r->d, raw, len));
	rig_settle(r);
	r->guest[0].used = true;
	ck_assert_msg(r->rst_unknown == unknown + packets[_i].answered,
		      "%s: %u resets", packets[_i].what,
		      (unsigned int)(r->rst_unknown - unknown));
	if (!packets[_i].fine)
		rig_wait(r, was_reset, &zero, packets[_i].what);
	ck_assert(r->guest[0].reset == !packets[_i].fine);
	if (!packets[_i].fine) {
		r->guest[0].to_send = r->prog[0].received;
		r->prog[0].to_send = r->guest[0].received;
	}
	r->guest[1].to_send = r->prog[1].to_send = 100000;
	rig_wait(r, all_arrived, &two, "the neighbour's bytes");
	rig_end(r);
}
END_TEST

START_TEST(test_beyond_credit)
{
	static const uint8_t payload[65536];
	struct rig *r = rig_start();
	struct vsock_header h;
	int zero = 0;

	rig_connected(r, 0, 1025, 5000);
	r->prog[0].stalled = true;
	h = rig_header(&r->guest[0], VSOCK_OP_RW);
	h.len = sizeof(payload);
	/* the window and what the socket takes: eight are too many */
	for (int i = 0; i < 8 && !r->guest[0].reset; i++) {
		r->guest[0].sent += h.len;
		rig_put(r, &h, payload);
	}
	rig_wait(r, was_reset, &zero, "RST for data beyond the credit");
	rig_end(r);
}
END_TEST

START_TEST(test_early_data)
{
	struct rig *r = rig_start();
	int zero = 0;

	rig_connect(r, 0, 1025, 5000);
	rig_packet(r, 0, _i ? VSOCK_OP_SHUTDOWN : VSOCK_OP_RW, 1);
	rig_wait(r, was_reset, &zero, "RST before RESPONSE");
	rig_settle(r);
	rig_end(r);
}
END_TEST

/* More connects than there may be, of which nobody takes care. */
START_TEST(test_request_flood)
{
	struct rig *r = rig_start();
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = 2,
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_REQUEST,
				  .buf_alloc = 262144,
				  .dst_port = 5000 };

	for (uint32_t i = 0; i < 2000; i++) {
		h.src_port = 10000 + i;
		rig_put(r, &h, NULL);
	}
	rig_settle(r);
	ck_assert_int_eq(r->b.ndials, 256);
	ck_assert_uint_ge(r->rst_unknown, 2000 - 256);
	/* it forgets its own: there is room again */
	h.op = VSOCK_OP_RST;
	for (uint32_t i = 0; i < 2000; i++) {
		h.src_port = 10000 + i;
		rig_put(r, &h, NULL);
	}
	rig_settle(r);
	while (r->b.ndials)
		fb_dial_refuse(&r->b, 0, HVS_REASON_NO_LISTENER);
	rig_connected(r, 0, 1025, 5000);
	rig_end(r);
}
END_TEST

/* Packets of no connection, no receive buffers: bounded, then all answered. */
START_TEST(test_rst_storm)
{
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = 2,
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_RW };
	struct rig *r = rig_start();

	for (uint32_t i = 0; i < 3000; i++) {
		h.src_port = i;
		h.op = i % 3 ? VSOCK_OP_RW : VSOCK_OP_RST;
		rig_put(r, &h, NULL);
	}
	rig_settle(r);
	/* a reset is not answered */
	ck_assert_uint_eq(r->rst_unknown, 2000);
	rig_end(r);
}
END_TEST

/* Connected twice with the same ports: the first is forgotten. */
START_TEST(test_request_again)
{
	struct rig *r = rig_start();
	int one = 1, fd;

	rig_connected(r, 0, 1025, 5000);
	fd = r->prog[0].fd;
	rig_connected(r, 0, 1025, 5000);
	close(fd);
	r->guest[0].to_send = r->prog[0].to_send = 10000;
	rig_wait(r, all_arrived, &one, "bytes of the second");
	ck_assert_int_eq(r->b.nclosed, 1);
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-bad-input");
	TCase *t = tcase_create("bad input");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_message, 0, (int)ARRAY_LEN(messages));
	tcase_add_test(t, test_cut_short);
	tcase_add_test(t, test_in_pieces);
	tcase_add_test(t, test_config_outside);
	tcase_add_test(t, test_memory_taken);
	tcase_add_test(t, test_memory_cut);
	tcase_add_loop_test(t, test_ring, 0, (int)ARRAY_LEN(rings));
	tcase_add_test(t, test_rx_sizes);
	tcase_add_loop_test(t, test_packet, 0, (int)ARRAY_LEN(packets));
	tcase_add_test(t, test_beyond_credit);
	tcase_add_loop_test(t, test_early_data, 0, 2);
	tcase_add_test(t, test_request_flood);
	tcase_add_test(t, test_rst_storm);
	tcase_add_test(t, test_request_again);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
