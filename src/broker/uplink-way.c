/* SPDX-License-Identifier: MIT */
/*
 * uplink-way.c - a connect that goes through another broker
 *
 * In a guest that is its host's, and the connection to it is made here. On a
 * host it is a guest's; its transport is asked to open the port (a connect of
 * the broker's own), and the line goes over that. When the answer is yes the
 * program's socket is connected to a meeting, and hvsocket-uplink joins the
 * other end of it to the connection.
 *
 * Without blocking the program's socket meets at once, and its send buffer is
 * filled; the filler is taken out when the answer is there (guest.c has the
 * same for guests).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/fdmsg.h"
#include "base/guid.h"
#include "broker/offload.h"
#include "broker/rules.h"
#include "broker/uplink.h"

struct way {
	struct broker *b;
	struct attempt *a;
	struct ask ask;
	GUID guest; /* through whose transport; zero: the host is asked */
	struct attempt *opening; /* that transport has yet to answer */
	bool direct; /* the port itself is being opened: no line */
	int end; /* parked: the other end of the program's socket */
	uint64_t filler; /* bytes in there */
};

bool uplink_wanted(const struct attempt *a, const struct verdict *v)
{
	const struct transport *t;

	if (v->target == a->b->world.parent)
		return true;
	t = transport_find(a->b, &v->target->vmid);
	return !t || (t->uplink && !a->direct);
}

static void way_end(struct way *w)
{
	struct attempt *o = w->opening;

	w->a->way = NULL;
	w->opening = NULL;
	if (o) {
		o->opens_for = NULL;
		if (o->via)
			transport_close(o->via, o->token, 0);
		attempt_end(o, true);
	}
	ask_end(&w->ask);
	/* with the filler unread, if it is there: the program sees a reset */
	if (w->end >= 0)
		sock_close(w->b, w->end);
	w->end = -1;
	ev_later(w->b->ev, free, w);
}

void way_free(struct way *w)
{
	way_end(w);
}

/* ---- No ------------------------------------------------------------------*/

static void refused(struct way *w, uint32_t reason, const char *text)
{
	struct attempt *a = w->a;
	uint32_t error = (uint32_t)reason_errno(reason);

	way_end(w);
	if (a->parked) {
		attempt_outcome(a, RESULT_FAILED, error, reason, text);
		broker_count(a->b, &a->dest.ServiceId, &a->partition, NULL,
			     reason);
		attempt_end(a, true);
		return;
	}
	a->state = ATTEMPT_NEW;
	attempt_refused(a, true, error, reason, text);
}

/* ---- Yes -----------------------------------------------------------------*/

/* What was put in front of whatever the program writes, and not a byte more. */
static bool take_filler(struct way *w)
{
	static uint8_t sink[65536];
	struct fdmsg m;

	guard_arm(&w->b->guard);
	while (w->filler) {
		size_t n = w->filler < sizeof(sink) ? w->filler : sizeof(sink);

		if (fdmsg_recv(w->end, sink, n, MSG_DONTWAIT, &m) < 0)
			return false;
		for (int i = 0; i < m.nfds; i++)
			offload_close(w->b->offload, m.fds[i]);
		if (!m.len || m.nfds || m.truncated)
			return false;
		w->filler -= m.len;
	}
	return true;
}

static int join(struct way *w, int program, int stream)
{
	struct attempt *a = w->a;
	int r;
	const struct msg_join m = {
		/* from one uplink to another there are two */
		.token = a->asked ? broker_token(w->b) : a->token,
		.type = a->type,
		.flags = a->flags & CONNECT_PASSTHRU ? JOIN_PASSTHRU : 0,
		.uid = a->uid,
		.from = a->partition,
		.dest = a->dest.VmId,
		.service = a->dest.ServiceId,
		.source = a->source,
	};

	r = uplink_join(w->b->uplinks, &m, program, stream);
	a->joined = a->asked && r == 0;
	return r;
}

static void yes_parked(struct way *w, int stream)
{
	struct attempt *a = w->a;
	int end = w->end;

	if (!take_filler(w)) {
		sock_close(w->b, stream);
		refused(w, HVS_REASON_BROKER_FAILED,
			"the program's socket is not as it was");
		return;
	}
	w->end = -1;
	if (join(w, end, stream) < 0) {
		refused(w, HVS_REASON_BROKER_FAILED,
			"hvsocket-uplink, which carries the connection, is not there");
		return;
	}
	way_end(w);
	attempt_outcome(a, RESULT_CONNECTED, 0, 0, "");
	broker_count(a->b, &a->dest.ServiceId, &a->partition, NULL, 0);
	attempt_end(a, true);
}

/* Return: the other end of the program's socket, or -1 and a sentence */
static int meet(struct attempt *a, const struct verdict *v,
		const char **ret_why)
{
	struct uplinks *u = a->b->uplinks;
	struct sockaddr_un name;
	socklen_t len = sizeof(name);
	int end;

	*ret_why = "the socket cannot be connected to hvsocket-uplink";
	guard_arm(&a->b->guard);
	if (attempt_name(a, v, ret_why) ||
	    getsockname(a->fd, (struct sockaddr *)&name, &len) < 0)
		return -1;
	end = meeting_connect(a->type == SOCK_STREAM ? &u->streams : &u->raws,
			      a->fd, a->type, &name, len);
	if (end == -EINTR)
		slow_mark(a);
	return end < 0 ? -1 : end;
}

static void yes(struct way *w, int stream)
{
	struct attempt *a = w->a;
	struct broker *b = w->b;
	struct verdict v;
	const char *why;
	int end;

	if (a->parked) {
		yes_parked(w, stream);
		return;
	}
	/* Rules may have changed while the other broker thought. */
	attempt_decide(a, &v);
	if (!v.reason && !v.relayed)
		refuse(&v, HVS_REASON_PARTITION_OFF, "the uplink has gone");
	if (v.reason || a->fd < 0) {
		sock_close(b, stream); /* wait: it would be connected */
		way_end(w);
		if (v.reason)
			attempt_refuse(a, true, (uint32_t)v.error, v.reason,
				       v.text);
		else
			attempt_succeed(a, true, &v);
		return;
	}
	end = meet(a, &v, &why);
	if (end < 0) {
		sock_close(b, stream);
		way_end(w);
		attempt_refuse(a, true, EIO, HVS_REASON_BROKER_FAILED, why);
	} else if (join(w, end, stream) < 0) {
		way_end(w);
		attempt_refuse(a, true, EIO, HVS_REASON_BROKER_FAILED,
			       "hvsocket-uplink, which carries the connection, is not there");
	} else {
		way_end(w);
		attempt_succeed(a, true, &v);
	}
}

/* ---- To the guest's kernel -----------------------------------------------*/

/* A connect of the broker's own, to @service in the guest. way_opened() */
static void open_in_guest(struct way *w, const GUID *service)
{
	struct broker *b = w->b;
	struct transport *t = transport_find(b, &w->guest);
	struct verdict v;
	struct attempt o = {
		.b = b,
		.request = MSG_JOIN,
		.fd = -1,
		.type = SOCK_STREAM,
		.uid = w->direct ? w->a->uid : NAME_UID_NONE,
		.dest = { .Family = AF_HYPERV, .VmId = w->guest,
			  .ServiceId = *service },
		.source = w->a->source,
		.deadline_ns = w->a->deadline_ns,
		.token = broker_token(b),
		.opens_for = w,
	};

	if (!t) {
		way_opened(w, -1, HVS_REASON_PARTITION_OFF,
			   "the guest's transport ended");
		return;
	}
	o.client = t->client;
	o.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (o.fd < 0) {
		way_opened(w, -1, HVS_REASON_BROKER_FAILED, strerror(errno));
		return;
	}
	verdict_init(&v);
	v.target = registry_partition(b->registry, &w->guest);
	v.peer = guid_parent;
	v.relayed = true;
	attempt_ask_guest(&o, false, &v);
}

void way_opening(struct way *w, struct attempt *o)
{
	w->opening = o;
}

void way_opened(struct way *w, int fd, uint32_t reason, const char *text)
{
	w->opening = NULL;
	if (fd < 0)
		refused(w, reason, text);
	else if (w->direct)
		yes(w, fd);
	else
		ask_over(&w->ask, fd);
}

/* Nobody listens there by the guest's broker: its kernel may have one. */
static bool go_direct(struct way *w)
{
	struct attempt *a = w->a;
	const struct transport *t = transport_find(w->b, &w->guest);
	struct verdict v;

	if (guid_is_zero(&w->guest) || w->direct || !t ||
	    !guid_equal(&w->guest, &a->dest.VmId) ||
	    a->type != SOCK_STREAM || !guid_is_port(&a->dest.ServiceId, NULL))
		return false;
	if (a->parked) {
		w->direct = true;
		open_in_guest(w, &a->dest.ServiceId);
		return true;
	}
	attempt_decide(a, &v);
	if (v.reason || !v.relayed)
		return false;
	way_end(w);
	a->direct = true;
	attempt_ask_guest(a, true, &v);
	return true;
}

static void on_answer(struct ask *k, const struct uplink_answer *answer)
{
	struct way *w = container_of(k, struct way, ask);
	int fd = k->fd;

	if (!answer->reason) {
		k->fd = -1;
		yes(w, fd);
	} else if (answer->reason != HVS_REASON_NO_LISTENER || !go_direct(w)) {
		refused(w, answer->reason,
			answer->text[0] ? answer->text :
					  "the other broker refuses");
	}
}

/* ---- The beginning -------------------------------------------------------*/

static struct way *way_new(struct attempt *a, const struct verdict *v)
{
	struct broker *b = a->b;
	bool up = v->target == b->world.parent;
	const struct transport *t = up ? NULL : uplink_below(b,
							 &v->target->vmid);
	uint64_t now = ev_now_ns(), left;
	struct way *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	left = a->deadline_ns > now ? (a->deadline_ns - now) / 1000000 : 0;
	w->b = b;
	w->a = a;
	w->end = -1;
	w->guest = t ? t->partition : guid_zero;
	w->ask = (struct ask){
		.b = b,
		.fd = -1,
		.answered = on_answer,
		.request = {
			.verb = UPLINK_CONNECT,
			.type = a->type,
			/* to the guest itself, or to the host itself, but for
			 * what only the host may know */
			.here = up ? guid_special_name(&a->dest.VmId) != NULL :
				     t && guid_equal(&t->partition,
						     &v->target->vmid),
			.vmid = up ? a->dest.VmId : v->target->vmid,
			.service = a->dest.ServiceId,
			.source = a->source,
			.timeout_ms = left ? (uint32_t)left : 1,
		},
	};
	if (w->ask.request.timeout_ms > HVSOCKET_CONNECT_TIMEOUT_MAX)
		w->ask.request.timeout_ms = HVSOCKET_CONNECT_TIMEOUT_MAX;
	if (w->ask.request.here)
		w->ask.request.vmid = guid_zero;
	a->way = w;
	return w;
}

static void park(struct attempt *a, const struct verdict *v)
{
	struct way *w = a->way;
	MSG_BUF(m, 64);
	const char *why;

	w->end = meet(a, v, &why);
	if (w->end < 0) {
		way_end(w);
		attempt_refuse(a, true, EIO, HVS_REASON_BROKER_FAILED, why);
		return;
	}
	w->filler = attempt_fill(a->fd, a->type);
	sock_close(a->b, a->fd);
	a->fd = -1;
	a->parked = true;
	attempt_outcome(a, RESULT_PENDING, 0, 0, "");
	msg_begin_reply(&m, MSG_CONNECT, a->serial, 0, 0, 0);
	msg_put_u32(&m, CONNECT_STATE_PARKED);
	msg_put_u64(&m, a->token);
	client_send(a->client, &m, NULL, 0);
}

void attempt_ask_uplink(struct attempt *a, bool heap, const struct verdict *v)
{
	const GUID port = guid_from_port(UPLINK_PORT);
	bool up = v->target == a->b->world.parent;
	struct attempt *x;
	struct way *w;

	if (!up && !uplink_below(a->b, &v->target->vmid)) {
		attempt_refuse(a, heap, EHOSTDOWN, HVS_REASON_PARTITION_OFF,
			       "the guest's broker has gone");
		return;
	}
	if (slow_marked(a->client->pair) && a->fd >= 0) {
		attempt_refuse(a, heap, ENOBUFS, HVS_REASON_QUOTA,
			       "O_NONBLOCK was cleared during a connect: no connects to guests for a minute");
		return;
	}
	x = attempt_wait(a, heap, ATTEMPT_UPLINK);
	if (!x)
		return;
	w = way_new(x, v);
	if (!w || ev_timer_start_at(x->b->ev, &x->timer, x->deadline_ns,
				    attempt_on_timer) < 0) {
		attempt_refuse(x, true, ENOMEM, HVS_REASON_BROKER_FAILED,
			       "no memory");
		return;
	}
	if (x->flags & CONNECT_NONBLOCK)
		park(x, v);
	if (x->way != w)
		return;
	if (up)
		ask_dial(&w->ask);
	else
		open_in_guest(w, &port);
}
