/* SPDX-License-Identifier: MIT */
/* state-file.c - see state-file.h */
#include "transport/state-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

int state_file_write(const char *name, const uint8_t *p, size_t len, int *ret)
{
	cleanup_close_ int fd = -1;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, p + at, len - at);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	*ret = fd_take(&fd);
	return 0;
}

int state_file_read(int fd, uint64_t len, uint64_t max, uint8_t **ret)
{
	cleanup_free_ uint8_t *p = NULL;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || len > max ||
	    (uint64_t)st.st_size < len)
		return -EINVAL;
	p = malloc(len ? len : 1);
	if (!p)
		return -ENOMEM;
	for (size_t at = 0; at < len;) {
		ssize_t n = pread(fd, p + at, len - at, (off_t)at);

		if (n <= 0)
			return -EINVAL;
		at += (size_t)n;
	}
	*ret = p;
	p = NULL;
	return 0;
}
