/* SPDX-License-Identifier: MIT */
/*
 * partition-file.h - the file of a partition
 *
 * Pure. A parent and the services of the table are left as written: who they
 * are depends on other files, and is settled by the registry.
 */
#ifndef REGISTRY_PARTITION_FILE_H
#define REGISTRY_PARTITION_FILE_H

#include "base/hash.h"
#include "registry/parse.h"
#include "registry/registry.h"

/* Not the system's <uthash.h> for everyone who includes this. */
struct override_index;

/* One [Service X] of a partition. */
struct override {
	char *name; /* as written, or NULL: id */
	GUID id;
	unsigned int line;
	struct rules rules;
};

#define OVERRIDE_MAX 1024 /* per partition */

struct service_override {
	size_t n;
	struct override *entry;
	/* The registry's: */
	const struct registry *registry;
	struct override_index *index, *slots;
};

enum partition_key {
	PARTITION_NAME,
	PARTITION_VMID,
	PARTITION_KIND,
	PARTITION_PARENT,
	PARTITION_USER,
	PARTITION_ENABLED,
	PARTITION_CID,
	PARTITION_SIBLING_CID,
	PARTITION_KEYS
};

struct partition_file {
	struct partition p; /* parent, depth: the registry's */
	char *value[PARTITION_KEYS]; /* [Partition] as written */
	unsigned int line[PARTITION_KEYS];
};

/** partition_file_parse() - a whole file. @ret is zeroed first.
 * Return: 0, -EINVAL with @e, -ENOMEM; on failure nothing is to be freed */
int partition_file_parse(const char *text, size_t len, const char *stem,
			 const struct name_lookup *names,
			 struct partition_file *ret, struct parse_error *e);

/** partition_text_format() - a file with [Partition] only; the text is the
 * caller's. Values with control characters are refused. 0, -EINVAL, -ENOMEM */
int partition_text_format(const char *const value[PARTITION_KEYS], char **ret);

void partition_file_fini(struct partition_file *f);

#endif /* REGISTRY_PARTITION_FILE_H */
