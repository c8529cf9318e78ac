/* SPDX-License-Identifier: MIT */
/*
 * connect.c - hvs_connect()
 *
 * The socket itself goes to the broker, which names and connects it. The
 * broker needs O_NONBLOCK on it meanwhile; it is a property of the open file
 * description, so a blocking socket gets it for the time of the call.
 */
#include "lib/connect.h"

#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "lib/address.h"
#include "lib/call.h"
#include "lib/dgram.h"
#include "lib/parked.h"
#include "lib/reason.h"
#include "lib/sys.h"
#include "lib/vsock.h"
#include "proto/name.h"

struct outcome {
	struct call call; /* first: done() is given this */
	bool nonblock;
	bool parked;
	uint64_t token;
};

/*
 * The broker died before its reply. If it had connected the socket already,
 * that stands; a rendezvous as the peer of a non-blocking connect is a parked
 * one, whose token is in the name that the broker gave this end.
 */
static bool is_connected(struct call *c)
{
	struct outcome *o = (struct outcome *)c;
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);
	struct name n;

	if (sys_getpeername(c->fd, &sa, &len) < 0)
		return false;
	name_decode(&sa, len, &n);
	if (n.kind != NAME_RENDEZVOUS || !o->nonblock)
		return true;
	len = sizeof(sa);
	if (sys_getsockname(c->fd, &sa, &len) < 0)
		return true;
	name_decode(&sa, len, &n);
	if (n.kind == NAME_CONNECTOR) {
		o->parked = true;
		o->token = n.connector.token;
	}
	return true;
}

static uint32_t flags_of(const struct options *opt, bool nonblock)
{
	uint32_t f = 0;

	if (nonblock)
		f |= CONNECT_NONBLOCK;
	else if (opt->wait)
		f |= CONNECT_WAIT;
	if (opt->passthru)
		f |= CONNECT_PASSTHRU;
	if (opt->suspend)
		f |= CONNECT_SUSPEND;
	if (opt->high_vtl)
		f |= CONNECT_HIGH_VTL;
	if (opt->native)
		f |= CONNECT_NATIVE;
	return f;
}

int connect_run(int fd, const SOCKADDR_HV *dest, const struct options *opt,
		bool nonblock, int *ret_native)
{
	struct msg_connect_reply reply;
	SOCKADDR_HV local = address_none();
	uint8_t raw[CALL_FRAME_SIZE];
	uint32_t timeout;
	struct outcome o;
	int r;

	timeout = opt->timeout_ms;
	call_begin(&o.call, MSG_CONNECT, raw, sizeof(raw));
	msg_put_address(&o.call.frame, dest);
	msg_put_address(&o.call.frame, &local);
	msg_put_u32(&o.call.frame, timeout);
	msg_put_u32(&o.call.frame, flags_of(opt, nonblock));
	if (!timeout)
		timeout = HVSOCKET_CONNECT_TIMEOUT_DEFAULT;
	o.call.fd = o.call.reason_fd = fd;
	o.call.timeout_ms = (int)timeout + CALL_GRACE_MS;
	o.call.interruptible = true;
	o.call.done = is_connected;
	o.call.takes_fd = opt->native;
	o.nonblock = nonblock;
	o.parked = false;
	o.token = 0;

	r = call_run(&o.call);
	if (r < 0) {
		cleanup_close(&o.call.got_fd);
		return -1;
	}
	if (r > 0) {
		if (msg_connect_reply_decode(o.call.reply, o.call.reply_len,
					     &reply) < 0 ||
		    reply.state > CONNECT_STATE_NATIVE ||
		    (reply.state == CONNECT_STATE_NATIVE) !=
			    (o.call.got_fd >= 0)) {
			cleanup_close(&o.call.got_fd);
			return call_bad_reply(&o.call);
		}
		o.parked = reply.state == CONNECT_STATE_PARKED;
		o.token = reply.token;
	}
	if (ret_native)
		*ret_native = o.call.got_fd;
	if (o.parked)
		return parked_start(fd, o.token);
	return 0;
}

static void forget_pending(struct sock_state *s, void *arg)
{
	(void)arg;
	s->pending_bind = false;
}

/* A connect on a socket that had one in progress. Return: as hvs_connect(),
 * or 1 to go on. */
static int second_connect(int fd)
{
	struct sock_state s;

	parked_resolve(fd);
	(void)state_get(fd, &s);
	switch (s.parked) {
	case PARKED_WAITING:
		return hvs__fail(-1, EALREADY, HVS_REASON_BAD_REQUEST, NULL,
				 "a connect is in progress on this socket");
	case PARKED_FAILED:
		return parked_take_error(fd);
	case PARKED_NO:
		break;
	}
	return 1;
}

int hvs_connect(int fd, const SOCKADDR_HV *addr, socklen_t len)
{
	struct sock_state s;
	SOCKADDR_HV dest;
	struct dgram_own own;
	bool known;
	int flags, saved, r;

	if (dgram_is(fd, &own) && addr && len >= sizeof(addr->Family) &&
	    addr->Family == AF_UNSPEC)
		return dgram_connect(fd, &own, NULL);
	if (address_check(fd, addr, len, &dest) < 0)
		return -1;
	if (dgram_is(fd, &own))
		return dgram_connect(fd, &own, &dest);
	if (vsock_is(fd)) {
		(void)state_get(fd, &s);
		return vsock_connect(fd, &dest, &s.opt);
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return hvs__fail_errno();
	known = state_get(fd, &s);
	if (known && s.parked != PARKED_NO) {
		r = second_connect(fd);
		if (r <= 0)
			return r;
	}
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return hvs__fail_errno();
	r = connect_run(fd, &dest, &s.opt, flags & O_NONBLOCK, NULL);
	if (!(flags & O_NONBLOCK)) {
		saved = errno;
		(void)fcntl(fd, F_SETFL, flags);
		errno = saved;
	}
	if (known && (r == 0 || errno == EINPROGRESS)) {
		saved = errno;
		if (s.pending_bind)
			(void)state_change(fd, forget_pending, NULL);
		if (r == 0)
			state_clear_reason(fd);
		errno = saved;
	}
	return r;
}
