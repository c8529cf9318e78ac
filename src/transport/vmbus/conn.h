/* SPDX-License-Identifier: MIT */
/* conn.h - a connection: one of the bus's, and its end on the host */
#ifndef VMBUS_CONN_H
#define VMBUS_CONN_H

#include "transport/vmbus/vm.h"

#define CONN_TURN (1024u * 1024) /* bytes of all, before other things */

struct conn {
	TAILQ_ENTRY(conn) all, ready_link, held_link;
	struct vm *vm;
	struct vmbh_sock *s; /* NULL: gone */
	void *end;	     /* NULL: gone */
	bool answered;	     /* both ends are there */
	bool ready;	     /* in vm->ready */
	bool held;	     /* in vm->held */
	bool guest_done, host_done;
	bool deaf; /* nobody on the host reads what the guest sends */
	bool to_host, to_guest; /* to be looked at in its turn */
};

/** conn_new() - NULL: no memory */
struct conn *conn_new(struct vm *vm, struct vmbh_sock *s, void *end);
/** conn_close() - over from our side: both ends are told */
void conn_close(struct conn *c);
/** conn_resume() - after a restart: whatever there is to move */
void conn_resume(struct conn *c);

/** conn_look() - move what there is, if anything */
void conn_look(struct conn *c);

/* ---- poll.c */
/** poll_hold() - @c is looked at until the loop sleeps */
void poll_hold(struct conn *c);
void poll_forget(struct conn *c);

#endif /* VMBUS_CONN_H */
