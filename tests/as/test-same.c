/* SPDX-License-Identifier: MIT */
/* test-same.c - which calls are the same one, made again */
#include <check.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "as/call.h"

static const struct call_in call = {
	.notice = { .nr = SYS_connect, .args = { 3, 0x7000, 36, 4, 5, 6 } },
	.cookie = 17,
	.bytes = { 34 },
	.other = true,
	.who = { .uid = 1, .gid = 2, .n = 2, .groups = { 3, 4 } },
};

START_TEST(made_again)
{
	struct call_in b = call;

	b.notice.id = 8;
	b.fd = 9;
	b.who.groups[2] = 10;
	ck_assert(call_same(&call, &b));
}
END_TEST

/* Only what is an argument of the call, and all of it. */
START_TEST(registers)
{
	static const struct { int nr, n; uint64_t ints; } calls[] = {
		{ SYS_socket, 3, 7 }, { SYS_bind, 3, 5 },
		{ SYS_connect, 3, 5 }, { SYS_listen, 2, 3 },
		{ SYS_accept4, 4, 9 }, { SYS_getsockname, 3, 1 },
		{ SYS_getpeername, 3, 1 }, { SYS_getsockopt, 5, 7 },
		{ SYS_setsockopt, 5, 23 },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		for (int k = 0; k < 6; k++) {
			struct call_in a = call, b;
			bool is_int = calls[i].ints >> k & 1;

			a.notice.nr = calls[i].nr;
			b = a;
			b.notice.args[k] ^= 1;
			ck_assert_int_eq(call_same(&a, &b), k >= calls[i].n);
			b = a;
			b.notice.args[k] ^= UINT64_C(1) << 40;
			ck_assert_int_eq(call_same(&a, &b),
					 is_int || k >= calls[i].n);
		}
}
END_TEST

START_TEST(what_it_is_about)
{
	struct call_in b = call;

	b.notice.nr = SYS_bind;
	ck_assert(!call_same(&call, &b));
	b = call;
	b.cookie++;
	ck_assert(!call_same(&call, &b));
	b = call;
	b.bytes[35]++;
	ck_assert(!call_same(&call, &b));
	b = call;
	b.room++;
	ck_assert(!call_same(&call, &b));
}
END_TEST

START_TEST(whose_it_is)
{
	struct call_in a = call, b = call;

	b.other = false;
	ck_assert(!call_same(&call, &b));
	a.other = false;
	b.who.uid++;
	ck_assert(call_same(&a, &b)); /* ours, both */
	b = call;
	b.who.uid++;
	ck_assert(!call_same(&call, &b));
	b = call;
	b.who.gid++;
	ck_assert(!call_same(&call, &b));
	b = call;
	b.who.n--;
	ck_assert(!call_same(&call, &b));
	b = call;
	b.who.groups[1]++;
	ck_assert(!call_same(&call, &b));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("same");
	TCase *t = tcase_create("same");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(t, made_again);
	tcase_add_test(t, registers);
	tcase_add_test(t, what_it_is_about);
	tcase_add_test(t, whose_it_is);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
