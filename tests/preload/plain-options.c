/* SPDX-License-Identifier: MIT */
/*
 * plain-options.c - the table of libhvsocket-preload(7): what options 1, 2, 4
 * and 8 of level 1 mean, and those that tell what a socket is
 */
#include <stdlib.h>

#include "plain.h"

enum meaning {
	KERNEL_DEBUG, /* the kernel's SO_DEBUG */
	KERNEL_REUSEADDR,
	KERNEL_ERROR,
	KERNEL_RCVBUF,
	CONNECT_TIMEOUT, /* ours */
	SUSPEND,
	READ_ONLY,
};

static const struct row {
	int name;
	enum meaning set, get;
} table[] = {
	{ 1, CONNECT_TIMEOUT, CONNECT_TIMEOUT },
	{ 2, KERNEL_REUSEADDR, KERNEL_REUSEADDR },
	{ 4, SUSPEND, KERNEL_ERROR },
	{ 8, KERNEL_RCVBUF, KERNEL_RCVBUF },
	{ SO_TYPE, READ_ONLY, READ_ONLY },
	{ SO_PROTOCOL, READ_ONLY, READ_ONLY },
	{ SO_DOMAIN, READ_ONLY, READ_ONLY },
};

#define ROWS ((int)(sizeof(table) / sizeof(table[0])))

/* Sets the option at level 1 and looks at what has changed. */
static void check_set(int fd, const struct row *r)
{
	long before;

	switch (r->set) {
	case CONNECT_TIMEOUT:
		ck_assert_int_eq(set(fd, LEVEL, r->name, 1234), 0);
		ck_assert_int_eq(get(fd, SOL_OURS, OPT_CONNECT_TIMEOUT), 1234);
		ck_assert_int_eq(sys_get(fd, SOL_SOCKET, SO_DEBUG), 0);
		ck_assert_int_eq(set(fd, LEVEL, r->name, 300001), -EINVAL);
		break;
	case KERNEL_REUSEADDR:
		ck_assert_int_eq(set(fd, LEVEL, r->name, 1), 0);
		ck_assert_int_eq(sys_get(fd, SOL_SOCKET, SO_REUSEADDR), 1);
		ck_assert_int_eq(get(fd, SOL_OURS, OPT_PASSTHRU), 0);
		break;
	case SUSPEND:
		ck_assert_int_eq(set(fd, LEVEL, r->name, 1), 0);
		ck_assert_int_eq(get(fd, SOL_OURS, OPT_SUSPEND), 1);
		ck_assert_int_eq(set(fd, LEVEL, r->name, 2), -EINVAL);
		break;
	case KERNEL_RCVBUF:
		before = sys_get(fd, SOL_SOCKET, SO_RCVBUF);
		ck_assert_int_eq(set(fd, LEVEL, r->name, 8192), 0);
		ck_assert_int_ne(sys_get(fd, SOL_SOCKET, SO_RCVBUF), before);
		ck_assert_int_eq(get(fd, SOL_OURS, OPT_HIGH_VTL), 0);
		break;
	case READ_ONLY:
		ck_assert_int_eq(set(fd, LEVEL, r->name, 1), -ENOPROTOOPT);
		break;
	case KERNEL_DEBUG:
	case KERNEL_ERROR:
		ck_abort_msg("not in the table");
	}
}

/* Changes what the option should say by another way, and reads it. */
static void check_get(int fd, const struct row *r)
{
	int v = 1;

	switch (r->get) {
	case CONNECT_TIMEOUT:
		ck_assert_int_eq(get(fd, LEVEL, r->name), 2000);
		ck_assert_int_eq(set(fd, SOL_OURS, OPT_CONNECT_TIMEOUT, 77),
				 0);
		ck_assert_int_eq(get(fd, LEVEL, r->name), 77);
		break;
	case KERNEL_REUSEADDR:
		ck_assert_int_eq(set(fd, SOL_OURS, OPT_PASSTHRU, 1), 0);
		ck_assert_int_eq(get(fd, LEVEL, r->name), 0);
		syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &v,
			sizeof(v));
		ck_assert_int_eq(get(fd, LEVEL, r->name), 1);
		break;
	case KERNEL_ERROR:
		ck_assert_int_eq(set(fd, SOL_OURS, OPT_SUSPEND, 1), 0);
		ck_assert_int_eq(get(fd, LEVEL, r->name), 0);
		break;
	case KERNEL_RCVBUF:
		ck_assert_int_eq(get(fd, LEVEL, r->name),
				 sys_get(fd, SOL_SOCKET, SO_RCVBUF));
		break;
	case READ_ONLY:
		ck_assert_int_eq(get(fd, LEVEL, SO_TYPE), SOCK_RAW);
		ck_assert_int_eq(get(fd, LEVEL, SO_PROTOCOL), PROTOCOL);
		ck_assert_int_eq(get(fd, LEVEL, SO_DOMAIN), FAMILY);
		break;
	case KERNEL_DEBUG:
	case SUSPEND:
		ck_abort_msg("not in the table");
	}
}

START_TEST(level_1)
{
	int fd = make(SOCK_RAW);

	check_get(fd, &table[_i]);
	close(fd);
	fd = make(SOCK_RAW);
	check_set(fd, &table[_i]);
	close(fd);
}
END_TEST

START_TEST(level_of_our_own)
{
	static const int flags[] = { OPT_PASSTHRU, OPT_SUSPEND, OPT_HIGH_VTL,
				     0x100 };
	int fd = make(SOCK_STREAM);
	size_t i;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		ck_assert_int_eq(get(fd, SOL_OURS, flags[i]), 0);
		ck_assert_int_eq(set(fd, SOL_OURS, flags[i], 1), 0);
		ck_assert_int_eq(get(fd, SOL_OURS, flags[i]), 1);
	}
	ck_assert_int_eq(set(fd, SOL_OURS, 0x33, 1), -ENOPROTOOPT);
	ck_assert_int_eq(get(fd, SOL_OURS, 0x33), -ENOPROTOOPT);
	ck_assert_int_eq(get(fd, SOL_OURS, 0x101), 0);
	close(fd);
}
END_TEST

/* What programs set without thinking stays the kernel's. */
START_TEST(other_options_of_level_1)
{
	int fd = make(SOCK_STREAM), v = 1;
	struct timeval tv = { .tv_sec = 3 }, got;
	socklen_t len = sizeof(got);

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v,
				    sizeof(v)), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv,
				    sizeof(tv)), 0);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len),
			 0);
	ck_assert_int_eq(got.tv_sec, 3);
	ck_assert_int_eq(get(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
	close(fd);
}
END_TEST

Suite *suite_options(void)
{
	Suite *s = suite_create("options");
	TCase *t = tcase_create("options");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, level_1, 0, ROWS);
	tcase_add_test(t, level_of_our_own);
	tcase_add_test(t, other_options_of_level_1);
	suite_add_tcase(s, t);
	return s;
}
