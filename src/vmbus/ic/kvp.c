/* SPDX-License-Identifier: MIT */
/*
 * kvp.c - keys and values in the guest's pools, and addresses of its adapters
 *
 *	u8 operation, u8 pool, u16 padding, then
 *	get, set	value as below
 *	delete		u32 key size, 512 bytes of key
 *	enumerate	u32 index, value as below
 *	value		u32 type, u32 key size, u32 value size,
 *			512 bytes of key, 2048 bytes of value
 *
 * and without the padding for addresses: 256 bytes of adapter id, u8 families,
 * u8 DHCP, and texts of 2048, 2048, 1024 and 2048 bytes.
 *
 * Sizes count bytes of UTF-16 with the terminator. Linux makes UTF-8 of them in
 * buffers of the same sizes, and cuts off what is too long for these without a
 * word; so it is refused here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ic/services.h"

#define HEAD 4u
#define KEY_BYTES 512u
#define VALUE_BYTES 2048u
#define VALUE_HEAD 12u
#define VALUE_ALL (VALUE_HEAD + KEY_BYTES + VALUE_BYTES)
#define TYPE_TEXT 1u
#define TYPE_U32 4u
#define TYPE_U64 8u
#define TYPE_QWORD 11u

#define IP_HEAD 2u
#define IP_ADAPTER 256u
#define IP_ADDRESS 2048u
#define IP_GATEWAY 1024u
#define IP_ALL (IP_HEAD + IP_ADAPTER + 2 + 3 * IP_ADDRESS + IP_GATEWAY)

static const char *const pools[KVP_POOLS] = {
	[KVP_EXTERNAL] = "external",
	[KVP_GUEST] = "guest",
	[KVP_AUTO] = "auto",
	[KVP_AUTO_EXTERNAL] = "auto-external",
	[KVP_AUTO_INTERNAL] = "auto-internal",
};

enum kvp_pool kvp_pool_of(const char *name)
{
	enum kvp_pool p = 0;

	while (p < KVP_POOLS && strcmp(pools[p], name) != 0)
		p++;
	return p;
}

const char *kvp_pool_name(enum kvp_pool pool)
{
	return pools[pool];
}

/* A text and its size in bytes. Return: 0; -EILSEQ; -ENAMETOOLONG */
static int put_text(uint8_t *p, size_t bytes, uint8_t *size, const char *text)
{
	size_t n;
	int r;

	if (strlen(text) >= bytes)
		return -ENAMETOOLONG;
	r = utf16_put(p, bytes / 2, text);
	if (r < 0)
		return r;
	n = 0;
	while (le16_get(p + 2 * n))
		n++;
	if (size)
		le32_put(size, (uint32_t)(2 * (n + 1)));
	return 0;
}

int kvp_put(uint8_t *body, enum kvp_op op, enum kvp_pool pool, const char *key,
	    const char *value)
{
	uint8_t *p = body + HEAD;
	int r;

	if (!*key)
		return -EINVAL;
	memset(body, 0, HEAD + VALUE_ALL);
	body[0] = (uint8_t)op;
	body[1] = (uint8_t)pool;
	if (op == KVP_DELETE)
		r = put_text(p + 4, KEY_BYTES, p, key);
	else
		r = put_text(p + VALUE_HEAD, KEY_BYTES, p + 4, key);
	if (r == 0 && op == KVP_SET) {
		le32_put(p, TYPE_TEXT);
		r = put_text(p + VALUE_HEAD + KEY_BYTES, VALUE_BYTES, p + 8,
			     value);
		if (r == -ENAMETOOLONG)
			r = -E2BIG;
	}
	return r < 0 ? r : (int)(HEAD + VALUE_ALL);
}

int kvp_put_index(uint8_t *body, enum kvp_pool pool, uint32_t index)
{
	memset(body, 0, HEAD + 4 + VALUE_ALL);
	body[0] = KVP_ENUMERATE;
	body[1] = (uint8_t)pool;
	le32_put(body + HEAD, index);
	return HEAD + 4 + VALUE_ALL;
}

static int get_value(const uint8_t *p, uint32_t type, uint32_t size,
		     struct kvp_pair *ret)
{
	int r;

	switch (type) {
	case TYPE_TEXT:
		r = utf16_get(p, size, ret->value, sizeof(ret->value));
		return r == -EMSGSIZE ? -EPROTO : r < 0 ? r : 0;
	case TYPE_U32:
		snprintf(ret->value, sizeof(ret->value), "%" PRIu32,
			 le32_get(p));
		return 0;
	case TYPE_U64:
	case TYPE_QWORD:
		snprintf(ret->value, sizeof(ret->value), "%" PRIu64,
			 le64_get(p));
		return 0;
	default:
		return -EPROTO;
	}
}

int kvp_get(const uint8_t *body, size_t len, enum kvp_op op,
	    struct kvp_pair *ret)
{
	size_t at = op == KVP_ENUMERATE ? HEAD + 4 : HEAD;
	const uint8_t *p = body + at;
	uint32_t key, value;
	int r;

	if (len < at + VALUE_ALL)
		return -EPROTO;
	key = le32_get(p + 4);
	value = le32_get(p + 8);
	if (key > KEY_BYTES || value > VALUE_BYTES)
		return -EPROTO;
	r = utf16_get(p + VALUE_HEAD, key, ret->key, sizeof(ret->key));
	if (r < 0)
		return r == -EMSGSIZE ? -EPROTO : r;
	return get_value(p + VALUE_HEAD + KEY_BYTES, le32_get(p), value, ret);
}

/* ---- addresses */

int kvp_put_ip(uint8_t *body, enum kvp_op op, const struct kvp_ip *ip)
{
	const struct {
		const char *text;
		size_t bytes;
	} texts[] = {
		{ ip->address, IP_ADDRESS },
		{ ip->mask, IP_ADDRESS },
		{ ip->gateway, IP_GATEWAY },
		{ ip->dns, IP_ADDRESS },
	};
	uint8_t *p = body + IP_HEAD;
	int r;

	memset(body, 0, IP_ALL);
	body[0] = (uint8_t)op;
	r = put_text(p, IP_ADAPTER / 2, NULL, ip->adapter);
	p += IP_ADAPTER;
	p[0] = (uint8_t)ip->family;
	p[1] = ip->dhcp;
	p += 2;
	for (size_t i = 0; i < ARRAY_LEN(texts) && r == 0; i++) {
		r = put_text(p, texts[i].bytes / 2, NULL, texts[i].text);
		p += texts[i].bytes;
	}
	return r == -ENAMETOOLONG ? -E2BIG : r < 0 ? r : (int)IP_ALL;
}

/* Up to the first zero, which may be anywhere. */
static int get_field(const uint8_t *p, size_t bytes, char *out, size_t size)
{
	size_t n = 0;
	int r;

	while (n < bytes / 2 && le16_get(p + 2 * n))
		n++;
	r = utf16_get(p, 2 * n, out, size);
	return r == -EMSGSIZE ? -EPROTO : r < 0 ? r : 0;
}

int kvp_get_ip(const uint8_t *body, size_t len, struct kvp_ip *ret)
{
	const uint8_t *p = body + IP_HEAD;
	int r;

	if (len < IP_ALL)
		return -EPROTO;
	*ret = (struct kvp_ip) { .dhcp = p[IP_ADAPTER + 1] != 0,
				 .family = p[IP_ADAPTER] };
	r = get_field(p, IP_ADAPTER, ret->adapter, sizeof(ret->adapter));
	p += IP_ADAPTER + 2;
	if (r == 0)
		r = get_field(p, IP_ADDRESS, ret->address,
			      sizeof(ret->address));
	p += IP_ADDRESS;
	if (r == 0)
		r = get_field(p, IP_ADDRESS, ret->mask, sizeof(ret->mask));
	p += IP_ADDRESS;
	if (r == 0)
		r = get_field(p, IP_GATEWAY, ret->gateway,
			      sizeof(ret->gateway));
	p += IP_GATEWAY;
	if (r == 0)
		r = get_field(p, IP_ADDRESS, ret->dns, sizeof(ret->dns));
	return r;
}
