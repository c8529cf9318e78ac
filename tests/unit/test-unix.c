/* SPDX-License-Identifier: MIT */
/* test-unix.c - Unix sockets at paths: what is replaced and what stays */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unix.h"
#include "suite.h"

static char dir[64], path[80];

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/hvs-unix-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
}

static void end(void)
{
	(void)unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(test_address)
{
	struct sockaddr_un sa;
	char name[sizeof(sa.sun_path) + 1];

	memset(name, 'x', sizeof(name));
	name[sizeof(sa.sun_path)] = '\0';
	ck_assert_int_eq(unix_address(name, &sa), -ENAMETOOLONG);
	ck_assert_int_eq(unix_listen(name, SOCK_STREAM, 1, true),
			 -ENAMETOOLONG);
	ck_assert_int_eq(unix_connect(name, SOCK_STREAM, 0), -ENAMETOOLONG);
	name[sizeof(sa.sun_path) - 1] = '\0';
	ck_assert_int_eq(unix_address(name, &sa), 0);
	ck_assert_str_eq(sa.sun_path, name);
	ck_assert_int_eq(unix_address("", &sa), -EINVAL);
}
END_TEST

START_TEST(test_listen_and_connect)
{
	const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	struct stat st;
	char c = 0;

	for (unsigned int i = 0; i < 2; i++) {
		int fd = unix_listen(path, types[i], 1, true), peer, in;

		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_int_eq(st.st_mode & 0777, 0600);
		ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
		ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
		peer = unix_connect(path, types[i], 1);
		ck_assert_int_ge(peer, 0);
		in = accept(fd, NULL, NULL);
		ck_assert_int_eq(write(in, "x", 1), 1);
		ck_assert_int_eq(read(peer, &c, 1), 1);
		close(in);
		close(peer);
		/* the file stays, and the next one replaces it */
		close(fd);
		ck_assert_int_eq(unix_connect(path, types[i], 0),
				 -ECONNREFUSED);
	}
}
END_TEST

START_TEST(test_a_live_one_stays)
{
	const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };

	for (unsigned int i = 0; i < 2; i++) {
		int fd = unix_listen(path, types[i], 1, false), peer;

		ck_assert_int_ge(fd, 0);
		for (unsigned int j = 0; j < 2; j++)
			ck_assert_int_eq(unix_listen(path, types[j], 1, true),
					 -EADDRINUSE);
		/* and has not been disturbed */
		ck_assert_int_eq(accept(fd, NULL, NULL), -1);
		ck_assert_int_eq(errno, EAGAIN);
		peer = unix_connect(path, types[i], 1);
		ck_assert_int_ge(peer, 0);
		close(peer);
		close(fd);
		ck_assert_int_eq(unlink(path), 0);
	}
}
END_TEST

START_TEST(test_a_full_queue)
{
	int fd = unix_listen(path, SOCK_STREAM, 0, true);
	int first = unix_connect(path, SOCK_STREAM, 1);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(first, 0);
	ck_assert_int_eq(unix_connect(path, SOCK_STREAM, 1), -ETIMEDOUT);
	close(first);
	close(fd);
}
END_TEST

START_TEST(test_what_is_no_socket_stays)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(unix_listen(path, SOCK_STREAM, 1, true), -EEXIST);
	ck_assert_int_eq(stat(path, &st), 0);
}
END_TEST

START_TEST(test_alive_or_left)
{
	int fd = unix_listen(path, SOCK_STREAM, 1, true);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(unix_alive(path), 1);
	ck_assert_int_eq(unix_remove_stale(path), -EADDRINUSE);
	close(fd);
	ck_assert_int_eq(unix_alive(path), 0);
	ck_assert_int_eq(unix_remove_stale(path), 0);
	ck_assert_int_eq(unix_alive(path), -ENOENT);
	ck_assert_int_eq(unix_remove_stale(path), -ENOENT);
	ck_assert_int_eq(unix_alive(dir), -EEXIST);
	ck_assert_int_eq(unix_remove_stale(dir), -EEXIST);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, test_address);
	tcase_add_test(t, test_listen_and_connect);
	tcase_add_test(t, test_a_live_one_stays);
	tcase_add_test(t, test_a_full_queue);
	tcase_add_test(t, test_what_is_no_socket_stays);
	tcase_add_test(t, test_alive_or_left);
}

int main(void)
{
	return run_suite("unix", fill);
}
