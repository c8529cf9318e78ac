/* SPDX-License-Identifier: MIT */
/*
 * conn.h - the connections of one VM: the kernel's sockets, and sessions
 *
 * One that the guest dials comes with its socket, accepted at a port that all
 * guests share; for one that a program dials its CID is connected to. Bytes are
 * relayed by the joint (transport/joint.h), unless the program, or the
 * listener, takes the kernel's socket for its own.
 */
#ifndef VSOCK_CONN_H
#define VSOCK_CONN_H

#include "base/ev.h"
#include "transport/session.h"

struct conns;

/** conns_new() - @look: the guest was not there, or a connection was reset: is
 * it still? Return: 0 or -ENOMEM */
int conns_new(struct ev *ev, uint32_t cid, void (*look)(void *ctx), void *ctx,
	      struct conns **ret);
/** conns_free() - all are closed; before their sessions. Return: NULL */
struct conns *conns_free(struct conns *cs);
/** conns_guest_ops() - for sessions_new(), with the conns as context */
const struct session_guest_ops *conns_guest_ops(void);
void conns_set_sessions(struct conns *cs, struct sessions *ss);

/** conns_dialled() - the guest dials @port from @source; @fd is owned */
void conns_dialled(struct conns *cs, int fd, uint32_t port, uint32_t source);

#endif /* VSOCK_CONN_H */
