/* SPDX-License-Identifier: MIT */
/*
 * decide.h - may this bind, would this connect, and why
 *
 * The one place where policy is decided. Pure functions over the registry and
 * a look-up of listeners: no I/O, no clock, nothing remembered. BIND, CONNECT,
 * DIAL, explain, the coverage of wildcard binds, and the check of relayed
 * connections after a policy change all come here.
 *
 * Rules of a service between two partitions are those of the lower one's table
 * (its [Service] entry), member by member over the service's own, over the
 * lower partition's [Defaults]. Between siblings both have to allow it, and
 * Siblings= of the one that is reached (sibling.h).
 */
#ifndef BROKER_DECIDE_H
#define BROKER_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

#include "proto/profile.h"
#include "registry/registry.h"

struct listener; /* listeners.h */

/* Who asks. uid NAME_UID_NONE: a guest, which no user rule matches. */
struct caller {
	GUID partition;
	uint32_t uid, gid;
	const uint32_t *groups; /* supplementary */
	size_t ngroups;
	enum profile profile; /* chosen by itself, or the broker's is more */
	/* it asks about a connection that it has: what listeners have chosen
	 * for themselves since is nothing to that */
	bool connected;
};

/* What attaches a partition, if anything. */
enum attached {
	ATTACHED_NOBODY, /* no transport, no process: off */
	ATTACHED_LOCAL, /* processes are, or were, in it */
	ATTACHED_TRANSPORT, /* a guest that runs */
	ATTACHED_TRANSPORT_OFF, /* a guest that is not up */
	ATTACHED_TRANSPORT_SAVED, /* one that is made to look saved */
};

/* What decisions are made over. */
struct world {
	const struct registry *registry;
	uint32_t broker_uid;
	enum profile profile; /* for every caller */
	/* first listener of exactly this address; next: ->same */
	const struct listener *(*find)(const void *arg, const GUID *partition,
				       const GUID *vmid, const GUID *service,
				       uint8_t type);
	/* what attaches a partition */
	enum attached (*attached)(const void *arg, const GUID *partition);
	/* what is beyond the uplink, in a guest: the parent of the root here
	 * (VmId PARENT); NULL: there is none */
	const struct partition *parent;
	/* why it cannot be reached now, or NULL */
	const char *(*uplink_down)(const void *arg);
	const void *arg;
};

#define VERDICT_STEPS 1200

struct verdict {
	uint32_t reason; /* 0: allowed */
	int error;
	char text[400]; /* why not; empty if allowed */

	GUID service; /* the registered id of what was asked for */
	const struct partition *target; /* connect: who is reached */
	GUID peer; /* connect: the caller as the target sees it */
	bool relayed; /* through the target's transport, or the uplink */
	bool uplink; /* it is a guest's broker, for the broker itself */
	const struct listener *refused; /* whose refusal it is; may be dead */
	const struct listener *listener; /* else this one, */
	const char *unix_target; /* or this daemon's socket */
	bool disabled; /* bind: allowed, but listen will be refused */

	/* for people: filled in only when explain is set before the call */
	bool explain;
	char rule[200]; /* which rule decided */
	char fix[300]; /* what would change it */
	char steps[VERDICT_STEPS]; /* sentences, each ended by a newline */
};

/** verdict_init() - before decide_*(); much cheaper than zeroing it all */
void verdict_init(struct verdict *v);

/** decide_bind() - may @c bind @addr (ServiceId not zero)? */
void decide_bind(const struct world *w, const struct caller *c,
		 const SOCKADDR_HV *addr, uint8_t type, struct verdict *v);

/** decide_connect() - what would @c reach at @dest? @passthru as the option */
void decide_connect(const struct world *w, const struct caller *c,
		    const SOCKADDR_HV *dest, uint8_t type, bool passthru,
		    struct verdict *v);

/** decide_covers() - would this wildcard listener hear partition @from? Sets
 * @v as decide_connect() would for a connect that finds only it. */
void decide_covers(const struct world *w, const struct listener *l,
		   const struct partition *from, struct verdict *v);

/** decide_is_policy() - is this reason a matter of policy (so that a live
 * connection must end), not of who happens to listen now? */
bool decide_is_policy(uint32_t reason);

/** refuse() - set reason, its errno and a sentence */
void refuse(struct verdict *v, uint32_t reason, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* BROKER_DECIDE_H */
