/* SPDX-License-Identifier: MIT */
/*
 * message.c - hvs_sendto(), hvs_recvfrom(), hvs_sendmsg(), hvs_recvmsg()
 *
 * A datagram is one packet to or from hvsocket-dgram: a header with the address
 * (docs/protocol.md, section 9), then what the program sends. Sockets of the
 * other types have no such header: there these calls are the kernel's.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "lib/address.h"
#include "lib/dgram.h"
#include "lib/reason.h"
#include "lib/state.h"
#include "lib/sys.h"
#include "proto/dgram.h"

#define IOV_SMALL 8
#define SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | MSG_CONFIRM)
#define RECV_FLAGS                                                     \
	(MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC | MSG_WAITALL | MSG_NOSIGNAL | \
	 MSG_CMSG_CLOEXEC)

/* The header, then the program's buffers. */
struct packet {
	uint8_t header[DGRAM_HEADER];
	struct iovec small[IOV_SMALL + 1], *iov;
	struct iovec *heap;
	size_t len; /* of the buffers */
};

static void packet_free(struct packet *p)
{
	free(p->heap);
}

#define cleanup_packet_ cleanup_(packet_free)

static int packet_make(struct packet *p, const struct iovec *iov, size_t n)
{
	p->heap = NULL;
	p->iov = p->small;
	p->len = 0;
	if (n >= IOV_MAX) {
		errno = EMSGSIZE;
		return hvs__fail_errno();
	}
	if (n > IOV_SMALL)
		p->iov = p->heap = malloc((n + 1) * sizeof(*iov));
	if (!p->iov) {
		errno = ENOMEM;
		return hvs__fail_errno();
	}
	p->iov[0].iov_base = p->header;
	p->iov[0].iov_len = sizeof(p->header);
	if (n)
		memcpy(p->iov + 1, iov, n * sizeof(*iov));
	for (size_t i = 0; i < n; i++) {
		if (iov[i].iov_len > SSIZE_MAX - p->len) {
			errno = EINVAL;
			return hvs__fail_errno();
		}
		p->len += iov[i].iov_len;
	}
	return 0;
}

static ssize_t sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return syscall(SYS_sendmsg, fd, msg, flags | MSG_NOSIGNAL);
}

static int relay_ended(int fd)
{
	return hvs__fail(fd, ENETDOWN, HVS_REASON_NO_BROKER, NULL,
			 "hvsocket-dgram, which carried the datagrams of this "
			 "socket, has ended it: make a new socket");
}

static int bad_flags(int fd, int flags)
{
	return hvs__fail(fd, EOPNOTSUPP, HVS_REASON_BAD_REQUEST, NULL,
			 "flags 0x%x are not for datagrams",
			 (unsigned int)flags);
}

/* ---- Sending -------------------------------------------------------------*/

/* Where to: @name, or what hvs_connect() has set. */
static int destination(int fd, const struct msghdr *msg, SOCKADDR_HV *ret)
{
	struct sock_state s;

	if (msg->msg_name)
		return address_check(fd, msg->msg_name, msg->msg_namelen, ret);
	if (!state_get(fd, &s) || !s.has_dest)
		return hvs__fail(fd, EDESTADDRREQ, HVS_REASON_BAD_REQUEST, NULL,
				 "no destination: give one, or connect");
	*ret = s.dest;
	return 0;
}

static ssize_t send_datagram(int fd, struct dgram_own *own,
			     const struct msghdr *msg, int flags)
{
	cleanup_packet_ struct packet p;
	struct msghdr out = { .msg_iov = NULL };
	struct dgram d = { .flags = 0 };
	ssize_t r;

	p.heap = NULL;
	if (flags & ~SEND_FLAGS)
		return bad_flags(fd, flags & ~SEND_FLAGS);
	if (msg->msg_controllen)
		return hvs__fail(fd, EOPNOTSUPP, HVS_REASON_BAD_REQUEST, NULL,
				 "datagrams carry no ancillary data");
	if (destination(fd, msg, &d.addr) < 0 ||
	    packet_make(&p, msg->msg_iov, msg->msg_iovlen) < 0)
		return -1;
	if (p.len > DGRAM_MAX)
		return hvs__fail(fd, EMSGSIZE, HVS_REASON_BAD_REQUEST, NULL,
				 "%zu bytes: a datagram has at most %d", p.len,
				 DGRAM_MAX);
	if (dgram_bind_first(fd, own) < 0)
		return -1;
	if (dgram_reach(fd, own->token, &d.addr) < 0)
		return -1;
	dgram_encode(&d, p.header);
	out.msg_iov = p.iov;
	out.msg_iovlen = msg->msg_iovlen + 1;
	r = sys_sendmsg(fd, &out, flags & ~MSG_CONFIRM);
	if (r < 0 && (errno == EPIPE || errno == ECONNRESET))
		return relay_ended(fd);
	if (r < 0)
		return hvs__fail_errno();
	state_clear_reason(fd);
	return r - DGRAM_HEADER;
}

ssize_t hvs_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct dgram_own own;
	ssize_t r;

	if (!msg) {
		errno = EFAULT;
		return hvs__fail_errno();
	}
	if (dgram_is(fd, &own))
		return send_datagram(fd, &own, msg, flags);
	if (msg->msg_name)
		return hvs__fail(fd, EISCONN, HVS_REASON_BAD_REQUEST, NULL,
				 "an address is for datagrams");
	r = sys_sendmsg(fd, msg, flags);
	return r < 0 ? hvs__fail_errno() : r;
}

ssize_t hvs_sendto(int fd, const void *buf, size_t len, int flags,
		   const SOCKADDR_HV *addr, socklen_t addr_len)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf,
			     .iov_len = len };
	const struct msghdr msg = {
		.msg_name = (void *)(uintptr_t)addr,
		.msg_namelen = addr ? addr_len : 0,
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};

	return hvs_sendmsg(fd, &msg, flags);
}

/* ---- Receiving -----------------------------------------------------------*/

static ssize_t recv_datagram(int fd, const struct dgram_own *own,
			     struct msghdr *msg, int flags)
{
	cleanup_packet_ struct packet p;
	struct msghdr in = { .msg_iov = NULL };
	struct dgram d;
	ssize_t r;

	p.heap = NULL;
	if (flags & ~RECV_FLAGS)
		return bad_flags(fd, flags & ~RECV_FLAGS);
	if (!own->bound) {
		errno = ENOTCONN;
		return hvs__fail_errno();
	}
	if (packet_make(&p, msg->msg_iov, msg->msg_iovlen) < 0)
		return -1;
	in.msg_iov = p.iov;
	in.msg_iovlen = msg->msg_iovlen + 1;
	/* with MSG_TRUNC the length is the packet's, whatever the room */
	r = syscall(SYS_recvmsg, fd, &in, flags | MSG_TRUNC);
	if (r == 0 || (r < 0 && errno == ECONNRESET))
		return relay_ended(fd);
	if (r < 0)
		return hvs__fail_errno();
	if (dgram_decode(p.header, (size_t)r, &d) < 0)
		return hvs__fail(fd, EPROTO, HVS_REASON_BAD_REQUEST, NULL,
				 "hvsocket-dgram sent what is no datagram");
	if (msg->msg_name)
		(void)address_give(&d.addr, msg->msg_name, &msg->msg_namelen);
	else
		msg->msg_namelen = 0;
	msg->msg_controllen = 0;
	msg->msg_flags = MSG_EOR | (in.msg_flags & MSG_TRUNC);
	state_clear_reason(fd);
	r -= DGRAM_HEADER;
	return (flags & MSG_TRUNC) || (size_t)r < p.len ? r : (ssize_t)p.len;
}

ssize_t hvs_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct dgram_own own;
	void *name;
	ssize_t r;

	if (!msg) {
		errno = EFAULT;
		return hvs__fail_errno();
	}
	if (msg->msg_name && (int)msg->msg_namelen < 0) {
		errno = EINVAL;
		return hvs__fail_errno();
	}
	if (dgram_is(fd, &own))
		return recv_datagram(fd, &own, msg, flags);
	/* the kernel's name of a connection's peer is nobody's business */
	name = msg->msg_name;
	msg->msg_name = NULL;
	r = syscall(SYS_recvmsg, fd, msg, flags);
	msg->msg_name = name;
	if (r < 0)
		return hvs__fail_errno();
	msg->msg_namelen = 0;
	return r;
}

ssize_t hvs_recvfrom(int fd, void *buf, size_t len, int flags,
		     SOCKADDR_HV *addr, socklen_t *addr_len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t r;

	if (addr && !addr_len) {
		errno = EFAULT;
		return hvs__fail_errno();
	}
	if (addr) {
		msg.msg_name = addr;
		msg.msg_namelen = *addr_len;
	}
	r = hvs_recvmsg(fd, &msg, flags);
	if (r >= 0 && addr)
		*addr_len = msg.msg_namelen;
	return r;
}
