/* SPDX-License-Identifier: MIT */
/* conn.c - see conn.h */
#include "transport/hybrid/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "base/log.h"
#include "base/unix.h"
#include "transport/closer.h"
#include "transport/handshake.h"
#include "transport/joint.h"

#define CONNS_MAX 4096u

enum conn_state {
	C_DIALLING, /* the guest's: the broker is asked */
	C_ASKING,   /* a program's: the VMM is asked */
	C_ARRIVING, /* it has said OK: the program's socket is missing */
	C_LIVE,
	C_OVER,
};

struct conn {
	LIST_ENTRY(conn) link;
	struct conns *cs;
	enum conn_state state;
	struct joint j; /* the VMM's socket, and the session */
	struct hybrid_parser answer;
};

struct conns {
	struct ev *ev;
	const char *path;
	const struct conns_ops *ops;
	void *ctx;
	struct sessions *sessions;
	LIST_HEAD(, conn) all;
	unsigned int count;
	struct log_limit limit;
};

static void on_vmm(struct ev_io *io, uint32_t events);
static void on_over(struct joint *j);

/* Return: NULL: no room; @fd is owned in either case */
static struct conn *conn_new(struct conns *cs, int fd, enum conn_state state)
{
	struct conn *c = NULL;

	if (cs->count < CONNS_MAX && !closer_busy())
		c = calloc(1, sizeof(*c));
	if (!c) {
		closer_close_socket(fd);
		return NULL;
	}
	c->cs = cs;
	c->state = state;
	hybrid_parser_init(&c->answer, HYBRID_OK);
	if (joint_start(&c->j, cs->ev, fd, on_vmm, on_over) < 0) {
		closer_close_socket(fd);
		free(c);
		return NULL;
	}
	LIST_INSERT_HEAD(&cs->all, c, link);
	cs->count++;
	return c;
}

/* The session has gone, or has not come to be. */
static void conn_close(struct conn *c)
{
	if (c->state == C_OVER)
		return;
	c->state = C_OVER;
	joint_stop(&c->j);
	LIST_REMOVE(c, link);
	c->cs->count--;
	c->cs->ops->look(c->cs->ctx);
	ev_later(c->cs->ev, free, c);
}

static void conn_end(struct conn *c)
{
	joint_end(&c->j);
	conn_close(c);
}

static void on_over(struct joint *j)
{
	conn_end(container_of(j, struct conn, j));
}

static void go_live(struct conn *c)
{
	c->state = C_LIVE;
	c->j.live = true;
}

/* ---- what happens at the VMM's socket */

static void on_answer(struct conn *c)
{
	struct session *s = c->j.s;
	int r = handshake_read(c->j.guest.fd, &c->answer);

	if (r == -EAGAIN)
		return;
	if (r == 0 && session_hand_over(s, c->j.guest.fd)) {
		c->j.s = NULL;
		conn_close(c);
		return;
	}
	if (r == 0) {
		c->state = C_ARRIVING;
		session_answered(s, true);
		return;
	}
	if (r == -EPROTO)
		log_limited(&c->cs->limit, LOG_WARN_,
			    "%s: the answer to CONNECT is not OK and a number",
			    c->cs->path);
	c->j.s = NULL;
	session_answered(s, false);
	conn_close(c);
}

static void on_vmm(struct ev_io *io, uint32_t events)
{
	struct conn *c = container_of(io, struct conn, j.io);

	relay_event(&c->j.guest, events);
	switch (c->state) {
	case C_DIALLING:
		/* has the guest given up? What it has written before it closed
		 * is still to be delivered */
		if (events & (EPOLLHUP | EPOLLERR) && !relay_unread(io->fd))
			conn_end(c);
		else
			joint_events(&c->j, events);
		break;
	case C_ASKING:
		on_answer(c);
		if (c->state == C_ARRIVING)
			joint_events(&c->j, events);
		break;
	case C_ARRIVING: /* what there is waits */
	case C_LIVE:
		joint_events(&c->j, events);
		break;
	case C_OVER:
		break;
	}
}

/* ---- the guest dials */

void conns_dialled(struct conns *cs, int fd, const GUID *service)
{
	struct conn *c = conn_new(cs, fd, C_DIALLING);

	/* The guest's own port is not told. */
	if (c && session_dial(cs->sessions, c, SOCK_STREAM, service, &guid_zero,
			      &c->j.s) < 0)
		conn_close(c);
}

static void on_accept(void *ctx, void *conn)
{
	(void)ctx;
	go_live(conn);
}

static void on_abort(void *ctx, void *conn)
{
	(void)ctx;
	conn_close(conn);
}

/* ---- a program dials */

static uint32_t refuse(struct conns *cs, int error, const char **ret_why)
{
	switch (error) {
	case -EAGAIN:
		*ret_why = "the VMM's socket does not take connections";
		return HVS_REASON_BACKLOG;
	case -ENOENT:
	case -ECONNREFUSED:
		*ret_why = "no VMM listens at its socket";
		cs->ops->look(cs->ctx);
		return HVS_REASON_PARTITION_OFF;
	default:
		*ret_why = "the VMM's socket cannot be connected to";
		return HVS_REASON_BROKER_FAILED;
	}
}

static int connect_vmm(const char *path)
{
	struct sockaddr_un sa;
	int fd, r = unix_address(path, &sa);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static uint32_t on_open(void *ctx, struct session *s, const GUID *service,
			const GUID *source, void **ret_conn,
			const char **ret_why)
{
	struct conns *cs = ctx;
	char line[HYBRID_LINE_SIZE];
	struct conn *c;
	int fd;
	size_t n;

	(void)source;
	fd = connect_vmm(cs->path);
	if (fd < 0)
		return refuse(cs, fd, ret_why);
	c = conn_new(cs, fd, C_ASKING);
	if (!c) {
		*ret_why = "the guest has too many connections";
		return HVS_REASON_QUOTA;
	}
	/* in one write: a VMM does not wait for the rest of a line */
	n = hybrid_format(HYBRID_CONNECT, service, false, line);
	if (send(fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n) {
		conn_close(c);
		*ret_why = "the VMM closed the connection";
		return HVS_REASON_PARTITION_OFF;
	}
	c->j.s = s;
	*ret_conn = c;
	return HVS_REASON_NONE;
}

/* ---- what happens at the program's socket */

static void on_readable(void *ctx, void *conn)
{
	struct conn *c = conn;

	(void)ctx;
	if (c->state == C_ARRIVING)
		go_live(c);
	joint_readable(&c->j);
}

static void on_writable(void *ctx, void *conn)
{
	(void)ctx;
	joint_writable(&((struct conn *)conn)->j);
}

static void on_unread(void *ctx, void *conn)
{
	(void)ctx;
	joint_unread(&((struct conn *)conn)->j);
}

static void on_services(void *ctx, const struct msg_services *m)
{
	struct conns *cs = ctx;

	cs->ops->services(cs->ctx, m);
}

static const struct session_guest_ops guest_ops = {
	.open = on_open,
	.accept = on_accept,
	.abort = on_abort,
	.readable = on_readable,
	.writable = on_writable,
	.unread = on_unread,
	.services = on_services,
};

const struct session_guest_ops *conns_guest_ops(void)
{
	return &guest_ops;
}

/* ---- all of them */

int conns_new(struct ev *ev, const char *path, const struct conns_ops *ops,
	      void *ctx, struct conns **ret)
{
	struct conns *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->ev = ev;
	cs->path = path;
	cs->ops = ops;
	cs->ctx = ctx;
	LIST_INIT(&cs->all);
	*ret = cs;
	return 0;
}

void conns_set_sessions(struct conns *cs, struct sessions *ss)
{
	cs->sessions = ss;
}

struct conns *conns_free(struct conns *cs)
{
	if (cs) {
		while (!LIST_EMPTY(&cs->all))
			conn_end(LIST_FIRST(&cs->all));
		free(cs);
	}
	return NULL;
}
