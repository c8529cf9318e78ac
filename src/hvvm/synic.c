/* SPDX-License-Identifier: MIT */
/* synic.c - see synic.h */
#include "hvvm/synic.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "hvvm/vcpu.h"
#include "hvvm/vmbus.h"

#define SINT 2u
#define PIC_PINS 16u

#define CALL_POST_MESSAGE 0x5cu
#define CALL_SIGNAL_EVENT 0x5du
#define CALL_FAST 0x10000u
#define RESULT_INVALID_CODE 2u
#define RESULT_INVALID_INPUT 3u
#define RESULT_INVALID_ALIGNMENT 4u
#define RESULT_INVALID_CONNECTION 18u
#define MESSAGE_LEN 256u

const char *synic_missing(int kvm)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{ KVM_CAP_HYPERV, "KVM_CAP_HYPERV" },
		{ KVM_CAP_HYPERV_TIME, "KVM_CAP_HYPERV_TIME" },
		{ KVM_CAP_HYPERV_SYNIC2, "KVM_CAP_HYPERV_SYNIC2" },
		{ KVM_CAP_HYPERV_VP_INDEX, "KVM_CAP_HYPERV_VP_INDEX" },
		{ KVM_CAP_HYPERV_EVENTFD, "KVM_CAP_HYPERV_EVENTFD" },
		{ KVM_CAP_IRQFD_RESAMPLE, "KVM_CAP_IRQFD_RESAMPLE" },
		{ KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER" },
	};

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return needed[i].name;
	return NULL;
}

int synic_new(unsigned int count, struct synic_fds **ret)
{
	struct synic_fds *fds = calloc(count, sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++) {
		fds[i].raise = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		fds[i].acknowledge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fds[i].raise < 0 || fds[i].acknowledge < 0) {
			int r = -errno;

			synic_free(fds, i + 1);
			return r;
		}
	}
	*ret = fds;
	return 0;
}

void synic_free(struct synic_fds *fds, unsigned int count)
{
	for (unsigned int i = 0; fds && i < count; i++) {
		if (fds[i].raise >= 0)
			close(fds[i].raise);
		if (fds[i].acknowledge >= 0)
			close(fds[i].acknowledge);
	}
	free(fds);
}

int synic_enable(struct vcpu *v)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HYPERV_SYNIC2 };

	return ioctl(v->fd, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

/* The PC's own interrupts stay as KVM has them at first. */
static unsigned int pc_routes(struct kvm_irq_routing_entry *e)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PIC_PINS; i++)
		e[n++] = (struct kvm_irq_routing_entry) {
			.gsi = i,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = i < 8 ? KVM_IRQCHIP_PIC_MASTER
							: KVM_IRQCHIP_PIC_SLAVE,
				       .pin = i % 8 },
		};
	for (unsigned int i = 0; i < MACHINE_IOAPIC_PINS; i++)
		e[n++] = (struct kvm_irq_routing_entry) {
			.gsi = i,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC,
				       .pin = i },
		};
	return n;
}

int synic_route(struct machine *m, const struct synic_fds *fds)
{
	unsigned int most = PIC_PINS + MACHINE_IOAPIC_PINS + m->count, n;
	struct kvm_irq_routing *t;
	int r = 0;

	t = calloc(1, sizeof(*t) + most * sizeof(t->entries[0]));
	if (!t)
		return -ENOMEM;
	n = pc_routes(t->entries);
	for (unsigned int i = 0; i < m->count; i++)
		t->entries[n++] = (struct kvm_irq_routing_entry) {
			.gsi = MACHINE_IOAPIC_PINS + i,
			.type = KVM_IRQ_ROUTING_HV_SINT,
			.u.hv_sint = { .vcpu = i, .sint = SINT },
		};
	t->nr = n;
	if (ioctl(m->fd, KVM_SET_GSI_ROUTING, t) < 0)
		r = -errno;
	free(t);
	for (unsigned int i = 0; i < m->count && r == 0; i++) {
		struct kvm_irqfd irqfd = {
			.fd = (uint32_t)fds[i].raise,
			.gsi = MACHINE_IOAPIC_PINS + i,
			.flags = KVM_IRQFD_FLAG_RESAMPLE,
			.resamplefd = (uint32_t)fds[i].acknowledge,
		};

		if (ioctl(m->fd, KVM_IRQFD, &irqfd) < 0)
			r = -errno;
	}
	return r;
}

/* ---- exits */

static uint16_t post(struct vcpu *v, uint64_t control, uint64_t gpa)
{
	uint8_t input[MESSAGE_LEN];
	const void *p;

	if (control & CALL_FAST)
		return RESULT_INVALID_INPUT;
	if (gpa % 8 || gpa % 4096 > 4096 - MESSAGE_LEN)
		return RESULT_INVALID_ALIGNMENT;
	p = memory_at(&v->m->memory, gpa, MESSAGE_LEN);
	if (!p)
		return RESULT_INVALID_INPUT;
	/* once: the guest may change it meanwhile */
	memcpy(input, p, sizeof(input));
	if (!v->m->vmbus)
		return RESULT_INVALID_CONNECTION;
	return vmbus_post(v->m->vmbus, v, input);
}

static uint16_t signal_event(struct vcpu *v, uint64_t control, uint64_t param)
{
	const void *p;

	if (!(control & CALL_FAST)) {
		if (param % 8)
			return RESULT_INVALID_ALIGNMENT;
		p = memory_at(&v->m->memory, param, sizeof(param));
		if (!p)
			return RESULT_INVALID_INPUT;
		memcpy(&param, p, sizeof(param));
	}
	if (!v->m->vmbus)
		return RESULT_INVALID_CONNECTION;
	return vmbus_signal(v->m->vmbus, v, (uint32_t)param,
			    (uint16_t)(param >> 32));
}

void synic_exit(struct vcpu *v)
{
	struct kvm_hyperv_exit *e = &v->run->hyperv;

	if (e->type == KVM_EXIT_HYPERV_SYNIC) {
		v->scontrol = e->u.synic.control;
		v->siefp = e->u.synic.evt_page;
		v->simp = e->u.synic.msg_page;
		if (v->m->vmbus)
			vmbus_synic(v->m->vmbus, v);
		return;
	}
	if (e->type != KVM_EXIT_HYPERV_HCALL)
		return;
	switch (e->u.hcall.input & 0xffff) {
	case CALL_POST_MESSAGE:
		e->u.hcall.result =
			post(v, e->u.hcall.input, e->u.hcall.params[0]);
		break;
	case CALL_SIGNAL_EVENT:
		e->u.hcall.result =
			signal_event(v, e->u.hcall.input, e->u.hcall.params[0]);
		break;
	default:
		e->u.hcall.result = RESULT_INVALID_CODE;
		break;
	}
}
