/* SPDX-License-Identifier: MIT */
/*
 * services.c - SERVICES: what there is to dial, for transports that ask
 *
 * The whole list, in frames of which one at a time is unanswered: a transport
 * that is slow gets fewer lists, not a queue of them. Who may dial what is not
 * in it: that is decided when it is dialled.
 */
#include <stdlib.h>
#include <string.h>

#include "base/guid.h"
#include "broker/transport.h"

struct list {
	GUID *ids;
	size_t n;
};

static size_t ids_of(const struct service *s, GUID *ret)
{
	size_t n = 0;

	ret[n++] = s->id;
	if (s->has_port && !guid_is_port(&s->id, NULL))
		ret[n++] = guid_from_port(s->port);
	return n;
}

static int add(const struct service *s, void *arg)
{
	struct list *l = arg;

	l->n += ids_of(s, l->ids + l->n);
	return 0;
}

/* Return: malloc'ed, at least one entry of room; NULL: no memory */
static GUID *list_ids(const struct broker *b, size_t *ret_n)
{
	/* two spellings each */
	size_t room = registry_service_count(b->registry) * 2;
	struct list l = { .ids = calloc(room + 1, sizeof(GUID)) };

	if (l.ids)
		(void)registry_each_service(b->registry, add, &l);
	*ret_n = l.n;
	return l.ids;
}

static void send_part(struct transport *t)
{
	static uint8_t bytes[MSG_MAX]; /* one thread */
	struct msg_buf m = msg_buf(bytes, sizeof(bytes));
	size_t n = t->services_n - t->services_sent;
	uint32_t flags = t->services_sent ? 0 : SERVICES_FIRST;

	if (n > SERVICES_MAX)
		n = SERVICES_MAX;
	else
		flags |= SERVICES_LAST;
	t->services_serial = ++t->serial;
	msg_begin(&m, MSG_SERVICES, t->services_serial);
	msg_put_u32(&m, flags);
	msg_put_bytes(&m, t->services + t->services_sent, n * sizeof(GUID));
	t->services_sent += n;
	client_send(t->client, &m, NULL, 0);
}

void transport_tell_services(struct broker *b, struct transport *t)
{
	GUID *ids;
	size_t n;

	if (!t->wants_services || t->services_serial)
		return; /* its answer leads here */
	ids = list_ids(b, &n);
	if (!ids)
		return;
	if (t->services && n == t->services_n &&
	    memcmp(ids, t->services, n * sizeof(*ids)) == 0) {
		free(ids);
		return;
	}
	free(t->services);
	t->services = ids;
	t->services_n = n;
	t->services_sent = 0;
	send_part(t);
}

void transport_services_taken(struct broker *b, struct transport *t,
			      uint32_t serial)
{
	if (!t->services_serial || serial != t->services_serial)
		return;
	t->services_serial = 0;
	if (t->services_sent < t->services_n)
		send_part(t);
	else
		transport_tell_services(b, t);
}

void transports_tell_services(struct broker *b)
{
	struct transport *t;

	for (t = b->transports; t; t = t->hh.next)
		transport_tell_services(b, t);
}
