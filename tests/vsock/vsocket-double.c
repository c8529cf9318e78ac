/* SPDX-License-Identifier: MIT */
/*
 * vsocket-double.c - AF_VSOCK for tests where the kernel's is not to be used
 *
 * Unix sockets in $VSOCK_DOUBLE: the host's port P is a listener at host_P, a
 * guest's at CID_P; whoever connects from there is bound to CID-P-N, by which
 * the other end knows it. A CID is there while guest_CID is.
 */
#include "transport/vsock/vsocket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char *path(const char *fmt, uint32_t cid, uint32_t port)
{
	static char text[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int n = snprintf(text, sizeof(text), "%s/", getenv("VSOCK_DOUBLE"));

	/* (all formats here take at most these two) */
	if (strcmp(fmt, "host") == 0)
		snprintf(text + n, sizeof(text) - (size_t)n, "host_%u", port);
	else if (strcmp(fmt, "there") == 0)
		snprintf(text + n, sizeof(text) - (size_t)n, "guest_%u", cid);
	else
		snprintf(text + n, sizeof(text) - (size_t)n, "%u_%u", cid, port);
	return text;
}

static int new_socket(struct sockaddr_un *sa, const char *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*sa = (struct sockaddr_un) { .sun_family = AF_UNIX };
	strncpy(sa->sun_path, name, sizeof(sa->sun_path) - 1);
	return fd < 0 ? -errno : fd;
}

int vsocket_there(void)
{
	return getenv("VSOCK_DOUBLE") ? 0 : -EAFNOSUPPORT;
}

int vsocket_listen(uint32_t port)
{
	struct sockaddr_un sa;
	int fd = new_socket(&sa, path("host", 0, port)), r;

	if (fd < 0)
		return fd;
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	if (r < 0 && errno == EADDRINUSE) {
		/* of a process that has ended, as the kernel would forget it */
		int probe = socket(AF_UNIX, SOCK_SEQPACKET, 0);

		if (connect(probe, (struct sockaddr *)&sa, sizeof(sa)) < 0 &&
		    errno == ECONNREFUSED && unlink(sa.sun_path) == 0)
			r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
		else
			errno = EADDRINUSE;
		close(probe);
	}
	if (r == 0 && listen(fd, 128) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int vsocket_accept(int fd, uint32_t *ret_cid, uint32_t *ret_port)
{
	struct sockaddr_un sa = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	int got = accept4(fd, (struct sockaddr *)&sa, &len,
			  SOCK_CLOEXEC | SOCK_NONBLOCK);
	const char *name;

	if (got < 0)
		return -errno;
	name = strrchr(sa.sun_path, '/');
	*ret_cid = *ret_port = 0;
	if (name && sscanf(name, "/%u-%u-", ret_cid, ret_port) != 2)
		*ret_cid = 0;
	return got;
}

int vsocket_connect(uint32_t cid, uint32_t port)
{
	struct sockaddr_un sa;
	int fd, r;

	if (access(path("there", cid, 0), F_OK) < 0)
		return -ENODEV;
	fd = new_socket(&sa, path("", cid, port));
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	r = errno == ENOENT ? -ECONNRESET : -errno;
	close(fd);
	return r;
}

int vsocket_connected(int fd)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);

	return getpeername(fd, (struct sockaddr *)&sa, &len) < 0 ? -errno : 0;
}

bool vsocket_unread(int fd)
{
	uint8_t byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	return recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT) == 1;
}

bool vsocket_probe(uint32_t cid)
{
	return access(path("there", cid, 0), F_OK) == 0;
}
