/* SPDX-License-Identifier: MIT */
/*
 * joint.h - a guest's connection that is a socket, joined to a session
 *
 * For transports whose guest's end is a stream socket of ours: a VMM's, or the
 * kernel's. Bytes go both ways, each direction ends by itself, what one side
 * does not take is held, and until it is taken nothing more is read from the
 * other.
 */
#ifndef TRANSPORT_JOINT_H
#define TRANSPORT_JOINT_H

#include "base/ev.h"
#include "transport/relay.h"
#include "transport/session.h"

struct joint {
	struct ev *ev;
	struct session *s; /* NULL: gone */
	struct relay guest;
	struct ev_io io;
	struct ev_timer again;
	bool live; /* bytes move */
	uint32_t missed; /* events from before: they do not come again */
	bool in_done, out_done; /* no more from, to the guest */
	/* both directions are over, or it cannot go on: joint_end() */
	void (*over)(struct joint *j);
};

/** joint_start() - @fd, the guest's, is owned if it succeeds. @events is called
 * with what epoll(7) says of it. 0 or -errno */
int joint_start(struct joint *j, struct ev *ev, int fd, ev_io_fn events,
		void (*over)(struct joint *j));
/** joint_stop() - closed; twice is fine. The session is the caller's */
void joint_stop(struct joint *j);
/** joint_end() - the session is ended, and all is closed */
void joint_end(struct joint *j);

/** joint_events() - what happened at the guest's socket; kept until live */
void joint_events(struct joint *j, uint32_t events);

/* What struct session_guest_ops says of the program's socket. @j->live is set
 * by the caller when bytes may move. */
void joint_readable(struct joint *j);
void joint_writable(struct joint *j);
void joint_unread(struct joint *j);

#endif /* TRANSPORT_JOINT_H */
