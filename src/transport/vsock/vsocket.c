/* SPDX-License-Identifier: MIT */
/* vsocket.c - see vsocket.h */
#include "transport/vsock/vsocket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "proto/uplink.h"

#define BACKLOG 4096
/* Programs never use the last one, which stands for any. */
#define PROBE_PORT (VMADDR_PORT_ANY - 1)
/* As long as a program may wait: who gives up earlier closes it. */
#define CONNECT_S 300

static int new_socket(void)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);

	return fd < 0 ? -errno : fd;
}

int vsocket_there(void)
{
	int fd = new_socket();

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int listen_at(uint32_t cid, uint32_t port)
{
	const struct sockaddr_vm sa = {
		.svm_family = AF_VSOCK,
		.svm_cid = cid,
		.svm_port = port,
	};
	int fd = new_socket(), r;

	if (fd < 0)
		return fd;
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/*
 * This machine may be a guest itself, whose broker listens for its host on the
 * port of uplinks, at the CID that it has there (broker/uplink-listen.c).
 * Guests come to CID 2, which is another address once vhost-vsock is there.
 */
int vsocket_listen(uint32_t port)
{
	int r = -EADDRNOTAVAIL;

	if (port == UPLINK_PORT)
		r = listen_at(VMADDR_CID_HOST, port);
	return r == -EADDRNOTAVAIL ? listen_at(VMADDR_CID_ANY, port) : r;
}

int vsocket_accept(int fd, uint32_t *ret_cid, uint32_t *ret_port)
{
	struct sockaddr_vm sa = { .svm_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	int got = accept4(fd, (struct sockaddr *)&sa, &len,
			  SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (got < 0)
		return -errno;
	*ret_cid = sa.svm_cid;
	*ret_port = sa.svm_port;
	return got;
}

int vsocket_connect(uint32_t cid, uint32_t port)
{
	const struct sockaddr_vm sa = {
		.svm_family = AF_VSOCK,
		.svm_cid = cid,
		.svm_port = port,
	};
	const struct timeval limit = { .tv_sec = CONNECT_S };
	int fd = new_socket(), r;

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit,
			 sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int vsocket_connected(int fd)
{
	struct sockaddr_vm sa;
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error)
		return -error;
	len = sizeof(sa);
	if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
		return 0;
	return errno == ENOTCONN ? -EINPROGRESS : -errno;
}

bool vsocket_unread(int fd)
{
	uint8_t byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	/* (SIOCINQ is known to newer kernels only) */
	return recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT) == 1;
}

bool vsocket_probe(uint32_t cid)
{
	int fd = vsocket_connect(cid, PROBE_PORT);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}
