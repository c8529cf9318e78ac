/* SPDX-License-Identifier: MIT */
/*
 * poll.c - rings that are looked at, so that their guest need not ring
 *
 * A doorbell is an exit of the guest's processor, a write to a descriptor and a
 * wake-up here; while bytes flow, the next are mostly there by the time the
 * last have been moved. So connections that have moved something are held
 * (vmbh_sock_hold()): their rings are looked at whenever the loop looks for
 * events without sleeping, and the guest is asked to ring only just before it
 * sleeps. How long that goes on is the loop's business (yielder.h).
 */
#include "transport/vmbus/conn.h"

#define HELD_MAX 64u

void poll_hold(struct conn *c)
{
	struct vm *vm = c->vm;

	if (c->held || vm->stopped || vm->nheld == HELD_MAX)
		return;
	c->held = true;
	vm->nheld++;
	TAILQ_INSERT_TAIL(&vm->held, c, held_link);
	vmbh_sock_hold(c->s);
}

void poll_forget(struct conn *c)
{
	if (!c->held)
		return;
	c->held = false;
	c->vm->nheld--;
	TAILQ_REMOVE(&c->vm->held, c, held_link);
}

static uint64_t moved(const struct vm *vm)
{
	return vm->stats.bytes_in + vm->stats.bytes_out;
}

/* Those that have something to do, each once and in turn; @release: all are
 * let go first. Return: bytes were moved. */
static bool visit(struct vm *vm, bool release)
{
	uint64_t before = moved(vm);
	bool begun = false;

	/* any of them may end, and those that are released may be held anew */
	for (unsigned int n = vm->nheld; n && !TAILQ_EMPTY(&vm->held); n--) {
		struct conn *c = TAILQ_FIRST(&vm->held);

		if (moved(vm) - before > CONN_TURN)
			break;
		TAILQ_REMOVE(&vm->held, c, held_link);
		TAILQ_INSERT_TAIL(&vm->held, c, held_link);
		if (!begun)
			vm_begin(vm);
		begun = true;
		if (release) {
			poll_forget(c);
			if (!vmbh_sock_release(c->s))
				continue;
		} else if (!vmbh_sock_pending(c->s)) {
			continue;
		}
		if (c->s)
			conn_look(c);
	}
	if (begun)
		vm_end(vm);
	return moved(vm) != before;
}

static bool on_look(void *ctx)
{
	return visit(ctx, false);
}

/* True as well while some are still held. */
static bool on_sleep(void *ctx)
{
	struct vm *vm = ctx;

	return visit(vm, true) || vm->nheld;
}

void poll_release(struct vm *vm)
{
	while (!TAILQ_EMPTY(&vm->held)) {
		struct conn *c = TAILQ_FIRST(&vm->held);

		poll_forget(c);
		if (vmbh_sock_release(c->s) && c->s)
			conn_resume(c);
	}
}

void poll_start(struct vm *vm)
{
	ev_poll(vm->ev, on_look, on_sleep, vm);
}
