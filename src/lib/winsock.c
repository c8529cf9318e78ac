/* SPDX-License-Identifier: MIT */
/*
 * winsock.c - WinSock's calls: startup, addresses, data, closing
 *
 * Each looks whether it was given a Hyper-V address or socket, calls hvs_* or
 * the kernel, and turns what went wrong into a WSAE number, per thread. The
 * calls of hvsocket.h say ENOTSOCK for sockets of other families, which then
 * go to the kernel. Options and waiting are in winsock-option.c and
 * winsock-wait.c.
 */
#define HVSOCKET_WINSOCK_NO_NAMES
#include <hvsocket/winsock.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/winsock-internal.h"
#include "lib/winsock-state.h"

static atomic_uint started;
static _Thread_local int last_error;

int ws_fail(int error)
{
	last_error = hvs_wsa_from_errno(error);
	return SOCKET_ERROR;
}

int ws_fail_wsa(int wsa)
{
	last_error = wsa;
	return SOCKET_ERROR;
}

int hvs_ws_get_last_error(void)
{
	return last_error;
}

void hvs_ws_set_last_error(int error)
{
	last_error = error;
}

int hvs_ws_startup(WORD version, WSADATA *data)
{
	unsigned int major = version & 0xff, minor = version >> 8;

	if (!data)
		return WSAEFAULT;
	*data = (WSADATA){ .wVersion = version, .wHighVersion = 0x0202 };
	if (major > 2 || (major == 2 && minor > 2))
		data->wVersion = 0x0202;
	(void)snprintf(data->szDescription, sizeof(data->szDescription),
		       "hvsocket");
	(void)snprintf(data->szSystemStatus, sizeof(data->szSystemStatus),
		       "Running");
	if (!major)
		return WSAVERNOTSUPPORTED;
	atomic_fetch_add(&started, 1);
	return 0;
}

int hvs_ws_cleanup(void)
{
	unsigned int n = atomic_load(&started);

	do {
		if (!n)
			return ws_fail_wsa(WSANOTINITIALISED);
	} while (!atomic_compare_exchange_weak(&started, &n, n - 1));
	return 0;
}

SOCKET hvs_ws_socket_ex(int af, int type, int protocol, const void *info,
			GROUP group, DWORD flags)
{
	int fd;

	(void)group;
	if (!atomic_load(&started))
		return ws_fail_wsa(WSANOTINITIALISED);
	if (info || (flags & ~(DWORD)(WSA_FLAG_OVERLAPPED |
				      WSA_FLAG_NO_HANDLE_INHERIT)))
		return ws_fail_wsa(WSAEINVAL);
	if (flags & WSA_FLAG_NO_HANDLE_INHERIT)
		type |= SOCK_CLOEXEC;
	/* Windows has never carried them, and its calls for them are missing */
	if (af == AF_HYPERV &&
	    (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_DGRAM)
		return ws_fail_wsa(WSAEPROTONOSUPPORT);
	fd = af == AF_HYPERV ? hvs_socket(af, type, protocol) :
			       socket(af, type, protocol);
	return fd < 0 ? ws_fail(errno) : fd;
}

SOCKET hvs_ws_socket(int af, int type, int protocol)
{
	return hvs_ws_socket_ex(af, type, protocol, NULL, 0, 0);
}

/* A Hyper-V address, copied from wherever and however aligned the caller has
 * it. Return: 0: it is none; 1; -1: too short, last error set. */
static int address_get(const struct sockaddr *addr, int len, SOCKADDR_HV *ret)
{
	uint16_t family;

	if (!addr || len < (int)sizeof(family))
		return ws_fail_wsa(WSAEFAULT);
	memcpy(&family, addr, sizeof(family));
	if (family != AF_HYPERV)
		return 0;
	if (len < (int)sizeof(*ret))
		return ws_fail_wsa(WSAEFAULT);
	memcpy(ret, addr, sizeof(*ret));
	return 1;
}

int hvs_ws_bind(SOCKET s, const struct sockaddr *addr, int len)
{
	SOCKADDR_HV hv;
	int r;

	r = address_get(addr, len, &hv);
	if (r < 0)
		return r;
	r = r ? hvs_bind(s, &hv, sizeof(hv)) : bind(s, addr, (socklen_t)len);
	return r < 0 ? ws_fail(errno) : 0;
}

int hvs_ws_listen(SOCKET s, int backlog)
{
	int r = hvs_listen(s, backlog);

	if (r < 0 && errno == ENOTSOCK)
		r = listen(s, backlog);
	return r < 0 ? ws_fail(errno) : 0;
}

/* Begun before a signal, and going on: its end, or -1 and errno. */
static int connect_await(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int error = 0;

	while (poll(&p, 1, -1) < 0) {
		if (errno != EINTR)
			return -1;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -1;
	errno = error;
	return error ? -1 : 0;
}

int hvs_ws_connect(SOCKET s, const struct sockaddr *addr, int len)
{
	SOCKADDR_HV hv;
	int r;

	r = address_get(addr, len, &hv);
	if (r < 0)
		return r;
	if (r) {
		do
			r = hvs_connect(s, &hv, sizeof(hv));
		while (r < 0 && errno == EINTR);
	} else {
		r = connect(s, addr, (socklen_t)len);
		if (r < 0 && errno == EINTR)
			r = connect_await(s);
	}
	if (r < 0 && errno == EINPROGRESS)
		return ws_fail_wsa(WSAEWOULDBLOCK);
	return r < 0 ? ws_fail(errno) : 0;
}

/* The address as WinSock gives it: all of it, or WSAEFAULT. */
static int address_put(const void *from, socklen_t len, struct sockaddr *addr,
		       int *room)
{
	if (*room < (int)len)
		return ws_fail_wsa(WSAEFAULT);
	memcpy(addr, from, len);
	*room = (int)len;
	return 0;
}

typedef int (*hv_name_fn)(int fd, SOCKADDR_HV *addr, socklen_t *len);
typedef int (*sys_name_fn)(int fd, struct sockaddr *addr, socklen_t *len);

static int sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	return getsockname(fd, addr, len);
}

static int sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	return getpeername(fd, addr, len);
}

static int name_get(SOCKET s, struct sockaddr *addr, int *room, hv_name_fn hv,
		    sys_name_fn sys)
{
	union {
		SOCKADDR_HV hv;
		struct sockaddr_storage any;
		struct sockaddr sa;
	} u;
	socklen_t len = sizeof(u.hv);

	if (!addr || !room)
		return ws_fail_wsa(WSAEFAULT);
	if (hv(s, &u.hv, &len) == 0)
		return address_put(&u, sizeof(u.hv), addr, room);
	if (errno != ENOTSOCK)
		return ws_fail(errno);
	len = sizeof(u);
	if (sys(s, &u.sa, &len) < 0)
		return ws_fail(errno);
	return address_put(&u, len < sizeof(u) ? len : sizeof(u), addr, room);
}

int hvs_ws_getsockname(SOCKET s, struct sockaddr *addr, int *len)
{
	return name_get(s, addr, len, hvs_getsockname, sys_getsockname);
}

/* What WinSock calls a connection that has been closed. */
static int fail_closed(int error)
{
	return error == EBADF ? ws_fail_wsa(WSAENOTCONN) : ws_fail(error);
}

int hvs_ws_getpeername(SOCKET s, struct sockaddr *addr, int *len)
{
	if (fcntl(s, F_GETFD) < 0)
		return fail_closed(errno);
	return name_get(s, addr, len, hvs_getpeername, sys_getpeername);
}

SOCKET hvs_ws_accept(SOCKET s, struct sockaddr *addr, int *len)
{
	struct ws_sleeper sleeper;
	SOCKADDR_HV own;
	socklen_t own_len = sizeof(own);
	int fd, flags, r;

	/* Too little room is found before a connection is taken for it. */
	if (addr && (!len || (*len < (int)sizeof(own) &&
			      !hvs_getsockname(s, &own, &own_len))))
		return ws_fail_wsa(WSAEFAULT);
	flags = fcntl(s, F_GETFL);
	if (flags < 0)
		return ws_fail(errno);
	do {
		ws_sleep(&sleeper, s);
		/* As on Windows, the new socket blocks if the listener does. */
		fd = accept4(s, NULL, NULL,
			     flags & O_NONBLOCK ? SOCK_NONBLOCK : 0);
		if (ws_wake(&sleeper)) {
			if (fd >= 0)
				close(fd);
			return ws_fail_wsa(WSAEINTR);
		}
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return ws_fail(errno);
	if (addr) {
		r = name_get(fd, addr, len, hvs_getpeername, sys_getpeername);
		if (r < 0) {
			close(fd);
			return r;
		}
	}
	return fd;
}

/* EAGAIN: would it have to wait, or has it waited long enough? */
static int fail_again(SOCKET s, int flags)
{
	int mode = fcntl(s, F_GETFL);

	if ((flags & MSG_DONTWAIT) || mode < 0 || (mode & O_NONBLOCK))
		return ws_fail_wsa(WSAEWOULDBLOCK);
	return ws_fail_wsa(WSAETIMEDOUT);
}

static bool connected(SOCKET s)
{
	struct sockaddr_storage any;
	socklen_t len = sizeof(SOCKADDR_HV);
	SOCKADDR_HV hv;

	if (!hvs_getpeername(s, &hv, &len))
		return true;
	if (errno != ENOTSOCK)
		return false;
	len = sizeof(any);
	return !getpeername(s, (struct sockaddr *)&any, &len);
}

int hvs_ws_send(SOCKET s, const void *buf, int len, int flags)
{
	ssize_t n;

	if (len < 0)
		return ws_fail_wsa(WSAEFAULT);
	do
		n = send(s, buf, (size_t)len, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (int)n;
	if (errno == EPIPE && ws_shut_test(s, WS_SHUT_SEND))
		return ws_fail_wsa(WSAESHUTDOWN);
	if (errno == EAGAIN)
		return fail_again(s, flags);
	return fail_closed(errno);
}

int hvs_ws_recv(SOCKET s, void *buf, int len, int flags)
{
	struct iovec iov = { .iov_base = buf, .iov_len = (size_t)len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct ws_sleeper sleeper;
	ssize_t n;

	if (len < 0)
		return ws_fail_wsa(WSAEFAULT);
	/* AF_UNIX would still give what was there before. */
	if (ws_shut_test(s, WS_SHUT_RECEIVE))
		return ws_fail_wsa(WSAESHUTDOWN);
	do {
		ws_sleep(&sleeper, s);
		n = recvmsg(s, &msg, flags);
		if (ws_wake(&sleeper) && n <= 0)
			return ws_fail_wsa(WSAEINTR);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		/* A message that did not fit: its beginning is there. */
		return msg.msg_flags & MSG_TRUNC ? ws_fail_wsa(WSAEMSGSIZE) :
						   (int)n;
	if (n == 0)
		return len && ws_shut_test(s, WS_SHUT_RECEIVE) ?
			       ws_fail_wsa(WSAESHUTDOWN) :
			       0;
	if (errno == EAGAIN)
		return fail_again(s, flags);
	/* A stream of AF_UNIX that was never connected says EINVAL. */
	if (errno == EINVAL && !connected(s))
		return ws_fail_wsa(WSAENOTCONN);
	return fail_closed(errno);
}

int hvs_ws_shutdown(SOCKET s, int how)
{
	static const unsigned int directions[] = {
		[SD_RECEIVE] = WS_SHUT_RECEIVE,
		[SD_SEND] = WS_SHUT_SEND,
		[SD_BOTH] = WS_SHUT_RECEIVE | WS_SHUT_SEND,
	};
	int r;

	if (how < SD_RECEIVE || how > SD_BOTH)
		return ws_fail_wsa(WSAEINVAL);
	if (fcntl(s, F_GETFD) < 0)
		return fail_closed(errno);
	/* AF_UNIX would take it, and a later connect would be shut down. */
	if (!connected(s))
		return ws_fail(errno);
	/* Before the kernel's: a thread that it wakes finds the mark. */
	r = ws_shut_mark(s, directions[how]);
	if (r < 0)
		return ws_fail(-r);
	return shutdown(s, how) < 0 ? ws_fail(errno) : 0;
}

int hvs_ws_closesocket(SOCKET s)
{
	int r = ws_close(s);

	return r < 0 ? ws_fail(-r) : 0;
}
