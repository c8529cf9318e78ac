/* SPDX-License-Identifier: MIT */
/*
 * cmd-cp.c - hvctl cp FILE... VM:PATH, hvctl cp VM:PATH... FILE
 *
 * As cp(1) and scp(1) take their words: a directory as the last one is where
 * the others go to, and what has a colon before its first slash is a guest's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/cp.h"
#include "hvctl/out.h"
#include "hvctl/session-agent.h"
#include "hvctl/verbs.h"

struct spec {
	char *vm; /* [USER@]VM, to be freed; NULL: of this machine */
	const char *path; /* into the word; "." where there is none */
};

static int parse(const char *word, struct spec *ret)
{
	size_t n = strcspn(word, ":/");

	*ret = (struct spec){ .path = word };
	if (word[n] != ':' || !n)
		return 0;
	ret->vm = strndup(word, n);
	ret->path = word[n + 1] ? word + n + 1 : ".";
	return ret->vm ? 0 : -ENOMEM;
}

/* What is copied into a directory keeps this name. */
static char *last_part(const char *path)
{
	size_t n = strlen(path);
	const char *p;

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (p = path + n; p > path && p[-1] != '/'; p--)
		;
	return strndup(p, (size_t)(path + n - p));
}

static char *join(const char *dir, const char *name)
{
	size_t n = strlen(dir);
	char *path;

	return asprintf(&path, "%s%s%s", dir,
			!n || dir[n - 1] == '/' ? "" : "/", name) < 0 ?
		       NULL : path;
}

static bool is_name(const char *s)
{
	return *s && strcmp(s, ".") && strcmp(s, "..") && strcmp(s, "/");
}

struct job {
	struct cp cp;
	const struct args *a;
	bool recursive, into; /* into a directory that is there */
	const char *to;
};

static int put_one(struct job *j, const char *from)
{
	cleanup_free_ char *name = last_part(from);
	cleanup_free_ char *to = NULL;
	struct stat st;

	if (stat(from, &st) < 0)
		return cp_local_failed(&j->cp, from, errno);
	if (S_ISDIR(st.st_mode) && !j->recursive)
		return complain("cp: %s: a directory: -r is for it",
				show(from));
	to = j->into && name && is_name(name) ? join(j->to, name) :
						strdup(j->to);
	if (!name || !to)
		return cp_local_failed(&j->cp, from, ENOMEM);
	if (S_ISDIR(st.st_mode))
		return cp_put_tree(&j->cp, from, to, 0);
	if (j->into && !is_name(name))
		return cp_local_failed(&j->cp, from, EISDIR);
	return cp_put(&j->cp, from, to);
}

/* The directory and the name in it of a file of ours. Return: fd or -errno */
static int split(const char *path, char **ret_name)
{
	cleanup_free_ char *dir = strdup(path);
	char *name = last_part(path);
	char *end;
	int fd;

	if (!dir || !name || !is_name(name)) {
		free(name);
		return dir ? -EISDIR : -ENOMEM;
	}
	end = dir + strlen(dir);
	while (end > dir && end[-1] == '/')
		end--;
	while (end > dir && end[-1] != '/')
		end--;
	*end = '\0';
	fd = open(*dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		free(name);
		return -errno;
	}
	*ret_name = name;
	return fd;
}

static int get_one(struct job *j, const char *from)
{
	cleanup_free_ char *base = last_part(from);
	cleanup_free_ char *name = NULL;
	cleanup_free_ char *to = NULL;
	cleanup_close_ int dir = -1;
	struct sftp_attrs a;
	int r = sftp_stat(j->cp.l, from, true, &a);

	if (r)
		return cp_remote_failed(&j->cp, from, r);
	if (S_ISDIR(a.mode) && !j->recursive)
		return complain("cp: %s:%s: a directory: -r is for it",
				show(j->cp.s->vm), show(from));
	to = j->into && base && is_name(base) ? join(j->to, base) :
						strdup(j->to);
	if (!base || !to)
		return cp_local_failed(&j->cp, from, ENOMEM);
	/* "." is a directory whatever it is called */
	if (S_ISDIR(a.mode))
		return cp_get_tree(&j->cp, from, AT_FDCWD, to, 0);
	dir = split(to, &name);
	if (dir < 0)
		return cp_local_failed(&j->cp, to, -dir);
	return cp_get(&j->cp, from, dir, name, to);
}

/* Is the last word a directory? Return: 0, or 1 (told) */
static int look_at_target(struct job *j, bool put)
{
	size_t n = strlen(j->to);
	bool must = j->a->npos > 2 || (n && j->to[n - 1] == '/');
	struct sftp_attrs a;
	struct stat st;
	int r;

	if (put) {
		r = sftp_stat(j->cp.l, j->to, true, &a);
		if (r < 0 || (must && r))
			return cp_remote_failed(&j->cp, j->to, r);
		j->into = !r && S_ISDIR(a.mode);
		if (must && !j->into)
			return complain("cp: %s:%s: %s", show(j->cp.s->vm),
					show(j->to), strerror(ENOTDIR));
		return 0;
	}
	r = stat(j->to, &st) < 0 ? errno : 0;
	if (must && r)
		return cp_local_failed(&j->cp, j->to, r);
	j->into = !r && S_ISDIR(st.st_mode);
	return must && !j->into ? cp_local_failed(&j->cp, j->to, ENOTDIR) : 0;
}

static int copy(struct ctl *c, const struct args *a, const char *vm,
		const struct spec *specs, bool put)
{
	struct session s;
	struct sftp_link l;
	struct job j = {
		.a = a,
		.recursive = args_has(a, "recursive"),
		.to = specs[a->npos - 1].path,
	};
	int r = session_open(c, a, vm, &s);
	size_t i;

	if (r)
		return r;
	r = sftp_open_link(&s, &l);
	if (r) {
		if (r < 0)
			complain("cp %s: no sftp: %s (without sshd: --via)",
				 show(s.vm), sftp_link_text(r));
		session_fini(&s);
		return SESSION_FAILED;
	}
	j.cp = (struct cp){
		.s = &s,
		.l = &l,
		.resume = !args_has(a, "no-resume"),
		.preserve = args_has(a, "preserve"),
		.verify = !args_has(a, "no-verify"),
		.show = isatty(STDERR_FILENO) && !args_has(a, "quiet"),
	};
	r = look_at_target(&j, put);
	for (i = 0; i + 1 < a->npos && !l.dead && (!r || i); i++)
		r |= put ? put_one(&j, specs[i].path) :
			   get_one(&j, specs[i].path);
	r = r || j.cp.failed;
	sftp_close_link(&l);
	session_fini(&s);
	return r;
}

/* The ways for guests without sshd have one file and one direction. */
static int by_fcopy(struct ctl *c, const struct args *a, const char *vm,
		    const struct spec *specs)
{
	static const struct opt overwrite = { .name = "overwrite" };
	cleanup_free_ char *name = strdup(vm);
	char *words[] = { name, a->pos[0], NULL };
	struct args b = { .pos = words, .npos = 3 };

	if (!name)
		return complain("cp: %s", strerror(ENOMEM));
	words[2] = a->pos[1] + (specs[1].path - a->pos[1]);
	b.opt[b.nopt++] = &overwrite;
	for (size_t i = 0; i < a->nopt; i++)
		if (!strcmp(a->opt[i]->name, "timeout")) {
			b.opt[b.nopt] = a->opt[i];
			b.value[b.nopt++] = a->value[i];
		}
	return cmd_fcopy(c, &b);
}

static int choose(struct ctl *c, const struct args *a,
		  const struct spec *specs)
{
	const char *via = args_value(a, "via");
	bool put = specs[a->npos - 1].vm;
	const char *vm = put ? specs[a->npos - 1].vm : specs[0].vm;

	for (size_t i = 0; i + 1 < a->npos; i++)
		if (put ? specs[i].vm != NULL :
			  !specs[i].vm || strcmp(specs[i].vm, vm) != 0)
			return usage("cp: from here to one VM, or from one VM "
				     "to here: %s", show(a->pos[i]));
	if (!vm)
		return usage("cp: no VM: one side is VM:PATH");
	if (!via || !strcmp(via, "ssh"))
		return copy(c, a, vm, specs, put);
	if (strcmp(via, "fcopy") && strcmp(via, "agent"))
		return usage("cp: --via %s: there are ssh, agent and fcopy",
			     show(via));
	if (a->npos > 2 || args_has(a, "recursive") || strchr(vm, '@') ||
	    args_has(a, "login"))
		return usage("cp: --via=%s takes one file, and no user", via);
	if (!strcmp(via, "agent"))
		return put ? agent_put(c, vm, specs[0].path, specs[1].path) :
			     agent_get(c, vm, specs[0].path, specs[1].path);
	return put ? by_fcopy(c, a, vm, specs) :
		     usage("cp: --via=fcopy takes a file into a guest only");
}

int cmd_cp(struct ctl *c, const struct args *a)
{
	struct spec *specs = calloc(a->npos, sizeof(*specs));
	int r = specs ? 0 : -ENOMEM;

	for (size_t i = 0; i < a->npos && !r; i++)
		r = parse(a->pos[i], &specs[i]);
	r = r ? complain("cp: %s", strerror(-r)) : choose(c, a, specs);
	for (size_t i = 0; specs && i < a->npos; i++)
		free(specs[i].vm);
	free(specs);
	return r;
}
