/* SPDX-License-Identifier: MIT */
/* identity.c - see identity.h */
#include "as/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct identity own;

int identity_start(void)
{
	return target_identity(getpid(), &own);
}

int identity_other(pid_t tid, struct identity *ret)
{
	int r;

	if (own.uid != 0)
		return 0;
	r = target_identity(tid, ret);
	if (r < 0)
		return r;
	return ret->uid != own.uid || ret->gid != own.gid || ret->n != own.n ||
	       memcmp(ret->groups, own.groups, own.n * sizeof(*own.groups));
}

static int set_user(uid_t uid)
{
	return (int)syscall(SYS_setresuid, -1, uid, -1);
}

static int set_groups(const struct identity *who)
{
	if (syscall(SYS_setgroups, who->n, who->groups) < 0 ||
	    syscall(SYS_setresgid, -1, who->gid, -1) < 0)
		return -1;
	return 0;
}

int identity_take(const struct identity *who)
{
	int r = 0;

	if (set_groups(who) < 0 || set_user(who->uid) < 0) {
		r = -errno;
		identity_back();
	}
	return r;
}

void identity_back(void)
{
	/* a thread that cannot must not go on as somebody else */
	if (set_user(own.uid) < 0)
		abort();
	(void)set_groups(&own);
}
