/* SPDX-License-Identifier: MIT */
/* test-deliver.c - limits of owners, and of all together: who gives way */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/dgram/relay-internal.h"

#define OWNERS 9
#define SOCKETS 200 /* of one owner */

/* Of relay.c and broker-end.c, for deliver.c and bridge.c. */
void watch(struct sock *s)
{
	(void)s;
}

void broker_end_drops(struct broker_end *e, const struct msg_drops *d)
{
	(void)e;
	(void)d;
}

void broker_end_answer(struct broker_end *e, uint32_t serial, uint32_t reason,
		       const char *text)
{
	(void)e;
	(void)serial;
	(void)reason;
	(void)text;
}

void gone(struct sock *s)
{
	s->dead = true;
}

bool on_datagram(struct sock *s, const struct way *way, const uint8_t *p,
		 size_t len)
{
	(void)s;
	(void)way;
	(void)p;
	(void)len;
	return true;
}

static struct relay r;
static struct sock *theirs[OWNERS][SOCKETS];
static int full[2]; /* takes no more */
static uint64_t tokens;

static struct sock *sock_new(uint32_t uid)
{
	struct msg_socket m = { .uid = uid, .token = ++tokens };
	struct sock *s = calloc(1, sizeof(*s));

	ck_assert_ptr_nonnull(s);
	s->r = &r;
	s->fd = full[0];
	s->token = m.token;
	s->owner = owner_ref(&r, &m);
	ck_assert_ptr_nonnull(s->owner);
	return s;
}

static void sock_free(struct sock *s)
{
	size_t before = s->queue.bytes;

	queue_free(&s->queue);
	account(s, before);
	owner_unref(&r, s->owner);
	free(s);
}

/* Return: was it taken? */
static bool put(const struct sock *from, struct sock *to, struct load *l)
{
	const struct msg_receiver as = { .token = to->token };
	const struct way way = { .flags = 0 };
	size_t before = to->queue.bytes;

	deliver(from, &way, to, &as, l);
	return to->queue.bytes != before;
}

static void setup(void)
{
	memset(&r, 0, sizeof(r));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0,
				    full),
			 0);
	while (send(full[0], &r, 1, 0) == 1)
		;
	for (uint32_t o = 0; o < OWNERS; o++)
		for (int i = 0; i < SOCKETS; i++)
			theirs[o][i] = sock_new(100 + o);
}

static void teardown(void)
{
	for (int o = 0; o < OWNERS; o++)
		for (int i = 0; i < SOCKETS; i++)
			sock_free(theirs[o][i]);
	ck_assert_ptr_null(r.owners);
	ck_assert_uint_eq(r.bytes, 0);
	close(full[0]);
	close(full[1]);
}

/* All owners' queues, evenly, until there is no room for one more. */
static void fill(const struct sock *from, struct load *l, int sockets)
{
	for (int n = 0; n < 1000; n++)
		for (int o = 0; o < OWNERS; o++)
			for (int i = 0; i < sockets; i++) {
				(void)put(from, theirs[o][i], l);
				if (r.drops.dropped[DROP_NO_MEMORY])
					return;
			}
	ck_abort_msg("is there no limit?");
}

static size_t queued(void)
{
	size_t n = 0;

	for (int o = 0; o < OWNERS; o++)
		n += theirs[o][0]->owner->bytes;
	return n;
}

/* The receiver's queue has as many as it takes, all of that sender's. */
START_TEST(no_way_for_nothing)
{
	struct sock *from = sock_new(1), *hostile = sock_new(2);
	struct sock *to = sock_new(3);
	struct load *small = load_new("x", 1), *large;
	static char bytes[DGRAM_MAX];
	size_t before;

	large = load_new(bytes, 65000);
	for (unsigned int i = 0; i < QUEUE_MESSAGES; i++)
		ck_assert(put(hostile, to, small));
	fill(from, large, 8);
	before = queued();
	for (int i = 0; i < 100; i++)
		ck_assert(!put(hostile, to, large));
	ck_assert_uint_eq(queued(), before);
	/* another sender's is taken: somebody gives way to it */
	ck_assert(put(from, to, large));
	ck_assert_uint_lt(queued(), before);
	sock_free(from);
	sock_free(hostile);
	sock_free(to);
	load_unref(small);
	load_unref(large);
}
END_TEST

/* What others have is in queues that are each shorter than what comes. */
START_TEST(many_short_queues)
{
	struct sock *from = sock_new(1), *to = sock_new(2);
	struct load *l, *large;
	static char bytes[DGRAM_MAX];
	size_t n = 0;

	l = load_new(bytes, 40000);
	large = load_new(bytes, 60000);
	fill(from, l, SOCKETS);
	/* until its owner has as much as others */
	while (put(from, to, large))
		ck_assert_uint_lt(++n, 100);
	ck_assert_uint_eq(to->queue.messages, QUEUE_BYTES / queue_cost(large));
	ck_assert_uint_le(r.bytes, 64u << 20);
	sock_free(from);
	sock_free(to);
	load_unref(l);
	load_unref(large);
}
END_TEST

/* Who has most loses no more than it has more than the others. */
START_TEST(owners_even_out)
{
	struct sock *from = sock_new(1), *to[16];
	struct load *l;
	static char bytes[DGRAM_MAX];
	size_t before;

	l = load_new(bytes, 60000);
	fill(from, l, SOCKETS);
	for (int i = 0; i < 16; i++)
		to[i] = sock_new(2);
	for (int i = 0; i < 200; i++)
		(void)put(from, to[i % 16], l);
	ck_assert_uint_ge(to[0]->owner->bytes, (6u << 20) - (1u << 18));
	before = queued();
	for (int i = 0; i < 200; i++)
		(void)put(from, to[i % 16], l);
	ck_assert_uint_eq(queued(), before);
	for (int i = 0; i < 16; i++)
		sock_free(to[i]);
	sock_free(from);
	load_unref(l);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dgram-deliver");
	TCase *t = tcase_create("deliver");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, no_way_for_nothing);
	tcase_add_test(t, many_short_queues);
	tcase_add_test(t, owners_even_out);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
