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

static bool living(void (*mark)(uint64_t cookie))
{
	cleanup_fclose_ FILE *f = NULL;
	char path[48], line[256];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", set);
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
