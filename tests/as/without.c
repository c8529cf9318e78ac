/* SPDX-License-Identifier: MIT */
/*
 * without.c - a kernel, or a container, that has not got a system call
 *
 *	without CALL COMMAND...
 *
 * CALL is a name that libseccomp knows; it gives ENOSYS. Or PIDFD_THREAD, which
 * kernels before 6.9 have not got: EINVAL.
 */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	bool threads = argc > 2 && !strcmp(argv[1], "PIDFD_THREAD");
	int nr = -1, r;

	if (threads)
		nr = SCMP_SYS(pidfd_open);
	else if (argc > 2)
		nr = seccomp_syscall_resolve_name(argv[1]);
	if (!ctx || nr < 0) {
		fprintf(stderr, "usage: without CALL COMMAND...\n");
		return 2;
	}
	if (threads)
		r = seccomp_rule_add_array(
			ctx, SCMP_ACT_ERRNO(EINVAL), nr, 1,
			&(const struct scmp_arg_cmp) { .arg = 1,
						       .op = SCMP_CMP_EQ,
						       .datum_a = O_EXCL });
	else
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), nr, 0);
	if (r < 0 || seccomp_load(ctx) < 0) {
		perror("seccomp");
		return 2;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
