/* SPDX-License-Identifier: MIT */
/* meeting.c - see meeting.h */
#include "broker/meeting.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "broker/broker.h"

#define BACKLOG 64

void meeting_init(struct meeting *m, struct broker *b, const char *path)
{
	*m = (struct meeting){ .b = b, .fd = -1 };
	m->sa.sun_family = AF_UNIX;
	strncpy(m->sa.sun_path, path, sizeof(m->sa.sun_path) - 1);
}

void meeting_fini(struct meeting *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

static int listen_here(struct meeting *m, int type)
{
	cleanup_close_ int fd = -1;

	if (m->fd >= 0)
		return 0;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(m->sa.sun_path);
	if (bind(fd, (struct sockaddr *)&m->sa, sizeof(m->sa)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	m->fd = fd_take(&fd);
	return 0;
}

/* The other end of the socket of this name. */
static int accept_end(const struct meeting *m, const struct sockaddr_un *name,
		      socklen_t len)
{
	struct sockaddr_un sa;

	for (;;) {
		socklen_t n = sizeof(sa);
		int fd = accept4(m->fd, (struct sockaddr *)&sa, &n,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return -errno;
		if (n == len && memcmp(&sa, name, len) == 0)
			return fd;
		sock_close(m->b, fd); /* of who can enter our directory */
	}
}

int meeting_connect(struct meeting *m, int fd, int type,
		    const struct sockaddr_un *name, socklen_t len)
{
	int r = listen_here(m, type);

	if (r < 0)
		return r;
	guard_arm(&m->b->guard);
	if (connect(fd, (const struct sockaddr *)&m->sa, sizeof(m->sa)) < 0)
		return -errno;
	return accept_end(m, name, len);
}
