/* SPDX-License-Identifier: MIT */
/*
 * control.c - integration: what is asked of a guest's transport itself
 *
 * The broker knows who may ask, and which transport it is; what a verb means
 * is the transport's to know (docs/protocol.md, 5 and 11). A request
 * is kept until its answer, its end of time, or the end of either side. One
 * that took a lease is kept until its client goes: the transport is then told,
 * and undoes what was done for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "broker/manage.h"
#include "broker/transport.h"

#define CONTROLS_MAX 64u /* of one transport */
#define TIMEOUT_MS 10000
#define TIMEOUT_MAX_MS 300000
#define GRACE_MS 3000u /* the transport is to tell that the guest is late */

struct control {
	struct control *prev, *next; /* b->controls */
	struct broker *b;
	struct transport *transport;
	struct client *client;
	uint32_t serial; /* the client's */
	uint32_t asked;	 /* ours, to the transport */
	bool lease, answered;
	struct ev_timer timer;
};

static void control_free(struct control *k)
{
	DL_DELETE(k->b->controls, k);
	ev_timer_stop(&k->timer);
	ev_later(k->b->ev, free, k);
}

static void fail(struct control *k, uint32_t error, uint32_t reason,
		 const char *text)
{
	if (!k->answered)
		client_refuse(k->client, MSG_CALL, k->serial, error, reason,
			      text);
	control_free(k);
}

static void send_leave(struct transport *t, uint64_t session)
{
	MSG_BUF(m, 16);

	msg_begin(&m, MSG_LEAVE, ++t->serial);
	msg_put_u64(&m, session);
	client_send_kept(t->client, &m);
}

static void on_late(struct ev_timer *t)
{
	struct control *k = container_of(t, struct control, timer);

	/* it may do yet what nobody would know of to undo it */
	if (k->lease)
		send_leave(k->transport, k->client->control_session);
	fail(k, ETIMEDOUT, HVS_REASON_NO_ANSWER,
	     "the guest's transport does not answer");
}

void controls_client_gone(struct client *c)
{
	struct control *k, *next;

	DL_FOREACH_SAFE(c->b->controls, k, next) {
		if (k->client != c)
			continue;
		if (k->lease)
			send_leave(k->transport, c->control_session);
		control_free(k);
	}
}

void controls_transport_gone(struct transport *t)
{
	struct broker *b = t->client->b;
	struct control *k, *next;

	DL_FOREACH_SAFE(b->controls, k, next) {
		if (k->transport == t)
			fail(k, EHOSTDOWN, HVS_REASON_PARTITION_OFF,
			     "the guest's transport ended");
	}
}

/* A good answer; a request with a lease stays. */
static void take_result(struct control *k, const struct msg_reply *r)
{
	json_t *o = json_loadb((const char *)r->payload, r->len,
			       JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

	if (json_is_object(o)) {
		call_reply(k->client, k->serial, o);
		k->answered = true;
		if (!k->lease)
			control_free(k);
	} else {
		fail(k, EIO, HVS_REASON_BROKER_FAILED,
		     "the transport's answer cannot be understood");
	}
	json_decref(o);
}

void control_answered(struct transport *t, struct frame *f)
{
	struct broker *b = t->client->b;
	char text[MSG_TEXT_MAX + 1];
	struct msg_reply r;
	struct control *k;
	size_t n;

	if (msg_reply_decode(f->p, f->len, &r) < 0)
		return;
	DL_FOREACH(b->controls, k) {
		if (k->transport == t && k->asked == f->h.serial &&
		    !k->answered)
			break;
	}
	if (!k)
		return; /* given up meanwhile */
	ev_timer_stop(&k->timer);
	if (!r.error) {
		take_result(k, &r);
		return;
	}
	n = r.len > MSG_TEXT_MAX ? MSG_TEXT_MAX : r.len;
	memcpy(text, r.payload, n);
	text[n] = '\0';
	if (!utf8_printable(text, n))
		text[0] = '\0';
	fail(k, r.error < 4096 ? r.error : EIO,
	     r.reason < REASON_COUNT ? r.reason : 0, text);
}

static size_t count(const struct broker *b, const struct transport *t)
{
	const struct control *k;
	size_t n = 0;

	DL_FOREACH(b->controls, k) n += k->transport == t;
	return n;
}

/* The partition's transport, if the caller may ask it. NULL: refused */
static struct transport *find_transport(struct call *c, const char *name)
{
	const struct partition *p = find_partition(c, name);
	struct transport *t = p ? transport_find(c->b, &p->vmid) : NULL;

	if (!p)
		return NULL;
	if (p->kind == PARTITION_HOST || !may_attach(c->client, p)) {
		refuse(c->v, HVS_REASON_NOT_PERMITTED,
		       p->kind == PARTITION_HOST ?
			       "the host has no integration services" :
			       "uid %u does not manage partition \"%s\"",
		       c->client->uid, p->name);
		return NULL;
	}
	if (!t) {
		refuse(c->v, HVS_REASON_PARTITION_OFF,
		       "partition \"%s\" has no transport now", p->name);
		return NULL;
	}
	if (!t->controls) {
		refuse(c->v, HVS_REASON_TYPE,
		       "the %s transport of \"%s\" has no integration services: they need VMBus; hvctl info asks an agent",
		       transport_kind_name(t->kind), p->name);
		return NULL;
	}
	if (count(c->b, t) >= CONTROLS_MAX) {
		refuse(c->v, HVS_REASON_QUOTA,
		       "too much is being asked of \"%s\"", p->name);
		return NULL;
	}
	return t;
}

static bool send_control(struct transport *t, struct call *c, uint32_t *ret)
{
	static uint8_t bytes[MSG_MAX]; /* one thread */
	struct msg_buf m = msg_buf(bytes, sizeof(bytes));
	char *text = json_dumps(c->args, JSON_COMPACT | JSON_ENSURE_ASCII);

	*ret = ++t->serial;
	msg_begin(&m, MSG_CONTROL, *ret);
	msg_put_u64(&m, c->client->control_session);
	if (text)
		msg_put_bytes(&m, text, strlen(text));
	else
		m.overflow = true;
	free(text);
	if (!m.overflow)
		client_send(t->client, &m, NULL, 0);
	return !m.overflow;
}

json_t *manage_integration(struct call *c)
{
	json_t *name = json_object_get(c->args, "partition");
	json_t *ms = json_object_get(c->args, "timeout_ms");
	bool lease = json_is_true(json_object_get(c->args, "lease"));
	json_int_t timeout = ms ? json_integer_value(ms) : TIMEOUT_MS;
	struct transport *t;
	struct control *k;

	if (!json_is_string(name) || timeout < 1 || timeout > TIMEOUT_MAX_MS) {
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "arguments: partition is a name, timeout_ms 1 to 300000");
		return NULL;
	}
	t = find_transport(c, json_string_value(name));
	k = t ? calloc(1, sizeof(*k)) : NULL;
	if (!k)
		return NULL;
	if (!c->client->control_session)
		c->client->control_session = ++c->b->control_sessions;
	json_object_del(c->args, "partition");
	k->b = c->b;
	k->transport = t;
	k->client = c->client;
	k->serial = c->serial;
	k->lease = lease;
	if (!send_control(t, c, &k->asked) ||
	    ev_timer_start(c->b->ev, &k->timer, (uint64_t)timeout + GRACE_MS,
			   on_late) < 0) {
		free(k);
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "the request is too long for a transport");
		return NULL;
	}
	DL_APPEND(c->b->controls, k);
	c->later = true;
	return NULL;
}
