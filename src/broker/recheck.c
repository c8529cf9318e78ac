/* SPDX-License-Identifier: MIT */
/*
 * recheck.c - the policy changed: which relayed connections have to end?
 *
 * Each is decided again as if it were made now. The groups of the users are
 * looked up once for all of a user's connections: a transport may have very
 * many.
 */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "base/guid.h"
#include "broker/rules.h"
#include "broker/transport.h"

#define GROUPS_MAX 64
#define USERS_MAX 1024

struct user {
	uint32_t uid, gid;
	UT_hash_handle hh;
	gid_t groups[GROUPS_MAX];
	size_t ngroups;
};

/* A user's groups as they are now, or NULL. */
static const struct user *user_of(struct user **users, uint32_t uid)
{
	struct passwd pw, *found = NULL;
	char buf[4096];
	int n = GROUPS_MAX;
	struct user *u;

	HASH_FIND(hh, *users, &uid, sizeof(uid), u);
	if (u || HASH_COUNT(*users) >= USERS_MAX)
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
	HASH_ADD(hh, *users, uid, sizeof(u->uid), u);
	return u;
}

static void users_free(struct user **users)
{
	struct user *u, *next;

	HASH_ITER(hh, *users, u, next) {
		HASH_DELETE(hh, *users, u);
		free(u);
	}
}

/* Would this connection be allowed now? */
static bool still_allowed(struct broker *b, const struct transport *t,
			  const struct relayed *r, struct user **users)
{
	struct caller c = { .partition = r->direction ? r->from : t->partition,
			    .uid = r->uid,
			    .gid = NAME_UID_NONE };
	SOCKADDR_HV dest = { .Family = AF_HYPERV,
			     .VmId = r->dest,
			     .ServiceId = r->service };
	const struct partition *from;
	const struct user *u;
	struct verdict v;

	if (r->direction == 1 && (u = user_of(users, r->uid))) {
		c.gid = u->gid;
		c.groups = u->groups;
		c.ngroups = u->ngroups;
	}
	from = registry_partition(b->registry, &c.partition);
	verdict_init(&v);
	decide_connect(&b->world, &c, &dest, (uint8_t)r->type, r->passthru, &v);
	return from && from->enabled && !decide_is_policy(v.reason) &&
	       !(v.target && disabled_between(&b->world, from, v.target));
}

static void recheck(struct broker *b, struct transport *t,
		    const struct relayed *r, struct user **users)
{
	if (!still_allowed(b, t, r, users))
		transport_close(t, r->token, HVS_REASON_NO_LONGER_ALLOWED);
}

void relayed_recheck(struct broker *b, struct transport *t,
		     const struct relayed *r)
{
	struct user *users = NULL;

	recheck(b, t, r, &users);
	users_free(&users);
}

void transports_recheck(struct broker *b)
{
	struct transport *t, *next;
	struct relayed *r, *next_r;
	struct user *users = NULL;

	HASH_ITER(hh, b->transports, t, next) {
		bool gone = !registry_partition(b->registry, &t->partition);

		HASH_ITER(hh, t->relayed, r, next_r) {
			if (gone)
				transport_close(t, r->token,
						HVS_REASON_NO_LONGER_ALLOWED);
			else
				recheck(b, t, r, &users);
		}
		if (gone) {
			t->made_partition = false;
			client_drop(t->client);
		}
	}
	users_free(&users);
}
