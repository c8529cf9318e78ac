/* SPDX-License-Identifier: MIT */
/* settings.c - see settings.h */
#include "broker/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "registry/write-file.h"

/* Return: 1: there is one; 0: there is none; or -errno */
static int read_one(const char *path, struct broker_file *ret)
{
	cleanup_free_ char *text = NULL;
	struct parse_error e = { 0 };
	const char *why = NULL;
	uid_t owner;
	size_t len;
	int r;

	r = read_file(path, &text, &len, &owner, &why);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0) {
		log_err("%s: %s", path, r == -EINVAL ? why : strerror(-r));
		return r;
	}
	if (!len) /* empty, or a mask: no text */
		return 1;
	r = broker_file_parse(text, len, ret, &e);
	if (r == -EINVAL)
		log_err("%s:%u: %s", path, e.line, e.reason);
	else if (r < 0)
		log_err("%s: %s", path, strerror(-r));
	return r < 0 ? r : 1;
}

int settings_read(const struct registry_dir *dirs, size_t n,
		  struct broker_file *ret)
{
	while (n--) {
		cleanup_free_ char *path = NULL;
		int r;

		if (asprintf(&path, "%s/broker.conf", dirs[n].path) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		r = read_one(path, ret);
		if (r)
			return r < 0 ? r : 0;
	}
	return 0;
}
