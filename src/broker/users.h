/* SPDX-License-Identifier: MIT */
/*
 * users.h - the groups of users who are not there to be asked
 *
 * A connection tells its user's groups itself. Of the owner of a listener read
 * back at the start, of the user of a connection that a transport tells of,
 * and of whom `explain` is asked about, they are looked up. That may ask a
 * directory server: once for each user of a table.
 */
#ifndef BROKER_USERS_H
#define BROKER_USERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

#define USER_GROUPS_MAX 256

struct user {
	uint32_t uid, gid; /* gid NAME_UID_NONE: nobody known */
	UT_hash_handle hh;
	uint32_t groups[USER_GROUPS_MAX];
	size_t ngroups;
};

/** users_find() - from the table, or looked up. Return: NULL: no memory, or
 * already very many in the table */
const struct user *users_find(struct user **table, uint32_t uid);
void users_free(struct user **table);

#endif /* BROKER_USERS_H */
