/* SPDX-License-Identifier: MIT */
/*
 * service-file.h - the file of a service: its keys as text, and what they mean
 *
 * A struct service_text holds every key of a file as it was written. Reading
 * is text -> service_text -> struct service; hvctl edits the service_text and
 * writes it back, so that no key is lost (comments are). All but load, save
 * and write are pure.
 */
#ifndef REGISTRY_SERVICE_FILE_H
#define REGISTRY_SERVICE_FILE_H

#include "registry/parse.h"
#include "registry/registry.h"

enum service_key {
	SERVICE_NAME, /* ElementName */
	SERVICE_ID, /* ServiceId */
	SERVICE_PORT,
	SERVICE_POLICY,
	SERVICE_BIND,
	SERVICE_CONNECT,
	SERVICE_SIBLINGS,
	SERVICE_WILDCARD, /* AllowWildcardBinds */
	SERVICE_TARGET,
	SERVICE_MAX_CONNECTIONS,
	/* volatile files only: [Lease] and [Owner] */
	SERVICE_LEASE_PID,
	SERVICE_LEASE_START,
	SERVICE_LEASE_BOOT,
	SERVICE_OWNER_UID,
	SERVICE_KEYS
};

struct service_text {
	char *value[SERVICE_KEYS]; /* NULL: not there */
	unsigned int line[SERVICE_KEYS];
};

/** service_text_parse() - @is_volatile: [Lease] and [Owner] may stand there.
 * @ret is zeroed first. Return: 0, -EINVAL with @e, -ENOMEM; on failure there
 * is nothing to free. */
int service_text_parse(const char *text, size_t len, bool is_volatile,
		       struct service_text *ret, struct parse_error *e);

/** service_text_set() - @value NULL removes the key. Return: 0; -EINVAL
 * (control characters); -ENOMEM */
int service_text_set(struct service_text *t, enum service_key key,
		     const char *value);

/** service_text_format() - the file's text, the caller's. 0 or -ENOMEM */
int service_text_format(const struct service_text *t, char **ret);

/** service_text_draft() - from a draft; id, port and uid are written, a lease
 * is not. What is wrong in it is found by service_build(). */
int service_text_draft(const struct service_draft *d,
		       struct service_text *ret);

void service_text_fini(struct service_text *t);

/** service_build() - what the keys mean; @stem is the name where there is no
 * ElementName. path, origin and owner_uid (but for [Owner]) are the caller's
 * to fill in. Return: 0, -EINVAL with @e, -ENOMEM. */
int service_build(const struct service_text *t, const char *stem,
		  const struct name_lookup *names, struct service *ret,
		  struct parse_error *e);

void service_fini(struct service *s);

#define SERVICE_STEM_SIZE 64
/** service_stem() - a safe file name (without .conf) from a name: letters,
 * digits, '.', '_', '-'; never empty, never hidden. Return: @out */
char *service_stem(const char *name, char *out);

#define SERVICE_NAME_SIZE (REGISTRY_NAME_MAX + 1)
/** service_name_clean() - a name that name_check() takes, from any text (as
 * in a .reg file); "" if nothing is left. Return: @out */
char *service_name_clean(const char *name, char *out);

/** service_file_load() - DIR/STEM.conf as written. Return: 0, or -errno with
 * @why ("file:line: reason") */
int service_file_load(const char *dir, const char *stem,
		      struct service_text *ret, char *why, size_t size);

/** service_file_save() - check @t and write DIR/STEM.conf atomically; missing
 * directories are made. Return: 0; -EEXIST unless @overwrite; -EINVAL; errno
 * of the file system, with the old file in place; all with @why. */
int service_file_save(const char *dir, const char *stem,
		      const struct service_text *t, bool overwrite, char *why,
		      size_t size);

/** service_file_write() - the same from a draft */
int service_file_write(const char *dir, const char *stem,
		       const struct service_draft *d, bool overwrite,
		       char *why, size_t size);

#endif /* REGISTRY_SERVICE_FILE_H */
