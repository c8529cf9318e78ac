/* SPDX-License-Identifier: MIT */
/* sandbox.c - see sandbox.h */
#include "transport/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"

static const int plain[] = {
	/* descriptors that are there */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(close),
	SCMP_SYS(shutdown),
	SCMP_SYS(fstat),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(accept4),
	SCMP_SYS(listen),
	SCMP_SYS(connect),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	/* memory, time, threads that are there, the end */
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(getrandom),
	SCMP_SYS(futex),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* One argument must have this value under this mask. */
static const struct {
	int call;
	unsigned int arg;
	uint64_t mask, value;
} with_argument[] = {
	{ SCMP_SYS(socket), 0, UINT32_MAX, AF_UNIX },
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFL },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFL },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_ADD_SEALS },
	{ SCMP_SYS(ioctl), 1, UINT32_MAX, SIOCINQ },
	{ SCMP_SYS(setsockopt), 1, UINT32_MAX, SOL_SOCKET },
	/* fstat() of glibc */
	{ SCMP_SYS(newfstatat), 3, UINT32_MAX, AT_EMPTY_PATH },
};

static int add_rules(scmp_filter_ctx ctx, const int *more, int may_remove)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(plain) && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, plain[i], 0);
	for (; more && *more != -1 && r == 0; more++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *more, 0);
	for (size_t i = 0; i < ARRAY_LEN(with_argument) && r == 0; i++) {
		const struct scmp_arg_cmp cmp = {
			.arg = with_argument[i].arg,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = with_argument[i].mask,
			.datum_b = with_argument[i].value,
		};

		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW,
					   with_argument[i].call, 1, &cmp);
	}
	if (may_remove && r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(unlink), 0);
	if (may_remove && r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(unlinkat),
				     0);
	return r;
}

static int filter(const int *more, int may_remove)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = add_rules(ctx, more, may_remove);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

/* All of the first version: what a kernel does not know is not needed. */
#define FS_ALL (LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1)

/* No file may be touched, but for removing one in @remove_in. Only for this
 * thread and what it starts: the other one closes descriptors. */
static int landlock(const char *remove_in)
{
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = FS_ALL,
	};
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = LANDLOCK_ACCESS_FS_REMOVE_FILE,
		.parent_fd = -1,
	};
	cleanup_close_ int ruleset = -1;
	cleanup_close_ int dir = -1;

	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr),
			       0);
	if (ruleset < 0)
		return -errno;
	if (remove_in) {
		dir = open(remove_in, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return -errno;
		beneath.parent_fd = dir;
		if (syscall(SYS_landlock_add_rule, ruleset,
			    LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
			return -errno;
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return -errno;
	return 0;
}

int sandbox_enter(const char *remove_in, const int *more, int *ret_may_remove)
{
	const struct rlimit none = { 0, 0 };
	int locked;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	/* an older kernel has no Landlock: seccomp alone is enough, as long as
	 * nothing may be removed */
	locked = landlock(remove_in) == 0;
	*ret_may_remove = remove_in && locked;
	return filter(more, *ret_may_remove);
}
