/* SPDX-License-Identifier: MIT */
/* uplink-dgram.c - see uplink-dgram.h */
#include "proto/uplink-dgram.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "base/utf8.h"

#define ENDS_SIZE 64
#define ADDRESS_SIZE 36

static struct uplink_ends ends_get(const uint8_t *p)
{
	return (struct uplink_ends){
		.from = guid_get(p),
		.source = guid_get(p + 16),
		.to = guid_get(p + 32),
		.service = guid_get(p + 48),
	};
}

static void ends_put(uint8_t *p, const struct uplink_ends *e)
{
	guid_put(p, &e->from);
	guid_put(p + 16, &e->source);
	guid_put(p + 32, &e->to);
	guid_put(p + 48, &e->service);
}

void uplink_dgram_encode(const struct uplink_dgram *d, uint8_t *ret)
{
	le32_put(ret, d->len);
	le16_put(ret + 4, d->kind);
	le16_put(ret + 6, d->flags);
	ends_put(ret + 8, &d->ends);
}

static bool good_ends(const struct uplink_dgram *d, bool of_host)
{
	const struct uplink_ends *e = &d->ends;

	if (d->kind == UPLINK_REPLY)
		return guid_is_zero(&e->from) && guid_is_zero(&e->source) &&
		       guid_is_zero(&e->to) && guid_is_zero(&e->service);
	if (of_host && !guid_is_zero(&e->from))
		return false;
	return !d->flags || (of_host && guid_is_zero(&e->to));
}

int uplink_dgram_decode(const uint8_t *p, bool of_host,
			struct uplink_dgram *ret)
{
	const struct uplink_dgram d = {
		.len = le32_get(p),
		.kind = le16_get(p + 4),
		.flags = le16_get(p + 6),
		.ends = ends_get(p + 8),
	};
	bool good;

	switch (d.kind) {
	case UPLINK_DATAGRAM:
		good = d.len <= UPLINK_DGRAM_MAX &&
		       !(d.flags & ~DGRAM_BROADCAST);
		break;
	case UPLINK_QUESTION:
		good = d.len == UPLINK_QUESTION_SIZE && !d.flags;
		break;
	case UPLINK_REPLY:
		good = d.len >= UPLINK_REPLY_SIZE &&
		       d.len <= UPLINK_REPLY_MAX && !d.flags;
		break;
	default:
		good = false;
	}
	if (!good || !good_ends(&d, of_host))
		return -EINVAL;
	*ret = d;
	return 0;
}

size_t uplink_reply_encode(const struct uplink_reply *r, uint8_t *ret)
{
	size_t n = uplink_text_fitting(r->text, UPLINK_TEXT_MAX);

	le32_put(ret, r->number);
	le32_put(ret + 4, r->reason);
	memcpy(ret + UPLINK_REPLY_SIZE, r->text, n);
	return UPLINK_REPLY_SIZE + n;
}

int uplink_reply_decode(const uint8_t *p, size_t len, struct uplink_reply *ret)
{
	const char *text = (const char *)p + UPLINK_REPLY_SIZE;

	if (len < UPLINK_REPLY_SIZE || len > UPLINK_REPLY_MAX ||
	    le32_get(p + 4) > HVS_REASON_BROKER_FAILED ||
	    memchr(text, '\0', len - UPLINK_REPLY_SIZE) ||
	    !utf8_printable(text, len - UPLINK_REPLY_SIZE))
		return -EINVAL;
	ret->number = le32_get(p);
	ret->reason = le32_get(p + 4);
	memcpy(ret->text, text, len - UPLINK_REPLY_SIZE);
	ret->text[len - UPLINK_REPLY_SIZE] = '\0';
	return 0;
}

/* ---- To and from the broker ----------------------------------------------*/

int msg_uplink_route_decode(const uint8_t *p, size_t len,
			    struct msg_uplink_route *ret)
{
	const uint8_t *a = p + MSG_HEADER + 8, *more = a + ADDRESS_SIZE;

	if (len != MSG_HEADER + 8 + ADDRESS_SIZE + 36 ||
	    le16_get(a) != AF_HYPERV || le16_get(a + 2))
		return -EINVAL;
	*ret = (struct msg_uplink_route){
		.token = le64_get(p + MSG_HEADER),
		.ends = { .from = guid_get(more),
			  .source = guid_get(more + 16),
			  .to = guid_get(a + 4),
			  .service = guid_get(a + 20) },
		.flags = le32_get(more + 32),
	};
	return 0;
}

void msg_put_uplink_route(struct msg_buf *b, const struct msg_uplink_route *m)
{
	const SOCKADDR_HV dest = { .Family = AF_HYPERV,
				   .VmId = m->ends.to,
				   .ServiceId = m->ends.service };

	msg_put_u64(b, m->token);
	msg_put_address(b, &dest);
	msg_put_guid(b, &m->ends.from);
	msg_put_guid(b, &m->ends.source);
	msg_put_u32(b, m->flags);
}

int msg_ask_decode(const uint8_t *p, size_t len, struct msg_ask *ret)
{
	if (len != MSG_HEADER + 8 + ENDS_SIZE)
		return -EINVAL;
	ret->token = le64_get(p + MSG_HEADER);
	ret->ends = ends_get(p + MSG_HEADER + 8);
	return 0;
}

void msg_put_ask(struct msg_buf *b, const struct msg_ask *m)
{
	uint8_t ends[ENDS_SIZE];

	ends_put(ends, &m->ends);
	msg_put_u64(b, m->token);
	msg_put_bytes(b, ends, sizeof(ends));
}
