/* SPDX-License-Identifier: MIT */
/*
 * static-hostile.c - a program that does its worst
 *
 * After each of these the program is served as before: that is checked at the
 * end of every test.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "static.h"

#define BAD ((long)0x10)

static void still_served(void)
{
	struct hv a = address(), from = { 0 };
	socklen_t len = sizeof(from);
	int l = serve(SOCK_STREAM, &a), c = dial(SOCK_STREAM, &a), s;

	s = (int)raw_accept(l, &from, &len);
	ck_assert_int_ge(s, 0);
	ck_assert_uint_eq(from.family, FAMILY);
	close(s);
	close(c);
	close(l);
}

START_TEST(bad_pointers)
{
	struct hv a = address(), from;
	int fd = make(SOCK_STREAM), l = serve(SOCK_STREAM, &a), v = 0;
	socklen_t len = sizeof(from);
	int c = dial(SOCK_STREAM, &a);
	long f = (long)&from, n = (long)&len;

	ck_assert_int_eq(raw(SYS_bind, fd, BAD, 36), -EFAULT);
	ck_assert_int_eq(raw(SYS_connect, fd, BAD, 36), -EFAULT);
	ck_assert_int_eq(raw(SYS_getsockname, fd, BAD, n), -EFAULT);
	ck_assert_int_eq(raw(SYS_getsockname, fd, f, BAD), -EFAULT);
	ck_assert_int_eq(raw(SYS_getpeername, c, BAD, n), -EFAULT);
	ck_assert_int_eq(raw(SYS_getpeername, c, f, BAD), -EFAULT);
	ck_assert_int_eq(raw(SYS_accept4, l, f, BAD), -EFAULT);
	ck_assert_int_eq(syscall(SYS_getsockopt, fd, LEVEL, SO_DOMAIN, BAD, n),
			 -1);
	ck_assert_int_eq(errno, EFAULT);
	ck_assert_int_eq(syscall(SYS_getsockopt, fd, LEVEL, SO_DOMAIN, &v, BAD),
			 -1);
	ck_assert_int_eq(errno, EFAULT);
	ck_assert_int_eq(syscall(SYS_setsockopt, fd, SOL_OURS, 1, BAD, 4), -1);
	ck_assert_int_eq(errno, EFAULT);
	/* the connection goes with it, as the kernel has it */
	ck_assert_int_eq(raw(SYS_accept4, l, BAD, n), -EFAULT);
	/* across the end of a mapping */
	ck_assert_int_eq(raw(SYS_bind, fd, (long)mmap(NULL, 4096, PROT_READ,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096 - 20, 36), -EFAULT);
	still_served();
}
END_TEST

START_TEST(read_only_memory)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	socklen_t len = 36;
	int fd = make(SOCK_STREAM);

	ck_assert_ptr_ne(page, MAP_FAILED);
	ck_assert_int_eq(raw(SYS_getsockname, fd, (long)page, (long)&len),
			 -EFAULT);
	still_served();
}
END_TEST

START_TEST(odd_lengths)
{
	static const int lens[] = { -1, INT32_MIN, INT32_MAX, 0, 1 };
	struct hv a = address();
	int fd = make(SOCK_STREAM), l = serve(SOCK_STREAM, &a);
	char buf[256];

	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		int len = lens[i];
		long want = len < 0 ? -EINVAL : 0;

		ck_assert_int_eq(raw(SYS_getsockname, fd, (long)buf,
				     (long)&len), want);
		len = lens[i];
		ck_assert_int_eq(syscall(SYS_getsockopt, fd, LEVEL, SO_TYPE,
					 buf, &len), want ? -1 : 0);
		ck_assert_int_eq(syscall(SYS_setsockopt, fd, SOL_OURS, 1, buf,
					 lens[i]), -1);
		ck_assert_int_eq(errno, EINVAL);
		ck_assert_int_eq(raw(SYS_bind, fd, (long)&a, lens[i]), -EINVAL);
		len = lens[i];
		close(dial(SOCK_STREAM, &a));
		ck_assert(raw(SYS_accept4, l, (long)buf, (long)&len) >= want);
	}
	still_served();
}
END_TEST

static atomic_bool stop;
static struct hv shared;
static socklen_t shared_len;

/* Another program's bytes a moment later. */
static void *change(void *arg)
{
	struct hv a = shared;

	(void)arg;
	while (!atomic_load(&stop)) {
		shared.family = AF_UNIX;
		shared_len = UINT32_MAX;
		memset(&shared, 0xff, sizeof(shared));
		shared_len = 3;
		shared = a;
		shared_len = 36;
	}
	return NULL;
}

START_TEST(memory_that_changes)
{
	pthread_t t;
	int l;

	shared = address();
	l = serve(SOCK_STREAM | SOCK_NONBLOCK, &shared);
	pthread_create(&t, NULL, change, NULL);
	for (int i = 0; i < 500; i++) {
		struct { struct hv a; char guard[220]; } got;
		int fd = make(SOCK_STREAM), s;

		memset(&got, 0xee, sizeof(got));
		(void)raw_connect(fd, &shared);
		(void)raw(SYS_getsockname, fd, (long)&got.a, (long)&shared_len);
		s = (int)raw(SYS_accept4, l, (long)&got.a, (long)&shared_len);
		if (s >= 0)
			close(s);
		close(fd);
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	still_served();
}
END_TEST

static int slot;

/* The number is a socket of ours, another's, none. */
static void *replace(void *arg)
{
	int hv = make(SOCK_STREAM), un = socket(AF_UNIX, SOCK_STREAM, 0);
	int null = open("/dev/null", O_RDWR);

	(void)arg;
	while (!atomic_load(&stop)) {
		dup2(hv, slot);
		dup2(un, slot);
		close(slot);
		dup2(null, slot);
	}
	return NULL;
}

START_TEST(descriptors_that_change)
{
	struct hv a = address(), got;
	pthread_t t;

	slot = 77;
	pthread_create(&t, NULL, replace, NULL);
	for (int i = 0; i < 500; i++) {
		socklen_t len = sizeof(got);

		(void)raw(SYS_getsockname, slot, (long)&got, (long)&len);
		(void)raw_connect(slot, &a);
		(void)raw(SYS_listen, slot, 1, 0);
		(void)get(slot, LEVEL, SO_DOMAIN);
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	still_served();
}
END_TEST

static struct hv target;
static int target_listener;

static void *busy(void *arg)
{
	struct hv from;
	socklen_t len = sizeof(from);

	if (arg)
		(void)raw_accept(target_listener, &from, &len);
	for (;;)
		(void)raw_connect((int)raw(SYS_socket, FAMILY, SOCK_STREAM,
					   PROTOCOL), &target);
	return NULL;
}

/* A process ends, or becomes another, with its threads in the middle. */
START_TEST(threads_that_vanish)
{
	for (int i = 0; i < 30; i++) {
		pid_t pid;
		int status;

		target = address();
		target_listener = serve(SOCK_STREAM, &target);
		pid = fork();
		if (!pid) {
			pthread_t t;

			for (long k = 0; k < 8; k++)
				pthread_create(&t, NULL, busy,
					       k % 2 ? &target : NULL);
			for (int k = 0; k < i * 10; k++)
				sched_yield();
			if (i % 3 == 0)
				_exit(0);
			if (i % 3 == 1)
				raise(SIGKILL);
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		close(target_listener);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(i % 3 == 1 ? WIFSIGNALED(status) :
				       WIFEXITED(status) &&
					       !WEXITSTATUS(status));
	}
	still_served();
}
END_TEST

START_TEST(no_room_for_descriptors)
{
	struct hv a = address(), from;
	int l = serve(SOCK_STREAM, &a), c = dial(SOCK_STREAM, &a), s;
	socklen_t len = sizeof(from);
	struct rlimit old, none;

	ck_assert_int_eq(write(c, "x", 1), 1);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(raw(SYS_socket, FAMILY, SOCK_STREAM, PROTOCOL),
			 -EMFILE);
	ck_assert_int_eq(raw_accept(l, &from, &len), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* the connection has not been lost */
	s = (int)raw_accept(l, &from, &len);
	ck_assert_int_ge(s, 0);
	ck_assert_int_eq(read(s, &from, sizeof(from)), 1);
	still_served();
}
END_TEST

/* As often as it likes: what is in the queue stays there, and can be seen. */
START_TEST(no_room_takes_nothing)
{
	struct hv a = address(), from[8];
	int l = make(SOCK_STREAM), queued[8], s;
	struct pollfd p = { .fd = l, .events = POLLIN };
	struct rlimit old, none;
	socklen_t len;
	char x = 0;

	ck_assert_int_eq(bind(l, SA(&a), sizeof(a)), 0);
	ck_assert_int_eq(listen(l, 16), 0);
	for (int i = 0; i < 8; i++) {
		queued[i] = dial(SOCK_STREAM, &a);
		ck_assert_int_eq(write(queued[i], &"01234567"[i], 1), 1);
	}
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 8; i++) {
		len = sizeof(from[i]);
		ck_assert_int_eq(raw_accept(l, &from[i], &len), -EMFILE);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* in another order: other arguments */
	for (int i = 7; i >= 0; i--) {
		ck_assert_int_eq(poll(&p, 1, LIMIT_MS), 1);
		len = sizeof(from[i]);
		s = (int)raw_accept(l, &from[i], &len);
		ck_assert_int_ge(s, 0);
		ck_assert_uint_eq(from[i].family, FAMILY);
		ck_assert_int_eq(read(s, &x, 1), 1);
		ck_assert_int_eq(x, "01234567"[7 - i]);
		close(s);
	}
	still_served();
}
END_TEST

/* One that keeps its memory to itself is on its own; no harm is done. */
START_TEST(not_dumpable)
{
	struct hv a = address();
	int fd = make(SOCK_STREAM);

	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 0), 0);
	if (geteuid() != 0) {
		ck_assert_int_eq(raw(SYS_bind, fd, (long)&a, 36), -EINVAL);
		ck_assert_int_eq(raw(SYS_socket, FAMILY, SOCK_STREAM, PROTOCOL),
				 -EAFNOSUPPORT);
	}
	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	still_served();
}
END_TEST

Suite *suite_hostile(void)
{
	Suite *s = suite_create("hostile");
	TCase *t = tcase_create("hostile");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, bad_pointers);
	tcase_add_test(t, read_only_memory);
	tcase_add_test(t, odd_lengths);
	tcase_add_test(t, memory_that_changes);
	tcase_add_test(t, descriptors_that_change);
	tcase_add_test(t, threads_that_vanish);
	tcase_add_test(t, no_room_for_descriptors);
	tcase_add_test(t, no_room_takes_nothing);
	tcase_add_test(t, not_dumpable);
	suite_add_tcase(s, t);
	return s;
}
