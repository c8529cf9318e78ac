/* SPDX-License-Identifier: MIT */
/* exempt.c - is the program that the library is loaded into left alone? */
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

#include "preload/ours.h"

static bool exempt;

/*
 * hvsocketd, hvsocket-vhost-user and the like: they handle the AF_UNIX sockets
 * that Hyper-V sockets are made of, and have to see them as such. By the name
 * of the file, which the kernel left on the stack.
 */
__attribute__((constructor)) static void look_at_program(void)
{
	const char *path = (const char *)(uintptr_t)getauxval(AT_EXECFN);
	const char *slash = path ? strrchr(path, '/') : NULL;
	const char *file = slash ? slash + 1 : path;

	exempt = file && (strcmp(file, "hvsocketd") == 0 ||
			  strncmp(file, "hvsocket-", 9) == 0);
}

bool ours_exempt(void)
{
	return exempt;
}
