/* SPDX-License-Identifier: MIT */
/*
 * bind.c - BIND and LISTEN, and the end of listeners
 *
 * The application's own socket is bound to a file in listeners/ whose name is
 * all there is to know (proto/name.h). If the broker dies after the bind and
 * before the reply, the next one finds the socket carrying the very name that
 * it would give, and goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/guid.h"
#include "broker/attempt.h"
#include "broker/dgram.h"

#define SWEEP_MS 100

void bind_charge(struct broker *b, struct listener *l)
{
	struct door *d = door_find(b, &l->name.partition);

	l->accounts[0] = account_of_user(b, l->name.uid);
	l->accounts[1] = account_of_partition(b, &l->name.partition);
	for (int i = 0; i < 2; i++)
		if (l->accounts[i])
			l->accounts[i]->listeners++;
	if (d)
		d->listeners++;
}

void bind_forget(struct broker *b, struct listener *l)
{
	struct door *d = door_find(b, &l->name.partition);

	if (l->owner)
		DL_DELETE2(l->owner->listeners, l, owner_prev, owner_next);
	for (int i = 0; i < 2; i++) {
		if (!l->accounts[i])
			continue;
		l->accounts[i]->listeners--;
		account_unref(b, l->accounts[i]);
	}
	if (d)
		d->listeners--;
	listeners_remove(&b->listeners, l);
}

/*
 * A process that ends closes its descriptors one after the other: when the
 * control connection goes, the listener may still be about to.
 */
static void on_sweep(struct ev_timer *t)
{
	struct broker *b = container_of(t, struct broker, sweep);
	struct listener *l, *next;
	bool again = false;

	for (l = b->listeners.all; l; l = next) {
		next = l->next;
		if (!l->suspect)
			continue;
		if (!listener_alive(l))
			bind_forget(b, l);
		else if (--l->suspect)
			again = true;
	}
	if (again)
		(void)ev_timer_start(b->ev, t, 10 * SWEEP_MS, on_sweep);
}

void bind_owner_gone(struct client *c)
{
	struct broker *b = c->b;
	struct listener *l, *next;

	for (l = c->listeners; l; l = next) {
		next = l->owner_next;
		DL_DELETE2(c->listeners, l, owner_prev, owner_next);
		l->owner = NULL;
		if (!listener_alive(l)) {
			bind_forget(b, l);
			continue;
		}
		l->suspect = 2;
		if (!b->sweep.ev)
			(void)ev_timer_start(b->ev, &b->sweep, SWEEP_MS,
					     on_sweep);
	}
}

GUID bind_unused(struct broker *b, const GUID *partition, const GUID *vmid,
		 uint8_t type)
{
	GUID g;

	do {
		g = guid_from_port(0x80000000u | (uint32_t)broker_token(b));
	} while (listeners_find(&b->listeners, partition, vmid, &g, type) ||
		 registry_service(b->registry, &g));
	return g;
}

static void own(struct client *c, struct listener *l)
{
	if (l->owner)
		DL_DELETE2(l->owner->listeners, l, owner_prev, owner_next);
	l->owner = c;
	l->suspect = 0;
	l->pid = c->pid;
	DL_APPEND2(c->listeners, l, owner_prev, owner_next);
}

static void reply_bound(struct client *c, uint32_t serial,
			const SOCKADDR_HV *addr, bool disabled)
{
	MSG_BUF(m, 64);

	msg_begin_reply(&m, MSG_BIND, serial, 0, 0, 0);
	msg_put_address(&m, addr);
	msg_put_u32(&m, disabled ? BIND_REPLY_DISABLED : 0);
	client_send(c, &m, NULL, 0);
}

/* Decides, and decides again when the address was held by a dead listener. */
static void decide_bind_alive(struct broker *b, const struct caller *caller,
			      const SOCKADDR_HV *addr, uint8_t type,
			      struct verdict *v)
{
	for (;;) {
		struct listener *l;

		verdict_init(v);
		decide_bind(&b->world, caller, addr, type, v);
		if (v->reason != HVS_REASON_ADDRESS_TAKEN)
			return;
		l = listeners_find_name(&b->listeners, &v->listener->name);
		if (!l || listener_alive(l))
			return;
		bind_forget(b, l);
	}
}

/* Return: 0, or an errno with a reason and a sentence in @v. */
static int do_bind(struct client *c, int fd, const struct listener_name *name,
		   struct verdict *v)
{
	struct broker *b = c->b;
	struct sockaddr_un sa;
	socklen_t len = listener_name_encode(name, &sa);
	struct listener *l;
	int r;

	if (sock_connected(fd)) {
		refuse(v, HVS_REASON_BAD_REQUEST,
		       "the socket is connected: only a fresh one can be bound");
		v->error = EISCONN;
		return EISCONN;
	}
	guard_arm(&b->guard);
	r = bind(fd, (struct sockaddr *)&sa, len);
	if (r < 0 && errno == EADDRINUSE) {
		/* a file without a listener in the table: left by somebody
		 * killed at the wrong moment */
		(void)unlink(sa.sun_path);
		r = bind(fd, (struct sockaddr *)&sa, len);
	}
	if (r < 0) {
		r = errno;
		if (r == EINVAL)
			refuse(v, HVS_REASON_BAD_REQUEST,
			       "the socket was bound by somebody else meanwhile");
		else if (r == EACCES || r == EPERM)
			refuse(v, HVS_REASON_SECURITY_MODULE,
			       "bind: blocked by the security module");
		else
			refuse(v, HVS_REASON_BROKER_FAILED, "bind: errno %d",
			       r);
		return r;
	}
	l = listeners_add(&b->listeners, name, c->pid,
			  c->groups ? c->groups : &c->gid, c->ngroups);
	if (!l) {
		(void)unlink(sa.sun_path);
		refuse(v, HVS_REASON_BROKER_FAILED, "no memory");
		return ENOMEM;
	}
	bind_charge(b, l);
	own(c, l);
	return 0;
}

bool bind_within_quota(const struct client *c, struct verdict *v)
{
	const struct limits *limits = &c->b->limits;
	const struct account *a = c->account, *p = c->door->account;

	if (a->listeners >= limits->listeners)
		refuse(v, HVS_REASON_QUOTA, "uid %u already has %u listeners",
		       c->uid, a->listeners);
	else if (!guid_is_zero(&c->door->partition) &&
		 p->listeners >= limits->listeners)
		refuse(v, HVS_REASON_QUOTA,
		       "the partition already has %u listeners", p->listeners);
	else
		return true;
	return false;
}

void request_bind(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	struct caller caller = client_caller(c);
	const struct service *s;
	struct listener_name name;
	struct sock_info info;
	struct msg_bind m;
	struct verdict v;
	const char *why = "BIND is malformed";
	int err = EINVAL, fd;

	if (msg_bind_decode(f->p, f->len, &m) < 0 ||
	    (m.flags & ~(BIND_DATAGRAM | BIND_NATIVE)) ||
	    m.flags == (BIND_DATAGRAM | BIND_NATIVE) ||
	    (err = address_check(&m.addr, &why)) ||
	    (err = sock_inspect(f->fds[0], &info, &why))) {
		client_refuse(c, MSG_BIND, f->h.serial, (uint32_t)err,
			      HVS_REASON_BAD_REQUEST, why);
		return;
	}
	if (m.flags & BIND_DATAGRAM) {
		dgram_bind(c, f, &m.addr, &info);
		return;
	}
	fd = frame_take_fd(f, 0);
	broker_refresh(b);
	if (c->dead) { /* its partition went */
		sock_close(b, fd);
		return;
	}
	if (m.flags & BIND_NATIVE && info.type != SOCK_STREAM) {
		client_refuse(c, MSG_BIND, f->h.serial, EPROTONOSUPPORT,
			      HVS_REASON_TYPE,
			      "only a stream's listener takes guests' connections themselves");
		sock_close(b, fd);
		return;
	}
	name = (struct listener_name){
		.type = (uint8_t)info.type,
		.native = m.flags & BIND_NATIVE,
		.partition = caller.partition,
		.vmid = m.addr.VmId,
		.service = m.addr.ServiceId,
		.uid = c->uid,
		.gid = c->gid,
		.profile = c->profile,
	};
	s = registry_service(b->registry, &name.service);
	verdict_init(&v);
	if (info.name.kind == NAME_LISTENER) {
		/* asked for "any number" before the broker died? */
		if (guid_is_zero(&name.service))
			name.service = info.name.listener.service;
		else if (s)
			name.service = s->id;
	} else if (guid_is_zero(&name.service)) {
		name.service = bind_unused(b, &name.partition, &name.vmid,
					   name.type);
	}
	m.addr.ServiceId = name.service;
	if (info.name.kind == NAME_LISTENER &&
	    listener_name_same(&info.name.listener, &name)) {
		struct listener *l = listeners_find_name(&b->listeners, &name);

		/* Every file of listeners/ was read back. A name that is not
		 * in the table was made up in a directory of the caller's. */
		if (l && !listener_alive(l)) {
			bind_forget(b, l);
			l = NULL;
		}
		if (l) {
			own(c, l);
			reply_bound(c, f->h.serial, &m.addr, false);
		} else {
			client_refuse(c, MSG_BIND, f->h.serial, EINVAL,
				      HVS_REASON_BAD_REQUEST,
				      "the socket is already bound, and not by this broker");
		}
	} else if (info.name.kind != NAME_NONE) {
		client_refuse(c, MSG_BIND, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST,
			      "the socket is already bound");
	} else {
		decide_bind_alive(b, &caller, &m.addr, name.type, &v);
		name.service = m.addr.ServiceId =
			v.reason ? m.addr.ServiceId : v.service;
		err = v.error;
		if (!v.reason && bind_within_quota(c, &v))
			err = do_bind(c, fd, &name, &v);
		else
			err = v.error;
		if (v.reason) {
			broker_count(b, &v.service, &caller.partition, NULL,
				     v.reason);
			client_refuse(c, MSG_BIND, f->h.serial, (uint32_t)err,
				      v.reason, v.text);
		} else {
			reply_bound(c, f->h.serial, &m.addr, v.disabled);
		}
	}
	sock_close(b, fd);
}

void request_listen(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	struct caller caller = client_caller(c);
	struct msg_listen m;
	struct verdict v;
	const char *why = "LISTEN is malformed";
	int err = EINVAL;

	if (msg_listen_decode(f->p, f->len, &m) < 0 ||
	    (m.flags & ~LISTEN_NOTICE) ||
	    (m.type != SOCK_STREAM && m.type != SOCK_SEQPACKET) ||
	    (err = address_check(&m.addr, &why))) {
		client_refuse(c, MSG_LISTEN, f->h.serial, (uint32_t)err,
			      HVS_REASON_BAD_REQUEST, why);
		return;
	}
	if (m.flags & LISTEN_NOTICE) {
		attempts_wake(b);
		return;
	}
	broker_refresh(b);
	verdict_init(&v);
	/* Its own name is taken, by itself. What matters comes before that. */
	decide_bind(&b->world, &caller, &m.addr, (uint8_t)m.type, &v);
	if (v.disabled) {
		v.reason = 0;
		refuse(&v, HVS_REASON_DISABLED, "the service is disabled");
	} else if (v.reason == HVS_REASON_ADDRESS_TAKEN &&
		   v.listener->name.uid == c->uid) {
		v.reason = 0;
	}
	if (v.reason)
		client_refuse_verdict(c, MSG_LISTEN, f->h.serial, &v);
	else
		client_reply_empty(c, MSG_LISTEN, f->h.serial);
}
