/* SPDX-License-Identifier: MIT */
/* raw.c - see raw.h */
#include "transport/uplink/raw.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/splicer.h"
#include "proto/uplink.h"
#include "transport/closer.h"

#define HEAD 4u
#define BUDGET 16 /* messages before others have their turn */
#define SNDBUF 212992 /* a message of any size fits */

struct side {
	struct ev_io io;
	struct raw *raw;
	int fd;
	bool hup; /* closed in both directions */
};

/* One direction: a message with its head, or a part of it. */
struct way {
	uint8_t *buf; /* HEAD + UPLINK_MESSAGE_MAX bytes */
	size_t len; /* there */
	size_t sent; /* of a message on its way into the stream */
	bool eof, done;
	uint64_t bytes;
};

struct raw {
	struct ev *ev;
	struct side messages, stream;
	struct way out, in; /* into the stream, out of it */
	raw_end_fn end;
	void *arg;
};

static int room(struct way *w)
{
	if (!w->buf)
		w->buf = malloc(HEAD + UPLINK_MESSAGE_MAX);
	return w->buf ? 0 : -ENOMEM;
}

/* The end of a direction, or nobody takes it any more. */
static void finish(struct way *w, int from, int to, bool taken)
{
	if (taken)
		shutdown(to, SHUT_WR);
	else
		splicer_discard(from);
	w->len = w->sent = 0;
	w->done = true;
}

/* ---- Messages into the stream --------------------------------------------*/

/* Return: 1: there is one; 0: not now, or never; -errno */
static int take_message(struct raw *r)
{
	struct way *w = &r->out;
	struct fdmsg m;
	int e;

	e = w->eof ? 0 : room(w);
	if (e < 0 || w->eof)
		return e;
	if (closer_busy())
		return 0;
	e = fdmsg_recv(r->messages.fd, w->buf + HEAD, UPLINK_MESSAGE_MAX,
		       MSG_DONTWAIT, &m);
	if (e == -EAGAIN || e == -EINTR)
		return 0;
	if (e < 0)
		return e;
	if (m.nfds) {
		closer_close(m.fds, m.nfds);
		return -EPROTO;
	}
	if (m.truncated)
		return -EMSGSIZE;
	if (!m.len) {
		w->eof = true;
		return 0;
	}
	le32_put(w->buf, (uint32_t)m.len);
	w->len = HEAD + m.len;
	w->sent = 0;
	return 1;
}

static int pump_out(struct raw *r)
{
	struct way *w = &r->out;
	ssize_t n;
	int e;

	for (int i = 0; i < BUDGET && !w->done; i++) {
		e = w->len ? 1 : take_message(r);
		if (e < 0)
			return e;
		if (w->eof)
			finish(w, r->messages.fd, r->stream.fd, true);
		if (!w->len)
			return 0;
		n = send(r->stream.fd, w->buf + w->sent, w->len - w->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0 && errno != EPIPE)
			return -errno;
		if (n < 0) {
			finish(w, r->messages.fd, r->stream.fd, false);
			return 0;
		}
		w->sent += (size_t)n;
		if (w->sent < w->len)
			return 0;
		w->bytes += w->len - HEAD;
		w->len = w->sent = 0;
	}
	return 0;
}

/* ---- The stream into messages --------------------------------------------*/

/* The length of what is in w, head included, as far as it is known. */
static size_t wanted(const struct way *w)
{
	return w->len < HEAD ? HEAD : HEAD + le32_get(w->buf);
}

static bool whole(const struct way *w)
{
	return w->len > HEAD && w->len == wanted(w);
}

/* Return: 0, or -errno; is it whole() then? */
static int take_bytes(struct raw *r)
{
	struct way *w = &r->in;
	struct fdmsg m;
	int e = room(w);

	while (e == 0 && !w->eof && !whole(w)) {
		e = fdmsg_recv(r->stream.fd, w->buf + w->len,
			       wanted(w) - w->len, MSG_DONTWAIT, &m);
		if (e == -EAGAIN || e == -EINTR)
			return 0;
		if (e < 0)
			return e;
		if (m.nfds) {
			closer_close(m.fds, m.nfds);
			return -EPROTO;
		}
		w->eof = !m.len;
		w->len += m.len;
		if (w->len == HEAD &&
		    (!le32_get(w->buf) ||
		     le32_get(w->buf) > UPLINK_MESSAGE_MAX))
			return -EPROTO;
	}
	return e;
}

static int pump_in(struct raw *r)
{
	struct way *w = &r->in;
	ssize_t n;
	int e;

	for (int i = 0; i < BUDGET && !w->done; i++) {
		e = take_bytes(r);
		if (e < 0)
			return e;
		if (w->eof && w->len && !whole(w))
			return -EPROTO; /* cut off */
		if (w->eof && !w->len)
			finish(w, r->stream.fd, r->messages.fd, true);
		if (!whole(w))
			return 0;
		n = send(r->messages.fd, w->buf + HEAD, w->len - HEAD,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0 && errno != EPIPE)
			return -errno;
		if (n < 0) {
			finish(w, r->stream.fd, r->messages.fd, false);
			return 0;
		}
		w->bytes += w->len - HEAD;
		w->len = 0;
	}
	return 0;
}

/* ---- Both ----------------------------------------------------------------*/

static void on_event(struct ev_io *io, uint32_t events);

/* As in the splicer: a side that is closed altogether is only looked at while
 * something waits for it. */
static int watch(struct side *s, bool reads, bool writes)
{
	uint32_t events = (reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0);

	if (!events && s->hup) {
		ev_io_stop(&s->io);
		return 0;
	}
	if (s->io.ev && s->io.events == events)
		return 0;
	return ev_io_start(s->raw->ev, &s->io, s->fd, events, on_event);
}

static int watch_both(struct raw *r)
{
	const struct way *out = &r->out, *in = &r->in;
	int e = watch(&r->messages, !out->done && !out->eof && !out->len,
		      !in->done && whole(in));

	if (e == 0)
		e = watch(&r->stream, !in->done && !in->eof && !whole(in),
			  !out->done && out->len);
	return e;
}

static void stop(struct raw *r)
{
	ev_io_stop(&r->messages.io);
	ev_io_stop(&r->stream.io);
	if (r->messages.fd >= 0)
		closer_close_socket(r->messages.fd);
	if (r->stream.fd >= 0)
		closer_close_socket(r->stream.fd);
	r->messages.fd = r->stream.fd = -1;
}

static void destroy(void *p)
{
	struct raw *r = p;

	free(r->out.buf);
	free(r->in.buf);
	free(r);
}

struct raw *raw_free(struct raw *r)
{
	if (r) {
		stop(r);
		ev_later(r->ev, destroy, r);
	}
	return NULL;
}

static int step(struct raw *r)
{
	int e = pump_out(r);

	if (e == 0)
		e = pump_in(r);
	if (e < 0)
		return e;
	/* Nobody is left there to take what is still to come. */
	if (r->messages.hup && r->out.eof && !r->in.done)
		finish(&r->in, r->stream.fd, r->messages.fd, false);
	if (r->stream.hup && r->in.eof && !r->out.done)
		finish(&r->out, r->messages.fd, r->stream.fd, false);
	return r->in.done && r->out.done ? 1 : watch_both(r);
}

static void on_event(struct ev_io *io, uint32_t events)
{
	struct side *s = container_of(io, struct side, io);
	struct raw *r = s->raw;
	int e;

	if (events & (EPOLLHUP | EPOLLERR))
		s->hup = true;
	e = step(r);
	if (!e)
		return;
	r->end(r->arg, e < 0 ? -e : 0);
	raw_free(r);
}

void raw_bytes(const struct raw *r, uint64_t *ret_out, uint64_t *ret_in)
{
	*ret_out = r->out.bytes;
	*ret_in = r->in.bytes;
}

int raw_new(struct ev *ev, int messages, int stream, raw_end_fn end, void *arg,
	    struct raw **ret)
{
	static const int size = SNDBUF;
	struct raw *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->ev = ev;
	r->end = end;
	r->arg = arg;
	r->messages = (struct side){ .raw = r, .fd = messages };
	r->stream = (struct side){ .raw = r, .fd = stream };
	(void)setsockopt(messages, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)closer_guard_socket(messages);
	(void)closer_guard_socket(stream);
	e = watch_both(r);
	if (e < 0) {
		r->messages.fd = r->stream.fd = -1; /* the caller's */
		raw_free(r);
		return e;
	}
	*ret = r;
	return 0;
}
