/* SPDX-License-Identifier: MIT */
/*
 * test-setuid.c - a program that changes its user is somebody else from then on
 *
 * Needs root, or a user namespace in which there are two users: those of
 * /etc/subuid, by unshare(1) and newuidmap(1). Without either it fails.
 */
#include <grp.h>

#include "harness.h"

START_TEST(another_user)
{
	const uid_t someone = 7; /* in any namespace of several users */
	int fd = new_socket(SOCK_STREAM);

	assert_fails(dial(fd, 1), ECONNREFUSED);
	ck_assert_uint_eq(broker.shared->uid, 0);
	ck_assert_int_eq(setegid(someone), 0);
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

/* Its groups count as well: those that the broker is told, and all of them. */
START_TEST(other_groups)
{
	gid_t groups[50];
	int fd = new_socket(SOCK_STREAM);

	for (gid_t i = 0; i < 50; i++)
		groups[i] = i;
	for (int i = 0; i < 2; i++) { /* the second time they are the same */
		ck_assert_int_eq(setgroups(0, NULL), 0);
		assert_fails(dial(fd, 1), ECONNREFUSED);
		assert_fails(dial(fd, 1), ECONNREFUSED);
		ck_assert_int_eq(broker.shared->accepted, 4 * i + 1);
		ck_assert_int_eq(setgroups(1, groups + 7), 0);
		assert_fails(dial(fd, 1), ECONNREFUSED);
		assert_fails(dial(fd, 1), ECONNREFUSED);
		ck_assert_int_eq(broker.shared->accepted, 4 * i + 2);
		stand_in_wait(&broker.shared->ended, 4 * i + 1);
		ck_assert_int_eq(setgroups(50, groups), 0);
		assert_fails(dial(fd, 1), ECONNREFUSED);
		assert_fails(dial(fd, 1), ECONNREFUSED);
		ck_assert_int_eq(broker.shared->accepted, 4 * i + 3);
		groups[49] += 1;
		ck_assert_int_eq(setgroups(50, groups), 0);
		assert_fails(dial(fd, 1), ECONNREFUSED);
		ck_assert_int_eq(broker.shared->accepted, 4 * i + 4);
	}
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, another_user);
	tcase_add_test(t, other_groups);
}

int main(int argc, char **argv)
{
	if (geteuid() != 0 && argc == 1) {
		execlp("unshare", "unshare", "--user", "--map-root-user",
		       "--map-auto", argv[0], "in-namespace", (char *)NULL);
		perror("unshare");
		return 1;
	}
	return run_suite("lib-setuid", fill);
}
