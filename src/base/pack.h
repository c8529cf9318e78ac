/* SPDX-License-Identifier: MIT */
/*
 * pack.h - state as bytes, for another process
 *
 * Little-endian integers one behind the other, without names: whoever unpacks
 * asks for the same in the same order, and states what version it is of. A
 * failure stays: it is looked at once, at the end.
 */
#ifndef BASE_PACK_H
#define BASE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

struct pack {
	uint8_t *data;
	size_t len, size;
	bool failed; /* no memory */
};

void pack_fini(struct pack *p);
void pack_bytes(struct pack *p, const void *data, size_t len);
void pack_u8(struct pack *p, uint8_t v);
void pack_u16(struct pack *p, uint16_t v);
void pack_u32(struct pack *p, uint32_t v);
void pack_u64(struct pack *p, uint64_t v);
void pack_guid(struct pack *p, const GUID *g);

struct unpack {
	const uint8_t *p;
	size_t left;
	bool failed; /* it ended too early, or held what cannot be */
};

/** unpack_bytes() - the next @len bytes, where they stand; NULL: there are
 * fewer. The others are 0 in that case */
const uint8_t *unpack_bytes(struct unpack *u, size_t len);
uint8_t unpack_u8(struct unpack *u);
bool unpack_bool(struct unpack *u); /* 0 or 1, or it fails */
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
GUID unpack_guid(struct unpack *u);
/** unpack_u32_max() - one that must not be larger than @max */
uint32_t unpack_u32_max(struct unpack *u, uint32_t max);

#endif /* BASE_PACK_H */
