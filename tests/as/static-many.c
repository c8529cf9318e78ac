/* SPDX-License-Identifier: MIT */
/*
 * static-many.c - many threads, processes and sockets
 *
 * Threads as Go's runtime has them: system calls without libc, and a monitor
 * that sends them SIGURG whatever they are doing, which restarts calls.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "static.h"

#define THREADS 100

static struct hv where;
static int listener;
static atomic_int answered;

static void *client(void *arg)
{
	long fd = raw(SYS_socket, FAMILY, SOCK_STREAM, PROTOCOL), r;
	char x = 0;

	(void)arg;
	ck_assert_msg(fd >= 0, "socket: %s", strerror((int)-fd));
	r = raw_connect((int)fd, &where);
	ck_assert_msg(r == 0, "connect: %s", strerror((int)-r));
	ck_assert_int_eq(raw(SYS_write, fd, (long)"x", 1), 1);
	ck_assert_int_eq(raw(SYS_read, fd, (long)&x, 1), 1);
	ck_assert_int_eq(x, 'y');
	atomic_fetch_add(&answered, 1);
	close((int)fd);
	return NULL;
}

static void *server(void *arg)
{
	struct hv from = { 0 };
	socklen_t len = sizeof(from);
	long s = raw_accept(listener, &from, &len);
	char x;

	(void)arg;
	ck_assert_msg(s >= 0, "accept: %s", strerror((int)-s));
	ck_assert_uint_eq(len, sizeof(from));
	ck_assert_uint_eq(from.family, FAMILY);
	ck_assert_mem_eq(from.vm, loopback, 16);
	ck_assert_int_eq(raw(SYS_read, s, (long)&x, 1), 1);
	ck_assert_int_eq(raw(SYS_write, s, (long)"y", 1), 1);
	close((int)s);
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
}

/* All at once: each accept and each connect has a thread that is blocked. */
START_TEST(hundred_connects)
{
	struct sigaction sa = { .sa_handler = on_signal,
				.sa_flags = SA_RESTART };
	pthread_t servers[THREADS], clients[THREADS];
	bool disturbed = _i;

	sigaction(SIGURG, &sa, NULL);
	where = address();
	listener = make(SOCK_STREAM);
	ck_assert_int_eq(bind(listener, SA(&where), sizeof(where)), 0);
	ck_assert_int_eq(listen(listener, THREADS), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&servers[i], NULL, server,
						NULL), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&clients[i], NULL, client,
						NULL), 0);
	while (disturbed && atomic_load(&answered) < THREADS) {
		for (int i = 0; i < THREADS; i++) {
			pthread_kill(servers[i], SIGURG);
			pthread_kill(clients[i], SIGURG);
		}
		sleep_ms(5);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(clients[i], NULL);
		pthread_join(servers[i], NULL);
	}
	ck_assert_int_eq(atomic_load(&answered), THREADS);
}
END_TEST

/* A backlog that is full makes connects wait; others do not wait for them. */
static void *waits(void *arg)
{
	int fd = dial(SOCK_STREAM, &where);

	(void)arg;
	atomic_fetch_add(&answered, 1);
	close(fd);
	return NULL;
}

START_TEST(nobody_waits_for_another)
{
	struct hv other = address(), from;
	socklen_t len = sizeof(from);
	pthread_t t[8];
	int l, c, s;

	where = address();
	listener = make(SOCK_STREAM);
	ck_assert_int_eq(bind(listener, SA(&where), sizeof(where)), 0);
	ck_assert_int_eq(listen(listener, 0), 0);
	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, waits, NULL);
	l = serve(SOCK_STREAM, &other);
	c = dial(SOCK_STREAM, &other);
	s = (int)raw_accept(l, &from, &len);
	ck_assert_int_ge(s, 0);
	close(c);
	close(s);
	ck_assert_int_lt(atomic_load(&answered), 8);
	for (int i = 0; i < 8; i++) {
		len = sizeof(from);
		ck_assert_int_ge(raw_accept(listener, &from, &len), 0);
	}
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
}
END_TEST

static const char *self;

int executed(const char *service)
{
	struct hv a = address();
	int fd = socket(FAMILY, SOCK_STREAM, PROTOCOL);
	uint32_t port = (uint32_t)strtoul(service, NULL, 10);

	memcpy(a.service, &port, sizeof(port));
	if (fd < 0 || connect(fd, SA(&a), sizeof(a)) < 0) {
		perror("executed");
		return 1;
	}
	return write(fd, "x", 1) == 1 ? 0 : 1;
}

START_TEST(forked_and_executed)
{
	struct hv a = address(), from;
	int l = serve(SOCK_STREAM, &a), status;
	socklen_t len = sizeof(from);
	char number[16], x;
	uint32_t port;
	long s;

	memcpy(&port, a.service, sizeof(port));
	snprintf(number, sizeof(number), "%u", port);
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();

		if (!pid && i)
			execl(self, self, "--exec", number, NULL);
		if (!pid)
			_exit(executed(number));
		s = raw_accept(l, &from, &len);
		ck_assert_int_ge(s, 0);
		ck_assert_int_eq(read((int)s, &x, 1), 1);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
	}
}
END_TEST

/* What is known of a socket lasts as long as the socket, and no longer. */
START_TEST(options_of_many_sockets)
{
	int first = make(SOCK_STREAM), fd;

	ck_assert_int_eq(set(first, SOL_OURS, OPT_CONNECT_TIMEOUT, 4321), 0);
	for (int i = 0; i < 3000; i++) {
		fd = make(SOCK_STREAM);
		ck_assert_int_eq(set(fd, SOL_OURS, OPT_CONNECT_TIMEOUT, i + 1),
				 0);
		ck_assert_int_eq(get(fd, SOL_OURS, OPT_CONNECT_TIMEOUT), i + 1);
		close(fd);
	}
	ck_assert_int_eq(get(first, SOL_OURS, OPT_CONNECT_TIMEOUT), 4321);
}
END_TEST

Suite *suite_many(const char *name)
{
	Suite *s = suite_create("many");
	TCase *t = tcase_create("many");

	self = name;
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, hundred_connects, 0, 2);
	tcase_add_test(t, nobody_waits_for_another);
	tcase_add_test(t, forked_and_executed);
	tcase_add_test(t, options_of_many_sockets);
	suite_add_tcase(s, t);
	return s;
}
