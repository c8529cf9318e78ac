/* SPDX-License-Identifier: MIT */
/* names.c - words for numbers, and the system's users and groups */
#include "registry/registry.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"

/* Large groups need large buffers; past this the entry counts as absent. */
#define NSS_BUFFER_MAX (1024 * 1024)

static int find_user(const char *name, uint32_t *ret)
{
	struct passwd pw, *found = NULL;
	char *buf = NULL, *p;
	int r = ERANGE;

	for (size_t n = 1024; r == ERANGE && n <= NSS_BUFFER_MAX; n *= 2) {
		p = realloc(buf, n);
		if (!p)
			break;
		buf = p;
		r = getpwnam_r(name, &pw, buf, n, &found);
	}
	if (found)
		*ret = found->pw_uid;
	free(buf);
	return found ? 0 : -ENOENT;
}

static int find_group(const char *name, uint32_t *ret)
{
	struct group gr, *found = NULL;
	char *buf = NULL, *p;
	int r = ERANGE;

	for (size_t n = 1024; r == ERANGE && n <= NSS_BUFFER_MAX; n *= 2) {
		p = realloc(buf, n);
		if (!p)
			break;
		buf = p;
		r = getgrnam_r(name, &gr, buf, n, &found);
	}
	if (found)
		*ret = found->gr_gid;
	free(buf);
	return found ? 0 : -ENOENT;
}

const struct name_lookup name_lookup_system = { find_user, find_group };

const char *policy_name(enum policy p)
{
	static const char *const names[] = {
		[POLICY_DEFAULT] = "default",
		[POLICY_ENABLED] = "enabled",
		[POLICY_DISABLED] = "disabled",
	};

	return (size_t)p < ARRAY_LEN(names) ? names[p] : "default";
}

const char *origin_name(enum origin o)
{
	static const char *const names[] = {
		[ORIGIN_PACKAGE] = "package",
		[ORIGIN_ADMINISTRATOR] = "administrator",
		[ORIGIN_USER] = "user",
		[ORIGIN_CONFIG] = "config",
		[ORIGIN_VOLATILE] = "volatile",
		[ORIGIN_BUILTIN] = "builtin",
	};

	return (size_t)o < ARRAY_LEN(names) ? names[o] : "config";
}

const char *partition_kind_name(enum partition_kind k)
{
	static const char *const names[] = {
		[PARTITION_HOST] = "host",
		[PARTITION_VM] = "vm",
		[PARTITION_CONTAINER] = "container",
	};

	return (size_t)k < ARRAY_LEN(names) ? names[k] : "vm";
}
