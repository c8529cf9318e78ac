/* SPDX-License-Identifier: MIT */
/* partition.h - what the verbs for partitions share */
#ifndef HVCTL_PARTITION_H
#define HVCTL_PARTITION_H

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

#endif /* HVCTL_PARTITION_H */
