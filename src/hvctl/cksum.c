/* SPDX-License-Identifier: MIT */
/* cksum.c - see cksum.h. Eight bytes at a time, by eight tables. */
#include "hvctl/cksum.h"

#include <stdbool.h>

#define POLYNOMIAL 0x04c11db7u

static uint32_t table[8][256];

static void make_tables(void)
{
	static bool made;

	if (made)
		return;
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i << 24;

		for (int bit = 0; bit < 8; bit++)
			v = v << 1 ^ (v >> 31 ? POLYNOMIAL : 0);
		table[0][i] = v;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] << 8 ^
				      table[0][table[k - 1][i] >> 24];
	made = true;
}

static uint32_t one(uint32_t crc, uint8_t byte)
{
	return crc << 8 ^ table[0][(crc >> 24 ^ byte) & 0xff];
}

static uint32_t add(uint32_t crc, const uint8_t *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		crc ^= (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		       (uint32_t)p[2] << 8 | p[3];
		crc = table[7][crc >> 24] ^ table[6][crc >> 16 & 0xff] ^
		      table[5][crc >> 8 & 0xff] ^ table[4][crc & 0xff] ^
		      table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^
		      table[0][p[7]];
	}
	for (; n; n--)
		crc = one(crc, *p++);
	return crc;
}

void cksum_add(struct cksum *c, const uint8_t *p, size_t n)
{
	make_tables();
	c->crc = add(c->crc, p, n);
	c->bytes += n;
}

void cksum_zeros(struct cksum *c, uint64_t n)
{
	static const uint8_t zeros[65536];

	while (n) {
		size_t k = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);

		cksum_add(c, zeros, k);
		n -= k;
	}
}

uint32_t cksum_end(const struct cksum *c)
{
	uint32_t crc = c->crc;

	make_tables();
	for (uint64_t n = c->bytes; n; n >>= 8)
		crc = one(crc, (uint8_t)n);
	return ~crc;
}
