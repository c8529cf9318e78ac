/* SPDX-License-Identifier: MIT */
/*
 * pm.h - power: ACPI's registers and timer, the ways to reset a PC, its clock
 *
 * The machine is told by end() what the guest wants; the rest is registers.
 */
#ifndef HVVM_PM_H
#define HVVM_PM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "hvvm/bus.h"

struct pm {
	pthread_mutex_t lock;
	void (*end)(void *ctx, bool power_off); /* else: reset */
	void *ctx;
	uint16_t status, enable, control;
	uint8_t reset; /* register 0xcf9 */
	uint8_t cmos_index, cmos[128];
};

/** pm_init() - and add all to @pio. Return: 0 or -errno */
int pm_init(struct pm *pm, struct bus *pio,
	    void (*end)(void *ctx, bool power_off), void *ctx);
void pm_reset(struct pm *pm);

#endif /* HVVM_PM_H */
