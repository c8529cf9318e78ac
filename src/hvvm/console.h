/* SPDX-License-Identifier: MIT */
/*
 * console.h - a serial port, joined to a terminal, a pseudo terminal, a file or
 * a socket
 *
 * On a terminal Ctrl-A x ends the machine, Ctrl-A Ctrl-A is one Ctrl-A. What is
 * typed there while the guest is full is lost, for Ctrl-A x must be heard;
 * anything else is read only as fast as the guest takes it.
 */
#ifndef HVVM_CONSOLE_H
#define HVVM_CONSOLE_H

#include <pthread.h>
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
	struct ev_io listener;
	pthread_mutex_t lock; /* of out, which processors use */
	int in, out;	      /* -1 */
	int listen;	      /* -1: no socket */
	const char *path;     /* of it, once it is there */
	bool terminal, escape, owned;
	uint8_t kept[256]; /* read, for a guest that is full */
	size_t kept_at, kept_len;
	struct termios before;
	void (*quit)(void *ctx); /* Ctrl-A x */
	void *ctx;
};

/** console_open() - @name is for messages. Return: 0; -errno: a sentence has
 * been said */
int console_open(struct console *c, struct ev *ev, const char *name,
		 const struct options_port *p, struct serial *s,
		 void (*quit)(void *ctx), void *ctx);
/** console_out() - bytes of the guest */
void console_out(struct console *c, const uint8_t *data, size_t len);
/** console_close() - the terminal is as it was; twice is fine */
void console_close(struct console *c);

#endif /* HVVM_CONSOLE_H */
