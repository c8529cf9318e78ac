/* SPDX-License-Identifier: MIT */
/*
 * socket.c - hvs_socket(), hvs_accept()
 *
 * A Hyper-V socket is an AF_UNIX socket: a byte stream is SOCK_STREAM, RAW and
 * datagrams are SOCK_SEQPACKET. Only of the last something is remembered.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "lib/address.h"
#include "lib/dgram.h"
#include "lib/profile.h"
#include "lib/reason.h"
#include "lib/sys.h"
#include "lib/vsock.h"
#include "proto/name.h"

/* The broker has connected it already; the transport sends at once. */
#define NATIVE_MS 2000

int hvs_socket(int af, int type, int protocol)
{
	int flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);
	bool datagram;
	int fd, r;

	type &= ~flags;
	if (af != AF_HYPERV)
		return hvs__fail(-1, EAFNOSUPPORT, HVS_REASON_BAD_REQUEST, NULL,
				 "address family %d is not AF_HYPERV (34)", af);
	datagram = type == SOCK_DGRAM;
	if (type == SOCK_RAW || datagram)
		type = SOCK_SEQPACKET;
	if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
		return hvs__fail(-1, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "socket type 0x%x is unknown",
				 (unsigned int)type);
	if (type != SOCK_STREAM && profile_is_windows())
		return hvs__fail(-1, ESOCKTNOSUPPORT, HVS_REASON_TYPE, NULL,
				 "not on Windows: Hyper-V sockets are "
				 "SOCK_STREAM only (HVSOCKET_PROFILE)");
	if (protocol != HV_PROTOCOL_RAW)
		return hvs__fail(-1, EPROTONOSUPPORT, HVS_REASON_BAD_REQUEST,
				 NULL, "protocol %d is not HV_PROTOCOL_RAW (1)",
				 protocol);
	r = vsock_chosen();
	if (r < 0)
		return -1;
	if (r && datagram)
		return hvs__fail(-1, EPROTONOSUPPORT, HVS_REASON_TYPE, NULL,
				 "HVSOCKET_TRANSPORT=vsock: datagrams need a "
				 "broker");
	if (r)
		return vsock_socket(type | flags);
	fd = sys_socket(AF_UNIX, type | flags, 0);
	if (fd < 0)
		return hvs__fail_errno();
	r = datagram ? dgram_note(fd) : 0;
	if (r < 0) {
		close(fd);
		errno = -r;
		return hvs__fail_errno();
	}
	return fd;
}

static int accept_failed(int fd)
{
	int saved = errno;
	struct dgram_own own;

	if (saved == EINVAL && dgram_is(fd, &own))
		return dgram_refuse(fd, "accept");
	errno = saved;
	return hvs__fail_errno();
}

/*
 * A listener of HVS_NATIVE has accepted @fd, over which nothing will come but
 * the guest's own socket, which the transport has sent, or is about to.
 */
static int take_native(int fd, int flags)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int domain = 0, native, r;
	socklen_t len = sizeof(domain);
	struct fdmsg m = { .nfds = 0 };
	uint8_t byte;

	do
		r = poll(&p, 1, NATIVE_MS);
	while (r < 0 && errno == EINTR);
	if (r == 1)
		r = fdmsg_recv(fd, &byte, 1, MSG_DONTWAIT, &m);
	close(fd);
	native = m.nfds == 1 ? m.fds[0] : -1;
	if (native >= 0 &&
	    sys_getsockopt(native, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	    domain == AF_VSOCK &&
	    fcntl(native, F_SETFL,
		  flags & SOCK_NONBLOCK ? O_NONBLOCK : 0) == 0 &&
	    fcntl(native, F_SETFD,
		  flags & SOCK_CLOEXEC ? FD_CLOEXEC : 0) == 0)
		return native;
	for (int i = 0; i < m.nfds; i++)
		close(m.fds[i]);
	errno = ECONNABORTED;
	return hvs__fail_errno();
}

int hvs_accept(int fd, SOCKADDR_HV *addr, socklen_t *len, int flags)
{
	SOCKADDR_HV a = address_none();
	struct sockaddr_un sa;
	socklen_t sa_len = sizeof(sa);
	struct name n;
	int r;

	if (addr && (!len || (int)*len < 0)) {
		errno = len ? EINVAL : EFAULT;
		return hvs__fail_errno();
	}
	if (vsock_is(fd))
		return vsock_accept(fd, addr, len, flags);
	r = sys_accept4(fd, &sa, &sa_len, flags);
	if (r < 0)
		return accept_failed(fd);
	/* who came in past the broker (it cannot be helped for a listener
	 * whose path somebody was given) is nobody: zero/zero */
	name_decode(&sa, sa_len, &n);
	if (n.kind == NAME_CONNECTOR) {
		a.VmId = n.connector.peer;
		a.ServiceId = n.connector.peer_service;
		if (n.connector.flags & CONNECTOR_NATIVE)
			r = take_native(r, flags);
	}
	if (r >= 0 && addr)
		(void)address_give(&a, addr, len);
	return r;
}
