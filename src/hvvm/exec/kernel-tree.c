/* SPDX-License-Identifier: MIT */
/* kernel-tree.c - see kernel-tree.h */
#include "hvvm/exec/kernel-tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "hvvm/exec/file.h"

static bool __attribute__((format(printf, 2, 3)))
join(char *ret, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(ret, PATH_MAX, fmt, ap);
	va_end(ap);
	if (n > 0 && n < PATH_MAX)
		return true;
	*ret = '\0';
	return false;
}

static bool is(const char *path, mode_t kind)
{
	struct stat st;

	return *path && stat(path, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

/* The first word of a small file. */
static void first_word(const char *path, char *ret, size_t size)
{
	cleanup_free_ uint8_t *data = NULL;
	size_t len, n;

	if (file_read(path, &data, &len) < 0)
		return;
	n = strcspn((char *)data, " \t\r\n");
	if (n < size) {
		memcpy(ret, data, n);
		ret[n] = '\0';
	}
}

/* The version that a bzImage's header points to. */
static void image_release(const char *path, char *ret, size_t size)
{
	cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t head[0x210], text[256];
	ssize_t n;
	size_t len;

	if (fd < 0 || pread(fd, head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head + 0x202, "HdrS", 4) != 0 || !le16_get(head + 0x20e))
		return;
	n = pread(fd, text, sizeof(text) - 1, 0x200 + le16_get(head + 0x20e));
	if (n <= 0)
		return;
	text[n] = 0;
	len = strcspn((char *)text, " ");
	if (len < size && len < (size_t)n) {
		memcpy(ret, text, len);
		ret[len] = '\0';
	}
}

/* ---- kinds of folders. Return: 1: it is one */

static int build_tree(const char *path, struct kernel_tree *t)
{
	char p[PATH_MAX];

	if (join(t->image, "%s/arch/x86/boot/bzImage", path) &&
	    is(t->image, S_IFREG)) {
		t->build_tree = true;
		(void)join(t->modules, "%s", path);
		if (join(p, "%s/include/config/kernel.release", path))
			first_word(p, t->release, sizeof(t->release));
		return 1;
	}
	if (join(p, "%s/Kconfig", path) && is(p, S_IFREG) &&
	    join(p, "%s/arch/x86", path) && is(p, S_IFDIR)) {
		log_err("-k %s: a kernel's sources without "
			"arch/x86/boot/bzImage: it is not built (make), or "
			"its build tree (O=) is elsewhere",
			path);
		return -ENOENT;
	}
	return 0;
}

static int by_version(const struct dirent **a, const struct dirent **b)
{
	return strverscmp((*a)->d_name, (*b)->d_name);
}

static int is_vmlinuz(const struct dirent *e)
{
	return strncmp(e->d_name, "vmlinuz-", 8) == 0 && e->d_name[8];
}

static void modules_of_release(const char *path, struct kernel_tree *t)
{
	if (join(t->modules, "%s/lib/modules/%s", path, t->release) &&
	    is(t->modules, S_IFDIR))
		return;
	if (join(t->modules, "%s/usr/lib/modules/%s", path, t->release) &&
	    is(t->modules, S_IFDIR))
		return;
	t->modules[0] = '\0';
}

/* boot/vmlinuz-V: the newest, or in / the one that runs. */
static int package(const char *path, struct kernel_tree *t)
{
	struct dirent **found = NULL;
	struct utsname u;
	char boot[PATH_MAX], real[PATH_MAX];
	const char *name = NULL;
	int n;

	if (!join(boot, "%s/boot", path))
		return 0;
	n = scandir(boot, &found, is_vmlinuz, by_version);
	for (int i = 0; i < n; i++)
		if (strlen(found[i]->d_name + 8) < sizeof(t->release))
			name = found[i]->d_name;
	if (name && realpath(path, real) && strcmp(real, "/") == 0 &&
	    uname(&u) == 0)
		for (int i = 0; i < n; i++)
			if (strcmp(found[i]->d_name + 8, u.release) == 0)
				name = found[i]->d_name;
	if (name && join(t->image, "%s/%s", boot, name)) {
		strcpy(t->release, name + 8);
		modules_of_release(path, t);
	}
	for (int i = 0; i < n; i++)
		free(found[i]);
	free(found);
	return name && t->image[0] ? 1 : 0;
}

/* vmlinuz, and modules or lib/modules/V beside it. */
static int plain(const char *path, struct kernel_tree *t)
{
	char p[PATH_MAX];

	if (!join(t->image, "%s/vmlinuz", path) || !is(t->image, S_IFREG))
		return 0;
	if (join(p, "%s/release", path) && is(p, S_IFREG))
		first_word(p, t->release, sizeof(t->release));
	else
		image_release(t->image, t->release, sizeof(t->release));
	if (join(t->modules, "%s/modules", path) && is(t->modules, S_IFDIR))
		return 1;
	t->modules[0] = '\0';
	if (t->release[0])
		modules_of_release(path, t);
	return 1;
}

int kernel_tree_find(const char *path, struct kernel_tree *ret)
{
	struct stat st;
	int r;

	*ret = (struct kernel_tree) { 0 };
	if (stat(path, &st) < 0) {
		r = -errno;
		log_err("-k %s: %s", path, strerror(-r));
		return r;
	}
	if (!S_ISDIR(st.st_mode)) {
		if (!join(ret->image, "%s", path))
			return -ENAMETOOLONG;
		image_release(path, ret->release, sizeof(ret->release));
		return 0;
	}
	r = build_tree(path, ret);
	if (r == 0)
		r = package(path, ret);
	if (r == 0)
		r = plain(path, ret);
	if (r == 0) {
		log_err("-k %s: no kernel in this folder (looked for "
			"arch/x86/boot/bzImage, boot/vmlinuz-*, vmlinuz)",
			path);
		r = -ENOENT;
	}
	return r < 0 ? r : 0;
}
