/* SPDX-License-Identifier: MIT */
/* vm.c - see vm.h */
#include "transport/vmbus/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/vmbus/conn.h"
#include "transport/vmbus/handover.h"
#include "transport/vmbus/integration.h"

/* ---- time */

static void on_deadline(struct ev_timer *t)
{
	struct vm *vm = container_of(t, struct vm, deadline);

	vm_begin(vm);
	vm_end(vm);
}

void vm_begin(struct vm *vm)
{
	uint64_t now;

	if (vm->stopped)
		return;
	now = ev_now_ns();
	vmbh_time(vm->bus, now);
	integration_time(vm->integration, now);
}

void vm_end(struct vm *vm)
{
	uint64_t at = vm->stopped ? 0 : vmbh_deadline(vm->bus);
	uint64_t more = vm->stopped ? 0 : integration_deadline(vm->integration);

	if (!at || (more && more < at))
		at = more;
	if (gmem_lost()) {
		log_err("the guest's memory was cut short: dropping the VMM");
		gmem_lost_reset();
		if (vm->front >= 0)
			(void)shutdown(vm->front, SHUT_RDWR);
	}
	if (!at)
		ev_timer_stop(&vm->deadline);
	else if (!vm->deadline.ev || vm->deadline.at_ns != at)
		(void)ev_timer_start_at(vm->ev, &vm->deadline, at, on_deadline);
}

/* ---- what the bus asks */

static void *op_map(void *ctx, uint64_t gfn)
{
	struct vm *vm = ctx;
	struct iovec iov;

	if (gfn > UINT64_MAX / VMBH_PAGE ||
	    gmem_iov(&vm->gmem, gfn * VMBH_PAGE, VMBH_PAGE, &iov, 1) != 1)
		return NULL;
	return iov.iov_base;
}

static void op_written(void *ctx, uint64_t gpa, size_t len)
{
	struct vm *vm = ctx;
	uint64_t n = gpa / VMBH_PAGE;

	(void)len;
	if (vm->log && n / 8 < vm->log_size)
		(void)__atomic_fetch_or(vm->log + n / 8,
					(uint8_t)(1u << (n % 8)),
					__ATOMIC_RELAXED);
}

static void op_random(void *ctx, void *buf, size_t len)
{
	uint8_t *p = buf;

	(void)ctx;
	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort(); /* a kernel without randomness */
		p += n;
		len -= (size_t)n;
	}
}

static void op_ready(void *ctx, bool ready)
{
	struct vm *vm = ctx;

	vm->host->ops->running(vm->host, ready);
}

static void op_complain(void *ctx, const char *sentence)
{
	struct vm *vm = ctx;

	log_limited(&vm->limit, LOG_WARN_, "guest: %s", sentence);
}

static const struct vmbh_ops bus_ops = {
	.post = filter_out,
	.signal = vps_signal,
	.map = op_map,
	.written = op_written,
	.random = op_random,
	.connect = conn_connect,
	.connected = conn_connected,
	.readable = conn_readable,
	.writable = conn_writable,
	.gone = conn_gone,
	.ready = op_ready,
	.complain = op_complain,
};

/* ---- the VMM comes and goes */

void vm_forget(struct vm *vm)
{
	handover_free(vm);
	filter_forget(vm->filter);
	vm->stopped = false;
	vmbh_journal(vm->bus, NULL);
	vmbh_reset(vm->bus);
	vps_fini(vm);
	gmem_clear(&vm->gmem);
	for (unsigned int i = 0; i < GMEM_MORE; i++)
		gmem_guard_more(i, NULL, 0);
	if (vm->journal)
		munmap(vm->journal, VMBU_JOURNAL_SIZE);
	if (vm->log)
		munmap(vm->log, vm->log_size);
	vm->journal = vm->log = NULL;
	vm->log_size = 0;
	vm->greeted = vm->posted = false;
	vm->ahead = 0;
	vm->clock.known = false;
}

static void on_listen(struct ev_io *io, uint32_t events)
{
	struct vm *vm = container_of(io, struct vm, listen_io);
	int fd =
		accept4(vm->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	ev_io_stop(&vm->listen_io); /* one VMM at a time */
	vm->front = fd;
	server_start(vm);
}

int vm_listen(struct vm *vm, int fd)
{
	vm->listener = fd;
	return ev_io_start(vm->ev, &vm->listen_io, fd, EPOLLIN, on_listen);
}

int vm_connected(struct vm *vm, int fd)
{
	vm->front = fd;
	vm->one_off = true;
	server_start(vm);
	return vm->front_io.ev ? 0 : -ENOMEM;
}

void server_stop(struct vm *vm)
{
	ev_io_stop(&vm->front_io);
	if (vm->front >= 0)
		close(vm->front);
	vm->front = -1;
	log_debug("the VMM has gone");
	if (vm->handed_over) {
		/* nothing here is ours any more */
		ev_quit(vm->ev);
		return;
	}
	vm_begin(vm);
	vm_forget(vm);
	vm_end(vm);
	if (vm->one_off || vm->listener < 0 ||
	    ev_io_start(vm->ev, &vm->listen_io, vm->listener, EPOLLIN,
			on_listen) < 0)
		ev_quit(vm->ev);
}

/* ---- its life */

const struct session_guest_ops *vm_guest_ops(void)
{
	return &conn_host_ops;
}

void vm_set_host(struct vm *vm, struct host *h)
{
	vm->host = h;
}

int vm_new(struct ev *ev, const struct vm_config *config, struct vm **ret)
{
	const struct vmbh_config bus = { .connect_early = true };
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return -ENOMEM;
	vm->ev = ev;
	vm->one_off = config->one_off;
	vm->filter = config->filter;
	vm->front = vm->listener = -1;
	TAILQ_INIT(&vm->conns);
	TAILQ_INIT(&vm->ready);
	TAILQ_INIT(&vm->held);
	poll_start(vm);
	vps_init(vm);
	r = vmbh_new(&bus, &bus_ops, vm, &vm->bus);
	if (r == 0)
		r = integration_new(vm, config->services, &vm->integration);
	if (r == 0)
		r = gmem_guard_install(&vm->gmem);
	if (r < 0) {
		vm_free(vm);
		return r;
	}
	filter_start(vm->filter, vm);
	*ret = vm;
	return 0;
}

struct vm *vm_free(struct vm *vm)
{
	if (vm->bus && log_enabled(LOG_DEBUG_))
		vm_tell(vm);
	ev_io_stop(&vm->front_io);
	ev_io_stop(&vm->listen_io);
	handover_free(vm);
	if (vm->bus && vm->host && !vm->handed_over)
		vm_forget(vm);
	vps_fini(vm);
	while (!TAILQ_EMPTY(&vm->conns)) {
		struct conn *c = TAILQ_FIRST(&vm->conns);

		TAILQ_REMOVE(&vm->conns, c, all);
		free(c);
	}
	ev_poll(vm->ev, NULL, NULL, NULL);
	ev_timer_stop(&vm->turn);
	ev_timer_stop(&vm->deadline);
	if (vm->front >= 0)
		close(vm->front);
	if (vm->listener >= 0)
		close(vm->listener);
	integration_free(vm->integration);
	filter_free(vm->filter);
	vmbh_free(vm->bus);
	if (vm->host)
		vm->host->ops->free(vm->host);
	gmem_clear(&vm->gmem);
	free(vm);
	return NULL;
}
