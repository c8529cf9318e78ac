/* SPDX-License-Identifier: MIT */
/*
 * conn.h - the guest's connections: the VMM's sockets, and sessions
 *
 * A connection joins a socket of the VMM's to a session (transport/session.h).
 * One that the guest dials comes with its socket; for one that a program dials
 * the VMM is connected to, told CONNECT, and its OK awaited. Then bytes are
 * relayed by the joint (transport/joint.h), unless the program takes the VMM's
 * socket for its own.
 */
#ifndef HYBRID_CONN_H
#define HYBRID_CONN_H

#include "base/ev.h"
#include "transport/session.h"

struct conns;

struct conns_ops {
	/* the VMM could not be reached, or a connection of its ended: is it
	 * still there? */
	void (*look)(void *ctx);
	void (*services)(void *ctx, const struct msg_services *m);
};

/** conns_new() - @path: the VMM's socket, borrowed. Return: 0 or -ENOMEM */
int conns_new(struct ev *ev, const char *path, const struct conns_ops *ops,
	      void *ctx, struct conns **ret);
/** conns_free() - all are closed; before their sessions. Return: NULL */
struct conns *conns_free(struct conns *cs);
/** conns_guest_ops() - for sessions_new(), with the conns as context */
const struct session_guest_ops *conns_guest_ops(void);
void conns_set_sessions(struct conns *cs, struct sessions *ss);

/** conns_dialled() - the guest dials @service; @fd, the VMM's, is owned */
void conns_dialled(struct conns *cs, int fd, const GUID *service);

#endif /* HYBRID_CONN_H */
