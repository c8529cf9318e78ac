/* SPDX-License-Identifier: MIT */
/* test-cpio.c - the archive that is an initial file system, read again */
#include "../unit/suite.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hvvm/exec/cpio.h"

static struct cpio c;

struct entry {
	char name[256];
	unsigned int mode, major_no, minor_no, inode;
	size_t len;
	uint8_t data[8192];
};

static struct entry entries[32];
static unsigned int count;

static unsigned int field(const uint8_t *head, unsigned int i)
{
	char text[9] = { 0 };

	memcpy(text, head + 6 + i * 8ul, 8);
	return (unsigned int)strtoul(text, NULL, 16);
}

/* As the kernel would; ends with the trailer. */
static void unpack(int fd)
{
	static uint8_t all[1 << 17];
	ssize_t n = pread(fd, all, sizeof(all), 0);
	size_t at = 0;

	for (count = 0;; count++) {
		struct entry *e = &entries[count];
		unsigned int name_len;

		ck_assert_int_ge(n, (ssize_t)at + 110);
		ck_assert_uint_lt(count, 32);
		ck_assert(memcmp(all + at, "070701", 6) == 0);
		ck_assert_uint_eq(at % 4, 0);
		e->inode = field(all + at, 0);
		e->mode = field(all + at, 1);
		ck_assert_uint_eq(field(all + at, 2), 0); /* root's */
		e->len = field(all + at, 6);
		e->major_no = field(all + at, 9);
		e->minor_no = field(all + at, 10);
		name_len = field(all + at, 11);
		ck_assert_uint_lt(name_len, sizeof(e->name));
		memcpy(e->name, all + at + 110, name_len);
		ck_assert_int_eq(e->name[name_len - 1], 0);
		at = (at + 110 + name_len + 3) / 4 * 4;
		if (strcmp(e->name, "TRAILER!!!") == 0)
			break;
		ck_assert_uint_le(e->len, sizeof(e->data));
		memcpy(e->data, all + at, e->len);
		at = (at + e->len + 3) / 4 * 4;
	}
	ck_assert_int_eq(n, (ssize_t)at);
	close(fd);
}

static void finish(void)
{
	int fd = -1;

	ck_assert_int_eq(cpio_end(&c, &fd), 0);
	cpio_free(&c);
	unpack(fd);
}

static void begin(void)
{
	ck_assert_int_eq(cpio_new(&c), 0);
}

START_TEST(all_kinds)
{
	int fd = memfd_create("x", MFD_CLOEXEC);

	begin();
	ck_assert_int_eq(write(fd, "12345", 5), 5);
	ck_assert_int_eq(cpio_data(&c, "/a/b/file", 0640, "hello", 5), 0);
	ck_assert_int_eq(cpio_copy(&c, "a/copy", 0755, fd, 5), 0);
	ck_assert_int_eq(cpio_link(&c, "//a/./link", "b/file"), 0);
	ck_assert_int_eq(cpio_char(&c, "dev/console", 0600, 5, 1), 0);
	ck_assert_int_eq(cpio_dir(&c, "empty/", 0700), 0);
	finish();
	ck_assert_uint_eq(count, 8);
	ck_assert_str_eq(entries[0].name, "a");
	ck_assert_uint_eq(entries[0].mode, S_IFDIR | 0755);
	ck_assert_str_eq(entries[1].name, "a/b");
	ck_assert_str_eq(entries[2].name, "a/b/file");
	ck_assert_uint_eq(entries[2].mode, S_IFREG | 0640);
	ck_assert(memcmp(entries[2].data, "hello", 5) == 0);
	ck_assert_str_eq(entries[3].name, "a/copy");
	ck_assert(memcmp(entries[3].data, "12345", 5) == 0);
	ck_assert_str_eq(entries[4].name, "a/link");
	ck_assert_uint_eq(entries[4].mode, S_IFLNK | 0777);
	ck_assert(memcmp(entries[4].data, "b/file", 6) == 0);
	ck_assert_str_eq(entries[6].name, "dev/console");
	ck_assert_uint_eq(entries[6].major_no, 5);
	ck_assert_uint_eq(entries[6].minor_no, 1);
	ck_assert_uint_eq(entries[7].mode, S_IFDIR | 0700);
	/* files of one number would be one file with two names */
	for (unsigned int i = 0; i < count; i++)
		for (unsigned int j = 0; j < i; j++)
			ck_assert_uint_ne(entries[i].inode, entries[j].inode);
	close(fd);
}
END_TEST

START_TEST(names_that_are_taken)
{
	begin();
	ck_assert_int_eq(cpio_data(&c, "a/b", 0644, "1", 1), 0);
	ck_assert_int_eq(cpio_data(&c, "/a//b", 0644, "2", 1), 1);
	ck_assert_int_eq(cpio_dir(&c, "a", 0755), 1);
	ck_assert_int_eq(cpio_dir(&c, "a/b", 0755), -ENOTDIR);
	ck_assert_int_eq(cpio_data(&c, "a/b/c", 0644, "3", 1), -ENOTDIR);
	ck_assert_int_eq(cpio_link(&c, "a", "x"), 1);
	finish();
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(entries[1].data[0], '1');
}
END_TEST

START_TEST(names_that_are_none)
{
	static char name[PATH_MAX + 10];

	memset(name, 'x', sizeof(name) - 1);
	begin();
	ck_assert_int_eq(cpio_data(&c, "a/../b", 0644, "", 0), -EINVAL);
	ck_assert_int_eq(cpio_data(&c, "..", 0644, "", 0), -EINVAL);
	ck_assert_int_eq(cpio_data(&c, "/", 0644, "", 0), -EINVAL);
	ck_assert_int_eq(cpio_data(&c, "", 0644, "", 0), -EINVAL);
	ck_assert_int_eq(cpio_data(&c, name, 0644, "", 0), -ENAMETOOLONG);
	ck_assert_int_eq(cpio_link(&c, "l", ""), -EINVAL);
	ck_assert_int_eq(cpio_dir(&c, "/", 0755), 1);
	ck_assert_int_eq(cpio_data(&c, "..x", 0644, "", 0), 0);
	finish();
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(entries[0].name, "..x");
}
END_TEST

/* Padding is at every length where the kernel expects it. */
START_TEST(every_length)
{
	uint8_t data[17];
	char name[20] = { 0 };

	memset(data, 'd', sizeof(data));
	begin();
	for (unsigned int i = 0; i < 17; i++) {
		memset(name, 'a' + (int)i, i + 1);
		ck_assert_int_eq(cpio_data(&c, name, 0644, data, i), 0);
	}
	finish();
	ck_assert_uint_eq(count, 17);
	for (unsigned int i = 0; i < 17; i++)
		ck_assert_uint_eq(entries[i].len, i);
}
END_TEST

START_TEST(a_file_that_shrinks)
{
	int fd = memfd_create("x", MFD_CLOEXEC);

	begin();
	ck_assert_int_eq(write(fd, "123", 3), 3);
	ck_assert_int_eq(cpio_copy(&c, "f", 0644, fd, 4), -EIO);
	ck_assert_int_eq(cpio_copy(&c, "g", 0644, fd, 1ll << 32), -EFBIG);
	cpio_free(&c);
	cpio_free(&c);
	close(fd);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, all_kinds);
	tcase_add_test(t, names_that_are_taken);
	tcase_add_test(t, names_that_are_none);
	tcase_add_test(t, every_length);
	tcase_add_test(t, a_file_that_shrinks);
}

int main(void)
{
	return run_suite("cpio", fill);
}
