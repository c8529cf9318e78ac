/* SPDX-License-Identifier: MIT */
/*
 * plain-main.c - an ordinary program under the preload library
 *
 *	test-plain LIBRARY
 *
 * Executes itself with LD_PRELOAD set, then runs the suites. Expects a broker
 * (tests/preload/broker.py).
 */
#include <stdio.h>
#include <stdlib.h>

#include "plain.h"

int main(int argc, char **argv)
{
	const char *before = getenv("TEST_PRELOAD_FIRST"), *done;
	char list[4096], self[] = "/proc/self/exe";
	SRunner *runner;
	int failed;

	if (argc > 2)
		return inherited(argc, argv);
	if (argc != 2) {
		fprintf(stderr, "usage: test-plain LIBRARY\n");
		return 2;
	}
	done = getenv("TEST_PRELOADED");
	if (!done) {
		/* a sanitizer's runtime wants to be the first */
		snprintf(list, sizeof(list), "%s%s%s", before ? before : "",
			 before ? " " : "", argv[1]);
		setenv("LD_PRELOAD", list, 1);
		setenv("TEST_PRELOADED", "1", 1);
		execv(self, argv);
		perror(self);
		return 1;
	}
	runner = srunner_create(suite_sockets());
	srunner_add_suite(runner, suite_options());
	srunner_add_suite(runner, suite_foreign());
	srunner_add_suite(runner, suite_inherit(argv[1]));
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
