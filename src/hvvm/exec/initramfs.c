/* SPDX-License-Identifier: MIT */
/* initramfs.c - see initramfs.h */
#include "hvvm/exec/initramfs.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "hvvm/exec/cpio.h"
#include "hvvm/exec/elf-file.h"
#include "hvvm/exec/file.h"
#include "hvvm/exec/init-bytes.h"
#include "hvvm/exec/libraries.h"
#include "hvvm/exec/modules.h"

#define MODULES_DIR "/lib/modules/hvvm"

struct pack {
	const struct options *o;
	struct cpio cpio;
	struct libraries libraries;
	struct modules modules;
};

static const char *const folders[] = { "bin", "dev", "etc", "proc",
				       "run", "sys", "tmp", MODULES_DIR };
static const char *const defaults[] = { "hv_vmbus", "hv_utils", "vsock",
					"hv_sock" };

/* With --vhost-user. */
static const char *const devices[] = { "virtio_mmio", "virtio_blk",
				       "virtiofs" };

static int complain(const char *what, int r)
{
	log_err("%s: %s", what, strerror(-r));
	return r;
}

/* ---- files of ours */

static int ours(struct pack *p, const char *name, mode_t mode, const void *data,
		size_t len)
{
	int r = cpio_data(&p->cpio, name, mode, data, len);

	return r < 0 ? complain("the initial file system", r) : 0;
}

static int copy(struct pack *p, const char *path, const char *name)
{
	cleanup_close_ int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	return cpio_copy(&p->cpio, name, st.st_mode & 0777, fd, st.st_size);
}

static int add_busybox(struct pack *p)
{
	const char *const at[] = { getenv("BUSYBOX"), "/bin/busybox",
				   "/usr/bin/busybox", "/usr/local/bin/busybox",
				   "/sbin/busybox" };
	int r;

	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		if (!at[i] || access(at[i], X_OK) < 0)
			continue;
		r = copy(p, at[i], "/bin/busybox");
		if (r < 0)
			return complain(at[i], r);
		r = libraries_of(&p->libraries, at[i]);
		if (r == 0)
			r = cpio_link(&p->cpio, "/bin/sh", "busybox");
		return r < 0 ? r : 0;
	}
	log_err("--exec: no busybox here, whose shell runs the command in the "
		"guest (Debian's package busybox-static; $BUSYBOX names one "
		"elsewhere)");
	return -ENOENT;
}

static int base(struct pack *p)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(folders) && r >= 0; i++)
		r = cpio_dir(&p->cpio, folders[i], 0755);
	if (r >= 0)
		r = cpio_char(&p->cpio, "/dev/console", 0600, 5, 1);
	if (r < 0)
		return complain("the initial file system", r);
	r = ours(p, "/init", 0755, init_bytes, (size_t)init_bytes_len);
	if (r == 0)
		r = ours(p, "/.hvvm/command", 0644, p->o->exec,
			 strlen(p->o->exec));
	return r < 0 ? r : add_busybox(p);
}

/* ---- modules */

static int want_modules(struct pack *p)
{
	int r = 0;

	for (unsigned int i = 0; p->o->module[i] && r >= 0; i++) {
		const char *comma = strrchr(p->o->module[i], ',');
		bool later = comma && strcmp(comma, ",later") == 0;
		cleanup_free_ char *name =
			strndup(p->o->module[i],
				later ? (size_t)(comma - p->o->module[i])
				      : strlen(p->o->module[i]));

		if (!name)
			return complain("--module", -ENOMEM);
		r = modules_want(&p->modules, name,
				 later ? MODULE_PACK : MODULE_LOAD);
	}
	for (size_t i = 0; i < ARRAY_LEN(defaults) && r >= 0; i++)
		if (!p->o->no_vmbus)
			r = modules_want(&p->modules, defaults[i], MODULE_TRY);
	for (size_t i = 0; i < ARRAY_LEN(devices) && r >= 0; i++)
		if (p->o->vhost_user[0])
			r = modules_want(&p->modules, devices[i], MODULE_TRY);
	return r < 0 ? r : 0;
}

/* "a,b" as a line of modules.dep has it. */
static void dep_line(FILE *f, const struct module *e)
{
	const char *s = module_needs(e);

	fprintf(f, "%s.ko:", module_name(e));
	while (*s) {
		size_t n = strcspn(s, ",");

		if (n)
			fprintf(f, " %.*s.ko", (int)n, s);
		s += n + (s[n] == ',');
	}
	fputc('\n', f);
}

static int put_modules(struct pack *p, FILE *list, FILE *dep)
{
	char name[200];
	int r = 0;

	for (size_t i = 0; i < p->modules.count && r == 0; i++) {
		const struct module *e = p->modules.order[i];
		size_t len;
		const uint8_t *data = module_data(e, &len);

		snprintf(name, sizeof(name), MODULES_DIR "/%s.ko",
			 module_name(e));
		r = ours(p, name, 0644, data, len);
		if (module_use(e) != MODULE_PACK)
			fprintf(list, "%c%s\n",
				module_use(e) == MODULE_LOAD ? '+' : '-',
				module_name(e));
		dep_line(dep, e);
	}
	return r;
}

static int add_modules(struct pack *p)
{
	cleanup_free_ char *list = NULL, *dep = NULL;
	size_t list_len = 0, dep_len = 0;
	FILE *f = open_memstream(&list, &list_len);
	FILE *g = open_memstream(&dep, &dep_len);
	int r = f && g ? want_modules(p) : complain("modules", -ENOMEM);

	if (r == 0)
		r = put_modules(p, f, g);
	if (f && fclose(f) != 0 && r == 0)
		r = complain("modules", -ENOMEM);
	if (g && fclose(g) != 0 && r == 0)
		r = complain("modules", -ENOMEM);
	if (r == 0)
		r = ours(p, "/.hvvm/modules", 0644, list, list_len);
	return r < 0 ? r
		     : ours(p, MODULES_DIR "/modules.dep", 0644, dep, dep_len);
}

/* ---- --add */

static int there_already(const char *name)
{
	log_err("--add: there is something at %s already", name);
	return -EEXIST;
}

static int add_file(struct pack *p, const char *path, const char *name)
{
	int r = copy(p, path, name);

	if (r == 1)
		return there_already(name);
	if (r < 0)
		return complain(path, r);
	return access(path, X_OK) == 0 ? libraries_of(&p->libraries, path) : 0;
}

static int add_link(struct pack *p, const char *path, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	int r = n < 0 ? -errno : 0;

	if (r == 0) {
		target[n] = '\0';
		r = cpio_link(&p->cpio, name, target);
	}
	if (r == 1)
		return there_already(name);
	return r < 0 ? complain(path, r) : 0;
}

static int add_entry(struct pack *p, const FTSENT *e, const char *name)
{
	int r;

	switch (e->fts_info) {
	case FTS_D:
		r = cpio_dir(&p->cpio, name, e->fts_statp->st_mode);
		return r < 0 ? complain(name, r) : 0;
	case FTS_F:
		return add_file(p, e->fts_path, name);
	case FTS_SL:
	case FTS_SLNONE:
		return add_link(p, e->fts_path, name);
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		return complain(e->fts_path, -e->fts_errno);
	default: /* devices, sockets and the like are left out */
		return 0;
	}
}

static int add_tree(struct pack *p, char *path, const char *name)
{
	char *paths[] = { path, NULL }, at[PATH_MAX];
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW,
			     NULL);
	FTSENT *e;
	int r = 0;

	if (!tree)
		return complain(path, -errno);
	while (r == 0 && (e = fts_read(tree))) {
		/* FTS puts one slash behind a path without, none else */
		const char *below = e->fts_path + strlen(path);

		if ((size_t)snprintf(at, sizeof(at), "%s/%s", name, below) >=
		    sizeof(at))
			r = complain(e->fts_path, -ENAMETOOLONG);
		else
			r = add_entry(p, e, at);
	}
	fts_close(tree);
	return r;
}

/* FILE[:PATH]; a file whose own name has a colon is taken as it is. */
static int add(struct pack *p, const char *text)
{
	cleanup_free_ char *file = strdup(text);
	char name[PATH_MAX];
	const char *colon = strchr(text, ':'), *to = NULL, *last;
	struct stat st;
	size_t n;

	if (!file)
		return complain("--add", -ENOMEM);
	if (colon && access(text, F_OK) < 0) {
		file[colon - text] = '\0';
		to = colon + 1;
	}
	if (stat(file, &st) < 0)
		return complain(file, -errno);
	for (n = strlen(file); n > 1 && file[n - 1] == '/'; n--)
		file[n - 1] = '\0';
	last = strrchr(file, '/');
	last = last ? last + 1 : file;
	if (!to || !*to)
		to = S_ISREG(st.st_mode) && st.st_mode & 0111 ? "/bin/" : "/";
	n = (size_t)snprintf(name, sizeof(name), "%s%s", to,
			     to[strlen(to) - 1] == '/' ? last : "");
	if (n >= sizeof(name))
		return complain(file, -ENAMETOOLONG);
	return S_ISDIR(st.st_mode) ? add_tree(p, file, name)
				   : add_file(p, file, name);
}

/* ---- all of it */

static int fill(struct pack *p, int *ret_fd)
{
	const char *path = libraries_path(&p->libraries);
	int r = base(p);

	if (r == 0)
		r = add_modules(p);
	for (unsigned int i = 0; p->o->add[i] && r == 0; i++)
		r = add(p, p->o->add[i]);
	if (r == 0)
		r = ours(p, "/.hvvm/library-path", 0644, path, strlen(path));
	if (r < 0)
		return r;
	r = cpio_end(&p->cpio, ret_fd);
	return r < 0 ? complain("the initial file system", r) : 0;
}

int initramfs_make(const struct options *o, const struct kernel_tree *t,
		   int *ret_fd)
{
	struct pack p = { .o = o };
	int r = cpio_new(&p.cpio);

	if (r == 0)
		r = libraries_open(&p.libraries, &p.cpio, NULL);
	if (r < 0)
		complain("the initial file system", r);
	if (r == 0)
		r = modules_open(&p.modules, t);
	if (r == 0)
		r = fill(&p, ret_fd);
	modules_free(&p.modules);
	libraries_close(&p.libraries);
	cpio_free(&p.cpio);
	return r;
}
