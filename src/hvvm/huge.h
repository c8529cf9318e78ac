/* SPDX-License-Identifier: MIT */
/*
 * huge.h - huge pages under the guest's memory
 *
 * Each page that a guest touches first costs it an exit, and Linux gives
 * a memfd no huge pages unless the administrator says so. A thread looks which
 * blocks of 2 MiB the guest has begun to use, and makes those beside them huge
 * before the guest gets there (MADV_COLLAPSE, Linux 6.1): one exit instead of
 * 512. Those in use are let be: each page that is moved stops the guest once.
 * On either side of a row of used blocks are as many as are in it, at most
 * HUGE_AHEAD; of all that are ready and not used there are never more than are
 * used, and HUGE_AHEAD.
 */
#ifndef HVVM_HUGE_H
#define HVVM_HUGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hvvm/memory.h"

#define HUGE_BLOCK MEMORY_STEP
#define HUGE_AHEAD 8u

struct huge {
	const struct memory *m;
	int stop; /* eventfd; -1: there is no thread */
	pthread_t thread;
	uint8_t *state; /* of each block, enum huge_state */
	uint64_t count;
	uint64_t ready, used;  /* blocks */
	unsigned int failures; /* one after the other */
	_Atomic bool stopping;
};

enum huge_state {
	HUGE_UNTOUCHED,
	HUGE_READY, /* a huge page, not used so far */
	HUGE_USED,
	HUGE_FAILED, /* stays as it is */
};

/** huge_start() - for memory as it is after boot: nothing huge yet. @m must
 * stay until huge_stop(). Return: 0, also where the system wants no huge
 * pages; -errno */
int huge_start(struct huge *h, const struct memory *m);
/** huge_stop() - waits for the thread. @h was started, or has stop -1 */
void huge_stop(struct huge *h);

/** huge_new(), huge_pass(), huge_free() - the same without a thread: one look
 * at all blocks. Return: how many the guest has begun to use since the last */
int huge_new(struct huge *h, const struct memory *m);
unsigned int huge_pass(struct huge *h);
void huge_free(struct huge *h);

#endif /* HVVM_HUGE_H */
