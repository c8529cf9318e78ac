/* SPDX-License-Identifier: MIT */
/* broker-end.c - see broker-end.h */
#include "transport/dgram/broker-end.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "transport/closer.h"

#define RETRY_MIN_MS 50u
#define RETRY_MAX_MS 1000u
#define ANSWER_MS 5000u /* a broker that does not answer is no broker */
#define SEND_MS 1000 /* nor is one that does not read */
#define SERIAL_HELLO 1u
#define SERIAL_RELAY 2u

#define BUF(name, bytes)             \
	uint8_t name##_bytes[bytes]; \
	struct msg_buf name = msg_buf(name##_bytes, sizeof(name##_bytes))

int broker_end_init(struct broker_end *e, struct ev *ev,
		    const struct broker_end_ops *ops, void *ctx,
		    const char **ret_why)
{
	*e = (struct broker_end){
		.ev = ev,
		.ops = ops,
		.ctx = ctx,
		.fd = -1,
		.retry_ms = RETRY_MIN_MS,
	};
	return place_find(&e->place, ret_why);
}

void broker_end_fini(struct broker_end *e)
{
	ev_io_stop(&e->io);
	ev_timer_stop(&e->timer);
	if (e->fd >= 0)
		close(e->fd);
	place_close(&e->place);
}

/* ---- Sending -------------------------------------------------------------*/

/* The broker reads all the time, so waiting for it is short. One that cannot
 * be sent to is found by the loop: the socket is then readable. */
static void send_frame(struct broker_end *e, const struct msg_buf *m)
{
	struct pollfd p = { .fd = e->fd, .events = POLLOUT };
	int r;

	if (e->fd < 0)
		return;
	for (;;) {
		r = fdmsg_send(e->fd, m->data, m->len, NULL, 0, MSG_DONTWAIT);
		if (r == -EINTR)
			continue;
		if (r != -EAGAIN || poll(&p, 1, SEND_MS) == 0)
			break;
	}
	if (r < 0)
		(void)shutdown(e->fd, SHUT_RDWR);
}

void broker_end_known(struct broker_end *e, const uint8_t *frame, size_t len)
{
	static uint8_t raw[SOCKET_MAX];
	struct msg_buf m = msg_buf(raw, sizeof(raw));

	msg_begin(&m, MSG_KNOWN, ++e->serial);
	msg_put_bytes(&m, frame, len);
	send_frame(e, &m);
}

uint32_t broker_end_route(struct broker_end *e, uint64_t token,
			  const SOCKADDR_HV *dest)
{
	BUF(m, 64);

	if (!e->up)
		return 0;
	msg_begin(&m, MSG_ROUTE, ++e->serial);
	msg_put_u64(&m, token);
	msg_put_address(&m, dest);
	send_frame(e, &m);
	return e->serial;
}

void broker_end_gone(struct broker_end *e, uint64_t token)
{
	BUF(m, 16);

	if (!e->up)
		return;
	msg_begin(&m, MSG_GONE, ++e->serial);
	msg_put_u64(&m, token);
	send_frame(e, &m);
}

void broker_end_drops(struct broker_end *e, const struct msg_drops *d)
{
	BUF(m, 256);

	if (!e->up)
		return;
	msg_begin(&m, MSG_DROPS, ++e->serial);
	msg_put_drops(&m, d);
	send_frame(e, &m);
}

/* ---- Up and down ---------------------------------------------------------*/

static void down(struct broker_end *e, const char *why);

static void on_timer(struct ev_timer *t)
{
	struct broker_end *e = container_of(t, struct broker_end, timer);

	if (e->fd >= 0)
		down(e, "the broker does not answer");
	else
		broker_end_start(e);
}

static void down(struct broker_end *e, const char *why)
{
	ev_io_stop(&e->io);
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
	e->up = false;
	log_limited(&e->limit, LOG_INFO_, "%s: %s", e->place.path, why);
	if (ev_timer_start(e->ev, &e->timer, e->retry_ms, on_timer) < 0)
		log_err("no memory for a timer: the broker is lost for good");
	e->retry_ms *= 2;
	if (e->retry_ms > RETRY_MAX_MS)
		e->retry_ms = RETRY_MAX_MS;
	e->ops->lost(e->ctx, why);
}

static void on_io(struct ev_io *io, uint32_t events)
{
	(void)events;
	broker_end_drain(container_of(io, struct broker_end, io));
}

void broker_end_start(struct broker_end *e)
{
	char why[100];
	BUF(m, 32);
	int r = 0;

	e->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0);
	if (e->fd < 0 || connect(e->fd, (struct sockaddr *)&e->place.sa,
				 e->place.sa_len) < 0)
		r = -errno;
	if (r == 0)
		r = ev_io_start(e->ev, &e->io, e->fd, EPOLLIN, on_io);
	if (r == 0)
		r = ev_timer_start(e->ev, &e->timer, ANSWER_MS, on_timer);
	if (r < 0) {
		snprintf(why, sizeof(why), "no broker: %s", strerror(-r));
		down(e, why);
		return;
	}
	msg_begin(&m, MSG_HELLO, SERIAL_HELLO);
	msg_put_u32(&m, MSG_VERSION);
	msg_put_u32(&m, MSG_VERSION);
	send_frame(e, &m);
	msg_begin(&m, MSG_RELAY, SERIAL_RELAY);
	send_frame(e, &m);
	e->serial = SERIAL_RELAY;
}

static void attached(struct broker_end *e)
{
	BUF(m, MSG_HEADER);

	ev_timer_stop(&e->timer);
	e->retry_ms = RETRY_MIN_MS;
	e->up = true;
	e->ops->attached(e->ctx);
	msg_begin(&m, MSG_KNOWN, ++e->serial);
	send_frame(e, &m);
}

/* ---- Receiving -----------------------------------------------------------*/

static struct msg_receiver receivers[ROUTE_MAX]; /* one thread */

static int on_reply(struct broker_end *e, const uint8_t *p, size_t len,
		    const struct msg_header *h)
{
	char text[MSG_TEXT_MAX + 1], why[MSG_TEXT_MAX + 64];
	struct msg_reply r;
	int n = 0;

	if (msg_reply_decode(p, len, &r) < 0)
		return -EPROTO;
	if (e->up) {
		if (h->type != MSG_ROUTE)
			return 0;
		if (!r.error)
			n = msg_route_reply_decode(p, len, receivers);
		if (n < 0)
			return -EPROTO;
		if (r.error && (!r.reason || r.reason >= DROP_QUEUE_FULL))
			r.reason = HVS_REASON_BROKER_FAILED;
		e->ops->route(e->ctx, h->serial, r.error ? r.reason : 0,
			      receivers, (size_t)n);
		return 0;
	}
	if (r.error) {
		log_escape((const char *)r.payload, r.len, text, sizeof(text));
		snprintf(why, sizeof(why), "the broker refuses: %s", text);
		down(e, why);
	} else if (h->type == MSG_RELAY) {
		attached(e);
	}
	return 0;
}

static int on_socket(struct broker_end *e, const uint8_t *p, size_t len,
		     struct fdmsg *f)
{
	struct msg_socket m;
	int fd = -1;

	if (msg_socket_decode(p, len, &m) < 0 || f->nfds > 1)
		return -EPROTO;
	if (f->nfds == 1) {
		fd = f->fds[0];
		f->nfds = 0;
	}
	e->ops->socket(e->ctx, &m, fd, p + MSG_HEADER, len - MSG_HEADER);
	return 0;
}

static int on_probe(struct broker_end *e, const uint8_t *p, size_t len,
		    uint32_t serial)
{
	BUF(m, MSG_REPLY_HEADER);
	uint64_t token;

	if (msg_u64_decode(p, len, &token) < 0)
		return -EPROTO;
	e->ops->probe(e->ctx, token);
	msg_begin_reply(&m, MSG_PROBE, serial, 0, 0, 0);
	send_frame(e, &m);
	return 0;
}

static int on_frame(struct broker_end *e, const uint8_t *p, struct fdmsg *f)
{
	struct msg_header h;
	struct msg_close c;

	if (f->truncated || msg_header_decode(p, f->len, &h) < 0)
		return -EPROTO;
	if (h.reply)
		return on_reply(e, p, f->len, &h);
	if (!e->up)
		return -EPROTO;
	switch (h.type) {
	case MSG_SOCKET:
		return on_socket(e, p, f->len, f);
	case MSG_FLUSH:
		e->ops->flush(e->ctx);
		return 0;
	case MSG_PROBE:
		return on_probe(e, p, f->len, h.serial);
	case MSG_CLOSE:
		if (msg_close_decode(p, f->len, &c) < 0)
			return -EPROTO;
		e->ops->close(e->ctx, c.token);
		return 0;
	default:
		return -EPROTO;
	}
}

void broker_end_drain(struct broker_end *e)
{
	static uint8_t buf[MSG_MAX]; /* one thread */

	while (e->fd >= 0) {
		struct fdmsg f;
		int r = fdmsg_recv(e->fd, buf, sizeof(buf), MSG_DONTWAIT, &f);

		if (r == -EINTR)
			continue;
		if (r == -EAGAIN)
			return;
		if (r < 0 || f.len == 0) {
			if (r == 0)
				closer_close(f.fds, f.nfds);
			down(e, "the broker has gone");
			return;
		}
		r = on_frame(e, buf, &f);
		closer_close(f.fds, f.nfds);
		if (r < 0) {
			down(e, "the broker sent a malformed frame");
			return;
		}
	}
}
