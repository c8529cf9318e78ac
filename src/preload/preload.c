/* SPDX-License-Identifier: MIT */
/*
 * preload.c - socket(34, SOCK_STREAM, 1) for programs nobody recompiles
 *
 * Takes the place of libc's socket calls. A socket is ours from socket() on,
 * and is then libhvsocket's, of which this library has a copy inside (its own
 * socket calls go to the kernel, lib/sys.h, so they never come back here).
 *
 * Everything else goes on to the next definition with its arguments untouched
 * and errno as that leaves it. How we tell, and what it costs the others:
 *
 *   socket		the three arguments
 *   bind, connect	the family in the address
 *   listen		a flag: has this process had a Hyper-V socket?
 *   getsockname,	the call is made first; only an answer of AF_UNIX is
 *   getpeername,	looked at again
 *   accept, accept4,
 *   recvfrom
 *   getsockopt,	the level and the option; then as for getsockname, or
 *   setsockopt		the flag
 *
 * So a program that has neither Hyper-V nor AF_UNIX sockets makes not one
 * system call more. Where a caller passes the room for an address we read it
 * before the kernel does: a bad pointer there is a fault, not EFAULT.
 *
 * What means what at level 1, which is SOL_SOCKET and HV_PROTOCOL_RAW, is a
 * table in libhvsocket-preload(7), and a test.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <hvsocket.h>

#include "preload/calls.h"
#include "preload/next.h"
#include "preload/ours.h"

/* This process, or the one it was forked from, has had a Hyper-V socket. */
static atomic_bool seen;
/* The same for one whose connect was still to be answered. */
static atomic_bool parked;

static bool ours_seen(int fd)
{
	if (!ours(fd))
		return false;
	atomic_store_explicit(&seen, true, memory_order_relaxed);
	return true;
}

/*
 * AF_ISDN has the same number, and datagram sockets of protocol 1; those, and
 * whatever else is not known here, are the kernel's.
 */
static bool claimed(int type, int protocol)
{
	if (protocol != HV_PROTOCOL_RAW)
		return false;
	switch (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) {
	case SOCK_STREAM:
	case SOCK_RAW:
	case SOCK_SEQPACKET:
		return true;
	default:
		return false;
	}
}

int pre_socket(int domain, int type, int protocol)
{
	int fd;

	if (domain != AF_HYPERV || !claimed(type, protocol) || ours_exempt())
		return next_socket(domain, type, protocol);
	fd = hvs_socket(domain, type, protocol);
	if (fd >= 0) {
		atomic_store_explicit(&seen, true, memory_order_relaxed);
		ours_mark(fd, type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC));
	}
	return fd;
}

static bool is_hyperv(const struct sockaddr *addr, socklen_t len)
{
	sa_family_t family;

	if (!addr || len < sizeof(family))
		return false;
	memcpy(&family, addr, sizeof(family));
	return family == AF_HYPERV;
}

/* However the caller's is aligned. The length goes to hvs_* as it is, which
 * refuses all but 36. */
static void address_copy(const struct sockaddr *addr, socklen_t len,
			 SOCKADDR_HV *ret)
{
	*ret = (SOCKADDR_HV){ 0 };
	memcpy(ret, addr, len < sizeof(*ret) ? len : sizeof(*ret));
}

int pre_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	SOCKADDR_HV hv;

	if (!is_hyperv(addr, len) || !ours_seen(fd))
		return next_bind(fd, addr, len);
	address_copy(addr, len, &hv);
	return hvs_bind(fd, &hv, len);
}

/*
 * A socket that was bound in a program before exec() and is not known here
 * listens by listen(2), which libhvsocket allows.
 */
int pre_listen(int fd, int backlog)
{
	if (!atomic_load_explicit(&seen, memory_order_relaxed) || !ours(fd))
		return next_listen(fd, backlog);
	return hvs_listen(fd, backlog);
}

int pre_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	SOCKADDR_HV hv;
	int r;

	if (!is_hyperv(addr, len) || !ours_seen(fd))
		return next_connect(fd, addr, len);
	address_copy(addr, len, &hv);
	r = hvs_connect(fd, &hv, len);
	if (r < 0 && errno == EINPROGRESS)
		atomic_store_explicit(&parked, true, memory_order_relaxed);
	return r;
}

/*
 * The kernel has written a name of @fd or of its peer, in at most @room bytes.
 * Return: could it be one of ours?
 */
static bool look_again(const struct sockaddr *addr, socklen_t room)
{
	sa_family_t family;

	if (!addr)
		return false;
	if (room < sizeof(family))
		return true; /* too little to see */
	memcpy(&family, addr, sizeof(family));
	return family == AF_UNIX || family == AF_VSOCK;
}

/*
 * hvs_getsockname() or hvs_getpeername() into the caller's room, where the
 * kernel has written *len bytes, or what fits of them, of an AF_UNIX name.
 */
static int name_put(int (*get)(int fd, SOCKADDR_HV *addr, socklen_t *len),
		    int fd, struct sockaddr *addr, socklen_t *len,
		    socklen_t room)
{
	socklen_t written = *len < room ? *len : room;
	SOCKADDR_HV hv;
	socklen_t size = sizeof(hv);

	if (get(fd, &hv, &size) < 0) {
		*len = room;
		return -1;
	}
	if (written > sizeof(hv))
		memset((char *)addr + sizeof(hv), 0, written - sizeof(hv));
	memcpy(addr, &hv, room < sizeof(hv) ? room : sizeof(hv));
	*len = sizeof(hv);
	return 0;
}

int pre_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	socklen_t room = addr && len ? *len : 0;
	int r = next_getsockname(fd, addr, len);

	if (r < 0 || !look_again(addr, room) || !ours_seen(fd))
		return r;
	return name_put(hvs_getsockname, fd, addr, len, room);
}

int pre_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	socklen_t room = addr && len ? *len : 0;
	int r = next_getpeername(fd, addr, len);

	if (r < 0 || !look_again(addr, room) || !ours_seen(fd))
		return r;
	return name_put(hvs_getpeername, fd, addr, len, room);
}

/* The connection is there whatever becomes of the name. */
static int accepted(int listener, int fd, struct sockaddr *addr,
		    socklen_t *len, socklen_t room)
{
	sa_family_t family;
	int saved = errno;

	/* what AF_VSOCK accepts does not inherit the mark */
	if (fd >= 0 && addr && room >= sizeof(family)) {
		memcpy(&family, addr, sizeof(family));
		if (family == AF_VSOCK && ours_type(listener))
			ours_mark(fd, ours_type(listener));
	}
	if (fd >= 0 && look_again(addr, room) && ours_seen(fd)) {
		(void)name_put(hvs_getpeername, fd, addr, len, room);
		errno = saved;
	}
	return fd;
}

int pre_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	socklen_t room = addr && len ? *len : 0;

	return accepted(fd, next_accept(fd, addr, len), addr, len, room);
}

int pre_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	socklen_t room = addr && len ? *len : 0;

	return accepted(fd, next_accept4(fd, addr, len, flags), addr, len,
			room);
}

/*
 * AF_UNIX gives the peer's name with every piece of a stream. Only what looks
 * like a name of ours is asked about: a server of AF_UNIX datagrams pays
 * nothing.
 */
ssize_t pre_recvfrom(int fd, void *buf, size_t size, int flags,
		     struct sockaddr *addr, socklen_t *len)
{
	static const char connector[] = "\0hvs1", listener[] = "listen";
	const size_t off = offsetof(struct sockaddr_un, sun_path);
	socklen_t room = addr && len ? *len : 0;
	ssize_t n = next_recvfrom(fd, buf, size, flags, addr, len);
	int saved = errno;
	const char *path;

	if (n < 0 || !addr || room < off + sizeof(listener) ||
	    *len < off + sizeof(listener) || !look_again(addr, room))
		return n;
	path = (const char *)addr + off;
	if (memcmp(path, connector, sizeof(connector) - 1) != 0 &&
	    memcmp(path, listener, sizeof(listener) - 1) != 0)
		return n;
	if (ours_seen(fd))
		(void)name_put(hvs_getpeername, fd, addr, len, room);
	errno = saved;
	return n;
}

/* An int of the kernel's answer; -1 where the caller left too little room. */
static int answer(const void *val, const socklen_t *len)
{
	int v = -1;

	if (*len >= sizeof(v))
		memcpy(&v, val, sizeof(v));
	return v;
}

/* The answers of AF_UNIX that a Hyper-V socket gives otherwise. */
static void answer_as_hyperv(int fd, int name, void *val, const socklen_t *len)
{
	int v = answer(val, len);

	if (name == SO_DOMAIN && (v == AF_UNIX || v == AF_VSOCK) &&
	    ours_seen(fd))
		v = AF_HYPERV;
	else if (name == SO_PROTOCOL && v == 0 && ours_seen(fd))
		v = HV_PROTOCOL_RAW;
	else if (name == SO_TYPE && v == SOCK_SEQPACKET &&
		 ours_type(fd) == SOCK_RAW)
		v = SOCK_RAW;
	else
		return;
	memcpy(val, &v, sizeof(v));
}

int pre_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	int r;

	if (level == SOL_HVSOCKET && ours_seen(fd))
		return hvs_getsockopt(fd, level, name, val, len);
	if (level != SOL_SOCKET)
		return next_getsockopt(fd, level, name, val, len);
	switch (name) {
	case HVSOCKET_CONNECT_TIMEOUT: /* SO_DEBUG */
		if (ours_seen(fd))
			return hvs_getsockopt(fd, SOL_HVSOCKET, name, val, len);
		break;
	case SO_ERROR: /* HVSOCKET_CONNECTED_SUSPEND */
		if (atomic_load_explicit(&parked, memory_order_relaxed) &&
		    ours(fd))
			return hvs_getsockopt(fd, SOL_HVSOCKET, HVSOCKET_ERROR,
					      val, len);
		break;
	case SO_DOMAIN:
	case SO_PROTOCOL:
	case SO_TYPE:
		r = next_getsockopt(fd, level, name, val, len);
		if (r == 0)
			answer_as_hyperv(fd, name, val, len);
		return r;
	default: /* SO_REUSEADDR and SO_RCVBUF among them */
		break;
	}
	return next_getsockopt(fd, level, name, val, len);
}

int pre_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	bool ask = level == SOL_HVSOCKET;

	/* At level 1 what the kernel could not do anyway for our sockets:
	 * SO_DEBUG is for root, SO_ERROR cannot be set. */
	if (level == SOL_SOCKET)
		ask = name == HVSOCKET_CONNECT_TIMEOUT ||
		      name == HVSOCKET_CONNECTED_SUSPEND;
	if (ask && ours_seen(fd))
		return hvs_setsockopt(fd, SOL_HVSOCKET, name, val, len);
	return next_setsockopt(fd, level, name, val, len);
}
