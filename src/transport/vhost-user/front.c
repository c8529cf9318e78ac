/* SPDX-License-Identifier: MIT */
/*
 * front.c - who may be the front-end
 *
 * Whoever connects is answered what it asks. It becomes the front-end with the
 * first message that changes something, so that a connection that only looks
 * (to see whether somebody listens, or what is offered) is in nobody's way.
 * There is one front-end at a time: others wait with that message until it has
 * gone, since a VMM that was started again may be faster than the end of its
 * predecessor.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "transport/vhost-user/handover.h"
#include "transport/vhost-user/vault.h"

#define MESSAGES_MAX                                            \
	64 /* of one connection, before the rings are looked at \
	    */
#define ACCEPT_AGAIN_MS 100u

static void on_front(struct ev_io *io, uint32_t events);
static void on_listen(struct ev_io *io, uint32_t events);
static void work(struct front *f);

static void listen_on(struct vm *vm)
{
	if (vm->listener >= 0 && !vm->listen_io.ev &&
	    ev_io_start(vm->ev, &vm->listen_io, vm->listener, EPOLLIN,
			on_listen) < 0)
		ev_quit(vm->ev);
}

static void front_close(struct front *f)
{
	ev_io_stop(&f->io);
	vu_channel_fini(&f->ch);
	f->waits = false;
	listen_on(f->vm);
}

/* The one that has waited longest is the next. */
static void next_front(struct vm *vm)
{
	struct front *next = NULL;

	for (int i = 0; i < VM_FRONTS; i++) {
		struct front *f = &vm->fronts[i];

		if (f->waits && (!next || f->number < next->number))
			next = f;
	}
	if (next)
		work(next);
}

/* What is left if this process dies: after messages, before the next. */
static void note(struct vm *vm)
{
	if (vm->changed)
		vault_update(vm);
	vm->changed = false;
	journal_busy(vm->journal, vm->front && vm->front->ch.got);
}

static void front_gone(struct front *f)
{
	struct vm *vm = f->vm;
	bool had = vm->front == f;

	front_close(f);
	if (had) {
		vm->front = NULL;
		vu_device_forget(&vm->device);
		gmem_lost_reset();
		log_info("the front-end has gone");
		vm->changed = true;
		note(vm);
	}
	if (vm->listener < 0 || (had && vm->config.one_off)) {
		vm->over = true;
		ev_quit(vm->ev);
		return;
	}
	if (had)
		next_front(vm);
}

void vm_front_drop(struct vm *vm)
{
	if (vm->front)
		front_gone(vm->front);
}

/* ---- messages */

/* Does it only ask, or mean nothing? */
static bool only_looks(uint32_t request)
{
	switch (request) {
	case VU_SET_FEATURES:
	case VU_SET_OWNER:
	case VU_RESET_OWNER:
	case VU_SET_MEM_TABLE:
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_ADDR:
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
	case VU_SET_VRING_ENABLE:
	case VU_RESET_DEVICE:
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG:
	case VU_SET_DEVICE_STATE_FD:
	case VU_CHECK_DEVICE_STATE:
		return false;
	default:
		return true;
	}
}

/* Return: is it the front-end from now on? */
static bool become_front(struct front *f)
{
	struct vm *vm = f->vm;

	if (vm->front)
		return vm->front == f;
	vm->front = f;
	if (f->has_protocol)
		vu_device_handshake(&vm->device, f->protocol_features);
	log_info("a front-end has connected");
	return true;
}

static int set_protocol_features(struct front *f, const struct vu_message *m)
{
	int r = vu_device_may_protocol(m->u.u64);

	if (r == 0) {
		f->protocol_features = m->u.u64;
		f->has_protocol = true;
	}
	return r;
}

/* Of one that is not the front-end (yet). As vu_device_message() */
static int looks(struct front *f, const struct vu_message *m, int error,
		 struct vu_answer *ret, int *ret_refused)
{
	if (m->header.request != VU_SET_PROTOCOL_FEATURES)
		return vu_device_message(&f->vm->device, m, error, f->ch.fds,
					 ret, ret_refused);
	*ret_refused = error < 0 ? error : set_protocol_features(f, m);
	ret->size = 0;
	if (m->header.flags & VU_FLAG_NEED_REPLY) {
		le64_put(ret->payload, *ret_refused < 0);
		ret->size = 8;
	}
	return 0;
}

/* Return: 0 or -errno: the connection is over */
static int on_message(struct front *f, const struct vu_header *h)
{
	struct vm *vm = f->vm;
	struct vu_message m;
	struct vu_answer a;
	int error, r, why = 0;

	error = vu_message_decode(h, f->ch.buf + VU_HEADER, f->ch.nfds, &m);
	if (vm->front == f)
		r = vu_device_message(&vm->device, &m, error, f->ch.fds, &a,
				      &why);
	else
		r = looks(f, &m, error, &a, &why);
	if (why < 0)
		log_limited(&vm->refused, LOG_WARN_,
			    "front-end: %s (%u) refused: %s",
			    vu_request_name(h->request), h->request,
			    strerror(-why));
	else
		log_debug("front-end: %s", vu_request_name(h->request));
	vu_channel_next(&f->ch);
	if (r == 0 && a.size)
		r = vu_channel_reply(&f->ch, h->request, a.payload, a.size);
	return r;
}

/* Return: 1: go on; 0: it waits; -errno: the connection is over */
static int take(struct front *f, const struct vu_header *h)
{
	int r;

	f->spoke = true;
	if (h->request == VU_HAND_OVER) {
		f->successor = true;
		handover_serve(f->vm, f->ch.fd);
		return -ECONNRESET;
	}
	if (!only_looks(h->request) && !become_front(f)) {
		f->waits = true;
		f->held = *h;
		/* (its end is seen all the same) */
		r = ev_io_start(f->vm->ev, &f->io, f->ch.fd, EPOLLRDHUP,
				on_front);
		return r;
	}
	if (!only_looks(h->request)) {
		journal_busy(f->vm->journal, true);
		f->vm->changed = true;
	}
	r = on_message(f, h);
	return r < 0 ? r : 1;
}

/* Return: as take(), and -ECONNRESET: end of file */
static int read_some(struct front *f)
{
	struct vu_header h;
	int r;

	for (int i = 0; i < MESSAGES_MAX; i++) {
		if (f->vm->front == f)
			journal_busy(f->vm->journal, true);
		r = vu_channel_recv(&f->ch, &h);
		if (r == 0)
			return -ECONNRESET;
		if (r == 1)
			r = take(f, &h);
		if (r != 1)
			return r;
	}
	return 1;
}

static void ended(struct front *f, int r)
{
	if (r >= 0 || r == -EAGAIN)
		return;
	if (r != -ECONNRESET)
		log_warn("front-end: the connection is ended: %s",
			 strerror(-r));
	front_gone(f);
}

static void on_front(struct ev_io *io, uint32_t events)
{
	struct front *f = container_of(io, struct front, io);

	struct vm *vm = f->vm;

	if (f->waits) {
		if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			ended(f, -ECONNRESET);
		return;
	}
	ended(f, read_some(f));
	note(vm);
}

/* One that has waited: its message, then what has come since. */
static void work(struct front *f)
{
	int r;

	f->waits = false;
	r = ev_io_start(f->vm->ev, &f->io, f->ch.fd, EPOLLIN, on_front);
	if (r == 0)
		r = take(f, &f->held);
	ended(f, r);
	note(f->vm);
}

/* ---- connections */

static int front_new(struct vm *vm, struct front *f, int fd)
{
	*f = (struct front) { .vm = vm, .number = ++vm->nfronts };
	vu_channel_init(&f->ch, fd);
	return ev_io_start(vm->ev, &f->io, fd, EPOLLIN, on_front);
}

/* A place for one more: a free one, or that of the oldest that said nothing. */
static struct front *place_for_one(struct vm *vm)
{
	struct front *silent = NULL;

	for (int i = 0; i < VM_FRONTS; i++) {
		struct front *f = &vm->fronts[i];

		if (f->ch.fd < 0)
			return f;
		if (!f->spoke && (!silent || f->number < silent->number))
			silent = f;
	}
	if (silent)
		front_close(silent);
	return silent;
}

static void on_accept_again(struct ev_timer *t)
{
	listen_on(container_of(t, struct vm, accept_timer));
}

static void on_listen(struct ev_io *io, uint32_t events)
{
	struct vm *vm = container_of(io, struct vm, listen_io);
	struct front *f = place_for_one(vm);
	int fd;

	(void)events;
	if (!f) {
		/* until one of them goes */
		ev_io_stop(&vm->listen_io);
		return;
	}
	fd = accept4(vm->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* no descriptors, or no memory: not at once again */
		log_limited(&vm->refused, LOG_WARN_,
			    "the VMM's connection cannot be taken: %s",
			    strerror(errno));
		ev_io_stop(&vm->listen_io);
		(void)ev_timer_start(vm->ev, &vm->accept_timer, ACCEPT_AGAIN_MS,
				     on_accept_again);
		return;
	}
	if (front_new(vm, f, fd) < 0)
		front_close(f);
}

int vm_listen(struct vm *vm, int fd)
{
	vm->listener = fd;
	return ev_io_start(vm->ev, &vm->listen_io, fd, EPOLLIN, on_listen);
}

int vm_connected(struct vm *vm, int fd)
{
	int r = front_new(vm, &vm->fronts[0], fd);

	if (r < 0)
		vu_channel_fini(&vm->fronts[0].ch);
	return r;
}

void vm_fronts_resume(struct vm *vm)
{
	for (int i = 0; i < VM_FRONTS; i++) {
		struct front *f = &vm->fronts[i];

		if (f->ch.fd >= 0 &&
		    ev_io_start(vm->ev, &f->io, f->ch.fd,
				f->waits ? EPOLLRDHUP : EPOLLIN, on_front) < 0)
			front_close(f);
	}
	listen_on(vm);
	if (!vm->died_busy || !vm->front)
		return;
	log_warn("the process before died over a message of the front-end, "
		 "which has to connect again");
	front_gone(vm->front);
}

void vm_fronts_init(struct vm *vm)
{
	vm->listener = -1;
	for (int i = 0; i < VM_FRONTS; i++)
		vm->fronts[i] = (struct front) { .vm = vm, .ch.fd = -1 };
}

void vm_fronts_fini(struct vm *vm)
{
	ev_io_stop(&vm->listen_io);
	ev_timer_stop(&vm->accept_timer);
	for (int i = 0; i < VM_FRONTS; i++) {
		ev_io_stop(&vm->fronts[i].io);
		vu_channel_fini(&vm->fronts[i].ch);
	}
	if (vm->listener >= 0)
		close(vm->listener);
	vm->listener = -1;
}
