/* SPDX-License-Identifier: MIT */
/* profile.c - see profile.h */
#include "proto/profile.h"

#include <errno.h>
#include <string.h>

static const char *const names[] = {
	[PROFILE_DEFAULT] = "default",
	[PROFILE_WINDOWS] = "windows",
};

int profile_parse(const char *text, size_t len, enum profile *ret)
{
	if (!len) {
		*ret = PROFILE_DEFAULT;
		return 0;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == len &&
		    memcmp(names[i], text, len) == 0) {
			*ret = (enum profile)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *profile_name(enum profile p)
{
	return names[p];
}
