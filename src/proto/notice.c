/* SPDX-License-Identifier: MIT */
/* notice.c - see notice.h */
#include "proto/notice.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"

void notice_init(struct notice *n)
{
	*n = (struct notice) { .state = NOTICE_NONE };
}

static bool begins(const struct notice *n, const char *with)
{
	size_t len = strlen(with);

	return n->len >= len && memcmp(n->line, with, len) == 0;
}

static bool is(const struct notice *n, const char *text)
{
	return n->len == strlen(text) && begins(n, text);
}

static void status(struct notice *n, const char *text, size_t len)
{
	size_t most = NOTICE_STATUS_SIZE - 1;

	if (!utf8_printable(text, len))
		return;
	if (len > most) {
		/* not within a character */
		for (len = most; ((uint8_t)text[len] & 0xc0) == 0x80;)
			len--;
	}
	memcpy(n->status, text, len);
	n->status[len] = '\0';
	n->has_status = true;
}

static void line_ends(struct notice *n)
{
	static const char status_is[] = "STATUS=";

	if (n->skip)
		;
	else if (is(n, "READY=1"))
		n->state = NOTICE_READY;
	else if (is(n, "STOPPING=1"))
		n->state = NOTICE_STOPPING;
	else if (begins(n, status_is))
		status(n, n->line + strlen(status_is),
		       n->len - strlen(status_is));
	n->len = 0;
	n->skip = false;
}

int notice_feed(struct notice *n, const void *data, size_t len)
{
	const char *p = data;
	bool fits = len <= NOTICE_MAX - n->taken;

	if (!fits)
		len = NOTICE_MAX - n->taken;
	n->taken += len;
	while (len--) {
		char c = *p++;

		if (c == '\n')
			line_ends(n);
		else if (n->len == sizeof(n->line))
			n->skip = true;
		else
			n->line[n->len++] = c;
	}
	return fits ? 0 : -EFBIG;
}

void notice_end(struct notice *n)
{
	line_ends(n);
}

const char *notice_state_name(enum notice_state state)
{
	switch (state) {
	case NOTICE_READY:
		return "ready";
	case NOTICE_STOPPING:
		return "stopping";
	case NOTICE_NONE:
		break;
	}
	return NULL;
}
