/* SPDX-License-Identifier: MIT */
/* vmbus-internal.h - between vmbus.c and those named vmbus-*.c */
#ifndef HVVM_VMBUS_INTERNAL_H
#define HVVM_VMBUS_INTERNAL_H

#include <limits.h>
#include <pthread.h>

#include "hvvm/vmbus-link.h"
#include "hvvm/vmbus.h"

/* A doorbell that KVM rings itself. */
struct doorbell {
	uint32_t connection;
	int fd;
};

struct vmbus {
	struct machine *m;
	pthread_mutex_t lock; /* of all below */
	struct vmbus_link link;
	struct synic_fds *synic;
	int journal; /* memfd */
	struct doorbell *doorbells;
	size_t ringing, room;
	bool lost;
	/* messages to this connection that the back-end has promised to take */
	uint32_t ahead, ahead_connection;
	char program[PATH_MAX];
	GUID vmid; /* what the first back-end said */

	struct ev_io io; /* the loop's: has it gone? */
	struct ev_timer retry;
	uint64_t retry_ms;
	struct ev_timer clock; /* it is told again */
};

/* All with the lock held. Return: 0 or -errno */
int vmbus_ask(struct vmbus *b, struct vmbu_request *r, const int *fds, int nfds,
	      struct vmbu_reply *ret);
/* Start a back-end, and tell it what all are told first. */
int vmbus_begin(struct vmbus *b);
int vmbus_say_journal(struct vmbus *b, bool recover);
int vmbus_say_synic(struct vmbus *b, const struct vcpu *v);
int vmbus_say_clock(struct vmbus *b);
/* The back-end has none any more; those of a VM that is gone are gone too. */
void vmbus_doorbells_drop(struct vmbus *b, bool vm_is_gone);
/* The back-end is there, and is watched. */
void vmbus_watch(struct vmbus *b);
/* The one before is lost: another one. */
void vmbus_again(struct vmbus *b);

/* Without the lock: from now on the back-end is told now and then what the
 * guest's clock says. */
void vmbus_clock_start(struct vmbus *b);

#endif /* HVVM_VMBUS_INTERNAL_H */
