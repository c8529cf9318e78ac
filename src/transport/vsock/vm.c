/* SPDX-License-Identifier: MIT */
/*
 * vm.c - see vm.h
 *
 * The kernel does not say when a VM takes a CID or lets go of it. While nobody
 * has it that is asked again and again, which disturbs nobody. While somebody
 * has it a question would be a packet to the guest, so it is asked only when
 * there is a reason to: a connection was reset, or could not be begun.
 */
#include "transport/vsock/vm.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "transport/closer.h"
#include "transport/link.h"
#include "transport/session.h"
#include "transport/vsock/conn.h"
#include "transport/vsock/vsocket.h"

#define LOOK_MIN_MS 20u
#define LOOK_MAX_MS 2000u

struct vm {
	struct ev *ev;
	uint32_t cid;
	struct link *link;
	struct sessions *sessions;
	struct conns *conns;
	struct ev_timer again;
	uint64_t pause_ms;
	bool running;
};

/* ---- is the guest there? */

static void on_again(struct ev_timer *t);

static void look(struct vm *vm)
{
	bool there = vsocket_probe(vm->cid);

	ev_timer_stop(&vm->again);
	if (there != vm->running)
		log_debug(there ? "CID %u: a VM has it" :
				  "CID %u: no VM has it any more",
			  vm->cid);
	vm->running = there;
	sessions_running(vm->sessions, there);
	if (there) {
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

void vm_dialled(struct vm *vm, int fd, uint32_t port, uint32_t source)
{
	if (!vm->running) {
		/* who speaks is there, whatever was found last */
		vm->running = true;
		ev_timer_stop(&vm->again);
		vm->pause_ms = LOOK_MIN_MS;
		sessions_running(vm->sessions, true);
	}
	conns_dialled(vm->conns, fd, port, source);
}

/* ---- life */

int vm_new(struct ev *ev, const GUID *vmid, uint32_t cid, struct vm **ret)
{
	const struct link_config lc = {
		.partition = "",
		.kind = TRANSPORT_VSOCK,
		.vmid = *vmid,
		.native = true,
	};
	struct vm *vm = calloc(1, sizeof(*vm));
	const char *why;
	int r;

	if (!vm)
		return -ENOMEM;
	vm->ev = ev;
	vm->cid = cid;
	vm->pause_ms = LOOK_MIN_MS;
	r = conns_new(ev, cid, on_look, vm, &vm->conns);
	if (r == 0)
		r = sessions_new(ev, conns_guest_ops(), vm->conns,
				 &vm->sessions);
	if (r == 0)
		r = link_new(ev, &lc, sessions_link_ops(), vm->sessions,
			     &vm->link, &why);
	if (r < 0) {
		vm_free(vm);
		return r;
	}
	sessions_set_link(vm->sessions, vm->link);
	conns_set_sessions(vm->conns, vm->sessions);
	look(vm);
	link_start(vm->link);
	*ret = vm;
	return 0;
}

struct vm *vm_free(struct vm *vm)
{
	if (!vm)
		return NULL;
	if (vm->conns)
		conns_free(vm->conns);
	ev_timer_stop(&vm->again);
	sessions_free(vm->sessions);
	link_free(vm->link);
	free(vm);
	return NULL;
}

uint32_t vm_cid(const struct vm *vm)
{
	return vm->cid;
}
