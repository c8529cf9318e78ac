/* SPDX-License-Identifier: MIT */
/*
 * acpi.h - the tables that tell the guest what machine it is on
 *
 * A PC with local and I/O APIC, PM timer, CMOS clock, the VMBus, and virtio
 * devices at fixed addresses. Written as bytes, without a compiler: there is
 * little, and iasl refuses the VMBus's _HID. Pure: bytes in, bytes out.
 */
#ifndef HVVM_ACPI_H
#define HVVM_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_BASE 0xe0000ull /* guest address of the RSDP and all behind it */
#define ACPI_SIZE 0x10000u   /* behind it SMBIOS, see smbios.h */

#define ACPI_SCI 9u /* interrupt */
#define ACPI_PM_BASE 0x600u
#define ACPI_PM_EVENT 0u /* offsets there */
#define ACPI_PM_CONTROL 4u
#define ACPI_PM_TIMER 8u
#define ACPI_PM_LEN 12u
#define ACPI_SLP_TYP_S5 5u
#define ACPI_RESET_PORT 0xcf9u
#define ACPI_RESET_VALUE 6u

struct acpi_virtio {
	uint64_t base, len;
	uint32_t gsi; /* edge-triggered */
};

struct acpi_config {
	unsigned int cpus; /* APIC ids 0 ... cpus - 1 */
	bool vmbus;
	const struct acpi_virtio *virtio;
	unsigned int virtio_count;
};

/** acpi_write() - into @out, ACPI_SIZE bytes that will be at ACPI_BASE.
 * Return: bytes used, or -ENOSPC */
int acpi_write(const struct acpi_config *c, uint8_t *out);

#endif /* HVVM_ACPI_H */
