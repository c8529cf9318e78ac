/* SPDX-License-Identifier: MIT */
/*
 * client-out.c - frames to clients, and those that wait
 *
 * hvsocket-dgram reads all the time, but programs may bind faster than it gets
 * to run, and a socket must not be lost for that; a transport can have to be
 * told the end of all its connections at once. Such frames wait here, and those
 * after them, in their order, up to a limit: for a transport one for each
 * connection, and a few. Everything else has to be read in time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fdmsg.h"
#include "broker/transport.h"

#define RELAY_OUT_MAX 16384
/* beyond one for each of its connections */
#define TRANSPORT_OUT_SPARE 1024
#define TRANSPORT_OUT_FILES 64

struct client_out {
	struct client_out *next;
	int fd; /* ours, or -1 */
	size_t len;
	uint8_t bytes[];
};

static bool no_room(int r)
{
	return r == -EAGAIN || r == -ETOOMANYREFS || r == -ENOBUFS;
}

static bool may_wait(const struct client *c, int nfds)
{
	if (c->transport)
		return c->out_n < HASH_COUNT(c->transport->relayed) +
					  TRANSPORT_OUT_SPARE &&
		       (!nfds || c->out_files < TRANSPORT_OUT_FILES);
	return c->relay && c->out_n < RELAY_OUT_MAX;
}

static int enqueue(struct client *c, const struct msg_buf *m, int fd)
{
	struct client_out *o = malloc(sizeof(*o) + m->len);
	bool first = !c->out;

	if (!o)
		return -ENOMEM;
	o->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && o->fd < 0) {
		free(o);
		return -EMFILE;
	}
	o->next = NULL;
	o->len = m->len;
	memcpy(o->bytes, m->data, m->len);
	*c->out_end = o;
	c->out_end = &o->next;
	c->out_n++;
	c->out_files += o->fd >= 0;
	/* while it is not read from: clients_resume() will look */
	return first && c->io.ev ? ev_io_start(c->b->ev, &c->io, c->fd,
					       EPOLLIN | EPOLLOUT,
					       client_on_io) :
				   0;
}

static void pop(struct client *c)
{
	struct client_out *o = c->out;

	c->out = o->next;
	if (!c->out)
		c->out_end = &c->out;
	c->out_n--;
	c->out_files -= o->fd >= 0;
	if (o->fd >= 0)
		sock_close(c->b, o->fd);
	free(o);
}

void client_out_drop(struct client *c)
{
	while (c->out)
		pop(c);
}

int client_out(struct client *c, const struct msg_buf *m, const int *fds,
	       int nfds, bool wait)
{
	int r = -EAGAIN;

	wait = wait || c->out;
	if (!c->out)
		r = fdmsg_send(c->fd, m->data, m->len, fds, nfds,
			       MSG_DONTWAIT);
	if (no_room(r) && wait && nfds <= 1 && may_wait(c, nfds))
		r = enqueue(c, m, nfds ? fds[0] : -1);
	return r;
}

void client_out_more(struct client *c)
{
	int r = 0;

	while (c->out && r == 0) {
		struct client_out *o = c->out;

		r = fdmsg_send(c->fd, o->bytes, o->len, &o->fd, o->fd >= 0,
			       MSG_DONTWAIT);
		if (r == 0)
			pop(c);
	}
	if (r == 0)
		r = ev_io_start(c->b->ev, &c->io, c->fd, EPOLLIN,
				client_on_io);
	if (r < 0 && !no_room(r))
		client_drop_soon(c);
}
