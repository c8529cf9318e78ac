/* SPDX-License-Identifier: MIT */
/*
 * host-uds.c - without a broker: Unix sockets at and beside one path
 *
 * Firecracker's convention, in which the guest's connect to port N goes to
 * PATH_N, and a host's program connects to PATH, says "CONNECT N\n", and is
 * answered "OK n\n"; with OpenVMM's addition, that a GUID may stand for N.
 * There is no policy here but that of the file system.
 *
 * A client that says nothing sensible within HANDSHAKE_MS is closed, and keeps
 * nobody else waiting. What it says behind its line belongs to the connection:
 * no more than the line is taken.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/guid.h"
#include "transport/closer.h"
#include "transport/handshake.h"
#include "transport/relay.h"
#include "transport/vmbus/host.h"

#define HANDSHAKE_MS 5000u
#define OPEN_MS 2000u
#define ENDS_MAX 4096u
#define EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)

enum end_state { E_TALKING, E_OPENING, E_LIVE, E_OVER };

struct uds {
	struct host host;
	struct ev *ev;
	const struct session_guest_ops *ops;
	void *ctx;
	struct ev_io listen_io;
	struct sockaddr_un base; /* PATH */
	LIST_HEAD(, end) ends;
	unsigned int count;
};

struct end {
	LIST_ENTRY(end) link;
	struct uds *u;
	enum end_state state;
	struct relay relay;
	struct ev_io io;
	struct ev_timer timer;
	void *conn; /* NULL: none yet, or gone */
	int fd;	    /* while talking; -1 */
	struct hybrid_parser said;
	GUID service;
};

static struct uds *of(struct host *h)
{
	return container_of(h, struct uds, host);
}

static struct end *end_new(struct uds *u, enum end_state state)
{
	struct end *e;

	if (u->count >= ENDS_MAX || closer_busy())
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->u = u;
	e->state = state;
	e->fd = -1;
	relay_init(&e->relay);
	LIST_INSERT_HEAD(&u->ends, e, link);
	u->count++;
	return e;
}

static void end_finish(struct end *e)
{
	if (e->state == E_OVER)
		return;
	e->state = E_OVER;
	e->conn = NULL;
	ev_io_stop(&e->io);
	ev_timer_stop(&e->timer);
	relay_fini(&e->relay);
	if (e->fd >= 0)
		closer_close_socket(e->fd);
	e->fd = -1;
	LIST_REMOVE(e, link);
	e->u->count--;
	ev_later(e->u->ev, free, e);
}

static void end_abort(struct end *e)
{
	void *conn = e->conn;

	e->conn = NULL;
	if (conn)
		e->u->ops->abort(e->u->ctx, conn);
	end_finish(e);
}

static void on_live(struct ev_io *io, uint32_t events)
{
	struct end *e = container_of(io, struct end, io);
	const struct session_guest_ops *ops = e->u->ops;
	struct relay *r = &e->relay;

	relay_event(r, events);
	relay_watch(r, io, events);
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		if (!r->broken && !relay_quiet(events) &&
		    !relay_probe(r, events) && e->conn)
			ops->unread(e->u->ctx, e->conn);
		if (e->conn && relay_wanted(r))
			ops->writable(e->u->ctx, e->conn);
	}
	if (e->conn && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		ops->readable(e->u->ctx, e->conn);
}

/* Both ends are there. */
static int end_live(struct end *e, int fd)
{
	ev_timer_stop(&e->timer);
	relay_attach(&e->relay, fd);
	e->state = E_LIVE;
	return ev_io_start(e->u->ev, &e->io, fd,
			   relay_wanted(&e->relay) ? EVENTS | EPOLLOUT : EVENTS,
			   on_live);
}

/* ---- the guest connects */

static int connect_to(const struct uds *u, const char *suffix)
{
	struct sockaddr_un sa = u->base;
	size_t len = strlen(sa.sun_path);
	int fd;

	if (len + strlen(suffix) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path + len, suffix);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static void on_dialled(struct ev_timer *t)
{
	struct end *e = container_of(t, struct end, timer);
	char suffix[HYBRID_SUFFIX_SIZE];
	int fd;

	fd = connect_to(e->u, hybrid_suffix(&e->service, false, suffix));
	/* a port may stand there as a GUID, too */
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		fd = connect_to(e->u, hybrid_suffix(&e->service, true, suffix));
	if (fd < 0) {
		end_abort(e);
		return;
	}
	e->u->ops->accept(e->u->ctx, e->conn);
	if (e->state == E_OVER) { /* what the guest had sent ended it */
		close(fd);
		return;
	}
	if (end_live(e, fd) < 0)
		end_abort(e);
	else if (e->conn)
		e->u->ops->readable(e->u->ctx, e->conn);
}

static int u_dial(struct host *h, void *conn, const GUID *service,
		  const GUID *source, void **ret_end)
{
	struct end *e = end_new(of(h), E_OPENING);
	int r;

	(void)source;
	if (!e)
		return -ENOBUFS;
	e->conn = conn;
	e->service = *service;
	/* not from within this call: its caller does not have the end yet */
	r = ev_timer_start_at(e->u->ev, &e->timer, 0, on_dialled);
	if (r < 0) {
		end_finish(e);
		return r;
	}
	*ret_end = e;
	return 0;
}

/* ---- a program connects */

static void on_late(struct ev_timer *t)
{
	struct end *e = container_of(t, struct end, timer);

	if (e->state == E_OPENING)
		end_abort(e);
	else
		end_finish(e);
}

static void on_line(struct end *e)
{
	const char *why;
	uint32_t r;

	e->service = e->said.service;
	e->state = E_OPENING;
	ev_io_stop(&e->io);
	r = ev_timer_start(e->u->ev, &e->timer, OPEN_MS, on_late) < 0
		    ? HVS_REASON_BROKER_FAILED
		    : e->u->ops->open(e->u->ctx, (struct session *)e,
				      &e->service, &guid_zero, &e->conn, &why);
	if (r != HVS_REASON_NONE) {
		e->conn = NULL;
		end_finish(e);
	}
}

static void on_talk(struct ev_io *io, uint32_t events)
{
	struct end *e = container_of(io, struct end, io);
	int r = handshake_read(e->fd, &e->said);

	(void)events;
	if (r == 0)
		on_line(e);
	else if (r != -EAGAIN)
		end_finish(e);
}

static void on_listen(struct ev_io *io, uint32_t events)
{
	struct uds *u = container_of(io, struct uds, listen_io);
	struct end *e;
	int fd;

	(void)events;
	fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	e = end_new(u, E_TALKING);
	if (!e) {
		close(fd);
		return;
	}
	e->fd = fd;
	hybrid_parser_init(&e->said, HYBRID_CONNECT);
	if (ev_io_start(u->ev, &e->io, fd, EPOLLIN, on_talk) < 0 ||
	    ev_timer_start(u->ev, &e->timer, HANDSHAKE_MS, on_late) < 0)
		end_finish(e);
}

/* The answer has the form of the question, and names the other end. */
static void u_answered(void *end, const GUID *peer)
{
	struct end *e = end;
	char reply[HYBRID_LINE_SIZE];
	int fd = e->fd;
	GUID number;
	size_t n;

	if (!peer) {
		end_finish(e);
		return;
	}
	/* a number as it is, whatever else is in the GUID */
	number = guid_from_port(peer->Data1);
	n = hybrid_format(HYBRID_OK, e->said.by_guid ? peer : &number,
			  e->said.by_guid, reply);
	e->fd = -1;
	if (end_live(e, fd) < 0 ||
	    send(fd, reply, n, MSG_DONTWAIT | MSG_NOSIGNAL) !=
		    (ssize_t)n)
		end_abort(e);
	else if (e->conn)
		e->u->ops->readable(e->u->ctx, e->conn);
}

/* ---- the rest */

static ssize_t u_pull(void *end, const struct iovec *iov, unsigned int n)
{
	return relay_pull(&((struct end *)end)->relay, iov, n);
}

static ssize_t u_push(void *end, const struct iovec *iov, unsigned int n)
{
	struct end *e = end;
	ssize_t done = relay_write(&e->relay, iov, n);

	relay_watch(&e->relay, &e->io, 0);
	return done;
}

static void u_shut(void *end)
{
	relay_shut(&((struct end *)end)->relay, true, false);
}

static void u_end(void *end)
{
	end_finish(end);
}

static void u_running(struct host *h, bool running)
{
	(void)h;
	(void)running;
}

static int u_save(void *end, struct session_saved *ret)
{
	const struct end *e = end;

	if (e->state != E_LIVE)
		return -ENOTCONN;
	*ret = (struct session_saved) {
		.to_guest = e->relay.to_guest,
		.from_guest = e->relay.from_guest,
		.shut = e->relay.shut,
		.service = e->service,
	};
	return e->relay.fd;
}

static int u_restore(struct host *h, const struct session_saved *saved, int fd,
		     void *conn, void **ret_end)
{
	struct end *e = end_new(of(h), E_OPENING);
	int r;

	if (!e)
		return -ENOBUFS;
	r = ev_io_start(e->u->ev, &e->io, fd, EVENTS, on_live);
	if (r < 0) {
		end_finish(e);
		return r;
	}
	e->conn = conn;
	e->state = E_LIVE;
	e->service = saved->service;
	relay_attach(&e->relay, fd);
	e->relay.to_guest = saved->to_guest;
	e->relay.from_guest = saved->from_guest;
	e->relay.shut = saved->shut;
	*ret_end = e;
	return 0;
}

static void u_pause(struct host *h, bool pause)
{
	struct uds *u = of(h);
	struct end *e, *next;

	if (!pause) {
		(void)ev_io_start(u->ev, &u->listen_io, u->listen_io.fd,
				  EPOLLIN, on_listen);
		return;
	}
	ev_io_stop(&u->listen_io);
	for (e = LIST_FIRST(&u->ends); e; e = next) {
		next = LIST_NEXT(e, link);
		if (e->state == E_TALKING)
			end_finish(e);
		else if (e->state == E_OPENING)
			end_abort(e);
	}
}

static GUID u_vmid(struct host *h)
{
	(void)h;
	return guid_zero;
}

static struct host *u_free(struct host *h)
{
	struct uds *u = of(h);

	while (!LIST_EMPTY(&u->ends))
		end_finish(LIST_FIRST(&u->ends));
	ev_io_stop(&u->listen_io);
	close(u->listen_io.fd);
	free(u);
	return NULL;
}

static const struct host_ops uds_ops = {
	.dial = u_dial,
	.answered = u_answered,
	.pull = u_pull,
	.push = u_push,
	.shut = u_shut,
	.end = u_end,
	.running = u_running,
	.save = u_save,
	.restore = u_restore,
	.pause = u_pause,
	.vmid = u_vmid,
	.free = u_free,
};

int host_uds(struct ev *ev, const char *path, int listener,
	     const struct session_guest_ops *ops, void *ctx, struct host **ret)
{
	struct uds *u;
	int r;

	if (strlen(path) >= sizeof(u->base.sun_path))
		return -ENAMETOOLONG;
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->host.ops = &uds_ops;
	u->ev = ev;
	u->ops = ops;
	u->ctx = ctx;
	u->base.sun_family = AF_UNIX;
	memcpy(u->base.sun_path, path, strlen(path));
	LIST_INIT(&u->ends);
	r = ev_io_start(ev, &u->listen_io, listener, EPOLLIN, on_listen);
	if (r < 0) {
		free(u);
		return r;
	}
	*ret = &u->host;
	return 0;
}
