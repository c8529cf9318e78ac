/* SPDX-License-Identifier: MIT */
/*
 * guest.c - connects to guests, through their transports
 *
 * Blocking: the guest is asked first, and the socket is connected to the
 * transport's rendezvous when it has said yes. Parked: the socket is connected
 * at once and its send buffer filled, so that the program sees POLLOUT only
 * when the transport has taken the filler out again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/guid.h"
#include "broker/attempt.h"
#include "broker/broker.h"
#include "broker/rules.h"
#include "broker/transport.h"
#include "broker/uplink.h"

void attempt_outcome(struct attempt *a, uint32_t state, uint32_t error,
			uint32_t reason, const char *text)
{
	struct broker *b = a->b;
	struct outcome *o;

	HASH_FIND(hh, b->outcomes, &a->token, sizeof(a->token), o);
	if (!o) {
		if (HASH_COUNT(b->outcomes) >= OUTCOMES_MAX) {
			struct outcome *oldest = b->outcomes;

			HASH_DEL(b->outcomes, oldest);
			free(oldest);
		}
		o = calloc(1, sizeof(*o));
		if (!o)
			return;
		o->token = a->token;
		o->partition = a->partition;
		o->uid = a->uid;
		HASH_ADD(hh, b->outcomes, token, sizeof(o->token), o);
	}
	o->state = state;
	o->error = attempt_error(a, error, reason);
	o->reason = reason;
	strncpy(o->text, text, sizeof(o->text) - 1);
}

static struct relayed relayed_of(const struct attempt *a, bool opening)
{
	return (struct relayed){
		.token = a->token,
		.type = a->type,
		.direction = 1,
		.opening = opening,
		.from = a->partition,
		.dest = a->dest.VmId,
		.passthru = a->flags & CONNECT_PASSTHRU,
		.suspend = a->flags & CONNECT_SUSPEND,
		.uid = a->uid,
		.service = a->dest.ServiceId,
		.source = a->source,
	};
}

/* The connection is noted, and the socket named and connected to the guest's
 * rendezvous. Return: 0, or an errno with a reason and a sentence */
static int meet(struct attempt *a, bool opening, const struct verdict *v,
		uint32_t *ret_reason, const char **ret_why)
{
	struct relayed r = relayed_of(a, opening);
	struct rendezvous_name n = { .type = a->type,
				     .partition = v->target->vmid };
	struct sockaddr_un sa;
	socklen_t len = rendezvous_name_encode(&n, &sa);
	int err;

	if (transport_relays(a->via, &r) < 0) {
		*ret_reason = HVS_REASON_QUOTA;
		*ret_why = "the guest has too many connections";
		return ENOBUFS;
	}
	guard_arm(&a->b->guard);
	*ret_reason = HVS_REASON_BAD_REQUEST;
	err = attempt_name(a, v, ret_why);
	if (err)
		return err;
	if (connect(a->fd, (struct sockaddr *)&sa, len) == 0)
		return 0;
	if (errno == EINTR)
		slow_mark(a);
	if (errno == EISCONN) {
		*ret_why = "the socket is already connected";
		return EISCONN;
	}
	*ret_reason = HVS_REASON_BACKLOG;
	*ret_why = "the guest's transport does not take connections";
	return ECONNREFUSED;
}

/* It does not come to be, whatever the transport has done for it. */
static void not_met(struct attempt *a, int err, uint32_t reason,
		    const char *why)
{
	transport_forget(a->via, a->token);
	transport_close(a->via, a->token, 0);
	attempt_refuse(a, true, (uint32_t)err, reason, why);
}

static const uint8_t zeros[65536];

/*
 * No send buffer holds more. Whoever reads while we write would keep us here
 * for ever otherwise.
 */
static uint64_t fill_limit(int fd)
{
	socklen_t len = sizeof(int);
	int size = 0;

	(void)getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len);
	return 2 * (uint64_t)size;
}

/* Messages: one system call each, and none larger than the buffer. */
static uint64_t fill_messages(int fd)
{
	uint64_t sum = 0, limit = fill_limit(fd);
	size_t size = sizeof(zeros);
	ssize_t n;

	while (sum < limit) {
		n = send(fd, zeros, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			sum += (uint64_t)n;
		else if (errno == EMSGSIZE && size > 1)
			size /= 2;
		else
			break;
	}
	return sum;
}

/* Fills the send buffer; a stream's with one system call. Return: bytes */
uint64_t attempt_fill(int fd, int type)
{
	struct iovec iov[256];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 256 };
	uint64_t sum = 0, limit;
	ssize_t n;

	if (type == SOCK_SEQPACKET)
		return fill_messages(fd);
	limit = fill_limit(fd);
	for (int i = 0; i < 256; i++) {
		iov[i].iov_base = (void *)(uintptr_t)zeros;
		iov[i].iov_len = sizeof(zeros);
	}
	/* again only for send buffers of more than 16 MiB */
	while (sum < limit &&
	       (n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		sum += (uint64_t)n;
	return sum;
}

static void park(struct attempt *a, const struct verdict *v)
{
	MSG_BUF(m, 64);
	uint32_t reason;
	const char *why;
	int err = meet(a, true, v, &reason, &why);

	if (err) {
		not_met(a, err, reason, why);
		return;
	}
	transport_parked(a->via, a->token, attempt_fill(a->fd, a->type));
	sock_close(a->b, a->fd);
	a->fd = -1;
	a->parked = true;
	attempt_outcome(a, RESULT_PENDING, 0, 0, "");
	msg_begin_reply(&m, MSG_CONNECT, a->serial, 0, 0, 0);
	msg_put_u32(&m, CONNECT_STATE_PARKED);
	msg_put_u64(&m, a->token);
	client_send(a->client, &m, NULL, 0);
}

static bool below(const struct broker *b, const GUID *vmid,
		  const struct partition *up)
{
	const struct partition *p = registry_partition(b->registry, vmid);

	return p && is_below(&b->world, p, up);
}

void attempt_ask_guest(struct attempt *a, bool heap, const struct verdict *v)
{
	struct transport *t = transport_find(a->b, &v->target->vmid);
	uint16_t bit = a->type == SOCK_STREAM ? ATTACH_STREAM : ATTACH_RAW;
	struct attempt *w;
	uint64_t now = ev_now_ns(), left;

	if (!(t->types & bit)) {
		struct verdict no;

		refuse(&no, HVS_REASON_TYPE,
		       "the %s transport of \"%s\" does not carry type %s",
		       transport_kind_name(t->kind), v->target->name,
		       a->type == SOCK_STREAM ? "STREAM" : "RAW");
		attempt_refuse(a, heap, (uint32_t)no.error, no.reason, no.text);
		return;
	}
	if (slow_marked(a->client->pair) && a->fd >= 0) {
		/* The guest's answer is not to be followed by a connect that
		 * holds everybody up. */
		attempt_refuse(a, heap, ENOBUFS, HVS_REASON_QUOTA,
			       "O_NONBLOCK was cleared during a connect: no connects to guests for a minute");
		return;
	}
	w = attempt_wait(a, heap, ATTEMPT_OPEN);
	if (!w)
		return;
	w->via = t;
	if (w->opens_for)
		way_opening(w->opens_for, w);
	w->up = below(w->b, &w->partition, v->target);
	DL_APPEND2(t->opens, w, open_prev, open_next);
	left = w->deadline_ns > now ? w->deadline_ns - now : 0;
	w->parked = w->flags & CONNECT_NONBLOCK;
	if (transport_open(t, w) < 0) {
		attempt_refuse(w, true, EHOSTDOWN, HVS_REASON_PARTITION_OFF,
			       "the guest's transport does not answer");
		return;
	}
	/* The transport keeps the time; this is for one that does not. */
	(void)ev_timer_start(a->b->ev, &w->timer, left / 1000000 + 1000,
			     attempt_on_timer);
	if (w->parked)
		park(w, v);
}

void attempt_opened(struct attempt *a, uint32_t error, uint32_t reason,
		    const char *text)
{
	struct broker *b = a->b;
	struct verdict v;
	uint32_t why_reason;
	const char *why;
	int err;

	if (a->parked) {
		/* The client may be gone; the socket is the transport's. */
		attempt_outcome(a, error ? RESULT_FAILED : RESULT_CONNECTED,
				error, reason, text);
		broker_count(b, &a->dest.ServiceId, &a->partition,
			     &a->via->partition, reason);
		if (error)
			transport_forget(a->via, a->token);
		else
			transport_opened(a->via, a->token);
		attempt_end(a, true);
		return;
	}
	if (error) {
		DL_DELETE2(a->via->opens, a, open_prev, open_next);
		a->state = ATTEMPT_NEW;
		attempt_refused(a, true, error, reason, text);
		return;
	}
	/* Rules may have changed while the guest thought. */
	verdict_init(&v);
	if (a->opens_for) {
		v.target = registry_partition(b->registry, &a->via->partition);
		v.peer = guid_parent;
		v.relayed = v.target;
	} else {
		attempt_decide(a, &v);
	}
	if (!v.reason && !v.relayed)
		refuse(&v, HVS_REASON_PARTITION_OFF, "the guest has gone");
	if (v.reason) {
		/* its transport waits for the socket */
		transport_close(a->via, a->token, HVS_REASON_NO_LONGER_ALLOWED);
		attempt_refuse(a, true, (uint32_t)v.error, v.reason, v.text);
		return;
	}
	if (a->handed_over) {
		; /* the program gets it with its reply */
	} else if (a->fd >= 0) {
		err = meet(a, false, &v, &why_reason, &why);
		if (err) {
			not_met(a, err, why_reason, why);
			return;
		}
	} else {
		transport_close(a->via, a->token, 0); /* wait: it would */
	}
	attempt_succeed(a, true, &v);
}
