/* SPDX-License-Identifier: MIT */
/* partition.h - what the verbs for partitions share */
#ifndef HVCTL_PARTITION_H
#define HVCTL_PARTITION_H

#include <stdbool.h>

#include <jansson.h>

#include "hvctl/call.h"

/** group_kind() - "vm" or "container" where one of these groups was typed */
const char *group_kind(const struct ctl *c);

/** find_partition() - one partition, of the group's kind. 0, or 1 (told) */
int find_partition(struct ctl *c, const char *ref, json_t **ret);

/** check_partition_text() - would the broker take such a file? Return: 0, or
 * 1 (told) */
int check_partition_text(const struct ctl *c, const char *about,
			 const char *stem, const char *text);

/* What is to change; NULL: as it is. Values as they would stand in the file. */
struct partition_wish {
	const char *name, *user, *cid, *sibling_cid;
	bool has_enabled, enabled;
};

/** partition_change() - @o, one object of the broker's. Return: 0, or 1 or 2
 * (told) */
int partition_change(struct ctl *c, const struct partition_wish *w,
		     const json_t *o, json_t **ret);

/** partition_cid_ok() - could it stand in a file? */
bool partition_cid_ok(const char *text);
/** partition_sibling_cid_ok() - the same of SiblingCid= */
bool partition_sibling_cid_ok(const char *text);

#endif /* HVCTL_PARTITION_H */
