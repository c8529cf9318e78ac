/* SPDX-License-Identifier: MIT */
/* socket.c - looking at descriptors that clients send */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/broker.h"

int sock_inspect(int fd, struct sock_info *ret, const char **ret_why)
{
	struct sockaddr_un sa = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	int flags;

	/* Neither call touches a file system: safe on any descriptor. */
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
		*ret_why = "the descriptor sent is not a socket";
		return errno == ENOTSOCK ? ENOTSOCK : EINVAL;
	}
	if (sa.sun_family != AF_UNIX) {
		*ret_why = "the socket sent is not an AF_UNIX socket";
		return EINVAL;
	}
	name_decode(&sa, len, &ret->name);
	len = sizeof(ret->type);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &ret->type, &len) < 0 ||
	    (ret->type != SOCK_STREAM && ret->type != SOCK_SEQPACKET)) {
		*ret_why = "the socket sent is neither SOCK_STREAM nor SOCK_SEQPACKET";
		return EPROTONOSUPPORT;
	}
	flags = fcntl(fd, F_GETFL);
	ret->nonblock = flags >= 0 && (flags & O_NONBLOCK);
	return 0;
}

bool sock_is_native(int fd, bool vsock, int type)
{
	int domain, its_type;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       domain == (vsock ? AF_VSOCK : AF_UNIX) &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &its_type, &len) == 0 &&
	       its_type == type && sock_connected(fd);
}

bool sock_connected(int fd)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);

	return getpeername(fd, (struct sockaddr *)&sa, &len) == 0;
}

void sock_close(struct broker *b, int fd)
{
	/* If the peers have gone meanwhile ours is the last reference, and
	 * what lies in the queue is closed with it. */
	guard_arm(&b->guard);
	close(fd);
}

int address_check(const SOCKADDR_HV *a, const char **ret_why)
{
	if (a->Family != AF_HYPERV) {
		*ret_why = "the address is not of family AF_HYPERV (34)";
		return EAFNOSUPPORT;
	}
	if (a->Reserved) {
		*ret_why = "Reserved in the address is not 0";
		return EINVAL;
	}
	return 0;
}
