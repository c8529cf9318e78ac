/* SPDX-License-Identifier: MIT */
/* rendezvous.c - see rendezvous.h */
#include "transport/rendezvous.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/closer.h"

static int spare_new(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

void rendezvous_init(struct rendezvous *r,
		     void (*arrived)(void *ctx, int fd,
				     const struct connector_name *n),
		     void *ctx)
{
	*r = (struct rendezvous) {
		.fd = -1, .spare = spare_new(), .arrived = arrived, .ctx = ctx
	};
}

void rendezvous_fini(struct rendezvous *r)
{
	rendezvous_drop(r);
	if (r->spare >= 0)
		close(r->spare);
	r->spare = -1;
}

int rendezvous_new(struct rendezvous *r)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)closer_guard_socket(fd);
	r->fd = fd;
	return 0;
}

int rendezvous_listen(struct rendezvous *r, struct ev *ev, ev_io_fn fn)
{
	if (listen(r->fd, SOMAXCONN) < 0)
		return -errno;
	return ev_io_start(ev, &r->io, r->fd, EPOLLIN, fn);
}

/*
 * No descriptor is left: a socket that cannot be taken would wake the loop for
 * ever. The spare one makes room to take it, and it is closed.
 */
static bool refuse_one(struct rendezvous *r)
{
	int fd;

	if (r->spare < 0)
		return false;
	close(r->spare);
	fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		closer_close_socket(fd);
	r->spare = spare_new();
	return fd >= 0;
}

void rendezvous_drain(struct rendezvous *r)
{
	if (r->spare < 0)
		r->spare = spare_new();
	while (r->fd >= 0) {
		struct sockaddr_un sa;
		socklen_t len = sizeof(sa);
		struct name n;
		int fd;

		fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && errno == ECONNABORTED)
			continue;
		if (fd < 0 && (errno == EMFILE || errno == ENFILE) &&
		    refuse_one(r))
			continue;
		if (fd < 0)
			return;
		if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
			name_decode(&sa, len, &n);
		else
			n.kind = NAME_NONE;
		if (n.kind == NAME_CONNECTOR && n.connector.type == SOCK_STREAM)
			r->arrived(r->ctx, fd, &n.connector);
		else
			closer_close_socket(fd);
	}
}

void rendezvous_drop(struct rendezvous *r)
{
	ev_io_stop(&r->io);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}
