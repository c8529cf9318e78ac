/* SPDX-License-Identifier: MIT */
/* vcpu.c - see vcpu.h */
#include "hvvm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "hvvm/synic.h"
#include "hvvm/thread.h"

#define STOP_SIGNAL SIGUSR1

/* Crash MSRs (vmbus-user.md does not know them: this is between guest and us).
 * KVM has them too, but drops the bit that says that there is a message. */
#define MSR_CRASH_FIRST 0x40000100u
#define MSR_CRASH_CONTROL 0x40000105u
#define CRASH_NOTIFY (1ull << 63)
#define CRASH_MESSAGE (1ull << 62)

#define CR0_PE 1ull
#define CR0_ET (1ull << 4)
#define CR0_PG (1ull << 31)
#define CR4_PAE (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)

/* ---- being interrupted */

static __thread struct vcpu *self;

static void on_stop_signal(int sig)
{
	(void)sig;
	if (self)
		self->run->immediate_exit = 1;
}

void vcpu_signals(void)
{
	/* without SA_RESTART: whatever the thread waits in ends too */
	struct sigaction sa = { .sa_handler = on_stop_signal };

	sigaction(STOP_SIGNAL, &sa, NULL);
}

bool vcpu_here(void)
{
	return self != NULL;
}

bool vcpu_stopping(const struct vcpu *v)
{
	return atomic_load(&v->m->stopping);
}

/* ---- being made */

static int failed(const char *what)
{
	int r = -errno;

	log_err("%s: %s", what, strerror(-r));
	return r;
}

int vcpu_new(struct machine *m, unsigned int index, size_t run_len,
	     struct vcpu *v)
{
	int r;

	*v = (struct vcpu) { .m = m, .index = index, .run_len = run_len };
	v->fd = ioctl(m->fd, KVM_CREATE_VCPU, index);
	if (v->fd < 0)
		return failed("a virtual processor cannot be made");
	v->run = mmap(NULL, run_len, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		      0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return failed("a virtual processor cannot be mapped");
	}
	r = synic_enable(v);
	if (r == 0)
		r = cpuid_set(v);
	if (r < 0)
		log_err("KVM refuses this processor: %s", strerror(-r));
	return r;
}

void vcpu_free(struct vcpu *v)
{
	if (v->run)
		munmap(v->run, v->run_len);
	if (v->fd >= 0)
		close(v->fd);
	v->run = NULL;
	v->fd = -1;
}

int vcpu_boot(struct vcpu *v, const struct boot_result *b)
{
	const struct kvm_segment code = {
		.limit = UINT32_MAX,
		.selector = 0x10,
		.type = 11,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	struct kvm_segment data = code;
	struct kvm_regs regs = {
		.rip = b->entry,
		.rsi = BOOT_PARAMS,
		.rflags = 2,
	};
	struct kvm_sregs s;

	data.selector = 0x18;
	data.type = 3;
	data.l = 0;
	data.db = 1;
	if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
		return failed("registers cannot be read");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.gdt.base = BOOT_GDT;
	s.gdt.limit = 31;
	s.idt.limit = 0;
	s.cr0 = CR0_PE | CR0_ET | CR0_PG;
	s.cr3 = BOOT_PAGES;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	if (ioctl(v->fd, KVM_SET_SREGS, &s) < 0 ||
	    ioctl(v->fd, KVM_SET_REGS, &regs) < 0)
		return failed("registers cannot be set");
	return 0;
}

int vcpu_registers(struct vcpu *v, struct vmcore_cpu *ret)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_REGS, &r) < 0 ||
	    ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
		return failed("registers cannot be read");
	*ret = (struct vmcore_cpu) {
		.regs = {
			.r15 = r.r15, .r14 = r.r14, .r13 = r.r13, .r12 = r.r12,
			.rbp = r.rbp, .rbx = r.rbx, .r11 = r.r11, .r10 = r.r10,
			.r9 = r.r9, .r8 = r.r8, .rax = r.rax, .rcx = r.rcx,
			.rdx = r.rdx, .rsi = r.rsi, .rdi = r.rdi,
			.orig_rax = UINT64_MAX, .rip = r.rip,
			.cs = s.cs.selector, .eflags = r.rflags, .rsp = r.rsp,
			.ss = s.ss.selector, .fs_base = s.fs.base,
			.gs_base = s.gs.base, .ds = s.ds.selector,
			.es = s.es.selector, .fs = s.fs.selector,
			.gs = s.gs.selector,
		},
		.cr3 = s.cr3,
		.cr4 = s.cr4,
	};
	return 0;
}

/* ---- exits */

static void on_io(struct vcpu *v)
{
	uint8_t *p = (uint8_t *)v->run + v->run->io.data_offset;

	for (uint32_t i = 0; i < v->run->io.count; i++) {
		if (v->run->io.direction == KVM_EXIT_IO_IN)
			(void)bus_read(&v->m->pio, v->run->io.port, p,
				       v->run->io.size);
		else
			(void)bus_write(&v->m->pio, v->run->io.port, p,
					v->run->io.size);
		p += v->run->io.size;
		/* one instruction can be thousands of waits for a reader */
		if (vcpu_stopping(v))
			break;
	}
}

static void on_mmio(struct vcpu *v)
{
	if (v->run->mmio.is_write)
		(void)bus_write(&v->m->mmio, v->run->mmio.phys_addr,
				v->run->mmio.data, v->run->mmio.len);
	else
		(void)bus_read(&v->m->mmio, v->run->mmio.phys_addr,
			       v->run->mmio.data, v->run->mmio.len);
}

/* The guest's kernel has panicked; its last words are at P3, P4 bytes long. */
static void on_crash(struct vcpu *v, uint64_t control)
{
	struct machine *m = v->m;
	uint64_t len = v->crash[4];
	const void *p;

	if (!(control & CRASH_NOTIFY))
		return;
	if (len >= sizeof(m->panic))
		len = sizeof(m->panic) - 1;
	p = control & CRASH_MESSAGE && len
		    ? memory_at(&m->memory, v->crash[3], len)
		    : NULL;
	if (p && atomic_load(&m->end) == END_NONE) {
		memcpy(m->panic, p, len);
		m->panic[len] = '\0';
	}
	v->panicked = true;
	machine_end(m, END_PANIC);
}

/* Return: go on? After its last words a processor stays where it said them. */
static bool on_msr(struct vcpu *v)
{
	uint32_t i = v->run->msr.index - MSR_CRASH_FIRST;

	v->run->msr.error = 0;
	if (i > MSR_CRASH_CONTROL - MSR_CRASH_FIRST) {
		v->run->msr.error = 1;
		return true;
	}
	if (v->run->exit_reason == KVM_EXIT_X86_RDMSR)
		v->run->msr.data = i < ARRAY_LEN(v->crash)
					   ? v->crash[i]
					   : CRASH_NOTIFY | CRASH_MESSAGE;
	else if (i < ARRAY_LEN(v->crash))
		v->crash[i] = v->run->msr.data;
	else
		on_crash(v, v->run->msr.data);
	return !v->panicked;
}

static void on_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_end(v->m, END_OFF);
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		machine_end(v->m, END_PANIC);
		break;
	default:
		machine_end(v->m, END_RESET);
		break;
	}
}

/* As on a PC: a reset, which is how some kernels reboot. */
static void on_triple_fault(struct vcpu *v)
{
	struct kvm_regs r = { 0 };

	(void)ioctl(v->fd, KVM_GET_REGS, &r);
	log_info("processor %u: triple fault at %#llx", v->index,
		 (unsigned long long)r.rip);
	machine_end(v->m, END_RESET);
}

/* Return: go on? */
static bool on_exit(struct vcpu *v)
{
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		on_io(v);
		return true;
	case KVM_EXIT_MMIO:
		on_mmio(v);
		return true;
	case KVM_EXIT_HYPERV:
		synic_exit(v);
		return true;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		return on_msr(v);
	case KVM_EXIT_SHUTDOWN:
		on_triple_fault(v);
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		on_system_event(v);
		return false;
	case KVM_EXIT_INTR:
	case KVM_EXIT_HLT:
		return true;
	case KVM_EXIT_FAIL_ENTRY:
		machine_fail(v->m,
			     "processor %u: KVM cannot enter the guest "
			     "(hardware reason %#llx)",
			     v->index,
			     (unsigned long long)v->run->fail_entry
				     .hardware_entry_failure_reason);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		machine_fail(v->m, "processor %u: error %u inside KVM",
			     v->index, v->run->internal.suberror);
		return false;
	default:
		machine_fail(v->m, "processor %u: unknown KVM exit %u",
			     v->index, v->run->exit_reason);
		return false;
	}
}

static void *run(void *arg)
{
	struct vcpu *v = arg;
	sigset_t set;

	self = v;
	sigemptyset(&set);
	sigaddset(&set, STOP_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	while (!vcpu_stopping(v)) {
		if (ioctl(v->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN) {
				v->run->immediate_exit = 0;
				continue;
			}
			machine_fail(v->m, "processor %u cannot run: %s",
				     v->index, strerror(errno));
			break;
		}
		if (!on_exit(v))
			break;
	}
	self = NULL;
	return NULL;
}

int vcpu_start(struct vcpu *v)
{
	char name[16];
	int r;

	snprintf(name, sizeof(name), "vcpu%u", v->index);
	r = thread_start(&v->thread, name, run, v);
	v->started = r == 0;
	return r;
}

void vcpu_stop(struct vcpu *v, unsigned int count)
{
	struct timespec ts;
	bool left;

	/* A signal that hits just before the thread waits is lost: again. All
	 * get theirs: one may wait for a lock that another one holds. */
	do {
		left = false;
		for (unsigned int i = 0; i < count; i++)
			if (v[i].started)
				pthread_kill(v[i].thread, STOP_SIGNAL);
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += 20000000;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_sec++;
			ts.tv_nsec -= 1000000000;
		}
		for (unsigned int i = 0; i < count; i++) {
			if (!v[i].started)
				continue;
			v[i].started = pthread_timedjoin_np(v[i].thread, NULL,
							    &ts) == ETIMEDOUT;
			left = left || v[i].started;
		}
	} while (left);
}
