/* SPDX-License-Identifier: MIT */
/*
 * vmbus-clock.c - what the guest's reference counter says, for the back-end
 *
 * KVM counts it in the VM's clock, at the rate of the host's
 * CLOCK_MONOTONIC_RAW: one pair of values would do. It is told again now and
 * then, as the two are multiplied in different places and may part by a few
 * millionths, and since the host may have slept.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/host-clock.h"
#include "base/log.h"
#include "hvvm/vmbus-internal.h"

#define AGAIN_MS 30000u

/* Both of one moment: of several tries the one that took the least. */
static int read_clock(int vm, uint64_t *ret_reference, uint64_t *ret_raw)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int i = 0; i < HOST_CLOCK_TRIES; i++) {
		uint64_t before = host_clock_ns(CLOCK_MONOTONIC_RAW), took;
		struct kvm_clock_data c = { 0 };

		if (ioctl(vm, KVM_GET_CLOCK, &c) < 0)
			return -errno;
		took = host_clock_ns(CLOCK_MONOTONIC_RAW) - before;
		if (took >= best)
			continue;
		best = took;
		*ret_reference = c.clock / 100;
		*ret_raw = before + took / 2;
	}
	return 0;
}

int vmbus_say_clock(struct vmbus *b)
{
	struct vmbu_request r = { .type = VMBU_CLOCK };
	struct vmbu_reply reply;
	int err;

	if (!(b->link.features & VMBU_FEATURE_CLOCK))
		return 0;
	err = read_clock(b->m->fd, &r.u.clock.reference, &r.u.clock.raw);
	if (err < 0) {
		/* it goes on with what it knows, or without */
		log_warn("KVM_GET_CLOCK: %s", strerror(-err));
		return 0;
	}
	return vmbus_ask(b, &r, NULL, 0, &reply);
}

static void on_clock(struct ev_timer *t)
{
	struct vmbus *b = container_of(t, struct vmbus, clock);

	pthread_mutex_lock(&b->lock);
	if (!b->lost)
		(void)vmbus_say_clock(b);
	pthread_mutex_unlock(&b->lock);
	vmbus_clock_start(b);
}

void vmbus_clock_start(struct vmbus *b)
{
	if (ev_timer_start(b->m->ev, &b->clock, AGAIN_MS, on_clock) < 0)
		log_warn("the guest's time cannot be told again");
}
