/* SPDX-License-Identifier: MIT */
/* telling.c - see telling.h */
#include "broker/telling.h"

#include <stdlib.h>
#include <string.h>

static void send_part(struct telling *t, struct client *c, uint32_t *serial)
{
	static uint8_t bytes[MSG_MAX]; /* one thread */
	struct msg_buf m = msg_buf(bytes, sizeof(bytes));
	size_t most = (MSG_MAX - MSG_HEADER - 4) / t->entry * t->entry;
	uint32_t flags = t->sent ? 0 : SERVICES_FIRST;
	size_t n = t->len - t->sent;

	if (n > most)
		n = most;
	else
		flags |= SERVICES_LAST;
	t->serial = ++*serial;
	msg_begin(&m, t->type, t->serial);
	msg_put_u32(&m, flags);
	msg_put_bytes(&m, t->list + t->sent, n);
	t->sent += n;
	client_send(c, &m, NULL, 0);
}

void telling_say(struct telling *t, struct client *c, uint32_t *serial,
		 uint8_t *list, size_t len)
{
	if (t->list && len == t->len && memcmp(list, t->list, len) == 0) {
		free(list);
		return;
	}
	free(t->list);
	t->list = list;
	t->len = len;
	t->sent = 0;
	send_part(t, c, serial);
}

bool telling_busy(const struct telling *t)
{
	return t->serial;
}

bool telling_taken(struct telling *t, struct client *c, uint32_t *serial,
		   uint32_t answered)
{
	if (!t->serial || answered != t->serial)
		return false;
	t->serial = 0;
	if (t->sent == t->len)
		return true;
	send_part(t, c, serial);
	return false;
}

void telling_fini(struct telling *t)
{
	free(t->list);
	t->list = NULL;
}
