/* SPDX-License-Identifier: MIT */
/* bus.c - see bus.h */
#include "hvvm/bus.h"

#include <errno.h>
#include <string.h>

int bus_add(struct bus *b, const struct bus_device *d)
{
	unsigned int i = b->count;

	if (b->count == BUS_DEVICES)
		return -ENOSPC;
	for (unsigned int k = 0; k < b->count; k++)
		if (d->base < b->at[k].base + b->at[k].len &&
		    b->at[k].base < d->base + d->len)
			return -EEXIST;
	for (; i > 0 && b->at[i - 1].base > d->base; i--)
		b->at[i] = b->at[i - 1];
	b->at[i] = *d;
	b->count++;
	return 0;
}

static const struct bus_device *find(const struct bus *b, uint64_t addr,
				     unsigned int len)
{
	unsigned int low = 0, high = b->count;

	while (low < high) {
		unsigned int mid = (low + high) / 2;
		const struct bus_device *d = &b->at[mid];

		if (addr < d->base)
			high = mid;
		else if (addr - d->base >= d->len)
			low = mid + 1;
		else
			return d->len - (addr - d->base) >= len ? d : NULL;
	}
	return NULL;
}

bool bus_read(const struct bus *b, uint64_t addr, void *data, unsigned int len)
{
	const struct bus_device *d = find(b, addr, len);

	memset(data, 0xff, len);
	if (d && d->read)
		d->read(d->ctx, addr - d->base, data, len);
	return d;
}

bool bus_write(const struct bus *b, uint64_t addr, const void *data,
	       unsigned int len)
{
	const struct bus_device *d = find(b, addr, len);

	if (d && d->write)
		d->write(d->ctx, addr - d->base, data, len);
	return d;
}
