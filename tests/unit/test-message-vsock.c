/* SPDX-License-Identifier: MIT */
/* test-message-vsock.c - the frames that hvsocket-vsock adds to the others */
#include "suite.h"

#include "base/guid.h"
#include "proto/message.h"

START_TEST(cids)
{
	uint8_t raw[MSG_HEADER + 4 + 2 * CIDS_ENTRY];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct msg_cids m;
	uint32_t cid;
	GUID g;

	msg_begin(&b, MSG_CIDS, 1);
	msg_put_u32(&b, SERVICES_LAST);
	msg_put_u32(&b, 3);
	msg_put_guid(&b, &guid_parent);
	msg_put_u32(&b, 0xfffffffe);
	msg_put_guid(&b, &guid_children);
	ck_assert(!b.overflow && b.len == sizeof(raw));
	for (size_t n = 0; n <= sizeof(raw); n++) {
		uint8_t *p = exact(raw, n);
		bool whole = n >= MSG_HEADER + 4 &&
			     (n - MSG_HEADER - 4) % CIDS_ENTRY == 0;

		ck_assert_int_eq(msg_cids_decode(p, n, &m),
				 whole ? 0 : -EINVAL);
		free(p);
	}
	ck_assert_int_eq(msg_cids_decode(raw, sizeof(raw), &m), 0);
	ck_assert_uint_eq(m.flags, SERVICES_LAST);
	ck_assert_uint_eq(m.n, 2);
	msg_cids_entry(&m, 1, &cid, &g);
	ck_assert_uint_eq(cid, 0xfffffffe);
	ck_assert(guid_equal(&g, &guid_children));
	raw[MSG_HEADER] = 4; /* an unknown flag */
	ck_assert_int_eq(msg_cids_decode(raw, sizeof(raw), &m), -EINVAL);
}
END_TEST

/* A reply to DIAL that goes on: all of it, or nothing more. */
START_TEST(dial_flags)
{
	uint8_t raw[MSG_REPLY_HEADER + 16];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct msg_dial_reply m;

	msg_begin_reply(&b, MSG_DIAL, 1, 0, 0, 0);
	msg_put_u64(&b, 7);
	msg_put_u32(&b, DIAL_NATIVE);
	for (size_t n = MSG_REPLY_HEADER; n <= b.len + 1; n++) {
		size_t payload = n - MSG_REPLY_HEADER;
		uint8_t *p = exact(raw, n);

		ck_assert_int_eq(msg_dial_reply_decode(p, n, &m),
				 payload == 8 || payload == 12 ? 0 : -EINVAL);
		free(p);
	}
	ck_assert_int_eq(msg_dial_reply_decode(raw, b.len, &m), 0);
	ck_assert_uint_eq(m.token, 7);
	ck_assert_uint_eq(m.flags, DIAL_NATIVE);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, cids);
	tcase_add_test(t, dial_flags);
}

int main(void)
{
	return run_suite("message-vsock", fill);
}
