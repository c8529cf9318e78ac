/* SPDX-License-Identifier: MIT */
/*
 * console.h - the first serial port, joined to a terminal, a pseudo terminal or
 * a file
 *
 * On a terminal Ctrl-A x ends the machine, Ctrl-A Ctrl-A is one Ctrl-A. What a
 * terminal says in is read only as fast as the guest takes it.
 */
#ifndef HVVM_CONSOLE_H
#define HVVM_CONSOLE_H

#include <stdbool.h>
#include <termios.h>

#include "base/ev.h"
#include "hvvm/options.h"
#include "hvvm/serial.h"

struct console {
	struct ev *ev;
	struct serial *serial;
	struct ev_io io;
	struct ev_timer again; /* the guest was full */
	int in, out;	       /* -1 */
	bool terminal, escape, owned;
	struct termios before;
	void (*quit)(void *ctx); /* Ctrl-A x */
	void *ctx;
};

/** console_open() - Return: 0; -errno: a sentence has been said */
int console_open(struct console *c, struct ev *ev, const struct options *o,
		 struct serial *s, void (*quit)(void *ctx), void *ctx);
/** console_out() - bytes of the guest */
void console_out(struct console *c, const uint8_t *data, size_t len);
/** console_close() - the terminal is as it was; twice is fine */
void console_close(struct console *c);

#endif /* HVVM_CONSOLE_H */
