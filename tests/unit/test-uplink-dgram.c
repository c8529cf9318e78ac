/* SPDX-License-Identifier: MIT */
/* test-uplink-dgram.c - frames for datagrams over an uplink */
#include "suite.h"

#include "base/guid.h"
#include "proto/uplink-dgram.h"

#define HEAD UPLINK_DGRAM_HEADER

static GUID guid(const char *text)
{
	GUID g;

	ck_assert_int_eq(guid_parse(text, &g), 0);
	return g;
}

static struct uplink_dgram a_datagram(void)
{
	return (struct uplink_dgram){
		.len = 0x1234,
		.kind = UPLINK_DATAGRAM,
		.ends = {
			.from = guid("00112233-4455-6677-8899-aabbccddeeff"),
			.source = guid("10112233-4455-6677-8899-aabbccddeeff"),
			.to = guid("20112233-4455-6677-8899-aabbccddeeff"),
			.service = guid("30112233-4455-6677-8899-aabbccddeeff"),
		},
	};
}

START_TEST(byte_by_byte)
{
	static const uint8_t tail[] = { 0x33, 0x22, 0x11, 0x10, 0x55, 0x44,
					0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb,
					0xcc, 0xdd, 0xee, 0xff };
	struct uplink_dgram d = a_datagram(), e;
	uint8_t p[HEAD];

	uplink_dgram_encode(&d, p);
	ck_assert_mem_eq(p, "\x34\x12\0\0\1\0\0\0", 8);
	ck_assert_mem_eq(p + 24, tail, sizeof(tail));
	ck_assert_uint_eq(p[11], 0x00);
	ck_assert_uint_eq(p[43], 0x20);
	ck_assert_uint_eq(p[59], 0x30);
	ck_assert_int_eq(uplink_dgram_decode(p, false, &e), 0);
	ck_assert_mem_eq(&d, &e, sizeof(d));
	/* the host speaks for itself */
	ck_assert_int_eq(uplink_dgram_decode(p, true, &e), -EINVAL);
	d.ends.from = guid_zero;
	uplink_dgram_encode(&d, p);
	ck_assert_int_eq(uplink_dgram_decode(p, true, &e), 0);
}
END_TEST

static bool good(struct uplink_dgram d, bool of_host)
{
	struct uplink_dgram e;
	uint8_t p[HEAD];

	uplink_dgram_encode(&d, p);
	return uplink_dgram_decode(p, of_host, &e) == 0;
}

START_TEST(limits)
{
	struct uplink_dgram d = a_datagram();

	d.len = 65536;
	ck_assert(good(d, false));
	d.len = 65537;
	ck_assert(!good(d, false));
	d.len = 0;
	ck_assert(good(d, false));
	for (int kind = 0; kind < 65536; kind++) {
		d.kind = (uint16_t)kind;
		ck_assert(good(d, false) == (kind == UPLINK_DATAGRAM));
	}
	d.kind = UPLINK_QUESTION;
	for (d.len = 0; d.len < 20; d.len++)
		ck_assert(good(d, false) == (d.len == 4));
	d.kind = UPLINK_REPLY;
	d.len = 8;
	ck_assert(!good(d, false)); /* it has ends */
	d.ends = (struct uplink_ends){ .from = guid_zero };
	for (d.len = 0; d.len < 300; d.len++)
		ck_assert(good(d, false) == (d.len >= 8 && d.len <= 208));
}
END_TEST

START_TEST(broadcast)
{
	struct uplink_dgram d = a_datagram();

	d.ends.from = d.ends.to = guid_zero;
	d.flags = DGRAM_BROADCAST;
	ck_assert(good(d, true));
	ck_assert(!good(d, false)); /* it goes down */
	d.flags = 3;
	ck_assert(!good(d, true));
	d.flags = DGRAM_BROADCAST;
	d.ends.to = guid_parent;
	ck_assert(!good(d, true));
	d.ends.to = guid_zero;
	d.kind = UPLINK_QUESTION;
	d.len = 4;
	ck_assert(!good(d, true));
	d.flags = 0;
	ck_assert(good(d, true));
}
END_TEST

static int reply(const uint8_t *bytes, size_t len, struct uplink_reply *ret)
{
	uint8_t *copy = exact(bytes, len);
	int r = uplink_reply_decode(copy, len, ret);

	free(copy);
	return r;
}

START_TEST(replies)
{
	struct uplink_reply r = { .number = 0x01020304, .reason = 6 }, e;
	uint8_t p[UPLINK_REPLY_MAX];
	size_t n;

	strcpy(r.text, "nobody listens");
	n = uplink_reply_encode(&r, p);
	ck_assert_uint_eq(n, 8 + 14);
	ck_assert_mem_eq(p, "\4\3\2\1\6\0\0\0nobody", 14);
	ck_assert_int_eq(reply(p, n, &e), 0);
	ck_assert_uint_eq(e.number, r.number);
	ck_assert_uint_eq(e.reason, 6);
	ck_assert_str_eq(e.text, r.text);
	for (size_t i = 0; i < 8; i++)
		ck_assert_int_eq(reply(p, i, &e), -EINVAL);
	ck_assert_int_eq(reply(p, 8, &e), 0);
	ck_assert_str_eq(e.text, "");
	p[4] = HVS_REASON_BROKER_FAILED + 1;
	ck_assert_int_eq(reply(p, n, &e), -EINVAL);
	p[4] = 6;
	p[9] = '\x1b';
	ck_assert_int_eq(reply(p, n, &e), -EINVAL);
	p[9] = 0;
	ck_assert_int_eq(reply(p, n, &e), -EINVAL);
	/* what is not to be shown is not sent */
	strcpy(r.text, "a\x1b[31m");
	ck_assert_uint_eq(uplink_reply_encode(&r, p), 8);
	memset(r.text, 'x', UPLINK_TEXT_MAX);
	r.text[UPLINK_TEXT_MAX] = '\0';
	ck_assert_uint_eq(uplink_reply_encode(&r, p), UPLINK_REPLY_MAX);
	ck_assert_int_eq(reply(p, UPLINK_REPLY_MAX, &e), 0);
}
END_TEST

START_TEST(messages)
{
	const struct msg_uplink_route m = { .token = 77,
					    .ends = a_datagram().ends,
					    .flags = DGRAM_BROADCAST };
	const struct msg_ask q = { .token = 78, .ends = a_datagram().ends };
	uint8_t raw[256];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct msg_uplink_route got;
	struct msg_ask asked;
	struct msg_reach other;

	msg_begin(&b, MSG_ROUTE, 1);
	msg_put_uplink_route(&b, &m);
	ck_assert_uint_eq(b.len, 8 + 8 + 36 + 36);
	ck_assert_int_eq(msg_uplink_route_decode(raw, b.len, &got), 0);
	ck_assert_uint_eq(got.token, 77);
	ck_assert_uint_eq(got.flags, DGRAM_BROADCAST);
	ck_assert_mem_eq(&got.ends, &m.ends, sizeof(m.ends));
	/* neither is the other */
	ck_assert_int_eq(msg_route_decode(raw, b.len, &other), -EINVAL);
	ck_assert_int_eq(msg_uplink_route_decode(raw, b.len - 1, &got),
			 -EINVAL);
	b = msg_buf(raw, sizeof(raw));
	msg_begin(&b, MSG_ASK, 1);
	msg_put_ask(&b, &q);
	ck_assert_uint_eq(b.len, 8 + 8 + 64);
	ck_assert_int_eq(msg_ask_decode(raw, b.len, &asked), 0);
	ck_assert_uint_eq(asked.token, 78);
	ck_assert_mem_eq(&asked.ends, &q.ends, sizeof(q.ends));
	ck_assert_int_eq(msg_ask_decode(raw, b.len + 1, &asked), -EINVAL);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, byte_by_byte);
	tcase_add_test(t, limits);
	tcase_add_test(t, broadcast);
	tcase_add_test(t, replies);
	tcase_add_test(t, messages);
}

int main(void)
{
	return run_suite("uplink-dgram", fill);
}
