/* SPDX-License-Identifier: MIT */
/* test-live.c - changes while the registry watches, and ten thousand files */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "registry/store.h"

#define SERVICE_A "[Service]\nServiceId=" GUID_A "\n"
#define SERVICE_B "[Service]\nServiceId=" GUID_B "\n"
#define PART_A "[Partition]\nVmId=" GUID_A "\n"

static struct place p;

static void setup(void)
{
	place_init(&p, true);
}

static void teardown(void)
{
	place_fini(&p);
}

static void link_to(const char *target, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", p.base, file);
	ck_assert_int_eq(symlink(target, path), 0);
}

START_TEST(live)
{
	uint64_t g;

	place_open(&p);
	g = registry_generation(p.r);
	ck_assert(!registry_refresh(p.r));
	ck_assert_uint_eq(registry_generation(p.r), g);

	put(&p, "low/services.d/one.conf", SERVICE_A); /* rename */
	ck_assert(registry_refresh(p.r));
	ck_assert_uint_gt(registry_generation(p.r), g);
	ck_assert_ptr_nonnull(service(&p, "one"));
	put_plain(&p, "low/services.d/two.conf", SERVICE_B); /* in place */
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_nonnull(service(&p, "two"));
	put_plain(&p, "low/services.d/two.conf", SERVICE_B "Policy=disabled\n");
	ck_assert(registry_refresh(p.r));
	ck_assert_int_eq(service(&p, "two")->rules.policy, POLICY_DISABLED);
	put_plain(&p, "high/services.d/two.conf", ""); /* touch */
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_null(service(&p, "two"));
	drop(&p, "low/services.d/one.conf");
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_null(service(&p, "one"));
	ck_assert_uint_eq(registry_service_count(p.r), 0);
	no_problems(&p);
}
END_TEST

START_TEST(live_half_written)
{
	char path[PATH_MAX];
	FILE *f;

	/* As an editor writes: made empty, filled, closed. Until then it is
	 * no mask. */
	put(&p, "low/services.d/one.conf", SERVICE_A);
	place_open(&p);
	snprintf(path, sizeof(path), "%s/services.d/one.conf", p.high);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert(!registry_refresh(p.r));
	ck_assert_int_eq(service(&p, "one")->origin, ORIGIN_PACKAGE);
	fputs(SERVICE_A "Policy=disabled\n", f);
	fclose(f);
	ck_assert(registry_refresh(p.r));
	ck_assert_int_eq(service(&p, "one")->origin, ORIGIN_ADMINISTRATOR);

	/* vim: the old one is renamed away, a new one made, the old removed */
	snprintf(path, sizeof(path), "%s/services.d", p.high);
	ck_assert_int_eq(chdir(path), 0);
	ck_assert_int_eq(rename("one.conf", "one.conf~"), 0);
	put_plain(&p, "high/services.d/one.conf",
		  SERVICE_A "MaxConnections=9\n");
	ck_assert_int_eq(unlink("one.conf~"), 0);
	ck_assert(registry_refresh(p.r));
	ck_assert_uint_eq(service(&p, "one")->max_connections, 9);
	/* and a hard link */
	ck_assert_int_eq(link("one.conf", "../../hard"), 0);
	ck_assert_int_eq(unlink("one.conf"), 0);
	ck_assert(registry_refresh(p.r));
	ck_assert_int_eq(service(&p, "one")->origin, ORIGIN_PACKAGE);
	ck_assert_int_eq(link("../../hard", "one.conf"), 0);
	ck_assert(registry_refresh(p.r));
	ck_assert_int_eq(service(&p, "one")->origin, ORIGIN_ADMINISTRATOR);
}
END_TEST

static void in(const char *what, int (*fn)(const char *))
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", p.base, what);
	ck_assert_msg(fn(path) == 0, "%s", path);
}

static int make_dir(const char *path)
{
	return mkdir(path, 0755);
}

START_TEST(live_directories)
{
	char from[PATH_MAX], to[PATH_MAX];

	in("low/services.d", rmdir);
	in("low/partitions.d", rmdir);
	in("high/services.d", rmdir);
	in("high/partitions.d", rmdir);
	in("low", rmdir);
	in("high", rmdir);
	place_open(&p);
	no_problems(&p);
	in("high", make_dir);
	registry_refresh(p.r);
	in("high/services.d", make_dir);
	registry_refresh(p.r);
	put(&p, "high/services.d/one.conf", SERVICE_A);
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_nonnull(service(&p, "one"));

	/* Three levels at once, between two looks. */
	in("low", make_dir);
	in("low/partitions.d", make_dir);
	put(&p, "low/partitions.d/x.conf", PART_A);
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_nonnull(partition(&p, "x"));

	/* Gone and come again, by rename, whole. */
	snprintf(from, sizeof(from), "%s/high", p.base);
	snprintf(to, sizeof(to), "%s/away", p.base);
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_null(service(&p, "one"));
	put(&p, "away/services.d/two.conf", SERVICE_B);
	ck_assert_int_eq(rename(to, from), 0);
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_nonnull(service(&p, "one"));
	ck_assert_ptr_nonnull(service(&p, "two"));
	/* And it is watched where it is now. */
	drop(&p, "high/services.d/one.conf");
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_null(service(&p, "one"));
	drop(&p, "high/services.d/two.conf");
	in("high/services.d", rmdir);
	ck_assert(registry_refresh(p.r));
	ck_assert_uint_eq(registry_service_count(p.r), 0);
	in("high/services.d", make_dir);
	put(&p, "high/services.d/one.conf", SERVICE_A);
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_nonnull(service(&p, "one"));
	no_problems(&p);
}
END_TEST

START_TEST(not_a_directory)
{
	in("low/services.d", rmdir);
	put(&p, "low/services.d", "x");
	put(&p, "high/services.d/one.conf", SERVICE_A);
	place_open(&p);
	has_problem(&p, "low/services.d:0: not a directory");
	ck_assert_ptr_nonnull(service(&p, "one"));
	drop(&p, "low/services.d");
	in("low/services.d", make_dir);
	put(&p, "low/services.d/two.conf", SERVICE_B);
	ck_assert(registry_refresh(p.r));
	no_problems(&p);
	ck_assert_ptr_nonnull(service(&p, "two"));
}
END_TEST

/* More events than the kernel queues: everything is looked at again. */
START_TEST(overflow)
{
	char a[PATH_MAX], b[PATH_MAX];
	unsigned int max = 16384;
	FILE *f;

	f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	if (f) {
		ck_assert_int_eq(fscanf(f, "%u", &max), 1);
		fclose(f);
	}
	place_open(&p);
	put(&p, "low/services.d/one.conf", SERVICE_A);
	snprintf(a, sizeof(a), "%s/services.d/two.tmp", p.low);
	snprintf(b, sizeof(b), "%s/services.d/three.tmp", p.low);
	put(&p, "low/services.d/two.tmp", SERVICE_B);
	for (unsigned int i = 0; i < max / 4 + 64; i++) {
		ck_assert_int_eq(rename(a, b), 0);
		ck_assert_int_eq(rename(b, a), 0);
	}
	/* lost among the rest */
	put(&p, "low/services.d/last.conf", SERVICE_B);
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_nonnull(service(&p, "one"));
	ck_assert_ptr_nonnull(service(&p, "last"));
	put(&p, "low/services.d/after.conf", "[Service]\nPort=1\n");
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_nonnull(service(&p, "after"));
}
END_TEST

START_TEST(leftovers)
{
	struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	char path[PATH_MAX];

	put(&p, "low/services.d/.hvsocket-new-1-2", "x");
	put(&p, "low/services.d/.hvsocket-new-1-3", "x");
	put(&p, "low/services.d/.other", "x");
	snprintf(path, sizeof(path), "%s/services.d/.hvsocket-new-1-2", p.low);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
	place_open(&p);
	no_problems(&p);
	ck_assert_int_lt(access(path, F_OK), 0);
	/* perhaps still being written */
	snprintf(path, sizeof(path), "%s/services.d/.hvsocket-new-1-3", p.low);
	ck_assert_int_eq(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/services.d/.other", p.low);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(reload)
{
	uint64_t g;

	put(&p, "target", SERVICE_A);
	link_to("../../target", "low/services.d/one.conf");
	place_open(&p);
	g = registry_generation(p.r);
	/* Behind a link nothing is watched; a reload sees it. */
	put(&p, "target", SERVICE_A "Policy=enabled\n");
	registry_reload(p.r);
	ck_assert_int_eq(service(&p, "one")->rules.policy, POLICY_ENABLED);
	ck_assert_uint_gt(registry_generation(p.r), g);
}
END_TEST

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define MANY 10000
#define MANY_PARTITIONS 1000

START_TEST(many)
{
	double start, loaded, changed;
	char file[200], text[300];
	GUID id;

	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(file, sizeof(file), "low/services.d/s%u.conf", i);
		snprintf(text, sizeof(text), "[Service]\nServiceId=%08x"
			 "-1111-4111-8111-111111111111\nElementName=Service "
			 "Number %u\nBind=user:0 group:0\nConnect=partition:p%u"
			 "\n", i, i, i % MANY_PARTITIONS);
		put_plain(&p, file, text);
	}
	for (unsigned int i = 0; i < MANY_PARTITIONS; i++) {
		snprintf(file, sizeof(file), "low/partitions.d/p%u.conf", i);
		snprintf(text, sizeof(text), "[Partition]\nVmId=%08x"
			 "-2222-4222-8222-222222222222\n[Service service "
			 "number %u]\nPolicy=enabled\n", i, i);
		put_plain(&p, file, text);
	}
	start = seconds();
	place_open(&p);
	loaded = seconds() - start;
	no_problems(&p);
	ck_assert_uint_eq(registry_service_count(p.r), MANY);
	ck_assert_uint_eq(registry_partition_count(p.r), MANY_PARTITIONS + 1);

	put(&p, "low/services.d/s77.conf", "[Service]\nPort=77\n");
	start = seconds();
	ck_assert(registry_refresh(p.r));
	changed = seconds() - start;
	ck_assert_ptr_null(service(&p, "service number 77"));
	ck_assert_ptr_nonnull(service(&p, "s77"));
	for (unsigned int i = 100; i < MANY; i += 100) {
		snprintf(text, sizeof(text), "%08x-1111-4111-8111-111111111111",
			 i);
		id = guid(text);
		snprintf(text, sizeof(text), "sErvice number %u", i);
		ck_assert_ptr_nonnull(registry_service(p.r, &id));
		ck_assert_ptr_eq(registry_service(p.r, &id), service(&p, text));
	}
	printf("# %d services, %d partitions: start %.0f ms, one change %.2f "
	       "ms\n", MANY, MANY_PARTITIONS, loaded * 1e3, changed * 1e3);
	/* One of 10,000 is read again, not all: far apart even where
	 * everything is slow. */
	ck_assert_msg(changed * 10 < loaded, "%f and %f", changed, loaded);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("registry-live");
	TCase *t = tcase_create("live");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 100);
	tcase_add_test(t, live);
	tcase_add_test(t, live_half_written);
	tcase_add_test(t, live_directories);
	tcase_add_test(t, not_a_directory);
	tcase_add_test(t, overflow);
	tcase_add_test(t, leftovers);
	tcase_add_test(t, reload);
	tcase_add_test(t, many);
	suite_add_tcase(s, t);
	return run_suite(s);
}
