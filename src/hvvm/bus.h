/* SPDX-License-Identifier: MIT */
/*
 * bus.h - which device answers at which port or address
 *
 * Devices are added before the first virtual processor runs; from then on the
 * table does not change, so that any thread may look things up without a lock.
 * A device that keeps state locks it itself.
 */
#ifndef HVVM_BUS_H
#define HVVM_BUS_H

#include <stdbool.h>
#include <stdint.h>

#define BUS_DEVICES 64

struct bus_device {
	uint64_t base, len;
	/* @at: offset from base. @data: @len bytes (1, 2, 4, 8), to be filled
	 * or taken as the guest gave them, little-endian */
	void (*read)(void *ctx, uint64_t at, void *data, unsigned int len);
	void (*write)(void *ctx, uint64_t at, const void *data,
		      unsigned int len);
	void *ctx;
};

struct bus {
	struct bus_device at[BUS_DEVICES]; /* by base */
	unsigned int count;
};

/** bus_add() - Return: 0; -EEXIST (overlaps another), -ENOSPC */
int bus_add(struct bus *b, const struct bus_device *d);
/** bus_read(), bus_write() - false: nobody is there; @data is all ones then */
bool bus_read(const struct bus *b, uint64_t addr, void *data, unsigned int len);
bool bus_write(const struct bus *b, uint64_t addr, const void *data,
	       unsigned int len);

#endif /* HVVM_BUS_H */
