/* SPDX-License-Identifier: MIT */
/*
 * journal.c - see journal.h
 *
 * A hash table with open addressing, half full at most. Whoever dies in the
 * middle of a change leaves an entry twice, or not at all.
 */
#include "transport/vhost-user/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/vsock-device/vsock.h"

#define MAGIC 0x6b737668u /* "hvsk": with CIDs */
#define PLACES (2 * VSOCK_CONNS_MAX)

struct entry {
	uint32_t type; /* 0: free */
	uint32_t peer_cid, guest_port, host_port;
};

struct table {
	uint32_t magic, busy;
	struct entry at[PLACES];
};

struct journal {
	struct table *t;
	int fd;
	unsigned int used;
};

int journal_new(struct journal **ret)
{
	struct journal *j = calloc(1, sizeof(*j));
	int r = 0;

	if (!j)
		return -ENOMEM;
	j->t = MAP_FAILED;
	j->fd = memfd_create("hvsocket-journal",
			     MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (j->fd < 0 || ftruncate(j->fd, sizeof(struct table)) < 0 ||
	    fcntl(j->fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		r = -errno;
	if (r == 0)
		j->t = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE,
			    MAP_SHARED, j->fd, 0);
	if (r == 0 && j->t == MAP_FAILED)
		r = -errno;
	if (r < 0) {
		journal_free(j);
		return r;
	}
	j->t->magic = MAGIC;
	*ret = j;
	return 0;
}

struct journal *journal_free(struct journal *j)
{
	if (j) {
		if (j->t != MAP_FAILED)
			munmap(j->t, sizeof(struct table));
		if (j->fd >= 0)
			close(j->fd);
		free(j);
	}
	return NULL;
}

int journal_fd(const struct journal *j)
{
	return j ? j->fd : -1;
}

void journal_busy(struct journal *j, bool busy)
{
	if (j)
		__atomic_store_n(&j->t->busy, busy, __ATOMIC_RELEASE);
}

static unsigned int home(const struct entry *e)
{
	uint64_t h = (uint64_t)e->guest_port << 32 | e->host_port;

	h ^= e->type | (uint64_t)e->peer_cid << 8;
	h *= 0x9e3779b97f4a7c15u;
	return (unsigned int)(h >> 40) % PLACES;
}

static bool same(const struct entry *a, const struct entry *b)
{
	return a->type == b->type && a->peer_cid == b->peer_cid &&
	       a->guest_port == b->guest_port &&
	       a->host_port == b->host_port;
}

void journal_add(struct journal *j, uint32_t type, uint32_t peer_cid,
		 uint32_t guest_port, uint32_t host_port)
{
	const struct entry e = { type, peer_cid, guest_port, host_port };
	unsigned int i;

	if (!j || j->used >= PLACES / 2)
		return;
	for (i = home(&e); j->t->at[i].type; i = (i + 1) % PLACES)
		if (same(&j->t->at[i], &e))
			return;
	j->t->at[i] = e;
	j->used++;
}

/* The place @i is free now: what would not be found any more moves there. */
static void close_gap(struct journal *j, unsigned int i)
{
	struct entry *at = j->t->at;

	for (unsigned int k = (i + 1) % PLACES; at[k].type;
	     k = (k + 1) % PLACES) {
		unsigned int from = home(&at[k]);

		/* does its way from home to here lead over the gap? */
		if ((k - from) % PLACES < (k - i) % PLACES)
			continue;
		at[i] = at[k];
		i = k;
	}
	at[i].type = 0;
}

void journal_remove(struct journal *j, uint32_t type, uint32_t peer_cid,
		    uint32_t guest_port, uint32_t host_port)
{
	const struct entry e = { type, peer_cid, guest_port, host_port };

	if (!j)
		return;
	for (unsigned int i = home(&e); j->t->at[i].type; i = (i + 1) % PLACES)
		if (same(&j->t->at[i], &e)) {
			close_gap(j, i);
			j->used--;
			return;
		}
}

int journal_read(int fd, bool *ret_busy,
		 void (*lost)(void *ctx, uint32_t type, uint32_t peer_cid,
			      uint32_t guest_port, uint32_t host_port),
		 void *ctx)
{
	struct table *t = malloc(sizeof(*t));
	int r = 0;

	if (!t)
		return -ENOMEM;
	if (pread(fd, t, sizeof(*t), 0) != (ssize_t)sizeof(*t) ||
	    t->magic != MAGIC)
		r = -EPROTO;
	if (r == 0)
		*ret_busy = t->busy;
	for (unsigned int i = 0; i < PLACES && r == 0; i++)
		if (t->at[i].type)
			lost(ctx, t->at[i].type, t->at[i].peer_cid,
			     t->at[i].guest_port, t->at[i].host_port);
	free(t);
	return r;
}
