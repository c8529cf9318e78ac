/* SPDX-License-Identifier: MIT */
/* libraries.c - see libraries.h */
#include "hvvm/exec/libraries.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "hvvm/exec/elf-file.h"
#include "hvvm/exec/file.h"

#define DEPTH_MAX 32u

static const char *const usual[] = {
	"/lib/x86_64-linux-gnu",
	"/usr/lib/x86_64-linux-gnu",
	"/lib64",
	"/usr/lib64",
	"/lib",
	"/usr/lib",
};

/* ---- where to look */

static int look_in(struct libraries *l, const char *dir, size_t len)
{
	if (l->count == LIBRARIES_DIRS || len == 0 || *dir != '/')
		return 0;
	l->search[l->count] = strndup(dir, len);
	return l->search[l->count++] ? 0 : -ENOMEM;
}

static int read_conf(struct libraries *l, const char *path, unsigned int depth);

static int include(struct libraries *l, const char *pattern, unsigned int depth)
{
	glob_t g;
	int r = 0;

	if (depth > 4 || glob(pattern, 0, NULL, &g) != 0)
		return 0;
	for (size_t i = 0; i < g.gl_pathc && r == 0; i++)
		r = read_conf(l, g.gl_pathv[i], depth + 1);
	globfree(&g);
	return r;
}

static int read_conf(struct libraries *l, const char *path, unsigned int depth)
{
	cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[PATH_MAX];
	int r = 0;

	while (r == 0 && f && fgets(line, sizeof(line), f)) {
		char *s = line + strspn(line, " \t");

		line[strcspn(line, "#\r\n")] = '\0';
		if (strncmp(s, "include", 7) == 0 && strchr(" \t", s[7]))
			r = include(l, s + 7 + strspn(s + 7, " \t"), depth);
		else
			r = look_in(l, s, strcspn(s, " \t="));
	}
	return r;
}

int libraries_open(struct libraries *l, struct cpio *c,
		   const char *const *search)
{
	const char *env = getenv("LD_LIBRARY_PATH");
	int r = 0;

	*l = (struct libraries) { .c = c };
	for (; search && *search && r == 0; search++)
		r = look_in(l, *search, strlen(*search));
	if (search)
		return r;
	while (env && *env && r == 0) {
		size_t n = strcspn(env, ":;");

		r = look_in(l, env, n);
		env += n + (env[n] != '\0');
	}
	if (r == 0)
		r = read_conf(l, "/etc/ld.so.conf", 0);
	for (size_t i = 0; i < ARRAY_LEN(usual) && r == 0; i++)
		r = look_in(l, usual[i], strlen(usual[i]));
	return r;
}

void libraries_close(struct libraries *l)
{
	for (unsigned int i = 0; i < l->count; i++)
		free(l->search[i]);
	l->count = 0;
}

/* ---- finding one */

/* Is there a library for this processor? */
static bool suits(const char *path)
{
	cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t head[64];

	return fd >= 0 && read(fd, head, sizeof(head)) == sizeof(head) &&
	       elf_is(head, sizeof(head));
}

static bool in_dir(const char *dir, size_t len, const char *name, char *ret)
{
	size_t n = strlen(name);

	if (len + n + 2 > PATH_MAX)
		return false;
	memcpy(ret, dir, len);
	ret[len] = '/';
	memcpy(ret + len + 1, name, n + 1);
	return suits(ret);
}

/* One element of a run path; $ORIGIN is the folder of @by. */
static bool in_run_dir(const char *dir, size_t len, const char *by,
		       const char *name, char *ret)
{
	static const char *const words[] = { "$ORIGIN", "${ORIGIN}" };
	char path[PATH_MAX], origin[PATH_MAX];
	char *slash;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]), m;

		if (len < n || memcmp(dir, words[i], n) != 0)
			continue;
		if (!realpath(by, origin))
			return false;
		slash = strrchr(origin, '/');
		m = (size_t)(slash - origin);
		if (m + len - n >= sizeof(path))
			return false;
		memcpy(path, origin, m);
		memcpy(path + m, dir + n, len - n);
		path[m + len - n] = '\0';
		/* without "..", which the archive does not take */
		return realpath(path, origin) &&
		       in_dir(origin, strlen(origin), name, ret);
	}
	return len && *dir == '/' && in_dir(dir, len, name, ret);
}

static bool find(const struct libraries *l, const char *by, const char *runpath,
		 const char *name, char *ret)
{
	if (strchr(name, '/')) {
		if (*name != '/' || strlen(name) >= PATH_MAX)
			return false;
		strcpy(ret, name);
		return suits(ret);
	}
	while (runpath && *runpath) {
		size_t n = strcspn(runpath, ":");

		if (in_run_dir(runpath, n, by, name, ret))
			return true;
		runpath += n + (runpath[n] == ':');
	}
	for (unsigned int i = 0; i < l->count; i++)
		if (in_dir(l->search[i], strlen(l->search[i]), name, ret))
			return true;
	return false;
}

/* The folder of @path, once. */
static void note(struct libraries *l, const char *path)
{
	size_t n = (size_t)(strrchr(path, '/') - path), m = strlen(l->path);
	const char *s = l->path;

	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		if (strlen(usual[i]) == n && memcmp(usual[i], path, n) == 0)
			return;
	while (*s) {
		size_t k = strcspn(s, ":");

		if (k == n && memcmp(s, path, n) == 0)
			return;
		s += k + (s[k] == ':');
	}
	if (m + n + 2 > sizeof(l->path))
		return;
	if (m)
		l->path[m++] = ':';
	memcpy(l->path + m, path, n);
	l->path[m + n] = '\0';
}

/* ---- into the archive. Return: 1: it is there already */

static int put(struct libraries *l, const char *path)
{
	cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		r = -errno;
	else
		r = cpio_copy(l->c, path, 0755, fd, st.st_size);
	if (r < 0)
		log_err("%s: %s", path, strerror(-r));
	return r;
}

static int needs(struct libraries *l, const char *path, unsigned int depth);

static int each(struct libraries *l, const char *by,
		const struct elf_program *p, unsigned int depth)
{
	char path[PATH_MAX], text[300];
	int r = 0;

	if (p->interpreter && *p->interpreter == '/') {
		/* a program may name any file there */
		if (!suits(p->interpreter)) {
			log_escape(p->interpreter, strlen(p->interpreter), text,
				   sizeof(text));
			log_err("%s needs the interpreter %s, which is not "
				"here",
				by, text);
			return -ENOENT;
		}
		r = put(l, p->interpreter);
	}
	for (unsigned int i = 0; i < p->count && r >= 0; i++) {
		if (!find(l, by, p->runpath, p->needed[i], path)) {
			log_escape(p->needed[i], strlen(p->needed[i]), text,
				   sizeof(text));
			log_err("%s needs the library %s, which is not here",
				by, text);
			return -ENOENT;
		}
		note(l, path);
		r = put(l, path);
		if (r == 0)
			r = needs(l, path, depth + 1);
	}
	return r < 0 ? r : 0;
}

static int needs(struct libraries *l, const char *path, unsigned int depth)
{
	cleanup_free_ struct elf_program *p = NULL;
	cleanup_free_ uint8_t *data = NULL;
	size_t len;
	int r;

	if (!suits(path))
		return 0;
	p = malloc(sizeof(*p));
	r = p ? file_read(path, &data, &len) : -ENOMEM;
	if (r == 0)
		r = elf_program(data, len, p);
	if (r == 0 && depth > DEPTH_MAX)
		r = -ELOOP;
	if (r < 0) {
		log_err("%s: %s", path,
			r == -ENOEXEC ? "a malformed ELF file" : strerror(-r));
		return r;
	}
	return each(l, path, p, depth);
}

int libraries_of(struct libraries *l, const char *path)
{
	return needs(l, path, 0);
}

const char *libraries_path(const struct libraries *l)
{
	return l->path;
}
