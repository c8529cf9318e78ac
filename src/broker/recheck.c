/* SPDX-License-Identifier: MIT */
/*
 * recheck.c - the policy changed: which relayed connections have to end?
 *
 * Each is decided again as if it were made now. The groups of the users are
 * looked up once for all of a user's connections: a transport may have very
 * many.
 */
#include "base/guid.h"
#include "broker/rules.h"
#include "broker/transport.h"
#include "broker/uplink.h"
#include "broker/users.h"

/* Would this connection be allowed now? */
static bool still_allowed(struct broker *b, const struct transport *t,
			  const struct relayed *r, struct user **users)
{
	struct caller c = { .partition = r->direction ? r->from : t->partition,
			    .uid = r->uid,
			    .gid = NAME_UID_NONE,
			    .connected = true };
	const GUID uplink = guid_from_port(UPLINK_PORT);
	SOCKADDR_HV dest = { .Family = AF_HYPERV,
			     .VmId = r->dest,
			     .ServiceId = r->service };
	const struct partition *from;
	const struct user *u;
	struct verdict v;

	if (guid_equal(&r->service, &uplink)) {
		/* whichever broker has made it: may the guest have one? */
		c = (struct caller){ .partition = t->partition,
				     .uid = NAME_UID_NONE,
				     .gid = NAME_UID_NONE,
				     .connected = true };
		dest.VmId = guid_parent;
	} else if (r->direction == 1 && (u = users_find(users, r->uid))) {
		c.gid = u->gid;
		c.groups = u->groups;
		c.ngroups = u->ngroups;
	}
	from = partition_find(&b->world, &c.partition);
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
		bool gone = !uplink_is_relay(t) &&
			    !registry_partition(b->registry, &t->partition);

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
