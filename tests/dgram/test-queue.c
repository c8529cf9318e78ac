/* SPDX-License-Identifier: MIT */
/* test-queue.c - the queue of one receiver: bounds, turns, who loses what */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/dgram/queue.h"

static const uint8_t header[DGRAM_HEADER] = { 1, 1 };

static int push(struct queue *q, uint64_t sender, size_t len, uint8_t mark,
		unsigned int *ret_dropped)
{
	uint8_t bytes[DGRAM_MAX];
	struct load *l;
	int r;

	memset(bytes, mark, len);
	l = load_new(bytes, len);
	ck_assert_ptr_nonnull(l);
	r = queue_push(q, QUEUE_BYTES, sender, l, header, ret_dropped);
	load_unref(l);
	return r;
}

static void must_push(struct queue *q, uint64_t sender, size_t len,
		      uint8_t mark)
{
	unsigned int dropped;

	ck_assert_int_eq(push(q, sender, len, mark, &dropped), 0);
	ck_assert_uint_eq(dropped, 0);
}

/* What comes next. */
static uint8_t pop(struct queue *q)
{
	const struct item *i = queue_head(q);
	uint8_t mark;

	ck_assert_ptr_nonnull(i);
	ck_assert_mem_eq(i->header, header, sizeof(header));
	mark = i->load->bytes[0];
	queue_pop(q);
	return mark;
}

START_TEST(one_sender_in_order)
{
	struct queue q = { .turn = NULL };

	ck_assert_ptr_null(queue_head(&q));
	for (uint8_t i = 0; i < 200; i++)
		must_push(&q, 7, 1, i);
	for (uint8_t i = 0; i < 200; i++)
		ck_assert_uint_eq(pop(&q), i);
	ck_assert_ptr_null(queue_head(&q));
	ck_assert_uint_eq(q.bytes, 0);
	ck_assert_uint_eq(q.messages, 0);
}
END_TEST

START_TEST(senders_in_turn)
{
	static const uint8_t want[] = { 10, 20, 30, 11, 21, 12, 13 };
	struct queue q = { .turn = NULL };

	for (uint8_t i = 10; i < 14; i++)
		must_push(&q, 1, 1, i);
	must_push(&q, 2, 1, 20);
	must_push(&q, 2, 1, 21);
	must_push(&q, 3, 1, 30);
	for (size_t i = 0; i < sizeof(want); i++)
		ck_assert_uint_eq(pop(&q), want[i]);
	ck_assert_ptr_null(queue_head(&q));
}
END_TEST

START_TEST(flood_costs_itself)
{
	struct queue q = { .turn = NULL };
	unsigned int dropped;

	while (push(&q, 1, 1, 1, &dropped) == 0)
		ck_assert_uint_eq(dropped, 0);
	ck_assert_uint_eq(q.messages, QUEUE_MESSAGES);
	ck_assert_uint_eq(dropped, 0);
	/* somebody else's gets in, and out second */
	ck_assert_int_eq(push(&q, 2, 1, 2, &dropped), 0);
	ck_assert_uint_eq(dropped, 1);
	ck_assert_int_eq(push(&q, 1, 1, 3, &dropped), -ENOBUFS);
	ck_assert_uint_eq(q.messages, QUEUE_MESSAGES);
	ck_assert_uint_eq(pop(&q), 1);
	ck_assert_uint_eq(pop(&q), 2);
	queue_free(&q);
	ck_assert_uint_eq(q.bytes, 0);
}
END_TEST

START_TEST(bounded_in_bytes)
{
	struct queue q = { .turn = NULL };
	unsigned int dropped, all = 0;

	while (push(&q, 1, DGRAM_MAX, 1, &dropped) == 0)
		;
	ck_assert_uint_le(q.bytes, QUEUE_BYTES);
	/* until both have half */
	for (int i = 0; i < 32; i++) {
		(void)push(&q, 2, DGRAM_MAX, 2, &dropped);
		all += dropped;
		ck_assert_uint_le(q.bytes, QUEUE_BYTES);
	}
	ck_assert_uint_eq(all, 8); /* of 15 */
	for (size_t i = 0; i < 14; i++)
		ck_assert_uint_eq(pop(&q), i % 2 ? 2 : 1);
	queue_free(&q);
}
END_TEST

/* Many small ones are a flood, too: a large one stays, and gets in. */
START_TEST(bounded_in_messages)
{
	struct queue q = { .turn = NULL };
	unsigned int dropped;

	must_push(&q, 2, DGRAM_MAX, 2);
	while (push(&q, 1, 1, 1, &dropped) == 0)
		ck_assert_uint_eq(dropped, 0);
	ck_assert_uint_eq(q.messages, QUEUE_MESSAGES);
	ck_assert_uint_eq(dropped, 0);
	ck_assert_int_eq(push(&q, 3, DGRAM_MAX, 3, &dropped), 0);
	ck_assert_uint_eq(dropped, 1);
	ck_assert_uint_eq(q.messages, QUEUE_MESSAGES);
	ck_assert_uint_eq(pop(&q), 2);
	ck_assert_uint_eq(pop(&q), 1);
	ck_assert_uint_eq(pop(&q), 3);
	queue_free(&q);
	/* who has most bytes loses none by what it cannot have */
	for (int i = 0; i < 15; i++)
		must_push(&q, 2, DGRAM_MAX, 2);
	for (int i = 0; i < 241; i++)
		must_push(&q, 1, 1, 1);
	ck_assert_int_eq(push(&q, 2, DGRAM_MAX, 2, &dropped), -ENOBUFS);
	ck_assert_uint_eq(dropped, 0);
	ck_assert_uint_eq(q.messages, QUEUE_MESSAGES);
	queue_free(&q);
}
END_TEST

/* Who would have more than others in the end gets nothing on the way there. */
START_TEST(nobody_loses_for_nothing)
{
	struct queue q = { .turn = NULL };
	unsigned int dropped;
	size_t bytes;

	/* one has more than a newcomer would have; many have less */
	for (int i = 0; i < 7; i++)
		must_push(&q, 1, 10000, 1);
	for (uint64_t sender = 2; q.bytes + 60000 <= QUEUE_BYTES; sender++)
		for (int i = 0; i < 5; i++)
			must_push(&q, sender, 10000, 1);
	while (q.bytes + 10000 + sizeof(struct item) <= QUEUE_BYTES)
		must_push(&q, 1000, 10000, 1);
	bytes = q.bytes;
	ck_assert_int_eq(push(&q, 77, 60000, 1, &dropped), -ENOBUFS);
	ck_assert_uint_eq(dropped, 0);
	ck_assert_uint_eq(q.bytes, bytes);
	ck_assert_int_eq(push(&q, 77, 10000, 2, &dropped), 0);
	ck_assert_uint_eq(dropped, 1);
	queue_free(&q);
	/* room in messages is of no use without room in bytes */
	for (int i = 0; i < 241; i++)
		must_push(&q, 1, 10, 1);
	for (uint64_t sender = 2; sender < 17; sender++)
		must_push(&q, sender, 65000, 2);
	ck_assert_uint_eq(q.messages, QUEUE_MESSAGES);
	ck_assert_int_eq(push(&q, 77, 65400, 3, &dropped), -ENOBUFS);
	ck_assert_uint_eq(dropped, 0);
	ck_assert_uint_eq(q.messages, QUEUE_MESSAGES);
	queue_free(&q);
}
END_TEST

START_TEST(room)
{
	struct queue q = { .turn = NULL };
	struct load *l = load_new("x", 1);
	unsigned int dropped;
	size_t more, bytes;

	ck_assert_int_eq(queue_room(&q, QUEUE_BYTES, 1, l, &more), 0);
	ck_assert_uint_eq(more, queue_cost(l));
	ck_assert_int_eq(queue_room(&q, 1, 1, l, &more), -ENOBUFS);
	for (unsigned int i = 0; i < QUEUE_MESSAGES; i++)
		must_push(&q, 1, 2, 1);
	ck_assert_int_eq(queue_room(&q, QUEUE_BYTES, 1, l, &more), -ENOBUFS);
	bytes = q.bytes;
	ck_assert_int_eq(queue_room(&q, QUEUE_BYTES, 2, l, &more), 0);
	ck_assert_uint_eq(more, 0); /* a longer one goes for it */
	ck_assert_uint_eq(q.bytes, bytes);
	ck_assert_int_eq(queue_push(&q, QUEUE_BYTES, 2, l, header, &dropped),
			 0);
	ck_assert_uint_eq(q.bytes, bytes - 1);
	queue_free(&q);
	load_unref(l);
}
END_TEST

/* One that may have less, because others have much. */
START_TEST(lower_limit)
{
	struct queue q = { .turn = NULL };
	struct load *l = load_new(header, sizeof(header));
	size_t limit = 4 * queue_cost(l);
	unsigned int dropped;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(queue_push(&q, limit, 1, l, header, &dropped),
				 0);
	ck_assert_int_eq(queue_push(&q, limit, 1, l, header, &dropped),
			 -ENOBUFS);
	ck_assert_int_eq(queue_push(&q, limit, 2, l, header, &dropped), 0);
	ck_assert_uint_eq(dropped, 1);
	ck_assert_uint_eq(q.bytes, limit);
	ck_assert(queue_drop(&q));
	ck_assert(queue_drop(&q));
	ck_assert(queue_drop(&q));
	ck_assert(!queue_drop(&q));
	ck_assert(!queue_drop(&q));
	ck_assert_int_eq(queue_push(&q, 1, 1, l, header, &dropped), -ENOBUFS);
	load_unref(l);
}
END_TEST

START_TEST(shared_by_queues)
{
	struct queue a = { .turn = NULL }, b = { .turn = NULL };
	struct load *l = load_new("x", 1);
	unsigned int dropped;

	ck_assert_int_eq(queue_push(&a, QUEUE_BYTES, 1, l, header, &dropped),
			 0);
	ck_assert_int_eq(queue_push(&b, QUEUE_BYTES, 1, l, header, &dropped),
			 0);
	ck_assert_uint_eq(l->refs, 3);
	queue_free(&a);
	load_unref(l);
	ck_assert_uint_eq(pop(&b), 'x');
}
END_TEST

/* Any order of pushes and pops keeps the sums right. */
START_TEST(at_random)
{
	struct queue q = { .turn = NULL };
	unsigned int dropped;
	size_t in = 0, out = 0;

	srand((unsigned int)_i);
	for (int i = 0; i < 20000; i++) {
		if (rand() % 3) {
			if (push(&q, (uint64_t)(rand() % 5),
				 (size_t)(rand() % 3 ? rand() % 100 :
						       rand() % DGRAM_MAX),
				 1, &dropped) == 0)
				in++;
			out += dropped;
		} else if (queue_head(&q)) {
			queue_pop(&q);
			out++;
		}
		ck_assert_uint_le(q.bytes, QUEUE_BYTES);
		ck_assert_uint_le(q.messages, QUEUE_MESSAGES);
		ck_assert_uint_eq(q.messages, in - out);
	}
	queue_free(&q);
	ck_assert_uint_eq(q.bytes, 0);
	ck_assert_uint_eq(q.messages, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dgram-queue");
	TCase *t = tcase_create("queue");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, one_sender_in_order);
	tcase_add_test(t, senders_in_turn);
	tcase_add_test(t, flood_costs_itself);
	tcase_add_test(t, bounded_in_bytes);
	tcase_add_test(t, bounded_in_messages);
	tcase_add_test(t, nobody_loses_for_nothing);
	tcase_add_test(t, room);
	tcase_add_test(t, lower_limit);
	tcase_add_test(t, shared_by_queues);
	tcase_add_loop_test(t, at_random, 0, 4);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
