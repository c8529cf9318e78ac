/* SPDX-License-Identifier: MIT */
/* vmcore.c - see vmcore.h; ELF as in the System V ABI */
#include "hvvm/vmcore.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "hvvm/page-table.h"

#define PAGE 4096u
#define CR4_LA57 (1ull << 12)
#define IMAGE_VA 0xffffffff80000000ull /* the kernel's image, 1 GiB at most */
#define IMAGE_MAX (1ull << 30)
#define IMAGE_STEP (2ull << 20)
#define DIRECT_4 0xffff888000000000ull /* the direct map, or above it (KASLR) \
					*/
#define DIRECT_5 0xff11000000000000ull
#define DIRECT_END 0xffffea0000000000ull /* far behind it */
#define DIRECT_STEP (1ull << 30)

#define INFO_NAME "VMCOREINFO"
#define INFO_FIRST "OSRELEASE="
#define INFO_MAX 4096u
#define LOADS_MAX 3u

struct core {
	const struct memory *m;
	const struct vmcore_cpu *cpus;
	unsigned int count;
	struct page_table tables;
	uint8_t info[INFO_MAX];
	size_t info_len; /* 0: not found */
	Elf64_Phdr loads[LOADS_MAX];
	unsigned int load_count;
	uint8_t *head; /* all before the memory */
	size_t head_len, notes_len;
};

/* ---- what is to be found in memory */

static size_t note_size(size_t name, size_t desc)
{
	return sizeof(Elf64_Nhdr) + (name + 3) / 4 * 4 + (desc + 3) / 4 * 4;
}

static bool is_info(struct core *c, const uint8_t *page)
{
	Elf64_Nhdr n;

	memcpy(&n, page, sizeof(n));
	if (n.n_namesz != sizeof(INFO_NAME) || n.n_type != 0 ||
	    n.n_descsz < sizeof(INFO_FIRST) ||
	    n.n_descsz > INFO_MAX - note_size(sizeof(INFO_NAME), 0) ||
	    memcmp(page + sizeof(n), INFO_NAME, sizeof(INFO_NAME)) != 0)
		return false;
	memcpy(c->info, page + note_size(sizeof(INFO_NAME), 0), n.n_descsz);
	if (memcmp(c->info, INFO_FIRST, sizeof(INFO_FIRST) - 1) != 0)
		return false;
	c->info_len = n.n_descsz;
	return true;
}

/* The next piece of memory that the guest has touched. Return: is there one? */
static bool next_data(const struct memory *m, uint64_t *at, uint64_t *ret_end)
{
	off_t start = lseek(m->fd, (off_t)*at, SEEK_DATA), end;

	if (start < 0 && errno != ENXIO)
		start = (off_t)*at; /* a file system that does not know */
	if (start < 0 || (uint64_t)start >= m->size)
		return false;
	end = lseek(m->fd, start, SEEK_HOLE);
	*at = (uint64_t)start;
	*ret_end = end < 0 || (uint64_t)end > m->size ? m->size : (uint64_t)end;
	return true;
}

static void find_info(struct core *c)
{
	uint64_t at = 0, end;

	while (next_data(c->m, &at, &end)) {
		for (at = at / PAGE * PAGE; at + PAGE <= end; at += PAGE)
			if (is_info(c, c->m->map + at))
				return;
		at = end;
	}
}

/* The kernel's image: mapped at one distance all through. */
static void find_image(struct core *c)
{
	uint64_t va, gpa, at, len = 0;

	if (!page_table_first(&c->tables, IMAGE_VA, &va, &gpa) ||
	    va - IMAGE_VA >= IMAGE_MAX)
		return;
	for (uint64_t n = 0; va - IMAGE_VA + n < IMAGE_MAX; n += IMAGE_STEP)
		if (page_table_find(&c->tables, va + n, &at) && at == gpa + n)
			len = n + IMAGE_STEP;
	while (len && !memory_at(c->m, gpa, len))
		len -= IMAGE_STEP;
	if (len == 0)
		return;
	c->loads[c->load_count++] = (Elf64_Phdr) {
		.p_vaddr = va,
		.p_paddr = gpa,
		.p_memsz = len,
	};
}

/* Return: the address of guest address 0 there; 0: not found */
static uint64_t find_direct(struct core *c)
{
	uint64_t va, gpa;

	if (!page_table_first(&c->tables,
			      c->tables.levels == 5 ? DIRECT_5 : DIRECT_4, &va,
			      &gpa) ||
	    va >= DIRECT_END || gpa >= c->m->size || (va - gpa) % DIRECT_STEP)
		return 0;
	return va - gpa;
}

static void find_loads(struct core *c)
{
	uint64_t direct = find_direct(c);

	find_image(c);
	for (unsigned int i = 0; i < c->m->count; i++)
		c->loads[c->load_count++] = (Elf64_Phdr) {
			.p_vaddr = direct ? direct + c->m->at[i].gpa : 0,
			.p_paddr = c->m->at[i].gpa,
			.p_memsz = c->m->at[i].size,
		};
}

/* ---- what comes before the memory */

static uint8_t *put_note(uint8_t *p, const char *name, uint32_t type,
			 const void *desc, size_t len)
{
	const Elf64_Nhdr n = {
		.n_namesz = (uint32_t)strlen(name) + 1,
		.n_descsz = (uint32_t)len,
		.n_type = type,
	};

	memcpy(p, &n, sizeof(n));
	memcpy(p + sizeof(n), name, n.n_namesz);
	memcpy(p + note_size(n.n_namesz, 0), desc, len);
	return p + note_size(n.n_namesz, len);
}

static uint8_t *put_notes(const struct core *c, uint8_t *p)
{
	for (unsigned int i = 0; i < c->count; i++) {
		struct elf_prstatus s = { .pr_pid = (pid_t)i + 1 };

		_Static_assert(sizeof(s.pr_reg) == sizeof(c->cpus[i].regs),
			       "registers");
		memcpy(&s.pr_reg, &c->cpus[i].regs, sizeof(s.pr_reg));
		p = put_note(p, "CORE", NT_PRSTATUS, &s, sizeof(s));
	}
	return c->info_len ? put_note(p, INFO_NAME, 0, c->info, c->info_len)
			   : p;
}

/* Where in the file is guest address @gpa? */
static uint64_t place(const struct core *c, uint64_t gpa)
{
	return c->head_len +
	       (uint64_t)((const uint8_t *)memory_at(c->m, gpa, 1) - c->m->map);
}

static int make_head(struct core *c)
{
	size_t tables =
		sizeof(Elf64_Ehdr) + (1 + c->load_count) * sizeof(Elf64_Phdr);
	Elf64_Ehdr e = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
			     ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(e),
		.e_ehsize = sizeof(e),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (uint16_t)(1 + c->load_count),
	};
	Elf64_Phdr note = { .p_type = PT_NOTE, .p_offset = tables };
	uint8_t *p;

	c->notes_len = c->count *
		       note_size(sizeof("CORE"), sizeof(struct elf_prstatus));
	if (c->info_len)
		c->notes_len += note_size(sizeof(INFO_NAME), c->info_len);
	note.p_filesz = note.p_memsz = c->notes_len;
	c->head_len = (tables + c->notes_len + PAGE - 1) / PAGE * PAGE;
	c->head = calloc(1, c->head_len);
	if (!c->head)
		return -ENOMEM;
	memcpy(c->head, &e, sizeof(e));
	p = c->head + sizeof(e);
	memcpy(p, &note, sizeof(note));
	for (unsigned int i = 0; i < c->load_count; i++) {
		Elf64_Phdr l = c->loads[i];

		l.p_type = PT_LOAD;
		l.p_flags = PF_R | PF_W | PF_X;
		l.p_offset = place(c, l.p_paddr);
		l.p_filesz = l.p_memsz;
		p += sizeof(l);
		memcpy(p, &l, sizeof(l));
	}
	(void)put_notes(c, c->head + tables);
	return 0;
}

/* ---- the file */

static int put(int fd, const void *data, uint64_t len, uint64_t at)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len > 1u << 30 ? 1u << 30 : len,
				   (off_t)at);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			p += n;
			len -= (uint64_t)n;
			at += (uint64_t)n;
		}
	}
	return 0;
}

/* Huge pages are mostly zeros: those stay holes. */
static int put_pages(int fd, const struct core *c, uint64_t at, uint64_t end)
{
	static const uint8_t zeros[PAGE];
	uint64_t from = at; /* what is before it is written, or zeros */
	int r = 0;

	for (; at < end && r == 0; at += PAGE) {
		if (memcmp(c->m->map + at, zeros, PAGE) != 0)
			continue;
		r = put(fd, c->m->map + from, at - from, c->head_len + from);
		from = at + PAGE;
	}
	if (r == 0 && from < end)
		r = put(fd, c->m->map + from, end - from, c->head_len + from);
	return r;
}

static int put_all(const struct core *c, int fd)
{
	uint64_t at = 0, end;
	int r;

	/* a hole at the end is part of it */
	if (ftruncate(fd, (off_t)(c->head_len + c->m->size)) < 0)
		return -errno;
	r = put(fd, c->head, c->head_len, 0);
	while (r == 0 && next_data(c->m, &at, &end)) {
		r = put_pages(fd, c, at, end);
		at = end;
	}
	return r;
}

static int put_file(const struct core *c, const char *path)
{
	cleanup_close_ int fd = -1;
	cleanup_free_ char *name = NULL;
	int r;

	if (asprintf(&name, "%s.XXXXXX", path) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = put_all(c, fd);
	if (r == 0 && rename(name, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(name);
	return r;
}

int vmcore_write(const struct memory *m, const struct vmcore_cpu *cpus,
		 unsigned int count, unsigned int panicked, const char *path)
{
	const struct vmcore_cpu *v = &cpus[panicked];
	struct core c = {
		.m = m,
		.cpus = cpus,
		.count = count,
		.tables = { .m = m,
			    .root = v->cr3,
			    .levels = v->cr4 & CR4_LA57 ? 5 : 4 },
	};
	int r;

	find_info(&c);
	find_loads(&c);
	r = make_head(&c);
	if (r == 0)
		r = put_file(&c, path);
	free(c.head);
	if (r < 0)
		log_err("--vmcore %s: %s", path, strerror(-r));
	else if (!c.info_len)
		log_warn("--vmcore %s: the kernel's VMCOREINFO was not found",
			 path);
	return r;
}
