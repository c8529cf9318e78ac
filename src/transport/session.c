/* SPDX-License-Identifier: MIT */
/*
 * session.c - see session.h: lifetime, the socket, time limits, and what the
 * guest's device does
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fdmsg.h"
#include "base/log.h"
#include "transport/closer.h"
#include "transport/session-internal.h"

/* ---- lifetime */

static struct session_list *bucket(struct sessions *ss, uint64_t token)
{
	/* tokens are random */
	return &ss->buckets[token % BUCKETS];
}

struct session *session_find(struct sessions *ss, uint64_t token)
{
	struct session *s;

	LIST_FOREACH(s, bucket(ss, token), bucket)
	if (s->token == token)
		return s;
	return NULL;
}

struct session *session_new(struct sessions *ss, enum session_state state,
			    uint16_t type)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ss = ss;
	s->state = state;
	s->waiting = -1;
	s->uid = NAME_UID_NONE;
	s->type = type;
	relay_init(&s->relay);
	s->relay.messages = type == SOCK_SEQPACKET;
	if (type == SOCK_STREAM && ss->bursts < ss->ops->burst_max) {
		s->relay.burst = ss->ops->burst;
		ss->bursts++;
	}
	relay_stall(&s->relay, ss->stalled);
	LIST_INSERT_HEAD(&ss->all, s, all);
	return s;
}

void session_set_token(struct session *s, uint64_t token)
{
	s->token = token;
	s->has_token = true;
	LIST_INSERT_HEAD(bucket(s->ss, token), s, bucket);
}

static void free_later(void *p)
{
	free(p);
}

void session_finish(struct session *s)
{
	if (s->state == S_OVER)
		return;
	if (s->state == S_DIALLING && s->serial)
		s->ss->given_up++;
	s->state = S_OVER;
	s->conn = NULL;
	ev_io_stop(&s->io);
	ev_timer_stop(&s->timer);
	relay_fini(&s->relay);
	if (s->waiting >= 0)
		closer_close_socket(s->waiting);
	s->waiting = -1;
	if (s->has_token)
		LIST_REMOVE(s, bucket);
	LIST_REMOVE(s, all);
	s->ss->bursts -= s->relay.burst != 0;
	if (s->is_busy)
		LIST_REMOVE(s, busy);
	s->is_busy = false;
	/* the loop may still hold its ev_io */
	ev_later(s->ss->ev, free_later, s);
}

void session_abort_guest(struct session *s)
{
	void *conn = s->conn;

	s->conn = NULL;
	if (conn)
		s->ss->ops->abort(s->ss->ctx, conn);
}

/* The answer to OPEN. A later broker did not ask: it is told what lives. */
static void reply(struct session *s, uint32_t reason, const char *why)
{
	if (s->owes_reply)
		link_reply(s->ss->link, s->serial, reason, why);
	else if (reason == HVS_REASON_NONE)
		session_notice_live(s);
	s->owes_reply = false;
}

void session_refuse(struct session *s, uint32_t reason, const char *why)
{
	reply(s, reason, why);
	session_abort_guest(s);
	session_finish(s);
}

/* ---- a parked socket */

/* Exactly @n bytes out of the queue. */
static int discard(int fd, uint64_t n)
{
	static uint8_t scratch[65536];
	struct fdmsg m;
	int r;

	while (n) {
		r = fdmsg_recv(fd, scratch,
			       n < sizeof(scratch) ? (size_t)n
						   : sizeof(scratch),
			       MSG_DONTWAIT, &m);
		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		closer_close(m.fds, m.nfds);
		/* (filler brings no descriptors) */
		if (!m.len || m.nfds)
			return -ECONNRESET;
		n -= m.len;
	}
	return 0;
}

void session_unpark(struct session *s)
{
	int fd = s->waiting;

	if (s->state != S_ARRIVING || fd < 0 || !s->has_filler)
		return;
	if (discard(fd, s->filler) < 0) {
		session_refuse(s, HVS_REASON_BROKER_FAILED,
			       "the parked socket does not hold its filler");
		return;
	}
	s->waiting = -1;
	ev_io_stop(&s->io);
	reply(s, HVS_REASON_NONE, "");
	session_go_live(s, fd);
}

/* ---- time limits */

static void on_timer(struct ev_timer *t)
{
	struct session *s = container_of(t, struct session, timer);

	switch (s->state) {
	case S_DIALLING:
		session_abort_guest(s);
		session_finish(s);
		break;
	case S_OPENING:
		session_refuse(s, HVS_REASON_NO_ANSWER,
			       "the guest did not answer in time");
		break;
	case S_ARRIVING:
		if (s->parked) {
			session_refuse(s, HVS_REASON_BROKER_FAILED,
				       "the parked socket did not arrive");
			break;
		}
		session_abort_guest(s);
		session_notice_closed(s);
		session_finish(s);
		break;
	case S_LIVE: /* too much was to be closed: see session_pull() */
		if (s->conn)
			s->ss->ops->readable(s->ss->ctx, s->conn);
		break;
	case S_OVER:
		break;
	}
}

int session_limit(struct session *s, uint64_t ms)
{
	return ev_timer_start(s->ss->ev, &s->timer, ms, on_timer);
}

int session_limit_at(struct session *s, uint64_t at_ns)
{
	return ev_timer_start_at(s->ss->ev, &s->timer, at_ns, on_timer);
}

/* ---- the guest's side */

int session_dial(struct sessions *ss, void *conn, uint16_t type,
		 const GUID *service, const GUID *source, struct session **ret)
{
	return session_dial_sibling(ss, conn, type, 0, service, source, ret);
}

uint32_t session_cid(const struct session *s)
{
	return s->cid;
}

int session_dial_sibling(struct sessions *ss, void *conn, uint16_t type,
			 uint32_t cid, const GUID *service, const GUID *source,
			 struct session **ret)
{
	struct session *s;
	int r;

	/* A guest that dials and hangs up at once waits for itself. */
	if (ss->dials >= SESSION_DIALS_MAX || closer_busy() ||
	    (ss->ops->given_up_max && ss->given_up >= ss->ops->given_up_max))
		return -ENOBUFS;
	s = session_new(ss, S_DIALLING, type);
	if (!s)
		return -ENOMEM;
	if (session_limit(s, SESSION_DIAL_MS) < 0) {
		session_finish(s);
		return -ENOMEM;
	}
	s->dial_deadline_ns = s->timer.at_ns;
	s->conn = conn;
	s->cid = cid;
	s->service = *service;
	s->source = *source;
	r = ss->stalled ? 0 : session_send_dial(s);
	if (r < 0) {
		s->conn = NULL; /* the caller's */
		session_finish(s);
		return r;
	}
	*ret = s;
	return 0;
}

uint16_t session_type(const struct session *s)
{
	return s->type;
}

static const char *nobody(const struct session *s)
{
	if (!s->ss->running)
		return "the guest was reset";
	return s->type == SOCK_STREAM
		       ? "nothing listens on that port in the guest"
		       : "nothing listens on that port in the guest with "
			 "SOCK_SEQPACKET";
}

void session_answered(struct session *s, bool accepted)
{
	if (!accepted) {
		s->conn = NULL;
		session_refuse(
			s,
			s->ss->running ? HVS_REASON_NO_LISTENER
				       : HVS_REASON_PARTITION_OFF,
			nobody(s));
		return;
	}
	s->state = S_ARRIVING;
	if (session_limit(s, SESSION_ARRIVE_MS) < 0)
		return; /* it stays until the broker or the guest ends it */
	if (s->parked)
		session_unpark(s);
	else
		reply(s, HVS_REASON_NONE, "");
}

void session_declined(struct session *s, uint32_t reason, const char *why)
{
	s->conn = NULL;
	session_refuse(s, reason, why);
}

bool session_hand_over(struct session *s, int fd)
{
	if (!s->native || !s->owes_reply ||
	    link_reply_native(s->ss->link, s->serial, fd) < 0)
		return false;
	s->owes_reply = false;
	session_finish(s);
	return true;
}

void *session_ctx(const struct session *s)
{
	return s->ss->ctx;
}

void *session_conn(const struct session *s)
{
	return s->conn;
}

bool session_may_pull(struct session *s)
{
	if (!closer_busy())
		return true;
	/* no event tells when it is over */
	(void)session_limit(s, SESSION_BUSY_MS);
	return false;
}

ssize_t session_next(struct session *s)
{
	static struct log_limit limit;
	uint64_t empty = s->relay.empty;
	ssize_t n;

	if (!session_may_pull(s))
		return -EAGAIN;
	s->ss->calls.probes++;
	n = relay_next(&s->relay);
	if (!empty && s->relay.empty)
		log_limited(&limit, LOG_WARN_,
			    "a program sent a message without a byte, which a "
			    "guest would take for the end: dropped, as others "
			    "of this connection");
	if (n != -EBUSY)
		return n;
	/* no event tells that there are more */
	(void)session_limit(s, SESSION_BUSY_MS);
	return -EAGAIN;
}

ssize_t session_pull(struct session *s, const struct iovec *iov, unsigned int n)
{
	if (!session_may_pull(s))
		return -EAGAIN;
	s->ss->calls.reads += !s->relay.drained;
	return relay_pull(&s->relay, iov, n);
}

size_t session_waiting(const struct session *s)
{
	s->ss->calls.probes++;
	return relay_waiting(&s->relay);
}

ssize_t session_write(struct session *s, const struct iovec *iov,
		      unsigned int n)
{
	ssize_t done = relay_write(&s->relay, iov, n);

	if (s->ss->ops->unread_late)
		relay_watch(&s->relay, &s->io, 0);
	return done;
}

ssize_t session_flush(struct session *s)
{
	s->ss->calls.writes += relay_held(&s->relay) != 0;
	return relay_flush(&s->relay);
}

struct relay *session_relay(struct session *s)
{
	return &s->relay;
}

size_t session_held(const struct session *s)
{
	return relay_held(&s->relay);
}

void session_shut(struct session *s, bool no_more_data, bool no_more_reading)
{
	relay_shut(&s->relay, no_more_data, no_more_reading);
}

void session_end(struct session *s)
{
	s->conn = NULL;
	if (s->state == S_OPENING || (s->state == S_ARRIVING && s->parked)) {
		session_refuse(s, HVS_REASON_GUEST_RESET,
			       "the guest was reset");
		return;
	}
	if (s->state == S_ARRIVING || s->state == S_LIVE)
		session_notice_closed(s);
	session_finish(s);
}

/* ---- all of them */

int sessions_new(struct ev *ev, const struct session_guest_ops *ops, void *ctx,
		 struct sessions **ret)
{
	struct sessions *ss = calloc(1, sizeof(*ss));

	if (!ss)
		return -ENOMEM;
	ss->ev = ev;
	ss->ops = ops;
	ss->ctx = ctx;
	LIST_INIT(&ss->all);
	LIST_INIT(&ss->busy);
	for (unsigned int i = 0; i < BUCKETS; i++)
		LIST_INIT(&ss->buckets[i]);
	*ret = ss;
	return 0;
}

struct sessions *sessions_free(struct sessions *ss)
{
	if (ss) {
		while (!LIST_EMPTY(&ss->all))
			session_finish(LIST_FIRST(&ss->all));
		ev_timer_stop(&ss->busy_timer);
		free(ss->unpacked);
		free(ss);
	}
	return NULL;
}

const struct session_calls *sessions_calls(const struct sessions *ss)
{
	return &ss->calls;
}

void sessions_set_link(struct sessions *ss, struct link *l)
{
	ss->link = l;
}

void sessions_running(struct sessions *ss, bool running)
{
	if (ss->running == running)
		return;
	ss->running = running;
	link_notice_state(ss->link, running);
}
