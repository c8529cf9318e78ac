/* SPDX-License-Identifier: MIT */
/*
 * message-queue.h - messages that wait for room in a socket
 *
 * Whoever adds bounds the bytes. The lengths stand apart, in as many bytes as
 * they need, so that messages of one byte each cost two and not eight.
 */
#ifndef TRANSPORT_MESSAGE_QUEUE_H
#define TRANSPORT_MESSAGE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct message_bytes {
	uint8_t *p;
	size_t at, len, size;
};

/* All zeros: empty */
struct message_queue {
	struct message_bytes data, lengths;
};

/** message_queue_add() - a copy of @iov as one message of 1 to 2^28 - 1 bytes.
 * Return: 0 or -ENOMEM */
int message_queue_add(struct message_queue *q, const struct iovec *iov,
		      unsigned int n);
/** message_queue_first() - false: there is none */
bool message_queue_first(const struct message_queue *q, struct iovec *ret);
/** message_queue_pop() - the first one, which there is, has gone */
void message_queue_pop(struct message_queue *q);
void message_queue_drop(struct message_queue *q);

/* All zeros: before the first one */
struct message_place {
	size_t data, length;
};
/** message_queue_next() - the one at @at, which goes on to the one behind it.
 * false: there is none */
bool message_queue_next(const struct message_queue *q, struct message_place *at,
			struct iovec *ret);
static inline size_t message_queue_bytes(const struct message_queue *q)
{
	return q->data.len;
}

#endif /* TRANSPORT_MESSAGE_QUEUE_H */
