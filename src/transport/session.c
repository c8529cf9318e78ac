/* SPDX-License-Identifier: MIT */
/* session.c - see session.h */
#include "transport/session.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "base/guid.h"
#include "transport/closer.h"
#include "transport/relay.h"

#define BUCKETS 1024u

enum session_state {
	S_DIALLING, /* the broker is asked, or will be */
	S_OPENING,  /* the guest is asked */
	S_ARRIVING, /* it has said yes: the socket, or the filler, is missing */
	S_LIVE,
	S_OVER,
};

struct session {
	LIST_ENTRY(session) all;
	LIST_ENTRY(session) bucket; /* has_token */
	struct sessions *ss;
	enum session_state state;
	bool has_token, from_host;
	bool owes_reply; /* to OPEN, and to this broker */
	uint64_t token;
	uint32_t serial; /* of DIAL (0: not sent), or of OPEN */
	uint32_t uid;
	GUID service, source;
	uint64_t dial_deadline_ns;

	bool parked, has_filler;
	uint64_t filler;
	int waiting; /* the parked socket; -1 */

	struct relay relay;
	struct ev_io io;
	struct ev_timer timer;
	void *conn; /* NULL: gone */
};

LIST_HEAD(session_list, session);

struct sessions {
	struct ev *ev;
	struct link *link; /* NULL: none yet */
	const struct session_guest_ops *ops;
	void *ctx;
	bool running;
	struct session_list all;
	struct session_list buckets[BUCKETS];
};

/* ---- lifetime */

static struct session_list *bucket(struct sessions *ss, uint64_t token)
{
	/* tokens are random */
	return &ss->buckets[token % BUCKETS];
}

static struct session *find(struct sessions *ss, uint64_t token)
{
	struct session *s;

	LIST_FOREACH(s, bucket(ss, token), bucket)
	if (s->token == token)
		return s;
	return NULL;
}

static struct session *session_new(struct sessions *ss,
				   enum session_state state)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ss = ss;
	s->state = state;
	s->waiting = -1;
	s->uid = NAME_UID_NONE;
	relay_init(&s->relay);
	LIST_INSERT_HEAD(&ss->all, s, all);
	return s;
}

static void set_token(struct session *s, uint64_t token)
{
	s->token = token;
	s->has_token = true;
	LIST_INSERT_HEAD(bucket(s->ss, token), s, bucket);
}

static void free_later(void *p)
{
	free(p);
}

/* The socket is closed (a parked one with its filler unread) and the session
 * gone. The guest's end has been told, or told us. */
static void finish(struct session *s)
{
	if (s->state == S_OVER)
		return;
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
	/* the loop may still hold its ev_io */
	ev_later(s->ss->ev, free_later, s);
}

static void abort_guest(struct session *s)
{
	void *conn = s->conn;

	s->conn = NULL;
	if (conn)
		s->ss->ops->abort(s->ss->ctx, conn);
}

static void notice_live(struct session *s)
{
	const struct msg_live live = {
		.token = s->token,
		.type = SOCK_STREAM,
		.direction = s->from_host,
		.uid = s->uid,
		.service = s->service,
		.source = s->source,
	};

	link_notice_live(s->ss->link, &live);
}

static void closed(struct session *s)
{
	link_notice_closed(s->ss->link, s->token, s->relay.to_guest,
			   s->relay.from_guest);
}

/* The answer to OPEN. A later broker did not ask: it is told what lives. */
static void reply(struct session *s, uint32_t reason, const char *why)
{
	if (s->owes_reply)
		link_reply(s->ss->link, s->serial, reason, why);
	else if (reason == HVS_REASON_NONE)
		notice_live(s);
	s->owes_reply = false;
}

/* OPEN fails: the broker is told why, the guest reset if it has an end. */
static void refuse(struct session *s, uint32_t reason, const char *why)
{
	reply(s, reason, why);
	abort_guest(s);
	finish(s);
}

/* ---- the socket */

static bool nobody_reads(struct relay *r, uint32_t events)
{
	return r->shut ? events & EPOLLHUP : !relay_probe(r);
}

static void on_socket(struct ev_io *io, uint32_t events)
{
	struct session *s = container_of(io, struct session, io);
	const struct session_guest_ops *ops = s->ss->ops;

	if (s->state != S_LIVE) {
		/* a parked one: has the program given up? */
		if (events & (EPOLLHUP | EPOLLERR) && s->waiting >= 0)
			refuse(s, HVS_REASON_NO_ANSWER,
			       "the program gave up before the guest answered");
		return;
	}
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		/* a program that stopped reading makes no event but this one */
		if (!s->relay.broken && nobody_reads(&s->relay, events) &&
		    s->conn)
			ops->unread(s->ss->ctx, s->conn);
		if (s->conn && s->relay.held_len)
			ops->writable(s->ss->ctx, s->conn);
	}
	if (s->conn && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		ops->readable(s->ss->ctx, s->conn);
}

#define SOCKET_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static int watch(struct session *s, int fd)
{
	return ev_io_start(s->ss->ev, &s->io, fd, SOCKET_EVENTS, on_socket);
}

/* The socket is there, and the guest has said yes: bytes may go. */
static void go_live(struct session *s, int fd)
{
	ev_timer_stop(&s->timer);
	relay_attach(&s->relay, fd);
	s->state = S_LIVE;
	if (watch(s, fd) < 0) {
		abort_guest(s);
		closed(s);
		finish(s);
		return;
	}
	if (s->conn && s->relay.held_len)
		s->ss->ops->writable(s->ss->ctx, s->conn);
	if (s->conn)
		s->ss->ops->readable(s->ss->ctx, s->conn);
}

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
		if (!m.len)
			return -ECONNRESET;
		n -= m.len;
	}
	return 0;
}

/* A parked session whose guest has said yes, if all the rest is there. */
static void unpark(struct session *s)
{
	int fd = s->waiting;

	if (s->state != S_ARRIVING || fd < 0 || !s->has_filler)
		return;
	if (discard(fd, s->filler) < 0) {
		refuse(s, HVS_REASON_BROKER_FAILED,
		       "the parked socket does not hold its filler");
		return;
	}
	s->waiting = -1;
	ev_io_stop(&s->io);
	reply(s, HVS_REASON_NONE, "");
	go_live(s, fd);
}

/* ---- time limits */

static void on_timer(struct ev_timer *t)
{
	struct session *s = container_of(t, struct session, timer);

	switch (s->state) {
	case S_DIALLING:
		abort_guest(s);
		finish(s);
		break;
	case S_OPENING:
		refuse(s, HVS_REASON_NO_ANSWER,
		       "the guest did not answer in time");
		break;
	case S_ARRIVING:
		if (s->parked) {
			refuse(s, HVS_REASON_BROKER_FAILED,
			       "the parked socket did not arrive");
			break;
		}
		abort_guest(s);
		closed(s);
		finish(s);
		break;
	case S_LIVE:
	case S_OVER:
		break;
	}
}

/* ---- the broker's side */

static void on_open(void *ctx, uint32_t serial, const struct msg_open *m)
{
	struct sessions *ss = ctx;
	const char *why = "no memory";
	uint32_t reason;
	struct session *s;

	if (m->type != SOCK_STREAM) {
		link_reply(ss->link, serial, HVS_REASON_TYPE,
			   "this transport carries streams only");
		return;
	}
	if (!ss->running) {
		link_reply(ss->link, serial, HVS_REASON_PARTITION_OFF,
			   "the guest has no vsock driver running");
		return;
	}
	s = find(ss, m->token) ? NULL : session_new(ss, S_OPENING);
	if (!s) {
		link_reply(ss->link, serial, HVS_REASON_BROKER_FAILED,
			   "no memory, or a token twice");
		return;
	}
	s->serial = serial;
	s->owes_reply = true;
	s->from_host = true;
	s->parked = m->flags & OPEN_PARKED;
	s->uid = m->uid;
	s->service = m->service;
	s->source = m->source;
	set_token(s, m->token);
	reason = ss->ops->open(ss->ctx, s, &m->service, &m->source, &s->conn,
			       &why);
	if (reason == HVS_REASON_NONE &&
	    ev_timer_start(ss->ev, &s->timer, m->timeout_ms, on_timer) < 0)
		reason = HVS_REASON_BROKER_FAILED;
	if (reason != HVS_REASON_NONE)
		refuse(s, reason, why);
}

static void on_arrived(void *ctx, int fd, const struct connector_name *n)
{
	struct sessions *ss = ctx;
	struct session *s = find(ss, n->token);

	if (s && s->parked && s->waiting < 0 &&
	    (s->state == S_OPENING || s->state == S_ARRIVING)) {
		s->waiting = fd;
		if (watch(s, fd) < 0)
			refuse(s, HVS_REASON_BROKER_FAILED, "no memory");
		else
			unpark(s);
	} else if (s && !s->parked && s->state == S_ARRIVING) {
		go_live(s, fd);
	} else {
		closer_close_socket(fd); /* given up meanwhile, or a stranger */
	}
}

static void on_parked(void *ctx, uint64_t token, uint64_t filler)
{
	struct session *s = find(ctx, token);

	if (!s || !s->parked || s->has_filler || s->state == S_LIVE)
		return;
	s->filler = filler;
	s->has_filler = true;
	unpark(s);
}

static void on_close(void *ctx, uint64_t token, uint32_t reason)
{
	struct session *s = find(ctx, token);

	(void)reason;
	if (!s)
		return;
	if (s->state == S_OPENING) {
		refuse(s, HVS_REASON_NO_LONGER_ALLOWED,
		       "the broker gave it up");
		return;
	}
	/* at once and in both directions */
	if (s->relay.fd >= 0)
		(void)shutdown(s->relay.fd, SHUT_RDWR);
	abort_guest(s);
	closed(s);
	finish(s);
}

static void on_counters(void *ctx, uint32_t serial)
{
	struct sessions *ss = ctx;
	struct msg_buf *b = link_counters_begin(ss->link, serial);
	struct session *s;

	LIST_FOREACH(s, &ss->all, all)
	{
		if (s->state != S_LIVE || b->len + 24 > b->size)
			continue;
		msg_put_u64(b, s->token);
		msg_put_u64(b, s->relay.to_guest);
		msg_put_u64(b, s->relay.from_guest);
	}
	link_send(ss->link);
}

/* DIAL, with what is left of the guest's patience. */
static void send_dial(struct session *s)
{
	uint64_t now = ev_now_ns(), left = 1;

	if (s->dial_deadline_ns > now + 1000000)
		left = (s->dial_deadline_ns - now) / 1000000;
	(void)link_dial(s->ss->link, SOCK_STREAM, (uint32_t)left, &guid_parent,
			&s->service, &s->source, &s->serial);
}

static void on_dialled(void *ctx, uint32_t serial, uint32_t error,
		       uint32_t reason, uint64_t token, int fd)
{
	struct sessions *ss = ctx;
	struct session *s;

	(void)reason;
	LIST_FOREACH(s, &ss->all, all)
	if (s->state == S_DIALLING && s->serial == serial)
		break;
	if (!s) {
		/* the guest gave up */
		if (fd >= 0) {
			link_notice_closed(ss->link, token, 0, 0);
			closer_close_socket(fd);
		}
		return;
	}
	if (error || find(ss, token)) {
		if (fd >= 0)
			closer_close_socket(fd);
		abort_guest(s);
		finish(s);
		return;
	}
	set_token(s, token);
	ss->ops->accept(ss->ctx, s->conn);
	go_live(s, fd);
}

static void on_attached(void *ctx)
{
	struct sessions *ss = ctx;
	struct session *s, *next;

	link_notice_state(ss->link, ss->running);
	for (s = LIST_FIRST(&ss->all); s; s = next) {
		next = LIST_NEXT(s, all);
		if (s->state == S_LIVE)
			notice_live(s);
		else if (s->state == S_DIALLING && !s->serial)
			send_dial(s);
	}
}

static void on_lost(void *ctx)
{
	struct sessions *ss = ctx;
	struct session *s, *next;
	int n;

	for (s = LIST_FIRST(&ss->all); s; s = next) {
		next = LIST_NEXT(s, all);
		s->owes_reply = false;
		if (s->state == S_DIALLING) {
			s->serial = 0; /* again, when there is a broker */
			continue;
		}
		if (s->state != S_OPENING && s->state != S_ARRIVING)
			continue;
		if (!s->parked || s->waiting < 0) {
			/* nobody is left to connect the program's socket */
			abort_guest(s);
			finish(s);
		} else if (!s->has_filler) {
			/* the broker filled with one call, and is gone */
			n = 0;
			(void)ioctl(s->waiting, SIOCINQ, &n);
			s->filler = n > 0 ? (uint64_t)n : 0;
			s->has_filler = true;
			unpark(s);
		}
	}
}

static const struct link_ops link_ops = {
	.attached = on_attached,
	.lost = on_lost,
	.open = on_open,
	.parked = on_parked,
	.close = on_close,
	.counters = on_counters,
	.dialled = on_dialled,
	.arrived = on_arrived,
};

/* ---- the guest's side */

int session_dial(struct sessions *ss, void *conn, const GUID *service,
		 const GUID *source, struct session **ret)
{
	struct session *s = session_new(ss, S_DIALLING);

	if (!s)
		return -ENOMEM;
	if (ev_timer_start(ss->ev, &s->timer, SESSION_DIAL_MS, on_timer) < 0) {
		finish(s);
		return -ENOMEM;
	}
	s->dial_deadline_ns = s->timer.at_ns;
	s->conn = conn;
	s->service = *service;
	s->source = *source;
	send_dial(s);
	*ret = s;
	return 0;
}

void session_answered(struct session *s, bool accepted)
{
	if (!accepted) {
		s->conn = NULL;
		refuse(s,
		       s->ss->running ? HVS_REASON_NO_LISTENER
				      : HVS_REASON_PARTITION_OFF,
		       s->ss->running
			       ? "nothing listens on that port in the guest"
			       : "the guest was reset");
		return;
	}
	s->state = S_ARRIVING;
	if (ev_timer_start(s->ss->ev, &s->timer, SESSION_ARRIVE_MS, on_timer) <
	    0)
		return; /* it stays until the broker or the guest ends it */
	if (s->parked)
		unpark(s);
	else
		reply(s, HVS_REASON_NONE, "");
}

ssize_t session_pull(struct session *s, const struct iovec *iov, unsigned int n)
{
	return relay_pull(&s->relay, iov, n);
}

ssize_t session_push(struct session *s, const struct iovec *iov, unsigned int n)
{
	return relay_push(&s->relay, iov, n);
}

ssize_t session_flush(struct session *s)
{
	return relay_flush(&s->relay);
}

size_t session_held(const struct session *s)
{
	return s->relay.held_len;
}

void session_shut(struct session *s, bool no_more_data, bool no_more_reading)
{
	relay_shut(&s->relay, no_more_data, no_more_reading);
}

void session_end(struct session *s)
{
	s->conn = NULL;
	if (s->state == S_OPENING || (s->state == S_ARRIVING && s->parked)) {
		refuse(s, HVS_REASON_GUEST_RESET, "the guest was reset");
		return;
	}
	if (s->state == S_ARRIVING || s->state == S_LIVE)
		closed(s);
	finish(s);
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
	for (unsigned int i = 0; i < BUCKETS; i++)
		LIST_INIT(&ss->buckets[i]);
	*ret = ss;
	return 0;
}

struct sessions *sessions_free(struct sessions *ss)
{
	if (ss) {
		while (!LIST_EMPTY(&ss->all))
			finish(LIST_FIRST(&ss->all));
		free(ss);
	}
	return NULL;
}

const struct link_ops *sessions_link_ops(void)
{
	return &link_ops;
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
