/* SPDX-License-Identifier: MIT */
/*
 * parse.h - text of registry files: lines, and the values in them
 *
 * Pure functions: no I/O but the name_lookup they are given. What fails says
 * why in a struct parse_error, with the line it was found in.
 *
 * The form of the files: UTF-8 (a byte order mark is skipped), lines of at
 * most INI_LINE bytes ended by LF or CRLF. A line is blank; a comment (# or ;
 * first); [Section]; or KEY=VALUE. " ;" begins a comment within a line. A
 * line that begins with a blank goes on with the value of the line before.
 */
#ifndef REGISTRY_PARSE_H
#define REGISTRY_PARSE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry/registry.h"

#define INI_LINE 197 /* what libinih takes everywhere */
#define REGISTRY_FILE_MAX 65536
#define REGISTRY_NAME_MAX 120 /* bytes; two and a colon fit an address text */
#define ACL_MAX 256 /* entries of one list */

struct parse_error {
	unsigned int line; /* 0: the file as a whole */
	char reason[REGISTRY_WHY];
};

/** parse_fail() - fill in @e. Return: -EINVAL */
int parse_fail(struct parse_error *e, unsigned int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define QUOTE_SIZE 80
/** quote() - @text between quotes, escaped and cut, in @out[QUOTE_SIZE] */
char *quote(const char *text, char *out);

/**
 * ini_fn - one thing of a file
 * @section:	"" before the first
 * @key:	NULL: this line is the section's header
 * @value:	never empty
 * @more:	goes on with the value of the line before
 *
 * Return: 0, or -errno after parse_fail() or -ENOMEM.
 */
typedef int (*ini_fn)(void *arg, const char *section, const char *key,
		      const char *value, unsigned int line, bool more);

/** ini_parse_text() - call @fn for each header and key, in order.
 * Return: 0; -EINVAL with @e filled in; -ENOMEM */
int ini_parse_text(const char *text, size_t len, ini_fn fn, void *arg,
		   struct parse_error *e);

/** name_check() - may a service or partition be called this? @what stands in
 * front of the reason. Return: 0 or -EINVAL */
int name_check(const char *what, const char *name, unsigned int line,
	       struct parse_error *e);

/* Values. Each: 0 or -EINVAL, @ret written on success only. */
int value_guid(const char *key, const char *v, unsigned int line, GUID *ret,
	       struct parse_error *e); /* not a reserved one */
int value_u32(const char *key, const char *v, unsigned int line, uint32_t max,
	      uint32_t *ret, struct parse_error *e); /* decimal or 0x */
int value_u64(const char *key, const char *v, unsigned int line, uint64_t max,
	      uint64_t *ret, struct parse_error *e);
int value_policy(const char *key, const char *v, unsigned int line,
		 enum policy *ret, struct parse_error *e);
int value_yes_no(const char *key, const char *v, unsigned int line, bool *ret,
		 struct parse_error *e);
int value_user(const char *key, const char *v, unsigned int line,
	       const struct name_lookup *names, uint32_t *ret,
	       struct parse_error *e);

/** value_acl() - Bind= and Connect=. Return: 0, -EINVAL, -ENOMEM. @ret is
 * untouched on failure, the caller's (acl_fini) on success. */
int value_acl(const char *key, const char *v, unsigned int line,
	      const struct name_lookup *names, struct acl *ret,
	      struct parse_error *e);

/** value_siblings() - Siblings=: the same, of partitions only, each by its name
 * or VmId */
int value_siblings(const char *key, const char *v, unsigned int line,
		   struct acl *ret, struct parse_error *e);

void acl_fini(struct acl *a);
void rules_fini(struct rules *r);

/** append_value() - @*text and a blank and @more. Return: 0 or -ENOMEM */
int append_value(char **text, const char *more);

#endif /* REGISTRY_PARSE_H */
