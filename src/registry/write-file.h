/* SPDX-License-Identifier: MIT */
/*
 * write-file.h - files that are there whole or not at all
 *
 * A temporary file in the same directory is written, synced and renamed, and
 * the directory is synced. A temporary file's name begins with
 * WRITE_FILE_TEMPORARY: readers ignore it (it is hidden and has no .conf).
 */
#ifndef REGISTRY_WRITE_FILE_H
#define REGISTRY_WRITE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define WRITE_FILE_TEMPORARY ".hvsocket-new-"

/** write_file() - DIR/NAME with @data. Return: 0; -EEXIST unless @overwrite;
 * or -errno, with what stood there before untouched */
int write_file(const char *dir, const char *name, const void *data, size_t len,
	       mode_t mode, bool overwrite);

/** make_directories() - @path and its parents. Return: 0 or -errno */
int make_directories(const char *path, mode_t mode);

/** write_file_tidy() - remove temporary files left in @dir; @age: only those
 * not touched for so many seconds (another program may be at work) */
void write_file_tidy(const char *dir, time_t age);

/** read_file() - a regular file that others cannot write
 * @path:	is followed if it is a symbolic link
 * @ret:	its bytes and a zero behind, the caller's; NULL for a mask
 *		(/dev/null)
 * @why:	a constant sentence on failure
 *
 * Return: 0; -ENOENT; -EINVAL (not regular, too large, writable by all); or
 * -errno.
 */
int read_file(const char *path, char **ret, size_t *ret_len, uid_t *ret_owner,
	      const char **why);

#endif /* REGISTRY_WRITE_FILE_H */
