/* SPDX-License-Identifier: MIT */
/*
 * volatile.c - registrations at run time (registry.h)
 *
 * A change is made beside the store first: the new object is built by the
 * parser from the very text that will be written, judged against what others
 * claim, and written; only then does it take its place. What fails on the way
 * leaves the old object and the old file.
 */
#include "registry/volatile.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "registry/write-file.h"

int volatile_say(char *why, size_t size, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (size)
		vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return error;
}

int volatile_say_parse(char *why, size_t size, int error,
		     const struct parse_error *e)
{
	if (error == -EINVAL)
		return volatile_say(why, size, error, "%s", e->reason);
	return volatile_say(why, size, error, "%s", strerror(-error));
}

/* A unit that is in no table, for judging. */
struct unit *volatile_spare(enum unit_kind kind, const char *name,
			  const struct registry *r, const GUID *id)
{
	struct unit *u = calloc(1, sizeof(*u));
	char stem[SERVICE_STEM_SIZE], text[GUID_TEXT_SIZE];

	if (!u)
		return NULL;
	u->kind = kind;
	u->is_volatile = true;
	service_stem(name, stem);
	if (unit_find(r, kind, true, stem) || unit_find(r, kind, false, stem))
		u->stem = strdup(guid_format(id, text));
	else
		u->stem = strdup(stem);
	if (!u->stem) {
		free(u);
		return NULL;
	}
	return u;
}

void volatile_spare_free(struct unit **p)
{
	struct unit *u = *p;

	if (!u)
		return;
	service_fini(&u->service);
	service_text_fini(&u->text);
	partition_file_fini(&u->partition);
	free(u->stem);
	free(u);
}

int volatile_rival(const struct registry *r, const struct unit *u,
		       const struct unit *old, char *why, size_t size)
{
	const struct unit *rival;
	char what[RIVAL_SIZE];

	rival = unit_rival(r, u, old, false, what);
	if (!rival)
		return 0;
	if (rival->is_volatile)
		return volatile_say(why, size, -EEXIST,
			   "%s is taken by the volatile registration %s", what,
			   rival->kind == UNIT_SERVICE ?
				   rival->service.name :
				   rival->partition.p.name);
	return volatile_say(why, size, -EEXIST, "%s is taken by %s", what,
		   unit_path(rival));
}

int volatile_write(const struct registry *r, const struct unit *u,
		      const char *text, char *why, size_t size)
{
	char name[NAME_MAX + 1];
	int error;

	snprintf(name, sizeof(name), "%s.conf", u->stem);
	error = write_file(r->volatile_path[u->kind], name, text, strlen(text),
			   0600, true);
	if (error < 0)
		return volatile_say(why, size, error, "%s/%s: %s",
			   r->volatile_path[u->kind], name, strerror(-error));
	return 0;
}

/* @u's object takes the place of what the unit of its stem had. */
struct unit *volatile_install(struct registry *r, struct unit *u)
{
	struct unit *to = unit_get(r, u->kind, true, u->stem);

	if (!to)
		return NULL;
	unit_clear(r, to);
	to->service = u->service;
	to->text = u->text;
	to->partition = u->partition;
	u->service = (struct service){ 0 };
	u->text = (struct service_text){ 0 };
	u->partition = (struct partition_file){ 0 };
	if (unit_claim(r, to) < 0) {
		unit_remove(r, to);
		to = NULL;
	}
	r->changed = true;
	store_settle(r);
	return to;
}

int volatile_possible(const struct registry *r, char *why, size_t size)
{
	if (r->volatile_path[UNIT_PARTITION])
		return 0;
	return volatile_say(why, size, -EOPNOTSUPP,
		   "this registry has no place for volatile registrations");
}

void volatile_remove(struct registry *r, struct unit *u)
{
	unlink(unit_path(u));
	unit_remove(r, u);
	r->changed = true;
}

/* The volatile unit of an id, in force or not. */
int volatile_find(struct registry *r, enum unit_kind kind, const GUID *id,
		struct unit **ret, char *why, size_t size)
{
	char text[GUID_TEXT_SIZE];
	struct unit *file;

	/* Prefer the volatile one: the id may be a file's by now. */
	for (struct unit *u = r->units[kind][1]; u; u = u->hh.next) {
		if (u->parsed &&
		    guid_equal(id, kind == UNIT_SERVICE ?
					   &u->service.id :
					   &u->partition.p.vmid)) {
			*ret = u;
			return 0;
		}
	}
	file = claim_guid(r, kind == UNIT_SERVICE ? CLAIM_SERVICE_ID :
						    CLAIM_VMID,
			  id, CLAIM_PARSED);
	if (file && file->is_volatile) { /* asked for by its port */
		*ret = file;
		return 0;
	}
	if (file)
		return volatile_say(why, size, -EPERM,
			   "%s is permanent: change the file", unit_path(file));
	return volatile_say(why, size, -ENOENT, "there is no %s %s",
		   kind == UNIT_SERVICE ? "service" : "partition",
		   guid_format(id, text));
}
