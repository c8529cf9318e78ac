/* SPDX-License-Identifier: MIT */
/*
 * session-broker.c - what the broker's frames, its end, and its return mean for
 * the sessions
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/fdmsg.h"
#include "base/guid.h"
#include "transport/closer.h"
#include "transport/session-internal.h"

/* ---- to the broker */

void session_notice_live(struct session *s)
{
	const struct msg_live live = {
		.token = s->token,
		.type = s->type,
		.direction = s->from_host,
		.uid = s->uid,
		.service = s->service,
		.source = s->source,
		.partition = s->partition,
	};

	link_notice_live(s->ss->link, &live);
}

void session_notice_closed(struct session *s)
{
	link_notice_closed(s->ss->link, s->token, s->relay.to_guest,
			   s->relay.from_guest);
}

/* DIAL, with what is left of the guest's patience. */
int session_send_dial(struct session *s)
{
	uint64_t now = ev_now_ns(), left = 1;
	int r;

	if (s->dial_deadline_ns > now + 1000000)
		left = (s->dial_deadline_ns - now) / 1000000;
	r = link_dial(s->ss->link, s->type, (uint32_t)left, s->cid, &s->service,
		      &s->source, &s->serial);
	if (r == 0)
		s->ss->dials++;
	return r == -ENETDOWN ? 0 : r; /* that one waits for a broker */
}

/* One that has waited for a broker. */
static void dial_now(struct session *s)
{
	if (session_send_dial(s) < 0) {
		session_abort_guest(s);
		session_finish(s);
	}
}

/* ---- from the broker */

static const char not_running[] = "the guest has no vsock driver running";

/* That a program wants to connect. */
static void ask_guest(struct session *s)
{
	struct sessions *ss = s->ss;
	const char *why = "no memory";
	uint32_t reason;

	s->unasked = false;
	if (!ss->running) {
		session_refuse(s, HVS_REASON_PARTITION_OFF, not_running);
		return;
	}
	reason = ss->ops->open(ss->ctx, s, &s->service, &s->source, &s->conn,
			       &why);
	if (reason != HVS_REASON_NONE)
		session_refuse(s, reason, why);
}

static void on_open(void *ctx, uint32_t serial, const struct msg_open *m)
{
	struct sessions *ss = ctx;
	struct session *s;

	if (m->type != SOCK_STREAM &&
	    !(m->type == SOCK_SEQPACKET && ss->ops->raw)) {
		link_reply(ss->link, serial, HVS_REASON_TYPE,
			   "this transport carries streams only");
		return;
	}
	if (!ss->running) {
		link_reply(ss->link, serial, HVS_REASON_PARTITION_OFF,
			   not_running);
		return;
	}
	if (closer_busy()) {
		link_reply(ss->link, serial, HVS_REASON_QUOTA,
			   "too many descriptors that were sent to this guest "
			   "are still being closed");
		return;
	}
	s = session_find(ss, m->token)
		    ? NULL
		    : session_new(ss, S_OPENING, m->type);
	if (!s) {
		link_reply(ss->link, serial, HVS_REASON_BROKER_FAILED,
			   "no memory, or a token twice");
		return;
	}
	s->serial = serial;
	s->owes_reply = true;
	s->from_host = true;
	s->parked = m->flags & OPEN_PARKED;
	s->native = m->flags & OPEN_NATIVE && !s->parked;
	s->uid = m->uid;
	s->service = m->service;
	s->source = m->source;
	s->partition = m->partition;
	s->cid = m->cid;
	session_set_token(s, m->token);
	if (session_limit(s, m->timeout_ms) < 0)
		session_refuse(s, HVS_REASON_BROKER_FAILED, "no memory");
	else if (ss->stalled)
		s->unasked = true;
	else
		ask_guest(s);
}

static void on_arrived(void *ctx, int fd, const struct connector_name *n)
{
	struct sessions *ss = ctx;
	struct session *s = session_find(ss, n->token);

	if (s && s->parked && s->waiting < 0 &&
	    (s->state == S_OPENING || s->state == S_ARRIVING)) {
		s->waiting = fd;
		if (session_watch(s, fd) < 0)
			session_refuse(s, HVS_REASON_BROKER_FAILED,
				       "no memory");
		else
			session_unpark(s);
	} else if (s && !s->parked && s->state == S_ARRIVING) {
		session_go_live(s, fd);
	} else {
		closer_close_socket(fd); /* given up meanwhile, or a stranger */
	}
}

static void on_parked(void *ctx, uint64_t token, uint64_t filler)
{
	struct session *s = session_find(ctx, token);

	if (!s || !s->parked || s->has_filler || s->state == S_LIVE)
		return;
	s->filler = filler;
	s->has_filler = true;
	session_unpark(s);
}

static void on_close(void *ctx, uint64_t token, uint32_t reason)
{
	struct session *s = session_find(ctx, token);
	bool reset = reason == HVS_REASON_GUEST_RESET;

	if (!s)
		return;
	if (s->state == S_OPENING || (s->state == S_ARRIVING && s->parked)) {
		session_refuse(s, reset ? HVS_REASON_GUEST_RESET :
					  HVS_REASON_NO_LONGER_ALLOWED,
			       reset ? "the guest was reset" :
				       "the broker gave it up");
		return;
	}
	/* at once and in both directions; but closed with something unread, a
	 * reset is seen by the program as such, which shutdown would hide */
	if (s->relay.fd >= 0 && !(reset && relay_unread(s->relay.fd)))
		(void)shutdown(s->relay.fd, SHUT_RDWR);
	session_abort_guest(s);
	session_notice_closed(s);
	session_finish(s);
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

/*
 * The listener wants the guest's connection itself: all that goes over the
 * program's socket is that one, and both are the program's business.
 */
static void hand_over(struct session *s, int fd)
{
	struct sessions *ss = s->ss;
	int native = ss->ops->native ? ss->ops->native(ss->ctx, s->conn) : -1;

	if (native >= 0)
		(void)fdmsg_send(fd, "", 1, &native, 1, MSG_DONTWAIT);
	closer_close_socket(fd);
	session_abort_guest(s);
	session_finish(s);
}

static void on_dialled(void *ctx, uint32_t serial, uint32_t error,
		       uint32_t reason, const struct msg_dial_reply *m, int fd)
{
	struct sessions *ss = ctx;
	uint64_t token = m->token;
	struct session *s;

	(void)reason;
	if (ss->dials)
		ss->dials--;
	LIST_FOREACH(s, &ss->all, all)
	if (s->state == S_DIALLING && s->serial == serial)
		break;
	if (!s) {
		/* the guest gave up */
		if (ss->given_up)
			ss->given_up--;
		if (fd >= 0) {
			link_notice_closed(ss->link, token, 0, 0);
			closer_close_socket(fd);
		}
		return;
	}
	s->serial = 0; /* answered */
	if (error || session_find(ss, token)) {
		if (fd >= 0)
			closer_close_socket(fd);
		session_abort_guest(s);
		session_finish(s);
		return;
	}
	if (m->flags & DIAL_NATIVE) {
		hand_over(s, fd);
		return;
	}
	if (s->cid)
		s->partition = m->vmid;
	session_set_token(s, token);
	ss->ops->accept(ss->ctx, s->conn);
	if (s->state == S_OVER) { /* what the guest had sent ended it */
		link_notice_closed(ss->link, token, 0, 0);
		closer_close_socket(fd);
		return;
	}
	session_go_live(s, fd);
}

static void on_attached(void *ctx)
{
	struct sessions *ss = ctx;
	struct session *s, *next;

	link_notice_state(ss->link, ss->running);
	for (s = LIST_FIRST(&ss->all); s; s = next) {
		next = LIST_NEXT(s, all);
		if (s->state == S_LIVE)
			session_notice_live(s);
		else if (s->state == S_DIALLING && !s->serial)
			dial_now(s);
	}
}

static void on_lost(void *ctx)
{
	struct sessions *ss = ctx;
	struct session *s, *next;

	ss->dials = ss->given_up = 0;
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
			session_abort_guest(s);
			session_finish(s);
		} else if (!s->has_filler) {
			/* the broker filled with one call, and is gone */
			s->filler = relay_unread(s->waiting);
			s->has_filler = true;
			session_unpark(s);
		}
	}
	sessions_stall(ss, false);
	if (ss->ops->leave)
		ss->ops->leave(ss->ctx, 0);
}

/* What has been put off: asked, or looked at again. */
static void go_on(struct session *s)
{
	int fd = s->relay.fd;

	relay_stall(&s->relay, false);
	if (s->state == S_OPENING && s->unasked) {
		ask_guest(s);
	} else if (s->state == S_DIALLING && !s->serial) {
		dial_now(s);
	} else if (s->state == S_LIVE && fd >= 0) {
		/* what is the matter with it is told anew */
		ev_io_stop(&s->io);
		if (session_watch(s, fd) == 0)
			return;
		session_abort_guest(s);
		session_notice_closed(s);
		session_finish(s);
	}
}

void sessions_stall(struct sessions *ss, bool stalled)
{
	struct session *s, *next;

	if (ss->stalled == stalled)
		return;
	ss->stalled = stalled;
	for (s = LIST_FIRST(&ss->all); s; s = next) {
		next = LIST_NEXT(s, all);
		if (stalled)
			relay_stall(&s->relay, true);
		else
			go_on(s);
	}
}

static void on_stall(void *ctx, bool stalled)
{
	sessions_stall(ctx, stalled);
}

static void on_services(void *ctx, const struct msg_services *m)
{
	struct sessions *ss = ctx;

	ss->ops->services(ss->ctx, m);
}

static void on_control(void *ctx, uint32_t serial, const struct msg_control *m)
{
	struct sessions *ss = ctx;

	ss->ops->control(ss->ctx, serial, m);
}

static void on_leave(void *ctx, uint64_t session)
{
	struct sessions *ss = ctx;

	ss->ops->leave(ss->ctx, session);
}

static const struct link_ops link_ops = {
	.attached = on_attached,
	.lost = on_lost,
	.open = on_open,
	.parked = on_parked,
	.close = on_close,
	.counters = on_counters,
	.stall = on_stall,
	.services = on_services,
	.control = on_control,
	.leave = on_leave,
	.dialled = on_dialled,
	.arrived = on_arrived,
};

const struct link_ops *sessions_link_ops(void)
{
	return &link_ops;
}
