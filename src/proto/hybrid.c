/* SPDX-License-Identifier: MIT */
/* hybrid.c - see hybrid.h */
#include "proto/hybrid.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/guid.h"

#define PORT_DIGITS 10u

static const char *const words[] = {
	[HYBRID_CONNECT] = "CONNECT ",
	[HYBRID_OK] = "OK ",
};

void hybrid_parser_init(struct hybrid_parser *p, enum hybrid_kind kind)
{
	*p = (struct hybrid_parser) { .kind = kind };
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Return: 0, or -1 if it is no port */
static int parse_port(const char *text, size_t len, uint32_t *ret)
{
	uint64_t port = 0;

	if (!len || len > PORT_DIGITS)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(text[i]))
			return -1;
		port = port * 10 + (uint64_t)(text[i] - '0');
	}
	if (port > UINT32_MAX)
		return -1;
	*ret = (uint32_t)port;
	return 0;
}

static enum hybrid_status end_of_line(struct hybrid_parser *p)
{
	uint32_t port;

	if (parse_port(p->value, p->len, &port) == 0) {
		p->service = guid_from_port(port);
		return HYBRID_DONE;
	}
	/* (guid_parse_n() would take braces, too, which do not fit here) */
	if (guid_parse_n(p->value, p->len, &p->service) < 0)
		return HYBRID_BAD;
	p->by_guid = true;
	return HYBRID_DONE;
}

static enum hybrid_status take(struct hybrid_parser *p, char c)
{
	const char *word = words[p->kind];
	char same = p->kind == HYBRID_CONNECT ? upper(c) : c;

	if (word[p->word])
		return same == word[p->word++] ? HYBRID_MORE : HYBRID_BAD;
	if (c == '\n')
		return end_of_line(p);
	if (p->len == sizeof(p->value) ||
	    !(is_digit(c) || (upper(c) >= 'A' && upper(c) <= 'F') || c == '-'))
		return HYBRID_BAD;
	p->value[p->len++] = c;
	return HYBRID_MORE;
}

enum hybrid_status hybrid_parse(struct hybrid_parser *p, const char *bytes,
				size_t n, size_t *ret_used)
{
	size_t used = 0;

	while (p->status == HYBRID_MORE && used < n)
		p->status = take(p, bytes[used++]);
	*ret_used = used;
	return p->status;
}

/* A port in decimal, or a GUID. */
static void format_value(const GUID *service, bool by_guid, char *ret)
{
	uint32_t port;

	if (!by_guid && guid_is_port(service, &port))
		snprintf(ret, GUID_TEXT_SIZE, "%u", port);
	else
		guid_format(service, ret);
}

size_t hybrid_format(enum hybrid_kind kind, const GUID *service, bool by_guid,
		     char *ret)
{
	char value[GUID_TEXT_SIZE];

	format_value(service, by_guid, value);
	return (size_t)snprintf(ret, HYBRID_LINE_SIZE, "%s%s\n", words[kind],
				value);
}

char *hybrid_suffix(const GUID *service, bool by_guid, char *ret)
{
	ret[0] = '_';
	format_value(service, by_guid, ret + 1);
	return ret;
}

bool hybrid_suffix_parse(const char *text, GUID *ret)
{
	char again[HYBRID_SUFFIX_SIZE];
	size_t len = strlen(text);
	uint32_t port;
	GUID g;

	if (text[0] != '_' || len >= sizeof(again))
		return false;
	if (parse_port(text + 1, len - 1, &port) == 0) {
		g = guid_from_port(port);
		hybrid_suffix(&g, false, again);
	} else if (guid_parse_n(text + 1, len - 1, &g) == 0) {
		hybrid_suffix(&g, true, again);
	} else {
		return false;
	}
	if (strcmp(text, again) != 0)
		return false;
	*ret = g;
	return true;
}
