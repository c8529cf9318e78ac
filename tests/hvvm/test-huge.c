/* SPDX-License-Identifier: MIT */
/* Which blocks of the guest's memory become huge pages, and what is in them. */
#include <string.h>
#include <sys/mman.h>

#include "../unit/suite.h"
#include "hvvm/huge.h"

#define BLOCKS 32u

static struct memory m;
static struct huge h;

static void begin(void)
{
	ck_assert_int_eq(memory_new(&m, BLOCKS * HUGE_BLOCK, true), 0);
	ck_assert_int_eq(huge_new(&h, &m), 0);
}

static void end(void)
{
	huge_free(&h);
	memory_free(&m);
}

static void touch(unsigned int block)
{
	m.map[block * HUGE_BLOCK + 12288] = 1;
}

/* "." untouched, "r" ready, "u" in use, "f" failed */
static const char *states(void)
{
	static char text[BLOCKS + 1];

	for (unsigned int i = 0; i < BLOCKS; i++)
		text[i] = ".ruf"[h.state[i]];
	return text;
}

START_TEST(test_alone)
{
	ck_assert_uint_eq(huge_pass(&h), 0);
	ck_assert_str_eq(states(), "................................");
	touch(5);
	ck_assert_uint_eq(huge_pass(&h), 1);
	ck_assert_uint_eq(h.failures, 0);
	ck_assert_str_eq(states(), "....rur.........................");
	/* nothing new */
	ck_assert_uint_eq(huge_pass(&h), 0);
	ck_assert_str_eq(states(), "....rur.........................");
	ck_assert_uint_eq((uintptr_t)m.map % HUGE_BLOCK, 0);
}
END_TEST

/* As many ahead as there are behind. */
START_TEST(test_row)
{
	touch(4);
	touch(5);
	(void)huge_pass(&h);
	ck_assert_str_eq(states(), "...ruur.........................");
	touch(6);
	ck_assert_uint_eq(huge_pass(&h), 1);
	ck_assert_str_eq(states(), "...ruuurr.......................");
	for (unsigned int i = 7; i < 16; i++) {
		touch(i);
		(void)huge_pass(&h);
	}
	/* never more than HUGE_AHEAD */
	ck_assert_str_eq(states(), "...ruuuuuuuuuuuurrrrrrrr........");
	ck_assert_uint_eq(h.failures, 0);
}
END_TEST

START_TEST(test_edges)
{
	touch(0);
	touch(BLOCKS - 1);
	(void)huge_pass(&h);
	ck_assert_str_eq(states(), "ur............................ru");
	touch(BLOCKS - 2);
	(void)huge_pass(&h);
	/* down from the end, and not into what others use */
	ck_assert_str_eq(states(), "ur...........................ruu");
}
END_TEST

/* Never more than are used, and HUGE_AHEAD. */
START_TEST(test_bound)
{
	for (unsigned int i = 0; i < BLOCKS; i += 3) {
		touch(i);
		(void)huge_pass(&h);
		ck_assert_uint_le(h.ready, h.used + HUGE_AHEAD);
	}
	ck_assert_uint_eq(h.used, 11);
	ck_assert_uint_eq(h.ready, 19);
}
END_TEST

/* What cannot be made huge is not taken for begun by the guest, whose page it
 * has now. */
START_TEST(test_failures)
{
	ck_assert_int_eq(madvise(m.map, m.size, MADV_NOHUGEPAGE), 0);
	touch(5);
	ck_assert_uint_eq(huge_pass(&h), 1);
	ck_assert_str_eq(states(), "....fuf.........................");
	ck_assert_uint_eq(huge_pass(&h), 0);
	ck_assert_uint_eq(h.failures, 2);
	touch(6);
	ck_assert_uint_eq(huge_pass(&h), 0);
	for (unsigned int i = 8; i < BLOCKS; i += 3)
		touch(i);
	(void)huge_pass(&h);
	/* and that is given up after some */
	ck_assert_uint_eq(h.failures, 16);
}
END_TEST

/* What the guest has written stays, and all else reads as zeros. */
START_TEST(test_content)
{
	static uint8_t zeros[4096];
	unsigned char in[512];
	unsigned int huge = 0;

	touch(8);
	touch(9);
	(void)huge_pass(&h);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		uint8_t *p = m.map + i * HUGE_BLOCK;

		if (h.state[i] == HUGE_READY) {
			/* one page: all of it is there */
			ck_assert_int_eq(mincore(p, HUGE_BLOCK, in), 0);
			for (unsigned int k = 0; k < 512; k++)
				ck_assert_uint_eq(in[k] & 1, 1);
			huge++;
		}
		for (uint64_t at = 0; at < HUGE_BLOCK; at += 4096)
			if (at != 12288 || (i != 8 && i != 9))
				ck_assert_mem_eq(p + at, zeros, 4096);
	}
	ck_assert_uint_gt(huge, 1);
	ck_assert_uint_eq(m.map[8 * HUGE_BLOCK + 12288], 1);
	/* and what is cleared is untouched again */
	huge_free(&h);
	ck_assert_int_eq(memory_clear(&m), 0);
	ck_assert_int_eq(huge_new(&h, &m), 0);
	ck_assert_uint_eq(huge_pass(&h), 0);
	ck_assert_uint_eq(m.map[8 * HUGE_BLOCK + 12288], 0);
}
END_TEST

/* The thread, if the system wants huge pages, beside a guest that writes. */
START_TEST(test_thread)
{
	struct huge t;

	ck_assert_int_eq(huge_start(&t, &m), 0);
	for (unsigned int i = 0; i < BLOCKS; i++)
		for (unsigned int k = 0; k < 512; k++)
			memset(m.map + i * HUGE_BLOCK + k * 4096ul,
			       (int)(i + k) | 1, 4096);
	huge_stop(&t);
	ck_assert_int_eq(t.stop, -1);
	huge_stop(&t);
	for (unsigned int i = 0; i < BLOCKS; i++)
		for (unsigned int k = 0; k < 512; k++)
			for (unsigned int b = 0; b < 4096; b += 511)
				ck_assert_uint_eq(
					m.map[i * HUGE_BLOCK + k * 4096ul + b],
					((i + k) | 1) & 0xff);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, test_alone);
	tcase_add_test(t, test_row);
	tcase_add_test(t, test_edges);
	tcase_add_test(t, test_bound);
	tcase_add_test(t, test_failures);
	tcase_add_test(t, test_content);
	tcase_add_test(t, test_thread);
}

int main(void)
{
	return run_suite("hvvm-huge", fill);
}
