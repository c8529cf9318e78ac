/* SPDX-License-Identifier: MIT */
/* test-volatile.c - registrations at run time, leases, written files, and the
 * cost of a look when nothing changed */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "registry/service-file.h"

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

static size_t files_in(const char *dir, const char *sub)
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
	memcpy(strstr(text, "Start=") + 6, "9", 1);
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

/* ---- Full disks -------------------------------------------------------- */

static void add_until_refused(int want)
{
	char list[4096] = "user:1", name[32];
	struct service_draft d = { .name = name, .bind = list };
	const struct service *s;
	GUID id;
	size_t n = 0, before;
	int r;

	for (int i = 0; i < 250; i++)
		strcat(list, " user:100000");
	for (;;) {
		snprintf(name, sizeof(name), "filler %zu", n);
		before = files_in(p.run, "services.d");
		r = registry_add_service(p.r, &d, &s, why, sizeof(why));
		if (r)
			break;
		ck_assert_uint_lt(++n, 1000);
	}
	ck_assert_msg(r == -want, "%d: %s", r, why);
	ck_assert_ptr_nonnull(strstr(why, strerror(want)));
	ck_assert_uint_eq(files_in(p.run, "services.d"), before);
	ck_assert_uint_eq(registry_service_count(p.r), n);
	ck_assert_uint_gt(n, 0);

	/* A change that does not fit leaves what was there. */
	id = service(&p, "filler 0")->id;
	d.name = NULL;
	d.bind = "user:2";
	d.connect = list;
	r = registry_set_service(p.r, &id, &d, why, sizeof(why));
	ck_assert_msg(r == -want, "%d: %s", r, why);
	ck_assert(!service(&p, "filler 0")->rules.connect.set);
	place_open(&p);
	no_problems(&p);
	ck_assert_uint_eq(registry_service_count(p.r), n);
	ck_assert_uint_eq(service(&p, "filler 0")->rules.bind.n, 251);
	/* and goes on working once there is room */
	ck_assert_int_eq(registry_remove_service(p.r, &id, why, sizeof(why)),
			 0);
}

static void write_proc(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (f) {
		fputs(text, f);
		fclose(f);
	}
}

/* A mount namespace: as root, or as root of a user namespace of our own. */
static bool own_mounts(void)
{
	unsigned int uid = getuid(), gid = getgid();
	char map[64];

	if (unshare(CLONE_NEWNS) < 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			return false;
		snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
		write_proc("/proc/self/uid_map", map);
		write_proc("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
		write_proc("/proc/self/gid_map", map);
	}
	return mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
}

START_TEST(full_disk)
{
	p.r = registry_free(p.r);
	if (!own_mounts() ||
	    mount("none", p.run, "tmpfs", 0, "size=64k") < 0) {
		printf("# full_disk: no tmpfs of our own here (%s): only "
		       "file_size_limit tests failing writes\n",
		       strerror(errno));
		return;
	}
	place_open(&p);
	add_until_refused(ENOSPC);
	p.r = registry_free(p.r);
	umount(p.run);
}
END_TEST

START_TEST(file_size_limit)
{
	struct service_draft d = { .name = "small" };
	struct rlimit before, one_k;
	char list[3000] = "user:1", path[PATH_MAX];
	const struct service *s;
	int set, add, file;
	GUID id;

	put(&p, "low/services.d/here.conf", "[Service]\nPort=1\n");
	ck_assert_int_eq(registry_add_service(p.r, &d, &s, why, sizeof(why)),
			 0);
	id = s->id;
	for (int i = 0; i < 100; i++)
		strcat(list, " user:100000");
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	one_k = (struct rlimit){ 1000, before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &one_k), 0);
	d.name = NULL;
	d.bind = list;
	/* Check writes files itself: no assertions while the limit is on. */
	set = registry_set_service(p.r, &id, &d, why, sizeof(why));
	d.name = "large";
	add = registry_add_service(p.r, &d, &s, why, sizeof(why));
	/* the same door as hvctl's */
	snprintf(path, sizeof(path), "%s/services.d", p.low);
	file = service_file_write(path, "here", &d, true, why, sizeof(why));
	setrlimit(RLIMIT_FSIZE, &before);
	ck_assert_int_eq(set, -EFBIG);
	ck_assert_int_eq(add, -EFBIG);
	ck_assert_int_eq(file, -EFBIG);
	ck_assert(!service(&p, "small")->rules.bind.set);
	ck_assert_uint_eq(files_in(p.run, "services.d"), 1);
	ck_assert_uint_eq(files_in(p.low, "services.d"), 1);
	registry_refresh(p.r);
	ck_assert_uint_eq(service(&p, "here")->port, 1);
}
END_TEST

/* ---- Files for hvctl --------------------------------------------------- */

START_TEST(edit_file)
{
	char dir[PATH_MAX], path[PATH_MAX + 64], want[PATH_MAX + 64];
	const uint32_t port = 7;
	const struct service_draft d = { .name = "My Service", .port = &port,
					 .bind = "any" };
	struct service_text t;
	struct stat st;

	/* Directories that are not there are made. */
	snprintf(dir, sizeof(dir), "%s/new/deep/services.d", p.base);
	ck_assert_msg(service_file_write(dir, "my", &d, false, why,
					 sizeof(why)) == 0, "%s", why);
	ck_assert_int_eq(service_file_write(dir, "my", &d, false, why,
					    sizeof(why)), -EEXIST);
	snprintf(want, sizeof(want), "%s/my.conf: File exists", dir);
	ck_assert_str_eq(why, want);
	snprintf(path, sizeof(path), "%s/my.conf", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0644);
	ck_assert_int_eq(service_file_load(dir, "my", &t, why, sizeof(why)), 0);
	ck_assert_str_eq(t.value[SERVICE_NAME], "My Service");
	ck_assert_int_eq(service_text_set(&t, SERVICE_POLICY, "disabled"), 0);
	ck_assert_int_eq(service_text_set(&t, SERVICE_BIND, NULL), 0);
	ck_assert_int_eq(service_file_save(dir, "my", &t, true, why,
					   sizeof(why)), 0);
	ck_assert_int_eq(service_text_set(&t, SERVICE_POLICY, "off"), 0);
	ck_assert_int_eq(service_file_save(dir, "my", &t, true, why,
					   sizeof(why)), -EINVAL);
	snprintf(want, sizeof(want), "%s/my.conf:4: Policy=\"off\" is not "
		 "enabled, disabled or default", dir);
	ck_assert_str_eq(why, want);
	service_text_fini(&t);
	ck_assert_int_eq(service_file_load(dir, "my", &t, why, sizeof(why)), 0);
	ck_assert_str_eq(t.value[SERVICE_POLICY], "disabled");
	ck_assert_ptr_null(t.value[SERVICE_BIND]);
	ck_assert_str_eq(t.value[SERVICE_PORT], "7");
	service_text_fini(&t);
	ck_assert_int_eq(service_file_load(dir, "no", &t, why, sizeof(why)),
			 -ENOENT);
	ck_assert_int_eq(service_file_load(dir, "../x", &t, why, sizeof(why)),
			 -EINVAL);
	ck_assert_int_eq(service_file_write(dir, "a/b", &d, true, why,
					    sizeof(why)), -EINVAL);
	ck_assert_uint_eq(files_in(dir, "."), 1);
}
END_TEST

/* ---- What a look costs --------------------------------------------------*/

static unsigned long reads_so_far(void)
{
	unsigned long n = 0;
	char line[128];
	FILE *f = fopen("/proc/self/io", "r");

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "syscr: %lu", &n) == 1)
			break;
	fclose(f);
	return n;
}

#define LOOKS 1000

START_TEST(one_system_call)
{
	const char *preload = getenv("LD_PRELOAD");
	unsigned long empty, looked;
	int status;
	pid_t pid;

	/* valgrind makes system calls of its own: nothing to count there. */
	if (preload && strstr(preload, "vgpreload"))
		return;
	registry_refresh(p.r);
	empty = reads_so_far();
	empty = reads_so_far() - empty;
	looked = reads_so_far();
	for (int i = 0; i < LOOKS; i++)
		ck_assert(!registry_refresh(p.r));
	looked = reads_so_far() - looked;
	ck_assert_uint_eq(looked - empty, LOOKS);

	/* And nothing but read(): strict mode kills for any other. */
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		for (int i = 0; i < LOOKS; i++)
			registry_refresh(p.r);
		syscall(SYS_exit, 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "status %x", (unsigned int)status);
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
	tcase_add_test(t, full_disk);
	tcase_add_test(t, file_size_limit);
	tcase_add_test(t, edit_file);
	tcase_add_test(t, one_system_call);
	tcase_add_test(t, no_place);
	tcase_add_test(t, bad_volatile_dir);
	suite_add_tcase(s, t);
	return run_suite(s);
}
