/* SPDX-License-Identifier: MIT */
/*
 * registry.h - which services and partitions exist, and their rules
 *
 * The registry is read from configuration directories, lowest first. Each has
 * services.d/ and partitions.d/, one *.conf file per object; a file of the
 * same name in a later directory overrides an earlier one, and an empty file
 * masks it. The last directory is the broker's volatile one; what stands
 * there never shadows a file (a volatile registration whose id, port or name
 * is taken is refused, and put out of force when a file claims it later).
 * One ServiceId, port or name in two files of different names puts both out
 * of force, with a problem each.
 *
 * Dropping in a file is registration: registry_refresh() drains an inotify
 * watch and reads again what changed; the broker calls it before every
 * decision, so that a file that is in place counts.
 *
 * Objects returned are borrowed and live until the next registry_refresh(),
 * registry_reload() or change of volatile objects.
 */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

enum policy { POLICY_DEFAULT, POLICY_ENABLED, POLICY_DISABLED };

enum origin {
	ORIGIN_PACKAGE, /* /usr/lib/hvsocket */
	ORIGIN_ADMINISTRATOR, /* /etc/hvsocket */
	ORIGIN_USER, /* $XDG_CONFIG_HOME/hvsocket */
	ORIGIN_CONFIG, /* a directory named on the command line */
	ORIGIN_VOLATILE,
	ORIGIN_BUILTIN, /* the host partition */
};

enum acl_kind { ACL_ANY, ACL_USER, ACL_GROUP, ACL_PARTITION };

struct acl_entry {
	enum acl_kind kind;
	uint32_t id; /* uid or gid */
	char *partition; /* name as written, or NULL if vmid is set */
	GUID vmid;
};

/* Who may. Not set: the rule's default. Set and empty ("none"): nobody. Of
 * siblings all entries are ACL_PARTITION. */
struct acl {
	bool set;
	size_t n;
	struct acl_entry *entry;
	char *text; /* as written */
};

/* Rules of a service, of a partition (its defaults), or of a service in one
 * partition's table (overrides the service's own, member by member). */
struct rules {
	enum policy policy;
	struct acl bind, connect;
	struct acl siblings; /* of a service: who may, beside the listener */
	int8_t wildcard; /* may wildcard binds match: -1 not set, 0, 1 */
};

struct service {
	GUID id;
	bool has_port;
	uint32_t port; /* id of another spelling: the VSOCK template's */
	char *name; /* ElementName; never NULL (the file's stem) */
	char *stem; /* file name without .conf */
	char *path;
	enum origin origin;
	uint32_t owner_uid; /* of the file, or of a volatile registration */
	struct rules rules;
	char *target; /* path of an existing daemon's Unix socket, or NULL */
	uint32_t max_connections; /* relayed ones at a time; 0: no limit */
	/* volatile only: the process whose end ends it; pid 0: no lease */
	int32_t lease_pid;
	uint64_t lease_start; /* clock ticks since boot, /proc/PID/stat */
	char lease_boot[37];
};

enum partition_kind { PARTITION_HOST, PARTITION_VM, PARTITION_CONTAINER };

struct partition {
	GUID vmid; /* zero: the host */
	char *name; /* never NULL */
	enum partition_kind kind;
	GUID parent; /* zero: the host */
	char *stem, *path; /* NULL for the host */
	enum origin origin;
	bool enabled;
	bool has_user; /* whose transports may attach it */
	uint32_t user;
	uint32_t cid; /* of its AF_VSOCK in the kernel; 0: none */
	uint32_t sibling_cid; /* what stock guests beside it name it; 0: cid */
	struct rules defaults;
	struct service_override *table; /* opaque: partition_rules() */
	size_t depth; /* 0: the host */
};

/* What is wrong with a file; shown by status. */
struct registry_problem {
	char *file;
	unsigned int line; /* 0: the file as a whole */
	char *reason;
};

struct registry_dir {
	char *path;
	enum origin origin;
};

struct registry;

/* Names of users and groups are looked up through this, so that parsers do no
 * I/O: each returns 0, or -ENOENT. */
struct name_lookup {
	int (*user)(const char *name, uint32_t *ret);
	int (*group)(const char *name, uint32_t *ret);
};
extern const struct name_lookup name_lookup_system; /* getpwnam_r and so on */

/**
 * registry_new() - read everything, start watching
 * @dirs:	lowest first; a directory that is not there is watched for
 * @n:		how many
 * @volatile_dir: the broker's own (made if missing), or NULL
 *
 * Broken files do not fail this: registry_problems(). Return: 0 or -errno.
 */
int registry_new(const struct registry_dir *dirs, size_t n,
		 const char *volatile_dir, struct registry **ret);
struct registry *registry_free(struct registry *r);

/** registry_fd() - readable when something may have changed (borrowed) */
int registry_fd(const struct registry *r);

/** registry_refresh() - read again what changed on disk. One system call if
 * nothing did. Return: true if anything in force changed. */
bool registry_refresh(struct registry *r);

/** registry_reload() - read everything again */
void registry_reload(struct registry *r);

/** registry_generation() - grows with every change in force */
uint64_t registry_generation(const struct registry *r);

size_t registry_problems(const struct registry *r,
			 const struct registry_problem **ret);

/* Look-ups; NULL if there is none in force. By id takes the template GUID of
 * a service's port as well. By name ignores case, takes ElementName or stem. */
const struct service *registry_service(const struct registry *r,
				       const GUID *id);
const struct service *registry_service_by_name(const struct registry *r,
					       const char *name);
const struct partition *registry_partition(const struct registry *r,
					   const GUID *vmid);
const struct partition *registry_partition_by_name(const struct registry *r,
						   const char *name);
size_t registry_service_count(const struct registry *r);
size_t registry_partition_count(const struct registry *r); /* with the host */

/** registry_each_*() - call @fn for each, in order of names, until it is
 * not 0, and return that */
int registry_each_service(const struct registry *r,
			  int (*fn)(const struct service *s, void *arg),
			  void *arg);
int registry_each_partition(const struct registry *r,
			    int (*fn)(const struct partition *p, void *arg),
			    void *arg);

/** partition_rules() - @p's table entry for a service (by any of its ids, also
 * one that is not registered), or NULL. Entries of one service under two
 * spellings: Policy=disabled, until the file is repaired. */
const struct rules *partition_rules(const struct partition *p, const GUID *id);

/* What volatile objects are made of. Texts are as in a file. */
struct service_draft {
	const char *name; /* required: ElementName */
	const GUID *id; /* NULL: from the port, or a random one */
	const uint32_t *port;
	const char *policy, *bind, *connect, *wildcard, *target; /* or NULL */
	const char *siblings; /* or NULL */
	uint32_t owner_uid;
	int32_t lease_pid; /* 0: none */
	const char *max_connections; /* or NULL */
};

struct partition_draft {
	const char *name; /* required */
	const GUID *id; /* NULL: a random one */
	const char *kind, *parent, *user; /* or NULL */
	const char *cid, *sibling_cid; /* or NULL; "none" takes it away */
	bool disabled;
};

/* Errors of the calls below come with a sentence in @why (any size). */
#define REGISTRY_WHY 400

/** registry_add_service() - a volatile registration, written to the volatile
 * directory. A lease is the process' by pid, start time and boot. Return: 0;
 * -EINVAL; -EEXIST (id, port or name is another's); -EPERM (Target= of a user
 * who may not); -ESRCH (the lease's process is gone); -EOPNOTSUPP (no volatile
 * directory); -ENOSPC and other errno of the file system, with nothing
 * changed. */
int registry_add_service(struct registry *r, const struct service_draft *d,
			 const struct service **ret, char *why, size_t size);

/** registry_set_service() - change the members of @d that are not NULL; owner
 * and lease stay. -EPERM for a permanent one, -EINVAL for another id or port */
int registry_set_service(struct registry *r, const GUID *id,
			 const struct service_draft *d, char *why,
			 size_t size);
/** registry_remove_service() - volatile ones only: else -EPERM; -ENOENT */
int registry_remove_service(struct registry *r, const GUID *id, char *why,
			    size_t size);

/* Partitions likewise. registry_set_partition() always takes @d->disabled; a
 * parent must be in force. Children of a removed one go out of force. */
int registry_add_partition(struct registry *r, const struct partition_draft *d,
			   const struct partition **ret, char *why,
			   size_t size);
int registry_set_partition(struct registry *r, const GUID *vmid,
			   const struct partition_draft *d, char *why,
			   size_t size);
int registry_remove_partition(struct registry *r, const GUID *vmid, char *why,
			      size_t size);

/** registry_expire() - remove volatile services whose lease's process ended.
 * Return: how many. Done for all, or for the leases of @pid if not 0. */
size_t registry_expire(struct registry *r, int32_t pid);

const char *policy_name(enum policy p);
const char *origin_name(enum origin o);
const char *partition_kind_name(enum partition_kind k);

#endif /* REGISTRY_REGISTRY_H */
