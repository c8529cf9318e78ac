/* SPDX-License-Identifier: MIT */
/*
 * page-table.h - the guest's page tables, read
 *
 * They are the guest's: every entry is read once, an address that is no memory
 * ends the walk. Intel SDM volume 3, 4.5.
 */
#ifndef HVVM_PAGE_TABLE_H
#define HVVM_PAGE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "hvvm/memory.h"

struct page_table {
	const struct memory *m;
	uint64_t root;	     /* CR3 */
	unsigned int levels; /* 4, or 5 with CR4.LA57 */
};

/** page_table_find() - the guest address of what is mapped at @va */
bool page_table_find(const struct page_table *t, uint64_t va, uint64_t *ret);
/** page_table_first() - the lowest mapping at or above @va, which is in the
 * upper half. Gives up after a while with tables that lead nowhere */
bool page_table_first(const struct page_table *t, uint64_t va, uint64_t *ret_va,
		      uint64_t *ret_gpa);

#endif /* HVVM_PAGE_TABLE_H */
