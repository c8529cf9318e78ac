/* SPDX-License-Identifier: MIT */
/* link-internal.h - between link.c, which sends and goes up and down, and
 * link-receive.c, which reads */
#ifndef TRANSPORT_LINK_INTERNAL_H
#define TRANSPORT_LINK_INTERNAL_H

#include "base/log.h"
#include "transport/link.h"
#include "transport/place.h"
#include "transport/rendezvous.h"

#define RETRY_MIN_MS 50u
#define RETRY_MAX_MS 1000u

struct queued {
	struct queued *next;
	size_t len;
	uint8_t data[];
};

struct link {
	struct ev *ev;
	struct link_config config;
	const struct link_ops *ops;
	void *ctx;

	struct place place;
	enum link_state state;
	char error[512];
	char name[256];
	GUID vmid; /* once attached */
	uint32_t serial;
	uint32_t flags; /* of ATTACH, as asked or granted */

	struct ev_io io;
	int fd; /* -1 */
	struct rendezvous rendezvous;
	struct ev_timer timer; /* retry, or limit for attaching */
	uint64_t retry_ms;
	struct log_limit limit;

	struct queued *first, **last;
	unsigned int queued;
	struct msg_buf out;
	uint8_t out_bytes[MSG_MAX];
	uint8_t in[MSG_MAX];
};

/* It is over for now, and will be tried again; @why: to be told, or NULL */
void link_down(struct link *l, enum link_state state, const char *why);
/* A broker that is older than one of ATTACH's flags refuses them all. Return:
 * it is asked without the newest of those that can be done without. */
bool link_ask_for_less(struct link *l, const struct msg_reply *r);
/* What waits for the broker to read. */
void link_flush(struct link *l);
void link_on_io(struct ev_io *io, uint32_t events);
void link_on_rendezvous(struct rendezvous *r);
/* All frames that are there; the link may be down afterwards. */
void link_read(struct link *l);

#endif /* TRANSPORT_LINK_INTERNAL_H */
