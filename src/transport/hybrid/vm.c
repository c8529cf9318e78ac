/* SPDX-License-Identifier: MIT */
/*
 * vm.c - see vm.h
 *
 * Whether the VMM runs is seen at its socket: when a file of its name comes or
 * goes (inotify), when a connection ends or fails, and, as long as there is a
 * file that nobody listens at (it is bound first, then listened at), again and
 * again with growing pauses.
 */
#include "transport/attach.h"
#include "transport/hybrid/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/unix.h"
#include "transport/hybrid/conn.h"
#include "transport/hybrid/doors.h"
#include "transport/link.h"
#include "transport/session.h"

#define LOOK_MIN_MS 10u
#define LOOK_MAX_MS 1000u
#define SETTLE_MS 100u
#define WATCHED (IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM)

struct vm {
	struct ev *ev;
	struct vm_config config;
	struct link *link;
	struct sessions *sessions;
	struct conns *conns;
	struct doors *doors;
	struct ev_io watch;
	struct ev_timer again, settled;
	uint64_t pause_ms;
	bool running, orphaned;
};

/* ---- is the VMM there? */

static void on_again(struct ev_timer *t);

static void look(struct vm *vm)
{
	int r = unix_alive(vm->config.name);

	ev_timer_stop(&vm->again);
	if (vm->running != (r == 1))
		log_debug(r == 1 ? "%s: the VMM listens"
				 : "%s: no VMM listens any more",
			  vm->config.name);
	vm->running = r == 1;
	sessions_running(vm->sessions, vm->running);
	if (r == 1 || r == -ENOENT) {
		vm->pause_ms = LOOK_MIN_MS;
		return;
	}
	(void)ev_timer_start(vm->ev, &vm->again, vm->pause_ms, on_again);
	vm->pause_ms *= 2;
	if (vm->pause_ms > LOOK_MAX_MS)
		vm->pause_ms = LOOK_MAX_MS;
}

static void on_again(struct ev_timer *t)
{
	look(container_of(t, struct vm, again));
}

/* Connections may end one after the other: once for all of them. */
static void on_look(void *ctx)
{
	struct vm *vm = ctx;

	if (!vm->again.ev)
		(void)ev_timer_start(vm->ev, &vm->again, LOOK_MIN_MS, on_again);
}

/*
 * A while after files came or went, so that whoever removes them all, and the
 * directory, is not met by new ones.
 */
static void on_settled(struct ev_timer *t)
{
	struct vm *vm = container_of(t, struct vm, settled);
	struct stat st;

	if (stat(".", &st) < 0 || !st.st_nlink) {
		log_err("the VM's directory was removed");
		vm->orphaned = true;
		ev_quit(vm->ev);
		return;
	}
	doors_look(vm->doors);
}

static void on_event(struct vm *vm, const struct inotify_event *e)
{
	if (!vm->settled.ev)
		(void)ev_timer_start(vm->ev, &vm->settled, SETTLE_MS,
				     on_settled);
	if (e->mask & IN_Q_OVERFLOW ||
	    (e->len && strcmp(e->name, vm->config.name) == 0)) {
		vm->pause_ms = LOOK_MIN_MS;
		look(vm);
	}
}

static void on_watch(struct ev_io *io, uint32_t events)
{
	struct vm *vm = container_of(io, struct vm, watch);
	union {
		struct inotify_event align;
		char bytes[8192];
	} buf;
	const struct inotify_event *e;
	ssize_t n;

	(void)events;
	n = read(io->fd, &buf, sizeof(buf));
	for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
		e = (const void *)(buf.bytes + at);
		on_event(vm, e);
	}
}

static int watch(struct vm *vm)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (inotify_add_watch(fd, ".", WATCHED) < 0)
		r = -errno;
	if (r == 0)
		r = ev_io_start(vm->ev, &vm->watch, fd, EPOLLIN, on_watch);
	if (r < 0)
		close(fd);
	return r;
}

/* ---- joints */

static void on_services(void *ctx, const struct msg_services *m)
{
	doors_services(((struct vm *)ctx)->doors, m);
}

static void on_dialled(void *ctx, int fd, const GUID *service)
{
	conns_dialled(((struct vm *)ctx)->conns, fd, service);
}

static const struct conns_ops conns_ops = {
	.look = on_look,
	.services = on_services,
};

/* ---- life */

int vm_new(struct ev *ev, const struct vm_config *config, struct vm **ret,
	   const char **ret_why)
{
	const struct link_config lc = {
		.partition = config->partition,
		.kind = TRANSPORT_HYBRID,
		.vmid = config->vmid,
		.services = true,
	};
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	*ret_why = "no memory";
	if (!vm)
		return -ENOMEM;
	vm->ev = ev;
	vm->config = *config;
	vm->pause_ms = LOOK_MIN_MS;
	r = conns_new(ev, config->name, &conns_ops, vm, &vm->conns);
	if (r == 0)
		r = doors_new(ev, config->name, on_dialled, vm, &vm->doors);
	if (r == 0)
		r = sessions_new(ev, conns_guest_ops(), vm->conns,
				 &vm->sessions);
	if (r == 0)
		r = link_new(ev, &lc, sessions_link_ops(), vm->sessions,
			     &vm->link, ret_why);
	if (r == 0) {
		sessions_set_link(vm->sessions, vm->link);
		conns_set_sessions(vm->conns, vm->sessions);
		*ret_why = "the directory cannot be watched";
		r = watch(vm);
	}
	if (r < 0) {
		vm_free(vm);
		return r;
	}
	look(vm);
	*ret = vm;
	return 0;
}

struct vm *vm_free(struct vm *vm)
{
	if (!vm)
		return NULL;
	if (vm->doors)
		doors_free(vm->doors);
	if (vm->conns)
		conns_free(vm->conns);
	ev_timer_stop(&vm->again);
	ev_timer_stop(&vm->settled);
	if (vm->watch.ev) {
		ev_io_stop(&vm->watch);
		close(vm->watch.fd);
	}
	sessions_free(vm->sessions);
	link_free(vm->link);
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

bool vm_orphaned(const struct vm *vm)
{
	return vm->orphaned;
}
