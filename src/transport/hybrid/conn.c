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
#include "transport/relay.h"

#define CONNS_MAX 4096u
#define CHUNK 65536u
#define BUDGET 16 /* chunks each way before others have their turn */
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

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
	struct session *s; /* NULL: gone */
	struct relay vmm;
	struct ev_io io;
	struct ev_timer again;
	struct hybrid_parser answer;
	bool in_done, out_done; /* no more from, to the guest */
	uint32_t missed;	/* events from before it was live */
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

static uint8_t chunk[CHUNK]; /* never holds anything between two calls */

static void on_vmm(struct ev_io *io, uint32_t events);

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
	relay_init(&c->vmm);
	relay_attach(&c->vmm, fd);
	hybrid_parser_init(&c->answer, HYBRID_OK);
	if (ev_io_start(cs->ev, &c->io, fd, EVENTS, on_vmm) < 0) {
		relay_fini(&c->vmm);
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
	c->s = NULL;
	ev_io_stop(&c->io);
	ev_timer_stop(&c->again);
	relay_fini(&c->vmm);
	LIST_REMOVE(c, link);
	c->cs->count--;
	c->cs->ops->look(c->cs->ctx);
	ev_later(c->cs->ev, free, c);
}

static void conn_end(struct conn *c)
{
	struct session *s = c->s;

	c->s = NULL;
	if (s)
		session_end(s);
	conn_close(c);
}

/* ---- bytes */

/* From the guest, until there are no more or they are not taken. Return: is it
 * only the others' turn? */
static bool pump_in(struct conn *c)
{
	struct iovec iov = { .iov_base = chunk };
	ssize_t n;

	for (int i = 0; i < BUDGET; i++) {
		if (c->in_done || session_held(c->s))
			return false;
		iov.iov_len = sizeof(chunk);
		n = relay_pull(&c->vmm, &iov, 1);
		if (n == -EAGAIN)
			return false;
		iov.iov_len = n > 0 ? (size_t)n : 0;
		if (n <= 0) {
			session_shut(c->s, true, false);
			c->in_done = true;
		} else if (session_push(c->s, &iov, 1) < 0) {
			relay_shut(&c->vmm, false, true);
			c->in_done = true;
		}
	}
	return !c->in_done;
}

static bool pump_out(struct conn *c)
{
	struct iovec iov = { .iov_base = chunk };
	ssize_t n;

	for (int i = 0; i < BUDGET; i++) {
		if (c->out_done || relay_wanted(&c->vmm))
			return false;
		iov.iov_len = sizeof(chunk);
		n = session_pull(c->s, &iov, 1);
		if (n == -EAGAIN)
			return false;
		iov.iov_len = n > 0 ? (size_t)n : 0;
		if (n <= 0) {
			relay_shut(&c->vmm, true, false);
			c->out_done = true;
		} else if (relay_push(&c->vmm, &iov, 1) < 0) {
			session_shut(c->s, false, true);
			c->out_done = true;
		}
	}
	return !c->out_done;
}

static void step(struct conn *c);

static void on_again(struct ev_timer *t)
{
	step(container_of(t, struct conn, again));
}

static void step(struct conn *c)
{
	bool in, out;

	if (c->state != C_LIVE || !c->s)
		return;
	in = pump_in(c);
	out = pump_out(c);
	if (c->in_done && c->out_done)
		conn_end(c);
	else if ((in || out) &&
		 ev_timer_start_at(c->cs->ev, &c->again, 0, on_again) < 0)
		conn_end(c);
}

/* ---- what happens at the VMM's socket */

static void on_answer(struct conn *c)
{
	struct session *s = c->s;
	int r = handshake_read(c->vmm.fd, &c->answer);

	if (r == -EAGAIN)
		return;
	if (r == 0 && session_hand_over(s, c->vmm.fd)) {
		c->s = NULL;
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
	c->s = NULL;
	session_answered(s, false);
	conn_close(c);
}

static void on_live(struct conn *c, uint32_t events)
{
	struct relay *r = &c->vmm;

	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		/* a guest that stopped reading makes no event but this one */
		if (!r->broken && !relay_quiet(events) &&
		    (r->shut ? events & EPOLLHUP : !relay_probe(r))) {
			session_shut(c->s, false, true);
			c->out_done = true;
		}
		(void)relay_flush(r);
	}
	step(c);
}

static void on_vmm(struct ev_io *io, uint32_t events)
{
	struct conn *c = container_of(io, struct conn, io);

	relay_event(&c->vmm, events);
	switch (c->state) {
	case C_DIALLING:
		/* has the guest given up? What it has written before it closed
		 * is still to be delivered */
		c->missed |= events;
		if (events & (EPOLLHUP | EPOLLERR) && !relay_unread(io->fd))
			conn_end(c);
		break;
	case C_ASKING:
		on_answer(c);
		break;
	case C_LIVE:
		on_live(c, events);
		break;
	case C_ARRIVING: /* what there is waits */
		c->missed |= events;
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
	if (c && session_dial(cs->sessions, c, service, &guid_zero, &c->s) < 0)
		conn_close(c);
}

static void on_accept(void *ctx, void *conn)
{
	(void)ctx;
	((struct conn *)conn)->state = C_LIVE;
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
	c->s = s;
	*ret_conn = c;
	return HVS_REASON_NONE;
}

/* ---- what happens at the program's socket */

static void on_readable(void *ctx, void *conn)
{
	struct conn *c = conn;
	uint32_t events;

	(void)ctx;
	if (c->state == C_ARRIVING)
		c->state = C_LIVE;
	/* edge-triggered: they do not come again */
	events = c->missed;
	c->missed = 0;
	on_live(c, events);
}

static void on_writable(void *ctx, void *conn)
{
	struct conn *c = conn;

	(void)ctx;
	if (c->state != C_LIVE)
		return;
	if (session_flush(c->s) < 0) {
		relay_shut(&c->vmm, false, true);
		c->in_done = true;
	}
	step(c);
}

static void on_unread(void *ctx, void *conn)
{
	struct conn *c = conn;

	(void)ctx;
	relay_shut(&c->vmm, false, true);
	c->in_done = true;
	step(c);
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
