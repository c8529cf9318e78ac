/* SPDX-License-Identifier: MIT */
/*
 * volatile.h - inside the registry: changes at run time, step by step
 *
 * Errors are said in @why and returned as -errno.
 */
#ifndef REGISTRY_VOLATILE_H
#define REGISTRY_VOLATILE_H

#include "base/cleanup.h"
#include "registry/store.h"

/** volatile_say() - the sentence; returns @error */
int volatile_say(char *why, size_t size, int error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int volatile_say_parse(char *why, size_t size, int error,
		       const struct parse_error *e);

/** volatile_spare() - a unit that is in no table, for judging; its stem is
 * made of the name, or is @id where that is taken. NULL: no memory */
struct unit *volatile_spare(enum unit_kind kind, const char *name,
			    const struct registry *r, const GUID *id);
void volatile_spare_free(struct unit **p);
#define cleanup_spare_ cleanup_(volatile_spare_free)

/** volatile_rival() - -EEXIST if one but @old claims a key of @u */
int volatile_rival(const struct registry *r, const struct unit *u,
		   const struct unit *old, char *why, size_t size);
/** volatile_write() - the file of @u, atomically */
int volatile_write(const struct registry *r, const struct unit *u,
		   const char *text, char *why, size_t size);
/** volatile_install() - @u's object takes the place of what the unit of its
 * stem had. Return: that unit, or NULL */
struct unit *volatile_install(struct registry *r, struct unit *u);
/** volatile_possible() - -EOPNOTSUPP if there is no directory for it */
int volatile_possible(const struct registry *r, char *why, size_t size);
/** volatile_find() - the volatile unit of an id, in force or not */
int volatile_find(struct registry *r, enum unit_kind kind, const GUID *id,
		  struct unit **ret, char *why, size_t size);
/** volatile_remove() - the unit and its file; the caller settles */
void volatile_remove(struct registry *r, struct unit *u);

#endif /* REGISTRY_VOLATILE_H */
