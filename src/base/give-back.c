/* SPDX-License-Identifier: MIT */
/* give-back.c - see give-back.h */
#include "base/give-back.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Was what is only read written nevertheless, before it became so? */
static bool has_text_relocations(const struct dl_phdr_info *o)
{
	for (int i = 0; i < o->dlpi_phnum; i++) {
		const ElfW(Dyn) *d;

		if (o->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		d = (const void *)(uintptr_t)(o->dlpi_addr +
					      o->dlpi_phdr[i].p_vaddr);
		for (; d->d_tag != DT_NULL; d++) {
			if (d->d_tag == DT_TEXTREL ||
			    (d->d_tag == DT_FLAGS &&
			     d->d_un.d_val & DF_TEXTREL))
				return true;
		}
	}
	return false;
}

/*
 * What is only read comes again if it is used. What has been relocated is not
 * among it: that is in a segment that was written, RELRO too, or its object is
 * left alone. A debugger's breakpoints from before are lost.
 */
static int give_pages(struct dl_phdr_info *o, size_t size, void *arg)
{
	const size_t page = *(const size_t *)arg;

	(void)size;
	if (has_text_relocations(o))
		return 0;
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
