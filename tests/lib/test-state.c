/* SPDX-License-Identifier: MIT */
/* test-state.c - the table of sockets stays as small as it can (inside) */
#include "harness.h"

#include <sys/resource.h>

#include "lib/pool.h"
#include "lib/state.h"

static void set_timeout(int fd, uint32_t ms)
{
	ck_assert_int_eq(hvs_setsockopt(fd, 1, HVSOCKET_CONNECT_TIMEOUT, &ms,
					4), 0);
}

START_TEST(nothing_for_plain_sockets)
{
	int l = listener(SOCK_STREAM, 1), fd = new_socket(SOCK_STREAM);

	ck_assert_int_eq(dial(fd, 1), 0);
	ck_assert_uint_eq(state_count(), 0);
	/* a default that was set is none */
	set_timeout(fd, 5);
	ck_assert_uint_eq(state_count(), 1);
	set_timeout(fd, 0);
	ck_assert_uint_eq(state_count(), 0);
	fd = new_socket(SOCK_STREAM);
	assert_fails(dial(fd, 2), ECONNREFUSED);
	ck_assert_uint_eq(state_count(), 1);
	ck_assert_int_eq(dial(fd, 1), 0);
	ck_assert_uint_eq(state_count(), 0);
	close(l);
}
END_TEST

START_TEST(closed_sockets_are_forgotten)
{
	int kept[40], fd;

	for (int i = 0; i < 40; i++) {
		kept[i] = new_socket(SOCK_STREAM);
		set_timeout(kept[i], 1000 + (uint32_t)i);
	}
	for (int i = 0; i < 20000; i++) {
		fd = new_socket(SOCK_STREAM);
		set_timeout(fd, 7);
		close(fd);
		ck_assert_uint_le(state_count(), 257);
	}
	for (int i = 0; i < 40; i++) {
		uint32_t v = 0;
		socklen_t len = sizeof(v);

		ck_assert_int_eq(hvs_getsockopt(kept[i], 1,
						HVSOCKET_CONNECT_TIMEOUT, &v,
						&len), 0);
		ck_assert_uint_eq(v, 1000 + (uint32_t)i);
	}
}
END_TEST

/* No descriptor is left to look who lives: then nobody is forgotten. */
START_TEST(no_descriptor_to_look_with)
{
	struct rlimit rl, none;
	int kept = new_socket(SOCK_STREAM), fd[300];
	struct sock_state s;

	set_timeout(kept, 5);
	for (int i = 0; i < 300; i++)
		fd[i] = new_socket(SOCK_STREAM);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	none = rl;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 300; i++)
		set_timeout(fd[i], 6);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	ck_assert_uint_eq(state_count(), 301);
	ck_assert(state_get(kept, &s));
	ck_assert_uint_eq(s.opt.timeout_ms, 5);
}
END_TEST

START_TEST(many_living_sockets)
{
	struct rlimit rl;
	int fd[3000];

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	rl.rlim_cur = rl.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	ck_assert_uint_gt(rl.rlim_cur, 3500);
	for (int i = 0; i < 3000; i++) {
		fd[i] = new_socket(SOCK_STREAM);
		set_timeout(fd[i], (uint32_t)i + 1);
	}
	ck_assert_uint_eq(state_count(), 3000);
	for (int i = 0; i < 3000; i++) {
		struct sock_state s;

		ck_assert(state_get(fd[i], &s));
		ck_assert_uint_eq(s.opt.timeout_ms, (uint32_t)i + 1);
	}
	for (int i = 0; i < 3000; i++)
		close(fd[i]);
	/* the next sweep comes when the table has doubled */
	for (int i = 0; i < 8000; i++) {
		int one = new_socket(SOCK_STREAM);

		set_timeout(one, 9);
		close(one);
	}
	ck_assert_uint_le(state_count(), 257);
}
END_TEST

START_TEST(connections_with_listeners_stay)
{
	SOCKADDR_HV a = address(&HV_GUID_WILDCARD, 1);
	struct conn *c[20];
	size_t idle, busy;
	int fd = new_socket(SOCK_STREAM);

	ck_assert_int_eq(hvs_bind(fd, &a, sizeof(a)), 0);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(pool_take(i > 0, &c[i]), 0);
	ck_assert(c[0]->bound);
	for (int i = 0; i < 6; i++)
		c[i]->bound = true;
	for (int i = 0; i < 20; i++)
		pool_give(c[i]);
	pool_counts(&idle, &busy);
	ck_assert_uint_eq(busy, 0);
	ck_assert_uint_eq(idle, 6 + POOL_IDLE);
	stand_in_wait(&broker.shared->ended, 20 - 6 - POOL_IDLE);
}
END_TEST

START_TEST(more_calls_than_slots)
{
	struct conn *c[POOL_SLOTS + 3];
	size_t idle, busy;

	int status;
	pid_t pid;

	for (int i = 0; i < POOL_SLOTS + 3; i++)
		ck_assert_int_eq(pool_take(false, &c[i]), 0);
	/* a child has none of them, of either kind */
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < POOL_SLOTS + 3; i++)
			if (c[i]->fd >= 0)
				_exit(1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	for (int i = 0; i < POOL_SLOTS + 3; i++)
		pool_give(c[i]);
	pool_counts(&idle, &busy);
	ck_assert_uint_eq(busy, 0);
	ck_assert_uint_eq(idle, POOL_IDLE);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, nothing_for_plain_sockets);
	tcase_add_test(t, closed_sockets_are_forgotten);
	tcase_add_test(t, no_descriptor_to_look_with);
	tcase_add_test(t, many_living_sockets);
	tcase_add_test(t, connections_with_listeners_stay);
	tcase_add_test(t, more_calls_than_slots);
}

int main(void)
{
	return run_suite("lib-state", fill);
}
