/* SPDX-License-Identifier: MIT */
/* rendezvous.c - see rendezvous.h */
#include "transport/rendezvous.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/closer.h"

static const int types[RENDEZVOUS_MAX] = { SOCK_STREAM, SOCK_SEQPACKET };

struct taken {
	struct taken *next;
	int fd;
	struct connector_name name;
};

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
		.spare = spare_new(), .arrived = arrived, .ctx = ctx
	};
	r->last = &r->first;
}

void rendezvous_fini(struct rendezvous *r)
{
	rendezvous_drop(r);
	while (r->first) {
		struct taken *t = r->first;

		r->first = t->next;
		closer_close_socket(t->fd);
		free(t);
	}
	r->last = &r->first;
	if (r->spare >= 0)
		close(r->spare);
	r->spare = -1;
}

int rendezvous_new(struct rendezvous *r, bool raw)
{
	for (r->n = 0; r->n < (raw ? 2 : 1); r->n++) {
		int fd = socket(AF_UNIX,
				types[r->n] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0)
			return -errno;
		(void)closer_guard_socket(fd);
		r->fds[r->n] = fd;
	}
	return 0;
}

static void on_stream(struct ev_io *io, uint32_t events)
{
	struct rendezvous *r = container_of(io, struct rendezvous, io[0]);

	(void)events;
	r->ready(r);
}

static void on_raw(struct ev_io *io, uint32_t events)
{
	struct rendezvous *r = container_of(io, struct rendezvous, io[1]);

	(void)events;
	r->ready(r);
}

int rendezvous_listen(struct rendezvous *r, struct ev *ev,
		      void (*ready)(struct rendezvous *r))
{
	static const ev_io_fn fns[RENDEZVOUS_MAX] = { on_stream, on_raw };

	r->ready = ready;
	for (int i = 0; i < r->n; i++) {
		int err = listen(r->fds[i], SOMAXCONN) < 0 ? -errno : 0;

		if (err == 0)
			err = ev_io_start(ev, &r->io[i], r->fds[i], EPOLLIN,
					  fns[i]);
		if (err < 0)
			return err;
	}
	return 0;
}

/*
 * No descriptor is left: a socket that cannot be taken would wake the loop for
 * ever. The spare one makes room to take it, and it is closed.
 */
static bool refuse_one(struct rendezvous *r, int i)
{
	int fd;

	if (r->spare < 0)
		return false;
	close(r->spare);
	fd = accept4(r->fds[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		closer_close_socket(fd);
	r->spare = spare_new();
	return fd >= 0;
}

static bool keep(struct rendezvous *r, int fd, const struct connector_name *n)
{
	struct taken *t = malloc(sizeof(*t));

	if (!t)
		return false;
	*t = (struct taken) { .fd = fd, .name = *n };
	*r->last = t;
	r->last = &t->next;
	return true;
}

void rendezvous_deliver(struct rendezvous *r, const uint64_t *token)
{
	struct taken **p = &r->first;

	while (*p) {
		struct taken *t = *p;

		if (token && t->name.token != *token) {
			p = &t->next;
			continue;
		}
		*p = t->next;
		if (!t->next)
			r->last = p;
		r->arrived(r->ctx, t->fd, &t->name);
		free(t);
		/* the callee may have taken more */
		p = &r->first;
		if (token)
			return;
	}
}

static void take(struct rendezvous *r, int i)
{
	for (;;) {
		struct sockaddr_un sa;
		socklen_t len = sizeof(sa);
		struct name n;
		int fd;

		fd = accept4(r->fds[i], NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && errno == ECONNABORTED)
			continue;
		if (fd < 0 && (errno == EMFILE || errno == ENFILE) &&
		    refuse_one(r, i))
			continue;
		if (fd < 0)
			return;
		if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
			name_decode(&sa, len, &n);
		else
			n.kind = NAME_NONE;
		if (n.kind != NAME_CONNECTOR ||
		    n.connector.type != types[i] || !keep(r, fd, &n.connector))
			closer_close_socket(fd);
	}
}

void rendezvous_take(struct rendezvous *r)
{
	if (r->spare < 0)
		r->spare = spare_new();
	for (int i = 0; i < r->n; i++)
		take(r, i);
}

void rendezvous_drop(struct rendezvous *r)
{
	for (int i = 0; i < r->n; i++) {
		ev_io_stop(&r->io[i]);
		close(r->fds[i]);
	}
	r->n = 0;
}
