/* SPDX-License-Identifier: MIT */
/*
 * handshake.c - see handshake.h
 *
 * What is there is looked at first, which takes no descriptors; then exactly
 * the line's bytes are taken.
 */
#include "transport/handshake.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/fdmsg.h"
#include "transport/closer.h"

static int take(int fd, size_t n)
{
	char bytes[HYBRID_LINE_SIZE];
	struct fdmsg m;
	int r;

	while (n) {
		r = fdmsg_recv(fd, bytes, n, MSG_DONTWAIT, &m);
		if (r == -EINTR)
			continue;
		if (r < 0)
			return -ECONNRESET;
		closer_close(m.fds, m.nfds);
		if (!m.len)
			return -ECONNRESET;
		n -= m.len;
	}
	return 0;
}

int handshake_read(int fd, struct hybrid_parser *p)
{
	char bytes[HYBRID_LINE_SIZE];
	size_t used;
	ssize_t n;

	while (p->status == HYBRID_MORE) {
		n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (n <= 0)
			return -ECONNRESET;
		hybrid_parse(p, bytes, (size_t)n, &used);
		if (take(fd, used) < 0)
			return -ECONNRESET;
	}
	return p->status == HYBRID_DONE ? 0 : -EPROTO;
}
