/* SPDX-License-Identifier: MIT */
/*
 * session-socket.c - see session.h: the program's socket, what it has to tell,
 * and what goes into it
 */
#include <sys/socket.h>

#include "transport/session-internal.h"

/*
 * A program that stops reading makes an EPOLLOUT event and no other; so does
 * each of its reads. Finding out which of them it was takes a system call, and
 * there may have been a wake-up for it. So while a connection is busy EPOLLOUT
 * is not asked for, and whether somebody still reads is looked at now and then.
 */
#define FITS_MIN 8u /* writes in sequence for which there was room */
#define SOCKET_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)

static void idle(struct session *s)
{
	if (!s->is_busy)
		return;
	s->is_busy = false;
	LIST_REMOVE(s, busy);
	/* if there is room, that is an event now; nothing has moved for it */
	s->rearmed = true;
	if (s->io.ev)
		(void)session_watch(s, s->io.fd);
}

static void on_busy(struct ev_timer *t);

/* Something moves. Return: will probe() be called, or need it not be? */
static bool busy(struct session *s)
{
	struct sessions *ss = s->ss;

	s->moved = true;
	if (s->is_busy || ss->ops->unread_late)
		return true;
	if (!s->io.ev || relay_wanted(&s->relay))
		return false;
	if (!ss->busy_timer.ev &&
	    ev_timer_start(ss->ev, &ss->busy_timer, SESSION_PROBE_MS, on_busy) <
		    0)
		return false;
	s->is_busy = true;
	LIST_INSERT_HEAD(&ss->busy, s, busy);
	(void)ev_io_start(ss->ev, &s->io, s->io.fd, SOCKET_EVENTS, s->io.fn);
	return true;
}

/* Does somebody read what the guest sends? If not it is told. */
static void probe(struct session *s, uint32_t events)
{
	if (s->relay.broken)
		return;
	s->ss->calls.probes++;
	if (!relay_probe(&s->relay, events) && s->conn)
		s->ss->ops->unread(s->ss->ctx, s->conn);
}

static void on_busy(struct ev_timer *t)
{
	struct sessions *ss = container_of(t, struct sessions, busy_timer);
	struct session *s, *next;

	for (s = LIST_FIRST(&ss->busy); s; s = next) {
		next = LIST_NEXT(s, busy);
		if (s->moved && !ss->stalled)
			probe(s, 0);
		else
			idle(s);
		s->moved = false;
	}
	if (!LIST_EMPTY(&ss->busy) &&
	    ev_timer_start(ss->ev, &ss->busy_timer, SESSION_PROBE_MS, on_busy) <
		    0)
		while (!LIST_EMPTY(&ss->busy))
			idle(LIST_FIRST(&ss->busy));
}

static void on_socket(struct ev_io *io, uint32_t events)
{
	struct session *s = container_of(io, struct session, io);
	const struct session_guest_ops *ops = s->ss->ops;
	bool later;

	if (s->state != S_LIVE) {
		/* a parked one: has the program given up? */
		if (events & (EPOLLHUP | EPOLLERR) && s->waiting >= 0)
			session_refuse(s, HVS_REASON_NO_ANSWER,
				       "the program gave up before the guest "
				       "answered");
		return;
	}
	relay_event(&s->relay, events);
	if (s->ss->stalled)
		return; /* seen again when all goes on */
	if (ops->unread_late)
		relay_watch(&s->relay, io, events);
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		later = relay_quiet(events) && !s->rearmed && busy(s);
		s->rearmed = false;
		if (!later && !relay_held(&s->relay))
			probe(s, events); /* (else writing tells) */
		if (s->conn && relay_wanted(&s->relay))
			ops->writable(s->ss->ctx, s->conn);
	}
	if (s->conn && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		ops->readable(s->ss->ctx, s->conn);
}

int session_watch(struct session *s, int fd)
{
	uint32_t events = SOCKET_EVENTS;

	/* see relay_watch() */
	if (!s->ss->ops->unread_late || relay_wanted(&s->relay))
		events |= EPOLLOUT;
	return ev_io_start(s->ss->ev, &s->io, fd, events, on_socket);
}

void session_go_live(struct session *s, int fd)
{
	ev_timer_stop(&s->timer);
	relay_attach(&s->relay, fd);
	s->state = S_LIVE;
	if (session_watch(s, fd) < 0) {
		session_abort_guest(s);
		session_notice_closed(s);
		session_finish(s);
		return;
	}
	if (s->conn && relay_wanted(&s->relay))
		s->ss->ops->writable(s->ss->ctx, s->conn);
	if (s->conn)
		s->ss->ops->readable(s->ss->ctx, s->conn);
}

ssize_t session_push(struct session *s, const struct iovec *iov, unsigned int n)
{
	ssize_t done;

	s->ss->calls.writes += !relay_held(&s->relay);
	done = relay_push(&s->relay, iov, n);
	if (relay_wanted(&s->relay)) {
		idle(s); /* room for more has to be an event */
		s->fits = 0;
	} else if (done > 0 && s->fits < FITS_MIN) {
		s->fits++;
	} else if (done > 0) {
		(void)busy(s);
	}
	return done;
}
