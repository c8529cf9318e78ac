/* SPDX-License-Identifier: MIT */
/*
 * joint.h - a guest's connection that is a socket, joined to a session
 *
 * For transports whose guest's end is a stream socket of ours: a VMM's, or the
 * kernel's. One that the guest dials comes with its socket; for one that
 * a program dials the transport makes it and awaits the guest's answer. Then
 * bytes go both ways, each direction ends by itself, what one side does not
 * take is held, and until it is taken nothing more is read from the other.
 *
 * A transport has a set of them for each guest. What it keeps for one begins
 * with its struct joint.
 */
#ifndef TRANSPORT_JOINT_H
#define TRANSPORT_JOINT_H

#include <sys/queue.h>

#include "base/ev.h"
#include "transport/relay.h"
#include "transport/session.h"

enum joint_state {
	JOINT_DIALLING, /* the guest's: the broker is asked */
	JOINT_ASKING,	/* a program's: the guest is asked */
	JOINT_ARRIVING, /* it has said yes: the program's socket is missing */
	JOINT_LIVE,
	JOINT_OVER,
};

struct joint_set;

struct joint {
	LIST_ENTRY(joint) link;
	struct joint_set *set;
	enum joint_state state;
	struct session *s; /* NULL: gone */
	struct relay guest;
	struct ev_io io;
	struct ev_timer again;
	uint32_t missed;	/* events from before: they do not come again */
	bool in_done, out_done; /* no more from, to the guest */
};

struct joint_ops {
	/* ASKING: something came. joint_answered() or joint_declined(), when
	 * it is known */
	void (*answer)(struct joint *j);
	/* is there something to be read? */
	bool (*unread)(int fd);
	/* optional: EPOLLERR at one that is not ASKING; one has been closed */
	void (*error)(struct joint_set *set);
	void (*closed)(struct joint_set *set);
};

struct joint_set {
	struct ev *ev;
	const struct joint_ops *ops;
	LIST_HEAD(, joint) all;
	unsigned int count;
};

void joint_set_init(struct joint_set *set, struct ev *ev,
		    const struct joint_ops *ops);
/** joint_set_end() - all of them are ended */
void joint_set_end(struct joint_set *set);

/** joint_new() - @size bytes of zeros, the first of which are the joint; @fd,
 * the guest's, is owned in any case. Freed when it is over, by free(). Return:
 * NULL: no room, @fd is closed */
struct joint *joint_new(struct joint_set *set, size_t size, int fd,
			enum joint_state state);
/** joint_close() - the session has gone, or has not come to be; twice is fine
 */
void joint_close(struct joint *j);
/** joint_dial() - one that is DIALLING: the broker is asked */
void joint_dial(struct joint *j, struct sessions *ss, const GUID *service,
		const GUID *source);
/** joint_answered() - one that is ASKING: the guest has said yes, or no */
void joint_answered(struct joint *j, bool accepted);
/** joint_declined() - it has said no, for this reason */
void joint_declined(struct joint *j, uint32_t reason, const char *why);

/* For struct session_guest_ops, with the joint as connection. */
void joint_accept(void *ctx, void *joint);
void joint_abort(void *ctx, void *joint);
void joint_readable(void *ctx, void *joint);
void joint_writable(void *ctx, void *joint);
void joint_unread(void *ctx, void *joint);

#endif /* TRANSPORT_JOINT_H */
