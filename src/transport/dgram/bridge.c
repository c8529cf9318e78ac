/* SPDX-License-Identifier: MIT */
/*
 * bridge.c - see bridge.h
 *
 * One frame is read at a time, and none while the broker is asked for the way
 * of the last one. A frame that the stream has taken in part is kept, and all
 * others wait in the queue; questions and answers are a sender of their own in
 * there, so that they do not wait for a flood.
 */
#include "transport/dgram/bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/guid.h"
#include "transport/closer.h"
#include "transport/dgram/relay-internal.h"

struct bridge *bridge_new(const GUID *partition)
{
	struct bridge *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	/* not the buffer */
	memset(&b->len, 0, sizeof(*b) - offsetof(struct bridge, len));
	b->to_host = guid_equal(partition, &guid_parent);
	return b;
}

struct bridge *bridge_free(struct bridge *b)
{
	if (b)
		load_unref(b->out);
	free(b);
	return NULL;
}

/* ---- Towards it ----------------------------------------------------------*/

struct load *bridge_frame(const uint8_t *header, const struct load *l)
{
	struct load *f = load_room(UPLINK_DGRAM_HEADER + l->len);

	if (!f)
		return NULL;
	memcpy(f->bytes, header, UPLINK_DGRAM_HEADER);
	if (l->len)
		memcpy(f->bytes + UPLINK_DGRAM_HEADER, l->bytes, l->len);
	return f;
}

/* Return: bytes, or -errno */
static ssize_t send_some(int fd, const uint8_t *header, const uint8_t *p,
			 size_t len)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)(uintptr_t)header,
		  .iov_len = header ? UPLINK_DGRAM_HEADER : 0 },
		{ .iov_base = (void *)(uintptr_t)p, .iov_len = len },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		return n;
	switch (errno) {
	case EAGAIN:
	case EINTR:
		return -EAGAIN;
	case ENOMEM:
	case ENOBUFS:
		return -ENOMEM;
	default:
		/* One that does not read can have shut down only that: of a
		 * connection that carries nothing there, nothing is left. */
		(void)shutdown(fd, SHUT_RDWR);
		return -EPIPE;
	}
}

int bridge_push(struct sock *s)
{
	struct bridge *b = s->bridge;

	while (b->out) {
		ssize_t n = send_some(s->fd, NULL, b->out->bytes + b->sent,
				      b->out->len - b->sent);

		if (n < 0)
			return (int)n;
		b->sent += (size_t)n;
		if (b->sent == b->out->len)
			b->out = load_unref(b->out);
	}
	return 0;
}

int bridge_send(struct sock *to, const uint8_t *header, const struct load *l)
{
	struct bridge *b = to->bridge;
	size_t len = l->len + (header ? UPLINK_DGRAM_HEADER : 0);
	ssize_t n;

	if (b->out)
		return -EAGAIN;
	n = send_some(to->fd, header, l->bytes, l->len);
	if (n < 0)
		return (int)n;
	if ((size_t)n == len)
		return 0;
	b->out = header ? bridge_frame(header, l) :
			  load_new(l->bytes, l->len);
	if (!b->out) {
		/* half a frame is out, and the rest will never be */
		shutdown(to->fd, SHUT_RDWR);
		return -ENOMEM;
	}
	b->sent = (size_t)n;
	watch(to);
	return 0;
}

void bridge_header(const struct sock *from, const struct way *way,
		   const struct sock *to, const struct msg_receiver *as,
		   uint32_t len, uint8_t *ret)
{
	struct uplink_dgram d = {
		.len = len,
		.kind = UPLINK_DATAGRAM,
		.ends = { .to = as->peer,
			  .source = from->service,
			  .service = way->dest.ServiceId },
	};

	if (from->bridge)
		d.ends.source = way->source;
	else if (guid_equal(&way->dest.VmId, &guid_broadcast))
		d.flags = DGRAM_BROADCAST;
	/* A guest speaks for what is below it, a host for itself. */
	if (to->bridge->to_host)
		d.ends.from = from->bridge && !guid_is_zero(&way->from) ?
				      way->from :
				      from->partition;
	uplink_dgram_encode(&d, ret);
}

/* A question, or an answer. Return: 0 or -errno */
static int say(struct sock *s, const struct uplink_dgram *d, const void *p)
{
	static const uint8_t none[DGRAM_HEADER];
	uint8_t header[UPLINK_DGRAM_HEADER];
	struct load *l, *f = NULL;
	int r = -EAGAIN;

	uplink_dgram_encode(d, header);
	l = load_new(p, d->len);
	if (l)
		f = bridge_frame(header, l);
	load_unref(l);
	if (!f)
		return -ENOMEM;
	if (!s->queue.messages)
		r = bridge_send(s, NULL, f);
	if (r == -EAGAIN)
		r = enqueue(BRIDGE_CONTROL, s, none, f);
	load_unref(f);
	return r;
}

/* ---- Questions -----------------------------------------------------------*/

/* A question may be left without an answer; then, if there are very many, the
 * oldest one is forgotten. The broker does not wait for it any more. */
static void ask_add(struct bridge *b, uint32_t number, uint32_t serial)
{
	b->asks[number % BRIDGE_ASKS].number = number;
	b->asks[number % BRIDGE_ASKS].serial = serial;
}

/* Return: is it one of ours? */
static bool ask_end(struct bridge *b, uint32_t number, uint32_t *ret_serial)
{
	uint32_t i = number % BRIDGE_ASKS;

	if (!number || b->asks[i].number != number)
		return false;
	b->asks[i].number = 0;
	*ret_serial = b->asks[i].serial;
	return true;
}

void bridge_forget_asks(struct sock *s)
{
	memset(s->bridge->asks, 0, sizeof(s->bridge->asks));
}

void bridge_ask(struct sock *s, uint32_t serial, const struct msg_ask *m)
{
	const struct uplink_dgram d = { .len = UPLINK_QUESTION_SIZE,
					.kind = UPLINK_QUESTION,
					.ends = m->ends };
	uint32_t number = ++s->bridge->last_number;
	uint8_t p[UPLINK_QUESTION_SIZE];

	le32_put(p, number);
	if (say(s, &d, p) == 0)
		ask_add(s->bridge, number, serial);
	else
		broker_end_answer(&s->r->broker, serial, HVS_REASON_QUOTA,
				  "too much waits to go over the uplink");
}

bool bridge_routed(struct sock *s, uint32_t reason, const char *text,
		   size_t len)
{
	struct uplink_dgram d = { .kind = UPLINK_REPLY };
	struct uplink_reply r = { .reason = reason };
	uint8_t p[UPLINK_REPLY_MAX];

	if (!s->bridge || !s->bridge->question)
		return false;
	s->bridge->question = false;
	r.number = s->bridge->number;
	if (r.reason > HVS_REASON_BROKER_FAILED)
		r.reason = HVS_REASON_BROKER_FAILED;
	if (len > UPLINK_TEXT_MAX)
		len = UPLINK_TEXT_MAX;
	if (reason)
		memcpy(r.text, text, len);
	d.len = (uint32_t)uplink_reply_encode(&r, p);
	(void)say(s, &d, p); /* else it is not answered */
	return true;
}

/* Return: 0 or -EPROTO */
static int on_reply(struct sock *s, const uint8_t *p, size_t len)
{
	struct uplink_reply r;
	uint32_t serial;

	if (uplink_reply_decode(p, len, &r) < 0)
		return -EPROTO;
	if (ask_end(s->bridge, r.number, &serial))
		broker_end_answer(&s->r->broker, serial, r.reason, r.text);
	return 0;
}

/* ---- From it -------------------------------------------------------------*/

/* Return: 1: go on; 0: the way is asked for; -EPROTO */
static int on_frame(struct sock *s)
{
	struct bridge *b = s->bridge;
	const struct uplink_dgram *d = &b->head;
	const uint8_t *p = b->in + UPLINK_DGRAM_HEADER;
	const struct way way = {
		.dest = { .Family = AF_HYPERV,
			  .VmId = d->ends.to,
			  .ServiceId = d->ends.service },
		.flags = d->flags,
		.from = d->ends.from,
		.source = d->ends.source,
	};

	b->len = 0;
	if (d->kind == UPLINK_REPLY)
		return on_reply(s, p, d->len) < 0 ? -EPROTO : 1;
	/* one before may have got no memory */
	b->question = d->kind == UPLINK_QUESTION;
	if (b->question) {
		b->number = le32_get(p);
		/* nothing is sent by it */
		return on_datagram(s, &way, NULL, 0);
	}
	return on_datagram(s, &way, p, d->len);
}

/* Return: 1: there is a whole frame; 0: not yet; -errno */
static int take_bytes(struct sock *s)
{
	struct bridge *b = s->bridge;
	size_t want = UPLINK_DGRAM_HEADER;
	struct fdmsg m;
	int r;

	if (b->len >= UPLINK_DGRAM_HEADER)
		want += b->head.len;
	r = fdmsg_recv(s->fd, b->in + b->len, want - b->len, MSG_DONTWAIT, &m);
	if (r < 0)
		return r == -EINTR ? -EAGAIN : r;
	closer_close(m.fds, m.nfds);
	if (m.nfds)
		return -EPROTO;
	if (!m.len)
		return b->len ? -EPROTO : -EPIPE;
	b->len += m.len;
	if (b->len == UPLINK_DGRAM_HEADER &&
	    want == UPLINK_DGRAM_HEADER) {
		if (uplink_dgram_decode(b->in, b->to_host, &b->head) < 0)
			return -EPROTO;
		return !b->head.len;
	}
	return b->len == want && want > UPLINK_DGRAM_HEADER;
}

bool bridge_receive(struct sock *s)
{
	int r = take_bytes(s);

	if (r > 0)
		r = on_frame(s);
	else if (r == 0)
		return true; /* there may be more of it */
	if (r == -EAGAIN || r == 0)
		return false;
	if (r == -EPROTO)
		log_limited(&s->r->limit, LOG_WARN_,
			    "a malformed frame came over an uplink, which carries no datagrams now");
	if (r < 0)
		gone(s);
	return !s->dead && !s->pending;
}
