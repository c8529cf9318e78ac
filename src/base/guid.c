/* SPDX-License-Identifier: MIT */
/* guid.c - see guid.h */
#include "base/guid.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/random.h>

#include "base/bytes.h"

const GUID guid_zero;
const GUID guid_broadcast = {
	0xffffffff, 0xffff, 0xffff,
	{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }
};
const GUID guid_children = {
	0x90db8b89, 0x0d35, 0x4f79,
	{ 0x8c, 0xe9, 0x49, 0xea, 0x0a, 0xc8, 0xb7, 0xcd }
};
const GUID guid_loopback = {
	0xe0e16197, 0xdd56, 0x4a10,
	{ 0x91, 0x95, 0x5e, 0xe7, 0xa1, 0x55, 0xa8, 0x38 }
};
const GUID guid_parent = {
	0xa42e7cda, 0xd03f, 0x480c,
	{ 0x9c, 0xc2, 0xa4, 0xde, 0x20, 0xab, 0xb8, 0x78 }
};
const GUID guid_silohost = {
	0x36bd0c5c, 0x7276, 0x4223,
	{ 0x88, 0xba, 0x7d, 0x03, 0xb6, 0x54, 0xc5, 0x68 }
};
const GUID guid_vsock_template = {
	0x00000000, 0xfacb, 0x11e6,
	{ 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 }
};

static const struct {
	const char *word;
	const GUID *guid;
} special[] = {
	{ "wildcard", &guid_zero },	{ "broadcast", &guid_broadcast },
	{ "children", &guid_children }, { "loopback", &guid_loopback },
	{ "parent", &guid_parent },	{ "silohost", &guid_silohost },
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int guid_parse_n(const char *text, size_t len, GUID *ret)
{
	uint8_t raw[16];
	size_t i, n = 0;

	if (len == 38 && text[0] == '{' && text[37] == '}') {
		text++;
		len -= 2;
	}
	if (len != 36)
		return -EINVAL;
	for (i = 0; i < 36;) {
		int hi, lo;

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i++] != '-')
				return -EINVAL;
			continue;
		}
		hi = hex(text[i]);
		lo = hex(text[i + 1]);
		if (hi < 0 || lo < 0)
			return -EINVAL;
		raw[n++] = (uint8_t)(hi << 4 | lo);
		i += 2;
	}
	ret->Data1 = (uint32_t)raw[0] << 24 | (uint32_t)raw[1] << 16 |
		     (uint32_t)raw[2] << 8 | raw[3];
	ret->Data2 = (uint16_t)(raw[4] << 8 | raw[5]);
	ret->Data3 = (uint16_t)(raw[6] << 8 | raw[7]);
	memcpy(ret->Data4, raw + 8, 8);
	return 0;
}

int guid_parse(const char *text, GUID *ret)
{
	return guid_parse_n(text, strlen(text), ret);
}

char *guid_format(const GUID *g, char *text)
{
	const uint8_t *d = g->Data4;

	snprintf(text, GUID_TEXT_SIZE,
		 "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", g->Data1,
		 g->Data2, g->Data3, d[0], d[1], d[2], d[3], d[4], d[5], d[6],
		 d[7]);
	return text;
}

int guid_random(GUID *ret)
{
	GUID g;

	if (getrandom(&g, sizeof(g), 0) != (ssize_t)sizeof(g))
		return -EIO;
	g.Data3 = (uint16_t)((g.Data3 & 0x0fff) | 0x4000);
	g.Data4[0] = (uint8_t)((g.Data4[0] & 0x3f) | 0x80);
	*ret = g;
	return 0;
}

GUID guid_from_port(uint32_t port)
{
	GUID g = guid_vsock_template;

	g.Data1 = port;
	return g;
}

bool guid_is_port(const GUID *g, uint32_t *ret)
{
	GUID t = *g;

	t.Data1 = 0;
	if (!guid_equal(&t, &guid_vsock_template))
		return false;
	if (ret)
		*ret = g->Data1;
	return true;
}

const char *guid_special_name(const GUID *g)
{
	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		if (guid_equal(g, special[i].guid))
			return special[i].word;
	return NULL;
}

bool guid_special_parse(const char *word, GUID *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(special); i++) {
		if (strcasecmp(word, special[i].word) == 0) {
			*ret = *special[i].guid;
			return true;
		}
	}
	return false;
}
