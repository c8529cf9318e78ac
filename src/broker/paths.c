/* SPDX-License-Identifier: MIT */
/* paths.c - see paths.h */
#include "broker/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

void paths_free(struct paths *p)
{
	free(p->runtime_dir);
	for (size_t i = 0; i < p->ndirs; i++)
		free(p->dirs[i].path);
}

static int add(struct paths *p, enum origin origin, char *path)
{
	if (!path)
		return -ENOMEM;
	p->dirs[p->ndirs++] = (struct registry_dir){ path, origin };
	return 0;
}

static char *joined(const char *a, const char *b)
{
	char *s;

	return asprintf(&s, "%s%s", a, b) < 0 ? NULL : s;
}

static char *user_runtime_dir(void)
{
	const char *env = getenv("XDG_RUNTIME_DIR");
	char run[64];
	struct stat st;

	if (env && env[0] == '/')
		return joined(env, "/hvsocket");
	snprintf(run, sizeof(run), "/run/user/%u", geteuid());
	if (stat(run, &st) == 0 && S_ISDIR(st.st_mode))
		return joined(run, "/hvsocket");
	errno = ENOENT;
	return NULL;
}

static char *user_config_dir(void)
{
	const char *env = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (env && env[0] == '/')
		return joined(env, "/hvsocket");
	return joined(home && home[0] == '/' ? home : "", "/.config/hvsocket");
}

int paths_find(bool system, struct paths *ret)
{
	const char *env = getenv("HVSOCKET_RUNTIME_DIR");
	struct paths p = { .ndirs = 0 };
	int r;

	if (env && env[0] == '/')
		p.runtime_dir = strdup(env);
	else
		p.runtime_dir = system ? strdup("/run/hvsocket") :
					 user_runtime_dir();
	r = p.runtime_dir ? 0 : -errno;
	if (r == 0)
		r = add(&p, ORIGIN_PACKAGE, strdup(HVSOCKET_VENDORDIR));
	if (r == 0 && (system || access(HVSOCKET_SYSCONFDIR, X_OK) == 0))
		r = add(&p, ORIGIN_ADMINISTRATOR, strdup(HVSOCKET_SYSCONFDIR));
	if (r == 0 && !system)
		r = add(&p, ORIGIN_USER, user_config_dir());
	if (r < 0) {
		paths_free(&p);
		return r;
	}
	*ret = p;
	return 0;
}
