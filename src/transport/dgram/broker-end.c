/* SPDX-License-Identifier: MIT */
/* broker-end.c - see broker-end.h */
#include "transport/dgram/broker-end.h"

#include <errno.h>
#include <string.h>

static const struct beside_ops beside_ops;

static struct broker_end *end_of(struct beside *b)
{
	return container_of(b, struct broker_end, broker);
}

int broker_end_init(struct broker_end *e, struct ev *ev,
		    const struct broker_end_ops *ops, void *ctx,
		    const char **ret_why)
{
	e->ops = ops;
	e->ctx = ctx;
	return beside_init(&e->broker, ev, &beside_ops, ret_why);
}

void broker_end_fini(struct broker_end *e)
{
	beside_fini(&e->broker);
}

void broker_end_start(struct broker_end *e)
{
	beside_start(&e->broker);
}

void broker_end_drain(struct broker_end *e)
{
	beside_drain(&e->broker);
}

/* ---- Sending -------------------------------------------------------------*/

void broker_end_known(struct broker_end *e, const uint8_t *frame, size_t len)
{
	static uint8_t raw[SOCKET_MAX];
	struct msg_buf m = msg_buf(raw, sizeof(raw));

	msg_begin(&m, MSG_KNOWN, ++e->broker.serial);
	msg_put_bytes(&m, frame, len);
	beside_send(&e->broker, &m);
}

uint32_t broker_end_route(struct broker_end *e, uint64_t token,
			  const SOCKADDR_HV *dest)
{
	BESIDE_BUF(m, 64);

	if (!e->broker.up)
		return 0;
	msg_begin(&m, MSG_ROUTE, ++e->broker.serial);
	msg_put_u64(&m, token);
	msg_put_address(&m, dest);
	beside_send(&e->broker, &m);
	return e->broker.serial;
}

uint32_t broker_end_route_beyond(struct broker_end *e, uint64_t token,
				 const SOCKADDR_HV *dest, const GUID *from,
				 const GUID *source, uint32_t flags)
{
	const struct msg_uplink_route r = {
		.token = token,
		.ends = { .from = *from,
			  .source = *source,
			  .to = dest->VmId,
			  .service = dest->ServiceId },
		.flags = flags,
	};
	BESIDE_BUF(m, 128);

	if (!e->broker.up)
		return 0;
	msg_begin(&m, MSG_ROUTE, ++e->broker.serial);
	msg_put_uplink_route(&m, &r);
	beside_send(&e->broker, &m);
	return e->broker.serial;
}

void broker_end_answer(struct broker_end *e, uint32_t serial, uint32_t reason,
		       const char *text)
{
	BESIDE_BUF(m, MSG_REPLY_HEADER + UPLINK_TEXT_MAX);

	msg_begin_reply(&m, MSG_ASK, serial, 0,
			reason ? (uint32_t)reason_errno(reason) : 0, reason);
	if (reason)
		msg_put_bytes(&m, text, strnlen(text, UPLINK_TEXT_MAX));
	beside_send(&e->broker, &m);
}

void broker_end_gone(struct broker_end *e, uint64_t token)
{
	BESIDE_BUF(m, 16);

	if (!e->broker.up)
		return;
	msg_begin(&m, MSG_GONE, ++e->broker.serial);
	msg_put_u64(&m, token);
	beside_send(&e->broker, &m);
}

void broker_end_drops(struct broker_end *e, const struct msg_drops *d)
{
	BESIDE_BUF(m, 256);

	if (!e->broker.up)
		return;
	msg_begin(&m, MSG_DROPS, ++e->broker.serial);
	msg_put_drops(&m, d);
	beside_send(&e->broker, &m);
}

/* ---- Receiving -----------------------------------------------------------*/

static struct msg_receiver receivers[ROUTE_MAX]; /* one thread */

static int on_reply(struct broker_end *e, const uint8_t *p, size_t len,
		    const struct msg_header *h)
{
	struct msg_reply r;
	int n = 0;

	if (msg_reply_decode(p, len, &r) < 0)
		return -EPROTO;
	if (h->type != MSG_ROUTE)
		return 0;
	if (!r.error)
		n = msg_route_reply_decode(p, len, receivers);
	if (n < 0)
		return -EPROTO;
	if (r.error && (!r.reason || r.reason >= DROP_QUEUE_FULL))
		r.reason = HVS_REASON_BROKER_FAILED;
	e->ops->route(e->ctx, h->serial, r.error ? r.reason : 0,
		      (const char *)r.payload, r.len, receivers, (size_t)n);
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
	BESIDE_BUF(m, MSG_REPLY_HEADER);
	uint64_t token;

	if (msg_u64_decode(p, len, &token) < 0)
		return -EPROTO;
	e->ops->probe(e->ctx, token);
	msg_begin_reply(&m, MSG_PROBE, serial, 0, 0, 0);
	beside_send(&e->broker, &m);
	return 0;
}

static int on_ask(struct broker_end *e, const uint8_t *p, size_t len,
		  uint32_t serial)
{
	struct msg_ask m;

	if (msg_ask_decode(p, len, &m) < 0)
		return -EPROTO;
	e->ops->ask(e->ctx, serial, &m);
	return 0;
}

static int on_frame(struct beside *b, const struct msg_header *h,
		    const uint8_t *p, struct fdmsg *f)
{
	struct broker_end *e = end_of(b);
	struct msg_close c;

	if (h->reply)
		return on_reply(e, p, f->len, h);
	switch (h->type) {
	case MSG_SOCKET:
		return on_socket(e, p, f->len, f);
	case MSG_FLUSH:
		e->ops->flush(e->ctx);
		return 0;
	case MSG_PROBE:
		return on_probe(e, p, f->len, h->serial);
	case MSG_ASK:
		return on_ask(e, p, f->len, h->serial);
	case MSG_CLOSE:
		if (msg_close_decode(p, f->len, &c) < 0)
			return -EPROTO;
		e->ops->close(e->ctx, c.token);
		return 0;
	default:
		return -EPROTO;
	}
}

static void on_attached(struct beside *b)
{
	struct broker_end *e = end_of(b);
	BESIDE_BUF(m, MSG_HEADER);

	e->ops->attached(e->ctx);
	msg_begin(&m, MSG_KNOWN, ++b->serial);
	beside_send(b, &m);
}

static void on_lost(struct beside *b, const char *why)
{
	struct broker_end *e = end_of(b);

	e->ops->lost(e->ctx, why);
}

static const struct beside_ops beside_ops = {
	.request = MSG_RELAY,
	.attached = on_attached,
	.lost = on_lost,
	.frame = on_frame,
};
