/* SPDX-License-Identifier: MIT */
/* cleanup.h - release at the end of the scope */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup_(f) __attribute__((cleanup(f)))

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define cleanup_close_ cleanup_(cleanup_close)
#define cleanup_free_ cleanup_(cleanup_free)
#define cleanup_fclose_ cleanup_(cleanup_fclose)
#define cleanup_closedir_ cleanup_(cleanup_closedir)

/* The descriptor, which is the caller's from now on. */
static inline int fd_take(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

#endif /* BASE_CLEANUP_H */
