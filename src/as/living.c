/* SPDX-License-Identifier: MIT */
/* living.c - see living.h */
#include "as/living.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "lib/state.h"

static int set = -1;

/* If it fails (fs.epoll.max_user_watches), its entry is dropped early. */
static void born(int fd, uint64_t cookie)
{
	struct epoll_event none = { .data.u64 = cookie };
	int saved = errno;

	(void)epoll_ctl(set, EPOLL_CTL_ADD, fd, &none);
	errno = saved;
}

static bool each(int in, void (*mark)(uint64_t cookie))
{
	cleanup_fclose_ FILE *f = NULL;
	char path[48], line[256];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", in);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		const char *data = strstr(line, " data:");
		uint64_t cookie;

		if (data && sscanf(data + 6, "%" SCNx64, &cookie) == 1)
			mark(cookie);
	}
	return !ferror(f);
}

static bool living(void (*mark)(uint64_t cookie))
{
	return each(set, mark);
}

int living_watch(int fd)
{
	struct epoll_event none = { 0 };
	int watch = epoll_create1(EPOLL_CLOEXEC);

	if (watch >= 0 && epoll_ctl(watch, EPOLL_CTL_ADD, fd, &none) < 0)
		cleanup_close(&watch);
	return watch;
}

static _Thread_local bool there;

static void is_there(uint64_t cookie)
{
	(void)cookie;
	there = true;
}

bool living_is(int watch)
{
	there = false;
	return watch >= 0 && each(watch, is_there) && there;
}

int living_start(void)
{
	static const struct state_watch watch = { .born = born,
						  .living = living };

	set = epoll_create1(EPOLL_CLOEXEC);
	if (set < 0)
		return -errno;
	state_watch(&watch);
	return 0;
}
