/* SPDX-License-Identifier: MIT */
/*
 * dgram.h - datagram sockets (docs/protocol.md, section 9)
 *
 * The broker names and connects them, hands their other ends to hvsocket-dgram,
 * and tells it who reaches whom. What it keeps about them hvsocket-dgram tells
 * the next broker (KNOWN). One that is bound to a service stands in the table
 * of listeners too, as type DGRAM: that is how decisions see it.
 */
#ifndef BROKER_DGRAM_H
#define BROKER_DGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/broker.h"
#include "broker/helper.h"
#include "broker/meeting.h"
#include "proto/uplink-dgram.h"

#define DGRAM_PEERS_MAX 256 /* who may answer a socket: so many sent to last */
#define DGRAM_BEYOND_MAX 1024 /* the same of all that is beyond an uplink */

/* Whom a socket has sent to, and by which address. */
struct dgram_peer {
	uint64_t token;
	SOCKADDR_HV dest;
	GUID from, source; /* who sent, if it was beyond an uplink */
};

struct dgram_peers { /* a ring */
	struct dgram_peer *all;
	unsigned int n, next, max;
};

/* What a program knows it by. The token is that of the socket's name: its own,
 * or, if it was named before this broker had it, what stood there. */
struct dgram_name {
	GUID partition;
	uint64_t token;
	uint32_t uid, zero;
};

struct dgram_socket {
	uint64_t token;
	UT_hash_handle hh;
	struct {
		GUID partition, service;
	} key;
	UT_hash_handle hh_key; /* only of the first with this address */
	struct dgram_socket *same;
	struct dgram_name name;
	UT_hash_handle hh_name;
	GUID vmid; /* bound */
	uint32_t uid, gid, pid;
	uint32_t *groups;
	size_t ngroups;
	struct listener *listener; /* NULL: it hears answers only, */
	struct account *accounts[2]; /* and is charged here */
	struct dgram_peers peers;
};

/* The connection of hvsocket-dgram to that of another broker. */
struct dgram_uplink {
	GUID partition; /* the guest, or PARENT */
	UT_hash_handle hh;
	uint64_t token;
	struct dgram_peers peers; /* whom it sent to */
};

struct dgram_ask; /* a REACH that is asked over an uplink */

struct dgram_wait;

struct dgrams {
	struct broker *b;
	struct helper helper; /* hvsocket-dgram */
	struct client *relay; /* the same, or NULL */
	bool ready; /* it has told what it holds */
	bool flushed; /* it keeps nothing that ROUTE said */
	struct ev_timer put_off; /* a FLUSH */
	uint32_t serial;
	struct meeting meeting; /* where sockets are connected to */
	struct dgram_socket *sockets; /* hash by token */
	struct dgram_socket *by_key;
	struct dgram_socket *by_name;
	struct dgram_uplink *uplinks; /* hash by partition */
	struct dgram_wait *waits; /* BINDs that wait for it */
	struct dgram_ask *asks; /* list */
	struct msg_drops drops;
};

/** dgrams_new() - @program is borrowed. Return: 0 or -ENOMEM */
int dgrams_new(struct broker *b, const char *program, struct dgrams **ret);
/** dgrams_free() - hvsocket-dgram goes on */
struct dgrams *dgrams_free(struct dgrams *d);

/* dgram-bind.c */

/** dgram_bind() - BIND with BIND_DATAGRAM; takes the descriptor */
void dgram_bind(struct client *c, struct frame *f, const SOCKADDR_HV *addr,
		const struct sock_info *info);
/** dgram_waits_cancel() - @c ends */
void dgram_waits_cancel(struct client *c);
/** dgram_waits_refuse() - nobody is there to wait for */
void dgram_waits_refuse(struct dgrams *d, const char *why);
/** dgram_probed() - the answer to a PROBE */
void dgram_probed(struct dgrams *d, uint32_t serial);
/** dgram_waits_lost() - who was asked has gone: start another one */
void dgram_waits_lost(struct dgrams *d);
/** dgram_waits_go_on() - somebody is there */
void dgram_waits_go_on(struct dgrams *d);

/* dgram.c */

void request_relay(struct client *c, struct frame *f);
void request_reach(struct client *c, struct frame *f);
/** dgram_frame() - from hvsocket-dgram */
void dgram_frame(struct client *c, struct frame *f);
/** dgram_relay_gone() - its connection is being dropped */
void dgram_relay_gone(struct dgrams *d);

/** dgram_partition_gone() - end its sockets */
void dgram_partition_gone(struct dgrams *d, const GUID *partition);

/** dgram_flush() - decisions may have changed: hvsocket-dgram has to ask */
void dgram_flush(struct dgrams *d);

/* dgram-socket.c */

struct dgram_socket *dgram_find(const struct dgrams *d, uint64_t token);
/** dgram_find_name() - of this partition and user */
struct dgram_socket *dgram_find_name(const struct dgrams *d,
				     const GUID *partition, uint32_t uid,
				     uint64_t token);
/** dgram_find_key() - the first with this address; next: ->same */
struct dgram_socket *dgram_find_key(const struct dgrams *d,
				    const GUID *partition, const GUID *service);
/** dgram_add() - @m's groups are copied; the client's pid and account are
 * @m's. Return: 0 or -ENOMEM */
int dgram_add(struct dgrams *d, const struct msg_socket *m);
void dgram_forget(struct dgrams *d, struct dgram_socket *s);
void dgram_forget_all(struct dgrams *d);
/** dgram_caller() - who sends by it */
struct caller dgram_caller(const struct dgram_socket *s);

/* dgram-uplink.c */

/** dgram_uplink_of() - the connection over which this partition, beyond an
 * uplink, is reached, or NULL */
struct dgram_uplink *dgram_uplink_of(const struct dgrams *d,
				     const struct partition *p);
struct dgram_uplink *dgram_uplink_find(const struct dgrams *d,
				       const GUID *partition);
struct dgram_uplink *dgram_uplink_by_token(const struct dgrams *d,
					   uint64_t token);
/** dgram_uplink_add() - Return: 0 or -ENOMEM */
int dgram_uplink_add(struct dgrams *d, const GUID *partition, uint64_t token);
void dgram_uplink_forget(struct dgrams *d, struct dgram_uplink *u);
/** dgram_uplink_close() - have hvsocket-dgram end it, and forget it */
void dgram_uplink_close(struct dgrams *d, struct dgram_uplink *u);
/** dgram_uplink_take() - hand a connection to hvsocket-dgram, in the place of
 * the one that there was; @fd is taken. @say_ok: the line that asked for it is
 * yet to be answered. Return: 0 or -errno */
int dgram_uplink_take(struct dgrams *d, const GUID *partition, int fd,
		      bool say_ok);

/** dgram_ask() - have the other broker asked for c's REACH, which it answers */
void dgram_ask(struct dgrams *d, struct client *c, uint32_t serial,
	       const struct dgram_uplink *u, const struct uplink_ends *ends);
/** dgram_asked() - hvsocket-dgram has the answer */
void dgram_asked(struct dgrams *d, const struct frame *f);
/** dgram_asks_cancel() - @c ends */
void dgram_asks_cancel(struct client *c);

/* dgram-route.c */

struct dgram_route {
	size_t n;
	struct msg_receiver to[ROUTE_MAX];
};

/**
 * dgram_route() - who is reached?
 * @c:		who sends
 * @s:		by which socket; NULL: answers are not looked for
 * @v:		the refusal, if @ret->n is 0 and it was not to BROADCAST
 */
void dgram_route(struct dgrams *d, const struct caller *c,
		 struct dgram_socket *s, const SOCKADDR_HV *dest,
		 struct dgram_route *ret, struct verdict *v);

/** dgram_route_beyond() - the same for what came over an uplink */
void dgram_route_beyond(struct dgrams *d, struct dgram_uplink *u,
			const struct msg_uplink_route *m,
			struct dgram_route *ret, struct verdict *v);

/** dgram_not_carried() - where a stream would be relayed, or be served by a
 * daemon, there are no datagrams, but over uplinks: refused */
void dgram_not_carried(const struct dgrams *d, struct verdict *v);

#endif /* BROKER_DGRAM_H */
