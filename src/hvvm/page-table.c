/* SPDX-License-Identifier: MIT */
/* page-table.c - see page-table.h */
#include "hvvm/page-table.h"

#include <stddef.h>

#include "base/bytes.h"

#define PRESENT 1ull
#define LARGE 0x80ull
#define ADDRESS 0x000ffffffffff000ull
#define ENTRIES 512u
#define STEPS_MAX 200000u

/* What bits of an address are left below level @level (1: the last one). */
static uint64_t span(unsigned int level)
{
	return 1ull << (12 + 9 * (level - 1));
}

static bool entry(const struct page_table *t, uint64_t table, unsigned int i,
		  uint64_t *ret)
{
	const void *p = memory_at(t->m, (table & ADDRESS) + i * 8ull, 8);

	*ret = 0;
	if (!p)
		return false;
	*ret = __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
	return *ret & PRESENT;
}

static bool is_leaf(uint64_t e, unsigned int level)
{
	return level == 1 || ((level == 2 || level == 3) && e & LARGE);
}

static uint64_t leaf(uint64_t e, unsigned int level)
{
	return e & ADDRESS & ~(span(level) - 1);
}

bool page_table_find(const struct page_table *t, uint64_t va, uint64_t *ret)
{
	uint64_t e = t->root;

	for (unsigned int level = t->levels; level; level--) {
		if (!entry(t, e, va / span(level) % ENTRIES, &e))
			return false;
		if (is_leaf(e, level)) {
			*ret = leaf(e, level) | (va & (span(level) - 1));
			return true;
		}
	}
	return false;
}

bool page_table_first(const struct page_table *t, uint64_t va, uint64_t *ret_va,
		      uint64_t *ret_gpa)
{
	uint64_t e;

	/* From the top each time: what is not there is skipped as a whole. */
	for (unsigned int step = 0; va && step < STEPS_MAX; step++) {
		unsigned int level = t->levels;

		for (e = t->root; entry(t, e, va / span(level) % ENTRIES, &e) &&
				  !is_leaf(e, level);)
			level--;
		if (e & PRESENT && is_leaf(e, level)) {
			*ret_va = va;
			*ret_gpa = leaf(e, level) | (va & (span(level) - 1));
			return true;
		}
		va = (va / span(level) + 1) * span(level); /* wraps to 0 */
	}
	return false;
}
