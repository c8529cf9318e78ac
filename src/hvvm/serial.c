/* SPDX-License-Identifier: MIT */
/* serial.c - see serial.h; registers as in the 16550D's data sheet */
#include "hvvm/serial.h"

#include <string.h>

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

#define IER_RX 1u
#define IER_THR 2u
#define IIR_NONE 1u
#define IIR_THR 2u
#define IIR_RX 4u
#define IIR_FIFO 0xc0u
#define FCR_ENABLE 1u
#define FCR_CLEAR_RX 2u
#define LCR_DLAB 0x80u
#define MCR_OUT2 8u /* gates the interrupt on a PC */
#define MCR_LOOP 0x10u
#define LSR_DATA 1u
#define LSR_EMPTY 0x60u /* transmitter and holding register */
#define MSR_THERE 0xb0u /* carrier, data set ready, clear to send */

static uint8_t cause(const struct serial *s)
{
	if (s->ier & IER_RX && s->len)
		return IIR_RX;
	if (s->ier & IER_THR && s->thr_pending)
		return IIR_THR;
	return IIR_NONE;
}

static void update(struct serial *s)
{
	bool level = cause(s) != IIR_NONE && s->mcr & MCR_OUT2;

	if (level != s->level)
		s->ops->irq(s->ctx, level);
	s->level = level;
}

void serial_init(struct serial *s, const struct serial_ops *ops, void *ctx)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->ops = ops;
	s->ctx = ctx;
	s->dll = 12;
}

void serial_reset(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	s->ier = s->fcr = s->lcr = s->mcr = s->scr = s->dlm = 0;
	s->dll = 12;
	s->thr_pending = false;
	s->at = s->len = 0;
	update(s);
	pthread_mutex_unlock(&s->lock);
}

static uint8_t take(struct serial *s)
{
	uint8_t c;

	if (!s->len)
		return 0;
	c = s->held[s->at];
	s->at = (s->at + 1) % SERIAL_HELD;
	s->len--;
	return c;
}

static void hold(struct serial *s, uint8_t c)
{
	s->held[(s->at + s->len) % SERIAL_HELD] = c;
	s->len++;
}

/* In loop-back mode the modem's inputs are its own outputs. */
static uint8_t modem(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_THERE;
	return (uint8_t)((s->mcr & 1) << 5 | (s->mcr & 2) << 3 |
			 (s->mcr & 4) << 4 | (s->mcr & 8) << 4);
}

static uint8_t read_register(struct serial *s, uint64_t at)
{
	uint8_t v;

	switch (at) {
	case RBR:
		return s->lcr & LCR_DLAB ? s->dll : take(s);
	case IER:
		return s->lcr & LCR_DLAB ? s->dlm : s->ier;
	case IIR:
		v = cause(s);
		if (v == IIR_THR)
			s->thr_pending = false;
		return v | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
	case LCR:
		return s->lcr;
	case MCR:
		return s->mcr;
	case LSR:
		return LSR_EMPTY | (s->len ? LSR_DATA : 0);
	case MSR:
		return modem(s);
	default:
		return s->scr;
	}
}

void serial_read(void *ctx, uint64_t at, void *data, unsigned int len)
{
	struct serial *s = ctx;
	bool was_full;

	if (len != 1)
		return;
	pthread_mutex_lock(&s->lock);
	was_full = s->len == SERIAL_HELD;
	*(uint8_t *)data = read_register(s, at);
	update(s);
	was_full = was_full && s->len < SERIAL_HELD;
	pthread_mutex_unlock(&s->lock);
	if (was_full)
		s->ops->room(s->ctx);
}

static void write_register(struct serial *s, uint64_t at, uint8_t v)
{
	switch (at) {
	case RBR:
		if (s->lcr & LCR_DLAB) {
			s->dll = v;
			return;
		}
		s->thr_pending = true; /* it is empty again at once */
		if (s->mcr & MCR_LOOP && s->len < SERIAL_HELD)
			hold(s, v);
		return;
	case IER:
		if (s->lcr & LCR_DLAB) {
			s->dlm = v;
			return;
		}
		if (v & ~s->ier & IER_THR)
			s->thr_pending = true;
		s->ier = v & 0xf;
		return;
	case IIR:
		s->fcr = v;
		if (v & FCR_CLEAR_RX)
			s->at = s->len = 0;
		return;
	case LCR:
		s->lcr = v;
		return;
	case MCR:
		s->mcr = v & 0x1f;
		return;
	case SCR:
		s->scr = v;
		return;
	default:
		return;
	}
}

void serial_write(void *ctx, uint64_t at, const void *data, unsigned int len)
{
	struct serial *s = ctx;
	uint8_t v = *(const uint8_t *)data;
	bool out;

	if (len != 1)
		return;
	/* before the guest is told that there is room for the next */
	pthread_mutex_lock(&s->lock);
	out = at == RBR && !(s->lcr & LCR_DLAB) && !(s->mcr & MCR_LOOP);
	pthread_mutex_unlock(&s->lock);
	if (out)
		s->ops->out(s->ctx, &v, 1);
	pthread_mutex_lock(&s->lock);
	write_register(s, at, v);
	update(s);
	pthread_mutex_unlock(&s->lock);
}

size_t serial_input(struct serial *s, const uint8_t *data, size_t len)
{
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	while (n < len && s->len < SERIAL_HELD)
		hold(s, data[n++]);
	update(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}
