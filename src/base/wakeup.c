/* SPDX-License-Identifier: MIT */
/* wakeup.c - see wakeup.h */
#include "base/wakeup.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/ev.h"

#define TIMES 9u
#define LOOK_MIN_NS 200000u
#define LOOK_MAX_NS 400000u
#define LOOK_WAKEUPS 25u

struct pair {
	int there, back, cpu;
};

/* Of an eventfd that nobody else has, both can only be interrupted. */
static void give(int fd)
{
	while (eventfd_write(fd, 1) < 0 && errno == EINTR)
		;
}

static void take(int fd)
{
	eventfd_t n;

	while (eventfd_read(fd, &n) < 0 && errno == EINTR)
		;
}

/* That a processor is refused changes what is measured, no more. */
static void stay(int cpu)
{
	cpu_set_t one;

	if (cpu < 0)
		return;
	CPU_ZERO(&one);
	CPU_SET((unsigned int)cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

/* One of these that is not @cpu; -1 if there is none. */
static int beside(const cpu_set_t *these, int cpu)
{
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (i != cpu && CPU_ISSET((unsigned int)i, these))
			return i;
	return -1;
}

static void *other(void *arg)
{
	const struct pair *p = arg;

	stay(p->cpu);
	for (unsigned int i = 0; i < TIMES; i++) {
		take(p->there);
		give(p->back);
	}
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t wakeup_ns(void)
{
	cleanup_close_ int there = eventfd(0, EFD_CLOEXEC);
	cleanup_close_ int back = eventfd(0, EFD_CLOEXEC);
	struct pair p = { there, back, -1 };
	cpu_set_t ours;
	uint64_t ns[TIMES] = { 0 };
	sigset_t all, before;
	pthread_t thread;
	int r;

	if (there < 0 || back < 0)
		return 0;
	/* That two threads share a processor would be chance, and it costs a
	 * twentieth of what it costs to wake another one. */
	if (sched_getaffinity(0, sizeof(ours), &ours) == 0)
		p.cpu = beside(&ours, sched_getcpu());
	if (p.cpu >= 0)
		stay(beside(&ours, p.cpu));
	/* signals are for the thread that we are */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, NULL, other, &p);
	for (unsigned int i = 0; r == 0 && i < TIMES; i++) {
		uint64_t began = ev_now_ns();

		give(there);
		take(back);
		ns[i] = ev_now_ns() - began;
	}
	if (r == 0)
		pthread_join(thread, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (p.cpu >= 0)
		(void)sched_setaffinity(0, sizeof(ours), &ours);
	qsort(ns, TIMES, sizeof(ns[0]), by_size);
	return ns[TIMES / 2];
}

uint64_t wakeup_look_ns(void)
{
	uint64_t ns = LOOK_WAKEUPS * wakeup_ns();

	return ns < LOOK_MIN_NS	  ? LOOK_MIN_NS
	       : ns < LOOK_MAX_NS ? ns
				  : LOOK_MAX_NS;
}
