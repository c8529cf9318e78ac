/* SPDX-License-Identifier: MIT */
/* test-files.c - directories: overrides, masks, conflicts, parents, tables */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "registry/store.h"

#define SERVICE_A "[Service]\nServiceId=" GUID_A "\n"
#define SERVICE_B "[Service]\nServiceId=" GUID_B "\n"
#define PART_A "[Partition]\nVmId=" GUID_A "\n"
#define PART_B "[Partition]\nVmId=" GUID_B "\n"
#define PART_C "[Partition]\nVmId=" GUID_C "\n"

static struct place p;

static void setup(void)
{
	place_init(&p, true);
}

static void teardown(void)
{
	place_fini(&p);
}

START_TEST(overrides)
{
	const struct service *s;
	GUID a = guid(GUID_A), b = guid(GUID_B);

	put(&p, "low/services.d/one.conf", SERVICE_A "ElementName=Low\n");
	put(&p, "low/services.d/two.conf", SERVICE_B);
	put(&p, "low/services.d/three.conf", "[Service]\nPort=3\n");
	put(&p, "low/services.d/.hidden.conf", "rubbish");
	put(&p, "low/services.d/notes.txt", "rubbish");
	put(&p, "high/services.d/one.conf", SERVICE_A "ElementName=High\n");
	put(&p, "high/services.d/two.conf", "");
	place_open(&p);
	no_problems(&p);
	ck_assert_uint_eq(registry_service_count(p.r), 2);
	s = registry_service(p.r, &a);
	ck_assert_ptr_nonnull(s);
	ck_assert_str_eq(s->name, "High");
	ck_assert_str_eq(s->stem, "one");
	ck_assert_int_eq(s->origin, ORIGIN_ADMINISTRATOR);
	ck_assert_uint_eq(s->owner_uid, getuid());
	ck_assert_ptr_eq(service(&p, "HIGH"), s);
	ck_assert_ptr_eq(service(&p, "One"), s);
	ck_assert_ptr_null(service(&p, "Low"));
	ck_assert_ptr_null(registry_service(p.r, &b));
	ck_assert_ptr_null(service(&p, ""));

	/* The override goes: what it covered is back. */
	drop(&p, "high/services.d/one.conf");
	drop(&p, "high/services.d/two.conf");
	ck_assert(registry_refresh(p.r));
	ck_assert_str_eq(registry_service(p.r, &a)->name, "Low");
	ck_assert_ptr_nonnull(registry_service(p.r, &b));
	ck_assert_uint_eq(registry_service_count(p.r), 3);
}
END_TEST

START_TEST(broken_override)
{
	/* The administrator meant something: the file below is not it. */
	put(&p, "low/services.d/one.conf", SERVICE_A);
	put(&p, "low/services.d/two.conf", SERVICE_B);
	put(&p, "high/services.d/one.conf", "[Service]\nPolice=disabled\n");
	place_open(&p);
	ck_assert_uint_eq(registry_service_count(p.r), 1);
	ck_assert_ptr_nonnull(service(&p, "two"));
	has_problem(&p, "high/services.d/one.conf:2: unknown key \"Police\" "
		    "in [Service]");
	put(&p, "high/services.d/one.conf", SERVICE_A "Policy=disabled\n");
	ck_assert(registry_refresh(p.r));
	no_problems(&p);
	ck_assert_int_eq(service(&p, "one")->rules.policy, POLICY_DISABLED);
}
END_TEST

static void link_to(const char *target, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", p.base, file);
	ck_assert_int_eq(symlink(target, path), 0);
}

START_TEST(file_kinds)
{
	char path[PATH_MAX];
	int fd;

	put(&p, "low/services.d/one.conf", SERVICE_A);
	put(&p, "low/services.d/two.conf", SERVICE_B);
	put(&p, "target", "[Service]\nPort=7\n");
	link_to("/dev/null", "high/services.d/one.conf");
	link_to("../../target", "high/services.d/linked.conf");
	link_to("nowhere", "high/services.d/two.conf");
	link_to("/dev/zero", "high/services.d/device.conf");
	snprintf(path, sizeof(path), "%s/services.d/fifo.conf", p.high);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/services.d/dir.conf", p.high);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	put(&p, "high/services.d/open.conf", "[Service]\nPort=8\n");
	snprintf(path, sizeof(path), "%s/services.d/open.conf", p.high);
	ck_assert_int_eq(chmod(path, 0666), 0);
	put(&p, "high/services.d/large.conf", "");
	snprintf(path, sizeof(path), "%s/services.d/large.conf", p.high);
	ck_assert_int_eq(truncate(path, REGISTRY_FILE_MAX + 1), 0);
	put(&p, "high/services.d/a\xff.conf", "[Service]\nPort=9\n");
	put(&p, "high/services.d/5000.conf", "[Service]\nPort=10\n");

	place_open(&p);
	ck_assert_uint_eq(registry_service_count(p.r), 1);
	ck_assert_uint_eq(service(&p, "linked")->port, 7);
	has_problem(&p, "/two.conf:0: a symbolic link that leads nowhere");
	has_problem(&p, "/device.conf:0: not a regular file");
	has_problem(&p, "/fifo.conf:0: not a regular file");
	has_problem(&p, "/dir.conf:0: not a regular file");
	has_problem(&p, "/open.conf:0: writable by everyone: not trusted");
	has_problem(&p, "/large.conf:0: larger than 64 KiB");
	has_problem(&p, "/a\\xff.conf:0: the file's name is not text");
	has_problem(&p, "/5000.conf:0: without ElementName= the file's name "
		    "counts: it \"5000\" is a number");

	/* A change of mode is a change. */
	snprintf(path, sizeof(path), "%s/services.d/open.conf", p.high);
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_nonnull(service(&p, "open"));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

START_TEST(conflicts)
{
	GUID a = guid(GUID_A), t = guid_from_port(5);
	char want[PATH_MAX];

	put(&p, "low/services.d/one.conf", SERVICE_A "ElementName=One\n");
	put(&p, "low/services.d/free.conf", "[Service]\nPort=1\n");
	place_open(&p);
	no_problems(&p);
	put(&p, "high/services.d/uno.conf", SERVICE_A);
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_null(registry_service(p.r, &a));
	ck_assert_uint_eq(registry_service_count(p.r), 1);
	snprintf(want, sizeof(want), "low/services.d/one.conf:0: ServiceId "
		 GUID_A " is also in %s/services.d/uno.conf; both are out of "
		 "force", p.high);
	has_problem(&p, want);
	snprintf(want, sizeof(want), "high/services.d/uno.conf:0: ServiceId "
		 GUID_A " is also in %s/services.d/one.conf; both are out of "
		 "force", p.low);
	has_problem(&p, want);

	/* Three, then two, then one. */
	put(&p, "high/services.d/tres.conf", SERVICE_A);
	ck_assert(!registry_refresh(p.r));
	drop(&p, "high/services.d/uno.conf");
	ck_assert(!registry_refresh(p.r));
	ck_assert_ptr_null(registry_service(p.r, &a));
	drop(&p, "high/services.d/tres.conf");
	ck_assert(registry_refresh(p.r));
	ck_assert_str_eq(registry_service(p.r, &a)->name, "One");
	no_problems(&p);

	/* A port against the id of its template, and names by case. */
	put(&p, "low/services.d/x.conf", "[Service]\nServiceId=" GUID_B
	    "\nPort=5\n");
	put(&p, "low/services.d/y.conf",
	    "[Service]\nServiceId=00000005-facb-11e6-bd58-64006a7986d3\n");
	put(&p, "low/services.d/z.conf",
	    "[Service]\nPort=6\nElementName=oNE\n");
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_null(registry_service(p.r, &t));
	ck_assert_ptr_null(registry_service(p.r, &a));
	snprintf(want, sizeof(want), "x.conf:0: Port 5 is also in "
		 "%s/services.d/y.conf; both are out of force", p.low);
	has_problem(&p, want);
	snprintf(want, sizeof(want), "one.conf:0: the name \"One\" is also in "
		 "%s/services.d/z.conf; both are out of force", p.low);
	has_problem(&p, want);
	drop(&p, "low/services.d/y.conf");
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_eq(registry_service(p.r, &t), service(&p, "x"));
}
END_TEST

START_TEST(stems)
{
	/* A stem is a name too, but gives way to names. */
	put(&p, "low/services.d/a.conf", SERVICE_A "ElementName=b\n");
	put(&p, "low/services.d/b.conf", SERVICE_B "ElementName=c\n");
	place_open(&p);
	no_problems(&p);
	ck_assert_str_eq(service(&p, "b")->stem, "a");
	ck_assert_str_eq(service(&p, "a")->stem, "a");
	ck_assert_str_eq(service(&p, "c")->stem, "b");
}
END_TEST

START_TEST(parents)
{
	GUID b = guid(GUID_B);

	put(&p, "low/partitions.d/c.conf", PART_C "Parent=b\n"
	    "Kind=container\n");
	place_open(&p);
	ck_assert_uint_eq(registry_partition_count(p.r), 1);
	has_problem(&p, "c.conf:3: there is no partition \"b\" in force to be "
		    "the parent");
	put(&p, "high/partitions.d/b.conf", PART_B "Parent=" GUID_A "\n");
	ck_assert(registry_refresh(p.r));
	has_problem(&p, "b.conf:3: there is no partition \"" GUID_A "\" in "
		    "force to be the parent");
	has_problem(&p, "c.conf:3: its ancestor b is out of force for want of "
		    "its parent \"" GUID_A "\"");
	put(&p, "low/partitions.d/a.conf", PART_A);
	ck_assert(registry_refresh(p.r));
	no_problems(&p);
	ck_assert_uint_eq(registry_partition_count(p.r), 4);
	ck_assert_uint_eq(partition(&p, "host")->depth, 0);
	ck_assert_uint_eq(partition(&p, "a")->depth, 1);
	ck_assert_uint_eq(partition(&p, "c")->depth, 3);
	ck_assert(guid_equal(&partition(&p, "c")->parent, &b));
	ck_assert_int_eq(partition(&p, "c")->kind, PARTITION_CONTAINER);

	/* A circle: all of it is out, and what hangs on it. */
	put(&p, "low/partitions.d/a.conf", PART_A "Parent=b\n");
	ck_assert(registry_refresh(p.r));
	has_problem(&p, "a.conf:3: its parents form a circle: b is a child of "
		    "it");
	has_problem(&p, "b.conf:3: its parents form a circle: a is a child of "
		    "it");
	has_problem(&p, "c.conf:3: its parents do not lead to the host in 16 "
		    "steps");
	ck_assert_uint_eq(registry_partition_count(p.r), 1);
	put(&p, "low/partitions.d/a.conf", PART_A "Parent=a\n");
	ck_assert(!registry_refresh(p.r) || 1);
	has_problem(&p, "a.conf:3: its parents form a circle: a is a child of "
		    "it");
}
END_TEST

START_TEST(tables)
{
	GUID a = guid(GUID_A), b = guid(GUID_B), c = guid(GUID_C);
	GUID five = guid_from_port(5);
	const struct partition *x;

	put(&p, "low/services.d/one.conf", "[Service]\nServiceId=" GUID_A
	    "\nPort=5\n");
	put(&p, "low/partitions.d/x.conf", PART_C "[Service One]\n"
	    "Policy=enabled\n[Service " GUID_B "]\nAllowWildcardBinds=yes\n"
	    "[Service two]\nPolicy=disabled\n");
	place_open(&p);
	has_problem(&p, "x.conf:7: no service \"two\" is in force; the "
		    "section has no effect");
	x = partition(&p, "x");
	ck_assert_int_eq(partition_rules(x, &a)->policy, POLICY_ENABLED);
	ck_assert_ptr_eq(partition_rules(x, &five), partition_rules(x, &a));
	ck_assert_int_eq(partition_rules(x, &b)->wildcard, 1);
	ck_assert_ptr_null(partition_rules(x, &c));
	ck_assert_ptr_null(partition_rules(partition(&p, "host"), &a));

	/* The service comes later; its section is in force with it. */
	put(&p, "low/services.d/two.conf", "[Service]\nServiceId=" GUID_C
	    "\n");
	ck_assert(registry_refresh(p.r));
	no_problems(&p);
	ck_assert_int_eq(partition_rules(partition(&p, "x"), &c)->policy,
			 POLICY_DISABLED);
	/* Two spellings of one service: off, not a choice of either. */
	put(&p, "low/partitions.d/x.conf", PART_C "[Service One]\n"
	    "Policy=enabled\n[Service 5]\nPolicy=enabled\n");
	ck_assert(registry_refresh(p.r));
	has_problem(&p, "x.conf:5: a second section for the service \"one\", "
		    "which is disabled here until one is removed");
	ck_assert_int_eq(partition_rules(partition(&p, "x"), &a)->policy,
			 POLICY_DISABLED);
}
END_TEST

START_TEST(target_owner)
{
	char path[PATH_MAX];

	put(&p, "low/services.d/one.conf", SERVICE_A "Target=unix:/run/x\n");
	place_open(&p);
	no_problems(&p);
	ck_assert_str_eq(service(&p, "one")->target, "/run/x");
	/* Another's file needs root to be made; the rule itself is also
	 * tested with a volatile registration of another user. */
	if (geteuid() != 0) {
		printf("# not root: no file of another user\n");
		return;
	}
	snprintf(path, sizeof(path), "%s/services.d/one.conf", p.low);
	ck_assert_int_eq(chown(path, 12345, 12345), 0);
	ck_assert(registry_refresh(p.r));
	ck_assert_ptr_null(service(&p, "one")->target);
	has_problem(&p, "one.conf:3: Target= does not count: user 12345 owns "
		    "the file, not root and not the broker's user");
}
END_TEST

static int collect(const struct service *s, void *arg)
{
	char *out = arg;

	strcat(out, s->name);
	strcat(out, " ");
	return 0;
}

static int collect_partition(const struct partition *x, void *arg)
{
	char *out = arg;

	strcat(out, x->name);
	strcat(out, " ");
	return strcmp(x->name, "host") == 0 ? 7 : 0;
}

START_TEST(order)
{
	char out[200] = "";

	put(&p, "low/services.d/b.conf", SERVICE_A);
	put(&p, "high/services.d/A.conf", SERVICE_B);
	put(&p, "low/services.d/c.conf", "[Service]\nPort=1\nElementName=0x\n");
	put(&p, "low/partitions.d/zoe.conf", PART_A);
	put(&p, "low/partitions.d/ada.conf", PART_B);
	place_open(&p);
	no_problems(&p);
	ck_assert_int_eq(registry_each_service(p.r, collect, out), 0);
	ck_assert_str_eq(out, "0x A b ");
	out[0] = '\0';
	ck_assert_int_eq(registry_each_partition(p.r, collect_partition, out),
			 7);
	ck_assert_str_eq(out, "ada host ");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("registry-files");
	TCase *t = tcase_create("files");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, overrides);
	tcase_add_test(t, broken_override);
	tcase_add_test(t, file_kinds);
	tcase_add_test(t, conflicts);
	tcase_add_test(t, stems);
	tcase_add_test(t, parents);
	tcase_add_test(t, tables);
	tcase_add_test(t, target_owner);
	tcase_add_test(t, order);
	suite_add_tcase(s, t);
	return run_suite(s);
}
