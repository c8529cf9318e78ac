/* SPDX-License-Identifier: MIT */
/*
 * listeners.h - the table of listeners
 *
 * A cache of the directory listeners/, whose file names are the state
 * (proto/name.h): read back when the broker starts, kept in step by bind and
 * by probes afterwards. Whether a listener lives is asked of the kernel by a
 * connect() of a socket of another type, which has no side effect: EPROTOTYPE
 * alive, ECONNREFUSED dead.
 */
#ifndef BROKER_LISTENERS_H
#define BROKER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "proto/name.h"

struct account;
struct client;

struct listener_key {
	GUID partition, vmid, service;
	uint32_t type;
};

/*
 * Usually one listener has an address. A second one of another user stands in
 * ->same when the first may not be reached by policy, so that nobody can take
 * a registered address away by binding it first.
 */
struct listener {
	struct listener_key key;
	UT_hash_handle hh; /* only of the first with this key */
	struct listener *same;
	struct listener_name name;
	int32_t pid; /* of the binder; 0 after a restart of the broker */
	uint32_t *groups; /* of the binder */
	size_t ngroups;
	uint64_t token; /* of type DGRAM: the socket's (dgram.h) */
	struct account *accounts[2]; /* user, partition: charged */
	uint8_t suspect; /* owner gone: probes still to come */
	struct client *owner; /* whose control connection bound it, or NULL */
	struct listener *owner_next, *owner_prev;
	struct listener *prev, *next; /* all of them */
};

struct listeners {
	struct listener *by_key; /* hash */
	struct listener *all; /* list */
	size_t count;
};

/** listeners_load() - read the directory (relative to the working directory),
 * remove the dead. Return: 0 or -errno */
int listeners_load(struct listeners *t);
void listeners_free(struct listeners *t);

const struct listener *listeners_find(const struct listeners *t,
				      const GUID *partition, const GUID *vmid,
				      const GUID *service, uint8_t type);

/** listeners_find_name() - the one of this very user, or NULL */
struct listener *listeners_find_name(const struct listeners *t,
				     const struct listener_name *name);

/** listener_name_same() - the same user's listener for the same address? */
bool listener_name_same(const struct listener_name *a,
			const struct listener_name *b);

/** listeners_add() - @groups is copied. Return: the new one, or NULL */
struct listener *listeners_add(struct listeners *t,
			       const struct listener_name *name, int32_t pid,
			       const uint32_t *groups, size_t ngroups);

/** listener_groups() - the binder's, looked up after a restart; copied.
 * Return: 0 or -ENOMEM */
int listener_groups(struct listener *l, const uint32_t *groups, size_t n);

/** listeners_remove() - unlink the file, if it has one; free it */
void listeners_remove(struct listeners *t, struct listener *l);

/** listener_alive() - ask the kernel */
bool listener_alive(const struct listener *l);

#endif /* BROKER_LISTENERS_H */
