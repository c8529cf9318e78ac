/* SPDX-License-Identifier: MIT */
/* sandbox.c - see sandbox.h */
#include "transport/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stdbool.h>
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
#include "base/give-back.h"

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
struct with_argument {
	int call;
	unsigned int arg;
	uint64_t mask, value;
};

static const struct with_argument with_argument[] = {
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

static const struct with_argument for_vsock[] = {
	{ SCMP_SYS(socket), 0, UINT32_MAX, AF_VSOCK },
	{ SCMP_SYS(setsockopt), 1, UINT32_MAX, AF_VSOCK },
};
static bool allow_vsock;

static const int remove_calls[] = {
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	-1,
};
static const int make_calls[] = {
	SCMP_SYS(bind),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	-1,
};

static int add_calls(scmp_filter_ctx ctx, const int *calls)
{
	int r = 0;

	for (; calls && *calls != -1 && r == 0; calls++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *calls, 0);
	return r;
}

static int add_with(scmp_filter_ctx ctx, const struct with_argument *w,
		    size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct scmp_arg_cmp cmp = {
			.arg = w[i].arg,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = w[i].mask,
			.datum_b = w[i].value,
		};

		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, w[i].call, 1,
					   &cmp);
	}
	return r;
}

/* What may be done to files of one directory. */
enum in_directory { IN_NOTHING, IN_REMOVE, IN_MAKE };

static int add_rules(scmp_filter_ctx ctx, const int *more, enum in_directory in)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(plain) && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, plain[i], 0);
	if (r == 0)
		r = add_calls(ctx, more);
	if (r == 0 && in >= IN_REMOVE)
		r = add_calls(ctx, remove_calls);
	if (r == 0 && in == IN_MAKE)
		r = add_calls(ctx, make_calls);
	if (r == 0)
		r = add_with(ctx, with_argument, ARRAY_LEN(with_argument));
	if (r == 0 && allow_vsock)
		r = add_with(ctx, for_vsock, ARRAY_LEN(for_vsock));
	return r;
}

static int filter(const int *more, enum in_directory in)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = add_rules(ctx, more, in);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	give_back_memory();
	return r;
}

/* All of the first version: what a kernel does not know is not needed. */
#define FS_ALL (LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1)

/* No file may be touched, but for @access in @in. Only for this thread and what
 * it starts from now on. Where it is done last, the other one that there is
 * closes descriptors and does nothing else (closer.h); whoever has more of them
 * starts them between sandbox_lock() and sandbox_filter(). */
static int landlock(const char *in, uint64_t access)
{
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = FS_ALL,
	};
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = access,
		.parent_fd = -1,
	};
	cleanup_close_ int ruleset = -1;
	cleanup_close_ int dir = -1;

	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr),
			       0);
	if (ruleset < 0)
		return -errno;
	if (in) {
		dir = open(in, O_PATH | O_DIRECTORY | O_CLOEXEC);
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

void sandbox_allow_vsock(void)
{
	allow_vsock = true;
}

static int drop_privileges(void)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return 0;
}

int sandbox_lock(const char *remove_in, int *ret_may_remove)
{
	int locked, r = drop_privileges();

	if (r < 0)
		return r;
	/* an older kernel has no Landlock: seccomp alone is enough, as long as
	 * nothing may be removed */
	locked = landlock(remove_in, LANDLOCK_ACCESS_FS_REMOVE_FILE) == 0;
	*ret_may_remove = remove_in && locked;
	return 0;
}

int sandbox_filter(const int *more, int may_remove)
{
	return filter(more, may_remove ? IN_REMOVE : IN_NOTHING);
}

int sandbox_enter(const char *remove_in, const int *more, int *ret_may_remove)
{
	int r = sandbox_lock(remove_in, ret_may_remove);

	return r < 0 ? r : sandbox_filter(more, *ret_may_remove);
}

int sandbox_enter_making(const char *dir, const int *more)
{
	int r = drop_privileges();

	if (r < 0)
		return r;
	(void)landlock(dir, LANDLOCK_ACCESS_FS_REMOVE_FILE |
				    LANDLOCK_ACCESS_FS_MAKE_SOCK);
	return filter(more, IN_MAKE);
}
