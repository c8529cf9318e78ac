/* SPDX-License-Identifier: MIT */
/*
 * front.c - see front.h
 *
 * A client that does not say its line in time is closed, and keeps nobody else
 * waiting. What is refused is closed without a line, as the convention has it;
 * the reason goes to the log. The broker is asked on other threads (dialler.h),
 * so that bytes go on however long it takes. "OK" repeats the port that was asked for: it is
 * short enough for programs that look at a few bytes only.
 */
#include "transport/hybrid/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "base/log.h"
#include "base/splicer.h"
#include "transport/closer.h"
#include "transport/handshake.h"
#include "transport/hybrid/dialler.h"
#include "transport/relay.h"

#define HANDSHAKE_MS 5000u
#define DIAL_MS 10000u /* until a dialler has come to it, and is answered */
#define RETRY_MS 20u /* a listener whose backlog is full */
#define RETRIES 100
#define CLIENTS_MAX 4096u
#define BATCH 16
#define PAUSE_MS 100u /* when there are no descriptors left */

struct client {
	LIST_ENTRY(client) link;
	struct front *f;
	int fd, target; /* -1 */
	struct ev_io io, target_io;
	struct ev_timer timer;
	struct dial *dial;
	struct hybrid_parser said;
	int tries;
	struct splicer *splicer;
	bool over;
};

struct front {
	struct ev *ev;
	const char *partition;
	struct ev_io io;
	struct ev_timer pause;
	LIST_HEAD(, client) all;
	unsigned int count;
	struct log_limit limit;
};

static void client_close(struct client *c)
{
	if (c->over)
		return;
	c->over = true;
	ev_io_stop(&c->io);
	ev_io_stop(&c->target_io);
	ev_timer_stop(&c->timer);
	dial_cancel(c->dial);
	splicer_free(c->splicer);
	if (c->fd >= 0)
		closer_close_socket(c->fd);
	if (c->target >= 0)
		closer_close_socket(c->target);
	LIST_REMOVE(c, link);
	c->f->count--;
	ev_later(c->f->ev, free, c);
}

/* ---- joined */

static void on_end(void *arg, int error, uint64_t to_target,
		   uint64_t from_target)
{
	struct client *c = arg;

	(void)error;
	(void)to_target;
	(void)from_target;
	c->splicer = NULL; /* it frees itself after this */
	client_close(c);
}

/* Whoever has written and closed hears no answer; the bytes arrive. */
static bool answer(const struct client *c)
{
	char line[HYBRID_LINE_SIZE];
	size_t n = hybrid_format(HYBRID_OK, &c->said.service, c->said.by_guid,
				 line);

	if (send(c->fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n)
		return true;
	return errno == EPIPE && relay_unread(c->fd);
}

static void client_connected(struct client *c)
{
	ev_io_stop(&c->io);
	if (!answer(c) || splicer_new(c->f->ev, c->fd, c->target, on_end, c,
				      &c->splicer) < 0) {
		client_close(c);
		return;
	}
	c->fd = c->target = -1;
}

/* ---- the partition is dialled */

static void address(const struct client *c, char *ret, size_t size)
{
	char suffix[HYBRID_SUFFIX_SIZE];

	/* (behind the underscore is what an address has behind its colon) */
	hybrid_suffix(&c->said.service, c->said.by_guid, suffix);
	snprintf(ret, size, "%s:%s", c->f->partition, suffix + 1);
}

static void client_refused(struct client *c, const char *why)
{
	char text[400];

	address(c, text, sizeof(text));
	log_limited(&c->f->limit, LOG_WARN_, "%s: %s", text, why);
	client_close(c);
}

static void on_dialled(void *ctx, const struct dial_result *r);

/* The diallers are few, and a broker that does not answer holds each for
 * seconds: who waits for one does not wait for all that are before it. */
static void on_no_answer(struct ev_timer *t)
{
	client_refused(container_of(t, struct client, timer),
		       "the broker does not answer");
}

static void asked(struct client *c)
{
	if (!c->dial || ev_timer_start(c->f->ev, &c->timer, DIAL_MS,
				       on_no_answer) < 0)
		client_refused(c, "no memory");
}

static void on_target(struct ev_io *io, uint32_t events)
{
	struct client *c = container_of(io, struct client, target_io);

	(void)events;
	ev_io_stop(io);
	c->dial = dial_ask(c->target, on_dialled, c);
	if (c->dial)
		c->target = -1;
	asked(c);
}

static void dial(struct client *c)
{
	char text[400];

	address(c, text, sizeof(text));
	c->dial = dial_new(text, on_dialled, c);
	asked(c);
}

static void on_retry(struct ev_timer *t)
{
	dial(container_of(t, struct client, timer));
}

static void on_dialled(void *ctx, const struct dial_result *r)
{
	struct client *c = ctx;

	c->dial = NULL;
	ev_timer_stop(&c->timer);
	c->target = r->fd;
	if (!r->error)
		client_connected(c);
	else if (r->error == EINPROGRESS &&
		 ev_io_start(c->f->ev, &c->target_io, c->target, EPOLLOUT,
			     on_target) == 0)
		return;
	else if (r->backlog && c->tries++ < RETRIES &&
		 ev_timer_start(c->f->ev, &c->timer, RETRY_MS, on_retry) == 0)
		return;
	else
		client_refused(c, r->why);
}

/* ---- the line */

static void on_gone(struct ev_io *io, uint32_t events)
{
	struct client *c = container_of(io, struct client, io);

	if (!(events & (EPOLLHUP | EPOLLERR)))
		return;
	/* what it has written before it closed is still to be delivered */
	if (relay_unread(c->fd))
		ev_io_stop(io);
	else
		client_close(c);
}

static void on_talk(struct ev_io *io, uint32_t events)
{
	struct client *c = container_of(io, struct client, io);
	int r = handshake_read(c->fd, &c->said);

	(void)events;
	if (r == -EAGAIN)
		return;
	ev_timer_stop(&c->timer);
	if (r == -EPROTO)
		log_limited(&c->f->limit, LOG_WARN_,
			    "a client says something else than CONNECT and a "
			    "port or a GUID");
	/* what follows the line waits in the socket */
	if (r < 0 || ev_io_start(c->f->ev, io, c->fd, 0, on_gone) < 0)
		client_close(c);
	else
		dial(c);
}

static void on_late(struct ev_timer *t)
{
	client_close(container_of(t, struct client, timer));
}

static void client_new(struct front *f, int fd)
{
	struct client *c = NULL;

	if (f->count < CLIENTS_MAX && !closer_busy())
		c = calloc(1, sizeof(*c));
	if (!c) {
		closer_close_socket(fd);
		return;
	}
	c->f = f;
	c->fd = fd;
	c->target = -1;
	hybrid_parser_init(&c->said, HYBRID_CONNECT);
	LIST_INSERT_HEAD(&f->all, c, link);
	f->count++;
	if (ev_io_start(f->ev, &c->io, fd, EPOLLIN, on_talk) < 0 ||
	    ev_timer_start(f->ev, &c->timer, HANDSHAKE_MS, on_late) < 0)
		client_close(c);
}

/* ---- the listening socket */

static void on_accept(struct ev_io *io, uint32_t events);

static void on_pause(struct ev_timer *t)
{
	struct front *f = container_of(t, struct front, pause);

	(void)ev_io_start(f->ev, &f->io, f->io.fd, EPOLLIN, on_accept);
}

static void on_accept(struct ev_io *io, uint32_t events)
{
	struct front *f = container_of(io, struct front, io);

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		int fd = accept4(io->fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			client_new(f, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return;
		log_limited(&f->limit, LOG_WARN_, "accept: %s",
			    strerror(errno));
		ev_io_stop(io);
		(void)ev_timer_start(f->ev, &f->pause, PAUSE_MS, on_pause);
		return;
	}
}

int front_new(struct ev *ev, int fd, const char *partition, struct front **ret)
{
	struct front *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->ev = ev;
	f->partition = partition;
	LIST_INIT(&f->all);
	(void)closer_guard_socket(fd);
	splicer_close_with(closer_close);
	r = dialler_start(ev);
	if (r == 0)
		r = ev_io_start(ev, &f->io, fd, EPOLLIN, on_accept);
	if (r < 0) {
		dialler_stop();
		free(f);
		return r;
	}
	*ret = f;
	return 0;
}

struct front *front_free(struct front *f)
{
	if (f) {
		while (!LIST_EMPTY(&f->all))
			client_close(LIST_FIRST(&f->all));
		dialler_stop();
		ev_timer_stop(&f->pause);
		ev_io_stop(&f->io);
		free(f);
	}
	return NULL;
}
