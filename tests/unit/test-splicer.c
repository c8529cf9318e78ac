/* SPDX-License-Identifier: MIT */
/*
 * test-splicer.c - two sockets joined, on a kernel that cannot keep descriptors
 * out of them
 */
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "base/splicer.h"

#define SO_PASSRIGHTS_ 83

static int closed[8], closings;

/* What Linux before 6.16 says to that option; the rest is the kernel's. */
int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	if (level == SOL_SOCKET && name == SO_PASSRIGHTS_) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, val, len);
}

/* There can be no thread. */
int pthread_create(pthread_t *t, const pthread_attr_t *attr,
		   void *(*fn)(void *), void *arg)
{
	(void)t;
	(void)attr;
	(void)fn;
	(void)arg;
	return EAGAIN;
}

/* In its own time. */
static void keep(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		closed[closings++] = fds[i];
}

static void take(const int *fds, int n)
{
	for (int i = 0; i < n; i++) {
		closed[closings++] = fds[i];
		close(fds[i]);
	}
}

static void on_end(void *arg, int error, uint64_t a_to_b, uint64_t b_to_a)
{
	(void)a_to_b;
	(void)b_to_a;
	*(int *)arg = error;
}

static void pair(int sv[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    sv),
			 0);
}

/* Its queue holds a stranger's descriptor when it is closed. */
START_TEST(unread)
{
	int a[2], b[2], error = -1;
	struct splicer *r;
	struct ev *ev;

	pair(a);
	pair(b);
	closings = 0;
	splicer_close_with(take);
	ck_assert_int_eq(ev_new(&ev), 0);
	ck_assert_int_eq(splicer_new(ev, a[1], b[1], on_end, &error, &r), 0);
	ck_assert_int_eq(fdmsg_send(a[0], "x", 1, &a[0], 1, 0), 0);
	ck_assert_ptr_null(splicer_free(r));
	ck_assert_int_eq(closings, 2);
	ck_assert_int_eq(closed[0], a[1]);
	ck_assert_int_eq(closed[1], b[1]);
	ck_assert_ptr_null(ev_free(ev));
	splicer_close_with(NULL);
}
END_TEST

static bool has_ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* Who closes them takes long, or there can be no thread for that: their peers
 * hear of the end all the same. */
START_TEST(peers_hear_of_the_end)
{
	int a[2], b[2], error = -1;
	struct splicer *r;
	struct ev *ev;

	pair(a);
	pair(b);
	closings = 0;
	if (_i == 0)
		splicer_close_with(keep);
	ck_assert_int_eq(ev_new(&ev), 0);
	ck_assert_int_eq(splicer_new(ev, a[1], b[1], on_end, &error, &r), 0);
	ck_assert_ptr_null(splicer_free(r));
	ck_assert(has_ended(a[0]));
	ck_assert(has_ended(b[0]));
	ck_assert_int_eq(closings, _i == 0 ? 2 : 0);
	if (_i) {
		ck_assert_int_eq(fcntl(a[1], F_GETFD), -1);
		ck_assert_int_eq(fcntl(b[1], F_GETFD), -1);
	}
	ck_assert_ptr_null(ev_free(ev));
	splicer_close_with(NULL);
}
END_TEST

/* Both ends have been read: nothing can be in the queues. */
START_TEST(read_to_the_end)
{
	int a[2], b[2], error = -1;
	struct splicer *r;
	struct ev *ev;
	char got[8];

	pair(a);
	pair(b);
	closings = 0;
	splicer_close_with(take);
	ck_assert_int_eq(ev_new(&ev), 0);
	ck_assert_int_eq(splicer_new(ev, a[1], b[1], on_end, &error, &r), 0);
	ck_assert_int_eq(write(a[0], "hello", 5), 5);
	ck_assert_int_eq(shutdown(a[0], SHUT_WR), 0);
	ck_assert_int_eq(shutdown(b[0], SHUT_WR), 0);
	while (error < 0)
		ck_assert_int_eq(ev_step(ev, 5000), 0);
	ck_assert_int_eq(error, 0);
	ck_assert_int_eq(closings, 0);
	ck_assert_int_eq(read(b[0], got, sizeof(got)), 5);
	ck_assert_int_eq(read(b[0], got, sizeof(got)), 0);
	ck_assert_ptr_null(ev_free(ev));
	splicer_close_with(NULL);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, unread);
	tcase_add_loop_test(t, peers_hear_of_the_end, 0, 2);
	tcase_add_test(t, read_to_the_end);
}

int main(void)
{
	return run_suite("splicer", fill);
}
