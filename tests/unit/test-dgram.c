/* SPDX-License-Identifier: MIT */
/* test-dgram.c - frames for datagrams: there and back, and nothing else */
#include "suite.h"

#include <stdbool.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "proto/dgram.h"

static const SOCKADDR_HV address = {
	.Family = AF_HYPERV,
	.VmId = { 1, 2, 3, { 4, 5 } },
	.ServiceId = { 6, 7, 8, { 9, 10 } },
};

static bool same_address(const SOCKADDR_HV *a)
{
	return a->Family == AF_HYPERV && !a->Reserved &&
	       guid_equal(&a->VmId, &address.VmId) &&
	       guid_equal(&a->ServiceId, &address.ServiceId);
}

static int decode(const uint8_t *p, size_t len, struct dgram *ret)
{
	uint8_t *copy = exact(p, len < DGRAM_HEADER ? len : DGRAM_HEADER);
	int r = dgram_decode(copy, len, ret);

	free(copy);
	return r;
}

START_TEST(data)
{
	struct dgram d = { .flags = DGRAM_BROADCAST, .addr = address }, got;
	uint8_t h[DGRAM_HEADER];

	dgram_encode(&d, h);
	for (size_t len = 0; len < DGRAM_HEADER; len++)
		ck_assert_int_eq(decode(h, len, &got), -EINVAL);
	ck_assert_int_eq(decode(h, DGRAM_HEADER + DGRAM_MAX + 1, &got),
			 -EINVAL);
	ck_assert_int_eq(decode(h, DGRAM_HEADER + DGRAM_MAX, &got), 0);
	ck_assert_int_eq(decode(h, DGRAM_HEADER, &got), 0);
	ck_assert_uint_eq(got.flags, DGRAM_BROADCAST);
	ck_assert(same_address(&got.addr));
	/* version, kind, flags, family, reserved */
	for (size_t i = 0; i < 8; i++) {
		h[i] ^= 0x40;
		ck_assert_int_eq(decode(h, DGRAM_HEADER, &got), -EINVAL);
		h[i] ^= 0x40;
	}
}
END_TEST

START_TEST(socket_and_known)
{
	static const uint8_t groups[12] = { 1, 0, 0, 0, 2 };
	static uint8_t raw[SOCKET_MAX + 8];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct msg_socket m = {
		.token = 0x1122334455667788, .partition = { 1, 1, 1, { 1 } },
		.vmid = address.VmId, .service = address.ServiceId,
		.uid = 1000, .gid = 100, .pid = 42,
		.flags = SOCKET_ANSWERS_ONLY, .groups = groups, .ngroups = 3,
	}, got;

	msg_begin(&b, MSG_SOCKET, 1);
	msg_put_socket(&b, &m);
	ck_assert_uint_eq(b.len, SOCKET_SIZE + 12);
	for (size_t len = 0; len < b.len; len++) {
		int r = msg_socket_decode(raw, len, &got);

		ck_assert_int_eq(r == 0, len >= SOCKET_SIZE &&
						 len % 4 == 0);
	}
	ck_assert_int_eq(msg_socket_decode(raw, b.len, &got), 0);
	ck_assert_uint_eq(got.token, m.token);
	ck_assert(guid_equal(&got.partition, &m.partition));
	ck_assert(guid_equal(&got.vmid, &m.vmid));
	ck_assert(guid_equal(&got.service, &m.service));
	ck_assert_uint_eq(got.uid, 1000);
	ck_assert_uint_eq(got.gid, 100);
	ck_assert_uint_eq(got.pid, 42);
	ck_assert_uint_eq(got.flags, SOCKET_ANSWERS_ONLY);
	ck_assert_uint_eq(got.ngroups, 3);
	ck_assert_mem_eq(got.groups, groups, sizeof(groups));
	ck_assert_int_eq(msg_socket_decode(raw, SOCKET_SIZE +
					   4 * SOCKET_GROUPS_MAX, &got), 0);
	ck_assert_int_eq(msg_socket_decode(raw, SOCKET_SIZE +
					   4 * SOCKET_GROUPS_MAX + 4, &got),
			 -EINVAL);
	ck_assert_uint_eq(got.name, m.token);

	m.flags = SOCKET_NAMED;
	m.name = 99;
	msg_begin(&b, MSG_SOCKET, 1);
	msg_put_socket(&b, &m);
	ck_assert_uint_eq(b.len, SOCKET_SIZE + 8 + 12);
	for (size_t len = SOCKET_SIZE; len < SOCKET_SIZE + 8; len++)
		ck_assert_int_eq(msg_socket_decode(raw, len, &got), -EINVAL);
	ck_assert_int_eq(msg_socket_decode(raw, b.len, &got), 0);
	ck_assert_uint_eq(got.token, m.token);
	ck_assert_uint_eq(got.name, 99);
	ck_assert_uint_eq(got.ngroups, 3);
	ck_assert_mem_eq(got.groups, groups, sizeof(groups));
	ck_assert_int_eq(msg_socket_decode(raw, SOCKET_MAX, &got), 0);
	ck_assert_int_eq(msg_socket_decode(raw, SOCKET_MAX + 4, &got),
			 -EINVAL);
}
END_TEST

START_TEST(reach_and_route)
{
	uint8_t raw[64];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct msg_reach got;

	msg_begin(&b, MSG_REACH, 1);
	msg_put_address(&b, &address);
	msg_put_u64(&b, 77);
	ck_assert_int_eq(msg_reach_decode(raw, b.len, &got), 0);
	ck_assert_uint_eq(got.token, 77);
	ck_assert(same_address(&got.dest));
	ck_assert_int_eq(msg_reach_decode(raw, b.len - 1, &got), -EINVAL);
	ck_assert_int_eq(msg_reach_decode(raw, b.len + 1, &got), -EINVAL);

	msg_begin(&b, MSG_ROUTE, 1);
	msg_put_u64(&b, 78);
	msg_put_address(&b, &address);
	ck_assert_int_eq(msg_route_decode(raw, b.len, &got), 0);
	ck_assert_uint_eq(got.token, 78);
	ck_assert(same_address(&got.dest));
	ck_assert_int_eq(msg_route_decode(raw, b.len - 1, &got), -EINVAL);
	ck_assert_int_eq(msg_route_decode(raw, b.len + 1, &got), -EINVAL);
}
END_TEST

START_TEST(receivers)
{
	static struct msg_receiver to[ROUTE_MAX];
	static uint8_t raw[MSG_MAX];
	struct msg_buf b = msg_buf(raw, sizeof(raw));

	msg_begin_reply(&b, MSG_ROUTE, 1, 0, 0, 0);
	ck_assert_int_eq(msg_route_reply_decode(raw, b.len, to), 0);
	ck_assert_int_eq(msg_route_reply_decode(raw, b.len - 1, to), -EINVAL);
	for (uint32_t i = 0; i <= ROUTE_MAX; i++) {
		msg_put_u64(&b, i);
		msg_put_guid(&b, &address.VmId);
		ck_assert_int_eq(msg_route_reply_decode(raw, b.len, to),
				 i < ROUTE_MAX ? (int)i + 1 : -EINVAL);
		ck_assert_int_eq(msg_route_reply_decode(raw, b.len - 1, to),
				 -EINVAL);
	}
	ck_assert(!b.overflow);
	ck_assert_uint_eq(to[ROUTE_MAX - 1].token, ROUTE_MAX - 1);
	ck_assert(guid_equal(&to[5].peer, &address.VmId));
}
END_TEST

START_TEST(drops)
{
	uint8_t raw[256];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct msg_drops d = { .sent = 3, .delivered = 2 }, got;

	d.dropped[DROP_COUNT - 1] = 1;
	d.dropped[HVS_REASON_NO_LISTENER] = 5;
	msg_begin(&b, MSG_DROPS, 1);
	msg_put_drops(&b, &d);
	ck_assert_int_eq(msg_drops_decode(raw, b.len, &got), 0);
	ck_assert_mem_eq(&d, &got, sizeof(d));
	ck_assert_int_eq(msg_drops_decode(raw, b.len - 1, &got), -EINVAL);
	ck_assert_int_eq(msg_drops_decode(raw, b.len + 1, &got), -EINVAL);
	ck_assert_str_eq(drop_name(DROP_QUEUE_FULL), "queue full");
	ck_assert_str_eq(drop_name(HVS_REASON_NO_LISTENER), "no listener");
	/* the reasons have not grown into what follows them */
	ck_assert_str_eq(reason_name(DROP_QUEUE_FULL), "unknown");
	ck_assert_str_ne(reason_name(DROP_QUEUE_FULL - 1), "unknown");
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, data);
	tcase_add_test(t, socket_and_known);
	tcase_add_test(t, reach_and_route);
	tcase_add_test(t, receivers);
	tcase_add_test(t, drops);
}

int main(void)
{
	return run_suite("dgram", fill);
}
