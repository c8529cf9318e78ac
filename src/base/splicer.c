/* SPDX-License-Identifier: MIT */
/* splicer.c - see splicer.h */
#include "base/splicer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdmsg.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

#define CHUNK 65536 /* what a pipe holds, too */
#define BUDGET 16 /* chunks before others have their turn */

struct side {
	struct ev_io io; /* first: see on_event() */
	struct splicer *splicer;
	int fd;
	bool copy; /* may bring descriptors: no splice from here */
	bool hup; /* closed in both directions */
};

/* One direction. At most one chunk is under way, in the pipe or in buf. */
struct pump {
	struct side *from, *to;
	int pipe[2];
	char *buf;
	size_t off, pending;
	uint64_t bytes;
	bool eof, done;
};

struct splicer {
	struct ev *ev;
	struct side a, b;
	struct pump ab, ba;
	splicer_end_fn end;
	void *arg;
};

int splicer_guard(int fd)
{
	socklen_t len = sizeof(int);
	const int zero = 0, one = 1;
	int domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    domain != AF_UNIX)
		return 0;
	/* urgent bytes stay in their place */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	return !setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &zero, sizeof(zero));
}

static bool is_unix(int fd)
{
	socklen_t len = sizeof(int);
	int domain;

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       domain == AF_UNIX;
}

static void (*closer)(const int *fds, int n);

void splicer_close_with(void (*fn)(const int *fds, int n))
{
	closer = fn;
}

struct closing {
	int n;
	int fds[];
};

static void *close_all(void *p)
{
	struct closing *c = p;

	for (int i = 0; i < c->n; i++)
		close(c->fds[i]);
	free(c);
	return NULL;
}

/* A thread's death is not waited for: its close() may take seconds. Where there
 * can be no thread that is better than that nobody closes them. */
static void close_elsewhere(const int *fds, int n)
{
	size_t size = sizeof(*fds) * (size_t)n;
	struct closing *copy;
	pthread_t t;

	if (closer) {
		closer(fds, n);
		return;
	}
	copy = malloc(sizeof(*copy) + size);
	if (!copy) {
		for (int i = 0; i < n; i++)
			close(fds[i]);
		return;
	}
	copy->n = n;
	memcpy(copy->fds, fds, size);
	if (pthread_create(&t, NULL, close_all, copy))
		close_all(copy);
	else
		pthread_detach(t);
}

static int pump_room(struct pump *p)
{
	if (p->from->copy) {
		if (!p->buf)
			p->buf = malloc(CHUNK);
		return p->buf ? 0 : -ENOMEM;
	}
	if (p->pipe[0] < 0 && pipe2(p->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/* Bytes taken, 0 at the end of file, or -errno. */
static ssize_t pump_fill(struct pump *p)
{
	struct fdmsg m;
	ssize_t n;
	int r;

	if (!p->from->copy) {
		n = splice(p->from->fd, NULL, p->pipe[1], NULL, CHUNK,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		return n < 0 ? -errno : n;
	}
	r = fdmsg_recv(p->from->fd, p->buf, CHUNK, MSG_DONTWAIT, &m);
	if (r)
		return r;
	if (m.nfds) {
		close_elsewhere(m.fds, m.nfds);
		return -EPROTO;
	}
	p->off = 0;
	return (ssize_t)m.len;
}

static ssize_t pump_drain(struct pump *p)
{
	ssize_t n;

	if (p->from->copy)
		n = send(p->to->fd, p->buf + p->off, p->pending,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
	else
		n = splice(p->pipe[0], NULL, p->to->fd, NULL, p->pending,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	return n < 0 ? -errno : n;
}

void splicer_discard(int fd)
{
	char buf[4096];
	struct fdmsg m;

	shutdown(fd, SHUT_RD);
	/* a Unix socket's queue is bounded and closed; TCP's may go on */
	for (int i = 0; i < 4096; i++) {
		if (fdmsg_recv(fd, buf, sizeof(buf), MSG_DONTWAIT, &m))
			return;
		if (m.nfds)
			close_elsewhere(m.fds, m.nfds);
		if (!m.len)
			return;
	}
}

/* What is under way has nowhere to go; who feeds it shall know. */
static void pump_give_up(struct pump *p)
{
	splicer_discard(p->from->fd);
	p->pending = 0;
	p->done = true;
}

/* Move what can be moved. 0, or -errno that ends the relay. */
static int pump_step(struct pump *p)
{
	ssize_t n;
	int r;

	for (int i = 0; i < BUDGET && !p->done; i++) {
		if (!p->pending && !p->eof) {
			r = pump_room(p);
			if (r)
				return r;
			n = pump_fill(p);
			if (n == -EAGAIN || n == -EINTR)
				return 0;
			if (n < 0)
				return (int)n;
			p->eof = n == 0;
			p->pending = (size_t)n;
		}
		while (p->pending) {
			n = pump_drain(p);
			if (n == -EAGAIN)
				return 0;
			if (n == -EINTR)
				continue;
			if (n == -EPIPE) {
				pump_give_up(p);
				return 0;
			}
			if (n < 0)
				return (int)n;
			p->off += (size_t)n;
			p->pending -= (size_t)n;
			p->bytes += (uint64_t)n;
		}
		if (p->eof && !p->done) {
			shutdown(p->to->fd, SHUT_WR);
			p->done = true;
		}
	}
	return 0;
}

static void on_event(struct ev_io *io, uint32_t events);

/* Ask for what the pumps wait for. A side that is closed altogether says so
 * at every look, and is only looked at while something waits for it. */
static int side_watch(struct side *s, const struct pump *out,
		      const struct pump *in)
{
	uint32_t events = 0;

	if (!out->done && !out->eof && !out->pending)
		events |= EPOLLIN;
	if (!in->done && in->pending)
		events |= EPOLLOUT;
	if (!events && s->hup) {
		ev_io_stop(&s->io);
		return 0;
	}
	if (s->io.ev && s->io.events == events)
		return 0;
	return ev_io_start(s->splicer->ev, &s->io, s->fd, events, on_event);
}

/* What was not read may have descriptors with it, closed with the socket. The
 * peer hears of the end now, whenever that is. */
static void side_close(struct side *s, const struct pump *from)
{
	ev_io_stop(&s->io);
	if (s->fd >= 0 && s->copy && !from->eof) {
		shutdown(s->fd, SHUT_RDWR);
		close_elsewhere(&s->fd, 1);
	} else {
		cleanup_close(&s->fd);
	}
	s->fd = -1;
}

static void splicer_stop(struct splicer *r)
{
	side_close(&r->a, &r->ab);
	side_close(&r->b, &r->ba);
}

static void splicer_destroy(void *p)
{
	struct splicer *r = p;

	for (int i = 0; i < 2; i++) {
		cleanup_close(&r->ab.pipe[i]);
		cleanup_close(&r->ba.pipe[i]);
	}
	free(r->ab.buf);
	free(r->ba.buf);
	free(r);
}

struct splicer *splicer_free(struct splicer *r)
{
	if (r) {
		splicer_stop(r);
		ev_later(r->ev, splicer_destroy, r);
	}
	return NULL;
}

static int splicer_step(struct splicer *r)
{
	int e;

	e = pump_step(&r->ab);
	if (!e)
		e = pump_step(&r->ba);
	if (e)
		return e;
	/* Nobody is left there to take what is still to come. */
	if (r->b.hup && r->ba.eof && !r->ab.done)
		pump_give_up(&r->ab);
	if (r->a.hup && r->ab.eof && !r->ba.done)
		pump_give_up(&r->ba);
	if (r->ab.done && r->ba.done)
		return 0;
	e = side_watch(&r->a, &r->ab, &r->ba);
	if (!e)
		e = side_watch(&r->b, &r->ba, &r->ab);
	return e;
}

static void on_event(struct ev_io *io, uint32_t events)
{
	struct side *s = container_of(io, struct side, io);
	struct splicer *r = s->splicer;
	int e;

	if (events & (EPOLLHUP | EPOLLERR))
		s->hup = true;
	e = splicer_step(r);
	if (!e && !(r->ab.done && r->ba.done))
		return;
	r->end(r->arg, -e, r->ab.bytes, r->ba.bytes);
	splicer_free(r);
}

void splicer_bytes(const struct splicer *r, uint64_t *ret_a_to_b,
		   uint64_t *ret_b_to_a)
{
	*ret_a_to_b = r->ab.bytes;
	*ret_b_to_a = r->ba.bytes;
}

int splicer_new(struct ev *ev, int a, int b, splicer_end_fn end, void *arg,
		struct splicer **ret)
{
	struct splicer *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->ev = ev;
	r->end = end;
	r->arg = arg;
	r->a = (struct side){ .splicer = r, .fd = a };
	r->b = (struct side){ .splicer = r, .fd = b };
	r->a.copy = !splicer_guard(a) && is_unix(a);
	r->b.copy = !splicer_guard(b) && is_unix(b);
	r->ab = (struct pump){ .from = &r->a, .to = &r->b, .pipe = { -1, -1 } };
	r->ba = (struct pump){ .from = &r->b, .to = &r->a, .pipe = { -1, -1 } };
	e = side_watch(&r->a, &r->ab, &r->ba);
	if (!e)
		e = side_watch(&r->b, &r->ba, &r->ab);
	if (e) {
		r->a.fd = r->b.fd = -1; /* they stay the caller's */
		splicer_free(r);
		return e;
	}
	*ret = r;
	return 0;
}
