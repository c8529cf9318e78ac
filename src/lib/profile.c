/* SPDX-License-Identifier: MIT */
/* profile.c - see profile.h */
#include "lib/profile.h"

#include <stdlib.h>
#include <string.h>

#include "proto/profile.h"

bool profile_is_windows(void)
{
	const char *name = secure_getenv("HVSOCKET_PROFILE");
	enum profile p;

	return name && profile_parse(name, strlen(name), &p) == 0 &&
	       p == PROFILE_WINDOWS;
}
