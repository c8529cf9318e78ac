/* SPDX-License-Identifier: MIT */
/* write-file.c - see write-file.h */
#include "registry/write-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "registry/parse.h"

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int put_in_place(int dir, const char *from, const char *to,
			bool overwrite)
{
	if (overwrite)
		return renameat(dir, from, dir, to) < 0 ? -errno : 0;
	if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system without it: a link does not replace either. */
	if (linkat(dir, from, dir, to, 0) < 0)
		return -errno;
	unlinkat(dir, from, 0);
	return 0;
}

static int write_new(int dir, const char *temporary, const void *data,
		     size_t len, mode_t mode)
{
	cleanup_close_ int fd = -1;
	int r;

	fd = openat(dir, temporary,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	/* Some file systems say only now that there was no room. */
	if (close(fd_take(&fd)) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, temporary, 0);
	return r;
}

int write_file(const char *dir, const char *name, const void *data, size_t len,
	       mode_t mode, bool overwrite)
{
	cleanup_close_ int fd = -1;
	char temporary[64];
	struct timespec now;
	int r;

	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!overwrite && faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(temporary, sizeof(temporary), WRITE_FILE_TEMPORARY "%x-%llx",
		 (unsigned int)getpid(),
		 (unsigned long long)now.tv_sec * 1000000000ull +
			 (unsigned long long)now.tv_nsec);
	r = write_new(fd, temporary, data, len, mode);
	if (r < 0)
		return r;
	r = put_in_place(fd, temporary, name, overwrite);
	if (r < 0) {
		unlinkat(fd, temporary, 0);
		return r;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int make_directories(const char *path, mode_t mode)
{
	cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; *copy; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST && !c)
			return -errno;
		*p = c;
		if (!c)
			break;
	}
	return 0;
}

void write_file_tidy(const char *dir, time_t age)
{
	cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, WRITE_FILE_TEMPORARY,
			    strlen(WRITE_FILE_TEMPORARY)) != 0)
			continue;
		if (fstatat(dirfd(d), e->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_mtime <= time(NULL) - age)
			unlinkat(dirfd(d), e->d_name, 0);
	}
}

static int judge(const struct stat *st, const char **why)
{
	if (!S_ISREG(st->st_mode))
		*why = "not a regular file";
	else if (st->st_mode & S_IWOTH)
		*why = "writable by everyone: not trusted";
	else if (st->st_size > REGISTRY_FILE_MAX)
		*why = "larger than 64 KiB";
	else
		return 0;
	return -EINVAL;
}

static int read_all(int fd, char **ret, size_t *ret_len, const char **why)
{
	cleanup_free_ char *buf = NULL;
	size_t len = 0;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* One more than allowed: it may grow while it is read. */
	buf = malloc((size_t)st.st_size + 2);
	if (!buf)
		return -ENOMEM;
	while (len <= (size_t)st.st_size) {
		n = read(fd, buf + len, (size_t)st.st_size + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
	}
	if (len > REGISTRY_FILE_MAX) {
		*why = "larger than 64 KiB";
		return -EINVAL;
	}
	buf[len] = '\0';
	*ret = buf;
	*ret_len = len;
	buf = NULL;
	return 0;
}

int read_file(const char *path, char **ret, size_t *ret_len, uid_t *ret_owner,
	      const char **why)
{
	cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	*why = "cannot be read";
	/* Looked at before it is opened: opening a device may do something. */
	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) {
		*ret = NULL;
		*ret_len = 0;
		return 0;
	}
	r = judge(&st, why);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	r = judge(&st, why);
	if (r < 0)
		return r;
	*ret_owner = st.st_uid;
	return read_all(fd, ret, ret_len, why);
}
