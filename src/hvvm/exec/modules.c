/* SPDX-License-Identifier: MIT */
/* modules.c - see modules.h */
#include "hvvm/exec/modules.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "hvvm/exec/elf-file.h"
#include "hvvm/exec/file.h"

#define NAME_MAX_ 64u /* MODULE_NAME_LEN of the kernel is 56 */
#define DEPTH_MAX 64u

struct module {
	UT_hash_handle hh;
	char name[NAME_MAX_];
	char *path; /* NULL: built in */
	bool taken; /* it is in the order, or on its way there */
	enum module_use use;
	uint8_t *data;
	size_t len;
	const char *needs; /* in data */
};

/* ---- names */

/* A file's or a module's name, without folder and suffix. */
static bool canonical(const char *path, char *ret)
{
	const char *slash = strrchr(path, '/'), *dot;
	size_t n;

	if (slash)
		path = slash + 1;
	dot = strstr(path, ".ko");
	n = dot ? (size_t)(dot - path) : strlen(path);
	if (n == 0 || n >= NAME_MAX_)
		return false;
	for (size_t i = 0; i < n; i++)
		ret[i] = path[i];
	ret[n] = '\0';
	for (char *c = ret; *c; c++)
		if (*c == '-')
			*c = '_';
	return true;
}

static bool is_module_file(const char *name)
{
	static const char *const suffixes[] = { ".ko", ".ko.xz", ".ko.zst",
						".ko.gz" };
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		size_t m = strlen(suffixes[i]);

		if (n > m && strcmp(name + n - m, suffixes[i]) == 0)
			return true;
	}
	return false;
}

static struct module *find(struct modules *m, const char *name)
{
	struct module *e = NULL;

	HASH_FIND(hh, m->all, name, strlen(name), e);
	return e;
}

/* @path NULL: built in. A file given later stands before one known already. */
static int add(struct modules *m, const char *file, const char *path)
{
	char name[NAME_MAX_], *copy = NULL;
	struct module *e;

	if (!canonical(file, name))
		return 0;
	if (path) {
		copy = strdup(path);
		if (!copy)
			return -ENOMEM;
	}
	e = find(m, name);
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e) {
			free(copy);
			return -ENOMEM;
		}
		strcpy(e->name, name);
		HASH_ADD(hh, m->all, name, strlen(e->name), e);
	}
	free(e->path);
	e->path = copy;
	return 0;
}

/* ---- where they are */

/* A line of modules.order: "kernel/x.ko" once, then "x.ko", now "x.o". */
static int add_line(struct modules *m, const char *top, char *line)
{
	char path[PATH_MAX];
	size_t n;
	const char *at[] = { line, line + 7 };

	line[strcspn(line, "\r\n")] = '\0';
	n = strlen(line);
	if (n > 2 && strcmp(line + n - 2, ".o") == 0)
		line[n - 2] = '\0';
	else if (n > 3 && strcmp(line + n - 3, ".ko") == 0)
		line[n - 3] = '\0';
	else
		return 0;
	for (unsigned int i = 0; i < 2; i++) {
		if (i == 1 && strncmp(line, "kernel/", 7) != 0)
			continue;
		n = (size_t)snprintf(path, sizeof(path), "%s/%s.ko", top,
				     at[i]);
		if (n < sizeof(path) && access(path, F_OK) == 0)
			return add(m, path, path);
	}
	return 0;
}

static int builtin_line(struct modules *m, const char *top, char *line)
{
	(void)top;
	line[strcspn(line, "\r\n")] = '\0';
	return is_module_file(line) ? add(m, line, NULL) : 0;
}

/* Return: 1: there is no such file */
static int each_line(struct modules *m, const char *top, const char *name,
		     int (*fn)(struct modules *m, const char *top, char *line))
{
	cleanup_fclose_ FILE *f = NULL;
	char path[PATH_MAX], line[PATH_MAX];
	size_t n = (size_t)snprintf(path, sizeof(path), "%s/%s", top, name);
	int r = 0;

	if (n >= sizeof(path))
		return -ENAMETOOLONG;
	f = fopen(path, "re");
	if (!f)
		return 1;
	while (r == 0 && fgets(line, sizeof(line), f))
		r = fn(m, top, line);
	return r;
}

static int walk(struct modules *m, const char *top)
{
	char *paths[] = { (char *)(uintptr_t)top, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW,
			     NULL);
	FTSENT *e;
	int r = 0;

	if (!tree)
		return -errno;
	while (r == 0 && (e = fts_read(tree)))
		if (e->fts_info == FTS_F && is_module_file(e->fts_name))
			r = add(m, e->fts_name, e->fts_path);
	fts_close(tree);
	return r;
}

int modules_open(struct modules *m, const struct kernel_tree *t)
{
	int r = 1;

	*m = (struct modules) { .release = t->release };
	if (!t->modules[0])
		return 0;
	m->known = true;
	if (t->build_tree)
		r = each_line(m, t->modules, "modules.order", add_line);
	if (r == 1)
		r = walk(m, t->modules);
	if (r == 0)
		r = each_line(m, t->modules, "modules.builtin", builtin_line);
	if (r < 0)
		log_err("%s: %s", t->modules, strerror(-r));
	return r < 0 ? r : 0;
}

void modules_free(struct modules *m)
{
	struct module *e, *next;

	HASH_ITER (hh, m->all, e, next) {
		HASH_DEL(m->all, e);
		free(e->path);
		free(e->data);
		free(e);
	}
	free(m->order);
	*m = (struct modules) { 0 };
}

/* ---- the ones to pack */

static int append(struct modules *m, struct module *e)
{
	struct module **more;
	size_t room = m->room ? m->room * 2 : 16;

	if (m->count == m->room) {
		more = realloc(m->order, room * sizeof(struct module *));
		if (!more)
			return -ENOMEM;
		m->order = more;
		m->room = room;
	}
	m->order[m->count++] = e;
	return 0;
}

static int check_magic(const struct modules *m, const struct module *e)
{
	const char *magic = elf_modinfo(e->data, e->len, "vermagic", 0);
	size_t n = strlen(m->release);
	char text[200];

	if (!magic) {
		log_err("%s: not a kernel module of this architecture",
			e->path);
		return -ENOEXEC;
	}
	if (n == 0 || (strncmp(magic, m->release, n) == 0 &&
		       (magic[n] == ' ' || magic[n] == '\0')))
		return 0;
	log_escape(magic, strcspn(magic, " "), text, sizeof(text));
	log_err("%s: built for kernel %s, but the kernel is %s (make modules "
		"builds it anew)",
		e->path, text, m->release);
	return -EINVAL;
}

static int take(struct modules *m, struct module *e)
{
	const char *tool;
	int r = file_unpack(e->path, &e->data, &e->len, &tool);

	if (r == -ENOPKG)
		log_err("%s: the program %s, which unpacks it, is not "
			"installed",
			e->path, tool);
	else if (r == -EBADMSG)
		log_err("%s: %s cannot unpack it", e->path, tool);
	else if (r < 0)
		log_err("%s: %s", e->path, strerror(-r));
	if (r == 0)
		r = check_magic(m, e);
	if (r == 0)
		e->needs = elf_modinfo(e->data, e->len, "depends", 0);
	if (r == 0 && !e->needs)
		e->needs = "";
	return r;
}

static int want(struct modules *m, const char *name, enum module_use use,
		const char *by, unsigned int depth);

static int want_needed(struct modules *m, const struct module *e,
		       enum module_use use, unsigned int depth)
{
	const char *s = e->needs;
	int r = 0;

	while (*s && r >= 0) {
		size_t n = strcspn(s, ",");
		char name[NAME_MAX_];

		if (n >= sizeof(name)) {
			log_err("%s: a name in it is too long", e->path);
			return -EINVAL;
		}
		memcpy(name, s, n);
		name[n] = '\0';
		if (n)
			r = want(m, name, use, e->name, depth + 1);
		s += n + (s[n] == ',');
	}
	return r < 0 ? r : 0;
}

static int want(struct modules *m, const char *name, enum module_use use,
		const char *by, unsigned int depth)
{
	char key[NAME_MAX_];
	struct module *e = canonical(name, key) ? find(m, key) : NULL;
	char text[300];
	int r = 0;

	if (!e && use == MODULE_TRY && !by)
		return 1;
	if (!e) {
		log_escape(name, strlen(name), text, sizeof(text));
		log_err("no module %s%s%s%s%s", text, by ? " (which " : "",
			by ? by : "", by ? " needs)" : "",
			m->known ? " in this kernel's tree"
				 : ": this kernel came without modules "
				   "(--modules DIR)");
		return -ENOENT;
	}
	if (!e->path)
		return 1;
	if (depth > DEPTH_MAX) {
		log_err("%s: modules need each other in too long a chain",
			e->path);
		return -ELOOP;
	}
	if (e->taken && use <= e->use)
		return 0;
	if (!e->taken || use > e->use)
		e->use = use;
	if (!e->taken)
		r = take(m, e);
	if (r < 0)
		return r;
	if (e->taken) /* for more than before: so is what it needs */
		return want_needed(m, e, use, depth);
	e->taken = true;
	r = want_needed(m, e, use, depth);
	return r < 0 ? r : append(m, e);
}

int modules_want(struct modules *m, const char *name, enum module_use use)
{
	bool file = strchr(name, '/') || is_module_file(name);
	int r = 0;

	if (file && access(name, R_OK) < 0) {
		r = -errno;
		log_err("--module %s: %s", name, strerror(-r));
		return r;
	}
	if (file)
		r = add(m, name, name);
	return r < 0 ? r : want(m, name, use, NULL, 0);
}

const char *module_name(const struct module *e)
{
	return e->name;
}

enum module_use module_use(const struct module *e)
{
	return e->use;
}

const uint8_t *module_data(const struct module *e, size_t *ret_len)
{
	*ret_len = e->len;
	return e->data;
}

const char *module_needs(const struct module *e)
{
	return e->needs;
}
