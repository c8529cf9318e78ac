/* SPDX-License-Identifier: MIT */
/*
 * yielder.h - is it worth looking again before sleeping?
 *
 * Being put to sleep and woken costs several times what a short request takes.
 * After sched_yield() the other side has often done its part already; but
 * where the processor is wanted by a third, yielding gives it a whole time
 * slice, while a sleeper would be woken ahead of it. So every try is judged by
 * whether it brought something, and soon; after one that did not, tries are
 * left out, twice as many each time.
 */
#ifndef BASE_YIELDER_H
#define BASE_YIELDER_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define YIELDER_NS 50000 /* about a sleep and a wake-up */
#define YIELDER_SKIP_MIN 16
#define YIELDER_SKIP_MAX 8192

struct yielder {
	uint32_t skip; /* tries to leave out */
	uint32_t next; /* how many after the next failure */
	uint64_t since_ns; /* when this try began */
};

static inline uint64_t yielder_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/** yielder_try() - now? */
static inline bool yielder_try(struct yielder *y)
{
	if (y->skip) {
		y->skip--;
		return false;
	}
	y->since_ns = yielder_clock();
	return true;
}

/** yielder_in_time() - still worth it? */
static inline bool yielder_in_time(const struct yielder *y)
{
	return yielder_clock() - y->since_ns < YIELDER_NS;
}

/** yielder_judge() - the end of a try: did it bring something? */
static inline void yielder_judge(struct yielder *y, bool brought)
{
	if (brought && yielder_in_time(y)) {
		y->next = YIELDER_SKIP_MIN;
		return;
	}
	if (y->next < YIELDER_SKIP_MIN)
		y->next = YIELDER_SKIP_MIN;
	y->skip = y->next;
	if (y->next < YIELDER_SKIP_MAX)
		y->next *= 2;
}

#endif /* BASE_YIELDER_H */
