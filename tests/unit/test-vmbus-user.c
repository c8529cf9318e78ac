/* SPDX-License-Identifier: MIT */
/* test-vmbus-user.c - frames of vmbus-user: there and back, and each wrong
 * length, number of descriptors and padding */
#include "base/bytes.h"
#include "base/guid.h"
#include "proto/vmbus-user.h"
#include "suite.h"

static uint8_t data[VMBU_FRAME_MAX + 64];

static size_t encode(const struct vmbu_request *r)
{
	struct msg_buf b = { .data = data, .size = VMBU_FRAME_MAX };

	memset(data, 0xee, sizeof(data));
	vmbu_request_encode(r, &b);
	ck_assert(!b.overflow);
	return b.len;
}

static size_t encode_reply(const struct vmbu_reply *r)
{
	struct msg_buf b = { .data = data, .size = VMBU_FRAME_MAX };

	memset(data, 0xee, sizeof(data));
	vmbu_reply_encode(r, &b);
	ck_assert(!b.overflow);
	return b.len;
}

/* Lengths as docs/vmbus-user.md has them, and descriptors. */
_Static_assert(VMBU_TYPES == 17, "each type has a form below");

static const struct {
	uint16_t type, len, reply;
	uint16_t fds, reply_fds;
} forms[] = {
	{ VMBU_HELLO, 40, 56, 0, 0 },  { VMBU_MEMORY, 80, 16, 2, 0 },
	{ VMBU_VP, 16, 16, 2, 0 },     { VMBU_SYNIC, 40, 16, 0, 0 },
	{ VMBU_POST, 44, 24, 0, 0 },   { VMBU_SIGNAL, 24, 24, 0, 1 },
	{ VMBU_RESET, 8, 16, 0, 0 },   { VMBU_SAVE, 16, 32, 0, 1 },
	{ VMBU_TAKE, 16, 24, 0, 250 }, { VMBU_LOAD, 24, 16, 1, 0 },
	{ VMBU_GIVE, 16, 16, 250, 0 }, { VMBU_RUN, 8, 16, 0, 0 },
	{ VMBU_LOG, 16, 16, 1, 0 },    { VMBU_JOURNAL, 16, 16, 1, 0 },
	{ VMBU_POST_AHEAD, 44, 16, 0, 0 }, { VMBU_CLOCK, 24, 16, 0, 0 },
};

static struct vmbu_request request(uint16_t type)
{
	struct vmbu_request r = { .type = type, .serial = 0x01020304 };

	switch (type) {
	case VMBU_HELLO:
		r.u.hello.lowest = 1;
		r.u.hello.highest = 3;
		r.u.hello.features = 0x0123456789abcdef;
		r.u.hello.vmid = guid_parent;
		break;
	case VMBU_MEMORY:
		r.u.memory.count = 2;
		r.u.memory.at[0] = (struct vmbu_region) { 0, 0x2000, 0x1000 };
		r.u.memory.at[1] = (struct vmbu_region) { 1ull << 40, 4096, 0 };
		break;
	case VMBU_VP:
		r.u.vp.vp = 3;
		break;
	case VMBU_SYNIC:
		r.u.synic.vp = 2;
		r.u.synic.scontrol = 1;
		r.u.synic.simp = 0x1122334455667001;
		r.u.synic.siefp = 0x2001;
		break;
	case VMBU_POST:
	case VMBU_POST_AHEAD:
		r.u.post.vp = 1;
		r.u.post.connection = 4;
		r.u.post.type = 1;
		r.u.post.size = r.u.post.len = 20;
		memset(r.u.post.payload, 0x5a, 20);
		break;
	case VMBU_SIGNAL:
		r.u.signal.vp = 1;
		r.u.signal.connection = 0x2001;
		r.u.signal.flag = 5;
		break;
	case VMBU_SAVE:
		r.u.save.handover = true;
		break;
	case VMBU_TAKE:
		r.u.take.first = 250;
		break;
	case VMBU_LOAD:
		r.u.load.length = 0x1234567890;
		r.u.load.handover = true;
		r.u.load.fds = 9;
		break;
	case VMBU_GIVE:
		r.u.give.first = 7;
		r.u.give.count = 250;
		break;
	case VMBU_LOG:
		r.u.log.size = 99;
		break;
	case VMBU_JOURNAL:
		r.u.journal.recover = true;
		break;
	case VMBU_CLOCK:
		r.u.clock.reference = 0x1122334455667788;
		r.u.clock.raw = 0x99aabbccddeeff00;
		break;
	default:
		break;
	}
	return r;
}

START_TEST(test_requests)
{
	struct vmbu_request r = request(forms[_i].type), back;
	size_t len = encode(&r);

	ck_assert_uint_eq(len, forms[_i].len);
	ck_assert_int_eq(vmbu_request_decode(data, len, forms[_i].fds, &back),
			 0);
	ck_assert_mem_eq(&r, &back, sizeof(r));
	for (size_t n = 0; n <= len + 40; n++)
		if (n != len)
			ck_assert_int_eq(vmbu_request_decode(
						 data, n, forms[_i].fds, &back),
					 -EINVAL);
	for (unsigned int n = 0; n <= 253; n++)
		if (n != forms[_i].fds)
			ck_assert_int_eq(
				vmbu_request_decode(data, len, n, &back),
				-EINVAL);
	data[2] = 1;
	ck_assert_int_eq(vmbu_request_decode(data, len, forms[_i].fds, &back),
			 -EINVAL);
	data[2] = 0;
	data[1] = 0x80;
	ck_assert_int_eq(vmbu_request_decode(data, len, forms[_i].fds, &back),
			 -EINVAL);
}
END_TEST

/* Words that must be 0, or have a range. */
static const struct {
	uint16_t type, at;
	uint32_t value;
} wrong[] = {
	{ VMBU_HELLO, 8, 4 }, /* lowest above highest */
	{ VMBU_MEMORY, 12, 1 }, { VMBU_MEMORY, 8, 0 },
	{ VMBU_MEMORY, 8, 65 }, { VMBU_MEMORY, 8, 0x08000000 },
	{ VMBU_MEMORY, 40, 1 }, { VMBU_VP, 12, 1 },
	{ VMBU_SYNIC, 12, 1 },	{ VMBU_POST, 20, 19 },
	{ VMBU_POST, 20, 21 },	{ VMBU_SIGNAL, 20, 1 },
	{ VMBU_SAVE, 8, 2 },	{ VMBU_SAVE, 12, 1 },
	{ VMBU_TAKE, 12, 1 },	{ VMBU_LOAD, 16, 2 },
	{ VMBU_GIVE, 12, 249 }, { VMBU_LOG, 8, 0 },
	{ VMBU_JOURNAL, 8, 2 }, { VMBU_JOURNAL, 12, 1 },
};

START_TEST(test_wrong)
{
	struct vmbu_request r = request(wrong[_i].type), back;
	size_t len = encode(&r);
	unsigned int fds = 0;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (forms[i].type == r.type)
			fds = forms[i].fds;
	ck_assert_int_eq(vmbu_request_decode(data, len, fds, &back), 0);
	le32_put(data + wrong[_i].at, wrong[_i].value);
	ck_assert_int_eq(vmbu_request_decode(data, len, fds, &back), -EINVAL);
	/* who answers knows what was asked */
	ck_assert_uint_eq(back.type, r.type);
	ck_assert_uint_eq(back.serial, r.serial);
}
END_TEST

START_TEST(test_post_sizes)
{
	struct vmbu_request r = request(VMBU_POST), back;

	for (uint32_t size = 0; size <= 240; size++) {
		r.u.post.size = r.u.post.len = size;
		memset(r.u.post.payload, 0, sizeof(r.u.post.payload));
		memset(r.u.post.payload, 7, size);
		ck_assert_int_eq(
			vmbu_request_decode(data, encode(&r), 0, &back), 0);
		ck_assert_mem_eq(&r, &back, sizeof(r));
	}
	/* too large: the bus refuses it, whatever part of it follows */
	r.u.post.size = 0xffffffff;
	for (uint32_t len = 0; len <= 240; len += 60) {
		r.u.post.len = len;
		ck_assert_int_eq(
			vmbu_request_decode(data, encode(&r), 0, &back), 0);
		ck_assert_uint_eq(back.u.post.size, 0xffffffff);
	}
	ck_assert_int_eq(vmbu_request_decode(data, 24 + 241, 0, &back),
			 -EINVAL);
}
END_TEST

START_TEST(test_types)
{
	struct vmbu_request back;
	uint32_t serial;
	uint16_t type;
	bool reply;

	memset(data, 0, sizeof(data));
	for (unsigned int i = 0; i < 0x8000; i++) {
		bool known = i >= VMBU_HELLO && i < VMBU_TYPES;

		le16_put(data, (uint16_t)i);
		ck_assert(!vmbu_type_name((uint16_t)i) == !known);
		if (!known)
			ck_assert_int_eq(vmbu_request_decode(data, 8, 0, &back),
					 -EINVAL);
	}
	le16_put(data, 0x8005);
	le32_put(data + 4, 77);
	ck_assert_int_eq(vmbu_header_decode(data, 7, &type, &reply, &serial),
			 -EINVAL);
	ck_assert_int_eq(vmbu_header_decode(data, VMBU_FRAME_MAX + 1, &type,
					    &reply, &serial),
			 -EINVAL);
	ck_assert_int_eq(vmbu_header_decode(data, 8, &type, &reply, &serial),
			 0);
	ck_assert(type == 5 && reply && serial == 77);
}
END_TEST

static struct vmbu_reply reply_of(uint16_t type)
{
	struct vmbu_reply r = { .type = type, .serial = 9 };

	switch (type) {
	case VMBU_HELLO:
		r.u.hello.version = 1;
		r.u.hello.regions = 64;
		r.u.hello.features = 15;
		r.u.hello.vps = 256;
		r.u.hello.vmid = guid_parent;
		break;
	case VMBU_POST:
	case VMBU_SIGNAL:
		r.u.result.status = 19;
		r.u.result.ahead = 3;
		break;
	case VMBU_SAVE:
		r.u.save.length = 1ull << 33;
		r.u.save.fds = 500;
		break;
	case VMBU_TAKE:
		r.u.count = 250;
		break;
	default:
		break;
	}
	return r;
}

START_TEST(test_replies)
{
	struct vmbu_reply r = reply_of(forms[_i].type), back;
	size_t len = encode_reply(&r);

	ck_assert_uint_eq(len, forms[_i].reply);
	ck_assert_int_eq(
		vmbu_reply_decode(data, len, forms[_i].reply_fds, &back), 0);
	ck_assert_mem_eq(&r, &back, sizeof(r));
	for (size_t n = 0; n <= len + 40; n++)
		if (n != len)
			ck_assert_int_eq(vmbu_reply_decode(data, n,
							   forms[_i].reply_fds,
							   &back),
					 -EINVAL);
	ck_assert_int_eq(vmbu_reply_decode(data, len, 251, &back), -EINVAL);
}
END_TEST

START_TEST(test_error_replies)
{
	static const char text[] = "a region is not whole pages";
	struct vmbu_reply r = { .type = forms[_i].type,
				.serial = 9,
				.error = EINVAL,
				.text = text,
				.text_len = sizeof(text) - 1 };
	struct vmbu_reply back;
	size_t len = encode_reply(&r);

	ck_assert_int_eq(vmbu_reply_decode(data, len, 0, &back), 0);
	ck_assert_uint_eq(back.error, EINVAL);
	ck_assert_uint_eq(back.text_len, sizeof(text) - 1);
	ck_assert_mem_eq(back.text, text, sizeof(text) - 1);
	ck_assert_int_eq(vmbu_reply_decode(data, len, 1, &back), -EINVAL);
}
END_TEST

static void fill(TCase *t)
{
	const int n = (int)ARRAY_LEN(forms);

	tcase_add_loop_test(t, test_requests, 0, n);
	tcase_add_loop_test(t, test_wrong, 0, (int)ARRAY_LEN(wrong));
	tcase_add_test(t, test_post_sizes);
	tcase_add_test(t, test_types);
	tcase_add_loop_test(t, test_replies, 0, n);
	tcase_add_loop_test(t, test_error_replies, 0, n);
}

int main(void)
{
	return run_suite("vmbus-user", fill);
}
