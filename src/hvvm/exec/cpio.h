/* SPDX-License-Identifier: MIT */
/*
 * cpio.h - writes an initial file system: a cpio archive, "newc" form, in a
 * memfd
 *
 * Names are absolute or relative to the root, which is the same. Folders above
 * a name come by themselves. All belongs to root; times are zero, so that the
 * same input gives the same bytes.
 */
#ifndef HVVM_EXEC_CPIO_H
#define HVVM_EXEC_CPIO_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct cpio_name;

struct cpio {
	FILE *f;
	unsigned int inode;
	struct cpio_name *names;
};

/** cpio_new() - Return: 0 or -errno */
int cpio_new(struct cpio *c);
void cpio_free(struct cpio *c); /* twice is fine */

/*
 * Return: 0; 1: there is something of that name, which stays; -EINVAL: a name
 * with "..", or none; -ENAMETOOLONG; -ENOTDIR: what should be the folder is
 * none; -EFBIG: 4 GiB or more; -EIO: @fd is shorter than @len; another -errno.
 */
int cpio_dir(struct cpio *c, const char *name, mode_t mode);
int cpio_data(struct cpio *c, const char *name, mode_t mode, const void *data,
	      size_t len);
int cpio_copy(struct cpio *c, const char *name, mode_t mode, int fd, off_t len);
int cpio_link(struct cpio *c, const char *name, const char *target);
int cpio_char(struct cpio *c, const char *name, mode_t mode,
	      unsigned int major_no, unsigned int minor_no);

/** cpio_end() - the archive is whole. Return: 0, and *@ret_fd is the memfd,
 * which is the caller's; or -errno */
int cpio_end(struct cpio *c, int *ret_fd);

#endif /* HVVM_EXEC_CPIO_H */
