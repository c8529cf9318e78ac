/* SPDX-License-Identifier: MIT */
/*
 * watch.c - inotify on the registry's directories
 *
 * Each directory is watched for its files, and what is above it for its
 * coming and going: the configuration directory, or as long as that is not
 * there, the nearest ancestor that is. An event is only a hint at a name;
 * load_unit() looks at what is there now.
 */
#include "registry/store.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MASK                                                      \
	(IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM |     \
	 IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define UP_MASK \
	(IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

static int add_watch(struct registry *r, const char *path, uint32_t mask)
{
	/* One inode has one watch, which may serve several directories. */
	return inotify_add_watch(r->fd, path, mask | IN_MASK_ADD | IN_ONLYDIR);
}

static void unwatch(struct registry *r, int *wd)
{
	int old = *wd, users = 0;

	*wd = -1;
	if (old < 0)
		return;
	for (size_t i = 0; i < r->n_dirs; i++)
		users += (r->dirs[i].wd == old) + (r->dirs[i].up_wd == old);
	if (!users)
		inotify_rm_watch(r->fd, old);
}

/* Cut the last component off. Return: it (in @path), or NULL if none is */
static char *cut(char *path, size_t *len)
{
	char *name;

	while (*len > 1 && path[*len - 1] == '/')
		path[--*len] = '\0';
	if (strcmp(path, "/") == 0 || strcmp(path, ".") == 0)
		return NULL;
	name = strrchr(path, '/');
	if (!name) {
		*len = 0;
		return path;
	}
	*len = (size_t)(name - path);
	*name = '\0';
	return name + 1;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Watch above @d. Return: false if what was awaited has come meanwhile */
static bool watch_up(struct registry *r, struct dir *d)
{
	char path[PATH_MAX], whole[PATH_MAX];
	size_t len = strlen(d->path);
	const char *up;
	char *name;

	if (len >= sizeof(path))
		return true;
	memcpy(path, d->path, len + 1);
	memcpy(whole, path, len + 1);
	while ((name = cut(path, &len))) {
		/* What was cut off ends, in the whole path, where it did. */
		size_t end = (size_t)(name - path) + strlen(name);

		whole[end] = '\0';
		up = len ? path : name == path ? "." : "/";
		snprintf(d->up_next, sizeof(d->up_next), "%.*s", NAME_MAX,
			 name);
		d->up_wd = add_watch(r, up, UP_MASK);
		if (d->up_wd >= 0)
			return d->wd >= 0 || !is_dir(whole);
		if (errno != ENOENT && errno != ENOTDIR) {
			if (d->wd < 0)
				problem_add(&d->problems, d->path, 0,
					    "is not there, and %s cannot be "
					    "watched: %s", up, strerror(errno));
			return true;
		}
		if (!len)
			break;
	}
	return true;
}

#define TRIES 16

void watch_dir(struct registry *r, struct dir *d)
{
	struct stat st;

	unwatch(r, &d->wd);
	unwatch(r, &d->up_wd);
	problems_clear(&d->problems);
	d->rearm = false;
	if (stat(d->path, &st) == 0 && !S_ISDIR(st.st_mode))
		problem_add(&d->problems, d->path, 0, "not a directory");
	for (int i = 0; i < TRIES; i++) {
		d->wd = add_watch(r, d->path, FILES_MASK);
		if (d->wd < 0 && errno != ENOENT && errno != ENOTDIR) {
			problem_add(&d->problems, d->path, 0,
				    "cannot be watched: %s", strerror(errno));
			break;
		}
		if (watch_up(r, d))
			break;
		unwatch(r, &d->up_wd);
	}
}

/* ---- Events ---------------------------------------------------------------*/

struct pending {
	enum unit_kind kind;
	UT_hash_handle hh;
	char stem[]; /* behind the letter of the kind */
};

static void pend(struct pending **set, enum unit_kind kind, const char *stem)
{
	char key[NAME_MAX + 2];
	struct pending *p;

	key[0] = (char)('0' + kind);
	strcpy(key + 1, stem);
	HASH_FIND_STR(*set, key, p);
	if (p)
		return;
	p = calloc(1, sizeof(*p) + strlen(key) + 1);
	if (!p)
		return;
	p->kind = kind;
	strcpy(p->stem, key);
	HASH_ADD_STR(*set, stem, p);
	if (!p->hh.tbl)
		free(p);
}

/* A file that was just made and is empty is being written: its end will be
 * told as well. Before that it is no mask. */
static bool being_made(const struct dir *d, const struct inotify_event *ev)
{
	char path[PATH_MAX];
	struct stat st;

	if (!(ev->mask & IN_CREATE))
		return false;
	if (snprintf(path, sizeof(path), "%s/%s", d->path, ev->name) >=
	    (int)sizeof(path))
		return false;
	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && !st.st_size &&
	       st.st_nlink == 1;
}

static void on_dir_event(struct dir *d, const struct inotify_event *ev,
			 struct pending **set)
{
	const uint32_t gone = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED |
			      IN_UNMOUNT;
	char stem[NAME_MAX + 1];

	if (ev->wd == d->up_wd &&
	    ((ev->mask & gone) ||
	     (ev->len && strcmp(ev->name, d->up_next) == 0)))
		d->rearm = true;
	if (ev->wd != d->wd)
		return;
	if (ev->mask & gone)
		d->rearm = true;
	/* Its own attributes: it may have become readable. */
	if ((ev->mask & IN_ATTRIB) && !ev->len)
		d->rearm = true;
	if (ev->len && stem_of(ev->name, stem) && !being_made(d, ev))
		pend(set, d->kind, stem);
}

static void on_event(struct registry *r, const struct inotify_event *ev,
		     struct pending **set)
{
	if (ev->mask & IN_Q_OVERFLOW) {
		for (size_t i = 0; i < r->n_dirs; i++)
			r->dirs[i].rearm = true;
		return;
	}
	for (size_t i = 0; i < r->n_dirs; i++) {
		struct dir *d = &r->dirs[i];

		on_dir_event(d, ev, set);
		/* The kernel has ended the watch itself. */
		if (ev->mask & IN_IGNORED) {
			d->wd = d->wd == ev->wd ? -1 : d->wd;
			d->up_wd = d->up_wd == ev->wd ? -1 : d->up_wd;
		}
	}
}

static void load_pending(struct registry *r, struct pending **set)
{
	bool all[UNIT_KINDS] = { false };
	struct pending *p, *next;

	for (size_t i = 0; i < r->n_dirs; i++) {
		if (!r->dirs[i].rearm)
			continue;
		watch_dir(r, &r->dirs[i]);
		all[r->dirs[i].kind] = true;
	}
	HASH_ITER (hh, *set, p, next) {
		if (!all[p->kind])
			load_unit(r, p->kind, p->stem + 1);
		HASH_DEL(*set, p);
		free(p);
	}
	for (enum unit_kind k = 0; k < UNIT_KINDS; k++)
		if (all[k])
			load_kind(r, k);
}

bool watch_drain(struct registry *r)
{
	char buf[16384] __attribute__((aligned(8)));
	struct pending *set = NULL;
	bool any = false;
	ssize_t n;

	while ((n = read(r->fd, buf, sizeof(buf))) > 0 ||
	       (n < 0 && errno == EINTR)) {
		const char *p = buf;

		while (n > 0 && p < buf + n) {
			const struct inotify_event *ev =
				(const struct inotify_event *)(const void *)p;

			on_event(r, ev, &set);
			p += sizeof(*ev) + ev->len;
			any = true;
		}
	}
	if (any)
		load_pending(r, &set);
	return any;
}
