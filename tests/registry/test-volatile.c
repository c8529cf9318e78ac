/* SPDX-License-Identifier: MIT */
/* test-volatile.c - registrations at run time, and leases */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/guid.h"

static struct place p;
static char why[REGISTRY_WHY];

static void setup(void)
{
	place_init(&p, true);
	place_open(&p);
	why[0] = '\0';
}

static void teardown(void)
{
	place_fini(&p);
}

START_TEST(add_and_remove)
{
	const uint32_t port = 5000;
	const struct service_draft d = {
		.name = "My Demo", .port = &port, .bind = "user:1",
		.connect = "any", .policy = "enabled", .wildcard = "yes",
		.owner_uid = 4711, .max_connections = "3",
	};
	GUID id = guid_from_port(5000);
	const struct service *s;
	uint64_t g = registry_generation(p.r);

	ck_assert_msg(registry_add_service(p.r, &d, &s, why, sizeof(why)) == 0,
		      "%s", why);
	ck_assert_uint_gt(registry_generation(p.r), g);
	ck_assert_str_eq(s->name, "My Demo");
	ck_assert_str_eq(s->stem, "my-demo");
	ck_assert_int_eq(s->origin, ORIGIN_VOLATILE);
	ck_assert_uint_eq(s->owner_uid, 4711);
	ck_assert_ptr_eq(registry_service(p.r, &id), s);
	ck_assert_uint_eq(files_in(p.run, "services.d"), 1);

	/* A broker that starts again finds it as it was. */
	place_open(&p);
	no_problems(&p);
	s = service(&p, "MY DEMO");
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->owner_uid, 4711);
	ck_assert_int_eq(s->origin, ORIGIN_VOLATILE);
	ck_assert_int_eq(s->rules.policy, POLICY_ENABLED);
	ck_assert_int_eq(s->rules.wildcard, 1);
	ck_assert_uint_eq(s->rules.bind.entry[0].id, 1);
	ck_assert_uint_eq(s->max_connections, 3);

	ck_assert_int_eq(registry_remove_service(p.r, &id, why, sizeof(why)),
			 0);
	ck_assert_ptr_null(service(&p, "my demo"));
	ck_assert_uint_eq(files_in(p.run, "services.d"), 0);
	ck_assert_int_eq(registry_remove_service(p.r, &id, why, sizeof(why)),
			 -ENOENT);
	ck_assert_str_eq(why, "there is no service "
			 "00001388-facb-11e6-bd58-64006a7986d3");
}
END_TEST

START_TEST(random_id)
{
	const struct service_draft d = { .name = "x" };
	const struct service *s;

	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 0);
	ck_assert(!s->has_port);
	ck_assert_int_eq(s->id.Data3 >> 12, 4);
}
END_TEST

static const struct {
	struct service_draft d;
	int error;
	const char *why;
} bad[] = {
	{ { .name = NULL }, -EINVAL, "a service needs a name" },
	{ { .name = "a:b" }, -EINVAL, "the name \"a:b\" has a ':' in it" },
	{ { .name = "a\nb" }, -EINVAL, "the name \"a\\x0ab\" has control "
	  "characters or is not UTF-8" },
	{ { .name = "a", .policy = "x" }, -EINVAL,
	  "Policy=\"x\" is not enabled, disabled or default" },
	{ { .name = "a", .bind = "any\n[Owner]\nUid=0" }, -EINVAL,
	  "a value is not text or has control characters" },
	{ { .name = "a", .bind = "bob" }, -EINVAL,
	  "Bind=: \"bob\" is not any, none, user:, group: or partition:" },
	{ { .name = "a", .bind = "user:1 ;x" }, -EINVAL,
	  "Bind=: \";x\" is not any, none, user:, group: or partition:" },
	{ { .name = "a", .bind = "user:1  user:2" }, 0, "" },
	{ { .name = "a", .bind = " user:1" }, -EINVAL,
	  "a value that a file cannot hold" },
	{ { .name = "a", .bind = "" }, -EINVAL,
	  "Bind= names nobody (say none)" },
	{ { .name = "a", .target = "unix:/x", .owner_uid = 4711 }, -EPERM,
	  "only root and the broker's user may say Target=" },
	{ { .name = "a", .target = "unix:/x ;y" }, -EINVAL,
	  "a value that a file cannot hold" },
	{ { .name = "a", .lease_pid = INT32_MAX }, -ESRCH,
	  "process 2147483647, the lease's, is gone" },
};

START_TEST(bad_drafts)
{
	const struct service *s;
	int r;

	r = registry_add_service(p.r, &bad[_i].d, &s, why, sizeof(why));
	ck_assert_str_eq(why, bad[_i].why);
	ck_assert_int_eq(r, bad[_i].error);
	ck_assert_uint_eq(files_in(p.run, "services.d"), r == 0);
	ck_assert_uint_eq(registry_service_count(p.r), r == 0);
}
END_TEST

START_TEST(never_shadows)
{
	GUID a = guid(GUID_A), b = guid(GUID_B);
	struct service_draft d = { .name = "two", .id = &a };
	const struct service *s;
	char want[PATH_MAX];

	put(&p, "low/services.d/one.conf", "[Service]\nServiceId=" GUID_A "\n");
	registry_refresh(p.r);
	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 -EEXIST);
	snprintf(want, sizeof(want), "ServiceId " GUID_A " is taken by "
		 "%s/services.d/one.conf", p.low);
	ck_assert_str_eq(why, want);
	d.id = &b;
	d.name = "ONE";
	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 -EEXIST);
	d.name = "two";
	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 0);
	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 -EEXIST);
	ck_assert_str_eq(why, "ServiceId " GUID_B " is taken by the volatile "
			 "registration two");

	/* A file of the same stem that claims the id: the file has it. */
	put(&p, "low/services.d/two.conf", "[Service]\nServiceId=" GUID_B
	    "\nElementName=File\n");
	ck_assert(registry_refresh(p.r));
	ck_assert_int_eq(registry_service(p.r, &b)->origin, ORIGIN_PACKAGE);
	snprintf(want, sizeof(want), "run/services.d/two.conf:0: ServiceId "
		 GUID_B " is taken by %s/services.d/two.conf; this one is out "
		 "of force", p.low);
	has_problem(&p, want);
	drop(&p, "low/services.d/two.conf");
	ck_assert(registry_refresh(p.r));
	ck_assert_int_eq(registry_service(p.r, &b)->origin, ORIGIN_VOLATILE);
	no_problems(&p);

	ck_assert_int_eq(registry_remove_service(p.r, &a, why, sizeof(why)),
			 -EPERM);
	snprintf(want, sizeof(want), "%s/services.d/one.conf is permanent: "
		 "change the file", p.low);
	ck_assert_str_eq(why, want);
	ck_assert_int_eq(registry_set_service(p.r, &a, &d, why, sizeof(why)),
			 -EPERM);
}
END_TEST

START_TEST(set_members)
{
	GUID a = guid(GUID_A), b = guid(GUID_B);
	const struct service_draft d = { .name = "one", .id = &a,
					 .bind = "user:5", .owner_uid = 9 };
	struct service_draft change = { .policy = "disabled" };
	const struct service *s;

	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 0);
	ck_assert_msg(registry_set_service(p.r, &a, &change, why,
					   sizeof(why)) == 0, "%s", why);
	place_open(&p);
	s = service(&p, "one");
	ck_assert_int_eq(s->rules.policy, POLICY_DISABLED);
	ck_assert_uint_eq(s->rules.bind.entry[0].id, 5);
	ck_assert_uint_eq(s->owner_uid, 9);
	change.policy = "nonsense";
	ck_assert_int_eq(registry_set_service(p.r, &a, &change, why,
					      sizeof(why)), -EINVAL);
	ck_assert_int_eq(service(&p, "one")->rules.policy, POLICY_DISABLED);
	change.policy = NULL;
	change.id = &b;
	ck_assert_int_eq(registry_set_service(p.r, &a, &change, why,
					      sizeof(why)), -EINVAL);
	ck_assert_int_eq(registry_set_service(p.r, &b, &change, why,
					      sizeof(why)), -ENOENT);
	ck_assert_uint_eq(registry_service_count(p.r), 1);
}
END_TEST

static pid_t child(int *pipe_end)
{
	int fds[2];
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(fds[1]);
		_exit(read(fds[0], &c, 1) != 0);
	}
	close(fds[0]);
	*pipe_end = fds[1];
	return pid;
}

START_TEST(leases)
{
	char *digit;
	struct service_draft d = { .name = "one" };
	const struct service *s;
	siginfo_t info;
	char path[PATH_MAX], text[1000];
	pid_t pid;
	int end;
	FILE *f;
	size_t n;

	pid = child(&end);
	d.lease_pid = pid;
	ck_assert_msg(registry_add_service(p.r, &d, &s, why, sizeof(why)) == 0,
		      "%s", why);
	ck_assert_int_eq(s->lease_pid, pid);
	ck_assert_uint_gt(s->lease_start, 0);
	ck_assert_uint_eq(strlen(s->lease_boot), 36);
	ck_assert_uint_eq(registry_expire(p.r, 0), 0);
	place_open(&p); /* lives on with another broker */
	ck_assert_ptr_nonnull(service(&p, "one"));

	/* The end of another process is none of this lease. */
	close(end);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert_uint_eq(registry_expire(p.r, pid + 1), 0);
	/* A zombie has ended. */
	ck_assert_uint_eq(registry_expire(p.r, pid), 1);
	ck_assert_ptr_null(service(&p, "one"));
	ck_assert_uint_eq(files_in(p.run, "services.d"), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);

	/* The same number, another process; and another boot. */
	d.lease_pid = getpid();
	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 0);
	snprintf(path, sizeof(path), "%s/services.d/one.conf", p.run);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "Start="));
	digit = strstr(text, "Start=") + 6;
	*digit = *digit == '9' ? '8' : '9';
	put(&p, "run/services.d/one.conf", text);
	place_open(&p);
	ck_assert_ptr_null(service(&p, "one"));
	ck_assert_uint_eq(files_in(p.run, "services.d"), 0);
	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 0);
	memcpy(strstr(text, "Boot=") + 5, "00000000", 8);
	put(&p, "run/services.d/one.conf", text);
	place_open(&p);
	ck_assert_ptr_null(service(&p, "one"));
}
END_TEST

START_TEST(partitions)
{
	GUID a = guid(GUID_A), b = guid(GUID_B);
	struct partition_draft d = { .name = "web 1", .id = &a };
	const struct partition *x;

	ck_assert_msg(registry_add_partition(p.r, &d, &x, why, sizeof(why)) ==
		      0, "%s", why);
	ck_assert_int_eq(x->kind, PARTITION_VM);
	ck_assert_uint_eq(x->depth, 1);
	ck_assert(x->enabled);
	ck_assert_ptr_eq(registry_partition(p.r, &a), x);

	d = (struct partition_draft){ .name = "pod", .id = &b,
				      .kind = "container", .parent = "WEB 1",
				      .user = "12", .disabled = true };
	ck_assert_int_eq(registry_add_partition(p.r, &d, &x, why, sizeof(why)),
			 0);
	ck_assert_uint_eq(x->depth, 2);
	place_open(&p);
	no_problems(&p);
	x = partition(&p, "pod");
	ck_assert(guid_equal(&x->parent, &a));
	ck_assert_int_eq(x->kind, PARTITION_CONTAINER);
	ck_assert(!x->enabled && x->has_user);
	ck_assert_uint_eq(x->user, 12);

	d = (struct partition_draft){ .name = "POD" };
	ck_assert_int_eq(registry_add_partition(p.r, &d, &x, why, sizeof(why)),
			 -EEXIST);
	ck_assert_str_eq(why, "the name \"POD\" is taken by the volatile "
			 "registration pod");
	d = (struct partition_draft){ .name = "other", .parent = "nobody" };
	ck_assert_int_eq(registry_add_partition(p.r, &d, &x, why, sizeof(why)),
			 -EINVAL);
	ck_assert_str_eq(why, "there is no partition \"nobody\" in force to be "
			 "the parent");
	d = (struct partition_draft){ .parent = "pod" };
	ck_assert_int_eq(registry_set_partition(p.r, &a, &d, why, sizeof(why)),
			 -EINVAL);
	ck_assert_str_eq(why, "its parents would form a circle");
	d = (struct partition_draft){ .name = "web 2" };
	ck_assert_msg(registry_set_partition(p.r, &b, &d, why, sizeof(why)) ==
		      0, "%s", why);
	x = partition(&p, "web 2");
	ck_assert(x->enabled);
	ck_assert_uint_eq(x->user, 12);
	ck_assert_ptr_null(partition(&p, "nobody"));
	d = (struct partition_draft){ .cid = "77" };
	ck_assert_int_eq(registry_set_partition(p.r, &b, &d, why, sizeof(why)),
			 -EINVAL);
	ck_assert_int_eq(registry_set_partition(p.r, &a, &d, why, sizeof(why)),
			 0);
	d = (struct partition_draft){ .user = "12" };
	ck_assert_int_eq(registry_set_partition(p.r, &a, &d, why, sizeof(why)),
			 0);
	ck_assert_uint_eq(partition(&p, "web 1")->cid, 77);
	d = (struct partition_draft){ .cid = "none" };
	ck_assert_int_eq(registry_set_partition(p.r, &a, &d, why, sizeof(why)),
			 0);
	ck_assert_uint_eq(partition(&p, "web 1")->cid, 0);

	ck_assert_int_eq(registry_remove_partition(p.r, &a, why, sizeof(why)),
			 0);
	ck_assert_ptr_null(partition(&p, "web 2"));
	has_problem(&p, ":5: there is no partition \"WEB 1\" in force to be "
		    "the parent");
	ck_assert_int_eq(registry_remove_partition(p.r, &b, why, sizeof(why)),
			 0);
	no_problems(&p);
	ck_assert_uint_eq(files_in(p.run, "partitions.d"), 0);
}
END_TEST

START_TEST(no_place)
{
	const struct service_draft d = { .name = "x" };
	const struct service *s;

	p.r = registry_free(p.r);
	ck_assert_int_eq(registry_new(NULL, 0, NULL, &p.r), 0);
	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 -EOPNOTSUPP);
	ck_assert_uint_eq(registry_partition_count(p.r), 1);
}
END_TEST

START_TEST(bad_volatile_dir)
{
	struct registry *r;
	char path[PATH_MAX];

	put(&p, "file", "x");
	snprintf(path, sizeof(path), "%s/file/x", p.base);
	ck_assert_int_eq(registry_new(NULL, 0, path, &r), -ENOTDIR);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("registry-volatile");
	TCase *t = tcase_create("volatile");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, add_and_remove);
	tcase_add_test(t, random_id);
	tcase_add_loop_test(t, bad_drafts, 0, ARRAY_LEN(bad));
	tcase_add_test(t, never_shadows);
	tcase_add_test(t, set_members);
	tcase_add_test(t, leases);
	tcase_add_test(t, partitions);
	tcase_add_test(t, no_place);
	tcase_add_test(t, bad_volatile_dir);
	suite_add_tcase(s, t);
	return run_suite(s);
}
