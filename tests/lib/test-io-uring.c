/* SPDX-License-Identifier: MIT */
/*
 * test-io-uring.c - a program that makes its calls by io_uring
 *
 * Accept, send, receive, poll and shutdown, over plain AF_UNIX sockets and
 * over Hyper-V sockets. One ring, one operation at a time, no library. Where
 * the kernel or a sandbox refuses io_uring this fails: it cannot be shown.
 */
#include "real.h"

#include <linux/io_uring.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

struct ring {
	int fd;
	struct io_uring_params p;
	uint8_t *sq, *cq;
	struct io_uring_sqe *sqes;
};

static void *map(int fd, size_t size, uint64_t off)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, fd, (off_t)off);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static struct ring ring_new(void)
{
	struct ring r = { 0 };

	r.fd = (int)syscall(SYS_io_uring_setup, 8, &r.p);
	ck_assert_msg(r.fd >= 0, "io_uring is not to be had here: %s",
		      strerror(errno));
	r.sq = map(r.fd, r.p.sq_off.array + r.p.sq_entries * sizeof(uint32_t),
		   IORING_OFF_SQ_RING);
	r.cq = map(r.fd, r.p.cq_off.cqes +
		   r.p.cq_entries * sizeof(struct io_uring_cqe),
		   IORING_OFF_CQ_RING);
	r.sqes = map(r.fd, r.p.sq_entries * sizeof(*r.sqes),
		     IORING_OFF_SQES);
	return r;
}

static uint32_t *at(uint8_t *base, uint32_t off)
{
	return (uint32_t *)(void *)(base + off);
}

static void submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	uint32_t mask = *at(r->sq, r->p.sq_off.ring_mask);
	uint32_t *tail = at(r->sq, r->p.sq_off.tail), i = *tail & mask;

	r->sqes[i] = *sqe;
	at(r->sq, r->p.sq_off.array)[i] = i;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	ck_assert_int_eq(syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0),
			 1);
}

/* The next completion's result. */
static int reap(struct ring *r)
{
	uint32_t mask = *at(r->cq, r->p.cq_off.ring_mask);
	uint32_t *head = at(r->cq, r->p.cq_off.head);
	const struct io_uring_cqe *cqes =
		(void *)(r->cq + r->p.cq_off.cqes);
	int result;

	while (*head == __atomic_load_n(at(r->cq, r->p.cq_off.tail),
					__ATOMIC_ACQUIRE))
		ck_assert_int_ge(syscall(SYS_io_uring_enter, r->fd, 0, 1,
					 IORING_ENTER_GETEVENTS, NULL, 0), 0);
	result = cqes[*head & mask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

static void start(struct ring *r, uint8_t op, int fd, const void *buf,
		  uint32_t len)
{
	struct io_uring_sqe sqe = { .opcode = op, .fd = fd,
				    .addr = (uintptr_t)buf, .len = len };

	submit(r, &sqe);
}

START_TEST(as_af_unix)
{
	struct ends e = ends_of(_i);
	struct ring r = ring_new();
	struct io_uring_sqe sqe = { .opcode = IORING_OP_POLL_ADD,
				    .fd = e.server, .poll32_events = POLLIN };
	char buf[16];

	start(&r, IORING_OP_SEND, e.client, "hello", 5);
	ck_assert_int_eq(reap(&r), 5);
	start(&r, IORING_OP_RECV, e.server, buf, sizeof(buf));
	ck_assert_int_eq(reap(&r), 5);
	ck_assert_mem_eq(buf, "hello", 5);
	/* under way before there is something */
	submit(&r, &sqe);
	start(&r, IORING_OP_WRITE, e.client, "more", 4);
	ck_assert_int_eq(reap(&r) + reap(&r), 4 + POLLIN);
	start(&r, IORING_OP_READ, e.server, buf, sizeof(buf));
	ck_assert_int_eq(reap(&r), 4);
	start(&r, IORING_OP_RECV, e.server, buf, sizeof(buf));
	start(&r, IORING_OP_SHUTDOWN, e.client, NULL, SHUT_WR);
	ck_assert_int_eq(reap(&r) + reap(&r), 0);
	close(r.fd);
	ends_close(&e);
}
END_TEST

/* An accept that was under way takes the connect that hvs_connect() makes. */
START_TEST(accepts)
{
	int l = hv_listener(TYPE_OF(2 * _i), 4), c = hv_client(TYPE_OF(2 * _i));
	SOCKADDR_HV a = loopback(l), peer;
	socklen_t len = sizeof(peer);
	struct ring r = ring_new();
	int s;

	start(&r, IORING_OP_ACCEPT, l, NULL, 0);
	ck_assert_int_eq(hvs_connect(c, &a, sizeof(a)), 0);
	s = reap(&r);
	ck_assert_int_ge(s, 0);
	ck_assert_int_eq(hvs_getpeername(s, &peer, &len), 0);
	ck_assert_mem_eq(&peer.VmId, &HV_GUID_LOOPBACK, sizeof(GUID));
	start(&r, IORING_OP_SEND, s, "x", 1);
	ck_assert_int_eq(reap(&r), 1);
	gets_bytes(c, "x");
	close(r.fd);
	close(s);
	close(c);
	close(l);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lib-io-uring");
	TCase *t = tcase_create("lib-io-uring");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, as_af_unix, 0, KINDS);
	tcase_add_loop_test(t, accepts, 0, KINDS / 2);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
