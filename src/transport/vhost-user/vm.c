/* SPDX-License-Identifier: MIT */
/* vm.c - see vm.h */
#include "transport/vhost-user/vm-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "base/wakeup.h"
#include "transport/attach.h"
#include "transport/vhost-user/vault.h"

/*
 * What the other side may take to answer before we sleep: seven wake-ups, as
 * they take here, for a small message. Larger ones only become fewer when
 * somebody waits for them; unless a wake-up takes so long that all of it does.
 */
#define LOOK_WAKEUPS 7u
#define LOOK_MIN_NS 50000u
#define LOOK_MAX_NS 400000u
#define LOOK_BYTES 16384u
#define WAKEUP_DEAR_NS 30000u
/* An answer takes less than so many, and spares the guest an interrupt of its
 * own for what it has sent. */
#define TELL_WAKEUPS 50u

/* ---- the pump */

static void on_pump(struct ev_timer *t);

void vm_wake(struct vm *vm)
{
	if (!vm->pumping && !vm->pump_timer.ev &&
	    ev_timer_start_at(vm->ev, &vm->pump_timer, 0, on_pump) < 0)
		log_err("no memory for a timer");
}

static void on_linger(struct ev_timer *t)
{
	struct vm *vm = container_of(t, struct vm, linger_timer);

	vm_wake(vm); /* which looks at the time */
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

static void on_tell(struct ev_timer *t)
{
	struct vm *vm = container_of(t, struct vm, tell_timer);

	if (pump_owes(&vm->pump))
		pump_tell(&vm->pump);
}

static void running(struct vm *vm)
{
	sessions_running(vm->sessions,
			 vu_ring_live(&vm->device, VU_RX) &&
				 vu_ring_live(&vm->device, VU_TX));
}

static const char *const ring_names[VU_RINGS] = {
	[VU_RX] = "receive",
	[VU_TX] = "transmit",
	[VU_EVENT] = "event",
};

static void on_pump(struct ev_timer *t)
{
	struct vm *vm = container_of(t, struct vm, pump_timer);
	unsigned int ring = 0;
	int r;

	vm->pumping = true;
	vsock_time(vm->v, ev_now_ns());
	r = pump_run(&vm->pump, &ring);
	vm->pumping = false;
	if (vm->pump.moved)
		ev_eager(vm->ev, vm->pump.moved < LOOK_BYTES
					 ? vm->look_ns
					 : vm->look_bulk_ns);
	if (gmem_lost()) {
		log_err("the guest's memory was cut short: dropping the "
			"front-end");
		vm_front_drop(vm);
		return;
	}
	if (r < 0) {
		vu_ring_broken(&vm->device, ring);
		log_limited(&vm->broken, LOG_WARN_,
			    "the guest's %s ring is malformed (%s): stopped "
			    "until it is reset",
			    ring_names[ring], strerror(-r));
		running(vm);
	}
	if (r > 0)
		vm_wake(vm);
	if (pump_owes(&vm->pump) && !vm->tell_timer.ev &&
	    ev_timer_start(vm->ev, &vm->tell_timer, vm->tell_ms, on_tell) < 0)
		pump_tell(&vm->pump);
	linger(vm);
}

/*
 * While the loop looks for events (ev_eager()) the rings are looked at, and the
 * guest need not kick: for it that is an exit of its processor, and a wake-up
 * here.
 */
static bool on_look(void *ctx)
{
	struct vm *vm = ctx;

	if (!pump_pending(&vm->pump))
		return false;
	ev_timer_stop(&vm->pump_timer);
	on_pump(&vm->pump_timer);
	return true;
}

static bool on_sleep(void *ctx)
{
	struct vm *vm = ctx;

	if (!pump_arm(&vm->pump))
		return false;
	vm_wake(vm);
	return true;
}

static void on_kick_rx(struct ev_io *io, uint32_t events)
{
	(void)events;
	vm_wake(container_of(io, struct vm, kick_io[VU_RX]));
}

static void on_kick_tx(struct ev_io *io, uint32_t events)
{
	(void)events;
	vm_wake(container_of(io, struct vm, kick_io[VU_TX]));
}

static void on_kick_event(struct ev_io *io, uint32_t events)
{
	(void)events;
	vm_wake(container_of(io, struct vm, kick_io[VU_EVENT]));
}

static const ev_io_fn on_kick[VU_RINGS] = {
	[VU_RX] = on_kick_rx,
	[VU_TX] = on_kick_tx,
	[VU_EVENT] = on_kick_event,
};

/* ---- what the front-end's messages lead to */

static void on_ring_started(void *ctx, unsigned int i)
{
	struct vm *vm = ctx;
	int r;

	vsock_set_seqpacket(vm->v, vm->device.features & VU_F_SEQPACKET);
	/* the counter is not read: each write is an edge */
	r = ev_io_start(vm->ev, &vm->kick_io[i], vm->device.rings[i].kick,
			EPOLLIN | EPOLLET, on_kick[i]);
	if (r < 0) {
		log_err("a ring's kick cannot be waited for: %s", strerror(-r));
		vu_ring_broken(&vm->device, i);
	}
	running(vm);
	vm_wake(vm); /* a kick may have been lost on the way here */
}

static void on_ring_stopping(void *ctx, unsigned int i)
{
	struct vm *vm = ctx;

	ev_io_stop(&vm->kick_io[i]);
	if (i == VU_TX)
		pump_tell(&vm->pump);
	running(vm);
}

static void on_reset(void *ctx)
{
	struct vm *vm = ctx;

	vm->pump.reset_wanted = false;
	vsock_reset(vm->v);
	linger(vm);
}

static void on_lost_track(void *ctx)
{
	struct vm *vm = ctx;

	vm->pump.reset_wanted = true;
	vm_wake(vm);
}

static const struct vu_device_ops device_ops = {
	.ring_started = on_ring_started,
	.ring_stopping = on_ring_stopping,
	.reset = on_reset,
	.lost_track = on_lost_track,
};

/* ---- lifetime */

static void set_pace(struct vm *vm)
{
	uint64_t wakeup = wakeup_ns(), look = LOOK_WAKEUPS * wakeup;

	vm->look_ns = MIN(MAX(look, LOOK_MIN_NS), LOOK_MAX_NS);
	vm->look_bulk_ns = wakeup >= WAKEUP_DEAR_NS ? vm->look_ns : 0;
	vm->tell_ms = MAX(PUMP_TELL_MS, MIN(TELL_WAKEUPS * wakeup / 1000000,
					    PUMP_TELL_MAX_MS));
}

int vm_new(struct ev *ev, const struct vm_config *config, struct vm **ret,
	   const char **ret_why)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	const struct link_config lc = {
		.partition = config->partition,
		.kind = TRANSPORT_VHOST_USER,
		.raw = true,
		.cids = true,
	};
	int r;

	*ret_why = "no memory";
	if (!vm)
		return -ENOMEM;
	vm->ev = ev;
	vm->config = *config;
	vm->uid = geteuid();
	vm_fronts_init(vm);
	vu_device_init(&vm->device, config->guest_cid, &device_ops, vm);
	r = vsock_new(config->guest_cid, &vm_vsock_ops, vm, &vm->v);
	if (r == 0)
		r = sessions_new(ev, &vm_guest_ops, vm, &vm->sessions);
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
	set_pace(vm);
	ev_eager(ev, vm->look_ns);
	ev_poll(ev, on_look, on_sleep, vm);
	vm->pump.d = &vm->device;
	vm->pump.v = vm->v;
	*ret = vm;
	return 0;
}

struct vm *vm_free(struct vm *vm)
{
	if (!vm)
		return NULL;
	if (vm->v && vm->sessions && vm->link)
		vu_device_forget(&vm->device);
	vm_fronts_fini(vm);
	vm->v = vsock_free(vm->v);
	vm->journal = journal_free(vm->journal);
	vm->vault = vault_free(vm->vault);
	vm->sessions = sessions_free(vm->sessions);
	vm->link = link_free(vm->link);
	ev_timer_stop(&vm->pump_timer);
	ev_timer_stop(&vm->tell_timer);
	ev_poll(vm->ev, NULL, NULL, NULL);
	ev_timer_stop(&vm->linger_timer);
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

void vm_tell(const struct vm *vm)
{
	const struct session_calls *c = sessions_calls(vm->sessions);
	const struct vsock_stats *st = vsock_stats(vm->v);

	log_warn("packets: %llu from the guest, %llu to it; interrupts %llu; "
		 "reads %llu, writes %llu, probes %llu; waits %llu; "
		 "connections: %u; resets %llu",
		 (unsigned long long)st->tx_packets,
		 (unsigned long long)st->rx_packets,
		 (unsigned long long)vm->device.calls,
		 (unsigned long long)c->reads, (unsigned long long)c->writes,
		 (unsigned long long)c->probes,
		 (unsigned long long)ev_waits(vm->ev), vsock_conn_count(vm->v),
		 (unsigned long long)st->resets);
}
