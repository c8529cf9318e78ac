/* SPDX-License-Identifier: MIT */
/*
 * connect.c - CONNECT: from the request to a connected socket
 *
 * The application's socket is first bound to an abstract name that says who
 * connects, then connected to the listener's file; to a guest, after (or,
 * parked, before) the guest has answered, to the transport's rendezvous. An
 * attempt lives on the stack until it has to wait.
 *
 * Nothing in between leaves a socket unusable if the broker dies: unnamed, it
 * is as it was; named, the next broker finds the name that it would give;
 * connected, it is connected.
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
#include "broker/transport.h"
#include "broker/uplink.h"
#include "broker/windows.h"

/* Does the listener get the guest's connection itself? On the host only, as
 * it belongs to nobody's table and no rule ends it. */
static bool to_native(const struct attempt *a, const struct verdict *v)
{
	return a->request == MSG_DIAL && a->client->transport->native &&
	       v->listener && v->listener->name.native &&
	       guid_is_zero(&v->listener->name.partition);
}

/* Gives the socket its name. Return: 0, or an errno with a sentence. */
int attempt_name(struct attempt *a, const struct verdict *v,
		     const char **ret_why)
{
	struct connector_name n = {
		.type = a->type,
		.flags = attempt_is_guests(a) ? CONNECTOR_GUEST : 0,
		.peer = v->peer,
		.peer_service = a->source,
		.dest = a->dest.VmId,
		.dest_service = a->dest.ServiceId,
		.uid = a->uid,
		.token = a->token,
	};
	struct sockaddr_un sa, have;
	socklen_t len, have_len = sizeof(have);

	a->to_native = to_native(a, v);
	if (a->to_native)
		n.flags |= CONNECTOR_NATIVE;
	len = connector_name_encode(&n, &sa);
	if (a->named) {
		/* a try before, or a broker before */
		if (getsockname(a->fd, (struct sockaddr *)&have, &have_len) ==
			    0 &&
		    have_len == len && memcmp(&have, &sa, len) == 0)
			return 0;
		*ret_why = "the socket has been used to connect to something else: take a new one";
		return EINVAL;
	}
	if (bind(a->fd, (struct sockaddr *)&sa, len) < 0) {
		*ret_why = errno == EINVAL ?
				   "the socket was bound by somebody else meanwhile" :
				   "the connecting end cannot be named";
		return errno;
	}
	a->named = true;
	return 0;
}

static int connect_target_address(const struct verdict *v,
				  struct sockaddr_un *ret, socklen_t *ret_len)
{
	size_t n;

	if (v->listener) {
		*ret_len = listener_name_encode(&v->listener->name, ret);
		return 0;
	}
	n = strlen(v->unix_target);
	if (n >= sizeof(ret->sun_path))
		return ENAMETOOLONG;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, v->unix_target, n + 1);
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	return 0;
}

/* connect() gave @err: what now? */
void attempt_connected(struct attempt *a, bool heap, struct verdict *v,
			     int err, bool again)
{
	struct broker *b = a->b;

	switch (err) {
	case 0:
		attempt_succeed(a, heap, v);
		return;
	case EAGAIN:
		attempt_backlog(a, heap);
		return;
	case ECONNREFUSED:
	case ENOENT:
		if (v->listener && !listener_alive(v->listener)) {
			struct listener *dead = listeners_find_name(
				&b->listeners, &v->listener->name);

			if (dead)
				bind_forget(b, dead);
			if (again) {
				attempt_run(a, heap);
				return;
			}
		}
		attempt_refused(a, heap, ECONNREFUSED, HVS_REASON_NO_LISTENER,
			v->listener ?
				"the service's socket is bound, but nobody listens on it" :
				"the daemon named by Target= does not listen");
		return;
	case EACCES:
	case EPERM:
		attempt_refuse(a, heap, EACCES, HVS_REASON_SECURITY_MODULE,
			       v->listener ?
				       "the connection was blocked by the security module" :
				       "the broker may not connect to the socket named by Target=");
		return;
	case EPROTOTYPE:
		attempt_refuse(a, heap, EPROTONOSUPPORT, HVS_REASON_TYPE,
			       "the daemon named by Target= takes another type");
		return;
	case EISCONN:
		attempt_refuse(a, heap, EISCONN, HVS_REASON_BAD_REQUEST,
			       "the socket is already connected");
		return;
	default:
		refuse(v, HVS_REASON_BROKER_FAILED, "connect: %s",
		       strerror(err));
		attempt_refuse(a, heap, (uint32_t)err, v->reason, v->text);
	}
}

/* Does anybody listen at @sa? Asked with a socket that is connected already:
 * the kernel looks at the other's state first, and nobody is connected.
 * 0: yes; ECONNREFUSED, or why it is not known. */
static int listens(const struct sockaddr_un *sa, socklen_t len, int type)
{
	int pair[2], err;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) <
	    0)
		return errno;
	err = connect(pair[0], (const struct sockaddr *)sa, len) < 0 ? errno :
								       0;
	close(pair[0]);
	close(pair[1]);
	return err == EISCONN || err == EAGAIN ? 0 : err;
}

static void connect_local(struct attempt *a, bool heap, struct verdict *v)
{
	struct broker *b = a->b;
	struct sockaddr_un sa;
	socklen_t len;
	const char *why;
	int err;

	if (a->fd < 0) { /* the wait call: would it connect? */
		err = connect_target_address(v, &sa, &len);
		if (!err)
			err = listens(&sa, len, a->type);
		attempt_connected(a, heap, v, err, true);
		return;
	}
	guard_arm(&b->guard);
	err = attempt_name(a, v, &why);
	if (err) {
		attempt_refuse(a, heap, (uint32_t)err, HVS_REASON_BAD_REQUEST,
			       why);
		return;
	}
	err = connect_target_address(v, &sa, &len);
	if (!err && slow_marked(a->client->pair) && a->request == MSG_CONNECT) {
		attempt_slow(a, heap, &sa, len);
		return;
	}
	if (!err && connect(a->fd, (struct sockaddr *)&sa, len) < 0)
		err = errno;
	if (err == EINTR) {
		slow_mark(a);
		attempt_slow(a, heap, &sa, len);
		return;
	}
	attempt_connected(a, heap, v, err, true);
}

/* ---- The way of an attempt -----------------------------------------------*/

/* MaxConnections= of the service. */
static void within_limit(const struct broker *b, struct verdict *v)
{
	const struct service *s = registry_service(b->registry, &v->service);

	if (s && s->max_connections &&
	    transport_count_of(b, &s->id) >= s->max_connections)
		refuse(v, HVS_REASON_QUOTA,
		       "service \"%.100s\" has its %u relayed connections (MaxConnections=)",
		       s->name, s->max_connections);
}

struct caller attempt_caller(const struct attempt *a)
{
	if (attempt_is_guests(a)) /* no user of this host */
		return (struct caller){
			.partition = a->partition,
			.uid = NAME_UID_NONE,
			.gid = NAME_UID_NONE,
		};
	return client_caller(a->client);
}

void connect_decide(struct broker *b, const struct caller *c,
		    const SOCKADDR_HV *dest, uint8_t type, bool passthru,
		    struct verdict *v)
{
	const bool explain = v->explain;
	struct listener *dead;

	for (;;) {
		verdict_init(v);
		v->explain = explain;
		decide_connect(&b->world, c, dest, type, passthru, v);
		if (!v->refused || listener_alive(v->refused))
			return;
		dead = listeners_find_name(&b->listeners, &v->refused->name);
		if (!dead)
			return;
		bind_forget(b, dead);
	}
}

void attempt_decide(const struct attempt *a, struct verdict *v)
{
	struct caller caller = attempt_caller(a);

	verdict_init(v);
	connect_decide(a->b, &caller, &a->dest, a->type,
		       a->flags & CONNECT_PASSTHRU, v);
}

void attempt_run(struct attempt *a, bool heap)
{
	struct broker *b = a->b;
	struct verdict v;

	broker_refresh(b);
	if (!a->client)
		return; /* its partition went, and it was ended with it */
	if (a->client->dead) {
		attempt_end(a, heap);
		return;
	}
	attempt_decide(a, &v);
	if (!v.reason && (v.relayed || attempt_is_guests(a)))
		within_limit(b, &v);
	if (v.reason)
		attempt_refused(a, heap, (uint32_t)v.error, v.reason, v.text);
	else if (v.uplink)
		uplink_take(a, heap, &v);
	else if (v.relayed && uplink_wanted(a, &v))
		attempt_ask_uplink(a, heap, &v);
	else if (v.relayed)
		attempt_ask_guest(a, heap, &v);
	else
		connect_local(a, heap, &v);
}

void attempt_start(struct attempt *a)
{
	attempt_run(a, false);
}

static int connect_check(const struct msg_connect *m, const char **ret_why)
{
	if (m->flags & ~CONNECT_FLAGS)
		*ret_why = "CONNECT: unknown flags";
	else if ((m->flags & CONNECT_NONBLOCK) && (m->flags & CONNECT_WAIT))
		*ret_why = "CONNECT: a non-blocking connect cannot wait for a listener";
	else if ((m->flags & CONNECT_NONBLOCK) && (m->flags & CONNECT_NATIVE))
		*ret_why = "CONNECT: a non-blocking connect cannot be native";
	else if (m->timeout_ms > HVSOCKET_CONNECT_TIMEOUT_MAX)
		*ret_why = "CONNECT: the time limit is above 300000 ms";
	else if (!guid_is_zero(&m->local.VmId))
		*ret_why = "CONNECT: the local VmId is not zero";
	else
		return 0;
	return EINVAL;
}

void request_connect(struct client *c, struct frame *f)
{
	struct caller caller = client_caller(c);
	struct sock_info info;
	struct msg_connect m;
	struct attempt a;
	const char *why = "CONNECT is malformed";
	int err = EINVAL;

	if (msg_connect_decode(f->p, f->len, &m) < 0 ||
	    (err = connect_check(&m, &why)) ||
	    (err = address_check(&m.dest, &why)) ||
	    (err = address_check(&m.local, &why)) ||
	    (err = sock_inspect(f->fds[0], &info, &why))) {
		client_refuse(c, MSG_CONNECT, f->h.serial, (uint32_t)err,
			      HVS_REASON_BAD_REQUEST, why);
		return;
	}
	a = (struct attempt){
		.b = c->b,
		.client = c,
		.request = MSG_CONNECT,
		.serial = f->h.serial,
		.fd = frame_take_fd(f, 0),
		.type = (uint8_t)info.type,
		.partition = c->door->partition,
		.uid = c->uid,
		.profile = c->profile,
		.dest = m.dest,
		.source = m.local.ServiceId,
		.flags = m.flags,
		.deadline_ns = attempt_deadline(m.timeout_ms),
		.named = info.name.kind == NAME_CONNECTOR,
	};
	a.token = a.named ? info.name.connector.token : broker_token(c->b);
	if (guid_is_zero(&a.source))
		a.source = guid_from_port(0x80000000u | (uint32_t)a.token);
	if (info.name.kind != NAME_NONE && !a.named)
		attempt_refuse(&a, false, EINVAL, HVS_REASON_BAD_REQUEST,
			       "the socket is bound: only an unbound one can connect");
	else if (a.named && (outcome_find(c->b, a.token) ||
			     transport_token_known(c->b, a.token)))
		attempt_refuse(&a, false, EINVAL, HVS_REASON_BAD_REQUEST,
			       "the socket bears the name of another connection: take a new one");
	else if (!info.nonblock)
		attempt_refuse(&a, false, EINVAL, HVS_REASON_BAD_REQUEST,
			       "CONNECT: the socket must have O_NONBLOCK set during the request");
	else if (m.flags & CONNECT_WAIT &&
		 windows_in_force(&c->b->world, &caller))
		attempt_refuse(&a, false, EINVAL, HVS_REASON_BAD_REQUEST,
			       windows_no_wait);
	else if (m.flags & CONNECT_HIGH_VTL)
		attempt_refuse(&a, false, ECONNREFUSED, HVS_REASON_NO_LISTENER,
			       "HIGH_VTL: no guest here has a virtual trust level 2");
	else
		attempt_start(&a);
}
