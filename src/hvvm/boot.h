/* SPDX-License-Identifier: MIT */
/*
 * boot.h - a Linux kernel into the guest's memory, ready to run
 *
 * The 64-bit boot protocol (the kernel's Documentation/x86/boot.rst): the
 * protected-mode part of a bzImage, a page of parameters, the command line,
 * the initial file system, and identity page tables for the first 4 GiB. The
 * files are hostile: what they say is checked before it is used.
 */
#ifndef HVVM_BOOT_H
#define HVVM_BOOT_H

#include <stdint.h>

#include "hvvm/memory.h"

#define BOOT_PARAMS 0x7000ull /* guest addresses of what boot_load() writes */
#define BOOT_GDT 0x8000ull
#define BOOT_PAGES 0x9000ull
#define BOOT_COMMAND_LINE 0x20000ull

struct boot_files {
	int kernel;
	const char *kernel_name; /* for messages */
	int initrd;		 /* -1: none */
	const char *initrd_name;
	const char *command_line;
};

struct boot_result {
	uint64_t entry; /* RIP; RSI is BOOT_PARAMS, CR3 is BOOT_PAGES */
};

/** boot_load() - Return: 0; -errno, and @why (@size bytes) has a sentence */
int boot_load(const struct memory *m, const struct boot_files *f,
	      struct boot_result *ret, char *why, size_t size);

#endif /* HVVM_BOOT_H */
