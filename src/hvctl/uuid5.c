/* SPDX-License-Identifier: MIT */
/* uuid5.c - see uuid5.h */
#include "hvctl/uuid5.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

struct sha1_state {
	uint32_t h[5];
};

static uint32_t rol(uint32_t v, unsigned int n)
{
	return v << n | v >> (32 - n);
}

static void sha1_block(struct sha1_state *s, const uint8_t *p)
{
	uint32_t a = s->h[0], b = s->h[1], c = s->h[2], d = s->h[3],
		 e = s->h[4];
	uint32_t w[80];

	for (size_t i = 0; i < 16; i++)
		w[i] = (uint32_t)p[i * 4] << 24 | (uint32_t)p[i * 4 + 1] << 16 |
		       (uint32_t)p[i * 4 + 2] << 8 | p[i * 4 + 3];
	for (size_t i = 16; i < 80; i++)
		w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (size_t i = 0; i < 80; i++) {
		uint32_t f, k, t;

		if (i < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (i < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (i < 60) {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		t = rol(a, 5) + f + e + k + w[i];
		e = d;
		d = c;
		c = rol(b, 30);
		b = a;
		a = t;
	}
	s->h[0] += a;
	s->h[1] += b;
	s->h[2] += c;
	s->h[3] += d;
	s->h[4] += e;
}

void sha1(const uint8_t *data, size_t len, uint8_t ret[20])
{
	struct sha1_state s = { { 0x67452301, 0xefcdab89, 0x98badcfe,
				  0x10325476, 0xc3d2e1f0 } };
	uint8_t tail[128] = { 0 };
	size_t left = len % 64;
	size_t end = left < 56 ? 64 : 128;

	for (size_t i = 0; i + 64 <= len; i += 64)
		sha1_block(&s, data + i);
	memcpy(tail, data + (len - left), left);
	tail[left] = 0x80;
	for (size_t i = 0; i < 8; i++)
		tail[end - 1 - i] = (uint8_t)((uint64_t)len * 8 >> (i * 8));
	for (size_t i = 0; i < end; i += 64)
		sha1_block(&s, tail + i);
	for (size_t i = 0; i < 20; i++)
		ret[i] = (uint8_t)(s.h[i / 4] >> (24 - i % 4 * 8));
}

/* A GUID in the order of RFC 4122 (all big-endian), and back. */
static void swap_fields(uint8_t *p)
{
	static const uint8_t other[8] = { 3, 2, 1, 0, 5, 4, 7, 6 };
	uint8_t q[8];

	for (size_t i = 0; i < 8; i++)
		q[i] = p[other[i]];
	memcpy(p, q, 8);
}

void uuid5(const GUID *ns, const uint8_t *data, size_t len, GUID *ret)
{
	uint8_t in[16 + CONTAINER_ID_MAX * 2];
	uint8_t hash[20];

	if (len > sizeof(in) - 16)
		len = sizeof(in) - 16;
	guid_put(in, ns);
	swap_fields(in);
	memcpy(in + 16, data, len);
	sha1(in, 16 + len, hash);
	hash[6] = (uint8_t)((hash[6] & 0x0f) | 0x50);
	hash[8] = (uint8_t)((hash[8] & 0x3f) | 0x80);
	swap_fields(hash);
	*ret = guid_get(hash);
}

int uuid5_container(const char *text, GUID *ret)
{
	static const GUID ns = { 0xcab70344, 0xfacb, 0x41e4,
				 { 0xb5, 0xe5, 0xab, 0x65, 0x92, 0x28, 0x3e,
				   0x6e } };
	uint8_t utf16[CONTAINER_ID_MAX * 2];
	size_t n = strlen(text);

	if (!n || n > CONTAINER_ID_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (c < ' ' || c > '~')
			return -EINVAL;
		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		utf16[i * 2] = (uint8_t)c;
		utf16[i * 2 + 1] = 0;
	}
	uuid5(&ns, utf16, n * 2, ret);
	return 0;
}
