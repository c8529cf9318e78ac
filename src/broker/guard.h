/* SPDX-License-Identifier: MIT */
/*
 * guard.h - no system call holds the broker up for long
 *
 * O_NONBLOCK belongs to the open file, which the application shares: it can
 * clear it while the broker is about to connect() to a full backlog. A timer
 * with a signal whose handler does nothing ends such a call with EINTR within
 * a few milliseconds. Arming costs a clock read; the timer itself is set at
 * most once in GUARD_MS / 2.
 */
#ifndef BROKER_GUARD_H
#define BROKER_GUARD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define GUARD_MS 4

struct guard {
	bool ready;
	timer_t timer;
	uint64_t expires_ns;
	volatile sig_atomic_t ticks;
};

/** guard_init() - for the calling thread. Return: 0 or -errno */
int guard_init(struct guard *g);
void guard_fini(struct guard *g);

/** guard_arm() - what this thread does next ends within GUARD_MS */
void guard_arm(struct guard *g);

/** guard_arm_for() - for workers: exactly this long from now; 0 disarms */
void guard_arm_for(struct guard *g, uint64_t ms);

#endif /* BROKER_GUARD_H */
