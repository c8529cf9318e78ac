/* SPDX-License-Identifier: MIT */
/* b64.c - see b64.h */
#include "base/b64.h"

#include <errno.h>

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t b64_encode(const uint8_t *data, size_t len, char *text)
{
	size_t n = 0;
	uint32_t acc = 0;
	unsigned int bits = 0;

	for (size_t i = 0; i < len; i++) {
		acc = acc << 8 | data[i];
		bits += 8;
		while (bits >= 6) {
			bits -= 6;
			text[n++] = alphabet[acc >> bits & 63];
		}
	}
	if (bits)
		text[n++] = alphabet[acc << (6 - bits) & 63];
	text[n] = '\0';
	return n;
}

static int value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

int b64_decode(const char *text, size_t len, uint8_t *data, size_t want)
{
	uint32_t acc = 0;
	unsigned int bits = 0;
	size_t n = 0;

	if (len != B64_SIZE(want) - 1)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int v = value(text[i]);

		if (v < 0)
			return -EINVAL;
		acc = acc << 6 | (uint32_t)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			data[n++] = (uint8_t)(acc >> bits);
		}
	}
	return n == want && !(acc & ((1u << bits) - 1)) ? 0 : -EINVAL;
}
