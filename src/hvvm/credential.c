/* SPDX-License-Identifier: MIT */
/* credential.c - see credential.h */
#include "hvvm/credential.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"

#define NAME_MAX_LEN 255u

static bool printable(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] < ' ' || p[i] > '~')
			return false;
	return true;
}

int credential_parse(const char *arg, size_t *ret_name_len,
		     const char **ret_file, const char **ret_value,
		     const char **ret_why)
{
	size_t n = strcspn(arg, "=:");

	*ret_file = *ret_value = NULL;
	*ret_name_len = n;
	if (!arg[n])
		*ret_why = "NAME=VALUE or NAME:FILE is wanted";
	else if (!n || n > NAME_MAX_LEN)
		*ret_why = "the name has 1 to 255 bytes";
	else if (memchr(arg, '/', n) || !printable(arg, n) ||
		 (n <= 2 && strspn(arg, ".") == n))
		*ret_why = "the name has to be one that a file could have, in "
			   "ASCII";
	else if (arg[n] == ':' && !arg[n + 1])
		*ret_why = "the file's name is missing";
	else
		*ret_why = NULL;
	if (*ret_why)
		return -EINVAL;
	*(arg[n] == '=' ? ret_value : ret_file) = arg + n + 1;
	return 0;
}

char *credential_string(const char *name, size_t name_len, const void *value,
			size_t len)
{
	cleanup_free_ char *packed = NULL;
	char *text;
	int r;

	if (printable(value, len)) {
		r = asprintf(&text, "io.systemd.credential:%.*s=%.*s",
			     (int)name_len, name, (int)len,
			     (const char *)value);
		return r < 0 ? NULL : text;
	}
	packed = base64_encode(value, len);
	if (!packed)
		return NULL;
	r = asprintf(&text, "io.systemd.credential.binary:%.*s=%s",
		     (int)name_len, name, packed);
	return r < 0 ? NULL : text;
}
