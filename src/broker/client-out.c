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
#include "broker/uplink.h"

#define RELAY_OUT_MAX 16384
/* beyond one for each of its connections */
#define TRANSPORT_OUT_SPARE 1024
#define TRANSPORT_OUT_FILES 64
/* of hvsocket-uplink: two for each connection */
#define UPLINK_OUT_FILES 4096
#define FILES 2

struct client_out {
	struct client_out *next;
	struct account *payer; /* or NULL */
	int fds[FILES]; /* ours */
	int nfds;
	size_t len;
	uint8_t bytes[];
};

static bool no_room(int r)
{
	return r == -EAGAIN || r == -ETOOMANYREFS || r == -ENOBUFS;
}

static bool may_wait(const struct client *c, int nfds)
{
	unsigned int files = TRANSPORT_OUT_FILES;

	if (c->transport && uplink_is_relay(c->transport))
		files = UPLINK_OUT_FILES;
	if (c->transport)
		return c->out_n < HASH_COUNT(c->transport->relayed) +
					  TRANSPORT_OUT_SPARE &&
		       (!nfds || c->out_files < files);
	return c->relay && c->out_n < RELAY_OUT_MAX;
}

static void free_out(struct client *c, struct client_out *o)
{
	for (int i = 0; i < o->nfds; i++)
		sock_close(c->b, o->fds[i]);
	if (o->payer) {
		o->payer->behind--;
		account_unref(c->b, o->payer);
	}
	free(o);
}

static int enqueue(struct client *c, const struct msg_buf *m, const int *fds,
		   int nfds)
{
	struct client_out *o = malloc(sizeof(*o) + m->len);
	bool first = !c->out;

	if (!o)
		return -ENOMEM;
	o->payer = NULL;
	for (o->nfds = 0; o->nfds < nfds; o->nfds++) {
		int fd = fcntl(fds[o->nfds], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			free_out(c, o);
			return -EMFILE;
		}
		o->fds[o->nfds] = fd;
	}
	o->payer = c->out_payer;
	if (o->payer) {
		o->payer->refs++;
		o->payer->behind++;
	}
	o->next = NULL;
	o->len = m->len;
	memcpy(o->bytes, m->data, m->len);
	*c->out_end = o;
	c->out_end = &o->next;
	c->out_n++;
	c->out_files += (unsigned int)o->nfds;
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
	c->out_files -= (unsigned int)o->nfds;
	free_out(c, o);
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
	if (no_room(r) && wait && nfds <= FILES && may_wait(c, nfds))
		r = enqueue(c, m, fds, nfds);
	return r;
}

void client_out_more(struct client *c)
{
	int r = 0;

	while (c->out && r == 0) {
		struct client_out *o = c->out;

		r = fdmsg_send(c->fd, o->bytes, o->len, o->fds, o->nfds,
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
