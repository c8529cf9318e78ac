/* SPDX-License-Identifier: MIT */
/* pack.c - see pack.h */
#include "base/pack.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void pack_fini(struct pack *p)
{
	free(p->data);
	*p = (struct pack) { 0 };
}

static uint8_t *room(struct pack *p, size_t len)
{
	size_t size = p->size ? p->size : 4096;
	uint8_t *data;

	if (p->failed)
		return NULL;
	while (size < p->len + len)
		size *= 2;
	if (size != p->size) {
		data = realloc(p->data, size);
		if (!data) {
			p->failed = true;
			return NULL;
		}
		p->data = data;
		p->size = size;
	}
	p->len += len;
	return p->data + p->len - len;
}

void pack_bytes(struct pack *p, const void *data, size_t len)
{
	uint8_t *at = room(p, len);

	if (at && len)
		memcpy(at, data, len);
}

void pack_u8(struct pack *p, uint8_t v)
{
	pack_bytes(p, &v, 1);
}

void pack_u16(struct pack *p, uint16_t v)
{
	uint8_t *at = room(p, 2);

	if (at)
		le16_put(at, v);
}

void pack_u32(struct pack *p, uint32_t v)
{
	uint8_t *at = room(p, 4);

	if (at)
		le32_put(at, v);
}

void pack_u64(struct pack *p, uint64_t v)
{
	uint8_t *at = room(p, 8);

	if (at)
		le64_put(at, v);
}

void pack_guid(struct pack *p, const GUID *g)
{
	uint8_t *at = room(p, 16);

	if (at)
		guid_put(at, g);
}

const uint8_t *unpack_bytes(struct unpack *u, size_t len)
{
	const uint8_t *at = u->p;

	if (u->failed || u->left < len) {
		u->failed = true;
		return NULL;
	}
	u->p += len;
	u->left -= len;
	return at;
}

uint8_t unpack_u8(struct unpack *u)
{
	const uint8_t *at = unpack_bytes(u, 1);

	return at ? *at : 0;
}

bool unpack_bool(struct unpack *u)
{
	uint8_t v = unpack_u8(u);

	if (v > 1)
		u->failed = true;
	return v == 1;
}

uint16_t unpack_u16(struct unpack *u)
{
	const uint8_t *at = unpack_bytes(u, 2);

	return at ? le16_get(at) : 0;
}

uint32_t unpack_u32(struct unpack *u)
{
	const uint8_t *at = unpack_bytes(u, 4);

	return at ? le32_get(at) : 0;
}

uint64_t unpack_u64(struct unpack *u)
{
	const uint8_t *at = unpack_bytes(u, 8);

	return at ? le64_get(at) : 0;
}

GUID unpack_guid(struct unpack *u)
{
	const uint8_t *at = unpack_bytes(u, 16);

	return at ? guid_get(at) : (GUID) { 0 };
}

uint32_t unpack_u32_max(struct unpack *u, uint32_t max)
{
	uint32_t v = unpack_u32(u);

	if (v > max)
		u->failed = true;
	return u->failed ? 0 : v;
}
