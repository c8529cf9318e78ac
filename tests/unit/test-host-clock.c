/* SPDX-License-Identifier: MIT */
/* test-host-clock.c - a guest's reference counter, by the host's clocks */
#include "suite.h"

#include "base/host-clock.h"

#define S 1000000000ull

START_TEST(test_rate)
{
	struct host_clock told = { .raw = 100 * S, .asleep = 7 * S }, now;
	struct reference_clock r = { 0 };
	uint64_t at = 5;

	ck_assert(!reference_clock_at(&r, &told, &at));
	ck_assert(reference_clock_tell(&r, &told, 3000, 100 * S - 1000));
	ck_assert(reference_clock_at(&r, &told, &at));
	ck_assert_uint_eq(at, 3010);
	now = told;
	now.raw += 3600 * S;
	ck_assert(reference_clock_at(&r, &now, &at));
	ck_assert_uint_eq(at, 3010 + 3600 * S / 100);
	/* a moment before, but not before there was a counter */
	now.raw = 100 * S - 1000 - 2000;
	ck_assert(reference_clock_at(&r, &now, &at));
	ck_assert_uint_eq(at, 2980);
	now.raw = 100 * S - 1000 - 300100;
	at = 5;
	ck_assert(!reference_clock_at(&r, &now, &at));
	now.raw = 1;
	ck_assert(!reference_clock_at(&r, &now, &at));
	ck_assert_uint_eq(at, 5);
}
END_TEST

START_TEST(test_future)
{
	struct host_clock now = { .raw = 100 * S };
	struct reference_clock r = { 0 };
	uint64_t at;

	ck_assert(!reference_clock_tell(&r, &now, 3000, 100 * S + 1));
	ck_assert(!r.known);
	ck_assert(reference_clock_tell(&r, &now, UINT64_MAX, 0));
	ck_assert(!reference_clock_tell(&r, &now, 1, UINT64_MAX));
	/* a counter that is nonsense is the guest's own affair */
	ck_assert(reference_clock_at(&r, &now, &at));
}
END_TEST

/* A host that has slept: until it is told anew. */
START_TEST(test_asleep)
{
	struct host_clock now = { .raw = 100 * S, .asleep = 7 * S };
	struct reference_clock r = { 0 };
	uint64_t at;

	ck_assert(reference_clock_tell(&r, &now, 3000, now.raw));
	now.asleep += 1000; /* the two are not read at once */
	ck_assert(reference_clock_at(&r, &now, &at));
	now.asleep -= 5000;
	ck_assert(reference_clock_at(&r, &now, &at));
	now.asleep += 1 * S;
	ck_assert(!reference_clock_at(&r, &now, &at));
	ck_assert(reference_clock_tell(&r, &now, 4000, now.raw));
	ck_assert(reference_clock_at(&r, &now, &at));
	ck_assert_uint_eq(at, 4000);
}
END_TEST

START_TEST(test_read)
{
	uint64_t raw = host_clock_ns(CLOCK_MONOTONIC_RAW);
	uint64_t before = host_clock_ns(CLOCK_REALTIME) / 100;
	struct host_clock c = host_clock_read();

	ck_assert_uint_ge(c.raw, raw);
	ck_assert_uint_le(c.raw, host_clock_ns(CLOCK_MONOTONIC_RAW));
	ck_assert_uint_ge(c.wall - HOST_CLOCK_EPOCH, before);
	ck_assert_uint_le(c.wall - HOST_CLOCK_EPOCH,
			  host_clock_ns(CLOCK_REALTIME) / 100);
	/* of one moment */
	ck_assert_uint_lt(host_clock_read().asleep - c.asleep +
				  HOST_CLOCK_SLEPT_NS,
			  2 * HOST_CLOCK_SLEPT_NS);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, test_rate);
	tcase_add_test(t, test_future);
	tcase_add_test(t, test_asleep);
	tcase_add_test(t, test_read);
}

int main(void)
{
	return run_suite("host-clock", fill);
}
