/* SPDX-License-Identifier: MIT */
/* file.h - whole files into memory, unpacked where they are packed */
#ifndef HVVM_EXEC_FILE_H
#define HVVM_EXEC_FILE_H

#include <stddef.h>
#include <stdint.h>

#define FILE_MOST (512ull << 20)

/** file_read() - all of it, and a zero byte behind it. Return: 0; -EFBIG: more
 * than FILE_MOST; -EISDIR or another -errno */
int file_read(const char *path, uint8_t **ret, size_t *ret_len);

/** file_unpack() - the same for FILE.xz, FILE.zst and FILE.gz, unpacked by the
 * program for that; others as they are. Return: as above; -ENOPKG: *@ret_tool
 * is not installed; -EBADMSG: it refused the file */
int file_unpack(const char *path, uint8_t **ret, size_t *ret_len,
		const char **ret_tool);

#endif /* HVVM_EXEC_FILE_H */
