/* SPDX-License-Identifier: MIT */
/* users.c - see users.h */
#include "broker/users.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "proto/name.h"

#define USERS_MAX 1024

const struct user *users_find(struct user **table, uint32_t uid)
{
	struct passwd pw, *found = NULL;
	char buf[4096];
	int n = USER_GROUPS_MAX;
	struct user *u;

	HASH_FIND(hh, *table, &uid, sizeof(uid), u);
	if (u || HASH_COUNT(*table) >= USERS_MAX)
		return u;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->uid = uid;
	u->gid = NAME_UID_NONE;
	if (uid != NAME_UID_NONE &&
	    getpwuid_r(uid, &pw, buf, sizeof(buf), &found) == 0 && found) {
		u->gid = pw.pw_gid;
		if (getgrouplist(pw.pw_name, pw.pw_gid, u->groups, &n) >= 0)
			u->ngroups = (size_t)n;
	}
	HASH_ADD(hh, *table, uid, sizeof(u->uid), u);
	return u;
}

void users_free(struct user **table)
{
	struct user *u, *next;

	HASH_ITER(hh, *table, u, next) {
		HASH_DELETE(hh, *table, u);
		free(u);
	}
}
