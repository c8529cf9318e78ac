/* SPDX-License-Identifier: MIT */
/* notify.c - see notify.h */
#include "transport/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "transport/process.h"

#define FIRST_FD 3

int notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	cleanup_close_ int fd = -1;
	size_t len;

	if (!path || !*path)
		return -ENOENT;
	len = strlen(path);
	if (len >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, len);
	if (*path == '@')
		sa.sun_path[0] = '\0';
	else if (*path != '/')
		return -EINVAL;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	len += offsetof(struct sockaddr_un, sun_path);
	if (connect(fd, (struct sockaddr *)&sa, (socklen_t)len) < 0)
		return -errno;
	return fd_take(&fd);
}

int notify_send(int sock, const char *text, int fd)
{
	return fdmsg_send(sock, text, strlen(text), &fd, fd >= 0, 0);
}

/* Is the @i-th of a list with colons between this name? */
static bool is_name(const char *list, unsigned int i, const char *name)
{
	size_t len;

	for (; i; i--) {
		list = strchr(list, ':');
		if (!list)
			return false;
		list++;
	}
	len = strcspn(list, ":");
	return len == strlen(name) && memcmp(list, name, len) == 0;
}

int notify_kept(const char *name)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	int found = -1;
	uint64_t n;

	if (!pid || !process_number(pid, 1, INT32_MAX, &n) ||
	    n != (uint64_t)getpid() || !fds || !names ||
	    !process_number(fds, 1, 4096, &n))
		return -1;
	for (unsigned int i = 0; i < n; i++) {
		int fd = FIRST_FD + (int)i;

		if (!is_name(names, i, name))
			continue; /* somebody else's, or for --fd */
		if (found >= 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			close(fd);
		else
			found = fd;
	}
	/* once only: later the numbers may be something else's */
	(void)unsetenv("LISTEN_PID");
	return found;
}
