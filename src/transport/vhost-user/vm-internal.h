/* SPDX-License-Identifier: MIT */
/* vm-internal.h - between vm.c, which has the loop's side of rings and the
 * device's life, front.c, which has the front-ends, ends.c, which has the
 * connections' ends, handover.c and vault.c, which have the next process */
#ifndef VHOST_USER_VM_INTERNAL_H
#define VHOST_USER_VM_INTERNAL_H

#include "base/log.h"
#include "transport/link.h"
#include "transport/session.h"
#include "transport/vhost-user/channel.h"
#include "transport/vhost-user/device.h"
#include "transport/vhost-user/journal.h"
#include "transport/vhost-user/pump.h"
#include "transport/vhost-user/vm.h"

#define VM_FRONTS 8 /* connections at a time, of which one is the front-end */

/* A connection that is the front-end, or may become it. */
struct front {
	struct vm *vm;
	struct ev_io io;
	struct vu_channel ch; /* fd -1: unused */
	uint64_t number;      /* in the order in which they came */
	bool spoke;	      /* has sent a message */
	bool successor;	      /* wants to be given everything */
	bool waits;	      /* with this one, for another to go */
	struct vu_header held;
	bool has_protocol; /* said before it was the front-end */
	uint64_t protocol_features;
};

struct vm {
	struct ev *ev;
	struct vm_config config;
	struct link *link;
	struct sessions *sessions;
	struct vsock *v;
	struct vu_device device;
	struct pump pump;

	struct front fronts[VM_FRONTS], *front; /* NULL: none */
	uint64_t nfronts;			/* so far */
	struct ev_io listen_io, kick_io[VU_RINGS];
	int listener; /* -1 */

	uid_t uid; /* ours */

	struct vault *vault;	 /* NULL: no service manager keeps anything */
	struct journal *journal; /* NULL: likewise */
	bool changed;		 /* since vault_update() */
	bool over;		 /* it ends since its front-end has gone */
	/* taken over: with the broker's connection; from one that died, in the
	 * middle of a message */
	bool link_came, died, died_busy;

	uint64_t look_ns, look_bulk_ns, tell_ms; /* as wake-ups take here */
	struct ev_timer pump_timer, linger_timer, accept_timer, tell_timer;
	bool pumping;
	struct log_limit refused, broken;
};

/* vm.c: look at everything when the present batch of events is over */
void vm_wake(struct vm *vm);

/* front.c */
void vm_fronts_init(struct vm *vm);
/* Close them all, without a word. */
void vm_fronts_fini(struct vm *vm);
/* Those that were taken over are heard. */
void vm_fronts_resume(struct vm *vm);
/* The front-end is dropped. */
void vm_front_drop(struct vm *vm);

/* ends.c */
extern const struct vsock_ops vm_vsock_ops;
extern const struct session_guest_ops vm_guest_ops;
void vm_journal_add(struct vm *vm, const struct vsock_conn *c);

#endif /* VHOST_USER_VM_INTERNAL_H */
