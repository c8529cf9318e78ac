/* SPDX-License-Identifier: MIT */
/* relay-internal.h - what relay.c and deliver.c share */
#ifndef TRANSPORT_DGRAM_RELAY_INTERNAL_H
#define TRANSPORT_DGRAM_RELAY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ev.h"
#include "base/hash.h"
#include "base/log.h"
#include "transport/dgram/broker-end.h"
#include "transport/dgram/queue.h"

/* A user of the host, or a partition. */
struct owner {
	struct {
		GUID partition;
		uint32_t uid;
	} key;
	UT_hash_handle hh;
	unsigned int refs;
	size_t bytes;
	struct sock *queued; /* list of those with something queued */
};

struct route {
	SOCKADDR_HV dest;
	UT_hash_handle hh;
	uint64_t generation;
	size_t n;
	struct msg_receiver to[];
};

struct sock {
	uint64_t token;
	UT_hash_handle hh;
	struct relay *r;
	int fd;
	struct ev_io io;
	GUID service;
	struct owner *owner;
	struct queue queue;
	struct sock *queued_prev, *queued_next;
	struct route *routes; /* hash by destination */
	/* one whose way is being asked for; nothing is read meanwhile */
	struct load *pending;
	SOCKADDR_HV pending_dest;
	uint32_t pending_serial;
	struct sock *prev, *next; /* those with one */
	bool dead, hup;
	size_t frame_len; /* what KNOWN says of it */
	uint8_t frame[];
};

struct relay {
	struct ev *ev;
	struct broker_end broker;
	bool on_demand, served;
	char refused[600];
	struct sock *sockets; /* hash by token */
	struct sock *pending; /* list; answers come in this order */
	struct owner *owners;
	size_t bytes;
	uint64_t generation;
	struct msg_drops drops;
	struct ev_timer drops_timer;
	struct log_limit limit;
};

/* deliver.c */

/** owner_ref() - whose socket is it? NULL: no memory */
struct owner *owner_ref(struct relay *r, const struct msg_socket *m);
void owner_unref(struct relay *r, struct owner *o);
/** account() - after a queue has changed: it had @before bytes */
void account(struct sock *s, size_t before);

/** dropped() - count @n; the broker is told by tell_drops() */
void dropped(struct relay *r, uint32_t why, unsigned int n);
/** tell_drops() - soon */
void tell_drops(struct relay *r);

/** deliver() - one datagram to one receiver: sent, queued, or dropped */
void deliver(const struct sock *from, struct sock *to,
	     const struct msg_receiver *as, bool broadcast, struct load *l);
/** send_queued() - there is room again */
void send_queued(struct sock *s);

/* relay.c */

/** watch() - for what it can take, or give, now */
void watch(struct sock *s);

#endif /* TRANSPORT_DGRAM_RELAY_INTERNAL_H */
