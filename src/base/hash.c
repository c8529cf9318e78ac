/* SPDX-License-Identifier: MIT */
/* hash.c - see hash.h */
#include "base/hash.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"

static uint64_t secret(void)
{
	static _Atomic uint64_t kept; /* not 0 once it is made */
	uint64_t mine = 0, none = 0;

	if (atomic_load_explicit(&kept, memory_order_relaxed))
		return kept;
	if (getrandom(&mine, sizeof(mine), GRND_NONBLOCK) < 0)
		mine = (uintptr_t)&mine; /* early in a boot: better than none */
	mine |= 1;
	/* the first thread's is everybody's */
	atomic_compare_exchange_strong(&kept, &none, mine);
	return kept;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	return h;
}

uint32_t hash_bytes(const void *key, size_t len)
{
	const uint8_t *p = key;
	uint64_t h = secret() ^ len;

	for (; len >= 8; len -= 8, p += 8)
		h = mix(h ^ le64_get(p)) + 0x9e3779b97f4a7c15u;
	if (len) {
		uint8_t rest[8] = { 0 };

		memcpy(rest, p, len);
		h = mix(h ^ le64_get(rest));
	}
	return (uint32_t)mix(h);
}
