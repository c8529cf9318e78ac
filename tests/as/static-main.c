/* SPDX-License-Identifier: MIT */
/*
 * static-main.c - a statically linked program under hvctl as
 *
 *	test-static [SUITE | --exec SERVICE]
 *
 * It includes none of our headers and links none of our code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "static.h"

void sleep_ms(int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000,
			       .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

void in_call(int pid, int tid, int nr)
{
	char path[64], text[256], want[16];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	snprintf(want, sizeof(want), "%d ", nr);
	for (int ms = 0; ms < LIMIT_MS; ms++) {
		FILE *f = fopen(path, "re");

		if (f && fgets(text, sizeof(text), f) &&
		    !strncmp(text, want, strlen(want))) {
			fclose(f);
			return;
		}
		if (f)
			fclose(f);
		sleep_ms(1);
	}
	ck_abort_msg("%s: never %s", path, want);
}

int main(int argc, char **argv)
{
	SRunner *runner;
	int failed;

	if (argc == 3 && !strcmp(argv[1], "--exec"))
		return executed(argv[2]);
	runner = srunner_create(suite_signals());
	srunner_add_suite(runner, suite_hostile());
	srunner_add_suite(runner, suite_many("/proc/self/exe"));
	srunner_run(runner, argc > 1 ? argv[1] : NULL, NULL, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
