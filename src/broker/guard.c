/* SPDX-License-Identifier: MIT */
/* guard.c - see guard.h */
#include "broker/guard.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/ev.h"

/* So often does the signal come again before the timer stops by itself. */
#define TICKS 8

static void tick(int sig, siginfo_t *info, void *context)
{
	static const struct itimerspec off;
	struct guard *g = info->si_value.sival_ptr;

	(void)sig;
	(void)context;
	if (++g->ticks >= TICKS)
		(void)timer_settime(g->timer, 0, &off, NULL);
}

int guard_init(struct guard *g)
{
	/* no SA_RESTART: to interrupt is the point */
	struct sigaction sa = { .sa_sigaction = tick, .sa_flags = SA_SIGINFO };
	struct sigevent se = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGRTMIN,
		.sigev_value.sival_ptr = g,
	};

	se._sigev_un._tid = gettid();
	if (sigaction(SIGRTMIN, &sa, NULL) < 0 ||
	    timer_create(CLOCK_MONOTONIC, &se, &g->timer) < 0)
		return -errno;
	g->ready = true;
	g->expires_ns = 0;
	return 0;
}

void guard_fini(struct guard *g)
{
	if (g->ready)
		timer_delete(g->timer);
	g->ready = false;
}

static void set(struct guard *g, uint64_t ms)
{
	/*
	 * It repeats: a signal that comes before the call begins to wait is
	 * lost on it, the next one is not.
	 */
	struct itimerspec its = {
		.it_value = { .tv_sec = (time_t)(ms / 1000),
			      .tv_nsec = (long)(ms % 1000) * 1000000 },
	};

	g->ticks = 0;
	if (ms)
		its.it_interval.tv_nsec = GUARD_MS * 1000000;
	(void)timer_settime(g->timer, 0, &its, NULL);
}

void guard_arm(struct guard *g)
{
	uint64_t now = ev_now_ns();

	if (now + GUARD_MS / 2 * 1000000u < g->expires_ns)
		return;
	set(g, GUARD_MS);
	g->expires_ns = now + GUARD_MS * 1000000u;
}

void guard_arm_for(struct guard *g, uint64_t ms)
{
	set(g, ms);
	g->expires_ns = 0;
}
