/* SPDX-License-Identifier: MIT */
/*
 * pool.h - connections to the broker
 *
 * A call takes an idle connection, or opens one, has it for itself until its
 * reply is there, and gives it back. Who the caller is was decided by the
 * kernel when the connection was made, so one is used again only by the
 * process, the effective user and group and the supplementary groups, and with
 * the runtime directory that it was made with. Listeners belong to the
 * connection they were bound over: such connections are kept for as long as
 * there is room.
 *
 * Programs close descriptors they do not know. A connection remembers its
 * socket's SO_COOKIE; where the number is now something else, it is forgotten
 * and not closed.
 */
#ifndef LIB_POOL_H
#define LIB_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <hvsocket.h>

#include "base/yielder.h"

/* Idle connections kept that carried no bind; and all that are kept. */
#define POOL_IDLE 4
#define POOL_SLOTS 64

#define CONN_NAME_SIZE 128

enum conn_use { CONN_FREE, CONN_IDLE, CONN_BUSY };

/* Who the kernel tells the broker that we are. Of more groups than there is
 * room for, .more is a sum. */
#define CALLER_GROUPS 32

struct caller {
	uid_t uid;
	gid_t gid;
	int n; /* of .groups; -1: not known, and nobody's equal */
	gid_t groups[CALLER_GROUPS];
	uint64_t more;
};

struct conn {
	enum conn_use use;
	int fd;
	uint64_t cookie;
	struct caller caller;
	bool heap; /* no slot was free */
	struct conn *next; /* of those */
	bool bound; /* listeners belong to it */
	bool hello; /* HELLO's reply has come */
	uint32_t serial;
	int timeout_ms; /* SO_RCVTIMEO now */
	struct yielder yielder; /* call.c */
	unsigned int env; /* generation of the environment it was made in */
	uint64_t used; /* when it was given back, in gives */
	GUID partition;
	char name[CONN_NAME_SIZE];
	char dir[128]; /* runtime directory, cut */
};

/**
 * pool_take() - a connection for one request
 * @fresh:	a new one, not an idle one
 * @ret:	give it back with pool_give() or pool_drop()
 *
 * Return: 0; or -1 with errno and the thread's reason set.
 */
int pool_take(bool fresh, struct conn **ret);

/** pool_give() - nothing is outstanding on it */
void pool_give(struct conn *c);

/** pool_drop() - end it, with whatever is outstanding, also for processes that
 * have inherited it. errno is preserved. */
void pool_drop(struct conn *c);

/** pool_counts() - for tests */
void pool_counts(size_t *ret_idle, size_t *ret_busy);

#endif /* LIB_POOL_H */
