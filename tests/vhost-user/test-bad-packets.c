/* SPDX-License-Identifier: MIT */
/*
 * test-bad-packets.c - a guest whose packets break the rules
 *
 * On its connection 0, beside an honest one, 1. Afterwards the connection is
 * reset and its neighbour lives.
 */
#include <check.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "rig.h"

static const struct {
	const char *what;
	uint64_t src_cid, dst_cid;
	uint16_t type, op;
	uint32_t len, flags;
	int extra; /* bytes less (< 0) or more behind the header than len says
		    */
	bool fine; /* the connection lives */
	bool answered; /* by a RST that is not the connection's */
	uint32_t fwd;  /* added to fwd_cnt */
} packets[] = {
	{ "another source CID", 4, 2, 1, VSOCK_OP_RW, 10, 0, 0, true, false,
	  0 },
	{ "source CID, upper bits", 3 | 1ull << 32, 2, 1, VSOCK_OP_RST, 0, 0, 0,
	  true, false, 0 },
	{ "a sibling, without a connection", 3, 7, 1, VSOCK_OP_RW, 1, 0, 0,
	  true, true, 0 },
	{ "to itself", 3, 3, 1, VSOCK_OP_REQUEST, 0, 0, 0, true, true, 0 },
	{ "to the hypervisor", 3, 0, 1, VSOCK_OP_REQUEST, 0, 0, 0, true, true,
	  0 },
	{ "to its own kernel", 3, 1, 1, VSOCK_OP_REQUEST, 0, 0, 0, true, true,
	  0 },
	{ "to anybody", 3, UINT32_MAX, 1, VSOCK_OP_REQUEST, 0, 0, 0, true, true,
	  0 },
	{ "a sibling, upper bits", 3, 7 | 1ull << 32, 1, VSOCK_OP_REQUEST, 0, 0,
	  0, true, true, 0 },
	{ "as a sibling", 7, 2, 1, VSOCK_OP_REQUEST, 0, 0, 0, true, false, 0 },
	{ "destination CID, upper bits", 3, 2 | 1ull << 40, 1, VSOCK_OP_RW, 1,
	  0, 0, true, true, 0 },
	{ "type 0", 3, 2, 0, VSOCK_OP_RW, 1, 0, 0, true, true, 0 },
	{ "seqpacket", 3, 2, 2, VSOCK_OP_RW, 1, 1, 0, true, true, 0 },
	{ "seqpacket REQUEST", 3, 2, 2, VSOCK_OP_REQUEST, 0, 0, 0, true, true,
	  0 },
	{ "op 0", 3, 2, 1, VSOCK_OP_INVALID, 0, 0, 0, false, false, 0 },
	{ "op 8", 3, 2, 1, 8, 0, 0, 0, false, false, 0 },
	{ "op 65535", 3, 2, 1, 65535, 0, 0, 0, false, false, 0 },
	{ "RESPONSE again", 3, 2, 1, VSOCK_OP_RESPONSE, 0, 0, 0, false, false,
	  0 },
	{ "chain shorter than len", 3, 2, 1, VSOCK_OP_RW, 1000, 0, -1, false,
	  false, 0 },
	{ "more than 64 KiB", 3, 2, 1, VSOCK_OP_RW, 65537, 0, -1, false, false,
	  0 },
	{ "no payload at all", 3, 2, 1, VSOCK_OP_RW, 1000, 0, -1000, false,
	  false, 0 },
	{ "len of 4 GiB", 3, 2, 1, VSOCK_OP_RW, UINT32_MAX, 0, INT32_MIN, false,
	  false, 0 },
	{ "consumed more than was sent", 3, 2, 1, VSOCK_OP_CREDIT_UPDATE, 0, 0,
	  0, false, false, 1 },
	{ "consumed nearly 2^31 more", 3, 2, 1, VSOCK_OP_CREDIT_UPDATE, 0, 0, 0,
	  false, false, 0x7ffffff0 },
	{ "SHUTDOWN without flags", 3, 2, 1, VSOCK_OP_SHUTDOWN, 0, 0, 0, true,
	  false, 0 },
	{ "SHUTDOWN, unknown flags", 3, 2, 1, VSOCK_OP_SHUTDOWN, 0, 0xfffffffc,
	  0, true, false, 0 },
	{ "CREDIT_REQUEST", 3, 2, 1, VSOCK_OP_CREDIT_REQUEST, 0, 0, 0, true,
	  false, 0 },
	{ "an empty RW", 3, 2, 1, VSOCK_OP_RW, 0, 0, 0, true, false, 0 },
};

START_TEST(test_packet)
{
	struct rig *r = rig_start();
	uint8_t raw[DRV_TX_SLOT] = { 0 };
	struct vsock_header h;
	int two = 2, zero = 0;
	uint64_t unknown;
	size_t len = 44;

	rig_connected(r, 0, 1025, 5000);
	rig_connected(r, 1, 1026, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 1000;
	rig_wait(r, rig_all_arrived, &two, "some bytes");
	unknown = r->rst_unknown;
	h = rig_header(&r->guest[0], packets[_i].op);
	h.src_cid = packets[_i].src_cid;
	h.dst_cid = packets[_i].dst_cid;
	h.type = packets[_i].type;
	h.len = packets[_i].len;
	h.flags = packets[_i].flags;
	h.fwd_cnt += packets[_i].fwd;
	if (packets[_i].extra != INT32_MIN)
		len += (size_t)((int)packets[_i].len + packets[_i].extra);
	vsock_header_encode(&h, raw);
	/* answers to its tuple are not the connection's */
	r->guest[0].used = !packets[_i].answered;
	ck_assert(drv_tx_raw(&r->d, raw, len));
	rig_settle(r);
	r->guest[0].used = true;
	ck_assert_msg(r->rst_unknown == unknown + packets[_i].answered,
		      "%s: %u resets", packets[_i].what,
		      (unsigned int)(r->rst_unknown - unknown));
	if (!packets[_i].fine)
		rig_wait(r, rig_was_reset, &zero, packets[_i].what);
	ck_assert(r->guest[0].reset == !packets[_i].fine);
	if (!packets[_i].fine) {
		r->guest[0].to_send = r->prog[0].received;
		r->prog[0].to_send = r->guest[0].received;
	}
	r->guest[1].to_send = r->prog[1].to_send = 100000;
	rig_wait(r, rig_all_arrived, &two, "the neighbour's bytes");
	rig_end(r);
}
END_TEST

/* @_i: each is taken before the next one comes */
START_TEST(test_beyond_credit)
{
	static const uint8_t payload[65536];
	struct rig *r = rig_start();
	struct vsock_header h;
	int zero = 0;

	rig_connected(r, 0, 1025, 5000);
	r->prog[0].stalled = true;
	h = rig_header(&r->guest[0], VSOCK_OP_RW);
	h.len = sizeof(payload);
	/* the window and what the socket takes: sixteen are too many */
	for (int i = 0; i < 16 && !r->guest[0].reset; i++) {
		r->guest[0].sent += h.len;
		rig_put(r, &h, payload);
		if (_i)
			rig_settle(r);
	}
	rig_wait(r, rig_was_reset, &zero, "RST for data beyond the credit");
	rig_end(r);
}
END_TEST

START_TEST(test_early_data)
{
	struct rig *r = rig_start();
	int zero = 0;

	rig_connect(r, 0, 1025, 5000);
	rig_packet(r, 0, _i ? VSOCK_OP_SHUTDOWN : VSOCK_OP_RW, 1);
	rig_wait(r, rig_was_reset, &zero, "RST before RESPONSE");
	rig_settle(r);
	rig_end(r);
}
END_TEST

/* More connects than there may be, of which nobody takes care. */
START_TEST(test_request_flood)
{
	struct rig *r = rig_start();
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = 2,
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_REQUEST,
				  .buf_alloc = 262144,
				  .dst_port = 5000 };

	for (uint32_t i = 0; i < 2000; i++) {
		h.src_port = 10000 + i;
		rig_put(r, &h, NULL);
	}
	rig_settle(r);
	ck_assert_int_eq(r->b.ndials, 256);
	ck_assert_uint_ge(r->rst_unknown, 2000 - 256);
	/* it forgets its own: there is room again */
	h.op = VSOCK_OP_RST;
	for (uint32_t i = 0; i < 2000; i++) {
		h.src_port = 10000 + i;
		rig_put(r, &h, NULL);
	}
	rig_settle(r);
	while (r->b.ndials)
		fb_dial_refuse(&r->b, 0, HVS_REASON_NO_LISTENER);
	rig_settle(r); /* the rings may be looked at before the broker is */
	rig_connected(r, 0, 1025, 5000);
	rig_end(r);
}
END_TEST

/* Connects that are taken back at once: the broker is not asked without end. */
START_TEST(test_request_storm)
{
	struct rig *r = rig_start();
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = 2,
				  .type = VSOCK_STREAM,
				  .buf_alloc = 262144,
				  .dst_port = 5000 };

	for (uint32_t i = 0; i < 2000; i++) {
		h.src_port = 10000 + i % 7;
		h.op = VSOCK_OP_REQUEST;
		rig_put(r, &h, NULL);
		h.op = VSOCK_OP_RST;
		rig_put(r, &h, NULL);
	}
	rig_settle(r);
	ck_assert_int_eq(r->b.ndials, 256);
	while (r->b.ndials)
		fb_dial_refuse(&r->b, 0, HVS_REASON_NO_LISTENER);
	rig_settle(r);
	rig_connected(r, 0, 1025, 5000);
	rig_end(r);
}
END_TEST

/* Packets of no connection, no receive buffers: bounded, then all answered. */
START_TEST(test_rst_storm)
{
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = 2,
				  .type = VSOCK_STREAM,
				  .op = VSOCK_OP_RW };
	struct rig *r = rig_start();

	for (uint32_t i = 0; i < 3000; i++) {
		h.src_port = i;
		h.op = i % 3 ? VSOCK_OP_RW : VSOCK_OP_RST;
		rig_put(r, &h, NULL);
	}
	rig_settle(r);
	/* a reset is not answered */
	ck_assert_uint_eq(r->rst_unknown, 2000);
	rig_end(r);
}
END_TEST

/* Connected twice with the same ports: the first is forgotten. */
START_TEST(test_request_again)
{
	struct rig *r = rig_start();
	int one = 1, fd;

	rig_connected(r, 0, 1025, 5000);
	fd = r->prog[0].fd;
	rig_connected(r, 0, 1025, 5000);
	close(fd);
	r->guest[0].to_send = r->prog[0].to_send = 10000;
	rig_wait(r, rig_all_arrived, &one, "bytes of the second");
	ck_assert_int_eq(r->b.nclosed, 1);
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-bad-packets");
	TCase *t = tcase_create("bad input");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_packet, 0, (int)ARRAY_LEN(packets));
	tcase_add_loop_test(t, test_beyond_credit, 0, 2);
	tcase_add_loop_test(t, test_early_data, 0, 2);
	tcase_add_test(t, test_request_flood);
	tcase_add_test(t, test_request_storm);
	tcase_add_test(t, test_rst_storm);
	tcase_add_test(t, test_request_again);
	suite_add_tcase(s, t);
	return rig_run(s);
}
