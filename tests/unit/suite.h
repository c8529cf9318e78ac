/* SPDX-License-Identifier: MIT */
/* suite.h - one suite, one program */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static inline int run_suite(const char *name, void (*fill)(TCase *t))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	fill(t);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}

/* @len bytes of @p in memory that ends exactly behind them */
static inline void *exact(const void *p, size_t len)
{
	void *copy = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(copy);
	if (len)
		memcpy(copy, p, len);
	return copy;
}

#endif /* TESTS_SUITE_H */
