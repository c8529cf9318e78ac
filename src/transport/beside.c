/* SPDX-License-Identifier: MIT */
/* beside.c - see beside.h */
#include "transport/beside.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/closer.h"

#define RETRY_MIN_MS 50u
#define RETRY_MAX_MS 1000u
#define ANSWER_MS 5000u /* a broker that does not answer is no broker */
#define SEND_MS 1000 /* nor is one that does not read */
#define SERIAL_HELLO 1u
#define SERIAL_REQUEST 2u

int beside_init(struct beside *e, struct ev *ev, const struct beside_ops *ops,
		const char **ret_why)
{
	*e = (struct beside){
		.ev = ev,
		.ops = ops,
		.fd = -1,
		.retry_ms = RETRY_MIN_MS,
	};
	return place_find(&e->place, ret_why);
}

void beside_fini(struct beside *e)
{
	ev_io_stop(&e->io);
	ev_timer_stop(&e->timer);
	if (e->fd >= 0)
		close(e->fd);
	place_close(&e->place);
}

/* The broker reads all the time, so waiting for it is short. One that cannot
 * be sent to is found by the loop: the socket is then readable. */
void beside_send(struct beside *e, const struct msg_buf *m)
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

/* ---- Up and down ---------------------------------------------------------*/

static void down(struct beside *e, const char *why);

static void on_timer(struct ev_timer *t)
{
	struct beside *e = container_of(t, struct beside, timer);

	if (e->fd >= 0)
		down(e, "the broker does not answer");
	else
		beside_start(e);
}

static void down(struct beside *e, const char *why)
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
	e->ops->lost(e, why);
}

static void on_io(struct ev_io *io, uint32_t events)
{
	(void)events;
	beside_drain(container_of(io, struct beside, io));
}

void beside_start(struct beside *e)
{
	char why[100];
	BESIDE_BUF(m, 32);
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
	beside_send(e, &m);
	msg_begin(&m, e->ops->request, SERIAL_REQUEST);
	beside_send(e, &m);
	e->serial = SERIAL_REQUEST;
}

/* ---- Receiving -----------------------------------------------------------*/

static int on_first_reply(struct beside *e, const struct msg_header *h,
			  const uint8_t *p, size_t len)
{
	char text[MSG_TEXT_MAX + 1], why[MSG_TEXT_MAX + 64];
	struct msg_reply r;

	if (!h->reply || msg_reply_decode(p, len, &r) < 0)
		return -EPROTO;
	if (r.error) {
		log_escape((const char *)r.payload, r.len, text, sizeof(text));
		snprintf(why, sizeof(why), "the broker refuses: %s", text);
		down(e, why);
	} else if (h->type == e->ops->request) {
		ev_timer_stop(&e->timer);
		e->retry_ms = RETRY_MIN_MS;
		e->up = true;
		e->ops->attached(e);
	}
	return 0;
}

static int on_frame(struct beside *e, const uint8_t *p, struct fdmsg *f)
{
	struct msg_header h;

	if (f->truncated || msg_header_decode(p, f->len, &h) < 0)
		return -EPROTO;
	if (!e->up)
		return on_first_reply(e, &h, p, f->len);
	return e->ops->frame(e, &h, p, f);
}

void beside_drain(struct beside *e)
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
