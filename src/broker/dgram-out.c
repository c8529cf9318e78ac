/* SPDX-License-Identifier: MIT */
/*
 * dgram-out.c - frames to hvsocket-dgram
 *
 * It reads all the time, but programs may bind faster than it gets to run, and
 * a socket must not be lost for that: frames wait here, in their order.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "broker/dgram.h"

#define OUT_MAX 16384

struct dgram_out {
	struct dgram_out *next;
	int fd; /* ours, or -1 */
	size_t len;
	uint8_t bytes[];
};

static int send_one(const struct dgrams *d, const void *p, size_t len, int fd)
{
	return fdmsg_send(d->relay->fd, p, len, &fd, fd >= 0, MSG_DONTWAIT);
}

static int enqueue(struct dgrams *d, const struct msg_buf *m, int fd)
{
	struct dgram_out *o;

	if (d->out_n == OUT_MAX)
		return -ENOBUFS;
	o = malloc(sizeof(*o) + m->len);
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
	*d->out_end = o;
	d->out_end = &o->next;
	d->out_n++;
	return ev_io_start(d->b->ev, &d->relay->io, d->relay->fd,
			   EPOLLIN | EPOLLOUT, client_on_io);
}

static void out_pop(struct dgrams *d)
{
	struct dgram_out *o = d->out;

	d->out = o->next;
	if (!d->out)
		d->out_end = &d->out;
	d->out_n--;
	if (o->fd >= 0)
		sock_close(d->b, o->fd);
	free(o);
}

void dgram_out_drop(struct dgrams *d)
{
	while (d->out)
		out_pop(d);
}

static bool no_room(int r)
{
	return r == -EAGAIN || r == -ETOOMANYREFS || r == -ENOBUFS;
}

void dgram_send(struct dgrams *d, const struct msg_buf *m, int fd)
{
	struct client *c = d->relay;
	int r = -EAGAIN;

	if (c->dead || c->broken)
		return;
	if (!d->out)
		r = send_one(d, m->data, m->len, fd);
	if (no_room(r))
		r = enqueue(d, m, fd);
	if (r < 0)
		client_drop_soon(c);
}

void dgram_send_more(struct dgrams *d)
{
	struct client *c = d->relay;
	int r = 0;

	while (d->out && r == 0) {
		r = send_one(d, d->out->bytes, d->out->len, d->out->fd);
		if (r == 0)
			out_pop(d);
	}
	if (r == 0)
		r = ev_io_start(d->b->ev, &c->io, c->fd, EPOLLIN,
				client_on_io);
	if (r < 0 && !no_room(r))
		client_drop_soon(c);
}
