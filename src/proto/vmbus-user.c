/* SPDX-License-Identifier: MIT */
/* vmbus-user.c - see vmbus-user.h */
#include "proto/vmbus-user.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define HEADER 8u
#define REPLY_HEADER 16u
#define REPLY_BIT 0x8000u
#define REGION 32u

/* What each request has: its length (the least, where more may follow) and how
 * many descriptors. A reply's payload length likewise. */
static const struct {
	const char *name;
	uint16_t len, reply;
	bool open_end; /* the length depends on what is in it */
	uint16_t min_fds, max_fds, max_reply_fds;
} types[VMBU_TYPES] = {
	[VMBU_HELLO] = { "HELLO", 40, 40, false, 0, 0, 0 },
	[VMBU_MEMORY] = { "MEMORY", 16, 0, true, 1, VMBU_REGIONS_MAX, 0 },
	[VMBU_VP] = { "VP", 16, 0, false, 2, 2, 0 },
	[VMBU_SYNIC] = { "SYNIC", 40, 0, false, 0, 0, 0 },
	[VMBU_POST] = { "POST", 24, 8, true, 0, 0, 0 },
	[VMBU_SIGNAL] = { "SIGNAL", 24, 8, false, 0, 0, 1 },
	[VMBU_RESET] = { "RESET", 8, 0, false, 0, 0, 0 },
	[VMBU_SAVE] = { "SAVE", 16, 16, false, 0, 0, 1 },
	[VMBU_TAKE] = { "TAKE", 16, 8, false, 0, 0, VMBU_FDS_MAX },
	[VMBU_LOAD] = { "LOAD", 24, 0, false, 1, 1, 0 },
	[VMBU_GIVE] = { "GIVE", 16, 0, false, 1, VMBU_FDS_MAX, 0 },
	[VMBU_RUN] = { "RUN", 8, 0, false, 0, 0, 0 },
	[VMBU_LOG] = { "LOG", 16, 0, false, 0, 1, 0 },
	[VMBU_JOURNAL] = { "JOURNAL", 16, 0, false, 1, 1, 0 },
	[VMBU_POST_AHEAD] = { "POST_AHEAD", 24, 0, true, 0, 0, 0 },
	[VMBU_CLOCK] = { "CLOCK", 24, 0, false, 0, 0, 0 },
};

const char *vmbu_type_name(uint16_t type)
{
	return type < VMBU_TYPES ? types[type].name : NULL;
}

int vmbu_header_decode(const uint8_t *p, size_t len, uint16_t *ret_type,
		       bool *ret_reply, uint32_t *ret_serial)
{
	uint16_t type;

	if (len < HEADER || len > VMBU_FRAME_MAX)
		return -EINVAL;
	type = le16_get(p);
	*ret_type = type & ~REPLY_BIT;
	*ret_reply = type & REPLY_BIT;
	*ret_serial = le32_get(p + 4);
	return 0;
}

static int decode_memory(const uint8_t *p, size_t len, unsigned int nfds,
			 struct vmbu_request *ret)
{
	uint32_t n = le32_get(p + 8);

	if (le32_get(p + 12) || n == 0 || n > VMBU_REGIONS_MAX || n != nfds ||
	    len != 16 + (size_t)n * REGION)
		return -EINVAL;
	ret->u.memory.count = n;
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *r = p + 16 + (size_t)i * REGION;

		if (le64_get(r + 24))
			return -EINVAL;
		ret->u.memory.at[i] = (struct vmbu_region) {
			.gpa = le64_get(r),
			.size = le64_get(r + 8),
			.offset = le64_get(r + 16),
		};
	}
	return 0;
}

static int decode_post(const uint8_t *p, size_t len, struct vmbu_request *ret)
{
	uint32_t size = le32_get(p + 20);
	uint32_t most = size < VMBU_PAYLOAD_MAX ? size : VMBU_PAYLOAD_MAX;

	/* of a size that is too large any part may follow: it is refused */
	if (len - 24 > most || (size <= VMBU_PAYLOAD_MAX && len - 24 != size))
		return -EINVAL;
	ret->u.post.vp = le32_get(p + 8);
	ret->u.post.connection = le32_get(p + 12);
	ret->u.post.type = le32_get(p + 16);
	ret->u.post.size = size;
	ret->u.post.len = (uint32_t)(len - 24);
	memcpy(ret->u.post.payload, p + 24, len - 24);
	return 0;
}

/* The first u32 and the second, which is 0. */
static int decode_pair(const uint8_t *p, uint32_t *ret)
{
	if (le32_get(p + 12))
		return -EINVAL;
	*ret = le32_get(p + 8);
	return 0;
}

static int decode_flag(const uint8_t *p, bool *ret)
{
	uint32_t flags = 0;

	if (decode_pair(p, &flags) < 0 || flags > 1)
		return -EINVAL;
	*ret = flags;
	return 0;
}

static int decode_body(const uint8_t *p, size_t len, unsigned int nfds,
		       struct vmbu_request *ret)
{
	switch (ret->type) {
	case VMBU_HELLO:
		ret->u.hello.lowest = le32_get(p + 8);
		ret->u.hello.highest = le32_get(p + 12);
		ret->u.hello.features = le64_get(p + 16);
		ret->u.hello.vmid = guid_get(p + 24);
		return ret->u.hello.lowest > ret->u.hello.highest ? -EINVAL : 0;
	case VMBU_MEMORY:
		return decode_memory(p, len, nfds, ret);
	case VMBU_VP:
		return decode_pair(p, &ret->u.vp.vp);
	case VMBU_SYNIC:
		ret->u.synic.scontrol = le64_get(p + 16);
		ret->u.synic.simp = le64_get(p + 24);
		ret->u.synic.siefp = le64_get(p + 32);
		return decode_pair(p, &ret->u.synic.vp);
	case VMBU_POST:
	case VMBU_POST_AHEAD:
		return decode_post(p, len, ret);
	case VMBU_SIGNAL:
		ret->u.signal.vp = le32_get(p + 8);
		ret->u.signal.connection = le32_get(p + 12);
		ret->u.signal.flag = le32_get(p + 16);
		return le32_get(p + 20) ? -EINVAL : 0;
	case VMBU_SAVE:
		return decode_flag(p, &ret->u.save.handover);
	case VMBU_TAKE:
		return decode_pair(p, &ret->u.take.first);
	case VMBU_LOAD:
		ret->u.load.length = le64_get(p + 8);
		ret->u.load.handover = le32_get(p + 16) & 1;
		ret->u.load.fds = le32_get(p + 20);
		return le32_get(p + 16) > 1 ? -EINVAL : 0;
	case VMBU_GIVE:
		ret->u.give.first = le32_get(p + 8);
		ret->u.give.count = le32_get(p + 12);
		return ret->u.give.count != nfds ? -EINVAL : 0;
	case VMBU_LOG:
		ret->u.log.size = le64_get(p + 8);
		return !ret->u.log.size != !nfds ? -EINVAL : 0;
	case VMBU_JOURNAL:
		return decode_flag(p, &ret->u.journal.recover);
	case VMBU_CLOCK:
		ret->u.clock.reference = le64_get(p + 8);
		ret->u.clock.raw = le64_get(p + 16);
		return 0;
	default: /* RESET, RUN */
		return 0;
	}
}

int vmbu_request_decode(const uint8_t *p, size_t len, unsigned int nfds,
			struct vmbu_request *ret)
{
	bool reply;

	memset(ret, 0, sizeof(*ret));
	if (vmbu_header_decode(p, len, &ret->type, &reply, &ret->serial) < 0 ||
	    reply || le16_get(p + 2) || !vmbu_type_name(ret->type))
		return -EINVAL;
	if (len < types[ret->type].len ||
	    (!types[ret->type].open_end && len != types[ret->type].len) ||
	    nfds < types[ret->type].min_fds || nfds > types[ret->type].max_fds)
		return -EINVAL;
	return decode_body(p, len, nfds, ret);
}

static int decode_reply_body(const uint8_t *p, unsigned int nfds,
			     struct vmbu_reply *ret)
{
	switch (ret->type) {
	case VMBU_HELLO:
		ret->u.hello.version = le32_get(p);
		ret->u.hello.regions = le32_get(p + 4);
		ret->u.hello.features = le64_get(p + 8);
		ret->u.hello.vps = le32_get(p + 16);
		ret->u.hello.vmid = guid_get(p + 24);
		return 0;
	case VMBU_POST:
	case VMBU_SIGNAL:
		ret->u.result.status = le32_get(p);
		ret->u.result.ahead = le32_get(p + 4);
		return 0;
	case VMBU_SAVE:
		ret->u.save.length = le64_get(p);
		ret->u.save.fds = le32_get(p + 8);
		return nfds == 1 ? 0 : -EINVAL;
	case VMBU_TAKE:
		ret->u.count = le32_get(p);
		return ret->u.count == nfds && nfds > 0 ? 0 : -EINVAL;
	default:
		return 0;
	}
}

int vmbu_reply_decode(const uint8_t *p, size_t len, unsigned int nfds,
		      struct vmbu_reply *ret)
{
	bool reply;

	memset(ret, 0, sizeof(*ret));
	if (vmbu_header_decode(p, len, &ret->type, &reply, &ret->serial) < 0 ||
	    !reply || le16_get(p + 2) || len < REPLY_HEADER)
		return -EINVAL;
	ret->error = le32_get(p + 8);
	if (ret->error) {
		ret->text = (const char *)p + REPLY_HEADER;
		ret->text_len = len - REPLY_HEADER;
		return nfds ? -EINVAL : 0;
	}
	if (!vmbu_type_name(ret->type) ||
	    len != REPLY_HEADER + (size_t)types[ret->type].reply ||
	    nfds > types[ret->type].max_reply_fds)
		return -EINVAL;
	return decode_reply_body(p + REPLY_HEADER, nfds, ret);
}

static void put_pair(struct msg_buf *b, uint32_t v)
{
	msg_put_u32(b, v);
	msg_put_u32(b, 0);
}

static void encode_memory(const struct vmbu_request *r, struct msg_buf *b)
{
	put_pair(b, r->u.memory.count);
	for (uint32_t i = 0; i < r->u.memory.count && i < VMBU_REGIONS_MAX;
	     i++) {
		msg_put_u64(b, r->u.memory.at[i].gpa);
		msg_put_u64(b, r->u.memory.at[i].size);
		msg_put_u64(b, r->u.memory.at[i].offset);
		msg_put_u64(b, 0);
	}
}

void vmbu_request_encode(const struct vmbu_request *r, struct msg_buf *b)
{
	msg_put_u16(b, r->type);
	msg_put_u16(b, 0);
	msg_put_u32(b, r->serial);
	switch (r->type) {
	case VMBU_HELLO:
		msg_put_u32(b, r->u.hello.lowest);
		msg_put_u32(b, r->u.hello.highest);
		msg_put_u64(b, r->u.hello.features);
		msg_put_guid(b, &r->u.hello.vmid);
		break;
	case VMBU_MEMORY:
		encode_memory(r, b);
		break;
	case VMBU_VP:
		put_pair(b, r->u.vp.vp);
		break;
	case VMBU_SYNIC:
		put_pair(b, r->u.synic.vp);
		msg_put_u64(b, r->u.synic.scontrol);
		msg_put_u64(b, r->u.synic.simp);
		msg_put_u64(b, r->u.synic.siefp);
		break;
	case VMBU_POST:
	case VMBU_POST_AHEAD:
		msg_put_u32(b, r->u.post.vp);
		msg_put_u32(b, r->u.post.connection);
		msg_put_u32(b, r->u.post.type);
		msg_put_u32(b, r->u.post.size);
		msg_put_bytes(b, r->u.post.payload, r->u.post.len);
		break;
	case VMBU_SIGNAL:
		msg_put_u32(b, r->u.signal.vp);
		msg_put_u32(b, r->u.signal.connection);
		put_pair(b, r->u.signal.flag);
		break;
	case VMBU_SAVE:
		put_pair(b, r->u.save.handover);
		break;
	case VMBU_TAKE:
		put_pair(b, r->u.take.first);
		break;
	case VMBU_LOAD:
		msg_put_u64(b, r->u.load.length);
		msg_put_u32(b, r->u.load.handover);
		msg_put_u32(b, r->u.load.fds);
		break;
	case VMBU_GIVE:
		msg_put_u32(b, r->u.give.first);
		msg_put_u32(b, r->u.give.count);
		break;
	case VMBU_LOG:
		msg_put_u64(b, r->u.log.size);
		break;
	case VMBU_JOURNAL:
		put_pair(b, r->u.journal.recover);
		break;
	case VMBU_CLOCK:
		msg_put_u64(b, r->u.clock.reference);
		msg_put_u64(b, r->u.clock.raw);
		break;
	default: /* RESET, RUN */
		break;
	}
}

void vmbu_reply_encode(const struct vmbu_reply *r, struct msg_buf *b)
{
	msg_put_u16(b, (uint16_t)(r->type | REPLY_BIT));
	msg_put_u16(b, 0);
	msg_put_u32(b, r->serial);
	put_pair(b, r->error);
	if (r->error) {
		msg_put_bytes(b, r->text, r->text_len);
		return;
	}
	switch (r->type) {
	case VMBU_HELLO:
		msg_put_u32(b, r->u.hello.version);
		msg_put_u32(b, r->u.hello.regions);
		msg_put_u64(b, r->u.hello.features);
		put_pair(b, r->u.hello.vps);
		msg_put_guid(b, &r->u.hello.vmid);
		break;
	case VMBU_POST:
	case VMBU_SIGNAL:
		msg_put_u32(b, r->u.result.status);
		msg_put_u32(b, r->u.result.ahead);
		break;
	case VMBU_SAVE:
		msg_put_u64(b, r->u.save.length);
		put_pair(b, r->u.save.fds);
		break;
	case VMBU_TAKE:
		put_pair(b, r->u.count);
		break;
	default:
		break;
	}
}
