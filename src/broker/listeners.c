/* SPDX-License-Identifier: MIT */
/* listeners.c - see listeners.h */
#include "broker/listeners.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/guid.h"

static struct listener_key key_of(const GUID *partition, const GUID *vmid,
				  const GUID *service, uint8_t type)
{
	return (struct listener_key){
		.partition = *partition,
		.vmid = *vmid,
		.service = *service,
		.type = type,
	};
}

bool listener_name_same(const struct listener_name *a,
			const struct listener_name *b)
{
	return a->type == b->type && a->native == b->native &&
	       a->uid == b->uid &&
	       guid_equal(&a->partition, &b->partition) &&
	       guid_equal(&a->vmid, &b->vmid) &&
	       guid_equal(&a->service, &b->service);
}

struct listener *listeners_find_name(const struct listeners *t,
				     const struct listener_name *name)
{
	struct listener_key key = key_of(&name->partition, &name->vmid,
					 &name->service, name->type);
	struct listener *l;

	HASH_FIND(hh, t->by_key, &key, sizeof(key), l);
	while (l && !listener_name_same(&l->name, name))
		l = l->same;
	return l;
}

const struct listener *listeners_find(const struct listeners *t,
				      const GUID *partition, const GUID *vmid,
				      const GUID *service, uint8_t type)
{
	struct listener_key key = key_of(partition, vmid, service, type);
	struct listener *l;

	HASH_FIND(hh, t->by_key, &key, sizeof(key), l);
	return l;
}

int listener_groups(struct listener *l, const uint32_t *groups, size_t n)
{
	uint32_t *copy = malloc((n + 1) * sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	memcpy(copy, groups, n * sizeof(*copy));
	free(l->groups);
	l->groups = copy;
	l->ngroups = n;
	return 0;
}

struct listener *listeners_add(struct listeners *t,
			       const struct listener_name *name, int32_t pid,
			       const uint32_t *groups, size_t ngroups)
{
	struct listener *l = calloc(1, sizeof(*l)), *first;

	if (!l)
		return NULL;
	if (groups && listener_groups(l, groups, ngroups) < 0) {
		free(l);
		return NULL;
	}
	l->key = key_of(&name->partition, &name->vmid, &name->service,
			name->type);
	l->name = *name;
	l->pid = pid;
	HASH_FIND(hh, t->by_key, &l->key, sizeof(l->key), first);
	if (first) {
		l->same = first->same;
		first->same = l;
	} else {
		HASH_ADD(hh, t->by_key, key, sizeof(l->key), l);
	}
	DL_APPEND(t->all, l);
	t->count++;
	return l;
}

static void take_out(struct listeners *t, struct listener *l)
{
	struct listener *first, *next;

	HASH_FIND(hh, t->by_key, &l->key, sizeof(l->key), first);
	if (first == l) {
		next = l->same;
		HASH_DELETE(hh, t->by_key, l);
		if (next)
			HASH_ADD(hh, t->by_key, key, sizeof(next->key), next);
	} else {
		while (first->same != l)
			first = first->same;
		first->same = l->same;
	}
	DL_DELETE(t->all, l);
	t->count--;
}

void listeners_remove(struct listeners *t, struct listener *l)
{
	struct sockaddr_un sa;

	if (l->name.type != SOCK_DGRAM) {
		listener_name_encode(&l->name, &sa);
		(void)unlink(sa.sun_path);
	}
	take_out(t, l);
	free(l->groups);
	free(l);
}

void listeners_free(struct listeners *t)
{
	while (t->all) {
		struct listener *l = t->all;

		take_out(t, l);
		free(l->groups);
		free(l);
	}
}

bool listener_alive(const struct listener *l)
{
	cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	socklen_t len = listener_name_encode(&l->name, &sa);

	if (l->name.type == SOCK_DGRAM)
		return true; /* hvsocket-dgram tells */
	fd = socket(AF_UNIX,
		    (l->name.type == SOCK_STREAM ? SOCK_SEQPACKET :
						   SOCK_STREAM) |
			    SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd < 0)
		return true; /* not known: keep it */
	if (connect(fd, (struct sockaddr *)&sa, len) == 0)
		return true; /* cannot be: types differ */
	return errno != ECONNREFUSED && errno != ENOENT;
}

int listeners_load(struct listeners *t)
{
	cleanup_closedir_ DIR *dir = opendir(NAME_LISTENER_DIR);
	struct listener *l, *next;
	struct dirent *e;

	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		struct listener_name name;

		if (e->d_name[0] == '.')
			continue;
		if (listener_file_decode(e->d_name, &name) < 0) {
			/* not ours to keep: the directory is the broker's */
			(void)unlinkat(dirfd(dir), e->d_name, 0);
			continue;
		}
		if (!listeners_add(t, &name, 0, NULL, 0))
			return -ENOMEM;
	}
	DL_FOREACH_SAFE(t->all, l, next) {
		if (!listener_alive(l))
			listeners_remove(t, l);
	}
	return 0;
}
