/* SPDX-License-Identifier: MIT */
/*
 * telling.h - a list that a client is told, whole, whenever it has changed
 *
 * In frames of which one at a time is unanswered: a client that is slow gets
 * fewer lists, not a queue of them.
 */
#ifndef BROKER_TELLING_H
#define BROKER_TELLING_H

#include "broker/broker.h"

struct telling {
	uint16_t type; /* of its frames: u32 flags (SERVICES_*), entries */
	size_t entry; /* bytes of one */
	uint8_t *list; /* told, or being told; NULL: none yet */
	size_t len, sent;
	uint32_t serial; /* not answered; 0: none */
};

/** telling_say() - tell this list, unless it is the one that was told. @list,
 * malloc'ed, is taken. Not while telling_busy() */
void telling_say(struct telling *t, struct client *c, uint32_t *serial,
		 uint8_t *list, size_t len);

/** telling_busy() - is an answer awaited? It leads to the next list */
bool telling_busy(const struct telling *t);

/** telling_taken() - the client's answer. Return: true: the list that is now
 * may be told */
bool telling_taken(struct telling *t, struct client *c, uint32_t *serial,
		   uint32_t answered);

void telling_fini(struct telling *t);

#endif /* BROKER_TELLING_H */
