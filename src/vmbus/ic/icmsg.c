/* SPDX-License-Identifier: MIT */
/* icmsg.c - see icmsg.h */
#include "vmbus/ic/icmsg.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define PIPE 8u
#define NEGOTIATE_HEAD 8u

static void put_version(uint8_t *p, uint32_t v)
{
	le16_put(p, (uint16_t)(v >> 16));
	le16_put(p + 2, (uint16_t)v);
}

static uint32_t get_version(const uint8_t *p)
{
	return IC_VERSION(le16_get(p), le16_get(p + 2));
}

size_t icmsg_put(uint8_t *p, const struct icmsg *m)
{
	memset(p, 0, IC_HEAD);
	le32_put(p, 1);
	le32_put(p + 4, (uint32_t)(IC_HEAD - PIPE + m->len));
	put_version(p + 8, m->framework);
	le16_put(p + 12, m->type);
	put_version(p + 14, m->version);
	le16_put(p + 18, (uint16_t)m->len);
	le32_put(p + 20, m->status);
	p[24] = m->transaction;
	p[25] = m->flags;
	return IC_HEAD + m->len;
}

int icmsg_get(const uint8_t *p, size_t len, struct icmsg *ret)
{
	size_t size;

	/* (the packet is padded to 8 bytes; what the pipe header says is what
	 * was sent) */
	if (len < IC_HEAD || le32_get(p) != 1 ||
	    le32_get(p + 4) < IC_HEAD - PIPE || le32_get(p + 4) > len - PIPE)
		return -EPROTO;
	size = le16_get(p + 18);
	if (size > le32_get(p + 4) - (IC_HEAD - PIPE))
		return -EPROTO;
	*ret = (struct icmsg) {
		.framework = get_version(p + 8),
		.type = le16_get(p + 12),
		.version = get_version(p + 14),
		.status = le32_get(p + 20),
		.transaction = p[24],
		.flags = p[25],
		.body = p + IC_HEAD,
		.len = size,
	};
	return 0;
}

size_t ic_negotiate_put(uint8_t *body, const uint32_t *frameworks, size_t nf,
			const uint32_t *versions, size_t nv)
{
	uint8_t *p = body + NEGOTIATE_HEAD;

	memset(body, 0, NEGOTIATE_HEAD);
	le16_put(body, (uint16_t)nf);
	le16_put(body + 2, (uint16_t)nv);
	for (size_t i = 0; i < nf; i++, p += 4)
		put_version(p, frameworks[i]);
	for (size_t i = 0; i < nv; i++, p += 4)
		put_version(p, versions[i]);
	return (size_t)(p - body);
}

int ic_negotiate_get(const uint8_t *body, size_t len, uint32_t *ret_framework,
		     uint32_t *ret_version)
{
	if (len < NEGOTIATE_HEAD)
		return -EPROTO;
	if (!le16_get(body) || !le16_get(body + 2))
		return -ENOTSUP;
	if (le16_get(body) != 1 || le16_get(body + 2) != 1 ||
	    len < NEGOTIATE_HEAD + 8)
		return -EPROTO;
	*ret_framework = get_version(body + NEGOTIATE_HEAD);
	*ret_version = get_version(body + NEGOTIATE_HEAD + 4);
	return 0;
}
