/* SPDX-License-Identifier: MIT */
/*
 * serial.h - a 16550A serial port
 *
 * What the guest sends goes out at once through out(), which may wait: that is
 * the back-pressure. What comes in is held, up to SERIAL_HELD bytes, until the
 * guest takes it. Any thread may call.
 */
#ifndef HVVM_SERIAL_H
#define HVVM_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_LEN 8u /* ports */
#define SERIAL_HELD 4096u

struct serial_ops {
	void (*out)(void *ctx, const uint8_t *data, size_t len);
	void (*irq)(void *ctx, bool level);
	/* there is room for serial_input() again */
	void (*room)(void *ctx);
};

struct serial {
	pthread_mutex_t lock;
	const struct serial_ops *ops;
	void *ctx;
	uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
	bool thr_pending, level;
	uint8_t held[SERIAL_HELD];
	size_t at, len;
};

void serial_init(struct serial *s, const struct serial_ops *ops, void *ctx);
/** serial_reset() - as after power-on; what is held is dropped */
void serial_reset(struct serial *s);

/** serial_read(), serial_write() - for struct bus_device; ctx is the port */
void serial_read(void *ctx, uint64_t at, void *data, unsigned int len);
void serial_write(void *ctx, uint64_t at, const void *data, unsigned int len);

/** serial_input() - bytes for the guest. Return: how many were taken */
size_t serial_input(struct serial *s, const uint8_t *data, size_t len);

#endif /* HVVM_SERIAL_H */
