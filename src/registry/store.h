/* SPDX-License-Identifier: MIT */
/*
 * store.h - inside the registry: units, claims, what is in force
 *
 * A unit is what one file name stands for: the file in the last directory
 * that has it. Permanent and volatile units have tables of their own, so that
 * neither shadows the other. A parsed unit claims its keys (ids, name); two
 * that claim one key are in conflict. So what is in force depends on who else
 * is there, and a change touches only units that share a key with it: they
 * are put on the dirty list, and store_settle() judges them.
 */
#ifndef REGISTRY_STORE_H
#define REGISTRY_STORE_H

#include <limits.h>

#include "base/hash.h"
#include "registry/partition-file.h"
#include "registry/registry.h"
#include "registry/service-file.h"

enum unit_kind { UNIT_SERVICE, UNIT_PARTITION, UNIT_KINDS };

struct problems {
	size_t n;
	struct registry_problem *v;
};

struct unit {
	enum unit_kind kind;
	bool is_volatile;
	bool parsed; /* the object below is there, and claims its keys */
	bool conflict, in_force;
	char *stem; /* the key in its table */
	struct service service;
	struct service_text text; /* volatile services */
	struct partition_file partition;
	struct problems load, state; /* of the file; of its surroundings */
	bool dirty;
	struct unit *next_dirty;
	UT_hash_handle hh;
};

#define CLAIM_KEY_MAX (1 + NAME_MAX)

struct claim {
	UT_hash_handle hh;
	size_t n, room;
	struct unit **holder;
	unsigned int key_len;
	unsigned char key[];
};

struct override_index {
	GUID id;
	const struct rules *rules;
	UT_hash_handle hh;
};

/* One directory of one kind. */
struct dir {
	char *base; /* the configuration directory */
	char *path; /* and services.d or partitions.d in it */
	enum unit_kind kind;
	enum origin origin;
	int wd; /* watch of path, or -1 */
	int up_wd; /* of base, or of the ancestor that is there */
	char up_next[NAME_MAX + 1]; /* what is awaited in it */
	bool rearm; /* its watches are out of date */
	struct problems problems;
};

/* Sorted by name; made when asked for. */
struct listing {
	bool valid;
	size_t n;
	const void **v;
};

struct registry {
	int fd; /* inotify */
	size_t n_dirs;
	struct dir *dirs; /* lowest first */
	char *volatile_path[UNIT_KINDS]; /* or NULL */
	struct unit *units[UNIT_KINDS][2]; /* hash tables; [][1]: volatile */
	struct claim *claims; /* hash table */
	struct unit *dirty;
	size_t count[UNIT_KINDS]; /* in force */
	uint64_t generation;
	bool changed, partitions_changed, services_changed;
	struct partition host;
	struct problems all; /* borrows the strings of the others */
	struct listing *listing[UNIT_KINDS];
};

/* problems.c */
void problem_add(struct problems *p, const char *file, unsigned int line,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void problems_clear(struct problems *p);
void problems_collect(struct registry *r);

/* store.c */
const char *unit_path(const struct unit *u);
struct unit *unit_find(const struct registry *r, enum unit_kind kind,
		       bool is_volatile, const char *stem);
/** unit_get() - find or make; NULL: no memory */
struct unit *unit_get(struct registry *r, enum unit_kind kind,
		      bool is_volatile, const char *stem);
/** unit_clear() - give up claims and object */
void unit_clear(struct registry *r, struct unit *u);
/** unit_remove() - clear and free */
void unit_remove(struct registry *r, struct unit *u);
/** unit_claim() - the object was put in: claim its keys. 0 or -ENOMEM */
int unit_claim(struct registry *r, struct unit *u);
#define RIVAL_SIZE (QUOTE_SIZE + 32)
/** unit_rival() - another unit that claims a key of @u; @what[RIVAL_SIZE] says
 * which key. @ignore does not count. With @files_only volatile ones do not. */
const struct unit *unit_rival(const struct registry *r, const struct unit *u,
			      const struct unit *ignore, bool files_only,
			      char *what);

enum claim_type {
	CLAIM_SERVICE_ID = 'i',
	CLAIM_SERVICE_NAME = 'n',
	CLAIM_SERVICE_STEM = 's',
	CLAIM_VMID = 'v',
	CLAIM_PARTITION_NAME = 'm',
	CLAIM_PARTITION_STEM = 't',
};

enum claim_state { CLAIM_PARSED, CLAIM_NO_CONFLICT, CLAIM_IN_FORCE };

/** claim_guid() - the one unit that holds the key and is so far, or NULL */
struct unit *claim_guid(const struct registry *r, enum claim_type type,
			const GUID *id, enum claim_state state);
struct unit *claim_name(const struct registry *r, enum claim_type type,
			const char *name, enum claim_state state);

/** store_settle() - decide what is in force. Return: did anything change? */
bool store_settle(struct registry *r);
void store_clear(struct registry *r);

/* link.c */
/** link_parent() - @ret NULL: the host. Return: 0 or -ENOENT */
int link_parent(const struct registry *r, const struct partition_file *f,
		struct unit **ret);
#define PARTITION_DEPTH_MAX 16
void link_partitions(struct registry *r);
void link_tables(struct registry *r);
/** link_forget() - free a file with its index */
void link_forget(struct partition_file *f);

/* load.c */
void load_unit(struct registry *r, enum unit_kind kind, const char *stem);
/** load_volatile() - the broker's own directories; what is over is removed */
void load_volatile(struct registry *r);
/** load_all() - everything, from nothing */
void load_all(struct registry *r);
/** load_kind() - all units of a kind (a directory came or went) */
void load_kind(struct registry *r, enum unit_kind kind);
/** stem_of() - NAME of NAME.conf in @out[NAME_MAX + 1]; false: not ours */
bool stem_of(const char *file, char *out);

/* watch.c */
void watch_dir(struct registry *r, struct dir *d);
/** watch_drain() - read events, load what they name. Return: were there any? */
bool watch_drain(struct registry *r);

/* lease.c */
/** lease_take() - fill in @s's lease for @pid. Return: 0 or -ESRCH... */
int lease_take(int32_t pid, struct service_text *t);
bool lease_over(const struct service *s);

#endif /* REGISTRY_STORE_H */
