/* SPDX-License-Identifier: MIT */
/* measure.c - see measure.h */
#include "measure.h"

#include <sys/resource.h>

#include "lib.h"

int measure_main(const char *name, void (*fill)(TCase *t), const char *json,
		 bool more)
{
	Suite *suite = suite_create(name);
	TCase *t = tcase_create("measure");
	SRunner *runner = srunner_create(suite);
	struct rlimit l;
	int failed;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	if (more)
		bench_reopen(json);
	else
		bench_open(json);
	suite_add_tcase(suite, t);
	fill(t);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	if (failed)
		srunner_print(runner, CK_NORMAL);
	srunner_free(runner);
	return bench_close() && !failed ? 0 : 1;
}
