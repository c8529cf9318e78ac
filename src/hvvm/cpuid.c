/* SPDX-License-Identifier: MIT */
/*
 * cpuid.c - the processor that the guest sees: the host's, on Hyper-V
 *
 * Never KVM's own signature: Linux takes the hypervisor whose leaves begin
 * highest, and would not look for Hyper-V. Of Hyper-V's features the guest gets
 * those that VMBus needs and good clocks. No synthetic timers: in message mode
 * KVM would write to the slot in which the back-end puts control messages.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hvvm/vcpu.h"

#define ENTRIES 256u

#define HV_VENDOR 0x40000000u
#define HV_INTERFACE 0x40000001u
#define HV_FEATURES 0x40000003u
#define HV_HINTS 0x40000004u
#define HV_LIMITS 0x40000005u

/* 0x40000003 EAX: reference counter (1), SynIC (2), hypercall (5), VP index
 * (6), reference TSC (9), frequencies (11) */
#define FEATURES_LOW 0xa66u
/* EBX: post messages, signal events */
#define FEATURES_HIGH 0x30u
/* EDX: frequency MSRs (8), crash MSRs (10) */
#define FEATURES_MISC 0x500u
/* 0x40000004 EAX: relaxed timing (5), no AutoEOI (9) */
#define HINTS 0x20u
#define HINT_NO_AUTO_EOI 0x200u

/* kvm_cpuid2 ends in an array of ENTRIES. */
#define TABLE_SIZE \
	(sizeof(struct kvm_cpuid2) + ENTRIES * sizeof(struct kvm_cpuid_entry2))

static void add(struct kvm_cpuid2 *t, uint32_t function, uint32_t eax,
		uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	if (t->nent == ENTRIES)
		return;
	t->entries[t->nent++] = (struct kvm_cpuid_entry2) {
		.function = function,
		.eax = eax,
		.ebx = ebx,
		.ecx = ecx,
		.edx = edx,
	};
}

/* An interrupt that ends itself saves the guest an exit each, but KVM then does
 * without the hardware's APIC (APICv, AVIC), which saves more where it is. */
static bool hardware_apic(void)
{
	static const char *const files[] = {
		"/sys/module/kvm_intel/parameters/enable_apicv",
		"/sys/module/kvm_amd/parameters/avic",
	};
	bool known = false;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		FILE *f = fopen(files[i], "re");
		int c;

		if (!f)
			continue;
		c = fgetc(f);
		fclose(f);
		if (c != 'N' && c != '0')
			return true;
		known = true;
	}
	return !known;
}

static void hyperv(struct kvm_cpuid2 *t, unsigned int cpus)
{
	add(t, HV_VENDOR, HV_LIMITS, 0x7263694d, 0x666f736f, 0x76482074);
	add(t, HV_INTERFACE, 0x31237648, 0, 0, 0);
	add(t, 0x40000002, 0, 10u << 16, 0, 0);
	add(t, HV_FEATURES, FEATURES_LOW, FEATURES_HIGH, 0, FEATURES_MISC);
	add(t, HV_HINTS, HINTS | (hardware_apic() ? HINT_NO_AUTO_EOI : 0),
	    UINT32_MAX, 0, 0);
	add(t, HV_LIMITS, cpus, cpus, 0, 0);
}

/* All processors are cores of one package. */
static void topology(struct kvm_cpuid2 *t, unsigned int index,
		     unsigned int cpus)
{
	unsigned int shift = 0;

	while (1u << shift < cpus)
		shift++;
	add(t, 0xb, 0, 1, 0x100, index);
	t->entries[t->nent - 1].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	add(t, 0xb, shift, cpus, 0x201, index);
	t->entries[t->nent - 1].index = 1;
	t->entries[t->nent - 1].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
}

static void adapt(struct kvm_cpuid_entry2 *e, unsigned int index,
		  unsigned int cpus)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffffu) | (cpus < 255 ? cpus : 255) << 16 |
			 (index & 0xff) << 24;
		e->ecx |= 1u << 31;
		if (cpus > 1)
			e->edx |= 1u << 28;
		break;
	case 4: /* cores per package, for Intel's */
		if (e->eax & 0x1f)
			e->eax = (e->eax & 0x3fffu) |
				 ((cpus < 64 ? cpus : 64) - 1) << 26;
		break;
	case 0x80000008: /* the same for AMD's */
		e->ecx = (cpus < 256 ? cpus : 256) - 1;
		break;
	case 0x8000001e:
		e->eax = index;
		e->ebx = index & 0xff;
		e->ecx = 0;
		break;
	default:
		break;
	}
}

static bool wanted(uint32_t function)
{
	return (function < 0x40000000u || function > 0x4fffffffu) &&
	       function != 0xb && function != 0x1f && function != 0x80000026;
}

int cpuid_set(struct vcpu *v)
{
	struct kvm_cpuid2 *t = calloc(1, TABLE_SIZE);
	unsigned int n, kept = 0;
	int r = 0;

	if (!t)
		return -ENOMEM;
	t->nent = ENTRIES - 16;
	if (ioctl(v->m->kvm, KVM_GET_SUPPORTED_CPUID, t) < 0) {
		r = -errno;
		free(t);
		return r;
	}
	n = t->nent;
	for (unsigned int i = 0; i < n; i++) {
		if (!wanted(t->entries[i].function))
			continue;
		t->entries[kept] = t->entries[i];
		adapt(&t->entries[kept++], v->index, v->m->o->cpus);
	}
	t->nent = kept;
	if (kept && t->entries[0].eax >= 0xb)
		topology(t, v->index, v->m->o->cpus);
	hyperv(t, v->m->o->cpus);
	if (ioctl(v->fd, KVM_SET_CPUID2, t) < 0)
		r = -errno;
	free(t);
	return r;
}
