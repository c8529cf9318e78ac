/* SPDX-License-Identifier: MIT */
/*
 * test-kernel-tree.c - where -k finds a kernel, and which modules it needs in
 * which order; KTAP's results
 */
#include "../unit/suite.h"
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hvvm/exec/kernel-tree.h"
#include "hvvm/exec/ktap.h"
#include "hvvm/exec/modules.h"
#include "elf-maker.h"

static char top[] = "/tmp/hvs-tree-XXXXXX";
static struct kernel_tree tree;
static struct modules m;

static void setup(void)
{
	strcpy(top + sizeof(top) - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
}

static void teardown(void)
{
	char command[100];

	modules_free(&m);
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

/* A file, and the folders above it. */
static void put(const char *path, const void *data, size_t len)
{
	char dir[PATH_MAX];
	FILE *f;

	for (const char *s = strchr(path, '/'); s; s = strchr(s + 1, '/')) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(s - path), path);
		ck_assert(mkdir(dir, 0755) == 0 || errno == EEXIST);
	}
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void put_module(const char *path, const char *release,
		       const char *depends)
{
	char info[256];
	uint8_t f[1024];
	int n = snprintf(info, sizeof(info), "vermagic=%s SMP %c", release, 0);

	n += snprintf(info + n, sizeof(info) - (size_t)n, "depends=%s",
		      depends);
	put(path, f, elf_make(f, info, (size_t)n + 1));
}

/* As far as kernel-tree.c looks. */
static void put_image(const char *path, const char *version)
{
	uint8_t f[0x400] = { 0 };

	memcpy(f + 0x202, "HdrS", 4);
	f[0x20e] = 0x00;
	f[0x20f] = 0x01;
	strcpy((char *)f + 0x300, version);
	put(path, f, sizeof(f));
}

static int open_tree(void)
{
	ck_assert_int_eq(kernel_tree_find(top, &tree), 0);
	return modules_open(&m, &tree);
}

/* The names in their order, with blanks between. */
static const char *order(void)
{
	static char text[1024];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < m.count; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s",
				      i ? " " : "", module_name(m.order[i]));
	return text;
}

static void build_tree(const char *order_file)
{
	put_text("arch/x86/boot/bzImage", "image");
	put_text("include/config/kernel.release", "6.9.0-x+\n");
	put_module("net/v/v-sock.ko", "6.9.0-x+", "");
	put_module("net/v/hv_sock.ko", "6.9.0-x+", "hv_vmbus,v-sock,built");
	put_module("drivers/hv/hv_vmbus.ko", "6.9.0-x+", "");
	put_text("modules.builtin", "kernel/lib/built.ko\n");
	if (order_file)
		put_text("modules.order", order_file);
}

START_TEST(build_trees)
{
	static const char *const orders[] = {
		NULL,
		"net/v/v-sock.o\nnet/v/hv_sock.o\ndrivers/hv/hv_vmbus.o\n",
		"net/v/v-sock.ko\nnet/v/hv_sock.ko\ndrivers/hv/hv_vmbus.ko\n",
		"kernel/net/v/v-sock.ko\nkernel/net/v/hv_sock.ko\n"
		"kernel/drivers/hv/hv_vmbus.ko\n",
	};

	build_tree(orders[_i]);
	ck_assert_int_eq(open_tree(), 0);
	ck_assert_str_eq(tree.release, "6.9.0-x+");
	ck_assert_int_eq(modules_want(&m, "hv-sock", MODULE_LOAD), 0);
	ck_assert_str_eq(order(), "hv_vmbus v_sock hv_sock");
	ck_assert_int_eq(modules_want(&m, "v_sock", MODULE_LOAD), 0);
	ck_assert_int_eq(modules_want(&m, "built", MODULE_LOAD), 1);
	ck_assert_int_eq(modules_want(&m, "none", MODULE_TRY), 1);
	ck_assert_int_eq(modules_want(&m, "none", MODULE_LOAD), -ENOENT);
	ck_assert_uint_eq(m.count, 3);
}
END_TEST

START_TEST(a_module_of_another_kernel)
{
	build_tree(NULL);
	put_module("drivers/hv/hv_vmbus.ko", "6.9.0-x+1", "");
	ck_assert_int_eq(open_tree(), 0);
	ck_assert_int_eq(modules_want(&m, "hv_sock", MODULE_LOAD), -EINVAL);
}
END_TEST

START_TEST(what_is_wanted_for_more_later)
{
	build_tree(NULL);
	ck_assert_int_eq(open_tree(), 0);
	ck_assert_int_eq(modules_want(&m, "hv_sock", MODULE_PACK), 0);
	ck_assert_int_eq(modules_want(&m, "hv_vmbus", MODULE_TRY), 0);
	ck_assert_int_eq(module_use(m.order[0]), MODULE_TRY);
	ck_assert_int_eq(module_use(m.order[2]), MODULE_PACK);
	ck_assert_int_eq(modules_want(&m, "hv_sock", MODULE_LOAD), 0);
	for (size_t i = 0; i < m.count; i++)
		ck_assert_int_eq(module_use(m.order[i]), MODULE_LOAD);
	ck_assert_int_eq(modules_want(&m, "hv_sock", MODULE_TRY), 0);
	ck_assert_int_eq(module_use(m.order[2]), MODULE_LOAD);
	ck_assert_str_eq(order(), "hv_vmbus v_sock hv_sock");
}
END_TEST

START_TEST(a_module_from_elsewhere)
{
	build_tree(NULL);
	put_module("else/my-own.ko", "6.9.0-x+", "hv_vmbus");
	put_module("else/none.ko", "6.9.0-x+", "nosuch");
	put_text("else/text.ko", "no module");
	ck_assert_int_eq(open_tree(), 0);
	ck_assert_int_eq(modules_want(&m, "else/my-own.ko", MODULE_LOAD), 0);
	ck_assert_str_eq(order(), "hv_vmbus my_own");
	ck_assert_int_eq(modules_want(&m, "else/none.ko", MODULE_LOAD),
			 -ENOENT);
	ck_assert_int_eq(modules_want(&m, "else/text.ko", MODULE_LOAD),
			 -ENOEXEC);
	ck_assert_int_eq(modules_want(&m, "./nosuch.ko", MODULE_LOAD), -ENOENT);
}
END_TEST

START_TEST(modules_in_a_circle)
{
	build_tree(NULL);
	put_module("x/a.ko", "6.9.0-x+", "b,a");
	put_module("x/b.ko", "6.9.0-x+", ",c,");
	put_module("x/c.ko", "6.9.0-x+", "a");
	ck_assert_int_eq(open_tree(), 0);
	ck_assert_int_eq(modules_want(&m, "a", MODULE_TRY), 0);
	ck_assert_int_eq(modules_want(&m, "a", MODULE_LOAD), 0);
	ck_assert_str_eq(order(), "c b a");
}
END_TEST

START_TEST(modules_in_a_long_chain)
{
	char path[64], needs[64];

	build_tree(NULL);
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "x/m%d.ko", i);
		snprintf(needs, sizeof(needs), "m%d", i + 1);
		put_module(path, "6.9.0-x+", needs);
	}
	ck_assert_int_eq(open_tree(), 0);
	ck_assert_int_eq(modules_want(&m, "m0", MODULE_LOAD), -ELOOP);
}
END_TEST

START_TEST(packages)
{
	put_text("boot/vmlinuz-6.1.0-9", "old");
	put_text("boot/vmlinuz-6.1.0-10", "new");
	put_text("boot/config-6.2", "");
	put_module("usr/lib/modules/6.1.0-10/kernel/a.ko", "6.1.0-10", "");
	put_module("usr/lib/modules/6.1.0-9/kernel/b.ko", "6.1.0-9", "");
	ck_assert_int_eq(open_tree(), 0);
	ck_assert_str_eq(tree.release, "6.1.0-10");
	ck_assert_ptr_nonnull(strstr(tree.image, "/boot/vmlinuz-6.1.0-10"));
	ck_assert_int_eq(modules_want(&m, "a", MODULE_LOAD), 0);
	ck_assert_int_eq(modules_want(&m, "b", MODULE_LOAD), -ENOENT);
}
END_TEST

START_TEST(plain_folders_and_images)
{
	put_image("vmlinuz", "5.10.0-1 (someone) #1");
	put_module("lib/modules/5.10.0-1/a.ko", "5.10.0-1", "");
	ck_assert_int_eq(open_tree(), 0);
	ck_assert_str_eq(tree.release, "5.10.0-1");
	ck_assert_int_eq(modules_want(&m, "a", MODULE_LOAD), 0);
	modules_free(&m);
	ck_assert_int_eq(kernel_tree_find("vmlinuz", &tree), 0);
	ck_assert_str_eq(tree.release, "5.10.0-1");
	ck_assert_str_eq(tree.modules, "");
	ck_assert_int_eq(modules_open(&m, &tree), 0);
	ck_assert_int_eq(modules_want(&m, "hv_vmbus", MODULE_TRY), 1);
	ck_assert_int_eq(modules_want(&m, "a", MODULE_LOAD), -ENOENT);
}
END_TEST

START_TEST(what_is_no_kernel)
{
	ck_assert_int_eq(kernel_tree_find(top, &tree), -ENOENT);
	ck_assert_int_eq(kernel_tree_find("nosuch", &tree), -ENOENT);
	put_text("Kconfig", "");
	put_text("arch/x86/Kconfig", "");
	ck_assert_int_eq(kernel_tree_find(top, &tree), -ENOENT);
	/* headers that point behind the file's end, or are cut */
	put("short", "MZ", 2);
	ck_assert_int_eq(kernel_tree_find("short", &tree), 0);
	ck_assert_str_eq(tree.release, "");
	put_image("odd", "1");
	ck_assert_int_eq(truncate("odd", 0x300), 0);
	ck_assert_int_eq(kernel_tree_find("odd", &tree), 0);
	ck_assert_str_eq(tree.release, "");
}
END_TEST

START_TEST(packed_modules)
{
	build_tree("drivers/hv/hv_vmbus.o\n");
	put_module("p/lib/modules/6.1/a.ko", "6.1", "b");
	put_module("p/lib/modules/6.1/b.ko", "6.1", "");
	put_text("p/lib/modules/6.1/c.ko.gz", "not packed");
	put_image("p/vmlinuz", "6.1 x");
	ck_assert_int_eq(system("gzip p/lib/modules/6.1/[ab].ko"), 0);
	ck_assert_int_eq(kernel_tree_find("p", &tree), 0);
	ck_assert_int_eq(modules_open(&m, &tree), 0);
	ck_assert_int_eq(modules_want(&m, "a", MODULE_LOAD), 0);
	ck_assert_str_eq(order(), "b a");
	ck_assert_int_eq(modules_want(&m, "c", MODULE_LOAD), -EBADMSG);
}
END_TEST

START_TEST(packed_modules_and_no_program)
{
	put_image("vmlinuz", "6.1 x");
	put_text("modules/a.ko.zst", "x");
	ck_assert_int_eq(setenv("PATH", "/nonexistent", 1), 0);
	ck_assert_int_eq(open_tree(), 0);
	ck_assert_int_eq(modules_want(&m, "a", MODULE_LOAD), -ENOPKG);
	ck_assert_int_eq(setenv("PATH", "/usr/bin:/bin", 1), 0);
}
END_TEST

/* ---- KTAP */

static const struct {
	const char *text;
	const char *why; /* a part of it; NULL: all is well */
} streams[] = {
	{ "KTAP version 1\n1..1\nok 1 - a\n", NULL },
	{ "ok", NULL },
	{ "ok 1 - a\n  not ok 2 b\n", "1 of 2" },
	{ "[   12.345678] not ok 1 - a\r\n", "1 of 1" },
	{ "[ x ] not ok 1 - a\n", "no result" },
	{ "not ok 1 - a # SKIP no such thing\n", NULL },
	{ "not ok 1 - a #skip\n", NULL },
	{ "not ok 1 - a # XFAIL known\n", NULL },
	{ "not ok 1 - a #1 of many\n", "1 of 1" },
	{ "not okay\nokay\n", "no result" },
	{ "", "no result" },
	{ "ok 1\nBail out! no disk\n", "given up" },
};

START_TEST(ktap_streams)
{
	const char *text = streams[_i].text, *why;
	struct ktap k = { 0 };
	char buf[100];

	for (; *text; text++) /* byte by byte is as good */
		ktap_data(&k, text, 1);
	why = ktap_end(&k, buf, sizeof(buf));
	if (!streams[_i].why)
		ck_assert_ptr_null(why);
	else
		ck_assert_ptr_nonnull(strstr(why, streams[_i].why));
}
END_TEST

START_TEST(ktap_line_without_end)
{
	struct ktap k = { 0 };
	char buf[100];

	ktap_data(&k, "not ok 1 ", 9);
	for (int i = 0; i < 100000; i++)
		ktap_data(&k, "x\0", 2);
	ck_assert_ptr_nonnull(ktap_end(&k, buf, sizeof(buf)));
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, build_trees, 0, 4);
	tcase_add_test(t, a_module_of_another_kernel);
	tcase_add_test(t, what_is_wanted_for_more_later);
	tcase_add_test(t, a_module_from_elsewhere);
	tcase_add_test(t, modules_in_a_circle);
	tcase_add_test(t, modules_in_a_long_chain);
	tcase_add_test(t, packages);
	tcase_add_test(t, plain_folders_and_images);
	tcase_add_test(t, what_is_no_kernel);
	tcase_add_test(t, packed_modules);
	tcase_add_test(t, packed_modules_and_no_program);
	tcase_add_loop_test(t, ktap_streams, 0,
			    sizeof(streams) / sizeof(streams[0]));
	tcase_add_test(t, ktap_line_without_end);
}

int main(void)
{
	return run_suite("kernel-tree", fill);
}
