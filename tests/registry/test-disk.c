/* SPDX-License-Identifier: MIT */
/* test-disk.c - full disks, files written for hvctl, and the cost of a look
 * when nothing changed */
#include "test.h"

#include <errno.h>
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

int main(void)
{
	Suite *s = suite_create("registry-disk");
	TCase *t = tcase_create("disk");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, full_disk);
	tcase_add_test(t, file_size_limit);
	tcase_add_test(t, edit_file);
	tcase_add_test(t, one_system_call);
	suite_add_tcase(s, t);
	return run_suite(s);
}
