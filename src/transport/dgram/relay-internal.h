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
#include "transport/dgram/bridge.h"
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

/* What a way depends on besides its sender; the last three only if that is
 * beyond an uplink. No padding. */
struct way {
	SOCKADDR_HV dest;
	uint32_t flags;
	GUID from, source;
};

struct route {
	struct way way;
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
	GUID service, partition;
	struct bridge *bridge; /* it is an uplink's; NULL: a program's */
	struct owner *owner;
	struct queue queue;
	struct sock *queued_prev, *queued_next;
	struct route *routes; /* hash by destination */
	/* one whose way is being asked for; nothing is read meanwhile */
	struct load *pending;
	struct way pending_way;
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
	unsigned int bridges; /* of them */
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
void deliver(const struct sock *from, const struct way *way, struct sock *to,
	     const struct msg_receiver *as, struct load *l);
/** enqueue() - to be sent when there is room, or dropped; @sender as in
 * queue_push(). Return: 0 or -errno */
int enqueue(uint64_t sender, struct sock *to, const uint8_t *header,
	    struct load *l);
/** send_queued() - there is room again */
void send_queued(struct sock *s);

/* relay.c */

/** watch() - for what it can take, or give, now */
void watch(struct sock *s);
/** gone() - it has ended, or has to */
void gone(struct sock *s);
/** on_datagram() - to be sent on, by the way it has or that is asked for.
 * Return: false: the way is asked for */
bool on_datagram(struct sock *s, const struct way *way, const uint8_t *p,
		 size_t len);

/* bridge.c */

/** bridge_receive() - one frame, or a part of one. As relay.c's receive() */
bool bridge_receive(struct sock *s);
/** bridge_send() - one datagram, framed by @header, or, if that is NULL, a
 * frame. Return: 0: on its way; -errno */
int bridge_send(struct sock *to, const uint8_t *header, const struct load *l);
/** bridge_push() - what is left of the last one. Return: 0 or -errno */
int bridge_push(struct sock *s);
/** bridge_frame() - a datagram as a frame of its own; NULL: no memory */
struct load *bridge_frame(const uint8_t *header, const struct load *l);
/** bridge_header() - of a datagram to @to, which @as of ROUTE says */
void bridge_header(const struct sock *from, const struct way *way,
		   const struct sock *to, const struct msg_receiver *as,
		   uint32_t len, uint8_t *ret);
/** bridge_routed() - if what @s asked the way for is a question: that is its
 * answer. Return: is it one? */
bool bridge_routed(struct sock *s, uint32_t reason, const char *text,
		   size_t len);
/** bridge_ask() - ASK of the broker's */
void bridge_ask(struct sock *s, uint32_t serial, const struct msg_ask *m);
/** bridge_forget_asks() - the broker that waits for the answers has gone */
void bridge_forget_asks(struct sock *s);

#endif /* TRANSPORT_DGRAM_RELAY_INTERNAL_H */
