/* SPDX-License-Identifier: MIT */
/* vcpu.h - a virtual processor and the thread that runs it */
#ifndef HVVM_VCPU_H
#define HVVM_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "hvvm/boot.h"
#include "hvvm/machine.h"
#include "hvvm/vmcore.h"

struct vcpu {
	struct machine *m;
	unsigned int index; /* = VP index = APIC id */
	int fd;		    /* -1 */
	struct kvm_run *run;
	size_t run_len;
	pthread_t thread;
	bool started;
	/* SynIC's registers as the guest has set them */
	uint64_t scontrol, simp, siefp;
	uint64_t crash[5];
	bool panicked;
};

/** vcpu_new() - Return: 0 or -errno, a sentence has been said */
int vcpu_new(struct machine *m, unsigned int index, size_t run_len,
	     struct vcpu *v);
void vcpu_free(struct vcpu *v);
/** vcpu_boot() - registers for the kernel's entry; on the first processor */
int vcpu_boot(struct vcpu *v, const struct boot_result *b);
/** vcpu_start() - its thread */
int vcpu_start(struct vcpu *v);
/** vcpu_stop() - the threads of @count of them, together */
void vcpu_stop(struct vcpu *v, unsigned int count);
/** vcpu_signals() - how vcpu_stop() interrupts one; once per process */
void vcpu_signals(void);
/** vcpu_here() - is this the thread of a processor? */
bool vcpu_here(void);
/** vcpu_stopping() - should whoever waits on this thread give up? */
bool vcpu_stopping(const struct vcpu *v);

/** vcpu_registers() - of one that is stopped. Return: 0 or -errno */
int vcpu_registers(struct vcpu *v, struct vmcore_cpu *ret);

/* cpuid.c: what processor the guest sees. Return: 0 or -errno */
int cpuid_set(struct vcpu *v);

#endif /* HVVM_VCPU_H */
