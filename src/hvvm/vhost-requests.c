/* SPDX-License-Identifier: MIT */
/* vhost-requests.c - see vhost-requests.h */
#include "hvvm/vhost-requests.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdmsg.h"

#define HEADER 12u
#define CONFIG_CHANGE 2u
#define FLAG_VERSION 1u
#define FLAG_REPLY 4u
#define FLAG_NEED_REPLY 8u

void vhost_requests_stop(struct vhost_requests *q)
{
	if (!q->io.ev)
		return;
	ev_io_stop(&q->io);
	close(q->fd);
}

/* Return: 0; -errno: no message, or nobody takes the answer */
static int handle(struct vhost_requests *q)
{
	uint32_t request = le32_get(q->buf), flags = le32_get(q->buf + 4);
	uint32_t size = le32_get(q->buf + 8);
	bool known = request == CONFIG_CHANGE && size == 0;
	uint8_t reply[HEADER + 8];
	int r;

	if ((flags & 3) != FLAG_VERSION || flags & FLAG_REPLY)
		return -EPROTO;
	if (flags & FLAG_NEED_REPLY) {
		/* first: it may wait for this before it answers anything */
		le32_put(reply, request);
		le32_put(reply + 4, FLAG_VERSION | FLAG_REPLY);
		le32_put(reply + 8, 8);
		le64_put(reply + HEADER, !known);
		r = fdmsg_send(q->fd, reply, sizeof(reply), NULL, 0,
			       MSG_DONTWAIT);
		if (r < 0)
			return r;
	}
	if (known)
		q->changed(q->ctx);
	return 0;
}

/* One read and one message at most: others want their turn too. */
static int take(struct vhost_requests *q)
{
	size_t want = HEADER;
	struct fdmsg m;
	int r;

	if (q->got >= HEADER)
		want += le32_get(q->buf + 8);
	r = fdmsg_recv(q->fd, q->buf + q->got, want - q->got, MSG_DONTWAIT, &m);
	if (r == -EAGAIN || r == -EINTR)
		return 0;
	if (r < 0)
		return r;
	for (int i = 0; i < m.nfds; i++)
		close(m.fds[i]);
	if (!m.len)
		return -ECONNRESET;
	q->got += m.len;
	if (q->got < HEADER)
		return 0;
	want = HEADER + (size_t)le32_get(q->buf + 8);
	if (want > sizeof(q->buf))
		return -EMSGSIZE;
	if (q->got < want)
		return 0;
	q->got = 0;
	return handle(q);
}

static void on_request(struct ev_io *io, uint32_t events)
{
	struct vhost_requests *q = container_of(io, struct vhost_requests, io);

	(void)events;
	if (take(q) < 0)
		vhost_requests_stop(q);
}

int vhost_requests_start(struct vhost_requests *q, struct ev *ev,
			 void (*changed)(void *ctx), void *ctx, int *ret_theirs)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*q = (struct vhost_requests) {
		.fd = pair[0],
		.changed = changed,
		.ctx = ctx,
	};
	r = ev_io_start(ev, &q->io, pair[0], EPOLLIN, on_request);
	if (r < 0) {
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	*ret_theirs = pair[1];
	return 0;
}
