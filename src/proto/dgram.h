/* SPDX-License-Identifier: MIT */
/*
 * dgram.h - frames for datagrams (docs/protocol.md, section 9)
 *
 * Those between a program and hvsocket-dgram, and the broker's messages about
 * them. Pure functions, as those of message.h.
 */
#ifndef PROTO_DGRAM_H
#define PROTO_DGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

/* ---- On a datagram socket ------------------------------------------------*/

#define DGRAM_HEADER 40
#define DGRAM_MAX 65536 /* bytes of payload */
#define DGRAM_BROADCAST 1u /* flag: it was sent to BROADCAST */

struct dgram {
	uint16_t flags;
	SOCKADDR_HV addr; /* to hvsocket-dgram: the destination; from it: the
			   * sender */
};

/** dgram_encode() - the header of a packet */
void dgram_encode(const struct dgram *d, uint8_t *ret);

/** dgram_decode() - @len is the whole packet's, of which @p has the header, or
 * all there is. Return: 0 or -EINVAL */
int dgram_decode(const uint8_t *p, size_t len, struct dgram *ret);

/* ---- To and from the broker ----------------------------------------------*/

struct msg_reach { /* REACH; ROUTE in the other order */
	uint64_t token;
	SOCKADDR_HV dest;
};

struct msg_socket { /* SOCKET and KNOWN */
	uint64_t token;
	GUID partition, vmid, service;
	uint32_t uid, gid, pid, flags;
	uint64_t name; /* the token in its name; unless SOCKET_NAMED: @token */
	const uint8_t *groups; /* in the frame, 4 bytes each */
	size_t ngroups;
};

#define SOCKET_ANSWERS_ONLY 1u
#define SOCKET_NAMED 2u
#define SOCKET_UPLINK 4u /* the connection of an uplink (uplink-dgram.h), */
#define SOCKET_SAY_OK 8u /* to be answered first */
#define SOCKET_GROUPS_MAX 4096
#define SOCKET_SIZE 80 /* without name and groups */
#define SOCKET_MAX (SOCKET_SIZE + 8 + 4 * SOCKET_GROUPS_MAX)

struct msg_receiver { /* each entry of ROUTE's reply */
	uint64_t token;
	GUID peer; /* the sender as it sees it */
};

#define ROUTE_MAX 2048 /* receivers of one datagram */

/* Why a datagram is dropped: a reason (section 7), or */
enum drop {
	DROP_QUEUE_FULL = 24,
	DROP_RECEIVER_GONE,
	DROP_NO_MEMORY,
	DROP_COUNT,
};

struct msg_drops {
	uint64_t sent, delivered;
	uint64_t dropped[DROP_COUNT];
};

/** drop_name() - "no listener", "queue full" */
const char *drop_name(uint32_t drop);

/* All: 0 or -EINVAL. @len is the whole frame's. */
int msg_reach_decode(const uint8_t *p, size_t len, struct msg_reach *ret);
int msg_route_decode(const uint8_t *p, size_t len, struct msg_reach *ret);
int msg_socket_decode(const uint8_t *p, size_t len, struct msg_socket *ret);
int msg_drops_decode(const uint8_t *p, size_t len, struct msg_drops *ret);

/** msg_route_reply_decode() - of a good reply; @ret has room for ROUTE_MAX.
 * Return: how many receivers, or -EINVAL */
int msg_route_reply_decode(const uint8_t *p, size_t len,
			   struct msg_receiver *ret);

/** msg_put_socket() - what follows the header */
void msg_put_socket(struct msg_buf *b, const struct msg_socket *m);
void msg_put_drops(struct msg_buf *b, const struct msg_drops *m);

#endif /* PROTO_DGRAM_H */
