/* SPDX-License-Identifier: MIT */
/* cpio.c - see cpio.h */
#include "hvvm/exec/cpio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

struct cpio_name {
	UT_hash_handle hh;
	mode_t kind;
	char text[];
};

int cpio_new(struct cpio *c)
{
	int fd = memfd_create("initramfs", MFD_CLOEXEC);

	*c = (struct cpio) { 0 };
	if (fd < 0)
		return -errno;
	c->f = fdopen(fd, "w+e");
	if (!c->f) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

void cpio_free(struct cpio *c)
{
	struct cpio_name *n, *next;

	HASH_ITER (hh, c->names, n, next) {
		HASH_DEL(c->names, n);
		free(n);
	}
	if (c->f)
		fclose(c->f);
	*c = (struct cpio) { 0 };
}

/* Without slashes at the ends and doubled ones, without ".". */
static int normal(const char *name, char *ret)
{
	size_t at = 0, n;

	for (;;) {
		name += strspn(name, "/");
		n = strcspn(name, "/");
		if (n == 0)
			break;
		if (n == 2 && memcmp(name, "..", 2) == 0)
			return -EINVAL;
		if (n != 1 || *name != '.') {
			if (at + n + 2 > PATH_MAX)
				return -ENAMETOOLONG;
			if (at)
				ret[at++] = '/';
			memcpy(ret + at, name, n);
			at += n;
		}
		name += n;
	}
	ret[at] = '\0';
	return 0;
}

static void pad(struct cpio *c, size_t len)
{
	static const char zeros[4];

	fwrite(zeros, 1, (size_t)-len % 4, c->f);
}

static void head(struct cpio *c, const char *name, mode_t mode, uint32_t len,
		 unsigned int major_no, unsigned int minor_no)
{
	size_t name_len = strlen(name) + 1;
	int n = fprintf(c->f,
			"070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X"
			"%08X%08X",
			++c->inode, (unsigned int)mode, 0u, 0u, 1u, 0u, len, 0u,
			0u, major_no, minor_no, (unsigned int)name_len, 0u);

	fwrite(name, 1, name_len, c->f);
	pad(c, (size_t)n + name_len);
}

/* @name is free, and the folders above it are there: remember it. */
static int begin(struct cpio *c, const char *name, mode_t mode, char *ret)
{
	struct cpio_name *n;
	size_t len;
	char *slash;
	int r = normal(name, ret);

	if (r < 0)
		return r;
	if (!*ret)
		return S_ISDIR(mode) ? 1 : -EINVAL;
	len = strlen(ret);
	HASH_FIND(hh, c->names, ret, len, n);
	if (n)
		return S_ISDIR(mode) && n->kind != S_IFDIR ? -ENOTDIR : 1;
	slash = strrchr(ret, '/');
	if (slash) {
		*slash = '\0';
		r = cpio_dir(c, ret, 0755);
		*slash = '/';
		if (r < 0)
			return r;
	}
	n = malloc(sizeof(*n) + len + 1);
	if (!n)
		return -ENOMEM;
	n->kind = mode & S_IFMT;
	memcpy(n->text, ret, len + 1);
	HASH_ADD(hh, c->names, text, len, n);
	return 0;
}

int cpio_dir(struct cpio *c, const char *name, mode_t mode)
{
	char path[PATH_MAX];
	int r;

	mode = S_IFDIR | (mode & 07777);
	r = begin(c, name, mode, path);
	if (r == 0)
		head(c, path, mode, 0, 0, 0);
	return r;
}

int cpio_data(struct cpio *c, const char *name, mode_t mode, const void *data,
	      size_t len)
{
	char path[PATH_MAX];
	int r;

	if (len > UINT32_MAX)
		return -EFBIG;
	mode = S_IFREG | (mode & 07777);
	r = begin(c, name, mode, path);
	if (r != 0)
		return r;
	head(c, path, mode, (uint32_t)len, 0, 0);
	fwrite(data, 1, len, c->f);
	pad(c, len);
	return 0;
}

int cpio_copy(struct cpio *c, const char *name, mode_t mode, int fd, off_t len)
{
	char path[PATH_MAX], buf[65536];
	off_t at = 0;
	int r;

	if (len < 0 || len > UINT32_MAX)
		return -EFBIG;
	mode = S_IFREG | (mode & 07777);
	r = begin(c, name, mode, path);
	if (r != 0)
		return r;
	head(c, path, mode, (uint32_t)len, 0, 0);
	while (at < len) {
		size_t most = sizeof(buf);
		ssize_t n;

		if ((off_t)most > len - at)
			most = (size_t)(len - at);
		n = pread(fd, buf, most, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		fwrite(buf, 1, (size_t)n, c->f);
		at += n;
	}
	pad(c, (size_t)len);
	return 0;
}

int cpio_link(struct cpio *c, const char *name, const char *target)
{
	char path[PATH_MAX];
	size_t len = strlen(target);
	int r;

	if (!len || len >= PATH_MAX)
		return -EINVAL;
	r = begin(c, name, S_IFLNK, path);
	if (r != 0)
		return r;
	head(c, path, S_IFLNK | 0777, (uint32_t)len, 0, 0);
	fwrite(target, 1, len, c->f);
	pad(c, len);
	return 0;
}

int cpio_char(struct cpio *c, const char *name, mode_t mode,
	      unsigned int major_no, unsigned int minor_no)
{
	char path[PATH_MAX];
	int r;

	mode = S_IFCHR | (mode & 07777);
	r = begin(c, name, mode, path);
	if (r == 0)
		head(c, path, mode, 0, major_no, minor_no);
	return r;
}

int cpio_end(struct cpio *c, int *ret_fd)
{
	int fd;

	c->inode = UINT32_MAX; /* the last one's is 0 */
	head(c, "TRAILER!!!", 0, 0, 0, 0);
	if (fflush(c->f) != 0)
		return -errno;
	if (ferror(c->f))
		return -ENOSPC;
	fd = fcntl(fileno(c->f), F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}
