/* SPDX-License-Identifier: MIT */
/* test-broken.c - brokers that answer something else; the kernel's limits */
#include "harness.h"

#include <dirent.h>
#include <sys/resource.h>

#include "base/fdmsg.h"

static int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Short frames, requests, other serials, descriptors: a call ends in time. */
START_TEST(never_the_answer)
{
	uint32_t ms = 1;
	int fd = new_socket(SOCK_STREAM), had;

	assert_fails(dial(fd, 1), ECONNREFUSED);
	had = open_files();
	ck_assert_int_eq(hvs_setsockopt(fd, 1, HVSOCKET_CONNECT_TIMEOUT, &ms,
					4), 0);
	stand_in_mode(&broker, BABBLE, 1);
	assert_fails(dial(fd, 1), ETIMEDOUT);
	assert_reason(fd, HVS_REASON_NO_ANSWER, ETIMEDOUT, broker.dir);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	assert_fails(dial(fd, 1), ECONNREFUSED);
	/* the connection was made anew; what came with the frames is gone */
	ck_assert_int_eq(open_files(), had);
}
END_TEST

/* Descriptors of this user on their way, more than the limit: a sentence. */
START_TEST(too_many_on_their_way)
{
	struct rlimit rl = { .rlim_cur = 3, .rlim_max = 3 };
	int fd = new_socket(SOCK_STREAM), sv[2], many[8], status;
	struct hvs_reason why;
	pid_t pid = fork();

	if (pid) {
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		return;
	}
	/* root is excused */
	if (geteuid() == 0 && seteuid(65534) < 0)
		_exit(1);
	/* the connection needs a number; then the limit is lowered */
	if (hvs_partition(NULL, NULL, 0) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0)
		_exit(2);
	for (int i = 0; i < 8; i++)
		many[i] = fd;
	if (fdmsg_send(sv[0], "x", 1, many, 8, 0) < 0 ||
	    setrlimit(RLIMIT_NOFILE, &rl) < 0)
		_exit(3);
	if (dial(fd, 1) == 0 || errno != ETOOMANYREFS)
		_exit(4);
	if (hvs_reason(fd, &why) < 0 || why.code != HVS_REASON_QUOTA ||
	    why.error != ETOOMANYREFS || !strstr(why.text, "RLIMIT_NOFILE"))
		_exit(5);
	_exit(0);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, never_the_answer);
	tcase_add_test(t, too_many_on_their_way);
}

int main(void)
{
	return run_suite("lib-broken", fill);
}
