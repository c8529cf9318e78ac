/* SPDX-License-Identifier: MIT */
/* bytes.h - little-endian integers and GUIDs in byte buffers */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdint.h>
#include <string.h>

#include <hvsocket.h>

static inline uint16_t le16_get(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le32_get(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline uint64_t le64_get(const uint8_t *p)
{
	return le32_get(p) | (uint64_t)le32_get(p + 4) << 32;
}

static inline void le16_put(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void le32_put(uint8_t *p, uint32_t v)
{
	le16_put(p, (uint16_t)v);
	le16_put(p + 2, (uint16_t)(v >> 16));
}

static inline void le64_put(uint8_t *p, uint64_t v)
{
	le32_put(p, (uint32_t)v);
	le32_put(p + 4, (uint32_t)(v >> 32));
}

/* GUIDs stand in memory as they do on the wire (hosts are little-endian). */
static inline GUID guid_get(const uint8_t *p)
{
	GUID g;

	memcpy(&g, p, sizeof(g));
	return g;
}

static inline void guid_put(uint8_t *p, const GUID *g)
{
	memcpy(p, g, sizeof(*g));
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif /* BASE_BYTES_H */
