/* SPDX-License-Identifier: MIT */
/*
 * vmbus.h - the guest's VMBus, which another process is (docs/vmbus-user.md)
 *
 * Starts hvsocket-vmbus, keeps it running, and asks it what the guest asks.
 * A process that ended is replaced, and told what its journal says. Any
 * processor's thread may ask; each waits for its answer.
 */
#ifndef HVVM_VMBUS_H
#define HVVM_VMBUS_H

#include <stdint.h>

#include "hvvm/machine.h"

struct vcpu;

/** vmbus_start() - once the processors are there. Return: 0; -errno: a
 * sentence has been said */
int vmbus_start(struct machine *m, struct vmbus **ret);
struct vmbus *vmbus_stop(struct vmbus *b);
/** vmbus_forget() - the guest is no more: once this has returned, the back-end
 * touches its memory no more. Processors stand still. Return: 0 or -errno */
int vmbus_forget(struct vmbus *b);
/** vmbus_reset() - after it: the machine's processors are new ones. Return: 0
 * or -errno */
int vmbus_reset(struct vmbus *b);
/** vmbus_replace() - hand everything to a new process */
void vmbus_replace(struct vmbus *b);

/** vmbus_synic() - a processor's registers have changed */
void vmbus_synic(struct vmbus *b, struct vcpu *v);
/** vmbus_post(), vmbus_signal() - hypercalls. Return: their result */
uint16_t vmbus_post(struct vmbus *b, struct vcpu *v, const uint8_t *input);
uint16_t vmbus_signal(struct vmbus *b, struct vcpu *v, uint32_t connection,
		      uint16_t flag);

#endif /* HVVM_VMBUS_H */
