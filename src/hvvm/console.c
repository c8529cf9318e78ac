/* SPDX-License-Identifier: MIT */
/* console.c - see console.h */
#include "hvvm/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define ESCAPE 1 /* Ctrl-A */
#define AGAIN_MS 10u

static void on_input(struct ev_io *io, uint32_t events);

static void on_again(struct ev_timer *t)
{
	struct console *c = container_of(t, struct console, again);

	(void)ev_io_start(c->ev, &c->io, c->in, EPOLLIN, on_input);
}

/* What is left of @n bytes once our own keys are out. */
static size_t keys(struct console *c, uint8_t *data, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (c->escape) {
			c->escape = false;
			if (data[i] == 'x' || data[i] == 'X') {
				c->quit(c->ctx);
				return kept;
			}
			data[kept++] = data[i];
		} else if (data[i] == ESCAPE) {
			c->escape = true;
		} else {
			data[kept++] = data[i];
		}
	}
	return kept;
}

static void on_input(struct ev_io *io, uint32_t events)
{
	struct console *c = container_of(io, struct console, io);
	uint8_t buf[256];
	size_t taken;
	ssize_t n;

	(void)events;
	n = read(c->in, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		ev_io_stop(&c->io); /* a pseudo terminal: nobody there yet */
		if (n < 0 && errno == EIO && c->owned)
			(void)ev_timer_start(c->ev, &c->again, 200, on_again);
		return;
	}
	if (c->terminal)
		n = (ssize_t)keys(c, buf, (size_t)n);
	taken = serial_input(c->serial, buf, (size_t)n);
	if (taken < (size_t)n) {
		/* typed faster than the guest reads */
		ev_io_stop(&c->io);
		(void)ev_timer_start(c->ev, &c->again, AGAIN_MS, on_again);
	}
}

static int open_pty(struct console *c)
{
	c->in = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (c->in < 0 || grantpt(c->in) < 0 || unlockpt(c->in) < 0)
		return -errno;
	c->out = c->in;
	c->owned = true;
	fprintf(stderr, "hvvm: console is %s\n", ptsname(c->in));
	return 0;
}

static void raw_terminal(struct console *c)
{
	struct termios t;

	if (!isatty(c->in) || tcgetattr(c->in, &c->before) < 0)
		return;
	t = c->before;
	cfmakeraw(&t);
	t.c_oflag |= OPOST | ONLCR;
	c->terminal = tcsetattr(c->in, TCSANOW, &t) == 0;
}

int console_open(struct console *c, struct ev *ev, const struct options *o,
		 struct serial *s, void (*quit)(void *ctx), void *ctx)
{
	int r = 0;

	*c = (struct console) {
		.ev = ev,
		.serial = s,
		.in = -1,
		.out = -1,
		.quit = quit,
		.ctx = ctx,
	};
	switch (o->console) {
	case CONSOLE_NONE:
		return 0;
	case CONSOLE_FILE:
		c->owned = true;
		c->out = open(o->console_path,
			      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
				      O_NOCTTY,
			      0666);
		if (c->out < 0) {
			r = -errno;
			log_err("--console file:%s: %s", o->console_path,
				strerror(-r));
		}
		return r;
	case CONSOLE_PTY:
		r = open_pty(c);
		if (r < 0) {
			log_err("no pseudo terminal: %s", strerror(-r));
			return r;
		}
		break;
	case CONSOLE_STDIO:
		c->in = STDIN_FILENO;
		c->out = STDOUT_FILENO;
		raw_terminal(c);
		break;
	}
	/* a file as standard input is none that can be waited for */
	r = ev_io_start(ev, &c->io, c->in, EPOLLIN, on_input);
	return r == -EPERM ? 0 : r;
}

void console_out(struct console *c, const uint8_t *data, size_t len)
{
	while (c->out >= 0 && len) {
		ssize_t n = write(c->out, data, len);

		/* nobody reads a pseudo terminal: as with a real line */
		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

void console_close(struct console *c)
{
	ev_io_stop(&c->io);
	ev_timer_stop(&c->again);
	if (c->terminal)
		tcsetattr(c->in, TCSADRAIN, &c->before);
	c->terminal = false;
	if (c->owned && c->out >= 0)
		close(c->out);
	c->in = c->out = -1;
}
