/* SPDX-License-Identifier: MIT */
/* static.h - the suites of a statically linked program under hvctl as */
#ifndef TESTS_AS_STATIC_H
#define TESTS_AS_STATIC_H

#include "../preload/plain.h"

/* Event loops of the tests end here if nothing else does. */
#define LIMIT_MS 20000

/* Calls as Go's runtime makes them: past libc. -errno on failure. */
static inline long raw(long nr, long a, long b, long c)
{
	long r = syscall(nr, a, b, c, 0, 0, 0);

	return r < 0 ? -errno : r;
}

static inline long raw_accept(int fd, struct hv *from, socklen_t *len)
{
	return raw(SYS_accept4, fd, (long)from, (long)len);
}

static inline long raw_connect(int fd, const struct hv *a)
{
	return raw(SYS_connect, fd, (long)a, sizeof(*a));
}

/** in_call() - wait until the thread @tid of this process is in system call
 * @nr, stopped by the filter or asleep in it */
void in_call(int pid, int tid, int nr);

/** sleep_ms() - between two looks at something that has no event */
void sleep_ms(int ms);

Suite *suite_signals(void);
Suite *suite_hostile(void);
Suite *suite_many(const char *self);
/* What this program does when suite_many() has executed it. */
int executed(const char *service);

#endif /* TESTS_AS_STATIC_H */
