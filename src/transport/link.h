/* SPDX-License-Identifier: MIT */
/*
 * link.h - a transport's end of the broker protocol (docs/protocol.md, 5)
 *
 * Connects to the host's control socket, says HELLO and ATTACH, listens on its
 * rendezvous socket, and turns frames into calls. When the broker ends it says
 * so, and tries again, with growing pauses, until there is one. What a frame
 * means for a connection is not known here (session.h).
 */
#ifndef TRANSPORT_LINK_H
#define TRANSPORT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ev.h"
#include "proto/message.h"
#include "proto/name.h"
#include "transport/parcel.h"

struct link;

struct link_ops {
	/* attached, for the first time or again: tell it what lives */
	void (*attached)(void *ctx);
	/* the broker has gone; what had arrived has been told before */
	void (*lost)(void *ctx);
	void (*open)(void *ctx, uint32_t serial, const struct msg_open *m);
	void (*parked)(void *ctx, uint64_t token, uint64_t filler);
	void (*close)(void *ctx, uint64_t token, uint32_t reason);
	void (*counters)(void *ctx, uint32_t serial);
	/* nothing is to move from now on; or all goes on. NULL: it cannot */
	void (*stall)(void *ctx, bool stalled);
	/* if config.services: part of the list of what is registered (@m points
	 * into the frame) */
	void (*services)(void *ctx, const struct msg_services *m);
	/* CONTROL and LEAVE, if config.control: link_reply_control() answers
	 * the first */
	void (*control)(void *ctx, uint32_t serial,
			const struct msg_control *m);
	void (*leave)(void *ctx, uint64_t session);
	/* the answer to link_dial(); @fd is the callee's, -1 if @error */
	void (*dialled)(void *ctx, uint32_t serial, uint32_t error,
			uint32_t reason, const struct msg_dial_reply *m,
			int fd);
	/* a socket at the rendezvous; @fd is the callee's */
	void (*arrived)(void *ctx, int fd, const struct connector_name *n);
};

struct link_config {
	const char *partition; /* borrowed */
	uint16_t kind;	       /* enum transport_kind */
	bool raw;	       /* not streams only, but RAW too */
	GUID vmid;	       /* zero: the broker's choice */
	bool services;	       /* tell what is registered */
	bool native;	       /* what the guest dials can be handed over */
	bool cids;	       /* siblings have CIDs there */
	bool control;	       /* CONTROL is understood */
};

enum link_state {
	LINK_DOWN, /* no broker; will be tried again */
	LINK_ATTACHING,
	LINK_UP,
	LINK_REFUSED, /* the broker said no; will be tried again */
};

/** link_new() - finds the broker's place. Return: 0; -ENETDOWN (there is none;
 * @ret_why), -errno */
int link_new(struct ev *ev, const struct link_config *config,
	     const struct link_ops *ops, void *ctx, struct link **ret,
	     const char **ret_why);
struct link *link_free(struct link *l);

/** link_start() - try now. */
void link_start(struct link *l);
/** link_stop() - leave the broker; lost() is called. Until link_start() */
void link_stop(struct link *l);
enum link_state link_state(const struct link *l);
/** link_error() - why it is not LINK_UP, one sentence */
const char *link_error(const struct link *l);
/** link_place() - the control socket's path, for messages */
const char *link_place(const struct link *l);
/** link_vmid() - once attached: the partition's VmId */
GUID link_vmid(const struct link *l);
/** link_name() - the partition's name as the broker knows it */
const char *link_name(const struct link *l);

/** link_dial() - the guest's parent, or, of @cid, a sibling. 0 and a serial, or
 * -ENETDOWN; -EOPNOTSUPP: the broker knows of no siblings */
int link_dial(struct link *l, uint16_t type, uint32_t timeout_ms, uint32_t cid,
	      const GUID *service, const GUID *source, uint32_t *ret_serial);
/** link_reply() - to OPEN; @text: the sentence of a refusal */
void link_reply(struct link *l, uint32_t serial, uint32_t reason,
		const char *text);
/** link_reply_native() - yes, with the guest's connection itself, borrowed.
 * Return: 0; -EAGAIN: the broker does not read just now, nothing was said */
int link_reply_native(struct link *l, uint32_t serial, int fd);
/** link_reply_control() - to CONTROL: JSON, or, if @error is not 0, a sentence
 */
void link_reply_control(struct link *l, uint32_t serial, uint32_t error,
			uint32_t reason, const char *text);
void link_notice_state(struct link *l, bool running);
void link_notice_closed(struct link *l, uint64_t token, uint64_t to_guest,
			uint64_t from_guest);
void link_notice_live(struct link *l, const struct msg_live *m);
/** link_counters_begin() - a COUNTERS reply, entries to be put by the caller
 * with msg_put_u64(); sent by link_send() */
struct msg_buf *link_counters_begin(struct link *l, uint32_t serial);
void link_send(struct link *l);

/* ---- from one process to the next */

/** link_settle() - all that has come so far; before link_pack() */
void link_settle(struct link *l);
/** link_pack() - Return: false: the connection cannot go along, and the
 * sessions are to be told that it is lost */
bool link_pack(const struct link *l, struct parcel *p);
/** link_unpack() - @ret_up: the connection is there: link_resume(), else
 * link_start(). Return: 0 or -EPROTO */
int link_unpack(struct link *l, struct parcel *p, bool *ret_up);
/** link_set_vmid() - attach as this one, as the predecessor did */
void link_set_vmid(struct link *l, const GUID *vmid);
/** link_resume() - from now on what the broker sends is heard */
void link_resume(struct link *l);

#endif /* TRANSPORT_LINK_H */
