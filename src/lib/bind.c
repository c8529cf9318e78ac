/* SPDX-License-Identifier: MIT */
/*
 * bind.c - see bind.h; hvs_bind(), hvs_listen()
 *
 * The broker binds the socket inside its own directory. Zero/zero is kept
 * here until it is known whether the socket listens (then the broker picks a
 * number) or connects (then it is nothing).
 */
#include "lib/bind.h"

#include <errno.h>
#include <string.h>

#include "base/guid.h"
#include "lib/address.h"
#include "lib/call.h"
#include "lib/dgram.h"
#include "lib/reason.h"
#include "lib/state.h"
#include "lib/sys.h"
#include "lib/vsock.h"
#include "proto/name.h"

struct bind_call {
	struct call call; /* first: done() is given this */
	SOCKADDR_HV want;
};

static void set_pending(struct sock_state *s, void *arg)
{
	s->pending_bind = *(bool *)arg;
}

static void set_ask_listen(struct sock_state *s, void *arg)
{
	s->ask_listen = *(bool *)arg;
}

/* Return: what kind of name the socket has, -1 with errno if it is no socket */
static int own_name(int fd, struct name *ret)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);

	if (sys_getsockname(fd, &sa, &len) < 0)
		return -1;
	name_decode(&sa, len, ret);
	return (int)ret->kind;
}

/* The broker died before its reply: had it bound the socket? */
static bool is_bound(struct call *c)
{
	const struct bind_call *b = (const struct bind_call *)c;
	struct name n;

	if (own_name(c->fd, &n) != NAME_LISTENER)
		return false;
	return guid_is_zero(&b->want.ServiceId) ||
	       guid_equal(&b->want.ServiceId, &n.listener.service);
}

int bind_run(int fd, const SOCKADDR_HV *addr, uint32_t flags)
{
	uint8_t raw[CALL_FRAME_SIZE];
	struct msg_bind reply;
	struct bind_call b;
	bool ask = true;
	int r;

	call_begin(&b.call, MSG_BIND, raw, sizeof(raw));
	msg_put_address(&b.call.frame, addr);
	msg_put_u32(&b.call.frame, flags);
	b.call.fd = b.call.reason_fd = fd;
	b.call.binds = true;
	b.call.done = is_bound;
	b.want = *addr;

	r = call_run(&b.call);
	if (r < 0)
		return -1;
	if (r > 0) {
		if (msg_bind_reply_decode(b.call.reply, b.call.reply_len,
					  &reply) < 0)
			return call_bad_reply(&b.call);
		ask = reply.flags & BIND_REPLY_DISABLED;
	}
	/* without a reply nobody has said that it is not disabled */
	if (ask)
		(void)state_change(fd, set_ask_listen, &ask);
	return 0;
}

static bool listens(int fd)
{
	int yes = 0;
	socklen_t len = sizeof(yes);

	return sys_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 &&
	       yes;
}

/*
 * What the broker would say as well, without sending it a stranger's socket. A
 * listener's name is left to it, if it does not listen yet: that may be a bind
 * whose reply was lost.
 */
static int check_unbound(int fd, bool pending)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);
	struct name n;

	if (sys_getsockname(fd, &sa, &len) < 0)
		return hvs__fail_errno();
	if (sa.sun_family != AF_UNIX)
		return hvs__fail(fd, ENOTSOCK, HVS_REASON_BAD_REQUEST, NULL,
				 "this is no Hyper-V socket");
	name_decode(&sa, len, &n);
	if (n.kind == NAME_NONE ||
	    (n.kind == NAME_LISTENER && !pending && !listens(fd)))
		return 0;
	return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
			 "the socket is already bound");
}

static int bind_pending(int fd)
{
	bool pending = true;
	int r = state_change(fd, set_pending, &pending);

	if (r < 0) {
		errno = -r;
		return hvs__fail_errno();
	}
	return 0;
}

int hvs_bind(int fd, const SOCKADDR_HV *addr, socklen_t len)
{
	struct sock_state s;
	SOCKADDR_HV a;
	struct dgram_own own;
	bool pending;
	int r;

	if (address_check(fd, addr, len, &a) < 0)
		return -1;
	if (vsock_is(fd)) {
		r = vsock_bind(fd, &a);
		if (r == 0)
			state_clear_reason(fd);
		return r;
	}
	if (dgram_is(fd, &own) && !own.bound) {
		r = dgram_bind(fd, &a);
		if (r == 0)
			state_clear_reason(fd);
		return r;
	}
	pending = guid_is_zero(&a.VmId) && guid_is_zero(&a.ServiceId);
	if (check_unbound(fd, pending) < 0)
		return -1;
	if (state_get(fd, &s) && s.pending_bind)
		return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "the socket is already bound (to zero/zero)");
	r = pending ? bind_pending(fd) : bind_run(fd, &a, 0);
	if (r == 0)
		state_clear_reason(fd);
	return r;
}

/* A LISTEN request or notice about @fd. Return: false if it has no name. */
static bool begin_listen(struct call *c, uint8_t *raw, size_t size, int fd,
			 uint32_t flags)
{
	SOCKADDR_HV a = address_none();
	struct name n;

	if (own_name(fd, &n) != NAME_LISTENER)
		return false;
	a.VmId = n.listener.vmid;
	a.ServiceId = n.listener.service;
	call_begin(c, MSG_LISTEN, raw, size);
	msg_put_u16(&c->frame, n.listener.type);
	msg_put_u16(&c->frame, 0);
	msg_put_address(&c->frame, &a);
	msg_put_u32(&c->frame, flags);
	return true;
}

/* The service was disabled when it was bound. Is it still? */
static int may_listen(int fd)
{
	uint8_t raw[CALL_FRAME_SIZE];
	bool ask = false;
	struct call c;

	if (begin_listen(&c, raw, sizeof(raw), fd, 0)) {
		c.reason_fd = fd;
		if (call_run(&c) < 0)
			return -1;
	}
	(void)state_change(fd, set_ask_listen, &ask);
	return 0;
}

int hvs_listen(int fd, int backlog)
{
	SOCKADDR_HV none = address_none();
	uint8_t raw[CALL_FRAME_SIZE];
	bool pending = false;
	struct dgram_own own;
	struct sock_state s;
	struct call c;

	if (vsock_is(fd))
		return vsock_listen(fd, backlog);
	if (state_get(fd, &s) && s.pending_bind) {
		if (bind_run(fd, &none, 0) < 0)
			return -1;
		(void)state_change(fd, set_pending, &pending);
		(void)state_get(fd, &s);
	}
	if (s.ask_listen && may_listen(fd) < 0)
		return -1;
	if (sys_listen(fd, backlog) < 0) {
		if (errno != EINVAL)
			return hvs__fail_errno();
		if (dgram_is(fd, &own))
			return dgram_refuse(fd, "listen");
		return hvs__fail(fd, EINVAL, HVS_REASON_BAD_REQUEST, NULL,
				 "the socket is not bound, or it is connected");
	}
	state_clear_reason(fd);
	/* for those who wait for a listener; nothing depends on it here */
	if (begin_listen(&c, raw, sizeof(raw), fd, LISTEN_NOTICE))
		call_notice(&c);
	return 0;
}
