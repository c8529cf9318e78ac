/* SPDX-License-Identifier: MIT */
/* machine.c - see machine.h */
#include "hvvm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "hvvm/boot.h"
#include "hvvm/synic.h"
#include "hvvm/vcpu.h"
#include "hvvm/virtio.h"
#include "hvvm/vmbus.h"
#include "hvvm/vmcore.h"

#define TSS_ADDRESS 0xfffbd000ull /* three pages KVM needs on Intel's */
#define IDENTITY_MAP_ADDRESS 0xfffbc000ull
#define CRASH_MSRS 0x40000100u

/* ---- noted by any thread */

void machine_end(struct machine *m, enum machine_end end)
{
	int before = END_NONE;
	uint64_t one = 1;
	bool noted = atomic_compare_exchange_strong(&m->end, &before, end);

	/* a guest that only begins again does not make us forget these */
	if (!noted && before == END_RESET && !m->o->no_reboot &&
	    (end == END_KILLED || end == END_TIMEOUT))
		noted = atomic_compare_exchange_strong(&m->end, &before, end);
	if (noted)
		(void)!write(m->event, &one, sizeof(one));
}

void machine_fail(struct machine *m, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&m->irq_lock);
	if (!m->why[0]) {
		va_start(ap, fmt);
		vsnprintf(m->why, sizeof(m->why), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&m->irq_lock);
	machine_end(m, END_FAILED);
}

void machine_irq(struct machine *m, unsigned int gsi, unsigned int source,
		 bool level)
{
	struct kvm_irq_level line = { .irq = gsi };
	uint8_t before, after;

	pthread_mutex_lock(&m->irq_lock);
	before = m->irq_levels[gsi];
	after = level ? before | 1u << source : before & ~(1u << source);
	m->irq_levels[gsi] = after;
	line.level = after != 0;
	/* the line is edge-triggered: of two sources each makes an edge */
	if (level && before && after != before) {
		struct kvm_irq_level low = { .irq = gsi, .level = 0 };

		(void)ioctl(m->fd, KVM_IRQ_LINE, &low);
	}
	if (before != after && m->fd >= 0)
		(void)ioctl(m->fd, KVM_IRQ_LINE, &line);
	pthread_mutex_unlock(&m->irq_lock);
}

static void on_event(struct ev_io *io, uint32_t events)
{
	struct machine *m = container_of(io, struct machine, event_io);
	uint64_t n;

	(void)events;
	(void)!read(m->event, &n, sizeof(n));
	ev_quit(m->ev);
}

static void on_timeout(struct ev_timer *t)
{
	machine_end(container_of(t, struct machine, timeout), END_TIMEOUT);
}

static void on_power(void *ctx, bool power_off)
{
	machine_end(ctx, power_off ? END_OFF : END_RESET);
}

/* ---- KVM */

static int complain(const char *what, int r)
{
	log_err("%s: %s", what, strerror(-r));
	return r;
}

static int open_kvm(struct machine *m)
{
	const char *missing;

	m->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm < 0) {
		int r = -errno;

		log_err("/dev/kvm: %s%s", strerror(-r),
			r == -ENOENT   ? ": this machine has no KVM"
			: r == -EACCES ? ": ask for membership in its group"
				       : "");
		return r;
	}
	if (ioctl(m->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		log_err("/dev/kvm: another version of the interface");
		return -EPROTO;
	}
	missing = synic_missing(m->kvm);
	if (missing) {
		log_err("this host's KVM lacks Hyper-V's emulation (%s): its "
			"kernel was built without CONFIG_KVM_HYPERV",
			missing);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* The crash MSRs come here: KVM would drop the message. */
static int filter_msrs(struct machine *m)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = { KVM_MSR_EXIT_REASON_FILTER },
	};
	uint8_t none = 0;
	struct kvm_msr_filter f = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges = { { .flags = KVM_MSR_FILTER_READ |
				       KVM_MSR_FILTER_WRITE,
			      .nmsrs = 6,
			      .base = CRASH_MSRS,
			      .bitmap = &none } },
	};

	if (ioctl(m->fd, KVM_ENABLE_CAP, &cap) < 0 ||
	    ioctl(m->fd, KVM_X86_SET_MSR_FILTER, &f) < 0)
		return -errno;
	return 0;
}

static int map_memory(struct machine *m)
{
	for (unsigned int i = 0; i < m->memory.count; i++) {
		const struct memory_region *r = &m->memory.at[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = r->gpa,
			.memory_size = r->size,
			.userspace_addr =
				(uintptr_t)(m->memory.map + r->offset),
		};

		if (ioctl(m->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return -errno;
	}
	return 0;
}

static int new_vm(struct machine *m)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_reinject_control reinject = { .pit_reinject = 0 };
	uint64_t identity = IDENTITY_MAP_ADDRESS;
	int run_len = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	int r = 0;

	m->fd = ioctl(m->kvm, KVM_CREATE_VM, 0);
	if (m->fd < 0)
		return complain("no virtual machine", -errno);
	if (ioctl(m->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(m->fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) < 0 ||
	    ioctl(m->fd, KVM_CREATE_IRQCHIP, 0) < 0 ||
	    ioctl(m->fd, KVM_CREATE_PIT2, &pit) < 0)
		return complain("no interrupt controllers", -errno);
	/* no guest of ours counts its ticks, and KVM would do without AVIC */
	(void)ioctl(m->fd, KVM_REINJECT_CONTROL, &reinject);
	r = map_memory(m);
	if (r < 0)
		return complain("KVM does not take the memory", r);
	r = filter_msrs(m);
	if (r < 0)
		return complain("KVM's MSR filter", r);
	for (unsigned int i = 0; i < m->o->cpus && r == 0; i++) {
		r = vcpu_new(m, i, (size_t)run_len, &m->vcpus[i]);
		m->count = i + 1;
	}
	return r;
}

static void end_vm(struct machine *m)
{
	for (unsigned int i = 0; i < m->count; i++)
		vcpu_free(&m->vcpus[i]);
	m->count = 0;
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
	memset(m->irq_levels, 0, sizeof(m->irq_levels));
}

/* ---- booting */

static int open_file(const char *option, const char *path, int *ret)
{
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret >= 0)
		return 0;
	log_err("%s %s: %s", option, path, strerror(errno));
	return -errno;
}

static int load(struct machine *m)
{
	cleanup_close_ int kernel = -1, initrd = -1;
	cleanup_free_ char *line = NULL;
	const struct options *o = m->o;
	struct acpi_config acpi = {
		.cpus = o->cpus,
		.vmbus = !o->no_vmbus,
		.virtio = m->virtio,
		.virtio_count = m->virtio_count,
	};
	struct boot_files f = { .kernel_name = o->kernel,
				.initrd = -1,
				.initrd_name = o->initrd };
	struct boot_result b;
	char why[400];
	int r;

	r = open_file("--kernel", o->kernel, &kernel);
	if (r == 0 && o->initrd_fd >= 0) {
		initrd = fcntl(o->initrd_fd, F_DUPFD_CLOEXEC, 3);
		f.initrd_name = "the initial file system";
		r = initrd < 0 ? -errno : 0;
	}
	if (r == 0 && o->initrd)
		r = open_file("--initrd", o->initrd, &initrd);
	if (r < 0)
		return r;
	if (asprintf(&line, "console=ttyS0 %s%s",
		     o->no_reboot ? "panic=-1 " : "",
		     o->append ? o->append : "") < 0) {
		line = NULL;
		return complain("the command line", -ENOMEM);
	}
	f.kernel = kernel;
	f.initrd = initrd;
	f.command_line = line;
	r = boot_load(&m->memory, &f, &b, why, sizeof(why));
	if (r < 0) {
		log_err("%s", why);
		return r;
	}
	r = acpi_write(&acpi, memory_at(&m->memory, ACPI_BASE, ACPI_SIZE));
	if (r < 0)
		return complain("the ACPI tables", r);
	r = machine_strings_write(m);
	if (r < 0)
		return r;
	return vcpu_boot(&m->vcpus[0], &b);
}

static int start(struct machine *m)
{
	int r = 0;

	atomic_store(&m->end, END_NONE);
	atomic_store(&m->stopping, false);
	for (unsigned int i = 0; i < m->count && r == 0; i++)
		r = vcpu_start(&m->vcpus[i]);
	if (r < 0)
		return complain("no thread for a processor", r);
	return 0;
}

static void stop(struct machine *m)
{
	atomic_store(&m->stopping, true);
	vcpu_stop(m->vcpus, m->count);
}

/* All as after power-on, but for the processes beside us. */
static int reset(struct machine *m)
{
	int r;

	/* nobody may write to the memory that the next guest finds */
	virtio_reset(m);
	r = m->vmbus ? vmbus_forget(m->vmbus) : 0;
	end_vm(m);
	if (r < 0)
		return complain("the VMBus back-end cannot be reset", r);
	r = memory_clear(&m->memory);
	if (r < 0)
		return complain("the memory cannot be cleared", r);
	pm_reset(&m->pm);
	for (unsigned int i = 0; i < MACHINE_SERIALS; i++)
		serial_reset(&m->serials[i]);
	r = new_vm(m);
	if (r == 0 && m->vmbus)
		r = vmbus_reset(m->vmbus);
	return r;
}

static void write_core(struct machine *m)
{
	cleanup_free_ struct vmcore_cpu *cpus = NULL;
	unsigned int panicked = 0;

	cpus = calloc(m->count, sizeof(*cpus));
	if (!cpus) {
		(void)complain("--vmcore", -ENOMEM);
		return;
	}
	for (unsigned int i = 0; i < m->count; i++) {
		if (vcpu_registers(&m->vcpus[i], &cpus[i]) < 0)
			return;
		if (m->vcpus[i].panicked)
			panicked = i;
	}
	(void)vmcore_write(&m->memory, cpus, m->count, panicked, m->o->vmcore);
}

static int status_of(struct machine *m, enum machine_end end)
{
	switch (end) {
	case END_OFF:
		return STATUS_OFF;
	case END_RESET:
		return STATUS_REBOOT;
	case END_PANIC:
		if (m->o->vmcore)
			write_core(m);
		if (m->o->exec)
			return STATUS_PANIC; /* there is more to say */
		/* a page of its log, which log_err() would cut */
		log_err("the guest panicked%s", m->panic[0] ? ":" : "");
		for (const char *p = m->panic; *p; p++)
			fputc(*p == '\n' || *p == '\t' ||
					      (*p >= ' ' && *p != 0x7f)
				      ? *p
				      : '?',
			      stderr);
		return STATUS_PANIC;
	case END_TIMEOUT:
		log_err("not finished after %u s", m->o->timeout);
		return STATUS_TIMEOUT;
	case END_KILLED:
		return STATUS_FAILED;
	default:
		log_err("%s", m->why);
		return STATUS_FAILED;
	}
}

int machine_run(struct machine *m)
{
	enum machine_end end;
	int r;

	r = virtio_start(m);
	if (r == 0)
		r = new_vm(m);
	if (r == 0 && !m->o->no_vmbus)
		r = vmbus_start(m, &m->vmbus);
	for (;;) {
		if (r == 0)
			r = load(m);
		if (r == 0)
			r = start(m);
		if (r == 0 && ev_run(m->ev) < 0)
			machine_fail(m, "the event loop is broken");
		stop(m);
		if (r < 0)
			return STATUS_FAILED;
		end = atomic_load(&m->end);
		if (end != END_RESET || m->o->no_reboot)
			return status_of(m, end);
		r = reset(m);
	}
}

/* ---- its life */

int machine_new(const struct options *o, struct machine *m)
{
	int r;

	*m = (struct machine) { .o = o, .kvm = -1, .fd = -1, .event = -1 };
	m->memory.fd = -1;
	pthread_mutex_init(&m->irq_lock, NULL);
	vcpu_signals();
	r = machine_strings_read(m);
	if (r == 0)
		r = open_kvm(m);
	if (r < 0)
		return r;
	m->vcpus = calloc(o->cpus, sizeof(*m->vcpus));
	if (!m->vcpus)
		return complain("processors", -ENOMEM);
	/* what has no seals is not for processes that we did not start */
	r = memory_new(&m->memory, o->memory,
		       !o->no_huge_pages && !o->vhost_user[0] &&
			       !o->vmbus_socket);
	if (r < 0)
		return complain("the guest's memory", r);
	r = pm_init(&m->pm, &m->pio, on_power, m);
	if (r == 0)
		r = ev_new(&m->ev);
	if (r == 0) {
		m->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = m->event < 0 ? -errno
				 : ev_io_start(m->ev, &m->event_io, m->event,
					       EPOLLIN, on_event);
	}
	if (r == 0 && o->timeout)
		r = ev_timer_start(m->ev, &m->timeout, o->timeout * 1000ull,
				   on_timeout);
	return r < 0 ? complain("cannot start", r) : 0;
}

void machine_free(struct machine *m)
{
	virtio_stop(m);
	m->vmbus = vmbus_stop(m->vmbus);
	end_vm(m);
	free(m->vcpus);
	machine_strings_free(m);
	if (m->event >= 0) {
		ev_io_stop(&m->event_io);
		close(m->event);
	}
	ev_timer_stop(&m->timeout);
	m->ev = ev_free(m->ev);
	memory_free(&m->memory);
	if (m->kvm >= 0)
		close(m->kvm);
}
