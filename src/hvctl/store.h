/* SPDX-License-Identifier: MIT */
/*
 * store.h - permanent services and partitions: files, and what the broker
 * makes of them
 *
 * hvctl writes files itself, with the rights of whoever runs it, into the
 * directory that the broker's status names; the broker has no part in it. A
 * file of the same name in a lower directory is overridden by it, and masked
 * by an empty one. After each change the broker is asked until it has it in
 * force, or says what is wrong with the file.
 */
#ifndef HVCTL_STORE_H
#define HVCTL_STORE_H

#include <stdbool.h>

#include <jansson.h>

#include "hvctl/call.h"

struct store_kind {
	const char *show; /* method, and its member */
	const char *set, *remove; /* methods for volatile ones */
	const char *member;
	const char *dir_key; /* in status */
	const char *sub; /* below a configuration directory */
};

extern const struct store_kind store_services, store_partitions;

struct store {
	struct ctl *c;
	const struct store_kind *kind;
	json_t *status;
	const char *dir; /* where permanent files go */
};

/** store_open() - ask the broker where. Return: 0, or 1 (told) */
int store_open(struct ctl *c, const struct store_kind *kind, struct store *s);
void store_close(struct store *s);

/** store_show() - one object. Return: 0, or -errno, nothing told */
int store_show(struct ctl *c, const struct store_kind *kind, const char *ref,
	       json_t **ret, struct call_error *err);

/** store_find() - the same, a failure told. Return: 0 or 1 */
int store_find(struct ctl *c, const struct store_kind *kind, const char *ref,
	       json_t **ret);

/** store_is_volatile() - is this object no file? */
bool store_is_volatile(const json_t *object);

/** store_is_here() - does the object's file stand in the writable directory? */
bool store_is_here(const struct store *s, const json_t *object);

/** store_split() - the directory and stem of the object's file, to be freed.
 * Return: 0 or -ENOMEM; -EINVAL where it has no such path */
int store_split(const json_t *object, char **ret_dir, char **ret_stem);

/** store_below() - is there such a file in a lower directory? */
bool store_below(const struct store *s, const char *stem);

/** store_write() - DIR/STEM.conf. Return: 0, or 1 (told) */
int store_write(struct store *s, const char *about, const char *stem,
		const char *text, bool overwrite);

/** store_delete() - unlink DIR/STEM.conf. Return: 0, or 1 (told) */
int store_delete(struct store *s, const char *about, const char *stem);

/** store_drop() - take an object that is a file out of force: unlink it, or
 * mask it where it would not be gone by that. Return: 0, or 1 (told) */
int store_drop(struct store *s, const char *about, const json_t *object);

/** store_refused() - tell that DIR/STEM.conf could not be changed, and what
 * to do. @why may be NULL. Return: 1 */
int store_refused(struct store *s, const char *about, const char *stem,
		  const char *why, int error);

/**
 * store_settle() - wait until a change is in force
 * @ref:	the object
 * @stem:	its file; NULL: it is to be gone
 * @key, @value: a member that it is to have; NULL: any
 * @ret:	the object, may be NULL
 *
 * Return: 0, or 1 (told: the broker's problem with the file).
 */
int store_settle(struct store *s, const char *about, const char *ref,
		 const char *stem, const char *key, const char *value,
		 json_t **ret);

#endif /* HVCTL_STORE_H */
