/* SPDX-License-Identifier: MIT */
/* watch.c - see watch.h */
#include "transport/vsock/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "base/log.h"
#include "transport/closer.h"
#include "transport/place.h"

#define RETRY_MIN_MS 50u
#define RETRY_MAX_MS 1000u
#define ANSWER_MS 5000u /* a broker that does not answer is no broker */
#define SERIAL_HELLO 1u
#define SERIAL_CIDS 2u

struct watch {
	struct ev *ev;
	const struct watch_ops *ops;
	void *ctx;
	struct place place;
	struct ev_io io;
	int fd; /* -1 */
	struct ev_timer timer; /* retry, or limit for the answer */
	uint64_t retry_ms;
	char error[MSG_TEXT_MAX + 100];
	struct log_limit limit;
	uint8_t in[MSG_MAX];
};

/* ---- up and down */

static void down(struct watch *w, const char *why);

static void on_timer(struct ev_timer *t)
{
	struct watch *w = container_of(t, struct watch, timer);

	if (w->fd >= 0)
		down(w, "the broker does not answer");
	else
		watch_start(w);
}

static void down(struct watch *w, const char *why)
{
	snprintf(w->error, sizeof(w->error), "%s", why);
	ev_io_stop(&w->io);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	log_limited(&w->limit, LOG_INFO_, "%s: %s", w->place.path, why);
	if (ev_timer_start(w->ev, &w->timer, w->retry_ms, on_timer) < 0)
		log_err("no memory for a timer: the broker is lost for good");
	w->retry_ms *= 2;
	if (w->retry_ms > RETRY_MAX_MS)
		w->retry_ms = RETRY_MAX_MS;
}

/* One that cannot be sent to is found by the loop: it is readable then. */
static void send_frame(struct watch *w, const struct msg_buf *m)
{
	if (fdmsg_send(w->fd, m->data, m->len, NULL, 0, MSG_DONTWAIT) < 0)
		(void)shutdown(w->fd, SHUT_RDWR);
}

static void on_io(struct ev_io *io, uint32_t events);

void watch_start(struct watch *w)
{
	uint8_t bytes[64];
	struct msg_buf m = msg_buf(bytes, sizeof(bytes));
	char why[200];
	int r = 0;

	w->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0);
	if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&w->place.sa,
				 w->place.sa_len) < 0)
		r = -errno;
	if (r == 0)
		r = ev_io_start(w->ev, &w->io, w->fd, EPOLLIN, on_io);
	if (r == 0)
		r = ev_timer_start(w->ev, &w->timer, ANSWER_MS, on_timer);
	if (r < 0) {
		snprintf(why, sizeof(why), "no broker: %s", strerror(-r));
		down(w, why);
		return;
	}
	msg_begin(&m, MSG_HELLO, SERIAL_HELLO);
	msg_put_u32(&m, MSG_VERSION);
	msg_put_u32(&m, MSG_VERSION);
	send_frame(w, &m);
	msg_begin(&m, MSG_CIDS, SERIAL_CIDS);
	send_frame(w, &m);
}

/* ---- what the broker says */

static int on_reply(struct watch *w, const struct msg_header *h, size_t len)
{
	char text[MSG_TEXT_MAX + 1], why[MSG_TEXT_MAX + 40];
	struct msg_reply r;

	if (msg_reply_decode(w->in, len, &r) < 0 ||
	    (h->type != MSG_HELLO && h->type != MSG_CIDS))
		return -EPROTO;
	if (r.error) {
		log_escape((const char *)r.payload, r.len, text, sizeof(text));
		snprintf(why, sizeof(why), "the broker refuses: %s", text);
		w->retry_ms = RETRY_MAX_MS;
		down(w, why);
	} else if (h->type == MSG_CIDS) {
		ev_timer_stop(&w->timer);
		w->retry_ms = RETRY_MIN_MS;
		w->error[0] = '\0';
	}
	return 0;
}

static int on_list(struct watch *w, const struct msg_header *h, size_t len)
{
	uint8_t bytes[MSG_REPLY_HEADER];
	struct msg_buf m = msg_buf(bytes, sizeof(bytes));
	struct msg_services services;
	struct msg_cids cids;

	if (h->type == MSG_CIDS && msg_cids_decode(w->in, len, &cids) == 0)
		w->ops->cids(w->ctx, &cids);
	else if (h->type == MSG_SERVICES &&
		 msg_services_decode(w->in, len, &services) == 0)
		w->ops->services(w->ctx, &services);
	else
		return -EPROTO;
	msg_begin_reply(&m, h->type, h->serial, 0, 0, 0);
	send_frame(w, &m);
	return 0;
}

static void on_io(struct ev_io *io, uint32_t events)
{
	struct watch *w = container_of(io, struct watch, io);

	(void)events;
	while (w->fd >= 0) {
		struct msg_header h;
		struct fdmsg m;
		int r = fdmsg_recv(w->fd, w->in, sizeof(w->in), MSG_DONTWAIT,
				   &m);

		if (r == -EINTR)
			continue;
		if (r == -EAGAIN)
			return;
		if (r < 0 || m.len == 0) {
			if (r == 0)
				closer_close(m.fds, m.nfds);
			down(w, "the broker has gone");
			return;
		}
		closer_close(m.fds, m.nfds);
		r = -EPROTO;
		if (!m.truncated && msg_header_decode(w->in, m.len, &h) == 0)
			r = h.reply ? on_reply(w, &h, m.len) :
				      on_list(w, &h, m.len);
		if (r < 0)
			down(w, "the broker sent a malformed frame");
	}
}

/* ---- life */

int watch_new(struct ev *ev, const struct watch_ops *ops, void *ctx,
	      struct watch **ret, const char **ret_why)
{
	struct watch *w = calloc(1, sizeof(*w));
	int r;

	*ret_why = "no memory";
	if (!w)
		return -ENOMEM;
	w->ev = ev;
	w->ops = ops;
	w->ctx = ctx;
	w->fd = -1;
	w->retry_ms = RETRY_MIN_MS;
	r = place_find(&w->place, ret_why);
	if (r < 0) {
		watch_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

struct watch *watch_free(struct watch *w)
{
	if (!w)
		return NULL;
	ev_io_stop(&w->io);
	ev_timer_stop(&w->timer);
	if (w->fd >= 0)
		close(w->fd);
	place_close(&w->place);
	free(w);
	return NULL;
}

const char *watch_failed(const struct watch *w)
{
	return w->error[0] ? w->error : NULL;
}

const char *watch_place(const struct watch *w)
{
	return w->place.path;
}
