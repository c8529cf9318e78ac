/* SPDX-License-Identifier: MIT */
/*
 * reg-file.h - Windows .reg files of the GuestCommunicationServices key
 *
 * Reads what regedit and the installers of others write: "Windows Registry
 * Editor Version 5.00" or REGEDIT4; UTF-16 (little-endian, with its mark) or
 * UTF-8 with or without one; LF or CRLF. Keys and values that are not about
 * services are passed over. Pure: no I/O.
 */
#ifndef REGISTRY_REG_FILE_H
#define REGISTRY_REG_FILE_H

#include "registry/parse.h"

#define REG_FILE_MAX (16 * 1024 * 1024)

struct reg_service {
	GUID id;
	const char *name; /* ElementName, UTF-8; NULL: none */
	unsigned int line; /* of the key */
	bool deleted; /* [-key]: the service is to be removed */
	bool braces; /* {GUID}: Windows would ignore this key; warn */
};

/** reg_service_fn - @s is valid during the call. Not 0: stop, and return it */
typedef int (*reg_service_fn)(const struct reg_service *s, void *arg);

/** reg_file_parse() - call @fn for each service key, in order
 * Return: 0; -EINVAL with @e; -ENOMEM; what @fn returned */
int reg_file_parse(const void *data, size_t len, reg_service_fn fn, void *arg,
		   struct parse_error *e);

struct reg_entry {
	GUID id;
	const char *name; /* UTF-8, or NULL */
};

/** reg_file_format() - a .reg file that regedit reads
 * @utf8:	UTF-8 without a mark instead of UTF-16LE with one
 * @ret:	the caller's
 *
 * Return: 0; -EINVAL (a name is not UTF-8 or has a line end); -ENOMEM
 */
int reg_file_format(const struct reg_entry *v, size_t n, bool utf8, char **ret,
		    size_t *ret_len);

#endif /* REGISTRY_REG_FILE_H */
