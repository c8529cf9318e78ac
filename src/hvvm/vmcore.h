/* SPDX-License-Identifier: MIT */
/*
 * vmcore.h - a guest that has panicked, as an ELF core
 *
 * The form is that of the kernel's own /proc/vmcore: a PT_LOAD for each piece
 * of memory with its guest address as p_paddr and its place in the kernel's
 * direct map as p_vaddr, one for the kernel's image, an NT_PRSTATUS for each
 * processor, and the kernel's VMCOREINFO note, which is looked for in memory:
 * crash(8) and gdb(1) need no more. What of it is not found is left out.
 *
 * Pages that the guest never touched are holes of the file.
 */
#ifndef HVVM_VMCORE_H
#define HVVM_VMCORE_H

#include <stdint.h>
#include <sys/user.h>

#include "hvvm/memory.h"

struct vmcore_cpu {
	struct user_regs_struct regs;
	uint64_t cr3, cr4;
};

/**
 * vmcore_write() - with all processors stopped
 * @cpus:	@count of them; page tables are those of @cpus[@panicked]
 * @path:	replaced when the file is complete, mode 0600
 *
 * Return: 0; -errno: a sentence has been said.
 */
int vmcore_write(const struct memory *m, const struct vmcore_cpu *cpus,
		 unsigned int count, unsigned int panicked, const char *path);

#endif /* HVVM_VMCORE_H */
