/* SPDX-License-Identifier: MIT */
/*
 * test-bad-messages.c - a front-end that breaks every rule
 *
 * Each row is one message wrong, to the running program. Afterwards the same
 * front-end or the next one gets a working device.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
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
	rig_wait(r, rig_all_arrived, &one, "bytes");
}

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

/* An epoll descriptor has no type in fstat() either, and would lead anywhere.
 */
START_TEST(test_not_eventfd)
{
	static const uint32_t requests[] = { VU_SET_VRING_KICK,
					     VU_SET_VRING_CALL,
					     VU_SET_VRING_ERR };
	struct rig *r = rig_start();
	uint8_t v[8] = { 1 };
	int fd = epoll_create1(EPOLL_CLOEXEC), one = 1;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(drv_ack(&r->d, requests[_i], v, 8, &fd, 1), 1);
	close(fd);
	/* the one before is still in its place */
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 100000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-bad-messages");
	TCase *t = tcase_create("bad input");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_message, 0, (int)ARRAY_LEN(messages));
	tcase_add_test(t, test_cut_short);
	tcase_add_test(t, test_in_pieces);
	tcase_add_test(t, test_config_outside);
	tcase_add_test(t, test_memory_taken);
	tcase_add_test(t, test_memory_cut);
	tcase_add_loop_test(t, test_not_eventfd, 0, 3);
	suite_add_tcase(s, t);
	return rig_run(s);
}
