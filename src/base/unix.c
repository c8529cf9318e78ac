/* SPDX-License-Identifier: MIT */
/* unix.c - see unix.h */
#include "base/unix.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

int unix_address(const char *path, struct sockaddr_un *ret)
{
	size_t len = strlen(path);

	*ret = (struct sockaddr_un) { .sun_family = AF_UNIX };
	if (!len)
		return -EINVAL;
	if (len >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, len);
	return 0;
}

int unix_connect(const char *path, int type, unsigned int limit_s)
{
	const struct timeval limit = { .tv_sec = limit_s }, none = { 0 };
	cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	int r = unix_address(path, &sa);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* it limits connect() too, which then says EAGAIN */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	return fd_take(&fd);
}

/* A datagram socket's connect tells, and leaves nothing in the queue of a live
 * listener. */
int unix_alive(const char *path)
{
	cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	struct stat st;
	int r = unix_address(path, &sa);

	if (r < 0)
		return r;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 ||
	    errno == EPROTOTYPE)
		return 1;
	return errno == ECONNREFUSED ? 0 : -errno;
}

int unix_remove_stale(const char *path)
{
	int r = unix_alive(path);

	if (r)
		return r < 0 ? r : -EADDRINUSE;
	return unlink(path) < 0 ? -errno : 0;
}

static int bind_at(int fd, const struct sockaddr_un *sa)
{
	return bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno
								      : 0;
}

int unix_listen(const char *path, int type, int backlog, bool mine)
{
	cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	mode_t mask = 0;
	int r = unix_address(path, &sa);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (mine)
		mask = umask(0177);
	r = bind_at(fd, &sa);
	if (r == -EADDRINUSE) {
		r = unix_remove_stale(path);
		if (r == 0)
			r = bind_at(fd, &sa);
	}
	if (mine)
		umask(mask);
	if (r == 0 && listen(fd, backlog) < 0)
		r = -errno;
	return r < 0 ? r : fd_take(&fd);
}
