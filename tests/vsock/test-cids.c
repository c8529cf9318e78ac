/* SPDX-License-Identifier: MIT */
/* test-cids.c - which CID is whose, and at which port a service is */
#include <errno.h>
#include <stdlib.h>

#include "../unit/suite.h"
#include "base/guid.h"
#include "transport/vsock/cids.h"
#include "transport/vsock/doors.h"

struct frame {
	uint8_t raw[MSG_MAX];
	struct msg_buf b;
	struct msg_cids m;
};

static struct frame f;

static void begin(uint32_t flags)
{
	f.b = msg_buf(f.raw, sizeof(f.raw));
	msg_begin(&f.b, MSG_CIDS, 1);
	msg_put_u32(&f.b, flags);
}

static void put(uint32_t cid, uint32_t number)
{
	GUID g = guid_from_port(number);

	msg_put_u32(&f.b, cid);
	msg_put_guid(&f.b, &g);
}

static int take(struct cids *c)
{
	ck_assert(!f.b.overflow);
	ck_assert_int_eq(msg_cids_decode(f.raw, f.b.len, &f.m), 0);
	return cids_take(c, &f.m);
}

static uint32_t whose(const struct cids *c, uint32_t cid)
{
	const struct cid_entry *e = cids_find(c, cid);
	uint32_t number = 0;

	if (e)
		ck_assert(guid_is_port(&e->vmid, &number));
	return number;
}

static unsigned int twice_n;
static uint32_t twice_cid;

static void on_twice(void *ctx, uint32_t cid)
{
	ck_assert_ptr_eq(ctx, &twice_n);
	twice_n++;
	twice_cid = cid;
}

START_TEST(in_parts)
{
	struct cids c = { .n = 0 };

	begin(SERVICES_FIRST);
	put(7, 1);
	put(3, 2);
	ck_assert_int_eq(take(&c), 0);
	begin(0);
	put(0xfffffffe, 3);
	ck_assert_int_eq(take(&c), 0);
	begin(SERVICES_LAST);
	put(4, 4);
	ck_assert_int_eq(take(&c), 1);
	cids_settle(&c, NULL, NULL);
	ck_assert_uint_eq(c.n, 4);
	ck_assert_uint_eq(whose(&c, 7), 1);
	ck_assert_uint_eq(whose(&c, 3), 2);
	ck_assert_uint_eq(whose(&c, 0xfffffffe), 3);
	ck_assert_uint_eq(whose(&c, 4), 4);
	ck_assert_uint_eq(whose(&c, 5), 0);
	ck_assert_uint_eq(whose(&c, 0), 0);
	/* a whole new one in one part, which begins anew */
	begin(SERVICES_FIRST | SERVICES_LAST);
	put(5, 9);
	ck_assert_int_eq(take(&c), 1);
	cids_settle(&c, NULL, NULL);
	ck_assert_uint_eq(c.n, 1);
	ck_assert_uint_eq(whose(&c, 5), 9);
	ck_assert_uint_eq(whose(&c, 7), 0);
	/* and an empty one */
	begin(SERVICES_FIRST | SERVICES_LAST);
	ck_assert_int_eq(take(&c), 1);
	cids_settle(&c, NULL, NULL);
	ck_assert_ptr_null(cids_find(&c, 5));
	cids_fini(&c);
}
END_TEST

START_TEST(nobodys)
{
	struct cids c = { .n = 0 };

	begin(SERVICES_FIRST | SERVICES_LAST);
	put(3, 1);
	put(4, 2);
	put(3, 3);
	put(5, 4);
	put(3, 5);
	ck_assert_int_eq(take(&c), 1);
	twice_n = 0;
	cids_settle(&c, on_twice, &twice_n);
	ck_assert_uint_eq(twice_n, 1);
	ck_assert_uint_eq(twice_cid, 3);
	ck_assert_uint_eq(c.n, 2);
	ck_assert_uint_eq(whose(&c, 3), 0);
	ck_assert_uint_eq(whose(&c, 4), 2);
	ck_assert_uint_eq(whose(&c, 5), 4);
	cids_fini(&c);
}
END_TEST

START_TEST(not_a_list)
{
	struct cids c = { .n = 0 };

	begin(0);
	ck_assert_int_eq(take(&c), -EPROTO);
	begin(SERVICES_LAST);
	put(3, 1);
	ck_assert_int_eq(take(&c), -EPROTO);
	/* more than there may be */
	for (uint32_t n = 0; n < CIDS_MAX; n += 2048) {
		begin(n ? 0 : SERVICES_FIRST);
		for (uint32_t i = 0; i < 2048; i++)
			put(n + i + 3, 1);
		ck_assert_int_eq(take(&c), 0);
	}
	begin(SERVICES_LAST);
	put(1, 1);
	ck_assert_int_eq(take(&c), -EPROTO);
	ck_assert_int_eq(take(&c), -EPROTO);
	begin(SERVICES_FIRST | SERVICES_LAST);
	put(3, 1);
	ck_assert_int_eq(take(&c), 1);
	ck_assert_uint_eq(c.n, 1);
	cids_fini(&c);
}
END_TEST

START_TEST(ports)
{
	static const uint32_t good[] = { 0, 1, 1023, 5000, 0x80000000,
					 0xfffffffe };
	GUID g = { 1, 2, 3, { 4 } };
	uint32_t port;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		g = guid_from_port(good[i]);
		ck_assert(door_port(&g, &port));
		ck_assert_uint_eq(port, good[i]);
	}
	g = guid_from_port(0xffffffff); /* any port */
	ck_assert(!door_port(&g, &port));
	g = (GUID){ 5000, 2, 3, { 4 } };
	ck_assert(!door_port(&g, &port));
	ck_assert(!door_port(&guid_parent, &port));
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, in_parts);
	tcase_add_test(t, nobodys);
	tcase_add_test(t, not_a_list);
	tcase_add_test(t, ports);
}

int main(void)
{
	return run_suite("vsock-cids", fill);
}
