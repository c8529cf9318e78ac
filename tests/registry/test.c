/* SPDX-License-Identifier: MIT */
/* test.c - see test.h */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guid.h"

static void make(const char *base, const char *a, const char *b)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s%s%s", base, a, b ? "/" : "",
		 b ? b : "");
	ck_assert_int_eq(mkdir(path, 0755), 0);
}

void place_init(struct place *p, bool with_dirs)
{
	const char *tmp = getenv("TMPDIR");

	memset(p, 0, sizeof(*p));
	snprintf(p->base, sizeof(p->base), "%s/hvsocket-registry-XXXXXX",
		 tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(p->base));
	snprintf(p->low, sizeof(p->low), "%s/low", p->base);
	snprintf(p->high, sizeof(p->high), "%s/high", p->base);
	snprintf(p->run, sizeof(p->run), "%s/run", p->base);
	make(p->base, "run", NULL);
	if (!with_dirs)
		return;
	make(p->base, "low", NULL);
	make(p->base, "high", NULL);
	make(p->low, "services.d", NULL);
	make(p->low, "partitions.d", NULL);
	make(p->high, "services.d", NULL);
	make(p->high, "partitions.d", NULL);
}

void place_open(struct place *p)
{
	const struct registry_dir dirs[] = {
		{ p->low, ORIGIN_PACKAGE },
		{ p->high, ORIGIN_ADMINISTRATOR },
	};

	registry_free(p->r);
	p->r = NULL;
	ck_assert_int_eq(registry_new(dirs, 2, p->run, &p->r), 0);
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void place_fini(struct place *p)
{
	p->r = registry_free(p->r);
	nftw(p->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void put_plain(const struct place *p, const char *file, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", p->base, file);
	f = fopen(path, "w");
	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

void put(const struct place *p, const char *file, const char *text)
{
	char from[PATH_MAX], to[PATH_MAX];

	put_plain(p, "temporary", text);
	snprintf(from, sizeof(from), "%s/temporary", p->base);
	snprintf(to, sizeof(to), "%s/%s", p->base, file);
	ck_assert_msg(rename(from, to) == 0, "%s: %s", to, strerror(errno));
}

void drop(const struct place *p, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", p->base, file);
	ck_assert_msg(unlink(path) == 0, "%s: %s", path, strerror(errno));
}

GUID guid(const char *text)
{
	GUID g;

	ck_assert_int_eq(guid_parse(text, &g), 0);
	return g;
}

const struct service *service(const struct place *p, const char *name)
{
	return registry_service_by_name(p->r, name);
}

const struct partition *partition(const struct place *p, const char *name)
{
	return registry_partition_by_name(p->r, name);
}

void dump_problems(const struct place *p)
{
	const struct registry_problem *v;
	size_t n = registry_problems(p->r, &v);

	for (size_t i = 0; i < n; i++)
		printf("# %s:%u: %s\n", v[i].file, v[i].line, v[i].reason);
}

void has_problem(const struct place *p, const char *text)
{
	const struct registry_problem *v;
	size_t n = registry_problems(p->r, &v);
	char whole[PATH_MAX + 1024];

	for (size_t i = 0; i < n; i++) {
		snprintf(whole, sizeof(whole), "%s:%u: %s", v[i].file,
			 v[i].line, v[i].reason);
		if (strlen(whole) >= strlen(text) &&
		    strcmp(whole + strlen(whole) - strlen(text), text) == 0)
			return;
	}
	dump_problems(p);
	ck_abort_msg("no problem \"%s\" among %zu", text, n);
}

void no_problems(const struct place *p)
{
	const struct registry_problem *v;
	size_t n = registry_problems(p->r, &v);

	if (n)
		dump_problems(p);
	ck_assert_uint_eq(n, 0);
}

size_t files_in(const char *dir, const char *sub)
{
	char path[PATH_MAX];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 &&
		     strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

int run_suite(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
