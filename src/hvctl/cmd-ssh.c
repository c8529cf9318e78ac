/* SPDX-License-Identifier: MIT */
/*
 * cmd-ssh.c - hvctl ssh [USER@]VM [ARGUMENT]..., and hvctl shell
 *
 * Becomes ssh(1). For programs that start ssh themselves, --config prints
 * what belongs into ~/.ssh/config: before ssh reads the stanzas of the VMs,
 * it has hvctl write them anew (--update), one for each partition, in which
 * all stands by VmId. So no name that a guest or its administrator has chosen
 * is ever a word of a command, and a renamed VM keeps its key.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/out.h"
#include "hvctl/session.h"
#include "hvctl/session-key.h"
#include "hvctl/verbs.h"

static int failed(const char *path, int error)
{
	complain("ssh: %s: %s", show(path), strerror(error));
	return SESSION_FAILED;
}

/* $XDG_DATA_HOME/hvsocket/ssh_config; to be freed */
static char *config_path(void)
{
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	char *path;
	int r;

	if (data && data[0] == '/')
		r = asprintf(&path, "%s/hvsocket/ssh_config", data);
	else
		r = asprintf(&path, "%s/.local/share/hvsocket/ssh_config",
			     home && home[0] == '/' ? home : "/root");
	return r < 0 ? NULL : path;
}

static int make_directories(const char *path)
{
	cleanup_free_ char *dir = strdup(path);

	if (!dir)
		return -ENOMEM;
	for (char *p = strchr(dir + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

/* A name that means itself in a Host line. */
static bool plain(const char *name)
{
	for (const unsigned char *p = (const unsigned char *)name; *p; p++)
		if (*p <= ' ' || *p == 127 || strchr("*?!\"'#,\\/%", *p))
			return false;
	return *name != '\0';
}

static int write_stanza(FILE *f, const json_t *p)
{
	const char *id = json_text(p, "id");
	const char *name = json_text(p, "name");
	char proxy[PATH_MAX * 2 + 256];
	GUID g;
	int r;

	if (guid_parse(id, &g) || !strcmp(json_text(p, "kind"), "host"))
		return 0;
	r = session_proxy(id, SESSION_SERVICE, "10", proxy, sizeof(proxy));
	if (r)
		return r;
	fprintf(f, "Host hv/%s hv%%%s", id, id);
	if (plain(name))
		fprintf(f, " hv/%s hv%%%s", name, name);
	fprintf(f, "\n\tProxyCommand %s\n\tProxyUseFdpass yes\n"
		   "\tHostKeyAlias hv-%s\n\tCheckHostIP no\n", proxy, id);
	return 0;
}

/* All or nothing under the final name: another ssh may be reading it. */
static int write_config(const char *path, const json_t *list)
{
	cleanup_free_ char *temporary = NULL;
	cleanup_fclose_ FILE *f = NULL;
	size_t i;
	json_t *p;
	int fd, r = 0;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	f = fdopen(fd, "w");
	if (!f) {
		r = -errno;
		close(fd);
	}
	if (f)
		fprintf(f, "# Written by hvctl ssh --update.\n");
	if (f)
		json_array_foreach(list, i, p)
			if (!r)
				r = write_stanza(f, p);
	if (!r && (fflush(f) || ferror(f)))
		r = errno ? -errno : -EIO;
	if (!r && rename(temporary, path) < 0)
		r = -errno;
	if (r)
		unlink(temporary);
	return r;
}

static int update(struct ctl *c, const char *path)
{
	cleanup_json_ json_t *reply = NULL;
	int r;

	if (call_or_say(c, json_pack("{s:s}", "method", "partition.list"),
			NULL, &reply))
		return SESSION_FAILED;
	r = make_directories(path);
	if (!r)
		r = write_config(path, json_object_get(reply, "partitions"));
	return r ? failed(path, -r) : 0;
}

static int config(struct ctl *c, bool print)
{
	cleanup_free_ char *path = config_path();
	cleanup_free_ char *quoted = NULL;
	char exe[PATH_MAX];
	ssize_t n;
	int r;

	if (!path)
		return failed("--config", ENOMEM);
	r = update(c, path);
	if (r || !print)
		return r;
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n < 0)
		return failed("/proc/self/exe", errno);
	exe[n] = '\0';
	quoted = shell_quote(exe);
	if (!quoted || strpbrk(exe, "\"%\n") || strpbrk(path, "\"%\n*?"))
		return failed(exe, quoted ? EINVAL : ENOMEM);
	printf("# hvctl ssh --config >>~/.ssh/config\n"
	       "# ssh hv/NAME, sftp hv/NAME; for scp and rsync: hv%%NAME:PATH\n"
	       "Match originalhost hv/*,hv%%* exec \"%s ssh --update\"\n"
	       "\tInclude \"%s\"\nMatch all\n", quoted, path);
	return 0;
}

int cmd_ssh(struct ctl *c, const struct args *a)
{
	cleanup_words_ struct words w = { 0 };
	struct session s;
	int r;

	if (args_has(a, "config") || args_has(a, "update")) {
		if (a->npos)
			return usage("ssh: --config and --update are for all "
				     "VMs: %s", show(a->pos[0]));
		return config(c, args_has(a, "config"));
	}
	if (!a->npos)
		return usage("ssh: which VM?");
	if (args_has(a, "install-key"))
		return session_install_key(c, a);
	if (args_has(a, "via"))
		return usage("ssh: --via goes with --install-key only");
	r = session_open(c, a, a->pos[0], &s);
	if (r)
		return r;
	session_words(&s, &w, false);
	/* ssh's options may follow its destination, the command after them. */
	words_add(&w, "hv/%s", *s.vm == '-' ? s.vmid : s.vm);
	for (char **p = a->rest; p && *p; p++)
		words_add(&w, "%s", *p);
	r = session_become(&s, &w);
	session_fini(&s);
	return r;
}

int cmd_shell(struct ctl *c, const struct args *a)
{
	cleanup_words_ struct words w = { 0 };
	struct session s;
	int r;

	r = session_open(c, a, a->pos[0], &s);
	if (r)
		return r;
	session_words(&s, &w, true);
	if (isatty(STDIN_FILENO))
		words_add(&w, "-t");
	session_host(&s, &w);
	r = session_become(&s, &w);
	session_fini(&s);
	return r;
}
