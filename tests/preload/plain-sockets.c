/* SPDX-License-Identifier: MIT */
/* plain-sockets.c - sockets, names, waiting, both types */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>

#include "plain.h"

static const int types[] = { SOCK_STREAM, SOCK_RAW, SOCK_SEQPACKET };
#define TYPES 3

START_TEST(makes_sockets)
{
	int type = types[_i], fd;

	fd = make(type);
	ck_assert_int_eq(get(fd, LEVEL, SO_DOMAIN), FAMILY);
	ck_assert_int_eq(get(fd, LEVEL, SO_PROTOCOL), PROTOCOL);
	ck_assert_int_eq(get(fd, LEVEL, SO_TYPE), type);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
	close(fd);
	fd = make(type | SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_eq(get(fd, LEVEL, SO_TYPE), type);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}
END_TEST

START_TEST(carries_data_and_names)
{
	struct hv a = address(), got, zero = { .family = FAMILY };
	int type = types[_i], l, c, s;
	socklen_t len = sizeof(got);
	char buf[16];

	l = make(type);
	ck_assert_int_eq(getsockname(l, SA(&got), &len), 0);
	ck_assert_uint_eq(len, 36);
	ck_assert_mem_eq(&got, &zero, 36);
	close(l);

	l = serve(type, &a);
	ck_assert_int_eq(getsockname(l, SA(&got), &len), 0);
	ck_assert_mem_eq(&got, &a, 36);

	c = dial(type, &a);
	ck_assert_int_eq(getpeername(c, SA(&got), &len), 0);
	ck_assert_uint_eq(len, 36);
	ck_assert_mem_eq(&got, &a, 36);

	memset(&got, 0xee, sizeof(got));
	s = accept(l, SA(&got), &len);
	ck_assert_int_ge(s, 0);
	ck_assert_uint_eq(len, 36);
	ck_assert_uint_eq(got.family, FAMILY);
	ck_assert_uint_eq(got.reserved, 0);
	ck_assert_mem_eq(got.vm, loopback, 16);
	ck_assert_int_eq(get(s, LEVEL, SO_DOMAIN), FAMILY);
	ck_assert_int_eq(get(s, LEVEL, SO_PROTOCOL), PROTOCOL);
	/* of an accepted one it is not known how the type was spelled */
	ck_assert_int_eq(get(s, LEVEL, SO_TYPE),
			 type == SOCK_STREAM ? SOCK_STREAM : SOCK_SEQPACKET);

	/* the client's own name is the peer's service of the other end */
	zero = got;
	ck_assert_int_eq(getsockname(c, SA(&got), &len), 0);
	ck_assert_mem_eq(got.service, zero.service, 16);

	ck_assert_int_eq(send(c, "ab", 2, 0), 2);
	ck_assert_int_eq(write(c, "cd", 2), 2);
	if (type == SOCK_STREAM) {
		ck_assert_int_eq(recv(s, buf, 4, MSG_WAITALL), 4);
		ck_assert_mem_eq(buf, "abcd", 4);
	} else {
		ck_assert_int_eq(recv(s, buf, sizeof(buf), 0), 2);
		ck_assert_mem_eq(buf, "ab", 2);
		ck_assert_int_eq(read(s, buf, sizeof(buf)), 2);
		ck_assert_mem_eq(buf, "cd", 2);
	}
	shutdown(c, SHUT_WR);
	ck_assert_int_eq(read(s, buf, sizeof(buf)), 0);
	ck_assert_int_eq(write(s, "x", 1), 1);
	ck_assert_int_eq(read(c, buf, sizeof(buf)), 1);
	close(s);
	close(c);
	close(l);
}
END_TEST

/*
 * As much as there is room for, and the whole length, as the kernel does;
 * nothing past the room, and between the two nothing of what the socket is
 * underneath.
 */
static void check_cut(const uint8_t *buf, size_t size, const struct hv *want,
		      size_t room)
{
	size_t i;

	ck_assert_mem_eq(buf, want, room < 36 ? room : 36);
	for (i = 36; i < room; i++)
		ck_assert_msg(!buf[i] || buf[i] == 0xee, "byte %zu", i);
	for (i = room; i < size; i++)
		ck_assert_msg(buf[i] == 0xee, "byte %zu past the room", i);
}

START_TEST(cuts_names)
{
	static const socklen_t rooms[] = { 0, 1, 2, 3, 4, 20, 35, 36, 37, 120 };
	struct hv a = address(), whole;
	socklen_t len;
	uint8_t buf[128];
	int l, c, s;

	l = serve(SOCK_STREAM, &a);
	c = dial(SOCK_STREAM, &a);

	memset(buf, 0xee, sizeof(buf));
	len = rooms[_i];
	s = accept4(l, SA(buf), &len, SOCK_CLOEXEC);
	ck_assert_int_ge(s, 0);
	ck_assert_uint_eq(len, 36);
	len = sizeof(whole);
	ck_assert_int_eq(getpeername(s, SA(&whole), &len), 0);
	check_cut(buf, sizeof(buf), &whole, rooms[_i]);

	memset(buf, 0xee, sizeof(buf));
	len = rooms[_i];
	ck_assert_int_eq(getsockname(l, SA(buf), &len), 0);
	ck_assert_uint_eq(len, 36);
	check_cut(buf, sizeof(buf), &a, rooms[_i]);
	close(s);
	close(c);
	close(l);
}
END_TEST

START_TEST(accepts_without_names)
{
	struct hv a = address();
	int l = serve(SOCK_STREAM, &a), c = dial(SOCK_STREAM, &a), s;

	s = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(s, 0);
	ck_assert_int_ne(fcntl(s, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(s, F_GETFD), FD_CLOEXEC);
	close(c);
	close(s);
	close(l);
}
END_TEST

START_TEST(recvfrom_names_the_peer)
{
	struct hv a = address(), got = { 0 };
	int l = serve(SOCK_STREAM, &a), c = dial(SOCK_STREAM, &a), s;
	socklen_t len = sizeof(got);
	char buf[8];

	s = accept(l, NULL, NULL);
	ck_assert_int_eq(write(c, "hello", 5), 5);
	ck_assert_int_eq(recvfrom(s, buf, sizeof(buf), 0, SA(&got), &len), 5);
	if (getenv("TEST_BY_SECCOMP")) {
		/* that way no call that carries data is stopped */
		ck_assert_uint_eq(got.family, AF_UNIX);
		return;
	}
	ck_assert_uint_eq(got.family, FAMILY);
	ck_assert_mem_eq(got.vm, loopback, 16);
	ck_assert_uint_eq(len, 36);
	ck_assert_int_eq(write(s, "hello", 5), 5);
	len = sizeof(got);
	ck_assert_int_eq(recvfrom(c, buf, sizeof(buf), 0, SA(&got), &len), 5);
	ck_assert_uint_eq(got.family, FAMILY);
	ck_assert_mem_eq(&got, &a, 36);
	close(s);
	close(c);
	close(l);
}
END_TEST

START_TEST(refuses_bad_addresses)
{
	struct { struct hv a; char more; } big = { .a = address() };
	struct hv a = big.a;
	int fd = make(SOCK_STREAM), other;

	ck_assert_int_eq(bind(fd, SA(&a), 35), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(bind(fd, SA(&big), 37), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(connect(fd, SA(&a), 2), -1);
	ck_assert_int_eq(errno, EINVAL);
	a.reserved = 1;
	ck_assert_int_eq(bind(fd, SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, EINVAL);
	a.reserved = 0;
	a.family = AF_INET;
	ck_assert_int_eq(bind(fd, SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, EINVAL);
	a.family = FAMILY;
	ck_assert_int_eq(connect(fd, SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	/* and none of it has spoiled the socket */
	ck_assert_int_eq(bind(fd, SA(&a), sizeof(a)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	other = make(SOCK_STREAM);
	ck_assert_int_eq(bind(other, SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, EADDRINUSE);
	ck_assert_int_eq(connect(other, SA(&a), sizeof(a)), 0);
	close(other);
	close(fd);
	ck_assert_int_eq(bind(fd, SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

/* An address that is not aligned: programs build them in char buffers. */
START_TEST(takes_any_alignment)
{
	struct hv a = address();
	int l = serve(SOCK_STREAM, &a), c = make(SOCK_STREAM);
	char buf[64];
	socklen_t len = 36;

	memcpy(buf + 1, &a, sizeof(a));
	ck_assert_int_eq(connect(c, (void *)(buf + 1), sizeof(a)), 0);
	memset(buf, 0, sizeof(buf));
	ck_assert_int_eq(getpeername(c, (void *)(buf + 3), &len), 0);
	ck_assert_mem_eq(buf + 3, &a, sizeof(a));
	close(c);
	close(l);
}
END_TEST

START_TEST(waits_with_poll_select_epoll)
{
	struct hv a = address();
	int l = serve(SOCK_STREAM | SOCK_NONBLOCK, &a);
	int c = make(SOCK_STREAM | SOCK_NONBLOCK), ep = epoll_create1(0), s;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT };
	struct pollfd p = { .fd = l, .events = POLLIN };
	struct timeval none = { 0 };
	fd_set set;
	char x;

	ck_assert_int_eq(accept(l, NULL, NULL), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(poll(&p, 1, 0), 0);

	/* registered before the connect, told after it */
	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, c, &ev), 0);
	ck_assert_int_eq(connect(c, SA(&a), sizeof(a)), 0);
	ck_assert_int_eq(epoll_wait(ep, &ev, 1, 10000), 1);
	ck_assert_uint_eq(ev.events, EPOLLOUT);
	ev.events = EPOLLIN | EPOLLET;
	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_MOD, c, &ev), 0);
	ck_assert_int_eq(epoll_wait(ep, &ev, 1, 0), 0);
	ck_assert_int_eq(get(c, LEVEL, SO_ERROR), 0);

	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	s = accept(l, NULL, NULL);
	ck_assert_int_ge(s, 0);
	FD_ZERO(&set);
	FD_SET(c, &set);
	ck_assert_int_eq(select(c + 1, &set, NULL, NULL, &none), 0);
	ck_assert_int_eq(write(s, "x", 1), 1);
	FD_SET(c, &set);
	ck_assert_int_eq(select(c + 1, &set, NULL, NULL, NULL), 1);
	ck_assert_int_eq(epoll_wait(ep, &ev, 1, 10000), 1);
	ck_assert_uint_ne(ev.events & EPOLLIN, 0);
	ck_assert_int_eq(epoll_wait(ep, &ev, 1, 0), 0);
	ck_assert_int_eq(read(c, &x, 1), 1);

	/* nobody there: decided at once, and the socket is still good */
	close(c);
	close(l);
	close(s);
	c = make(SOCK_STREAM | SOCK_NONBLOCK);
	ck_assert_int_eq(connect(c, SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	l = serve(SOCK_STREAM, &a);
	ck_assert_int_eq(connect(c, SA(&a), sizeof(a)), 0);
	close(c);
	close(l);
	close(ep);
}
END_TEST

#define THREADS 4
#define ROUNDS 50

static void *dial_often(void *arg)
{
	const struct hv *a = arg;
	char x;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		int fd = dial(SOCK_STREAM, a);

		ck_assert_int_eq(read(fd, &x, 1), 1);
		close(fd);
	}
	return NULL;
}

START_TEST(works_in_threads)
{
	struct hv a = address(), peer;
	int l = serve(SOCK_STREAM, &a), i;
	socklen_t len = sizeof(peer);
	pthread_t t[THREADS];

	for (i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, dial_often, &a),
				 0);
	for (i = 0; i < THREADS * ROUNDS; i++) {
		int s = accept(l, SA(&peer), &len);

		ck_assert_int_ge(s, 0);
		ck_assert_uint_eq(peer.family, FAMILY);
		ck_assert_int_eq(write(s, "x", 1), 1);
		close(s);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	close(l);
}
END_TEST

START_TEST(leaves_errno_alone)
{
	struct hv a = address(), got;
	socklen_t len = sizeof(got);
	int l, c, s;

	errno = 4321;
	l = serve(SOCK_STREAM, &a);
	c = dial(SOCK_STREAM, &a);
	errno = 4321;
	s = accept(l, SA(&got), &len);
	ck_assert_int_eq(errno, 4321);
	ck_assert_int_eq(getsockname(c, SA(&got), &len), 0);
	ck_assert_int_eq(getpeername(c, SA(&got), &len), 0);
	ck_assert_int_eq(get(c, LEVEL, SO_TYPE), SOCK_STREAM);
	ck_assert_int_eq(get(c, LEVEL, SO_DOMAIN), FAMILY);
	ck_assert_int_eq(get(c, LEVEL, SO_ERROR), 0);
	ck_assert_int_eq(errno, 4321);
	close(s);
	close(c);
	close(l);
}
END_TEST

/* Bound to zero/zero: listen() is given a number. */
START_TEST(listens_without_an_address)
{
	struct hv a = { .family = FAMILY }, got;
	socklen_t len = sizeof(got);
	int l = make(SOCK_STREAM), c;

	ck_assert_int_eq(bind(l, SA(&a), sizeof(a)), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	ck_assert_int_eq(getsockname(l, SA(&got), &len), 0);
	ck_assert_mem_ne(got.service, a.service, 16);
	memcpy(got.vm, loopback, 16);
	c = dial(SOCK_STREAM, &got);
	close(c);
	close(l);

	/* or connect() is as if it had not been */
	c = make(SOCK_STREAM);
	ck_assert_int_eq(bind(c, SA(&a), sizeof(a)), 0);
	a = address();
	l = serve(SOCK_STREAM, &a);
	ck_assert_int_eq(connect(c, SA(&a), sizeof(a)), 0);
	close(c);
	close(l);
}
END_TEST

Suite *suite_sockets(void)
{
	Suite *s = suite_create("sockets");
	TCase *t = tcase_create("sockets");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, makes_sockets, 0, TYPES);
	tcase_add_loop_test(t, carries_data_and_names, 0, TYPES);
	tcase_add_loop_test(t, cuts_names, 0, 10);
	tcase_add_test(t, accepts_without_names);
	tcase_add_test(t, recvfrom_names_the_peer);
	tcase_add_test(t, refuses_bad_addresses);
	tcase_add_test(t, takes_any_alignment);
	tcase_add_test(t, waits_with_poll_select_epoll);
	tcase_add_test(t, works_in_threads);
	tcase_add_test(t, leaves_errno_alone);
	tcase_add_test(t, listens_without_an_address);
	suite_add_tcase(s, t);
	return s;
}
