/* SPDX-License-Identifier: MIT */
/* harness.h - what every test of the library needs; include once a program */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/guid.h"
#include "stand-in.h"

static struct stand_in broker;

static void setup(void)
{
	stand_in_start(&broker);
}

static void teardown(void)
{
	stand_in_end(&broker);
}

static inline SOCKADDR_HV address(const GUID *vmid, uint32_t port)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV, .VmId = *vmid,
			  .ServiceId = guid_from_port(port) };

	return a;
}

static inline int new_socket(int type)
{
	int fd = hvs_socket(AF_HYPERV, type, HV_PROTOCOL_RAW);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static inline int listener(int type, uint32_t port)
{
	SOCKADDR_HV a = address(&HV_GUID_WILDCARD, port);
	int fd = new_socket(type);

	ck_assert_int_eq(hvs_bind(fd, &a, sizeof(a)), 0);
	ck_assert_int_eq(hvs_listen(fd, 128), 0);
	return fd;
}

static inline int dial(int fd, uint32_t port)
{
	SOCKADDR_HV a = address(&HV_GUID_LOOPBACK, port);

	return hvs_connect(fd, &a, sizeof(a));
}

#define assert_fails(call, error)                                       \
	do {                                                            \
		errno = 0;                                              \
		ck_assert_int_eq((call), -1);                           \
		ck_assert_msg(errno == (error), "errno is %s, not %s",  \
			      strerrorname_np(errno), #error);          \
	} while (0)

/* The reason of @fd, or of the thread (-1). */
static inline struct hvs_reason reason_of(int fd)
{
	struct hvs_reason r;

	ck_assert_int_eq(hvs_reason(fd, &r), 0);
	return r;
}

#define assert_reason(fd, want_code, want_error, want_text)           \
	do {                                                          \
		struct hvs_reason r_ = reason_of(fd);                 \
		ck_assert_uint_eq(r_.code, (want_code));              \
		ck_assert_int_eq(r_.error, (want_error));             \
		ck_assert_msg(strstr(r_.text, (want_text)), "%s",     \
			      r_.text);                               \
	} while (0)

static inline int run_suite(const char *name, void (*fill)(TCase *t))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	fill(t);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

#endif /* TESTS_HARNESS_H */
