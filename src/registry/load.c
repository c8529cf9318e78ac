/* SPDX-License-Identifier: MIT */
/*
 * load.c - from directories to units (store.h)
 *
 * A unit is always loaded by asking every directory, highest first, so there
 * is nothing to remember about overrides and masks: what an event names is
 * loaded again, and comes out right whatever had happened.
 */
#include "registry/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "registry/write-file.h"

#define SUFFIX ".conf"
#define SUFFIX_LEN 5

bool stem_of(const char *file, char *out)
{
	size_t n = strlen(file);

	if (file[0] == '.' || n <= SUFFIX_LEN || n > NAME_MAX ||
	    strcmp(file + n - SUFFIX_LEN, SUFFIX) != 0)
		return false;
	memcpy(out, file, n - SUFFIX_LEN);
	out[n - SUFFIX_LEN] = '\0';
	return true;
}

static void fail(struct unit *u, const char *path, const struct parse_error *e,
		 int error)
{
	if (error == -EINVAL)
		problem_add(&u->load, path, e->line, "%s", e->reason);
	else
		problem_add(&u->load, path, 0, "%s", strerror(-error));
}

static void check_target(struct unit *u)
{
	struct service *s = &u->service;

	if (!s->target || s->owner_uid == 0 || s->owner_uid == geteuid())
		return;
	problem_add(&u->load, s->path, u->text.line[SERVICE_TARGET],
		    "Target= does not count: user %u owns the file, not root "
		    "and not the broker's user", s->owner_uid);
	free(s->target);
	s->target = NULL;
}

static int parse_service(struct unit *u, const char *text, size_t len,
			 uint32_t owner, struct parse_error *e)
{
	int error;

	error = service_text_parse(text, len, u->is_volatile, &u->text, e);
	if (error < 0)
		return error;
	error = service_build(&u->text, u->stem, &name_lookup_system,
			      &u->service, e);
	if (error < 0)
		return error;
	if (!u->text.value[SERVICE_OWNER_UID])
		u->service.owner_uid = owner;
	return 0;
}

/* The object from a file's text; the unit was cleared. 0 or -errno */
static int parse_unit(struct registry *r, struct unit *u, const char *path,
		      enum origin origin, const char *text, size_t len,
		      uint32_t owner, struct parse_error *e)
{
	char *copy;
	int error;

	if (!utf8_printable(u->stem, strlen(u->stem)))
		return parse_fail(e, 0, "the file's name is not text");
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	if (u->kind == UNIT_SERVICE)
		error = parse_service(u, text, len, owner, e);
	else
		error = partition_file_parse(text, len, u->stem,
					     &name_lookup_system,
					     &u->partition, e);
	if (error < 0) {
		free(copy);
		return error;
	}
	if (u->kind == UNIT_SERVICE) {
		u->service.path = copy;
		u->service.origin = origin;
		check_target(u);
	} else {
		u->partition.p.path = copy;
		u->partition.p.origin = origin;
	}
	if (!u->is_volatile)
		service_text_fini(&u->text);
	return unit_claim(r, u);
}

/* One file. Return: is it there? Then the unit says what it is: parsed, with
 * a problem, or neither (a mask). */
static bool load_file(struct registry *r, struct unit *u, const char *path,
		      enum origin origin)
{
	cleanup_free_ char *text = NULL;
	struct parse_error e = { 0 };
	uid_t owner = 0;
	const char *why;
	struct stat st;
	size_t len;
	int error;

	error = read_file(path, &text, &len, &owner, &why);
	if (error == -ENOENT || error == -ENOTDIR) {
		if (lstat(path, &st) < 0)
			return false;
		problem_add(&u->load, path, 0,
			    "a symbolic link that leads nowhere");
		return true;
	}
	if (error == 0 && !len)
		return true;
	if (error == -EINVAL)
		parse_fail(&e, 0, "%s", why);
	if (error == 0)
		error = parse_unit(r, u, path, origin, text, len, owner, &e);
	if (error < 0)
		fail(u, path, &e, error);
	return true;
}

void load_unit(struct registry *r, enum unit_kind kind, const char *stem)
{
	struct unit *u = unit_get(r, kind, false, stem);
	bool found = false;

	if (!u)
		return;
	unit_clear(r, u);
	for (size_t i = r->n_dirs; i-- > 0 && !found;) {
		cleanup_free_ char *path = NULL;
		const struct dir *d = &r->dirs[i];

		if (d->kind != kind)
			continue;
		if (asprintf(&path, "%s/%s" SUFFIX, d->path, u->stem) < 0) {
			path = NULL;
			continue;
		}
		found = load_file(r, u, path, d->origin);
	}
	if (!u->parsed && !u->load.n)
		unit_remove(r, u);
}

/* Every name in a directory becomes a unit, to be loaded. */
static void scan(struct registry *r, struct dir *d)
{
	cleanup_closedir_ DIR *dir = opendir(d->path);
	char stem[NAME_MAX + 1];
	struct dirent *e;

	if (!dir) {
		if (errno != ENOENT && errno != ENOTDIR)
			problem_add(&d->problems, d->path, 0,
				    "cannot be read: %s", strerror(errno));
		return;
	}
	while ((e = readdir(dir)))
		if (stem_of(e->d_name, stem))
			(void)unit_get(r, d->kind, false, stem);
}

void load_kind(struct registry *r, enum unit_kind kind)
{
	struct unit *u, *next;

	for (size_t i = 0; i < r->n_dirs; i++)
		if (r->dirs[i].kind == kind)
			scan(r, &r->dirs[i]);
	HASH_ITER (hh, r->units[kind][0], u, next)
		load_unit(r, kind, u->stem);
}

static void load_volatile_kind(struct registry *r, enum unit_kind kind)
{
	cleanup_closedir_ DIR *dir = NULL;
	char stem[NAME_MAX + 1];
	struct dirent *e;

	if (!r->volatile_path[kind])
		return;
	write_file_tidy(r->volatile_path[kind], 0);
	dir = opendir(r->volatile_path[kind]);
	while (dir && (e = readdir(dir))) {
		cleanup_free_ char *path = NULL;
		struct unit *u;

		if (!stem_of(e->d_name, stem))
			continue;
		u = unit_get(r, kind, true, stem);
		if (!u || asprintf(&path, "%s/%s", r->volatile_path[kind],
				   e->d_name) < 0) {
			path = NULL;
			continue;
		}
		unit_clear(r, u);
		(void)load_file(r, u, path, ORIGIN_VOLATILE);
		if (u->parsed && kind == UNIT_SERVICE &&
		    lease_over(&u->service)) {
			unlink(path);
			unit_remove(r, u);
		}
	}
}

void load_volatile(struct registry *r)
{
	load_volatile_kind(r, UNIT_SERVICE);
	load_volatile_kind(r, UNIT_PARTITION);
}

/* Files of other programs that died while writing: after a minute. */
#define TIDY_AGE 60

void load_all(struct registry *r)
{
	store_clear(r);
	for (size_t i = 0; i < r->n_dirs; i++) {
		watch_dir(r, &r->dirs[i]);
		write_file_tidy(r->dirs[i].path, TIDY_AGE);
	}
	load_kind(r, UNIT_SERVICE);
	load_kind(r, UNIT_PARTITION);
	load_volatile(r);
}
