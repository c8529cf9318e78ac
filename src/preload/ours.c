/* SPDX-License-Identifier: MIT */
/* ours.c - see ours.h */
#include "preload/ours.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include "lib/sys.h"
#include "proto/name.h"

/* "hvs", and the type in the lowest byte: a rate nobody asks for. */
#define MARK UINT64_C(0x6876730000000000)
#define MARK_TYPE UINT64_C(0xff)

void ours_mark(int fd, int type)
{
	uint64_t mark = MARK | (unsigned int)type;
	int saved = errno;

	(void)sys_setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &mark,
			     sizeof(mark));
	errno = saved;
}

int ours_type(int fd)
{
	socklen_t len = sizeof(uint64_t);
	uint64_t mark = 0;
	int saved = errno;

	if (sys_getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &mark, &len) < 0)
		mark = 0;
	errno = saved;
	if (len != sizeof(mark) || (mark & ~MARK_TYPE) != MARK)
		return 0;
	return (int)(mark & MARK_TYPE);
}

bool ours(int fd)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);
	struct name name;
	int saved = errno;

	if (ours_exempt())
		return false;
	if (sys_getsockname(fd, &sa, &len) < 0) {
		errno = saved;
		return false;
	}
	if (len < sizeof(sa.sun_family))
		return false;
	if (sa.sun_family == AF_VSOCK) /* HVSOCKET_TRANSPORT=vsock */
		return ours_type(fd) != 0;
	if (sa.sun_family != AF_UNIX)
		return false;
	name_decode(&sa, len, &name);
	switch (name.kind) {
	case NAME_NONE:
		return ours_type(fd) != 0;
	case NAME_LISTENER:
	case NAME_CONNECTOR:
		return true;
	case NAME_FOREIGN:
	case NAME_DATAGRAM: /* has calls of its own */
	case NAME_RENDEZVOUS: /* a transport's own: not a program's */
		break;
	}
	return false;
}
