/* SPDX-License-Identifier: MIT */
/* state-file.h - a process's state in a file in memory, for another one */
#ifndef TRANSPORT_STATE_FILE_H
#define TRANSPORT_STATE_FILE_H

#include <stddef.h>
#include <stdint.h>

/** state_file_write() - a file with @p, sealed: nobody changes it any more.
 * Return: 0 or -errno */
int state_file_write(const char *name, const uint8_t *p, size_t len, int *ret);
/** state_file_read() - @len bytes, to be freed. Return: 0; -EINVAL: the file
 * has not that many, or they are more than @max; -errno */
int state_file_read(int fd, uint64_t len, uint64_t max, uint8_t **ret);

#endif /* TRANSPORT_STATE_FILE_H */
