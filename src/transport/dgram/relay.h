/* SPDX-License-Identifier: MIT */
/*
 * relay.h - sockets for datagrams, and what goes between them
 *
 * Each socket is one program's: what arrives there, that program has sent.
 * Where it goes the broker says (ROUTE); the answer is kept until FLUSH. A
 * receiver that does not read has a bounded queue (queue.h), and what does not
 * fit is dropped and counted.
 */
#ifndef TRANSPORT_DGRAM_RELAY_H
#define TRANSPORT_DGRAM_RELAY_H

#include <stdbool.h>

#include "base/ev.h"

struct relay;

/** relay_new() - @on_demand: it ends when the broker has, and the last socket.
 * Return: 0; -errno, @ret_why */
int relay_new(struct ev *ev, bool on_demand, struct relay **ret,
	      const char **ret_why);
struct relay *relay_free(struct relay *r);
/** relay_start() - connect to the broker, now and whenever it is lost */
void relay_start(struct relay *r);
/** relay_refused() - it ended without ever having served; why, or NULL */
const char *relay_refused(const struct relay *r);

#endif /* TRANSPORT_DGRAM_RELAY_H */
