/* SPDX-License-Identifier: MIT */
/* pm.c - see pm.h */
#include "hvvm/pm.h"

#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "hvvm/acpi.h"

#define TIMER_HZ 3579545ull
#define SLP_EN 0x2000u
#define SLP_TYP(control) ((control) >> 10 & 7u)
#define KEYBOARD_PORT 0x64u
#define KEYBOARD_RESET 0xfeu
#define CMOS_PORT 0x70u

/* ---- ACPI */

static uint32_t timer(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint32_t)((uint64_t)ts.tv_sec * TIMER_HZ +
			  (uint64_t)ts.tv_nsec * TIMER_HZ / 1000000000u);
}

static void acpi_read(void *ctx, uint64_t at, void *data, unsigned int len)
{
	struct pm *pm = ctx;
	uint8_t regs[ACPI_PM_LEN] = { 0 };

	pthread_mutex_lock(&pm->lock);
	le16_put(regs + ACPI_PM_EVENT, pm->status);
	le16_put(regs + ACPI_PM_EVENT + 2, pm->enable);
	/* always in ACPI mode */
	le16_put(regs + ACPI_PM_CONTROL, pm->control | 1);
	pthread_mutex_unlock(&pm->lock);
	le32_put(regs + ACPI_PM_TIMER, timer());
	memcpy(data, regs + at, len);
}

static void acpi_write_register(void *ctx, uint64_t at, const void *data,
				unsigned int len)
{
	struct pm *pm = ctx;
	bool off = false;
	uint32_t v = 0;

	memcpy(&v, data, len < 4 ? len : 4);
	pthread_mutex_lock(&pm->lock);
	if (at == ACPI_PM_EVENT) {
		pm->status &= (uint16_t)~v; /* written ones are cleared */
		if (len == 4)
			pm->enable = (uint16_t)(v >> 16);
	} else if (at == ACPI_PM_EVENT + 2) {
		pm->enable = (uint16_t)v;
	} else if (at == ACPI_PM_CONTROL && len >= 2) {
		pm->control = (uint16_t)(v & ~SLP_EN);
		off = v & SLP_EN && SLP_TYP(v) == ACPI_SLP_TYP_S5;
	}
	pthread_mutex_unlock(&pm->lock);
	if (off)
		pm->end(pm->ctx, true);
}

/* ---- reset */

static void reset_read(void *ctx, uint64_t at, void *data, unsigned int len)
{
	struct pm *pm = ctx;

	(void)at;
	if (len == 1)
		*(uint8_t *)data = pm->reset;
}

static void reset_write(void *ctx, uint64_t at, const void *data,
			unsigned int len)
{
	struct pm *pm = ctx;
	uint8_t v = *(const uint8_t *)data;

	(void)at;
	if (len != 1)
		return;
	pm->reset = v & 2;
	if (v & 4)
		pm->end(pm->ctx, false);
}

/* There is no keyboard: only the line to the processor's reset. */
static void keyboard_read(void *ctx, uint64_t at, void *data, unsigned int len)
{
	(void)ctx;
	(void)at;
	if (len == 1)
		*(uint8_t *)data = 0;
}

static void keyboard_write(void *ctx, uint64_t at, const void *data,
			   unsigned int len)
{
	struct pm *pm = ctx;

	(void)at;
	if (len == 1 && *(const uint8_t *)data == KEYBOARD_RESET)
		pm->end(pm->ctx, false);
}

/* ---- the CMOS clock: reads the host's, in UTC, and cannot be set */

static uint8_t bcd(int v)
{
	return (uint8_t)(v / 10 % 10 << 4 | v % 10);
}

static uint8_t cmos_value(const struct pm *pm)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	switch (pm->cmos_index) {
	case 0:
		return bcd(tm.tm_sec);
	case 2:
		return bcd(tm.tm_min);
	case 4:
		return bcd(tm.tm_hour);
	case 6:
		return bcd(tm.tm_wday + 1);
	case 7:
		return bcd(tm.tm_mday);
	case 8:
		return bcd(tm.tm_mon + 1);
	case 9:
		return bcd(tm.tm_year % 100);
	case 0x32:
		return bcd((tm.tm_year + 1900) / 100);
	case 0xa: /* no update in progress, 32,768 Hz */
		return 0x26;
	case 0xb: /* 24 hours, BCD */
		return 0x02;
	case 0xc: /* no interrupt */
		return 0;
	case 0xd: /* the battery is good */
		return 0x80;
	default:
		return pm->cmos[pm->cmos_index];
	}
}

static void cmos_read(void *ctx, uint64_t at, void *data, unsigned int len)
{
	struct pm *pm = ctx;

	if (len != 1)
		return;
	pthread_mutex_lock(&pm->lock);
	*(uint8_t *)data = at ? cmos_value(pm) : 0xff;
	pthread_mutex_unlock(&pm->lock);
}

static void cmos_write(void *ctx, uint64_t at, const void *data,
		       unsigned int len)
{
	struct pm *pm = ctx;
	uint8_t v = *(const uint8_t *)data;

	if (len != 1)
		return;
	pthread_mutex_lock(&pm->lock);
	if (at == 0)
		pm->cmos_index = v & 0x7f;
	else
		pm->cmos[pm->cmos_index] = v;
	pthread_mutex_unlock(&pm->lock);
}

void pm_reset(struct pm *pm)
{
	pthread_mutex_lock(&pm->lock);
	pm->status = pm->enable = pm->control = 0;
	pm->reset = 0;
	pm->cmos_index = 0;
	pthread_mutex_unlock(&pm->lock);
}

int pm_init(struct pm *pm, struct bus *pio,
	    void (*end)(void *ctx, bool power_off), void *ctx)
{
	const struct bus_device devices[] = {
		{ ACPI_PM_BASE, ACPI_PM_LEN, acpi_read, acpi_write_register,
		  pm },
		{ ACPI_RESET_PORT, 1, reset_read, reset_write, pm },
		{ KEYBOARD_PORT, 1, keyboard_read, keyboard_write, pm },
		{ CMOS_PORT, 2, cmos_read, cmos_write, pm },
	};
	int r = 0;

	memset(pm, 0, sizeof(*pm));
	pthread_mutex_init(&pm->lock, NULL);
	pm->end = end;
	pm->ctx = ctx;
	for (unsigned int i = 0; i < ARRAY_LEN(devices) && r == 0; i++)
		r = bus_add(pio, &devices[i]);
	return r;
}
