/* SPDX-License-Identifier: MIT */
/*
 * test-message-queue.c - messages that wait: in order, with their bounds, and
 * at a price that follows their bytes
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "rig.h"
#include "transport/message-queue.h"

#define WINDOW 262144u

static const uint32_t lens[] = {
	1,   2,	  127,	 128,	129,	16383, 16384,
	100, 555, 40000, 65536, 200000, 1,     1,
};

static void add(struct message_queue *q, uint32_t number)
{
	static uint8_t buf[200000];
	uint32_t len = lens[number % ARRAY_LEN(lens)], cut = len / 3;
	const struct iovec iov[] = { { buf, cut },
				     { buf + cut, 0 },
				     { buf + cut, len - cut } };

	for (uint32_t i = 0; i < len; i++)
		buf[i] = rig_byte(number, i);
	must(message_queue_add(q, iov, 3) == 0);
}

static void take(struct message_queue *q, uint32_t number)
{
	struct iovec iov;

	must(message_queue_first(q, &iov));
	must(iov.iov_len == lens[number % ARRAY_LEN(lens)]);
	for (uint32_t i = 0; i < iov.iov_len; i++)
		must(((uint8_t *)iov.iov_base)[i] == rig_byte(number, i));
	message_queue_pop(q);
}

START_TEST(test_order)
{
	struct message_queue q = { 0 };
	uint32_t in = 0, out = 0;
	struct iovec iov;
	size_t bytes = 0;

	for (uint32_t n = 0; n < 300; n++) {
		for (uint32_t i = 0; i < n % 5; i++, in++) {
			bytes += lens[in % ARRAY_LEN(lens)];
			add(&q, in);
		}
		for (uint32_t i = 0; i < (n * 7) % 6 && out < in; i++, out++) {
			bytes -= lens[out % ARRAY_LEN(lens)];
			take(&q, out);
		}
		ck_assert_uint_eq(message_queue_bytes(&q), bytes);
	}
	for (uint32_t i = 0; i < 20; i++, in++)
		add(&q, in);
	{
		struct message_place at = { 0 };

		for (uint32_t i = out; i < in; i++) {
			must(message_queue_next(&q, &at, &iov));
			must(iov.iov_len == lens[i % ARRAY_LEN(lens)]);
			must(*(uint8_t *)iov.iov_base == rig_byte(i, 0));
		}
		ck_assert(!message_queue_next(&q, &at, &iov));
	}
	while (out < in)
		take(&q, out++);
	ck_assert(!message_queue_first(&q, &iov));
	/* nothing is kept */
	ck_assert_ptr_null(q.data.p);
	ck_assert_ptr_null(q.lengths.p);
	add(&q, 0);
	message_queue_drop(&q);
	ck_assert(!message_queue_first(&q, &iov));
}
END_TEST

/* A window of them, taken and added all the time. */
START_TEST(test_price)
{
	struct message_queue q = { 0 };
	uint8_t byte = 1;
	const struct iovec one = { &byte, 1 };
	size_t most = 0, size;

	for (uint32_t i = 0; i < WINDOW; i++)
		must(message_queue_add(&q, &one, 1) == 0);
	for (uint32_t n = 0; n < 40; n++) {
		for (uint32_t i = 0; i < 13000 + n * 1000; i++)
			message_queue_pop(&q);
		for (uint32_t i = 0; i < 13000 + n * 1000; i++)
			must(message_queue_add(&q, &one, 1) == 0);
		size = q.data.size + q.lengths.size;
		most = size > most ? size : most;
	}
	/* a byte and its length, and a quarter that was read and not moved */
	ck_assert_uint_le(most, WINDOW * 5 / 2 + 16384);
	message_queue_drop(&q);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-message-queue");
	TCase *t = tcase_create("queue");

	tcase_add_test(t, test_order);
	tcase_add_test(t, test_price);
	suite_add_tcase(s, t);
	return rig_run(s);
}
