/* SPDX-License-Identifier: MIT */
/*
 * broker-end.h - hvsocket-dgram's connection to the broker
 *
 * Says HELLO, RELAY, and what is KNOWN; connects again when the broker has
 * ended. What the frames mean is not known here (relay.h).
 */
#ifndef TRANSPORT_DGRAM_BROKER_END_H
#define TRANSPORT_DGRAM_BROKER_END_H

#include <stdbool.h>

#include "proto/uplink-dgram.h"
#include "transport/beside.h"

struct broker_end_ops {
	/* put every socket that lives with broker_end_known() */
	void (*attached)(void *ctx);
	/* the broker has gone, or refuses */
	void (*lost)(void *ctx, const char *why);
	/* a new one; @fd is the callee's, -1: it was lost on its way. @frame:
	 * what KNOWN repeats, after its header */
	void (*socket)(void *ctx, const struct msg_socket *m, int fd,
		       const uint8_t *frame, size_t len);
	void (*flush)(void *ctx);
	void (*close)(void *ctx, uint64_t token);
	/* is its program still there? If not, broker_end_gone() first */
	void (*probe)(void *ctx, uint64_t token);
	/* the answer to broker_end_route(): @n receivers, or a reason and a
	 * sentence */
	void (*route)(void *ctx, uint32_t serial, uint32_t reason,
		      const char *text, size_t len,
		      const struct msg_receiver *to, size_t n);
	/* to be asked beyond an uplink, and answered: broker_end_answer() */
	void (*ask)(void *ctx, uint32_t serial, const struct msg_ask *m);
};

struct broker_end {
	struct beside broker; /* first */
	const struct broker_end_ops *ops;
	void *ctx;
};

/** broker_end_init() - find the broker's place. Return: 0; -errno, @ret_why */
int broker_end_init(struct broker_end *e, struct ev *ev,
		    const struct broker_end_ops *ops, void *ctx,
		    const char **ret_why);
void broker_end_fini(struct broker_end *e);
/** broker_end_start() - try now, and again until it succeeds */
void broker_end_start(struct broker_end *e);
/** broker_end_drain() - handle the frames that are there */
void broker_end_drain(struct broker_end *e);

/** broker_end_known() - only from attached() */
void broker_end_known(struct broker_end *e, const uint8_t *frame, size_t len);
/* These do nothing while there is no broker. */
/** broker_end_route() - Return: the serial, 0: no broker */
uint32_t broker_end_route(struct broker_end *e, uint64_t token,
			  const SOCKADDR_HV *dest);
/** broker_end_route_beyond() - the same for what came over an uplink */
uint32_t broker_end_route_beyond(struct broker_end *e, uint64_t token,
				 const SOCKADDR_HV *dest, const GUID *from,
				 const GUID *source, uint32_t flags);
/** broker_end_answer() - @reason 0: yes */
void broker_end_answer(struct broker_end *e, uint32_t serial, uint32_t reason,
		       const char *text);
void broker_end_gone(struct broker_end *e, uint64_t token);
void broker_end_drops(struct broker_end *e, const struct msg_drops *d);

#endif /* TRANSPORT_DGRAM_BROKER_END_H */
