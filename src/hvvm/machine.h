/* SPDX-License-Identifier: MIT */
/*
 * machine.h - the virtual machine: memory, processors, devices, its life
 *
 * One thread runs the event loop (console, signals, the back-end's process),
 * one more runs each virtual processor. What the guest wants of the machine as
 * a whole (off, reset, panic) is noted by whichever thread hears it, and done
 * by the loop's, which stops all processors first.
 */
#ifndef HVVM_MACHINE_H
#define HVVM_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ev.h"
#include "hvvm/acpi.h"
#include "hvvm/bus.h"
#include "hvvm/memory.h"
#include "hvvm/options.h"
#include "hvvm/pm.h"
#include "hvvm/serial.h"

#define MACHINE_SERIALS 3u
#define MACHINE_STRINGS_MAX (OPTIONS_MANY + 1) /* --credential, --notify */
#define MACHINE_CPUS_MAX 256u
#define MACHINE_VIRTIO_MAX 8u
#define MACHINE_VIRTIO_BASE 0xd0000000ull
#define MACHINE_VIRTIO_LEN 0x1000ull
#define MACHINE_VIRTIO_GSI 10u /* and those behind it */
#define MACHINE_IOAPIC_PINS 24u

/* Exit statuses of hvvm run. */
#define STATUS_OFF 0
#define STATUS_REBOOT 3 /* with --no-reboot */
#define STATUS_TIMEOUT 124
#define STATUS_FAILED 125
#define STATUS_PANIC 126

enum machine_end {
	END_NONE,
	END_OFF,
	END_RESET,
	END_PANIC,
	END_TIMEOUT,
	END_KILLED,
	END_FAILED,
};

struct vcpu;
struct virtio_device;
struct vmbus;

struct machine {
	const struct options *o;
	int kvm, fd; /* /dev/kvm, the VM; -1 */
	struct memory memory;
	struct bus pio, mmio;
	struct pm pm;
	struct serial serials[MACHINE_SERIALS];
	struct vcpu *vcpus;
	unsigned int count; /* of them, created */
	struct acpi_virtio virtio[MACHINE_VIRTIO_MAX];
	unsigned int virtio_count;
	struct virtio_device *devices;	    /* those */
	struct vmbus *vmbus;		    /* NULL: none */
	char *strings[MACHINE_STRINGS_MAX]; /* for the guest, of SMBIOS */
	unsigned int string_count;

	struct ev *ev;
	struct ev_io event_io;
	struct ev_timer timeout;
	int event;	 /* eventfd: something was noted */
	_Atomic int end; /* enum machine_end, the first one */
	_Atomic bool stopping;
	pthread_mutex_t irq_lock;
	uint8_t irq_levels[MACHINE_IOAPIC_PINS]; /* a bit for each source */
	char why[512];				 /* END_FAILED */
	char panic[4096];			 /* the guest's last words */
};

/** machine_new() - opens KVM and makes the memory. Return: 0; -errno: a
 * sentence has been said */
int machine_new(const struct options *o, struct machine *m);
/** machine_run() - boot, and again after each reset. Return: exit status */
int machine_run(struct machine *m);
void machine_free(struct machine *m);

/* machine-strings.c */

/** machine_strings_read() - what the options say. Return: as machine_new() */
int machine_strings_read(struct machine *m);
/** machine_strings_write() - into the guest's memory. Return: the same */
int machine_strings_write(struct machine *m);
void machine_strings_free(struct machine *m);

/** machine_end() - from any thread: this is the end; the first one counts, but
 * END_KILLED and END_TIMEOUT also where the machine would only begin again */
void machine_end(struct machine *m, enum machine_end end);
/** machine_fail() - the same with END_FAILED and a reason */
void machine_fail(struct machine *m, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** machine_irq() - one source of a shared, level-like ISA line */
void machine_irq(struct machine *m, unsigned int gsi, unsigned int source,
		 bool level);

#endif /* HVVM_MACHINE_H */
