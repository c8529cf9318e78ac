/* SPDX-License-Identifier: MIT */
/* conn.c - see conn.h */
#include "transport/vsock/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/guid.h"
#include "base/log.h"
#include "transport/closer.h"
#include "transport/joint.h"
#include "transport/vsock/vsocket.h"

#define CONNS_MAX 4096u

enum conn_state {
	C_DIALLING, /* the guest's: the broker is asked */
	C_ASKING,   /* a program's: the guest is asked */
	C_ARRIVING, /* it has said yes: the program's socket is missing */
	C_LIVE,
	C_OVER,
};

struct conn {
	LIST_ENTRY(conn) link;
	struct conns *cs;
	enum conn_state state;
	struct joint j; /* the kernel's socket, and the session */
};

struct conns {
	struct ev *ev;
	uint32_t cid;
	void (*look)(void *ctx);
	void *ctx;
	struct sessions *sessions;
	LIST_HEAD(, conn) all;
	unsigned int count;
};

static void on_guest(struct ev_io *io, uint32_t events);
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
	if (joint_start(&c->j, cs->ev, fd, on_guest, on_over) < 0) {
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

/* ---- a program dials */

static uint32_t refusal(struct conns *cs, int error, const char **ret_why)
{
	switch (error) {
	case -ECONNRESET:
	case -ECONNREFUSED:
		*ret_why = "nothing listens on that port in the guest";
		return HVS_REASON_NO_LISTENER;
	case -ETIMEDOUT:
		*ret_why = "the guest did not answer in time";
		return HVS_REASON_NO_ANSWER;
	case -ENODEV:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		*ret_why = "no VM has the partition's CID now";
		cs->look(cs->ctx);
		return HVS_REASON_PARTITION_OFF;
	default:
		*ret_why = "the kernel does not connect to the guest";
		return HVS_REASON_BROKER_FAILED;
	}
}

static void on_decided(struct conn *c)
{
	struct session *s = c->j.s;
	int r = vsocket_connected(c->j.guest.fd);
	const char *why;
	uint32_t reason;

	if (r == -EINPROGRESS)
		return;
	if (r == 0 && session_hand_over(s, c->j.guest.fd)) {
		c->j.s = NULL;
		conn_close(c);
	} else if (r == 0) {
		c->state = C_ARRIVING;
		session_answered(s, true);
	} else {
		c->j.s = NULL;
		reason = refusal(c->cs, r, &why);
		session_declined(s, reason, why);
		conn_close(c);
	}
}

static uint32_t on_open(void *ctx, struct session *s, const GUID *service,
			const GUID *source, void **ret_conn,
			const char **ret_why)
{
	struct conns *cs = ctx;
	struct conn *c;
	uint32_t port;
	int fd;

	(void)source;
	if (!guid_is_port(service, &port) || port == UINT32_MAX) {
		*ret_why = "the guest's AF_VSOCK has ports only: a ServiceId "
			   "of the VSOCK template";
		return HVS_REASON_NO_LISTENER;
	}
	fd = vsocket_connect(cs->cid, port);
	if (fd < 0)
		return refusal(cs, fd, ret_why);
	c = conn_new(cs, fd, C_ASKING);
	if (!c) {
		*ret_why = "the guest has too many connections";
		return HVS_REASON_QUOTA;
	}
	c->j.s = s;
	*ret_conn = c;
	return HVS_REASON_NONE;
}

/* ---- the guest dials */

void conns_dialled(struct conns *cs, int fd, uint32_t port, uint32_t source)
{
	const GUID service = guid_from_port(port);
	const GUID from = guid_from_port(source);
	struct conn *c = conn_new(cs, fd, C_DIALLING);

	if (c && session_dial(cs->sessions, c, SOCK_STREAM, &service, &from,
			      &c->j.s) < 0)
		conn_close(c);
}

static void on_accept(void *ctx, void *conn)
{
	(void)ctx;
	go_live(conn);
}

static int on_native(void *ctx, void *conn)
{
	(void)ctx;
	return ((struct conn *)conn)->j.guest.fd;
}

static void on_abort(void *ctx, void *conn)
{
	(void)ctx;
	conn_close(conn);
}

/* ---- what happens at the kernel's socket, and at the program's */

static void on_guest(struct ev_io *io, uint32_t events)
{
	struct conn *c = container_of(io, struct conn, j.io);
	struct conns *cs = c->cs;

	relay_event(&c->j.guest, events);
	if (events & EPOLLERR && c->state != C_ASKING)
		cs->look(cs->ctx);
	switch (c->state) {
	case C_DIALLING:
		/* has the guest given up? What it has written before it closed
		 * is still to be delivered */
		if (events & (EPOLLHUP | EPOLLERR) && !vsocket_unread(io->fd))
			conn_end(c);
		else
			joint_events(&c->j, events);
		break;
	case C_ASKING:
		on_decided(c);
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

static const struct session_guest_ops guest_ops = {
	.open = on_open,
	.accept = on_accept,
	.native = on_native,
	.abort = on_abort,
	.readable = on_readable,
	.writable = on_writable,
	.unread = on_unread,
};

const struct session_guest_ops *conns_guest_ops(void)
{
	return &guest_ops;
}

/* ---- all of them */

int conns_new(struct ev *ev, uint32_t cid, void (*look)(void *ctx), void *ctx,
	      struct conns **ret)
{
	struct conns *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->ev = ev;
	cs->cid = cid;
	cs->look = look;
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
