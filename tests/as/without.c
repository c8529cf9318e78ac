/* SPDX-License-Identifier: MIT */
/*
 * without.c - a kernel, or a container, that has not got a system call
 *
 *	without CALL COMMAND...
 *
 * CALL is a name that libseccomp knows; it gives ENOSYS.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int nr = argc > 2 ? seccomp_syscall_resolve_name(argv[1]) : -1;

	if (!ctx || nr < 0) {
		fprintf(stderr, "usage: without CALL COMMAND...\n");
		return 2;
	}
	if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), nr, 0) < 0 ||
	    seccomp_load(ctx) < 0) {
		perror("seccomp");
		return 2;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
