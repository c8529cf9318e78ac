/* SPDX-License-Identifier: MIT */
/* acpi.c - see acpi.h; layouts: ACPI 6.4, 5.2 (tables) and 20.2 (AML) */
#include "hvvm/acpi.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define HEADER 36u
#define LAPIC_ADDRESS 0xfee00000u
#define IOAPIC_ADDRESS 0xfec00000u

/* A cursor; what does not fit is not written, and end says so. */
struct out {
	uint8_t *p;
	size_t at, size;
	bool full;
};

static void put(struct out *o, const void *data, size_t len)
{
	if (o->size - o->at < len) {
		o->full = true;
		return;
	}
	memcpy(o->p + o->at, data, len);
	o->at += len;
}

static void put8(struct out *o, uint8_t v)
{
	put(o, &v, 1);
}

static void put16(struct out *o, uint16_t v)
{
	uint8_t b[2];

	le16_put(b, v);
	put(o, b, sizeof(b));
}

static void put32(struct out *o, uint32_t v)
{
	uint8_t b[4];

	le32_put(b, v);
	put(o, b, sizeof(b));
}

static void put64(struct out *o, uint64_t v)
{
	uint8_t b[8];

	le64_put(b, v);
	put(o, b, sizeof(b));
}

static void zeros(struct out *o, size_t n)
{
	while (n--)
		put8(o, 0);
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

/* ---- tables */

static size_t table_begin(struct out *o, const char *signature,
			  uint8_t revision)
{
	size_t at;

	while (o->at % 16)
		put8(o, 0);
	at = o->at;
	put(o, signature, 4);
	put32(o, 0); /* length, later */
	put8(o, revision);
	put8(o, 0); /* checksum, later */
	put(o, "HVSOCK", 6);
	put(o, "HVVM    ", 8);
	put32(o, 1);
	put(o, "HVVM", 4);
	put32(o, 1);
	return at;
}

static void table_end(struct out *o, size_t at)
{
	if (o->full)
		return;
	le32_put(o->p + at + 4, (uint32_t)(o->at - at));
	o->p[at + 9] = checksum(o->p + at, o->at - at);
}

/* A generic address: I/O ports, or nothing. */
static void gas_io(struct out *o, uint8_t bits, uint64_t port)
{
	put8(o, port ? 1 : 0);
	put8(o, port ? bits : 0);
	put8(o, 0);
	put8(o, port ? (bits == 8 ? 1 : bits == 16 ? 2 : 3) : 0);
	put64(o, port);
}

static size_t facs(struct out *o)
{
	size_t at;

	while (o->at % 64)
		put8(o, 0);
	at = o->at;
	put(o, "FACS", 4);
	put32(o, 64);
	zeros(o, 24);
	put8(o, 2); /* version */
	zeros(o, 31);
	return at;
}

static size_t fadt(struct out *o, size_t facs_at, size_t dsdt_at)
{
	size_t at = table_begin(o, "FACP", 6);

	put32(o, (uint32_t)(ACPI_BASE + facs_at));
	put32(o, (uint32_t)(ACPI_BASE + dsdt_at));
	put8(o, 0);
	put8(o, 0); /* profile: unspecified */
	put16(o, ACPI_SCI);
	put32(o, 0); /* no SMI command: always in ACPI mode */
	zeros(o, 4);
	put32(o, ACPI_PM_BASE + ACPI_PM_EVENT);
	put32(o, 0);
	put32(o, ACPI_PM_BASE + ACPI_PM_CONTROL);
	put32(o, 0);
	put32(o, 0);
	put32(o, ACPI_PM_BASE + ACPI_PM_TIMER);
	put32(o, 0);
	put32(o, 0);
	put8(o, 4); /* PM1 event block's length */
	put8(o, 2); /* control block's */
	put8(o, 0);
	put8(o, 4); /* timer's */
	zeros(o, 4);
	put16(o, 0xffff); /* no C2 */
	put16(o, 0xffff); /* no C3 */
	zeros(o, 4);
	zeros(o, 4);   /* duty cycle, alarms */
	put8(o, 0x32); /* where the clock has the century */
	/* no VGA, no keyboard controller; the CMOS clock is there */
	put16(o, 1u << 2);
	put8(o, 0);
	/* WBINVD, no fixed power and sleep buttons, reset register */
	put32(o, 1u | 1u << 4 | 1u << 5 | 1u << 8 | 1u << 10);
	gas_io(o, 8, ACPI_RESET_PORT);
	put8(o, ACPI_RESET_VALUE);
	zeros(o, 2);
	put8(o, 4); /* minor version */
	put64(o, ACPI_BASE + facs_at);
	put64(o, ACPI_BASE + dsdt_at);
	gas_io(o, 32, ACPI_PM_BASE + ACPI_PM_EVENT);
	gas_io(o, 0, 0);
	gas_io(o, 16, ACPI_PM_BASE + ACPI_PM_CONTROL);
	gas_io(o, 0, 0);
	gas_io(o, 0, 0);
	gas_io(o, 32, ACPI_PM_BASE + ACPI_PM_TIMER);
	gas_io(o, 0, 0);
	gas_io(o, 0, 0);
	gas_io(o, 0, 0); /* sleep control */
	gas_io(o, 0, 0);
	put64(o, 0); /* hypervisor vendor */
	table_end(o, at);
	return at;
}

static size_t madt(struct out *o, const struct acpi_config *c)
{
	size_t at = table_begin(o, "APIC", 4);

	put32(o, LAPIC_ADDRESS);
	put32(o, 1); /* there are 8259s too */
	for (unsigned int i = 0; i < c->cpus; i++) {
		if (i < 255) {
			put8(o, 0);
			put8(o, 8);
			put8(o, (uint8_t)i);
			put8(o, (uint8_t)i);
			put32(o, 1);
		} else {
			put8(o, 9);
			put8(o, 16);
			put16(o, 0);
			put32(o, i);
			put32(o, 1);
			put32(o, i);
		}
	}
	put8(o, 1); /* I/O APIC */
	put8(o, 12);
	put8(o, 0);
	put8(o, 0);
	put32(o, IOAPIC_ADDRESS);
	put32(o, 0);
	put8(o, 2); /* the SCI is level-triggered, active high */
	put8(o, 10);
	put8(o, 0);
	put8(o, ACPI_SCI);
	put32(o, ACPI_SCI);
	put16(o, 0xd);
	put8(o, 4); /* NMI: LINT1 of all */
	put8(o, 6);
	put8(o, 0xff);
	put16(o, 0);
	put8(o, 1);
	table_end(o, at);
	return at;
}

/* ---- AML */

/* A package of bytes with its length in front (20.2.4), 4 bytes of it. */
static size_t length_begin(struct out *o)
{
	size_t at = o->at;

	zeros(o, 4);
	return at;
}

static void length_end(struct out *o, size_t at)
{
	size_t len = o->at - at;

	if (o->full)
		return;
	o->p[at] = (uint8_t)(0xc0 | (len & 0xf));
	o->p[at + 1] = (uint8_t)(len >> 4);
	o->p[at + 2] = (uint8_t)(len >> 12);
	o->p[at + 3] = (uint8_t)(len >> 20);
}

static void name(struct out *o, const char *segment)
{
	put8(o, 0x08);
	put(o, segment, 4);
}

static void string(struct out *o, const char *s)
{
	put8(o, 0x0d);
	put(o, s, strlen(s) + 1);
}

static void byte(struct out *o, uint8_t v)
{
	put8(o, 0x0a);
	put8(o, v);
}

static size_t device_begin(struct out *o, const char *segment)
{
	size_t at;

	put8(o, 0x5b);
	put8(o, 0x82);
	at = length_begin(o);
	put(o, segment, 4);
	return at;
}

static void vmbus(struct out *o)
{
	size_t at = device_begin(o, "VMBS");

	name(o, "_HID");
	string(o, "VMBus");
	name(o, "_UID");
	put8(o, 0x00);
	name(o, "_CRS"); /* no resource: the driver wants the object */
	put(o, "\x11\x05\x0a\x02\x79\x00", 6);
	length_end(o, at);
}

static void virtio(struct out *o, unsigned int i, const struct acpi_virtio *v)
{
	static const char hex[] = "0123456789ABCDEF";
	char segment[] = "VR00";
	size_t at;

	segment[2] = hex[i / 16 % 16];
	segment[3] = hex[i % 16];
	at = device_begin(o, segment);
	name(o, "_HID");
	string(o, "LNRO0005");
	name(o, "_UID");
	byte(o, (uint8_t)i);
	name(o, "_CCA");
	put8(o, 0x01);
	name(o, "_CRS");
	put8(o, 0x11); /* buffer: length byte, size, 12 + 9 + 2 bytes */
	put8(o, 26);
	byte(o, 23);
	put8(o, 0x86); /* 32-bit fixed memory, writable */
	put16(o, 9);
	put8(o, 1);
	put32(o, (uint32_t)v->base);
	put32(o, (uint32_t)v->len);
	put8(o, 0x89); /* interrupt: consumer, edge, active high, exclusive */
	put16(o, 6);
	put8(o, 0x03);
	put8(o, 1);
	put32(o, v->gsi);
	put8(o, 0x79);
	put8(o, 0);
	length_end(o, at);
}

static size_t dsdt(struct out *o, const struct acpi_config *c)
{
	size_t at = table_begin(o, "DSDT", 2), scope;

	name(o, "_S5_"); /* Package() { 5, 5, 0, 0 } */
	put8(o, 0x12);
	put8(o, 8);
	put8(o, 4);
	byte(o, ACPI_SLP_TYP_S5);
	byte(o, ACPI_SLP_TYP_S5);
	put8(o, 0);
	put8(o, 0);
	put8(o, 0x10);
	scope = length_begin(o);
	put(o, "\\_SB_", 5);
	if (c->vmbus)
		vmbus(o);
	for (unsigned int i = 0; i < c->virtio_count; i++)
		virtio(o, i, &c->virtio[i]);
	length_end(o, scope);
	table_end(o, at);
	return at;
}

int acpi_write(const struct acpi_config *c, uint8_t *out)
{
	struct out o = { .p = out, .size = ACPI_SIZE };
	size_t facs_at, dsdt_at, fadt_at, madt_at, xsdt_at;

	memset(out, 0, ACPI_SIZE);
	zeros(&o, HEADER); /* the RSDP, later */
	facs_at = facs(&o);
	dsdt_at = dsdt(&o, c);
	fadt_at = fadt(&o, facs_at, dsdt_at);
	madt_at = madt(&o, c);
	xsdt_at = table_begin(&o, "XSDT", 1);
	put64(&o, ACPI_BASE + fadt_at);
	put64(&o, ACPI_BASE + madt_at);
	table_end(&o, xsdt_at);
	if (o.full)
		return -ENOSPC;
	memcpy(out, "RSD PTR ", 8);
	memcpy(out + 9, "HVSOCK", 6);
	out[15] = 2; /* revision */
	le32_put(out + 20, HEADER);
	le64_put(out + 24, ACPI_BASE + xsdt_at);
	out[8] = checksum(out, 20);
	out[32] = checksum(out, HEADER);
	return (int)o.at;
}
