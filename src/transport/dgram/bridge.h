/* SPDX-License-Identifier: MIT */
/*
 * bridge.h - a connection to the hvsocket-dgram of another broker
 *
 * A stream that carries the datagrams of all that is beyond an uplink, framed
 * (proto/uplink-dgram.h). Towards it it is one more receiver, with the queue of
 * any; from it one more sender, which says who has sent, and whose word the
 * broker judges.
 */
#ifndef TRANSPORT_DGRAM_BRIDGE_H
#define TRANSPORT_DGRAM_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/uplink-dgram.h"
#include "transport/dgram/queue.h"

#define BRIDGE_ASKS 4096 /* questions that are unanswered; the broker has no
			  * more for all uplinks */
#define BRIDGE_CONTROL 0 /* sender of questions and answers: no token is 0 */

struct bridge {
	bool to_host; /* the host is beyond it; else a guest */
	/* a frame that is being read */
	uint8_t in[UPLINK_DGRAM_HEADER + UPLINK_DGRAM_MAX];
	size_t len;
	struct uplink_dgram head; /* with a whole header */
	/* one that is being written */
	struct load *out;
	size_t sent;
	/* a question of the other broker's that the way is asked for, */
	bool question;
	uint32_t number;
	/* and those of ours: the place of each is its number's. A number never
	 * comes again: ASK's would, with the next broker. 0: free */
	uint32_t last_number;
	struct {
		uint32_t number, serial; /* of ASK */
	} asks[BRIDGE_ASKS];
};

/** bridge_new() - NULL: no memory */
struct bridge *bridge_new(const GUID *partition);
/** bridge_free() - NULL is fine. Return: NULL */
struct bridge *bridge_free(struct bridge *b);

#endif /* TRANSPORT_DGRAM_BRIDGE_H */
