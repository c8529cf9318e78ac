/* SPDX-License-Identifier: MIT */
/* dial.c - hvs_dial(), hvs_serve(): everything in one call */
#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "lib/bind.h"
#include "lib/connect.h"
#include "lib/reason.h"
#include "lib/vsock.h"
#include "proto/message.h"

static int bad_flags(unsigned int flags)
{
	return hvs__fail(-1, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
			 "flags 0x%x are unknown here", flags);
}

static int type_of(unsigned int flags)
{
	return (flags & HVS_DIAL_RAW ? SOCK_RAW : SOCK_STREAM) | SOCK_CLOEXEC;
}

int hvs_dial(const char *address, uint32_t timeout_ms, unsigned int flags)
{
	struct options opt = { .timeout_ms = timeout_ms,
			       .wait = flags & HVS_DIAL_WAIT,
			       .native = flags & HVS_NATIVE };
	cleanup_close_ int fd = -1;
	cleanup_close_ int native = -1;
	SOCKADDR_HV a;

	if (flags & ~(HVS_DIAL_RAW | HVS_DIAL_NONBLOCK | HVS_DIAL_WAIT |
		      HVS_NATIVE))
		return bad_flags(flags);
	if (timeout_ms > HVSOCKET_CONNECT_TIMEOUT_MAX)
		return hvs__fail(-1, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "a time limit of %u ms is above %u",
				 timeout_ms, HVSOCKET_CONNECT_TIMEOUT_MAX);
	if (hvs_address_parse(address, &a) < 0)
		return -1;
	fd = hvs_socket(AF_HYPERV, type_of(flags) | SOCK_NONBLOCK,
			HV_PROTOCOL_RAW);
	if (fd >= 0 && vsock_is(fd)) {
		if (fcntl(fd, F_SETFL, 0) < 0)
			return hvs__fail_errno();
		if (vsock_connect(fd, &a, &opt) < 0)
			return -1;
		if (flags & HVS_DIAL_NONBLOCK &&
		    fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			return hvs__fail_errno();
		return fd_take(&fd);
	}
	if (fd < 0 || connect_run(fd, &a, &opt, false, &native) < 0)
		return -1;
	if (native >= 0) {
		close(fd);
		fd = fd_take(&native);
		/* its maker may have left it either way */
		if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			return hvs__fail_errno();
	}
	if (!(flags & HVS_DIAL_NONBLOCK) && fcntl(fd, F_SETFL, 0) < 0)
		return hvs__fail_errno();
	return fd_take(&fd);
}

int hvs_serve(const char *address, int backlog, unsigned int flags)
{
	cleanup_close_ int fd = -1;
	SOCKADDR_HV a;
	int type;

	if (flags & ~(HVS_DIAL_RAW | HVS_DIAL_NONBLOCK | HVS_NATIVE))
		return bad_flags(flags);
	if (hvs_address_parse(address, &a) < 0)
		return -1;
	type = type_of(flags);
	if (flags & HVS_DIAL_NONBLOCK)
		type |= SOCK_NONBLOCK;
	fd = hvs_socket(AF_HYPERV, type, HV_PROTOCOL_RAW);
	if (fd < 0)
		return -1;
	if (flags & HVS_NATIVE ? bind_run(fd, &a, BIND_NATIVE) < 0
			       : hvs_bind(fd, &a, sizeof(a)) < 0)
		return -1;
	if (hvs_listen(fd, backlog) < 0)
		return -1;
	return fd_take(&fd);
}
