/* SPDX-License-Identifier: MIT */
/* test-parked.c - non-blocking connects to a guest, which take their time */
#include "harness.h"

#include <sys/epoll.h>

static int hvs_error(int fd)
{
	int error = -1;
	socklen_t len = sizeof(error);

	ck_assert_int_eq(hvs_getsockopt(fd, SOL_HVSOCKET, HVSOCKET_ERROR,
					&error, &len), 0);
	return error;
}

/* A socket in progress; @ep, if it is not -1, watches it from before. */
static int start(int ep, enum stand_in_mode mode)
{
	SOCKADDR_HV guest = address(&HV_GUID_LOOPBACK, 7);
	int fd = new_socket(SOCK_STREAM | SOCK_NONBLOCK);
	struct epoll_event e = { .events = EPOLLOUT | EPOLLIN | EPOLLET };

	if (ep >= 0)
		ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), 0);
	/* what the kernel says about a fresh socket (EPOLLOUT, EPOLLHUP) */
	if (ep >= 0)
		ck_assert_int_eq(epoll_wait(ep, &e, 1, 0), 1);
	stand_in_mode(&broker, mode, 1);
	assert_fails(hvs_connect(fd, &guest, sizeof(guest)), EINPROGRESS);
	ck_assert_uint_eq(broker.shared->flags, 1);
	return fd;
}

static void assert_waiting(int fd)
{
	SOCKADDR_HV a;
	socklen_t len = sizeof(a);
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	ck_assert_int_eq(poll(&p, 1, 0), 0);
	ck_assert_int_eq(hvs_error(fd), 0);
	assert_fails(hvs_getpeername(fd, &a, &len), ENOTCONN);
	assert_fails(dial(fd, 7), EALREADY);
	ck_assert_uint_eq(reason_of(fd).code, HVS_REASON_NONE);
}

static uint32_t wait_for_it(int ep, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct epoll_event e;

	if (ep < 0) {
		ck_assert_int_eq(poll(&p, 1, 10000), 1);
		return (uint32_t)p.revents;
	}
	/* edge triggered, and registered before the connect; edges of the
	 * filler going out one by one are not the one that is waited for */
	do {
		ck_assert_int_eq(epoll_wait(ep, &e, 1, 10000), 1);
	} while (!(e.events & (EPOLLOUT | EPOLLERR)));
	return e.events;
}

START_TEST(accepted)
{
	SOCKADDR_HV a, guest = address(&HV_GUID_LOOPBACK, 7);
	socklen_t len = sizeof(a);
	int ep = epoll_create1(EPOLL_CLOEXEC), fd = start(ep, PARK), error = -1;

	assert_waiting(fd);
	stand_in_go(&broker, 1);
	ck_assert_uint_ne(wait_for_it(ep, fd) & EPOLLOUT, 0);
	len = sizeof(error);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	ck_assert_int_eq(error, 0);
	ck_assert_int_eq(hvs_error(fd), 0);
	len = sizeof(a);
	ck_assert_int_eq(hvs_getpeername(fd, &a, &len), 0);
	ck_assert_mem_eq(&a, &guest, sizeof(a));
	ck_assert_int_eq(send(fd, "x", 1, MSG_NOSIGNAL), 1);
	ck_assert_int_eq(broker.shared->results, 0); /* nobody was asked */
	ck_assert_uint_eq(reason_of(fd).code, HVS_REASON_NONE);
}
END_TEST

START_TEST(refused)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), fd = start(ep, PARK);
	SOCKADDR_HV a;
	socklen_t len = sizeof(a);

	assert_waiting(fd);
	stand_in_go(&broker, 2);
	ck_assert_uint_ne(wait_for_it(ep, fd) & (EPOLLERR | EPOLLHUP), 0);
	if (_i == 0) {
		assert_reason(fd, HVS_REASON_NO_LISTENER, ECONNREFUSED,
			      "the guest has no listener");
		ck_assert_int_eq(hvs_error(fd), ECONNREFUSED);
		ck_assert_int_eq(hvs_error(fd), 0); /* once, as SO_ERROR */
	} else if (_i == 1) {
		/* the second connect says it, as TCP's does */
		assert_fails(dial(fd, 7), ECONNREFUSED);
		assert_reason(-1, HVS_REASON_NO_LISTENER, ECONNREFUSED,
			      "the guest has no listener");
	} else {
		int error = 0;

		/* a program that reads SO_ERROR: the kernel's word, and it is
		 * taken; ours stays */
		len = sizeof(error);
		ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error,
					    &len), 0);
		ck_assert_int_eq(error, ECONNRESET);
		ck_assert_int_eq(hvs_error(fd), ECONNREFUSED);
	}
	len = sizeof(a);
	assert_fails(hvs_getpeername(fd, &a, &len), ENOTCONN);
	assert_fails(dial(fd, 7), ECONNABORTED);
	assert_reason(fd, HVS_REASON_NO_LISTENER, ECONNREFUSED, "no listener");
	ck_assert_int_eq(broker.shared->results, 1);
}
END_TEST

START_TEST(refused_and_no_broker)
{
	int fd = start(-1, PARK);

	/* the transport of this test dies with the broker */
	stand_in_kill(&broker);
	ck_assert_uint_ne(wait_for_it(-1, fd) & (POLLERR | POLLHUP), 0);
	ck_assert_int_eq(hvs_error(fd), ECONNRESET);
	ck_assert_int_eq(hvs_error(fd), 0);
	assert_reason(fd, HVS_REASON_BROKER_FAILED, ECONNRESET, "why");
}
END_TEST

START_TEST(broker_died_before_its_reply)
{
	int fd = start(-1, PARK_CLOSE);

	ck_assert_int_eq(broker.shared->connects, 1);
	assert_waiting(fd);
	stand_in_go(&broker, 2);
	ck_assert_uint_ne(wait_for_it(-1, fd) & (POLLERR | POLLHUP), 0);
	ck_assert_int_eq(hvs_error(fd), ECONNREFUSED);
}
END_TEST

/* In a child of fork(), too. */
START_TEST(inherited)
{
	int fd = start(-1, PARK), status;
	SOCKADDR_HV a;
	socklen_t len = sizeof(a);
	pid_t pid = fork();

	if (pid == 0)
		_exit(hvs_getpeername(fd, &a, &len) == 0 || errno != ENOTCONN);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, accepted);
	tcase_add_loop_test(t, refused, 0, 3);
	tcase_add_test(t, refused_and_no_broker);
	tcase_add_test(t, broker_died_before_its_reply);
	tcase_add_test(t, inherited);
}

int main(void)
{
	return run_suite("lib-parked", fill);
}
