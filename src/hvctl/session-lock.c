/* SPDX-License-Identifier: MIT */
/* session-lock.c - one call at a time; see session.h */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/session.h"

static int lock_path(const char *name, char *ret, size_t size)
{
	char dir[PATH_MAX];
	int r = session_directory(dir, sizeof(dir));
	int n;

	if (r < 0)
		return r;
	n = snprintf(ret, size, "%s/lock-%s", dir, name);
	return n < (int)size ? 0 : -ENAMETOOLONG;
}

/* Who has held it removes the file, and somebody may have it open still. */
static bool is_there(int fd, const char *path)
{
	struct stat mine, there;

	return fstat(fd, &mine) == 0 && lstat(path, &there) == 0 &&
	       mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

int session_lock(const char *name, bool wait)
{
	char path[PATH_MAX];
	int r = lock_path(name, path, sizeof(path));

	while (!r) {
		cleanup_close_ int fd = open(path,
					     O_RDWR | O_CREAT | O_CLOEXEC |
						     O_NOFOLLOW,
					     0600);

		if (fd < 0)
			return -errno;
		while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0)
			if (errno != EINTR)
				return -errno;
		if (is_there(fd, path))
			return fd_take(&fd);
	}
	return r;
}

void session_unlock(int fd, const char *name)
{
	char path[PATH_MAX];

	if (fd < 0)
		return;
	if (!lock_path(name, path, sizeof(path)))
		(void)unlink(path);
	close(fd);
}
