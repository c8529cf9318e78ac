/* SPDX-License-Identifier: MIT */
/* huge.c - see huge.h */
#include "hvvm/huge.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hvvm/thread.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* How long until the next look, in ms: this after one that found something, and
 * twice as long each time after one that did not. */
#define WAIT_MIN 4
#define WAIT_MAX 1000
/* Linux before 6.1, no memory in such pieces: it will not be better soon. */
#define FAILURES_MAX 16u
/* Of each so many bytes a word is looked at: some of each page. */
#define SAMPLE 1024u
#define SYSTEM "/sys/kernel/mm/transparent_hugepage/"

/* Has the administrator chosen @word? */
static bool chosen(const char *file, const char *word)
{
	char line[128] = "";
	FILE *f = fopen(file, "re");

	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return strstr(line, word) != NULL;
}

/* One that nobody has touched needs a first page, and gets it by being read:
 * the guest may be writing there. */
static bool make_ready(struct huge *h, uint64_t block)
{
	uint64_t at = block * HUGE_BLOCK;

	(void)*(const volatile uint8_t *)(h->m->map + at);
	if (madvise(h->m->map + at, HUGE_BLOCK, MADV_COLLAPSE) < 0) {
		/* the page is there now, as if the guest had touched it */
		h->state[block] = HUGE_FAILED;
		h->failures++;
		return false;
	}
	h->failures = 0;
	h->state[block] = HUGE_READY;
	h->ready++;
	return true;
}

/* Has the guest written to a block that is ready? */
static bool written(const struct huge *h, uint64_t block)
{
	const uint8_t *p = h->m->map + block * HUGE_BLOCK;

	for (uint64_t i = 0; i < HUGE_BLOCK; i += SAMPLE)
		if (__atomic_load_n((const uint64_t *)(const void *)(p + i),
				    __ATOMIC_RELAXED))
			return true;
	return false;
}

/* Where in the file the first page at or behind @block is; its end: none */
static uint64_t next_data(const struct huge *h, uint64_t block)
{
	off_t at = lseek(h->m->fd, (off_t)(block * HUGE_BLOCK), SEEK_DATA);

	return at < 0 ? h->m->size : (uint64_t)at;
}

/* @step: 1 or -1; where it leads below 0, that is beyond the end. How many in
 * a row are used on that side of @block? */
static unsigned int row(const struct huge *h, uint64_t block, int step)
{
	unsigned int n = 0;

	for (block += (uint64_t)step;
	     n < HUGE_AHEAD && block < h->count && h->state[block] == HUGE_USED;
	     block += (uint64_t)step)
		n++;
	return n;
}

/* Have @n blocks ready on that side of @block, as far as no other is in use. */
static void ahead(struct huge *h, uint64_t block, int step, unsigned int n)
{
	for (block += (uint64_t)step; n && block < h->count;
	     block += (uint64_t)step, n--) {
		if (h->state[block] == HUGE_READY)
			continue;
		if (h->state[block] != HUGE_UNTOUCHED ||
		    next_data(h, block) / HUGE_BLOCK == block ||
		    h->ready >= h->used + HUGE_AHEAD || !make_ready(h, block))
			return;
	}
}

static void begun(struct huge *h, uint64_t block)
{
	unsigned int below = row(h, block, -1), above = row(h, block, 1);

	h->ready -= h->state[block] == HUGE_READY;
	h->state[block] = HUGE_USED;
	h->used++;
	ahead(h, block, 1, below ? below : 1);
	ahead(h, block, -1, above ? above : 1);
}

unsigned int huge_pass(struct huge *h)
{
	uint64_t data = next_data(h, 0); /* none was begun before it */
	unsigned int n = 0;

	for (uint64_t b = 0; b < h->count; b++) {
		if (h->failures >= FAILURES_MAX || h->stopping)
			break;
		if (h->state[b] == HUGE_UNTOUCHED) {
			if (data < b * HUGE_BLOCK)
				data = next_data(h, b);
			if (data / HUGE_BLOCK != b)
				continue;
		} else if (h->state[b] != HUGE_READY || !written(h, b)) {
			continue;
		}
		begun(h, b);
		n++;
	}
	return n;
}

static void *look(void *arg)
{
	struct huge *h = arg;
	struct pollfd stop = { .fd = h->stop, .events = POLLIN };
	int wait = 0;

	while (poll(&stop, 1, wait) == 0 && h->failures < FAILURES_MAX) {
		if (huge_pass(h))
			wait = WAIT_MIN;
		else
			wait = wait * 2 < WAIT_MIN   ? WAIT_MIN
			       : wait * 2 > WAIT_MAX ? WAIT_MAX
						     : wait * 2;
	}
	return NULL;
}

int huge_new(struct huge *h, const struct memory *m)
{
	*h = (struct huge) { .m = m,
			     .stop = -1,
			     .count = m->size / HUGE_BLOCK };
	h->state = calloc(h->count, sizeof(*h->state));
	return h->state ? 0 : -ENOMEM;
}

void huge_free(struct huge *h)
{
	free(h->state);
	*h = (struct huge) { .stop = -1 };
}

int huge_start(struct huge *h, const struct memory *m)
{
	int r;

	*h = (struct huge) { .stop = -1 };
	if (chosen(SYSTEM "enabled", "[never]") ||
	    chosen(SYSTEM "shmem_enabled", "[deny]"))
		return 0;
	r = huge_new(h, m);
	if (r < 0)
		return r;
	h->stop = eventfd(0, EFD_CLOEXEC);
	r = h->stop < 0 ? -errno : thread_start(&h->thread, "huge", look, h);
	if (r < 0) {
		if (h->stop >= 0)
			close(h->stop);
		huge_free(h);
	}
	return r;
}

void huge_stop(struct huge *h)
{
	if (h->stop < 0)
		return;
	h->stopping = true;
	(void)eventfd_write(h->stop, 1);
	pthread_join(h->thread, NULL);
	close(h->stop);
	huge_free(h);
}
