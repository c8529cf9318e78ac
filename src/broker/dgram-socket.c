/* SPDX-License-Identifier: MIT */
/* dgram-socket.c - the table of datagram sockets; see dgram.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "broker/dgram.h"

struct dgram_socket *dgram_find(const struct dgrams *d, uint64_t token)
{
	struct dgram_socket *s;

	HASH_FIND(hh, d->sockets, &token, sizeof(token), s);
	return s;
}

static struct dgram_name name_of(const GUID *partition, uint32_t uid,
				 uint64_t token)
{
	return (struct dgram_name){
		.partition = *partition,
		.token = token,
		.uid = uid,
	};
}

struct dgram_socket *dgram_find_name(const struct dgrams *d,
				     const GUID *partition, uint32_t uid,
				     uint64_t token)
{
	const struct dgram_name name = name_of(partition, uid, token);
	struct dgram_socket *s;

	HASH_FIND(hh_name, d->by_name, &name, sizeof(name), s);
	return s;
}

struct dgram_socket *dgram_find_key(const struct dgrams *d,
				    const GUID *partition, const GUID *service)
{
	struct dgram_socket *s, like;

	like.key.partition = *partition;
	like.key.service = *service;
	HASH_FIND(hh_key, d->by_key, &like.key, sizeof(like.key), s);
	return s;
}

struct caller dgram_caller(const struct dgram_socket *s)
{
	return (struct caller){
		.partition = s->key.partition,
		.uid = s->uid,
		.gid = s->gid,
		.groups = s->groups,
		.ngroups = s->ngroups,
	};
}

/* In the table of listeners; one that hears answers only is charged alike. */
static int enlist(struct dgrams *d, struct dgram_socket *s, bool answers_only)
{
	struct broker *b = d->b;
	struct door *door = door_find(b, &s->key.partition);
	const struct listener_name name = {
		.type = SOCK_DGRAM,
		.partition = s->key.partition,
		.vmid = s->vmid,
		.service = s->key.service,
		.uid = s->uid,
		.gid = s->gid,
	};

	if (answers_only) {
		s->accounts[0] = account_of_user(b, s->uid);
		s->accounts[1] = account_of_partition(b, &s->key.partition);
		for (int i = 0; i < 2; i++)
			if (s->accounts[i])
				s->accounts[i]->listeners++;
		if (door)
			door->listeners++;
		return 0;
	}
	s->listener = listeners_add(&b->listeners, &name, (int32_t)s->pid,
				    s->groups, s->ngroups);
	if (!s->listener)
		return -ENOMEM;
	s->listener->token = s->token;
	bind_charge(b, s->listener);
	return 0;
}

int dgram_add(struct dgrams *d, const struct msg_socket *m)
{
	struct dgram_socket *s = calloc(1, sizeof(*s)), *first;

	if (!s)
		return -ENOMEM;
	s->token = m->token;
	s->peers.max = DGRAM_PEERS_MAX;
	s->key.partition = m->partition;
	s->key.service = m->service;
	s->vmid = m->vmid;
	s->uid = m->uid;
	s->gid = m->gid;
	s->pid = m->pid;
	s->groups = malloc((m->ngroups + 1) * sizeof(*s->groups));
	if (!s->groups) {
		free(s);
		return -ENOMEM;
	}
	s->ngroups = m->ngroups;
	if (m->ngroups)
		memcpy(s->groups, m->groups, m->ngroups * sizeof(*s->groups));
	if (enlist(d, s, m->flags & SOCKET_ANSWERS_ONLY) < 0) {
		free(s->groups);
		free(s);
		return -ENOMEM;
	}
	HASH_ADD(hh, d->sockets, token, sizeof(s->token), s);
	s->name = name_of(&m->partition, m->uid, m->name);
	HASH_ADD(hh_name, d->by_name, name, sizeof(s->name), s);
	first = dgram_find_key(d, &s->key.partition, &s->key.service);
	if (first) {
		s->same = first->same;
		first->same = s;
	} else {
		HASH_ADD(hh_key, d->by_key, key, sizeof(s->key), s);
	}
	return 0;
}

static void unchain(struct dgrams *d, struct dgram_socket *s)
{
	struct dgram_socket *first = dgram_find_key(d, &s->key.partition,
						    &s->key.service);

	if (first == s) {
		HASH_DELETE(hh_key, d->by_key, s);
		if (s->same)
			HASH_ADD(hh_key, d->by_key, key, sizeof(s->key),
				 s->same);
		return;
	}
	while (first->same != s)
		first = first->same;
	first->same = s->same;
}

void dgram_forget(struct dgrams *d, struct dgram_socket *s)
{
	struct door *door = door_find(d->b, &s->key.partition);

	HASH_DELETE(hh, d->sockets, s);
	HASH_DELETE(hh_name, d->by_name, s);
	unchain(d, s);
	if (s->listener)
		bind_forget(d->b, s->listener);
	else if (door && door->listeners)
		door->listeners--;
	for (int i = 0; i < 2; i++) {
		if (!s->accounts[i])
			continue;
		s->accounts[i]->listeners--;
		account_unref(d->b, s->accounts[i]);
	}
	free(s->peers.all);
	free(s->groups);
	free(s);
}

void dgram_forget_all(struct dgrams *d)
{
	while (d->sockets)
		dgram_forget(d, d->sockets);
}
