/* SPDX-License-Identifier: MIT */
/*
 * cp-tree.c - directories; see cp.h
 *
 * What a guest lists is not believed: a name that would lead out of its
 * directory is refused, what it calls a directory is opened here without
 * following a link, and depth and memory have limits. Mode and times are for
 * directories that are made; one that is there is not the other side's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "hvctl/cp.h"
#include "hvctl/out.h"

#define LIST_MAX (64u << 20) /* bytes of names, of all levels together */

static int left_out(struct cp *c, const char *path)
{
	c->failed = true;
	(void)complain("cp: %s: neither a file nor a directory: left out",
		       show(path));
	return 0;
}

/* "dir" "/" "name", or told. Return: to be freed, or NULL */
static char *join(struct cp *c, const char *dir, const char *name)
{
	size_t n = strlen(dir);
	char *path;
	int r = asprintf(&path, "%s%s%s", dir,
			 !n || dir[n - 1] == '/' ? "" : "/", name);

	if (r >= 0 && r < (int)CP_PATH_MAX)
		return path;
	if (r >= 0)
		free(path);
	(void)cp_local_failed(c, name, r < 0 ? ENOMEM : ENAMETOOLONG);
	return NULL;
}

/* ---- into a guest */

static int put_entry(struct cp *c, const char *from, const char *to,
		     const char *name, unsigned int depth)
{
	cleanup_free_ char *source = join(c, from, name);
	cleanup_free_ char *target = join(c, to, name);
	struct stat st;

	if (!source || !target)
		return 0;
	if (lstat(source, &st) < 0) {
		(void)cp_local_failed(c, source, errno);
	} else if (S_ISDIR(st.st_mode)) {
		return cp_put_tree(c, source, target, depth);
	} else if (S_ISREG(st.st_mode)) {
		(void)cp_put(c, source, target);
	} else {
		return left_out(c, source);
	}
	return c->l->dead ? 1 : 0;
}

/* A directory that can be written to, for now; @ret_made: it was not there */
static int remote_directory(struct cp *c, const char *path, mode_t mode,
			    bool *ret_made)
{
	struct sftp_attrs a;
	int r = sftp_stat(c->l, path, true, &a);

	if (r < 0 || (!r && S_ISDIR(a.mode)))
		return r;
	*ret_made = true;
	return sftp_mkdir(c->l, path, mode | 0700);
}

int cp_put_tree(struct cp *c, const char *from, const char *to,
		unsigned int depth)
{
	cleanup_closedir_ DIR *d = opendir(from);
	struct sftp_attrs a = { .flags = SFTP_ATTR_MODE };
	struct dirent *e;
	struct stat st;
	bool made = false;
	int r = 0;

	if (!d || fstat(dirfd(d), &st) < 0) {
		(void)cp_local_failed(c, from, errno);
		return 0;
	}
	if (depth > CP_DEPTH_MAX) {
		(void)cp_local_failed(c, from, ELOOP);
		return 0;
	}
	r = remote_directory(c, to, st.st_mode & 0777, &made);
	if (r)
		(void)cp_remote_failed(c, to, r);
	if (r)
		return c->l->dead ? 1 : 0;
	while (!r && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			r = put_entry(c, from, to, e->d_name, depth + 1);
	if (r)
		return r;
	if (errno)
		(void)cp_local_failed(c, from, errno);
	if (!made)
		return c->l->dead ? 1 : 0;
	a.mode = st.st_mode & 0777;
	if (c->preserve) {
		a.flags |= SFTP_ATTR_TIMES;
		a.atime = (uint32_t)st.st_atim.tv_sec;
		a.mtime = (uint32_t)st.st_mtim.tv_sec;
	}
	r = sftp_setstat(c->l, to, &a);
	if (r)
		(void)cp_remote_failed(c, to, r);
	return c->l->dead ? 1 : 0;
}

/* ---- out of a guest */

struct entry {
	uint32_t mode;
	char name[SFTP_NAME_MAX + 1];
};

struct list {
	struct entry *e;
	size_t n, room;
};

static int add_entry(struct cp *c, struct list *l, const struct sftp_entry *e)
{
	struct entry *to;

	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct entry *more;

		if (room > (LIST_MAX - c->listed) / sizeof(*more) + l->room)
			return -E2BIG;
		more = realloc(l->e, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->e = more;
		c->listed += (room - l->room) * sizeof(*more);
		l->room = room;
	}
	to = &l->e[l->n++];
	to->mode = e->attrs.flags & SFTP_ATTR_MODE ? e->attrs.mode : 0;
	memcpy(to->name, e->name.p, e->name.len);
	to->name[e->name.len] = '\0';
	return 0;
}

static void list_free(struct cp *c, struct list *l)
{
	c->listed -= l->room * sizeof(*l->e);
	free(l->e);
}

static void refused(struct cp *c, const char *dir, const struct sftp_entry *e)
{
	char text[200];

	c->failed = true;
	log_escape((const char *)e->name.p, e->name.len, text, sizeof(text));
	(void)complain("cp: %s:%s: an entry called \"%s\": refused, and left "
		       "out", show(c->s->vm), show(dir), text);
}

static int take_entries(struct cp *c, const char *path, struct sftp_reply *a,
			struct list *l)
{
	struct sftp_entry e;
	int r;

	/* one answer with nothing in it is one too many */
	if (!a->count)
		return -EPROTO;
	while ((r = sftp_next_entry(a, &e))) {
		if (r == -EBADMSG)
			refused(c, path, &e);
		else if (r > 0)
			r = add_entry(c, l, &e);
		if (r == -EBADMSG && c->refused++ < CP_REFUSED_MAX)
			continue;
		if (r < 0)
			return r == -EBADMSG ? -EPROTO : r;
	}
	return 0;
}

/* Return: 0; a status; -errno, which ends the session */
static int list_directory(struct cp *c, const char *path, struct list *l)
{
	struct sftp_handle h;
	struct sftp_reply a;
	int r = sftp_opendir(c->l, path, &h);

	if (r)
		return r;
	while (!(r = sftp_readdir(c->l, &h, &a))) {
		r = take_entries(c, path, &a, l);
		if (r) {
			c->l->dead = c->l->dead ? c->l->dead : r;
			return r;
		}
	}
	if (r < 0)
		return r;
	(void)sftp_close(c->l, &h);
	return r == SFTP_EOF ? 0 : r;
}

static int get_entries(struct cp *c, const char *from, int fd,
		       const struct list *l, unsigned int depth)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct entry *e = &l->e[i];
		cleanup_free_ char *path = join(c, from, e->name);

		if (!path)
			continue;
		if (S_ISDIR(e->mode)) {
			if (cp_get_tree(c, path, fd, e->name, depth + 1))
				return 1;
		} else if (S_ISREG(e->mode)) {
			(void)cp_get(c, path, fd, e->name, e->name);
		} else {
			(void)left_out(c, path);
		}
		if (c->l->dead)
			return 1;
	}
	return 0;
}

int cp_get_tree(struct cp *c, const char *from, int dirfd, const char *name,
		unsigned int depth)
{
	cleanup_close_ int fd = -1;
	struct list l = { 0 };
	struct sftp_attrs a;
	bool made = false;
	int r;

	if (depth > CP_DEPTH_MAX) {
		(void)cp_local_failed(c, from, ELOOP);
		return 0;
	}
	r = sftp_stat(c->l, from, !depth, &a);
	if (!r)
		r = list_directory(c, from, &l);
	if (r) {
		list_free(c, &l);
		(void)cp_remote_failed(c, from, r);
		return c->l->dead ? 1 : 0;
	}
	made = mkdirat(dirfd, name, (a.mode & 0777) | 0700) == 0;
	/* only the one that was named may be reached by a link */
	if (!made && errno != EEXIST)
		r = errno;
	else if ((fd = openat(dirfd, name,
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC |
				      (depth ? O_NOFOLLOW : 0))) < 0)
		r = errno;
	if (r)
		(void)cp_local_failed(c, name, r);
	else
		r = get_entries(c, from, fd, &l, depth);
	list_free(c, &l);
	if (!made || fd < 0)
		return c->l->dead ? 1 : 0;
	if (!c->l->dead && fchmod(fd, a.mode & 0777) < 0)
		(void)cp_local_failed(c, name, errno);
	if (c->preserve && (a.flags & SFTP_ATTR_TIMES)) {
		const struct timespec times[2] = { { .tv_sec = a.atime },
						   { .tv_sec = a.mtime } };

		(void)futimens(fd, times);
	}
	return c->l->dead ? 1 : 0;
}
