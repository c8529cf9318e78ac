/* SPDX-License-Identifier: MIT */
/* place.c - see place.h */
#include "hvctl/place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int put(char *ret, size_t size, const char *dir, const char *file)
{
	int n = snprintf(ret, size, "%s%s%s", dir, *dir ? "/" : "", file);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int place_find(const char *variable, const char *const *beside,
	       const char *installed, char *ret, size_t size)
{
	const char *named = getenv(variable);
	char exe[PATH_MAX];
	ssize_t n;

	if (named && *named) {
		if (put(ret, size, "", named))
			return -ENAMETOOLONG;
		return access(ret, F_OK) ? -errno : 0;
	}
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n > 0) {
		exe[n] = '\0';
		*strrchr(exe, '/') = '\0';
		for (; *beside; beside++)
			if (!put(ret, size, exe, *beside) &&
			    !access(ret, F_OK))
				return 0;
	}
	if (put(ret, size, "", installed))
		return -ENAMETOOLONG;
	return access(ret, F_OK) ? -errno : 0;
}
