/* SPDX-License-Identifier: MIT */
/* give-back.c - see give-back.h */
#include "base/give-back.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* What is only read comes again if it is used. What has been relocated is not
 * among it: that is in a segment that was written. */
static int give_pages(struct dl_phdr_info *o, size_t size, void *arg)
{
	const size_t page = *(const size_t *)arg;

	(void)size;
	for (int i = 0; i < o->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &o->dlpi_phdr[i];
		uintptr_t from = (uintptr_t)(o->dlpi_addr + p->p_vaddr);
		size_t before = from % page;

		if (p->p_type == PT_LOAD && !(p->p_flags & PF_W))
			(void)madvise((void *)(from - before),
				      (size_t)p->p_memsz + before,
				      MADV_DONTNEED);
	}
	return 0;
}

void give_back_memory(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)malloc_trim(0);
	(void)dl_iterate_phdr(give_pages, &page);
}
