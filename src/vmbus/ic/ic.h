/* SPDX-License-Identifier: MIT */
/*
 * ic.h - one integration component, host side: from the guest's open to its
 * answers
 *
 *	CLOSED --the guest opens--> NEGOTIATING --its choice--> READY
 *				      |--nothing in common--> REFUSED
 *	any --the guest closes, or the bus begins anew--> CLOSED
 *
 * A state machine without I/O: packets come by ic_packet(), go by ops->send(),
 * time by ic_time(). What a component means is in the files beside this one.
 *
 * One request is out at a time; others wait behind it. An answer counts if
 * both of its numbers, of the ring's packet and in the message, are those of
 * the request that is out: what comes late, twice, or with another number is
 * dropped and counted. So the guest can answer wrongly, or not at all, and has
 * then cost the one who asked an error, and the host one packet.
 */
#ifndef VMBUS_IC_IC_H
#define VMBUS_IC_IC_H

#include <hvsocket.h>
#include <sys/queue.h>

#include "vmbus/ic/icmsg.h"

#define IC_REQUESTS_MAX 32u /* that wait */

enum ic_kind {
	IC_HEARTBEAT,
	IC_SHUTDOWN,
	IC_TIMESYNC,
	IC_KVP,
	IC_VSS,
	IC_FCOPY,
	IC_KINDS,
};

enum ic_state {
	IC_CLOSED,	/* no driver in the guest */
	IC_NEGOTIATING, /* it does not answer: no daemon there, or not yet */
	IC_REFUSED,	/* no version is common */
	IC_READY,
};

/* What is known of a kind. */
struct ic_class {
	const char *name;   /* as it is typed */
	const char *title;  /* as Hyper-V shows it */
	const char *driver; /* the guest's, for people */
	const char *daemon; /* the guest's, or NULL: the driver is enough */
	GUID type, instance;
	uint16_t message;
	uint32_t versions[IC_VERSIONS_MAX];
	size_t nversions;
};

extern const struct ic_class ic_classes[IC_KINDS];
/** ic_kind_of() - by name. Return: IC_KINDS if there is none */
enum ic_kind ic_kind_of(const char *name);

struct ic_answer {
	int error;	 /* 0, or why there is no answer: -ETIMEDOUT,
			  * -ECONNRESET (closed meanwhile), -ECANCELED,
			  * -EPROTO (it was malformed) */
	uint32_t status; /* the guest's */
	const uint8_t *body;
	size_t len;
};
typedef void (*ic_done_fn)(void *arg, const struct ic_answer *a);

struct ic;

struct ic_ops {
	/* Return: 0; -EAGAIN: ic_writable() follows; -errno: it is lost */
	int (*send)(struct ic *ic, const void *packet, size_t len,
		    uint64_t transaction);
	/* it is READY. Optional */
	void (*ready)(struct ic *ic);
	/* how many of the class's versions are offered now, from the oldest
	 * on. Optional: all */
	size_t (*versions)(const struct ic *ic);
};

struct ic_request;

struct ic {
	enum ic_kind kind;
	const struct ic_ops *ops;
	void *ctx;
	enum ic_state state;
	uint32_t framework, version;
	size_t nversions; /* that were offered */
	uint64_t now;
	uint64_t sequence; /* of the last packet sent */
	bool blocked;	   /* ic_writable() is awaited */
	uint64_t negotiation; /* the packet that asked */
	TAILQ_HEAD(, ic_request) queue;
	unsigned int nqueue;
	uint64_t stale, malformed; /* answers dropped */
};

/** ic_init() - @sequence: any number that no process before had for this guest
 */
void ic_init(struct ic *ic, enum ic_kind kind, const struct ic_ops *ops,
	     void *ctx, uint64_t sequence);
/** ic_fini() - requests end with -ECANCELED */
void ic_fini(struct ic *ic);

/* ---- what the guest does */
void ic_opened(struct ic *ic);
void ic_closed(struct ic *ic);
void ic_packet(struct ic *ic, const uint8_t *p, size_t len,
	       uint64_t transaction);
void ic_writable(struct ic *ic);

void ic_time(struct ic *ic, uint64_t now);
uint64_t ic_deadline(const struct ic *ic); /* 0: none */

/**
 * ic_ask() - a request to the guest
 * @body:	@len bytes, copied
 * @timeout_ms:	from now, waiting for others included
 * @done:	called once, not from within this call
 *
 * It is sent by ic_time(), which is due at once.
 * Return: 0; -ENOTCONN (not READY), -ENOBUFS (too many wait), -EMSGSIZE,
 * -ENOMEM.
 */
int ic_ask(struct ic *ic, const void *body, size_t len, uint32_t timeout_ms,
	   ic_done_fn done, void *arg);
/** ic_idle() - is no request out or waiting? */
bool ic_idle(const struct ic *ic);

/** ic_state_text() - why it cannot be asked, one sentence; NULL: it can */
const char *ic_state_text(const struct ic *ic, char *out, size_t size);

#endif /* VMBUS_IC_IC_H */
