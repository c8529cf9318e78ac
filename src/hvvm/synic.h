/* SPDX-License-Identifier: MIT */
/*
 * synic.h - the synthetic interrupt controller, which KVM has, and hypercalls
 *
 * KVM keeps the registers and raises SINT 2 of each processor when the
 * back-end writes that processor's descriptor; hypercalls that KVM does not
 * know come here.
 */
#ifndef HVVM_SYNIC_H
#define HVVM_SYNIC_H

#include "hvvm/machine.h"

struct vcpu;

struct synic_fds {
	int raise, acknowledge; /* eventfds */
};

/** synic_missing() - what of Hyper-V's emulation this KVM lacks; NULL: nothing
 */
const char *synic_missing(int kvm);
/** synic_new() - the descriptors of @count processors; kept over resets.
 * Return: 0 or -errno */
int synic_new(unsigned int count, struct synic_fds **ret);
void synic_free(struct synic_fds *fds, unsigned int count);
/** synic_enable() - on a new processor */
int synic_enable(struct vcpu *v);
/** synic_route() - once it is enabled on all of them */
int synic_route(struct machine *m, const struct synic_fds *fds);
/** synic_exit() - KVM_EXIT_HYPERV */
void synic_exit(struct vcpu *v);

#endif /* HVVM_SYNIC_H */
