/* SPDX-License-Identifier: MIT */
/*
 * test-winsock.c - winsock.h against a broker (tests/preload/broker.py)
 */
#include "winsock-test.h"

static void startup(void)
{
	WSADATA data;

	ck_assert_int_eq(WSAStartup(MAKEWORD(2, 2), &data), 0);
	ck_assert_uint_eq(data.wVersion, MAKEWORD(2, 2));
}

static void cleanup(void)
{
	ck_assert_int_eq(WSACleanup(), 0);
}

int main(void)
{
	TCase *cases[] = { winsock_rows(), winsock_rest() };
	Suite *s = suite_create("winsock");
	SRunner *runner;
	int failed, i;

	for (i = 0; i < 2; i++) {
		tcase_add_checked_fixture(cases[i], startup, cleanup);
		tcase_set_timeout(cases[i], 60);
		suite_add_tcase(s, cases[i]);
	}
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
