/* SPDX-License-Identifier: MIT */
/*
 * ends.c - the two ends of each connection: the vsock device's is the guest's,
 * the session is the program's
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "transport/vhost-user/vm-internal.h"
#include "transport/vsock-device/save.h"

/* ---- the vsock device: its host ends are sessions */

static uint16_t socket_type(const struct vsock_conn *c)
{
	return vsock_type(c) == VSOCK_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;
}

void vm_journal_add(struct vm *vm, const struct vsock_conn *c)
{
	journal_add(vm->journal, vsock_type(c), vsock_peer_cid(c),
		    vsock_guest_port(c), vsock_host_port(c));
}

static void journal_gone(struct vm *vm, const struct vsock_conn *c)
{
	if (c && !vsock_reused(vm->v, c))
		journal_remove(vm->journal, vsock_type(c), vsock_peer_cid(c),
			       vsock_guest_port(c), vsock_host_port(c));
}

static int vs_dial(void *ctx, struct vsock_conn *c)
{
	struct vm *vm = ctx;
	GUID service = guid_from_port(vsock_host_port(c));
	GUID source = guid_from_port(vsock_guest_port(c));
	uint32_t cid = vsock_peer_cid(c);
	struct session *s;
	int r;

	r = session_dial_sibling(vm->sessions, c, socket_type(c),
				 cid == VSOCK_CID_HOST ? 0 : cid, &service,
				 &source, &s);
	if (r < 0)
		return r;
	vsock_set_host(c, s);
	vm_journal_add(vm, c);
	return 0;
}

static void vs_answered(void *host, bool accepted)
{
	if (!accepted)
		journal_gone(session_ctx(host), session_conn(host));
	session_answered(host, accepted);
}

static ssize_t vs_next(void *host)
{
	return session_next(host);
}

static ssize_t vs_pull(void *host, const struct iovec *iov, unsigned int n)
{
	return session_pull(host, iov, n);
}

static size_t vs_waiting(void *host)
{
	return session_waiting(host);
}

static ssize_t vs_push(void *host, const struct iovec *iov, unsigned int n)
{
	return session_push(host, iov, n);
}

static ssize_t vs_flush(void *host)
{
	return session_flush(host);
}

static size_t vs_held(void *host)
{
	return session_held(host);
}

static void vs_shut(void *host, bool no_more_data, bool no_more_reading)
{
	session_shut(host, no_more_data, no_more_reading);
}

static void vs_ended(void *host, enum vsock_end why)
{
	static struct log_limit limit;

	if (why == VSOCK_END_TOO_LONG)
		log_limited(&limit, LOG_WARN_,
			    "a connection is reset: a message is longer than "
			    "the buffer that has to hold it");
	else if (why == VSOCK_END_QUOTA)
		log_limited(&limit, LOG_WARN_,
			    "a connection is reset: %u MiB wait for programs "
			    "that do not read",
			    VSOCK_HELD_MAX >> 20);
	else if (why == VSOCK_END_MEMORY)
		log_limited(&limit, LOG_WARN_,
			    "a connection is reset: the memory of its data is "
			    "not there");
	journal_gone(session_ctx(host), session_conn(host));
	session_end(host);
}

static void vs_wake(void *ctx)
{
	vm_wake(ctx);
}

const struct vsock_ops vm_vsock_ops = {
	.dial = vs_dial,
	.answered = vs_answered,
	.next = vs_next,
	.pull = vs_pull,
	.waiting = vs_waiting,
	.push = vs_push,
	.flush = vs_flush,
	.held = vs_held,
	.shut = vs_shut,
	.ended = vs_ended,
	.wake = vs_wake,
};

/* ---- sessions: their guest ends are the device's connections */

static uint32_t gs_open(void *ctx, struct session *s, const GUID *service,
			const GUID *source, void **ret_conn,
			const char **ret_why)
{
	struct vm *vm = ctx;
	uint32_t guest_port, host_port = 0, cid = session_cid(s);
	struct vsock_conn *c;
	int r;

	if (!guid_is_port(service, &guest_port)) {
		*ret_why = "a vsock guest has services with port numbers only";
		return HVS_REASON_NO_LISTENER;
	}
	if (cid == vm->config.guest_cid) {
		*ret_why = "the sibling that connects has the guest's own CID";
		return HVS_REASON_BROKER_FAILED;
	}
	(void)guid_is_port(source, &host_port);
	r = vsock_open(vm->v,
		       session_type(s) == SOCK_STREAM ? VSOCK_STREAM
						      : VSOCK_SEQPACKET,
		       cid ? cid : VSOCK_CID_HOST, guest_port, host_port, s,
		       &c);
	if (r == -EPROTONOSUPPORT) {
		*ret_why = "the guest's vsock driver, or its VMM, does not "
			   "carry SOCK_SEQPACKET";
		return HVS_REASON_TYPE;
	}
	if (r < 0) {
		*ret_why = "too many connections of this guest";
		return HVS_REASON_QUOTA;
	}
	vm_journal_add(vm, c);
	*ret_conn = c;
	return HVS_REASON_NONE;
}

static void gs_accept(void *ctx, void *conn)
{
	struct vm *vm = ctx;

	vsock_accept(vm->v, conn);
}

static void gs_abort(void *ctx, void *conn)
{
	struct vm *vm = ctx;

	journal_gone(vm, conn);
	vsock_abort(vm->v, conn);
}

static void gs_readable(void *ctx, void *conn)
{
	struct vm *vm = ctx;

	vsock_readable(vm->v, conn);
}

static void gs_writable(void *ctx, void *conn)
{
	struct vm *vm = ctx;

	vsock_writable(vm->v, conn);
}

static void gs_unread(void *ctx, void *conn)
{
	struct vm *vm = ctx;

	vsock_unread(vm->v, conn);
}

/* Each is 384 KiB of the kernel's memory instead of 208 when its program does
 * not read, and charged to this process. */
#define BURST_MAX 1024u

const struct session_guest_ops vm_guest_ops = {
	.open = gs_open,
	.accept = gs_accept,
	.abort = gs_abort,
	.readable = gs_readable,
	.writable = gs_writable,
	.unread = gs_unread,
	.burst = VSOCK_BUF_ALLOC,
	.burst_max = BURST_MAX,
	.raw = true,
};
