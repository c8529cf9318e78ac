/* SPDX-License-Identifier: MIT */
/*
 * plain-inherit.c - dup, fork, exec: the descriptor is all that is left, and
 * it is still known for what it is
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "plain.h"

static const char *library;

START_TEST(duplicates)
{
	struct hv a = address(), got;
	socklen_t len = sizeof(got);
	int fresh = make(SOCK_RAW), d, l, c, s;

	d = dup(fresh);
	close(fresh);
	ck_assert_int_eq(get(d, LEVEL, SO_DOMAIN), FAMILY);
	ck_assert_int_eq(get(d, LEVEL, SO_TYPE), SOCK_RAW);
	ck_assert_int_eq(bind(d, SA(&a), sizeof(a)), 0);
	ck_assert_int_eq(listen(d, 1), 0);
	l = fcntl(d, F_DUPFD, 100);
	close(d);
	ck_assert_int_eq(getsockname(l, SA(&got), &len), 0);
	ck_assert_mem_eq(&got, &a, 36);
	c = dial(SOCK_RAW, &a);
	s = dup2(accept(l, NULL, NULL), 150);
	ck_assert_int_eq(s, 150);
	ck_assert_int_eq(getpeername(s, SA(&got), &len), 0);
	ck_assert_uint_eq(got.family, FAMILY);
	close(s);
	close(c);
	close(l);

	/* the number of a Hyper-V socket, now another's */
	c = make(SOCK_STREAM);
	s = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(dup2(s, c), c);
	ck_assert_int_eq(get(c, SOL_SOCKET, SO_DOMAIN), AF_INET);
	close(s);
	close(c);
}
END_TEST

START_TEST(forks)
{
	struct hv a = address(), got;
	socklen_t len = sizeof(got);
	int l = make(SOCK_STREAM), c, status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		if (bind(l, SA(&a), sizeof(a)) < 0 || listen(l, 1) < 0)
			_exit(errno);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	/* the child bound it, and it is ours as well */
	ck_assert_int_eq(getsockname(l, SA(&got), &len), 0);
	ck_assert_mem_eq(&got, &a, 36);
	c = dial(SOCK_STREAM, &a);
	close(c);
	close(l);
}
END_TEST

static void run(const char *what, int fd, const struct hv *a)
{
	char number[16], port[16];
	uint32_t p;
	int status;
	pid_t pid;

	memcpy(&p, a->service, sizeof(p));
	snprintf(number, sizeof(number), "%d", fd);
	snprintf(port, sizeof(port), "%u", p);
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "test-plain", library, what, number,
		      port, (char *)NULL);
		_exit(99);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "%s after exec: status 0x%x", what, status);
}

START_TEST(executes)
{
	struct hv a = address();
	int fd, l, c;

	/* neither bound nor connected: bound, and listening, there */
	fd = make(SOCK_RAW);
	run("fresh", fd, &a);
	close(fd);
	l = make(SOCK_STREAM);
	a = address();
	ck_assert_int_eq(bind(l, SA(&a), sizeof(a)), 0);
	run("bound", l, &a);
	/* the other process has called listen() */
	c = dial(SOCK_STREAM, &a);
	run("accept", l, &a);
	run("peer", c, &a);
	close(c);
	close(l);
}
END_TEST

static int complain(const char *what)
{
	perror(what);
	return 1;
}

int inherited(int argc, char **argv)
{
	struct hv a = address(), got;
	socklen_t len = sizeof(got);
	uint32_t port;
	int fd, s;

	if (argc != 5)
		return 2;
	fd = atoi(argv[3]);
	port = (uint32_t)strtoul(argv[4], NULL, 10);
	memcpy(a.service, &port, sizeof(port));
	s = -1;
	len = sizeof(s);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &s, &len) < 0 || s != FAMILY)
		return complain("SO_DOMAIN");
	len = sizeof(got);
	if (!strcmp(argv[2], "fresh")) {
		len = sizeof(s);
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &s, &len) < 0 ||
		    s != SOCK_RAW)
			return complain("SO_TYPE");
		if (bind(fd, SA(&a), sizeof(a)) < 0 || listen(fd, 1) < 0)
			return complain("bind");
		return 0;
	}
	if (!strcmp(argv[2], "peer")) {
		if (getpeername(fd, SA(&got), &len) < 0 ||
		    memcmp(&got, &a, 36) != 0)
			return complain("getpeername");
		return 0;
	}
	if (!strcmp(argv[2], "bound") && listen(fd, 4) < 0)
		return complain("listen");
	if (getsockname(fd, SA(&got), &len) < 0 || memcmp(&got, &a, 36) != 0)
		return complain("getsockname");
	if (!strcmp(argv[2], "accept")) {
		s = accept(fd, SA(&got), &len);
		if (s < 0 || got.family != FAMILY || len != 36)
			return complain("accept");
	}
	return 0;
}

Suite *suite_inherit(const char *self)
{
	Suite *s = suite_create("inherit");
	TCase *t = tcase_create("inherit");

	library = self;
	tcase_set_timeout(t, 60);
	tcase_add_test(t, duplicates);
	tcase_add_test(t, forks);
	tcase_add_test(t, executes);
	suite_add_tcase(s, t);
	return s;
}
