/* SPDX-License-Identifier: MIT */
/*
 * host-clock.h - the host's clocks at one moment, and what a guest's reference
 * counter says then
 *
 * A guest's counter and the host's CLOCK_MONOTONIC_RAW run at one rate, so that
 * one pair of values, once told, is enough to know the other of each later one.
 * That ends when the host sleeps: RAW stands still then, and the counter may
 * not. How long it has slept is what CLOCK_BOOTTIME has more than
 * CLOCK_MONOTONIC.
 */
#ifndef BASE_HOST_CLOCK_H
#define BASE_HOST_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* 1601 to 1970, in 100 ns */
#define HOST_CLOCK_EPOCH 116444736000000000ull
/* Two clocks are not read at once; a sleep takes longer than that. */
#define HOST_CLOCK_SLEPT_NS 200000000ull
/* As long before the moment that is asked about is still the same relation. */
#define HOST_CLOCK_BEFORE_NS 1000000000ull
#define HOST_CLOCK_TRIES 5u

struct host_clock {
	uint64_t wall;	 /* UTC, 100 ns since 1601 */
	uint64_t raw;	 /* ns */
	uint64_t asleep; /* ns since the host has started */
};

/* What a VMM has told. */
struct reference_clock {
	bool known;
	uint64_t reference; /* the counter, 100 ns */
	uint64_t raw, asleep;
};

static inline uint64_t host_clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/** host_clock_read() - UTC and RAW are of one moment: of several tries the one
 * that took the least */
static inline struct host_clock host_clock_read(void)
{
	uint64_t best = UINT64_MAX, monotonic;
	struct host_clock c = { 0 };

	for (unsigned int i = 0; i < HOST_CLOCK_TRIES; i++) {
		uint64_t before = host_clock_ns(CLOCK_MONOTONIC_RAW);
		uint64_t wall = host_clock_ns(CLOCK_REALTIME);
		uint64_t took = host_clock_ns(CLOCK_MONOTONIC_RAW) - before;

		if (took >= best)
			continue;
		best = took;
		c.raw = before + took / 2;
		c.wall = HOST_CLOCK_EPOCH + wall / 100;
	}
	monotonic = host_clock_ns(CLOCK_MONOTONIC);
	c.asleep = host_clock_ns(CLOCK_BOOTTIME) - monotonic;
	return c;
}

/** reference_clock_at() - the counter's value at @now. Return: false: it is not
 * known, or not any more */
static inline bool reference_clock_at(const struct reference_clock *r,
				      const struct host_clock *now,
				      uint64_t *ret)
{
	uint64_t slept = now->asleep - r->asleep;

	if (!r->known || slept + HOST_CLOCK_SLEPT_NS > 2 * HOST_CLOCK_SLEPT_NS)
		return false;
	if (now->raw >= r->raw) {
		*ret = r->reference + (now->raw - r->raw) / 100;
		return true;
	}
	/* read just before it was told */
	if (r->raw - now->raw > HOST_CLOCK_BEFORE_NS ||
	    r->reference < (r->raw - now->raw) / 100)
		return false;
	*ret = r->reference - (r->raw - now->raw) / 100;
	return true;
}

/** reference_clock_tell() - at @raw, which is not after @now, the counter was
 * @reference. Return: false: it is after */
static inline bool reference_clock_tell(struct reference_clock *r,
					const struct host_clock *now,
					uint64_t reference, uint64_t raw)
{
	if (raw > now->raw)
		return false;
	*r = (struct reference_clock) { .known = true,
					.reference = reference,
					.raw = raw,
					.asleep = now->asleep };
	return true;
}

#endif /* BASE_HOST_CLOCK_H */
