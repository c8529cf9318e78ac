/* SPDX-License-Identifier: MIT */
/*
 * uplink-listen.c - in a guest: where the host comes to
 *
 * On AF_VSOCK that is the port of uplinks at this machine's own CID, and not at
 * any: the machine may have guests of its own, whose uplinks come to the same
 * port at CID 2, where hvsocket-vsock listens. The CID may change with the
 * machine's device; each try to reach the host looks again. Where the kernel
 * does not tell it (hv_sock knows none) it is any.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/unix.h"
#include "broker/uplink.h"

#define BACKLOG 128

static void on_listening(struct ev_io *io, uint32_t events)
{
	struct uplinks *u = container_of(io, struct uplinks, listen_io);
	bool vsock = u->place.kind == UPLINK_VSOCK;
	struct sockaddr_vm vm = { .svm_cid = 0 };
	struct sockaddr_storage any;
	socklen_t len = sizeof(any);
	int fd = accept4(io->fd, (struct sockaddr *)&any, &len,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (vsock && len >= sizeof(vm))
		memcpy(&vm, &any, sizeof(vm));
	/* others in this machine can come here, too */
	if (vsock && vm.svm_cid != VMADDR_CID_HOST)
		sock_close(u->b, fd);
	else
		asked_accepted(u, fd, !vsock);
}

/* VMADDR_CID_HOST: it is no guest; VMADDR_CID_ANY: not known */
static uint32_t own_cid(void)
{
	cleanup_close_ int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
	unsigned int cid = VMADDR_CID_ANY;

	if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0 ||
	    cid == VMADDR_CID_LOCAL)
		return VMADDR_CID_ANY;
	return cid;
}

static int listen_vsock(uint32_t cid)
{
	const struct sockaddr_vm vm = {
		.svm_family = AF_VSOCK,
		.svm_cid = cid,
		.svm_port = UPLINK_PORT,
	};
	cleanup_close_ int fd = socket(
		AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 ||
	    bind(fd, (const struct sockaddr *)&vm, sizeof(vm)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	return fd_take(&fd);
}

void uplink_listen_stop(struct uplinks *u)
{
	ev_io_stop(&u->listen_io);
	if (u->listen_fd >= 0)
		close(u->listen_fd);
	u->listen_fd = -1;
}

static void why_not(int error, char *ret, size_t size)
{
	switch (error) {
	case EAFNOSUPPORT:
		snprintf(ret, size, "this kernel has no vsock (the module vsock)");
		break;
	case ENODEV:
		snprintf(ret, size,
			 "this machine has no vsock device to its host");
		break;
	case EADDRINUSE:
		snprintf(ret, size,
			 "this broker cannot listen for the host: another program has port %u",
			 UPLINK_PORT);
		break;
	default:
		snprintf(ret, size,
			 "this broker cannot listen for the host: %s",
			 strerror(error));
	}
}

int uplink_listen(struct uplinks *u, char *ret_why, size_t size)
{
	bool vsock = u->place.kind == UPLINK_VSOCK;
	uint32_t cid = vsock ? own_cid() : VMADDR_CID_ANY;
	int r;

	if (u->listen_fd >= 0 && u->listen_cid == cid)
		return 0;
	uplink_listen_stop(u);
	if (!vsock)
		r = unix_listen(u->place.path, SOCK_STREAM, BACKLOG, true);
	else
		r = cid == VMADDR_CID_HOST ? -ENODEV : listen_vsock(cid);
	if (r >= 0) {
		u->listen_fd = r;
		u->listen_cid = cid;
		r = ev_io_start(u->b->ev, &u->listen_io, u->listen_fd, EPOLLIN,
				on_listening);
	}
	if (r < 0) {
		uplink_listen_stop(u);
		why_not(-r, ret_why, size);
	}
	return r;
}
