/* SPDX-License-Identifier: MIT */
/*
 * fdmsg.h - packets with descriptors: the only door for SCM_RIGHTS
 *
 * Receiving always has room for every descriptor one message can carry
 * (SCM_MAX_FD), so the kernel never closes one inside recvmsg(): closing a
 * stranger's descriptor can take seconds (SO_LINGER, FUSE), and is the
 * caller's to do where it does not matter.
 */
#ifndef BASE_FDMSG_H
#define BASE_FDMSG_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define FDMSG_MAX 253

struct fdmsg {
	size_t len; /* bytes received */
	int truncated; /* the packet was longer than the buffer */
	int fds_lost; /* the kernel closed some: no room for them (EMFILE) */
	int nfds;
	int fds[FDMSG_MAX]; /* the caller owns them */
};

/**
 * fdmsg_recv() - one packet
 * @sock:	a SOCK_SEQPACKET or SOCK_STREAM AF_UNIX socket
 * @buf:	the bytes
 * @size:	room there
 * @flags:	for recvmsg(); MSG_CMSG_CLOEXEC is added
 * @ret:	filled in when the result is 0
 *
 * Return: 0 (ret->len may be 0: end of file, or an empty packet), or -errno.
 */
int fdmsg_recv(int sock, void *buf, size_t size, int flags, struct fdmsg *ret);

/** fdmsg_recv_iov() - the same into @n buffers */
int fdmsg_recv_iov(int sock, const struct iovec *iov, size_t n, int flags,
		   struct fdmsg *ret);

/**
 * fdmsg_send() - one packet with up to FDMSG_MAX descriptors (borrowed)
 *
 * MSG_NOSIGNAL is added to @flags. Return: 0 or -errno.
 */
int fdmsg_send(int sock, const void *buf, size_t len, const int *fds, int nfds,
	       int flags);

#endif /* BASE_FDMSG_H */
