/* SPDX-License-Identifier: MIT */
/* vm.c - see vm.h */
#include "transport/attach.h"
#include "transport/vhost-user/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "base/log.h"
#include "transport/link.h"
#include "transport/session.h"
#include "transport/vhost-user/channel.h"
#include "transport/vhost-user/device.h"
#include "transport/vhost-user/pump.h"

#define MESSAGES_MAX 64 /* of the front-end, before the rings are looked at */

struct vm {
	struct ev *ev;
	struct vm_config config;
	struct link *link;
	struct sessions *sessions;
	struct vsock *v;
	struct vu_device device;
	struct pump pump;
	struct vu_channel channel;
	struct ev_io listen_io, front_io, kick_io[VU_RINGS];
	int listener; /* -1 */
	struct ev_timer pump_timer, linger_timer;
	bool pumping;
	struct log_limit refused, broken;
};

/* ---- the pump */

static void on_pump(struct ev_timer *t);
static void front_end_gone(struct vm *vm);

static void wake(struct vm *vm)
{
	if (!vm->pumping && !vm->pump_timer.ev &&
	    ev_timer_start_at(vm->ev, &vm->pump_timer, 0, on_pump) < 0)
		log_err("no memory for a timer");
}

static void on_linger(struct ev_timer *t)
{
	struct vm *vm = container_of(t, struct vm, linger_timer);

	wake(vm); /* which looks at the time */
}

static void linger(struct vm *vm)
{
	uint64_t at = vsock_deadline(vm->v);

	if (!at)
		ev_timer_stop(&vm->linger_timer);
	else if (!vm->linger_timer.ev || vm->linger_timer.at_ns != at)
		(void)ev_timer_start_at(vm->ev, &vm->linger_timer, at,
					on_linger);
}

static void running(struct vm *vm)
{
	sessions_running(vm->sessions,
			 vu_ring_live(&vm->device, VU_RX) &&
				 vu_ring_live(&vm->device, VU_TX));
}

static void on_pump(struct ev_timer *t)
{
	struct vm *vm = container_of(t, struct vm, pump_timer);
	unsigned int ring = 0;
	int r;

	vm->pumping = true;
	vsock_time(vm->v, ev_now_ns());
	r = pump_run(&vm->pump, &ring);
	vm->pumping = false;
	if (gmem_lost()) {
		log_err("the guest's memory was cut short: dropping the "
			"front-end");
		front_end_gone(vm);
		return;
	}
	if (r < 0) {
		vu_ring_broken(&vm->device, ring);
		log_limited(&vm->broken, LOG_WARN_,
			    "the guest's %s ring is malformed (%s): stopped "
			    "until it is reset",
			    ring == VU_RX ? "receive" : "transmit",
			    strerror(-r));
		running(vm);
	}
	if (r > 0)
		wake(vm);
	linger(vm);
}

static void on_kick(struct ev_io *io, uint32_t events)
{
	struct vm *vm = container_of(io, struct vm, kick_io[0]);

	(void)events;
	wake(vm);
}

static void on_kick_tx(struct ev_io *io, uint32_t events)
{
	struct vm *vm = container_of(io, struct vm, kick_io[VU_TX]);

	(void)events;
	wake(vm);
}

/* ---- what the front-end's messages lead to */

static void on_ring_started(void *ctx, unsigned int i)
{
	struct vm *vm = ctx;
	int r;

	if (i == VU_EVENT)
		return; /* nothing is ever sent on it */
	vsock_set_seqpacket(vm->v, vm->device.features & VU_F_SEQPACKET);
	/* the counter is not read: each write is an edge */
	r = ev_io_start(vm->ev, &vm->kick_io[i], vm->device.rings[i].kick,
			EPOLLIN | EPOLLET, i == VU_RX ? on_kick : on_kick_tx);
	if (r < 0) {
		log_err("a ring's kick cannot be waited for: %s", strerror(-r));
		vu_ring_broken(&vm->device, i);
	}
	running(vm);
	wake(vm); /* a kick may have been lost on the way here */
}

static void on_ring_stopping(void *ctx, unsigned int i)
{
	struct vm *vm = ctx;

	ev_io_stop(&vm->kick_io[i]);
	running(vm);
}

static void on_reset(void *ctx)
{
	struct vm *vm = ctx;

	vsock_reset(vm->v);
	linger(vm);
}

static const struct vu_device_ops device_ops = {
	.ring_started = on_ring_started,
	.ring_stopping = on_ring_stopping,
	.reset = on_reset,
};

static void on_listen(struct ev_io *io, uint32_t events);

static void front_end_gone(struct vm *vm)
{
	ev_io_stop(&vm->front_io);
	vu_device_forget(&vm->device);
	vu_channel_fini(&vm->channel);
	gmem_lost_reset();
	log_info("the front-end has gone");
	if (vm->config.one_off || vm->listener < 0) {
		ev_quit(vm->ev);
		return;
	}
	if (ev_io_start(vm->ev, &vm->listen_io, vm->listener, EPOLLIN,
			on_listen) < 0)
		ev_quit(vm->ev);
}

/* One message. Return: 0 or -errno: the connection is over */
static int on_message(struct vm *vm, const struct vu_header *h)
{
	struct vu_channel *ch = &vm->channel;
	struct vu_message m;
	struct vu_answer a;
	int error, r, why = 0;

	error = vu_message_decode(h, ch->buf + VU_HEADER, ch->nfds, &m);
	r = vu_device_message(&vm->device, &m, error, ch->fds, &a, &why);
	if (why < 0)
		log_limited(&vm->refused, LOG_WARN_,
			    "front-end: %s (%u) refused: %s",
			    vu_request_name(h->request), h->request,
			    strerror(-why));
	else
		log_debug("front-end: %s", vu_request_name(h->request));
	vu_channel_next(ch);
	if (r == 0 && a.size)
		r = vu_channel_reply(ch, h->request, a.payload, a.size);
	return r;
}

static void on_front(struct ev_io *io, uint32_t events)
{
	struct vm *vm = container_of(io, struct vm, front_io);
	struct vu_header h;
	int r = 1;

	(void)events;
	for (int i = 0; i < MESSAGES_MAX && r == 1; i++) {
		r = vu_channel_recv(&vm->channel, &h);
		if (r != 1)
			break;
		r = on_message(vm, &h);
		if (r == 0)
			r = 1;
	}
	if (r == 1 || r == -EAGAIN)
		return;
	if (r < 0)
		log_warn("front-end: the connection is ended: %s",
			 strerror(-r));
	front_end_gone(vm);
}

static int front_end(struct vm *vm, int fd)
{
	int r;

	vu_channel_init(&vm->channel, fd);
	r = ev_io_start(vm->ev, &vm->front_io, fd, EPOLLIN, on_front);
	if (r < 0) {
		vu_channel_fini(&vm->channel);
		return r;
	}
	log_info("a front-end has connected");
	return 0;
}

static void on_listen(struct ev_io *io, uint32_t events)
{
	struct vm *vm = container_of(io, struct vm, listen_io);
	int fd;

	(void)events;
	fd = accept4(vm->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	/* one at a time: others wait in the queue */
	if (front_end(vm, fd) == 0)
		ev_io_stop(&vm->listen_io);
}

/* ---- the vsock device: its host ends are sessions */

static uint16_t socket_type(const struct vsock_conn *c)
{
	return vsock_type(c) == VSOCK_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;
}

static int vs_dial(void *ctx, struct vsock_conn *c)
{
	struct vm *vm = ctx;
	GUID service = guid_from_port(vsock_host_port(c));
	GUID source = guid_from_port(vsock_guest_port(c));
	struct session *s;
	int r;

	r = session_dial(vm->sessions, c, socket_type(c), &service, &source,
			 &s);
	if (r == 0)
		vsock_set_host(c, s);
	return r;
}

static void vs_answered(void *host, bool accepted)
{
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
	session_end(host);
}

static void vs_wake(void *ctx)
{
	wake(ctx);
}

static const struct vsock_ops vsock_ops = {
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
	uint32_t guest_port, host_port = 0;
	struct vsock_conn *c;
	int r;

	if (!guid_is_port(service, &guest_port)) {
		*ret_why = "a vsock guest has services with port numbers only";
		return HVS_REASON_NO_LISTENER;
	}
	(void)guid_is_port(source, &host_port);
	r = vsock_open(vm->v,
		       session_type(s) == SOCK_STREAM ? VSOCK_STREAM
						      : VSOCK_SEQPACKET,
		       guest_port, host_port, s, &c);
	if (r == -EPROTONOSUPPORT) {
		*ret_why = "the guest's vsock driver, or its VMM, does not "
			   "carry SOCK_SEQPACKET";
		return HVS_REASON_TYPE;
	}
	if (r < 0) {
		*ret_why = "too many connections of this guest";
		return HVS_REASON_QUOTA;
	}
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

static const struct session_guest_ops guest_ops = {
	.open = gs_open,
	.accept = gs_accept,
	.abort = gs_abort,
	.readable = gs_readable,
	.writable = gs_writable,
	.unread = gs_unread,
	.raw = true,
};

/* ---- lifetime */

int vm_new(struct ev *ev, const struct vm_config *config, struct vm **ret,
	   const char **ret_why)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	const struct link_config lc = {
		.partition = config->partition,
		.kind = TRANSPORT_VHOST_USER,
		.raw = true,
	};
	int r;

	*ret_why = "no memory";
	if (!vm)
		return -ENOMEM;
	vm->ev = ev;
	vm->config = *config;
	vm->listener = -1;
	vm->channel.fd = -1;
	vu_device_init(&vm->device, config->guest_cid, &device_ops, vm);
	r = vsock_new(config->guest_cid, &vsock_ops, vm, &vm->v);
	if (r == 0)
		r = sessions_new(ev, &guest_ops, vm, &vm->sessions);
	if (r == 0)
		r = gmem_guard_install(&vm->device.gmem);
	if (r == 0)
		r = link_new(ev, &lc, sessions_link_ops(), vm->sessions,
			     &vm->link, ret_why);
	if (r < 0) {
		vm_free(vm);
		return r;
	}
	sessions_set_link(vm->sessions, vm->link);
	vm->pump.d = &vm->device;
	vm->pump.v = vm->v;
	*ret = vm;
	return 0;
}

struct vm *vm_free(struct vm *vm)
{
	if (!vm)
		return NULL;
	ev_io_stop(&vm->front_io);
	ev_io_stop(&vm->listen_io);
	if (vm->v && vm->sessions && vm->link)
		vu_device_forget(&vm->device);
	vu_channel_fini(&vm->channel);
	vm->v = vsock_free(vm->v);
	vm->sessions = sessions_free(vm->sessions);
	vm->link = link_free(vm->link);
	ev_timer_stop(&vm->pump_timer);
	ev_timer_stop(&vm->linger_timer);
	if (vm->listener >= 0)
		close(vm->listener);
	free(vm);
	return NULL;
}

int vm_attach(struct vm *vm)
{
	return attach_wait(vm->link, vm->ev);
}

const char *vm_error(const struct vm *vm)
{
	return link_error(vm->link);
}

const char *vm_place(const struct vm *vm)
{
	return link_place(vm->link);
}

const char *vm_name(const struct vm *vm)
{
	return link_name(vm->link);
}

int vm_listen(struct vm *vm, int fd)
{
	vm->listener = fd;
	return ev_io_start(vm->ev, &vm->listen_io, fd, EPOLLIN, on_listen);
}

int vm_connected(struct vm *vm, int fd)
{
	return front_end(vm, fd);
}
