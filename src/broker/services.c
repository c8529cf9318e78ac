/* SPDX-License-Identifier: MIT */
/*
 * services.c - SERVICES: what there is to dial, for transports that ask
 *
 * Who may dial what is not in the list: that is decided when it is dialled.
 */
#include <stdlib.h>

#include "base/guid.h"
#include "broker/ready.h"
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
	/* two spellings each, and the broker's own */
	size_t room = registry_service_count(b->registry) * 2 + 1;
	struct list l = { .ids = calloc(room + 1, sizeof(GUID)) };

	if (l.ids)
		(void)registry_each_service(b->registry, add, &l);
	if (l.ids && ready_service(b, l.ids + l.n))
		l.n++;
	*ret_n = l.n;
	return l.ids;
}

void services_tell(struct broker *b, struct client *c, struct telling *t,
		   uint32_t *serial)
{
	GUID *ids;
	size_t n;

	if (telling_busy(t))
		return; /* its answer leads here */
	ids = list_ids(b, &n);
	if (ids)
		telling_say(t, c, serial, (uint8_t *)ids, n * sizeof(*ids));
}

void transport_tell_services(struct broker *b, struct transport *t)
{
	if (t->services.type)
		services_tell(b, t->client, &t->services, &t->serial);
}

void transport_services_taken(struct broker *b, struct transport *t,
			      uint32_t serial)
{
	if (telling_taken(&t->services, t->client, &t->serial, serial))
		transport_tell_services(b, t);
}

void transports_tell_services(struct broker *b)
{
	struct transport *t;

	for (t = b->transports; t; t = t->hh.next)
		transport_tell_services(b, t);
}
