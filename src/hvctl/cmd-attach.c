/* SPDX-License-Identifier: MIT */
/*
 * cmd-attach.c - hvctl attach TRANSPORT [ARGUMENT]...
 *
 * Becomes the transport's program, hvsocket-TRANSPORT of libexec; all that
 * follows is for it.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config.h"
#include "hvctl/out.h"
#include "hvctl/verbs.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

static int find(const char *name, char *ret, size_t size)
{
	const char *dir = getenv("HVSOCKET_LIBEXECDIR");
	char exe[PATH_MAX];
	ssize_t n;

	if (!dir || !*dir) {
		n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
		if (n > 0) {
			exe[n] = '\0';
			*strrchr(exe, '/') = '\0';
			n = snprintf(ret, size,
				     "%s/../transport/hvsocket-%s", exe, name);
			if (n < (ssize_t)size && !access(ret, X_OK))
				return 0; /* a build tree */
		}
		dir = HVSOCKET_LIBEXECDIR;
	}
	n = snprintf(ret, size, "%s/hvsocket-%s", dir, name);
	if (n >= (ssize_t)size)
		return -ENAMETOOLONG;
	return access(ret, X_OK) ? -errno : 0;
}

int cmd_attach(struct ctl *c, const struct args *a)
{
	const char *name = a->pos[0];
	char path[PATH_MAX * 2];
	cleanup_free_ char **argv = NULL;
	size_t n = 0;
	int r;

	(void)c;
	if (!*name || name[strspn(name, letters)])
		return usage("attach: %s: not the name of a transport",
			     show(name));
	r = find(name, path, sizeof(path));
	if (r)
		return complain("attach %s: no such transport: %s: %s", name,
			    show(path), strerror(-r));
	while (a->rest && a->rest[n])
		n++;
	argv = calloc(n + 2, sizeof(*argv));
	if (!argv)
		return complain("attach %s: %s", name, strerror(ENOMEM));
	argv[0] = path;
	for (size_t i = 0; i < n; i++)
		argv[i + 1] = a->rest[i];
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	execv(path, argv);
	return complain("attach %s: %s: %s", name, show(path), strerror(errno));
}
