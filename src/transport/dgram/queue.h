/* SPDX-License-Identifier: MIT */
/*
 * queue.h - datagrams that wait for one receiver
 *
 * Bounded, and fair between senders: each has a queue of its own in it, they
 * are taken from in turn, and when there is no more room, the sender that has
 * most loses its newest: most messages if there are too many of them, most
 * bytes if these are too many. So a flood costs only whoever makes it. No I/O.
 */
#ifndef TRANSPORT_DGRAM_QUEUE_H
#define TRANSPORT_DGRAM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/dgram.h"

#define QUEUE_MESSAGES 256u
#define QUEUE_BYTES (1024u * 1024u)

/* What was sent; shared by the receivers of a BROADCAST. */
struct load {
	uint32_t refs;
	uint32_t len;
	uint8_t bytes[];
};

/** load_new() - a copy of @len bytes, with one reference; NULL: no memory */
struct load *load_new(const void *bytes, size_t len);
/** load_room() - the same, yet to be filled */
struct load *load_room(size_t len);
/* Return: NULL. It goes with its last reference. */
struct load *load_unref(struct load *l);

struct item {
	struct item *next, *prev;
	struct load *load;
	uint8_t header[DGRAM_HEADER];
};

struct flow { /* of one sender; has at least one item */
	struct flow *next; /* ring: whose turn is after this one's */
	uint64_t sender;
	struct item *first, *last;
	size_t messages, bytes;
	struct {
		size_t messages, bytes;
		struct item *last;
	} then; /* what it would be left with */
};

struct queue {
	struct flow *turn; /* the last one that was taken from */
	size_t messages, bytes;
};

/** queue_free() - drop what there is */
void queue_free(struct queue *q);

/** queue_cost() - how many of a queue's bytes it takes */
size_t queue_cost(const struct load *l);

/** queue_room() - would queue_push() take it? Nothing is dropped for that.
 * Return: 0, with how many bytes longer the queue would be; or -ENOBUFS */
int queue_room(struct queue *q, size_t limit, uint64_t sender,
	       const struct load *l, size_t *ret_more);

/**
 * queue_push() - put one in
 * @limit:	so many bytes at most are to be there then, if not QUEUE_BYTES
 * @sender:	any number that tells senders apart
 * @l:		gets a reference of its own if it is taken
 * @header:	DGRAM_HEADER bytes that go before it
 * @ret_dropped: how many others were dropped for it, in any case
 *
 * Return: 0; -ENOBUFS: it was not taken; -ENOMEM
 */
int queue_push(struct queue *q, size_t limit, uint64_t sender, struct load *l,
	       const uint8_t *header, unsigned int *ret_dropped);

/** queue_head() - whose turn it is; NULL: nothing is there */
const struct item *queue_head(const struct queue *q);
/** queue_sender() - of queue_head() */
uint64_t queue_sender(const struct queue *q);
/** queue_drop() - who has most bytes loses its newest. Return: is there more?
 */
bool queue_drop(struct queue *q);
/** queue_pop() - it has been sent */
void queue_pop(struct queue *q);

#endif /* TRANSPORT_DGRAM_QUEUE_H */
