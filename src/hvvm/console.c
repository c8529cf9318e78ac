/* SPDX-License-Identifier: MIT */
/* console.c - see console.h */
#include "hvvm/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/unix.h"

#define ESCAPE 1 /* Ctrl-A */
#define AGAIN_MS 10u
#define NO_ROOM_MS 100u

static void on_input(struct ev_io *io, uint32_t events);
static void client_gone(struct console *c);

/* What has been read, to the guest. Return: has it taken all? */
static bool give(struct console *c)
{
	c->kept_at += serial_input(c->serial, c->kept + c->kept_at,
				   c->kept_len - c->kept_at);
	return c->kept_at == c->kept_len;
}

static void on_again(struct ev_timer *t)
{
	struct console *c = container_of(t, struct console, again);

	if (c->terminal || give(c))
		(void)ev_io_start(c->ev, &c->io, c->in, EPOLLIN, on_input);
	else
		(void)ev_timer_start(c->ev, &c->again, AGAIN_MS, on_again);
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
	ssize_t n;

	(void)events;
	n = read(c->in, c->kept, sizeof(c->kept));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		ev_io_stop(&c->io); /* a pseudo terminal: nobody there yet */
		if (c->listen >= 0)
			client_gone(c);
		else if (n < 0 && errno == EIO && c->owned)
			(void)ev_timer_start(c->ev, &c->again, 200, on_again);
		return;
	}
	if (c->terminal)
		n = (ssize_t)keys(c, c->kept, (size_t)n);
	c->kept_at = 0;
	c->kept_len = (size_t)n;
	if (!give(c)) {
		/* typed faster than the guest reads */
		ev_io_stop(&c->io);
		(void)ev_timer_start(c->ev, &c->again, AGAIN_MS, on_again);
	}
}

static int open_pty(struct console *c, const char *name)
{
	c->in = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (c->in < 0 || grantpt(c->in) < 0 || unlockpt(c->in) < 0)
		return -errno;
	c->out = c->in;
	fprintf(stderr, "hvvm: %s is %s\n", name, ptsname(c->in));
	return ev_io_start(c->ev, &c->io, c->in, EPOLLIN, on_input);
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

/* ---- a socket: one client at a time, and nobody at first */

static void on_client(struct ev_io *io, uint32_t events);

static void on_no_room(struct ev_timer *t)
{
	struct console *c = container_of(t, struct console, again);

	(void)ev_io_start(c->ev, &c->listener, c->listen, EPOLLIN, on_client);
}

static void on_client(struct ev_io *io, uint32_t events)
{
	struct console *c = container_of(io, struct console, listener);
	int fd;

	(void)events;
	fd = accept4(c->listen, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
		/* whoever waits goes on waiting */
		ev_io_stop(&c->listener);
		(void)ev_timer_start(c->ev, &c->again, NO_ROOM_MS, on_no_room);
	}
	if (fd < 0)
		return;
	ev_io_stop(&c->listener); /* the next one waits */
	pthread_mutex_lock(&c->lock);
	c->in = c->out = fd;
	pthread_mutex_unlock(&c->lock);
	(void)ev_io_start(c->ev, &c->io, fd, EPOLLIN, on_input);
}

static void client_gone(struct console *c)
{
	/* a processor may be writing to one that reads no more, locked */
	(void)shutdown(c->in, SHUT_RDWR);
	pthread_mutex_lock(&c->lock);
	close(c->in);
	c->in = c->out = -1;
	pthread_mutex_unlock(&c->lock);
	(void)ev_io_start(c->ev, &c->listener, c->listen, EPOLLIN, on_client);
}

static int open_socket(struct console *c, const char *path)
{
	/* with a serial line comes a login: for this user only */
	c->listen = unix_listen(path, SOCK_STREAM, 1, true);
	if (c->listen < 0)
		return c->listen;
	c->path = path;
	return ev_io_start(c->ev, &c->listener, c->listen, EPOLLIN, on_client);
}

static int open_file(struct console *c, const char *path)
{
	c->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY,
		      0666);
	return c->out < 0 ? -errno : 0;
}

static int open_stdio(struct console *c)
{
	int r;

	c->in = STDIN_FILENO;
	c->out = STDOUT_FILENO;
	raw_terminal(c);
	/* a file as standard input is none that can be waited for */
	r = ev_io_start(c->ev, &c->io, c->in, EPOLLIN, on_input);
	return r == -EPERM ? 0 : r;
}

int console_open(struct console *c, struct ev *ev, const char *name,
		 const struct options_port *p, struct serial *s,
		 void (*quit)(void *ctx), void *ctx)
{
	static const char *const kinds[] = {
		[CONSOLE_PTY] = "pty",	  [CONSOLE_FILE] = "file:",
		[CONSOLE_UNIX] = "unix:", [CONSOLE_STDIO] = "stdio",
		[CONSOLE_NONE] = "none",
	};
	int r = 0;

	*c = (struct console) {
		.ev = ev,
		.serial = s,
		.in = -1,
		.out = -1,
		.listen = -1,
		.owned = p->kind != CONSOLE_STDIO,
		.quit = quit,
		.ctx = ctx,
	};
	pthread_mutex_init(&c->lock, NULL);
	if (p->kind == CONSOLE_FILE)
		r = open_file(c, p->path);
	if (p->kind == CONSOLE_UNIX)
		r = open_socket(c, p->path);
	if (p->kind == CONSOLE_PTY)
		r = open_pty(c, name);
	if (p->kind == CONSOLE_STDIO)
		r = open_stdio(c);
	if (r < 0)
		log_err("--%s %s%s: %s", name, kinds[p->kind],
			p->path ? p->path : "", strerror(-r));
	return r;
}

void console_out(struct console *c, const uint8_t *data, size_t len)
{
	pthread_mutex_lock(&c->lock);
	while (c->out >= 0 && len) {
		ssize_t n = write(c->out, data, len);

		/* nobody reads a pseudo terminal: as with a real line */
		if (n <= 0)
			break;
		data += n;
		len -= (size_t)n;
	}
	pthread_mutex_unlock(&c->lock);
}

void console_close(struct console *c)
{
	if (!c->ev)
		return;
	ev_io_stop(&c->io);
	ev_io_stop(&c->listener);
	ev_timer_stop(&c->again);
	if (c->terminal)
		tcsetattr(c->in, TCSADRAIN, &c->before);
	c->terminal = false;
	if (c->owned && c->out >= 0)
		close(c->out);
	c->in = c->out = -1;
	if (c->listen >= 0)
		close(c->listen);
	c->listen = -1;
	if (c->path)
		(void)unlink(c->path);
	c->path = NULL;
}
