/* SPDX-License-Identifier: MIT */
/* store.c - see store.h */
#include "hvctl/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/out.h"
#include "registry/write-file.h"

#define SETTLE_TRIES 100
#define SETTLE_NS (20 * 1000000L)

const struct store_kind store_services = {
	.show = "service.show",
	.set = "service.set",
	.remove = "service.remove",
	.member = "service",
	.dir_key = "services_dir",
	.sub = "services.d",
};

const struct store_kind store_partitions = {
	.show = "partition.show",
	.set = "partition.set",
	.remove = "partition.remove",
	.member = "partition",
	.dir_key = "partitions_dir",
	.sub = "partitions.d",
};

int store_open(struct ctl *c, const struct store_kind *kind, struct store *s)
{
	*s = (struct store){ .c = c, .kind = kind };
	if (call_or_say(c, json_pack("{s:s}", "method", "status"), NULL,
			&s->status))
		return 1;
	s->dir = json_text(s->status, kind->dir_key);
	if (!*s->dir)
		return complain("%s: this broker has no directory for permanent "
			    "files (--ephemeral needs none)", c->verb);
	return 0;
}

void store_close(struct store *s)
{
	json_decref(s->status);
	*s = (struct store){ 0 };
}

int store_show(struct ctl *c, const struct store_kind *kind, const char *ref,
	       json_t **ret, struct call_error *err)
{
	return call(c, CALL_HOST,
		    json_pack("{s:s, s:s}", "method", kind->show, kind->member,
			      ref),
		    ret, err);
}

int store_find(struct ctl *c, const struct store_kind *kind, const char *ref,
	       json_t **ret)
{
	struct call_error err;

	if (store_show(c, kind, ref, ret, &err))
		return say_refused(c, CALL_HOST, ref, &err);
	return 0;
}

bool store_is_volatile(const json_t *object)
{
	return !strcmp(json_text(object, "origin"), "volatile");
}

int store_split(const json_t *object, char **ret_dir, char **ret_stem)
{
	const char *path = json_text(object, "path");
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(path, '.');
	char *dir, *stem;

	if (!slash || !dot || dot <= slash + 1 || strcmp(dot, ".conf"))
		return -EINVAL;
	dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	stem = strndup(slash + 1, (size_t)(dot - slash - 1));
	if (!dir || !stem) {
		free(dir);
		free(stem);
		return -ENOMEM;
	}
	*ret_dir = dir;
	*ret_stem = stem;
	return 0;
}

/* One directory may have several names. */
static bool same_directory(const char *a, const char *b)
{
	struct stat sa, sb;

	if (!strcmp(a, b))
		return true;
	return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

bool store_is_here(const struct store *s, const json_t *object)
{
	cleanup_free_ char *dir = NULL, *stem = NULL;

	return !store_split(object, &dir, &stem) && same_directory(dir, s->dir);
}

bool store_below(const struct store *s, const char *stem)
{
	const json_t *dir;
	size_t i;

	json_array_foreach(json_object_get(s->status, "config_dirs"), i, dir) {
		cleanup_free_ char *sub = NULL, *path = NULL;
		const char *top = json_string_value(dir);

		if (!top || asprintf(&sub, "%s/%s", top, s->kind->sub) < 0) {
			sub = NULL;
			continue;
		}
		if (same_directory(sub, s->dir))
			return false; /* what follows is not lower */
		if (asprintf(&path, "%s/%s.conf", sub, stem) < 0) {
			path = NULL;
			continue;
		}
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

int store_refused(struct store *s, const char *about, const char *stem,
		  const char *why, int error)
{
	const char *hint = "";

	if (error == EACCES || error == EPERM || error == EROFS)
		hint = !strcmp(s->c->verb + strlen(s->c->verb) - 3, "add")
			       ? " (only who may write there can add permanent "
				 "ones; --ephemeral works without root)"
			       : " (only who may write there can change "
				 "permanent ones)";
	if (why && *why)
		return complain("%s %s: %s%s", s->c->verb, show(about), show(why),
			    hint);
	return complain("%s %s: %s/%s.conf: %s%s", s->c->verb, show(about),
		    show(s->dir), show(stem), strerror(error), hint);
}

int store_write(struct store *s, const char *about, const char *stem,
		const char *text, bool overwrite)
{
	cleanup_free_ char *name = NULL;
	int r;

	if (asprintf(&name, "%s.conf", stem) < 0) {
		name = NULL;
		return complain("%s: %s", s->c->verb, strerror(ENOMEM));
	}
	r = make_directories(s->dir, 0755);
	if (!r)
		r = write_file(s->dir, name, text, strlen(text), 0644,
			       overwrite);
	return r ? store_refused(s, about, stem, NULL, -r) : 0;
}

int store_delete(struct store *s, const char *about, const char *stem)
{
	cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s.conf", s->dir, stem) < 0) {
		path = NULL;
		return complain("%s: %s", s->c->verb, strerror(ENOMEM));
	}
	if (unlink(path) < 0)
		return store_refused(s, about, stem, NULL, errno);
	return 0;
}

int store_drop(struct store *s, const char *about, const json_t *object)
{
	cleanup_free_ char *dir = NULL, *stem = NULL;
	bool here, below;

	if (store_split(object, &dir, &stem))
		return complain("%s %s: it has no file that could be removed",
			    s->c->verb, show(about));
	here = same_directory(dir, s->dir);
	below = store_below(s, stem);
	if (here && !below)
		return store_delete(s, about, stem);
	if (!here && !below)
		return complain("%s %s: %s: this file is above the directory for "
			    "changes, %s", s->c->verb, show(about),
			    show(json_text(object, "path")), show(s->dir));
	return store_write(s, about, stem, "", true);
}

/* Is the object as wanted? With @stem NULL it should not be there at all. */
static bool is_settled(const json_t *o, const char *stem,
		       const char *key, const char *value)
{
	cleanup_free_ char *dir = NULL, *file = NULL;

	if (!o || !stem)
		return !o && !stem;
	if (store_split(o, &dir, &file) || strcmp(file, stem))
		return false;
	return !key || !strcmp(json_text(o, key), value);
}

/* Why not? The broker's problems say it, by file. */
static int unsettled(struct store *s, const char *about, const char *stem)
{
	cleanup_json_ json_t *status = NULL;
	cleanup_free_ char *name = NULL;
	struct call_error err;
	const json_t *p;
	size_t i;

	if (stem && asprintf(&name, "/%s.conf", stem) < 0)
		name = NULL;
	if (name && !call(s->c, CALL_HOST,
			  json_pack("{s:s}", "method", "status"), &status,
			  &err))
		json_array_foreach(json_object_get(status, "problems"), i, p) {
			const char *file = json_text(p, "file");
			size_t n = strlen(file), m = strlen(name);

			if (n >= m && !strcmp(file + n - m, name))
				return complain("%s %s: %s:%u: %s", s->c->verb,
					    show(about), show(file),
					    (unsigned int)json_number(p,
								      "line"),
					    show(json_text(p, "reason")));
		}
	if (stem)
		return complain("%s %s: %s/%s.conf is written, but the broker has "
			    "not taken it", s->c->verb, show(about),
			    show(s->dir), show(stem));
	return complain("%s %s: the broker still has it in force", s->c->verb,
		    show(about));
}

int store_settle(struct store *s, const char *about, const char *ref,
		 const char *stem, const char *key, const char *value,
		 json_t **ret)
{
	const struct timespec pause = { .tv_nsec = SETTLE_NS };
	struct call_error err;

	for (int i = 0; i < SETTLE_TRIES; i++) {
		cleanup_json_ json_t *o = NULL;
		int r;

		if (i)
			nanosleep(&pause, NULL);
		r = store_show(s->c, s->kind, ref, &o, &err);
		if (r && err.reason != HVS_REASON_NOT_FOUND &&
		    err.reason != HVS_REASON_PARTITION_UNKNOWN)
			return say_refused(s->c, CALL_HOST, about, &err);
		if (!is_settled(r ? NULL : o, stem, key, value))
			continue;
		if (ret)
			*ret = json_incref(o);
		return 0;
	}
	return unsettled(s, about, stem);
}
