/* SPDX-License-Identifier: MIT */
/* test-message-lengths.c - frames that may have more than one length */
#include "suite.h"

#include "base/guid.h"
#include "proto/message.h"

START_TEST(services)
{
	uint8_t raw[MSG_HEADER + 4 + 32];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct msg_services m;
	GUID g;

	msg_begin(&b, MSG_SERVICES, 1);
	msg_put_u32(&b, SERVICES_FIRST | SERVICES_LAST);
	msg_put_guid(&b, &guid_parent);
	msg_put_guid(&b, &guid_children);
	ck_assert(!b.overflow && b.len == sizeof(raw));
	for (size_t n = 0; n <= sizeof(raw); n++) {
		uint8_t *p = exact(raw, n);
		bool whole = n >= MSG_HEADER + 4 &&
			     (n - MSG_HEADER - 4) % 16 == 0;

		ck_assert_int_eq(msg_services_decode(p, n, &m),
				 whole ? 0 : -EINVAL);
		if (whole)
			ck_assert_uint_eq(m.n, (n - MSG_HEADER - 4) / 16);
		free(p);
	}
	ck_assert_int_eq(msg_services_decode(raw, sizeof(raw), &m), 0);
	ck_assert_uint_eq(m.flags, 3);
	memcpy(&g, m.ids + 16, sizeof(g));
	ck_assert(guid_equal(&g, &guid_children));
	raw[MSG_HEADER] = 4; /* an unknown flag */
	ck_assert_int_eq(msg_services_decode(raw, sizeof(raw), &m), -EINVAL);
	ck_assert_uint_le(MSG_HEADER + 4 + 16 * SERVICES_MAX, MSG_MAX);
}
END_TEST

/* What came later may be missing, but not in part. */
START_TEST(partitions)
{
	uint8_t raw[88];
	struct msg_dial_reply d;
	GUID cid;
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct msg_open o;
	struct msg_live l;
	size_t old;

	msg_begin(&b, MSG_OPEN, 1);
	msg_put_u64(&b, 7);
	msg_put_u16(&b, 5);
	msg_put_u16(&b, 1);
	msg_put_u32(&b, 2000);
	msg_put_guid(&b, &guid_parent);
	msg_put_guid(&b, &guid_loopback);
	msg_put_u32(&b, 1000);
	old = b.len;
	msg_put_guid(&b, &guid_children);
	msg_put_u32(&b, 77);
	for (size_t n = old; n <= b.len + 1; n++)
		ck_assert_int_eq(msg_open_decode(raw, n, &o),
				 n == old || n == old + 16 || n == b.len ?
					 0 :
					 -EINVAL);
	ck_assert_int_eq(msg_open_decode(raw, b.len, &o), 0);
	ck_assert_uint_eq(o.cid, 77);
	b.len -= 4;
	ck_assert_int_eq(msg_open_decode(raw, old, &o), 0);
	ck_assert(guid_is_zero(&o.partition));
	ck_assert_int_eq(msg_open_decode(raw, b.len, &o), 0);
	ck_assert(guid_equal(&o.partition, &guid_children));
	ck_assert_uint_eq(o.uid, 1000);
	ck_assert_uint_eq(o.cid, 0);

	b = msg_buf(raw, sizeof(raw));
	msg_begin(&b, MSG_LIVE, 1);
	msg_put_u64(&b, 7);
	msg_put_u16(&b, 1);
	msg_put_u16(&b, 1);
	msg_put_u32(&b, 1000);
	msg_put_guid(&b, &guid_parent);
	msg_put_guid(&b, &guid_loopback);
	old = b.len;
	msg_put_guid(&b, &guid_children);
	for (size_t n = old; n <= b.len + 1; n++)
		ck_assert_int_eq(msg_live_decode(raw, n, &l),
				 n == old || n == b.len ? 0 : -EINVAL);
	ck_assert_int_eq(msg_live_decode(raw, b.len, &l), 0);
	ck_assert(guid_equal(&l.partition, &guid_children));

	b = msg_buf(raw, sizeof(raw));
	msg_begin_reply(&b, MSG_DIAL, 1, 0, 0, 0);
	msg_put_u64(&b, 7);
	old = b.len;
	msg_put_u32(&b, 1);
	msg_put_guid(&b, &guid_children);
	for (size_t n = old; n <= b.len + 1; n++)
		ck_assert_int_eq(msg_dial_reply_decode(raw, n, &d),
				 n == old || n == old + 4 || n == b.len ?
					 0 :
					 -EINVAL);
	ck_assert_int_eq(msg_dial_reply_decode(raw, b.len, &d), 0);
	ck_assert_uint_eq(d.flags, 1);
	ck_assert(guid_equal(&d.vmid, &guid_children));

	/* a CID, and nothing behind it */
	cid = dial_vmid_of_cid(0x80000003u);
	ck_assert_uint_eq(dial_cid(&cid), 0x80000003u);
	cid.Data4[7] = 1;
	ck_assert_uint_eq(dial_cid(&cid), 0);
	ck_assert_uint_eq(dial_cid(&guid_parent), 0);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, services);
	tcase_add_test(t, partitions);
}

int main(void)
{
	return run_suite("message-lengths", fill);
}
