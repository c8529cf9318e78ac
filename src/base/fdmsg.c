/* SPDX-License-Identifier: MIT */
/* fdmsg.c - see fdmsg.h */
#include "base/fdmsg.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * FDMSG_MAX) + 256];
};

int fdmsg_recv_iov(int sock, const struct iovec *iov, size_t n, int flags,
		   struct fdmsg *ret)
{
	union control control;
	struct msghdr msg = {
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = n,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t len;

	len = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	if (len < 0)
		return -errno;
	ret->len = (size_t)len;
	ret->truncated = !!(msg.msg_flags & MSG_TRUNC);
	ret->fds_lost = !!(msg.msg_flags & MSG_CTRUNC);
	ret->nfds = 0;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (count > (size_t)(FDMSG_MAX - ret->nfds))
			count = (size_t)(FDMSG_MAX - ret->nfds);
		memcpy(ret->fds + ret->nfds, CMSG_DATA(c), count * sizeof(int));
		ret->nfds += (int)count;
	}
	return 0;
}

int fdmsg_recv(int sock, void *buf, size_t size, int flags, struct fdmsg *ret)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };

	return fdmsg_recv_iov(sock, &iov, 1, flags, ret);
}

int fdmsg_send(int sock, const void *buf, size_t len, const int *fds, int nfds,
	       int flags)
{
	union control control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf,
			     .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (nfds < 0 || nfds > FDMSG_MAX)
		return -EINVAL;
	if (nfds) {
		size_t bytes = sizeof(int) * (size_t)nfds;

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(bytes);
		memset(&control, 0, msg.msg_controllen);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(c), fds, bytes);
	}
	return sendmsg(sock, &msg, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
