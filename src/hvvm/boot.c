/* SPDX-License-Identifier: MIT */
/* boot.c - see boot.h */
#include "hvvm/boot.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "hvvm/acpi.h"
#include "hvvm/smbios.h"

#define LOW_END 0x9fc00ull /* conventional memory */
#define HIGH_START 0x100000ull
#define HEADER_AT 0x1f1u
#define MAGIC 0x53726448u /* "HdrS" */
#define ENTRY_64 0x200u
#define COMMAND_LINE_MAX 0x8000u
#define PAGE 4096ull
#define ALIGN_UP(v, a) (((v) + (a)-1) / (a) * (a))

struct why {
	char *text;
	size_t size;
};

static int __attribute__((format(printf, 3, 4)))
fail(const struct why *w, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->text, w->size, fmt, ap);
	va_end(ap);
	return error;
}

/* All of @len bytes at @at. */
static int read_all(int fd, void *buf, size_t len, off_t at)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int size_of(int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	*ret = (uint64_t)st.st_size;
	return 0;
}

static int read_header(const struct boot_files *f, uint64_t file_size,
		       struct setup_header *h, const struct why *w)
{
	uint8_t first[0x280];
	size_t len;

	if (file_size < sizeof(first))
		return fail(w, -ENOEXEC, "%s: not a bzImage: only %llu bytes",
			    f->kernel_name, (unsigned long long)file_size);
	if (read_all(f->kernel, first, sizeof(first), 0) < 0)
		return fail(w, -EIO, "%s: cannot be read", f->kernel_name);
	memset(h, 0, sizeof(*h));
	/* the header ends where the jump over it goes */
	len = 0x202u + first[0x201] - HEADER_AT;
	if (len > sizeof(*h))
		len = sizeof(*h);
	memcpy(h, first + HEADER_AT, len);
	if (h->boot_flag != 0xaa55 || h->header != MAGIC)
		return fail(w, -ENOEXEC, "%s: not a bzImage: %s",
			    f->kernel_name,
			    memcmp(first,
				   "\x7f"
				   "ELF",
				   4) == 0
				    ? "it is an ELF file (give "
				      "arch/x86/boot/bzImage of that tree)"
				    : "no setup header");
	if (h->version < 0x20c || !(h->xloadflags & XLF_KERNEL_64))
		return fail(w, -ENOEXEC,
			    "%s: a kernel without a 64-bit entry point "
			    "(boot protocol %u.%u)",
			    f->kernel_name, h->version >> 8,
			    h->version & 0xffu);
	return 0;
}

/* Where the kernel goes, and how much it needs there. */
static int place_kernel(const struct memory *m, const struct boot_files *f,
			const struct setup_header *h, uint64_t *ret,
			const struct why *w)
{
	uint64_t align = h->kernel_alignment, at = h->pref_address;
	uint64_t low = m->at[0].size;

	if (!align || (align & (align - 1)) || align > 1u << 30)
		return fail(w, -ENOEXEC, "%s: not a bzImage: alignment %llu",
			    f->kernel_name, (unsigned long long)align);
	if (at < HIGH_START || at >= low || h->init_size > low - at) {
		if (!h->relocatable_kernel)
			return fail(w, -ENOMEM,
				    "%s: it wants to be at %#llx, where there "
				    "is no memory",
				    f->kernel_name, (unsigned long long)at);
		at = ALIGN_UP(HIGH_START, align);
	}
	if (at >= low || h->init_size > low - at)
		return fail(w, -ENOMEM,
			    "%s: %u MiB of memory are too few: it needs %llu",
			    f->kernel_name, (unsigned int)(m->size >> 20),
			    (unsigned long long)((at + h->init_size) >> 20) +
				    1);
	*ret = at;
	return 0;
}

static int load_kernel(const struct memory *m, const struct boot_files *f,
		       struct setup_header *h, uint64_t *ret_at,
		       const struct why *w)
{
	uint64_t file_size = 0, start, len, at = 0;
	int r = size_of(f->kernel, &file_size);

	if (r < 0)
		return fail(w, r, "%s: not a regular file", f->kernel_name);
	r = read_header(f, file_size, h, w);
	if (r == 0)
		r = place_kernel(m, f, h, &at, w);
	if (r < 0)
		return r;
	start = ((h->setup_sects ? h->setup_sects : 4) + 1ull) * 512;
	if (start >= file_size)
		return fail(w, -ENOEXEC, "%s: cut short", f->kernel_name);
	len = file_size - start;
	/* syssize is in 16-byte units, and may leave out what is appended */
	if ((uint64_t)h->syssize * 16 > ALIGN_UP(len, 16))
		return fail(w, -ENOEXEC,
			    "%s: cut short: %llu bytes of %llu are there",
			    f->kernel_name, (unsigned long long)len,
			    (unsigned long long)h->syssize * 16);
	if (len < ENTRY_64 + 16 || len > h->init_size)
		return fail(w, -ENOEXEC, "%s: not a bzImage: its size is wrong",
			    f->kernel_name);
	r = read_all(f->kernel, memory_at(m, at, len), len, (off_t)start);
	if (r < 0)
		return fail(w, r, "%s: cannot be read: %s", f->kernel_name,
			    strerror(-r));
	*ret_at = at;
	return 0;
}

static int load_initrd(const struct memory *m, const struct boot_files *f,
		       struct boot_params *bp, uint64_t kernel_end,
		       const struct why *w)
{
	uint64_t size = 0, top = m->at[0].size, at;
	int r;

	if (f->initrd < 0)
		return 0;
	r = size_of(f->initrd, &size);
	if (r < 0)
		return fail(w, r, "%s: not a regular file", f->initrd_name);
	if (top > bp->hdr.initrd_addr_max + 1ull)
		top = bp->hdr.initrd_addr_max + 1ull;
	top = top / PAGE * PAGE;
	if (kernel_end > top || size > top - kernel_end)
		return fail(w, -ENOMEM,
			    "%s: %llu MiB do not fit into %llu MiB of memory "
			    "beside the kernel",
			    f->initrd_name, (unsigned long long)(size >> 20),
			    (unsigned long long)(m->size >> 20));
	at = (top - size) / PAGE * PAGE;
	if (size && at < kernel_end)
		return fail(w, -ENOMEM, "%s: it does not fit", f->initrd_name);
	if (size) {
		r = read_all(f->initrd, memory_at(m, at, size), size, 0);
		if (r < 0)
			return fail(w, r, "%s: cannot be read: %s",
				    f->initrd_name, strerror(-r));
	}
	bp->hdr.ramdisk_image = (uint32_t)at;
	bp->hdr.ramdisk_size = (uint32_t)size;
	bp->ext_ramdisk_image = (uint32_t)(at >> 32);
	bp->ext_ramdisk_size = (uint32_t)(size >> 32);
	return 0;
}

static void e820(struct boot_params *bp, uint64_t addr, uint64_t size,
		 uint32_t type)
{
	bp->e820_table[bp->e820_entries++] = (struct boot_e820_entry) {
		.addr = addr,
		.size = size,
		.type = type,
	};
}

static void memory_map(const struct memory *m, struct boot_params *bp)
{
	e820(bp, 0, LOW_END, 1);
	e820(bp, ACPI_BASE, ACPI_SIZE + SMBIOS_SIZE, 2);
	e820(bp, HIGH_START, m->at[0].size - HIGH_START, 1);
	for (unsigned int i = 1; i < m->count; i++)
		e820(bp, m->at[i].gpa, m->at[i].size, 1);
}

/* Identity pages of 2 MiB for 4 GiB: one top, one middle, four lower tables. */
static void page_tables(const struct memory *m)
{
	uint8_t *top = memory_at(m, BOOT_PAGES, 6 * PAGE);

	memset(top, 0, 6 * PAGE);
	le64_put(top, (BOOT_PAGES + PAGE) | 3);
	for (unsigned int i = 0; i < 4; i++)
		le64_put(top + PAGE + i * 8ul,
			 (BOOT_PAGES + (2 + i) * PAGE) | 3);
	for (unsigned int i = 0; i < 4 * 512; i++)
		le64_put(top + 2 * PAGE + i * 8ul, ((uint64_t)i << 21) | 0x83);
}

static void segments(const struct memory *m)
{
	uint8_t *gdt = memory_at(m, BOOT_GDT, 32);

	memset(gdt, 0, 32);
	le64_put(gdt + 16, 0x00af9b000000ffffull); /* 0x10: code */
	le64_put(gdt + 24, 0x00cf93000000ffffull); /* 0x18: data */
}

int boot_load(const struct memory *m, const struct boot_files *f,
	      struct boot_result *ret, char *why, size_t size)
{
	const struct why w = { why, size };
	size_t line = strlen(f->command_line) + 1;
	struct boot_params bp;
	uint64_t at = 0;
	int r;

	memset(&bp, 0, sizeof(bp));
	r = load_kernel(m, f, &bp.hdr, &at, &w);
	if (r < 0)
		return r;
	if (line > COMMAND_LINE_MAX || line > bp.hdr.cmdline_size + 1ull)
		return fail(&w, -E2BIG,
			    "the command line is longer than the kernel takes "
			    "(%u bytes)",
			    bp.hdr.cmdline_size);
	memcpy(memory_at(m, BOOT_COMMAND_LINE, line), f->command_line, line);
	r = load_initrd(m, f, &bp, ALIGN_UP(at + bp.hdr.init_size, PAGE), &w);
	if (r < 0)
		return r;
	bp.hdr.type_of_loader = 0xff;
	bp.hdr.loadflags |= LOADED_HIGH;
	bp.hdr.cmd_line_ptr = (uint32_t)BOOT_COMMAND_LINE;
	bp.acpi_rsdp_addr = ACPI_BASE;
	memory_map(m, &bp);
	memcpy(memory_at(m, BOOT_PARAMS, sizeof(bp)), &bp, sizeof(bp));
	page_tables(m);
	segments(m);
	ret->entry = at + ENTRY_64;
	return 0;
}
