/* SPDX-License-Identifier: MIT */
/* test.h - what the registry's tests share */
#ifndef TESTS_REGISTRY_TEST_H
#define TESTS_REGISTRY_TEST_H

#include <check.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "registry/registry.h"

#define GUID_A "11111111-1111-4111-8111-111111111111"
#define GUID_B "22222222-2222-4222-8222-222222222222"
#define GUID_C "33333333-3333-4333-8333-333333333333"

/* A place for one test: base/{low,high}/{services.d,partitions.d}, volatile */
struct place {
	char base[PATH_MAX / 4];
	char low[PATH_MAX / 2], high[PATH_MAX / 2], run[PATH_MAX / 2];
	struct registry *r;
};

void place_init(struct place *p, bool with_dirs);
void place_open(struct place *p); /* registry_new() */
void place_fini(struct place *p);

/* write BASE/FILE (made in one piece by rename, unless @plain) */
void put(const struct place *p, const char *file, const char *text);
void put_plain(const struct place *p, const char *file, const char *text);
void drop(const struct place *p, const char *file);

GUID guid(const char *text);
const struct service *service(const struct place *p, const char *name);
const struct partition *partition(const struct place *p, const char *name);

/* There is a problem whose "file:line: reason" ends in @text. */
void has_problem(const struct place *p, const char *text);
void no_problems(const struct place *p);
void dump_problems(const struct place *p);

/* how many files (and directories) are in DIR/SUB */
size_t files_in(const char *dir, const char *sub);

/* one suite as a program: TAP by Check's environment */
int run_suite(Suite *s);

#endif /* TESTS_REGISTRY_TEST_H */
