/* SPDX-License-Identifier: MIT */
/*
 * test-message.c - every frame, there and back; no length but the right one
 *
 * Each row writes a frame as docs/protocol.md has it and reads it back. Then
 * every shorter length, in memory that ends there, must be refused with the
 * output untouched; and one byte more, unless the frame ends in free text.
 */
#include "suite.h"

#include "base/bytes.h"
#include "base/guid.h"
#include "proto/message.h"

static const SOCKADDR_HV addr = {
	.Family = AF_HYPERV,
	.VmId = { 1, 2, 3, { 4, 5, 6, 7, 8, 9, 10, 11 } },
	.ServiceId = { 0x01020304, 0x0506, 0x0708, { 9 } },
};
static const SOCKADDR_HV other = { .Family = 7, .Reserved = 9 };

union any {
	struct msg_hello hello;
	struct msg_hello_reply hello_reply;
	struct msg_bind bind;
	struct msg_connect connect;
	struct msg_connect_reply connect_reply;
	struct msg_listen listen;
	struct msg_result_reply result_reply;
	struct msg_attach attach;
	struct msg_dial dial;
	struct msg_dial_reply dial_reply;
	struct msg_open open;
	struct msg_token_u64 token_u64;
	struct msg_close close;
	struct msg_closed closed;
	struct msg_live live;
	struct msg_reply reply;
	struct msg_header header;
	SOCKADDR_HV address;
	uint64_t u64;
	uint32_t u32;
	struct {
		const char *a, *b;
		size_t len;
		GUID g;
	} text;
};

struct row {
	const char *name;
	bool reply;
	size_t payload; /* bytes after the header */
	bool open_end; /* more bytes are more text */
	void (*put)(struct msg_buf *b);
	int (*get)(const uint8_t *p, size_t len, union any *ret);
	bool (*same)(const union any *v);
};

#define GET(name, fn, member)                                             \
	static int get_##name(const uint8_t *p, size_t len, union any *r) \
	{                                                                 \
		return fn(p, len, &r->member);                            \
	}

GET(hello, msg_hello_decode, hello)
GET(hello_reply, msg_hello_reply_decode, hello_reply)
GET(bind, msg_bind_decode, bind)
GET(bind_reply, msg_bind_reply_decode, bind)
GET(connect, msg_connect_decode, connect)
GET(connect_reply, msg_connect_reply_decode, connect_reply)
GET(listen, msg_listen_decode, listen)
GET(result, msg_u64_decode, u64)
GET(result_reply, msg_result_reply_decode, result_reply)
GET(attach, msg_attach_decode, attach)
GET(state, msg_u32_decode, u32)
GET(dial, msg_dial_decode, dial)
GET(dial_reply, msg_dial_reply_decode, dial_reply)
GET(open, msg_open_decode, open)
GET(parked, msg_token_u64_decode, token_u64)
GET(close, msg_close_decode, close)
GET(closed, msg_closed_decode, closed)
GET(live, msg_live_decode, live)

static int get_attach_reply(const uint8_t *p, size_t len, union any *r)
{
	return msg_attach_reply_decode(p, len, &r->text.g, &r->text.a,
				       &r->text.len);
}

static int get_names(const uint8_t *p, size_t len, union any *r)
{
	return msg_address_decode(p, len, false, &r->address);
}

static int get_resolve_reply(const uint8_t *p, size_t len, union any *r)
{
	return msg_address_decode(p, len, true, &r->address);
}

static void put_hello(struct msg_buf *b)
{
	msg_put_u32(b, 1);
	msg_put_u32(b, 0xfffffffe);
	msg_put_bytes(b, "pr", 2);
}

static bool same_hello(const union any *v)
{
	return v->hello.lowest == 1 && v->hello.highest == 0xfffffffe &&
	       v->hello.profile_len == 2 &&
	       memcmp(v->hello.profile, "pr", 2) == 0;
}

static void put_hello_reply(struct msg_buf *b)
{
	msg_put_u32(b, 1);
	msg_put_u32(b, MSG_MAX);
	msg_put_guid(b, &addr.VmId);
	msg_put_guid(b, &guid_parent);
	msg_put_bytes(b, "web1", 4);
}

static bool same_hello_reply(const union any *v)
{
	const struct msg_hello_reply *m = &v->hello_reply;

	return m->version == 1 && m->max_frame == MSG_MAX &&
	       guid_equal(&m->epoch, &addr.VmId) &&
	       guid_equal(&m->partition, &guid_parent) && m->name_len == 4 &&
	       memcmp(m->name, "web1", 4) == 0;
}

static void put_bind(struct msg_buf *b)
{
	msg_put_address(b, &addr);
	msg_put_u32(b, 5);
}

static bool same_bind(const union any *v)
{
	return memcmp(&v->bind.addr, &addr, sizeof(addr)) == 0 &&
	       v->bind.flags == 5;
}

static void put_connect(struct msg_buf *b)
{
	msg_put_address(b, &addr);
	msg_put_address(b, &other);
	msg_put_u32(b, 300000);
	msg_put_u32(b, 31);
}

static bool same_connect(const union any *v)
{
	return memcmp(&v->connect.dest, &addr, sizeof(addr)) == 0 &&
	       memcmp(&v->connect.local, &other, sizeof(other)) == 0 &&
	       v->connect.timeout_ms == 300000 && v->connect.flags == 31;
}

static void put_connect_reply(struct msg_buf *b)
{
	msg_put_u32(b, 1);
	msg_put_u64(b, 0x1122334455667788);
}

static bool same_connect_reply(const union any *v)
{
	return v->connect_reply.state == 1 &&
	       v->connect_reply.token == 0x1122334455667788;
}

static void put_listen(struct msg_buf *b)
{
	msg_put_u16(b, 5);
	msg_put_u16(b, 0);
	msg_put_address(b, &addr);
	msg_put_u32(b, 1);
}

static bool same_listen(const union any *v)
{
	return v->listen.type == 5 && v->listen.flags == 1 &&
	       memcmp(&v->listen.addr, &addr, sizeof(addr)) == 0;
}

static void put_u64(struct msg_buf *b)
{
	msg_put_u64(b, 0x1122334455667788);
}

static bool same_u64(const union any *v)
{
	return v->u64 == 0x1122334455667788;
}

static void put_u32(struct msg_buf *b)
{
	msg_put_u32(b, 0x11223344);
}

static bool same_u32(const union any *v)
{
	return v->u32 == 0x11223344;
}

static void put_result_reply(struct msg_buf *b)
{
	msg_put_u32(b, 3);
	msg_put_u32(b, 111);
	msg_put_u32(b, 6);
	msg_put_bytes(b, "why", 3);
}

static bool same_result_reply(const union any *v)
{
	const struct msg_result_reply *m = &v->result_reply;

	return m->state == 3 && m->error == 111 && m->reason == 6 &&
	       m->text_len == 3 && memcmp(m->text, "why", 3) == 0;
}

static void put_attach(struct msg_buf *b)
{
	msg_put_guid(b, &addr.VmId);
	msg_put_u16(b, 1);
	msg_put_u16(b, 3);
	msg_put_u32(b, 0);
	msg_put_bytes(b, "vm", 2);
}

static bool same_attach(const union any *v)
{
	return guid_equal(&v->attach.vmid, &addr.VmId) && v->attach.kind == 1 &&
	       v->attach.types == 3 && !v->attach.flags &&
	       v->attach.name_len == 2 && memcmp(v->attach.name, "vm", 2) == 0;
}

static void put_attach_reply(struct msg_buf *b)
{
	msg_put_guid(b, &addr.VmId);
	msg_put_bytes(b, "vm", 2);
}

static bool same_attach_reply(const union any *v)
{
	return guid_equal(&v->text.g, &addr.VmId) && v->text.len == 2 &&
	       memcmp(v->text.a, "vm", 2) == 0;
}

static void put_dial(struct msg_buf *b)
{
	msg_put_u16(b, 1);
	msg_put_u16(b, 2);
	msg_put_u32(b, 3);
	msg_put_guid(b, &addr.VmId);
	msg_put_guid(b, &addr.ServiceId);
	msg_put_guid(b, &guid_parent);
}

static bool same_dial(const union any *v)
{
	const struct msg_dial *m = &v->dial;

	return m->type == 1 && m->flags == 2 && m->timeout_ms == 3 &&
	       guid_equal(&m->vmid, &addr.VmId) &&
	       guid_equal(&m->service, &addr.ServiceId) &&
	       guid_equal(&m->source, &guid_parent);
}

static bool same_dial_reply(const union any *v)
{
	return v->dial_reply.token == 0x1122334455667788 &&
	       v->dial_reply.flags == 0;
}

static void put_open(struct msg_buf *b)
{
	put_u64(b);
	msg_put_u16(b, 5);
	msg_put_u16(b, 1);
	msg_put_u32(b, 2000);
	msg_put_guid(b, &addr.ServiceId);
	msg_put_guid(b, &guid_parent);
	msg_put_u32(b, 1000);
}

static bool same_open(const union any *v)
{
	const struct msg_open *m = &v->open;

	return m->token == 0x1122334455667788 && m->type == 5 &&
	       m->flags == 1 && m->timeout_ms == 2000 && m->uid == 1000 &&
	       guid_equal(&m->service, &addr.ServiceId) &&
	       guid_equal(&m->source, &guid_parent);
}

static void put_parked(struct msg_buf *b)
{
	put_u64(b);
	msg_put_u64(b, 212992);
}

static bool same_parked(const union any *v)
{
	return v->token_u64.token == 0x1122334455667788 &&
	       v->token_u64.value == 212992;
}

static void put_close(struct msg_buf *b)
{
	put_u64(b);
	msg_put_u32(b, 18);
}

static bool same_close(const union any *v)
{
	return v->close.token == 0x1122334455667788 && v->close.reason == 18;
}

static void put_closed(struct msg_buf *b)
{
	put_u64(b);
	msg_put_u64(b, 1);
	msg_put_u64(b, UINT64_MAX);
}

static bool same_closed(const union any *v)
{
	return v->closed.token == 0x1122334455667788 &&
	       v->closed.to_guest == 1 && v->closed.from_guest == UINT64_MAX;
}

static void put_live(struct msg_buf *b)
{
	put_u64(b);
	msg_put_u16(b, 1);
	msg_put_u16(b, 1);
	msg_put_u32(b, 0xffffffff);
	msg_put_guid(b, &addr.ServiceId);
	msg_put_guid(b, &guid_parent);
}

static bool same_live(const union any *v)
{
	const struct msg_live *m = &v->live;

	return m->token == 0x1122334455667788 && m->type == 1 &&
	       m->direction == 1 && m->uid == 0xffffffff &&
	       guid_equal(&m->service, &addr.ServiceId) &&
	       guid_equal(&m->source, &guid_parent);
}

static void put_address(struct msg_buf *b)
{
	msg_put_address(b, &addr);
}

static bool same_address(const union any *v)
{
	return memcmp(&v->address, &addr, sizeof(addr)) == 0;
}

#define ROW(name, reply, size, open_end, put, same) \
	{ #name, reply, size, open_end, put_##put, get_##name, same_##same }

static const struct row rows[] = {
	ROW(hello, false, 10, true, hello, hello),
	ROW(hello_reply, true, 44, true, hello_reply, hello_reply),
	ROW(bind, false, 40, false, bind, bind),
	ROW(bind_reply, true, 40, false, bind, bind),
	ROW(connect, false, 80, false, connect, connect),
	ROW(connect_reply, true, 12, false, connect_reply, connect_reply),
	ROW(listen, false, 44, false, listen, listen),
	ROW(result, false, 8, false, u64, u64),
	ROW(result_reply, true, 15, true, result_reply, result_reply),
	ROW(names, false, 36, false, address, address),
	ROW(resolve_reply, true, 36, false, address, address),
	ROW(attach, false, 26, true, attach, attach),
	ROW(attach_reply, true, 18, true, attach_reply, attach_reply),
	ROW(state, false, 4, false, u32, u32),
	ROW(dial, false, 56, false, dial, dial),
	ROW(dial_reply, true, 8, false, u64, dial_reply),
	ROW(open, false, 52, false, open, open),
	ROW(parked, false, 16, false, parked, parked),
	ROW(close, false, 12, false, close, close),
	ROW(closed, false, 24, false, closed, closed),
	ROW(live, false, 48, false, live, live),
};

/* Bytes of free text at the end of the row's example. */
static size_t text_of(const struct row *r)
{
	if (!r->open_end)
		return 0;
	return r->put == put_hello_reply ? 4 :
	       r->put == put_result_reply ? 3 : 2;
}

START_TEST(frames)
{
	const struct row *r = &rows[_i];
	size_t head = r->reply ? MSG_REPLY_HEADER : MSG_HEADER;
	union any v, before;
	struct msg_header h;
	uint8_t raw[256];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	uint8_t *p;

	if (r->reply)
		msg_begin_reply(&b, 3, 0xa1a2a3a4, 1, 0, 0);
	else
		msg_begin(&b, 3, 0xa1a2a3a4);
	r->put(&b);
	ck_assert_msg(b.len == head + r->payload, "%s: %zu bytes", r->name,
		      b.len);
	ck_assert(!b.overflow);
	ck_assert_int_eq(msg_header_decode(raw, b.len, &h), 0);
	ck_assert_uint_eq(h.type, 3);
	ck_assert(h.reply == r->reply);
	ck_assert_uint_eq(h.flags, r->reply ? 1 : 0);
	ck_assert_uint_eq(h.serial, 0xa1a2a3a4);

	p = exact(raw, b.len);
	memset(&v, 0xee, sizeof(v));
	ck_assert_int_eq(r->get(p, b.len, &v), 0);
	ck_assert_msg(r->same(&v), "%s", r->name);
	free(p);

	memset(&before, 0x5a, sizeof(before));
	for (size_t n = 0; n < b.len - text_of(r); n++) {
		p = exact(raw, n);
		v = before;
		ck_assert_msg(r->get(p, n, &v) == -EINVAL,
			      "%s of %zu bytes was read", r->name, n);
		ck_assert_mem_eq(&v, &before, sizeof(v));
		free(p);
	}
	v = before;
	ck_assert_int_eq(r->get(raw, b.len + 1, &v),
			 r->open_end ? 0 : -EINVAL);
	/* a buffer that is too small by any amount says so, and no more */
	for (size_t n = 0; n < b.len; n++) {
		struct msg_buf small;

		p = exact(raw, n);
		small = msg_buf(p, n);
		if (r->reply)
			msg_begin_reply(&small, 3, 1, 0, 0, 0);
		else
			msg_begin(&small, 3, 1);
		r->put(&small);
		ck_assert(small.overflow);
		free(p);
	}
}
END_TEST

START_TEST(headers)
{
	static const uint8_t raw[] = { 3, 0x80, 1, 0, 4, 3, 2, 1,
				       111, 0, 0, 0, 6, 0, 0, 0, 'w', 'h' };
	struct msg_header h;
	struct msg_reply r;

	for (size_t n = 0; n < sizeof(raw); n++) {
		uint8_t *p = exact(raw, n);

		ck_assert_int_eq(msg_header_decode(p, n, &h),
				 n < 8 ? -EINVAL : 0);
		ck_assert_int_eq(msg_reply_decode(p, n, &r),
				 n < 16 ? -EINVAL : 0);
		free(p);
	}
	ck_assert_int_eq(msg_reply_decode(raw, sizeof(raw), &r), 0);
	ck_assert_uint_eq(r.error, 111);
	ck_assert_uint_eq(r.reason, 6);
	ck_assert_uint_eq(r.len, 2);
	ck_assert_mem_eq(r.payload, "wh", 2);
	ck_assert_uint_eq(h.serial, 0x01020304);
}
END_TEST

START_TEST(strings)
{
	static const struct {
		const char *p;
		size_t len;
		const char *a, *b;
	} table[] = {
		{ "web1\0echo", 10, "web1", "echo" }, { "\0", 2, "", "" },
		{ "a\0", 3, "a", "" }, { "\0b", 3, "", "b" },
		{ "", 0, NULL, NULL }, { "", 1, NULL, NULL },
		{ "a", 2, NULL, NULL }, { "ab", 2, NULL, NULL },
		{ "a\0b", 3, NULL, NULL }, { "a\0b\0c", 6, NULL, NULL },
		{ "a\0b\0", 5, NULL, NULL }, { "\0\0", 3, NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		for (int reply = 0; reply < 2; reply++) {
			size_t head = reply ? MSG_REPLY_HEADER : MSG_HEADER;
			const char *a = "untouched", *b = "too";
			uint8_t raw[64] = { 0 }, *p;

			memcpy(raw + head, table[i].p, table[i].len);
			p = exact(raw, head + table[i].len);
			ck_assert_msg(msg_strings_decode(p,
							 head + table[i].len,
							 reply, &a, &b) ==
					      (table[i].a ? 0 : -EINVAL),
				      "row %zu", i);
			ck_assert_str_eq(a, table[i].a ? table[i].a :
							 "untouched");
			ck_assert_str_eq(b, table[i].b ? table[i].b : "too");
			free(p);
		}
	}
}
END_TEST

START_TEST(reasons)
{
	static const int errors[] = {
		0, EACCES, EACCES, EACCES, EACCES, EINVAL, ECONNREFUSED,
		ECONNREFUSED, ECONNREFUSED, EHOSTUNREACH, EHOSTDOWN, ETIMEDOUT,
		ENOBUFS, ENETDOWN, EADDRINUSE, EADDRNOTAVAIL, EPROTONOSUPPORT,
		EINVAL, ECONNRESET, EPERM, ENOENT, EEXIST, ECONNRESET, EIO,
	};

	for (uint32_t i = 0; i < ARRAY_LEN(errors); i++) {
		ck_assert_int_eq(reason_errno(i), errors[i]);
		ck_assert_str_ne(reason_name(i), "unknown");
	}
	ck_assert_str_eq(reason_name(ARRAY_LEN(errors)), "unknown");
	ck_assert_str_eq(reason_name(UINT32_MAX), "unknown");
	ck_assert_int_eq(reason_errno(UINT32_MAX), EIO);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_loop_test(t, frames, 0, ARRAY_LEN(rows));
	tcase_add_test(t, headers);
	tcase_add_test(t, strings);
	tcase_add_test(t, reasons);
}

int main(void)
{
	return run_suite("message", fill);
}
