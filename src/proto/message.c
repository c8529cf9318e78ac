/* SPDX-License-Identifier: MIT */
/* message.c - see message.h */
#include "proto/message.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/guid.h"

/*
 * A cursor over one frame. Reading past the end sets bad; the caller asks once,
 * at the end, with done() or take_rest().
 */
struct cursor {
	const uint8_t *p, *end;
	bool bad;
};

static struct cursor cursor_at(const uint8_t *p, size_t len, size_t head)
{
	if (len < head)
		return (struct cursor){ .bad = true };
	return (struct cursor){ .p = p + head, .end = p + len };
}

static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || (size_t)(c->end - c->p) < n) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	return p;
}

static uint16_t take16(struct cursor *c)
{
	const uint8_t *p = take(c, 2);

	return p ? le16_get(p) : 0;
}

static uint32_t take32(struct cursor *c)
{
	const uint8_t *p = take(c, 4);

	return p ? le32_get(p) : 0;
}

static uint64_t take64(struct cursor *c)
{
	const uint8_t *p = take(c, 8);

	return p ? le64_get(p) : 0;
}

static GUID take_guid(struct cursor *c)
{
	const uint8_t *p = take(c, 16);

	return p ? guid_get(p) : (GUID){ 0 };
}

/* One that may be missing, at the end: then it is zero. */
static GUID take_guid_if_any(struct cursor *c)
{
	return c->bad || c->p == c->end ? (GUID){ 0 } : take_guid(c);
}

static SOCKADDR_HV take_address(struct cursor *c)
{
	SOCKADDR_HV a;

	a.Family = take16(c);
	a.Reserved = take16(c);
	a.VmId = take_guid(c);
	a.ServiceId = take_guid(c);
	return a;
}

static size_t take_rest(struct cursor *c, const char **ret)
{
	size_t n;

	if (c->bad)
		return 0;
	n = (size_t)(c->end - c->p);
	*ret = (const char *)c->p;
	c->p = c->end;
	return n;
}

static int done(const struct cursor *c)
{
	return c->bad || c->p != c->end ? -EINVAL : 0;
}

/* Ends a decode function: all read, nothing over, then the output is set. */
#define FINISH(c, ret, value)          \
	do {                           \
		if (done(c) < 0)       \
			return -EINVAL; \
		*(ret) = (value);      \
		return 0;              \
	} while (0)

int msg_header_decode(const uint8_t *p, size_t len, struct msg_header *ret)
{
	if (len < MSG_HEADER)
		return -EINVAL;
	*ret = (struct msg_header){
		.type = (uint16_t)(le16_get(p) & ~MSG_REPLY),
		.reply = !!(le16_get(p) & MSG_REPLY),
		.flags = le16_get(p + 2),
		.serial = le32_get(p + 4),
	};
	return 0;
}

int msg_reply_decode(const uint8_t *p, size_t len, struct msg_reply *ret)
{
	if (len < MSG_REPLY_HEADER)
		return -EINVAL;
	*ret = (struct msg_reply){
		.error = le32_get(p + 8),
		.reason = le32_get(p + 12),
		.payload = p + MSG_REPLY_HEADER,
		.len = len - MSG_REPLY_HEADER,
	};
	return 0;
}

int msg_hello_decode(const uint8_t *p, size_t len, struct msg_hello *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_hello m;

	m.lowest = take32(&c);
	m.highest = take32(&c);
	m.profile_len = take_rest(&c, &m.profile);
	FINISH(&c, ret, m);
}

int msg_hello_reply_decode(const uint8_t *p, size_t len,
			   struct msg_hello_reply *ret)
{
	struct cursor c = cursor_at(p, len, MSG_REPLY_HEADER);
	struct msg_hello_reply m;

	m.version = take32(&c);
	m.max_frame = take32(&c);
	m.epoch = take_guid(&c);
	m.partition = take_guid(&c);
	m.name_len = take_rest(&c, &m.name);
	FINISH(&c, ret, m);
}

static int bind_decode(struct cursor c, struct msg_bind *ret)
{
	struct msg_bind m;

	m.addr = take_address(&c);
	m.flags = take32(&c);
	FINISH(&c, ret, m);
}

int msg_bind_decode(const uint8_t *p, size_t len, struct msg_bind *ret)
{
	return bind_decode(cursor_at(p, len, MSG_HEADER), ret);
}

int msg_bind_reply_decode(const uint8_t *p, size_t len, struct msg_bind *ret)
{
	return bind_decode(cursor_at(p, len, MSG_REPLY_HEADER), ret);
}

int msg_connect_decode(const uint8_t *p, size_t len, struct msg_connect *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_connect m;

	m.dest = take_address(&c);
	m.local = take_address(&c);
	m.timeout_ms = take32(&c);
	m.flags = take32(&c);
	FINISH(&c, ret, m);
}

int msg_connect_reply_decode(const uint8_t *p, size_t len,
			     struct msg_connect_reply *ret)
{
	struct cursor c = cursor_at(p, len, MSG_REPLY_HEADER);
	struct msg_connect_reply m;

	m.state = take32(&c);
	m.token = take64(&c);
	FINISH(&c, ret, m);
}

int msg_listen_decode(const uint8_t *p, size_t len, struct msg_listen *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_listen m;

	m.type = take16(&c);
	take16(&c);
	m.addr = take_address(&c);
	m.flags = take32(&c);
	FINISH(&c, ret, m);
}

int msg_u64_decode(const uint8_t *p, size_t len, uint64_t *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	uint64_t v = take64(&c);

	FINISH(&c, ret, v);
}

int msg_result_reply_decode(const uint8_t *p, size_t len,
			    struct msg_result_reply *ret)
{
	struct cursor c = cursor_at(p, len, MSG_REPLY_HEADER);
	struct msg_result_reply m;

	m.state = take32(&c);
	m.error = take32(&c);
	m.reason = take32(&c);
	m.text_len = take_rest(&c, &m.text);
	FINISH(&c, ret, m);
}

int msg_strings_decode(const uint8_t *p, size_t len, bool reply,
		       const char **ret_a, const char **ret_b)
{
	size_t head = reply ? MSG_REPLY_HEADER : MSG_HEADER;
	struct cursor c = cursor_at(p, len, head);
	const char *s = NULL, *zero;
	size_t n = take_rest(&c, &s);

	if (c.bad || !n || s[n - 1] != '\0')
		return -EINVAL;
	zero = memchr(s, '\0', n);
	if (zero == s + n - 1 ||
	    strnlen(zero + 1, n) != (size_t)(s + n - 2 - zero))
		return -EINVAL;
	*ret_a = s;
	*ret_b = zero + 1;
	return 0;
}

int msg_address_decode(const uint8_t *p, size_t len, bool reply,
		       SOCKADDR_HV *ret)
{
	size_t head = reply ? MSG_REPLY_HEADER : MSG_HEADER;
	struct cursor c = cursor_at(p, len, head);
	SOCKADDR_HV a = take_address(&c);

	FINISH(&c, ret, a);
}

int msg_attach_decode(const uint8_t *p, size_t len, struct msg_attach *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_attach m;

	m.vmid = take_guid(&c);
	m.kind = take16(&c);
	m.types = take16(&c);
	m.flags = take32(&c);
	m.name_len = take_rest(&c, &m.name);
	FINISH(&c, ret, m);
}

int msg_attach_reply_decode(const uint8_t *p, size_t len, GUID *ret_vmid,
			    const char **ret_name, size_t *ret_name_len)
{
	struct cursor c = cursor_at(p, len, MSG_REPLY_HEADER);
	GUID vmid = take_guid(&c);
	const char *name = NULL;
	size_t n = take_rest(&c, &name);

	if (done(&c) < 0)
		return -EINVAL;
	*ret_vmid = vmid;
	*ret_name = name;
	*ret_name_len = n;
	return 0;
}

int msg_u32_decode(const uint8_t *p, size_t len, uint32_t *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	uint32_t v = take32(&c);

	FINISH(&c, ret, v);
}

int msg_dial_decode(const uint8_t *p, size_t len, struct msg_dial *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_dial m;

	m.type = take16(&c);
	m.flags = take16(&c);
	m.timeout_ms = take32(&c);
	m.vmid = take_guid(&c);
	m.service = take_guid(&c);
	m.source = take_guid(&c);
	FINISH(&c, ret, m);
}

GUID dial_vmid_of_cid(uint32_t cid)
{
	uint8_t raw[16] = { 0 };

	le32_put(raw, cid);
	return guid_get(raw);
}

uint32_t dial_cid(const GUID *vmid)
{
	uint8_t raw[16];
	uint32_t cid;
	GUID back;

	guid_put(raw, vmid);
	cid = le32_get(raw);
	back = dial_vmid_of_cid(cid);
	return guid_equal(&back, vmid) ? cid : 0;
}

int msg_dial_reply_decode(const uint8_t *p, size_t len,
			  struct msg_dial_reply *ret)
{
	struct cursor c = cursor_at(p, len, MSG_REPLY_HEADER);
	struct msg_dial_reply m = { .token = take64(&c) };

	if (len > MSG_REPLY_HEADER + 8)
		m.flags = take32(&c);
	m.vmid = take_guid_if_any(&c);
	FINISH(&c, ret, m);
}

int msg_open_decode(const uint8_t *p, size_t len, struct msg_open *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_open m;

	m.token = take64(&c);
	m.type = take16(&c);
	m.flags = take16(&c);
	m.timeout_ms = take32(&c);
	m.service = take_guid(&c);
	m.source = take_guid(&c);
	m.uid = take32(&c);
	m.partition = take_guid_if_any(&c);
	m.cid = c.bad || c.p == c.end ? 0 : take32(&c);
	FINISH(&c, ret, m);
}

int msg_token_u64_decode(const uint8_t *p, size_t len,
			 struct msg_token_u64 *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_token_u64 m;

	m.token = take64(&c);
	m.value = take64(&c);
	FINISH(&c, ret, m);
}

int msg_close_decode(const uint8_t *p, size_t len, struct msg_close *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_close m;

	m.token = take64(&c);
	m.reason = take32(&c);
	FINISH(&c, ret, m);
}

int msg_closed_decode(const uint8_t *p, size_t len, struct msg_closed *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_closed m;

	m.token = take64(&c);
	m.to_guest = take64(&c);
	m.from_guest = take64(&c);
	FINISH(&c, ret, m);
}

int msg_live_decode(const uint8_t *p, size_t len, struct msg_live *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_live m;

	m.token = take64(&c);
	m.type = take16(&c);
	m.direction = take16(&c);
	m.uid = take32(&c);
	m.service = take_guid(&c);
	m.source = take_guid(&c);
	m.partition = take_guid_if_any(&c);
	FINISH(&c, ret, m);
}

int msg_control_decode(const uint8_t *p, size_t len, struct msg_control *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_control m;

	m.session = take64(&c);
	m.len = take_rest(&c, &m.text);
	FINISH(&c, ret, m);
}

int msg_services_decode(const uint8_t *p, size_t len, struct msg_services *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	struct msg_services m;
	const char *ids = NULL;
	size_t bytes;

	m.flags = take32(&c);
	bytes = take_rest(&c, &ids);
	m.ids = (const uint8_t *)ids;
	m.n = bytes / 16;
	if (bytes % 16 || m.flags & ~(SERVICES_FIRST | SERVICES_LAST))
		return -EINVAL;
	FINISH(&c, ret, m);
}

int msg_cids_decode(const uint8_t *p, size_t len, struct msg_cids *ret)
{
	struct cursor c = cursor_at(p, len, MSG_HEADER);
	const char *entries = NULL;
	struct msg_cids m;
	size_t bytes;

	m.flags = take32(&c);
	bytes = take_rest(&c, &entries);
	m.entries = (const uint8_t *)entries;
	m.n = bytes / CIDS_ENTRY;
	if (bytes % CIDS_ENTRY || m.flags & ~(SERVICES_FIRST | SERVICES_LAST))
		return -EINVAL;
	FINISH(&c, ret, m);
}

void msg_cids_entry(const struct msg_cids *m, size_t i, uint32_t *ret_cid,
		    GUID *ret_vmid)
{
	const uint8_t *p = m->entries + i * CIDS_ENTRY;

	*ret_cid = le32_get(p);
	*ret_vmid = guid_get(p + 4);
}

void msg_put_bytes(struct msg_buf *b, const void *p, size_t len)
{
	if (len > b->size - b->len) {
		b->overflow = true;
		return;
	}
	if (len)
		memcpy(b->data + b->len, p, len);
	b->len += len;
}

void msg_put_u16(struct msg_buf *b, uint16_t v)
{
	uint8_t raw[2];

	le16_put(raw, v);
	msg_put_bytes(b, raw, sizeof(raw));
}

void msg_put_u32(struct msg_buf *b, uint32_t v)
{
	uint8_t raw[4];

	le32_put(raw, v);
	msg_put_bytes(b, raw, sizeof(raw));
}

void msg_put_u64(struct msg_buf *b, uint64_t v)
{
	uint8_t raw[8];

	le64_put(raw, v);
	msg_put_bytes(b, raw, sizeof(raw));
}

void msg_put_guid(struct msg_buf *b, const GUID *g)
{
	msg_put_bytes(b, g, sizeof(*g));
}

void msg_put_address(struct msg_buf *b, const SOCKADDR_HV *a)
{
	msg_put_u16(b, a->Family);
	msg_put_u16(b, a->Reserved);
	msg_put_guid(b, &a->VmId);
	msg_put_guid(b, &a->ServiceId);
}

void msg_put_string(struct msg_buf *b, const char *s)
{
	msg_put_bytes(b, s, strlen(s) + 1);
}

void msg_begin(struct msg_buf *b, enum msg_type type, uint32_t serial)
{
	b->len = 0;
	b->overflow = false;
	msg_put_u16(b, (uint16_t)type);
	msg_put_u16(b, 0);
	msg_put_u32(b, serial);
}

void msg_begin_reply(struct msg_buf *b, uint16_t type, uint32_t serial,
		     uint16_t flags, uint32_t error, uint32_t reason)
{
	b->len = 0;
	b->overflow = false;
	msg_put_u16(b, type | MSG_REPLY);
	msg_put_u16(b, flags);
	msg_put_u32(b, serial);
	msg_put_u32(b, error);
	msg_put_u32(b, reason);
}

static const struct {
	const char *name;
	int error;
} reasons[] = {
	[HVS_REASON_NONE] = { "none", 0 },
	[HVS_REASON_NOT_REGISTERED] = { "not registered", EACCES },
	[HVS_REASON_BIND_DENIED] = { "bind denied", EACCES },
	[HVS_REASON_CONNECT_DENIED] = { "connect denied", EACCES },
	[HVS_REASON_SECURITY_MODULE] = { "blocked by the security module",
					 EACCES },
	[HVS_REASON_DISABLED] = { "disabled", EINVAL },
	[HVS_REASON_NO_LISTENER] = { "no listener", ECONNREFUSED },
	[HVS_REASON_WILDCARD] = { "wildcard bind not allowed to match",
				  ECONNREFUSED },
	[HVS_REASON_BACKLOG] = { "backlog full", ECONNREFUSED },
	[HVS_REASON_PARTITION_UNKNOWN] = { "partition unknown", EHOSTUNREACH },
	[HVS_REASON_PARTITION_OFF] = { "partition off", EHOSTDOWN },
	[HVS_REASON_NO_ANSWER] = { "no answer", ETIMEDOUT },
	[HVS_REASON_QUOTA] = { "over quota", ENOBUFS },
	[HVS_REASON_NO_BROKER] = { "no broker", ENETDOWN },
	[HVS_REASON_ADDRESS_TAKEN] = { "address taken", EADDRINUSE },
	[HVS_REASON_NOT_A_DESTINATION] = { "not a destination", EADDRNOTAVAIL },
	[HVS_REASON_TYPE] = { "type not carried", EPROTONOSUPPORT },
	[HVS_REASON_BAD_REQUEST] = { "bad request", EINVAL },
	[HVS_REASON_NO_LONGER_ALLOWED] = { "no longer allowed", ECONNRESET },
	[HVS_REASON_NOT_PERMITTED] = { "not permitted", EPERM },
	[HVS_REASON_NOT_FOUND] = { "not found", ENOENT },
	[HVS_REASON_EXISTS] = { "exists", EEXIST },
	[HVS_REASON_GUEST_RESET] = { "reset by the guest", ECONNRESET },
	[HVS_REASON_BROKER_FAILED] = { "broker failed", EIO },
};

const char *reason_name(uint32_t reason)
{
	return reason < ARRAY_LEN(reasons) ? reasons[reason].name : "unknown";
}

int reason_errno(uint32_t reason)
{
	return reason < ARRAY_LEN(reasons) ? reasons[reason].error : EIO;
}
