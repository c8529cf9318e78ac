/* SPDX-License-Identifier: MIT */
/*
 * test-setuid.c - a program that changes its user is somebody else from then on
 *
 * Needs root. Elsewhere it says so and is counted as skipped (77).
 */
#include "harness.h"

#include <grp.h>

START_TEST(another_user)
{
	uid_t someone = 65534;
	int fd = new_socket(SOCK_STREAM);

	assert_fails(dial(fd, 1), ECONNREFUSED);
	ck_assert_uint_eq(broker.shared->uid, 0);
	ck_assert_int_eq(setegid(65534), 0);
	ck_assert_int_eq(seteuid(someone), 0);
	assert_fails(dial(fd, 1), ECONNREFUSED);
	ck_assert_uint_eq(broker.shared->uid, someone);
	ck_assert_int_eq(broker.shared->accepted, 2);
	/* and the door that was root's is closed */
	stand_in_wait(&broker.shared->ended, 1);
	/* back again: a new one again */
	ck_assert_int_eq(seteuid(0), 0);
	assert_fails(dial(fd, 1), ECONNREFUSED);
	ck_assert_uint_eq(broker.shared->uid, 0);
	ck_assert_int_eq(broker.shared->accepted, 3);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, another_user);
}

int main(void)
{
	if (geteuid() != 0) {
		fprintf(stderr, "skipped: changing users needs root\n");
		return 77;
	}
	return run_suite("lib-setuid", fill);
}
