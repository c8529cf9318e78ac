/* SPDX-License-Identifier: MIT */
/*
 * memory.h - the guest's memory: one file, mapped once, in two places
 *
 * Up to MEMORY_LOW_MAX bytes begin at guest address 0, the rest at 4 GiB;
 * between them is room for devices. Other processes get the descriptor.
 */
#ifndef HVVM_MEMORY_H
#define HVVM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_LOW_MAX 0xc0000000ull
#define MEMORY_HIGH 0x100000000ull
/* A huge page, and what the size is a multiple of. */
#define MEMORY_STEP (2ull << 20)

struct memory_region {
	uint64_t gpa, size, offset; /* offset in the file and the mapping */
};

struct memory {
	int fd; /* -1 */
	uint8_t *map;
	uint64_t size;
	unsigned int count; /* 1 or 2 */
	struct memory_region at[2];
};

/** memory_new() - @size: a multiple of MEMORY_STEP; @huge: from a
 * tmpfs with huge pages where that can be had (huge.h), else it is a memfd,
 * sealed. Return: 0 or -errno */
int memory_new(struct memory *m, uint64_t size, bool huge);
void memory_free(struct memory *m);
/** memory_clear() - all zeros again, and nothing taken. Return: 0 or -errno */
int memory_clear(struct memory *m);
/** memory_at() - @len bytes at @gpa, all within one region; NULL: they are not
 * memory */
void *memory_at(const struct memory *m, uint64_t gpa, size_t len);

#endif /* HVVM_MEMORY_H */
