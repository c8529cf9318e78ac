/* SPDX-License-Identifier: MIT */
/* elf-file.c - see elf-file.h */
#include "hvvm/exec/elf-file.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

struct file {
	const uint8_t *data;
	size_t len;
};

/* @size bytes at @at, into @ret, whatever their alignment. */
static bool get(const struct file *f, uint64_t at, void *ret, size_t size)
{
	if (at > f->len || size > f->len - at)
		return false;
	memcpy(ret, f->data + at, size);
	return true;
}

/* A string that ends within @size bytes at @at, and these within the file. */
static const char *string(const struct file *f, uint64_t at, uint64_t size)
{
	if (at >= f->len)
		return NULL;
	if (size > f->len - at)
		size = f->len - at;
	return size && memchr(f->data + at, 0, size)
		       ? (const char *)f->data + at
		       : NULL;
}

bool elf_is(const uint8_t *data, size_t len)
{
	const struct file f = { data, len };
	Elf64_Ehdr h;

	return get(&f, 0, &h, sizeof(h)) &&
	       memcmp(h.e_ident, ELFMAG, SELFMAG) == 0 &&
	       h.e_ident[EI_CLASS] == ELFCLASS64 &&
	       h.e_ident[EI_DATA] == ELFDATA2LSB && h.e_machine == EM_X86_64;
}

/* ---- modules */

static bool section(const struct file *f, const Elf64_Ehdr *h, unsigned int i,
		    Elf64_Shdr *ret)
{
	uint64_t at = (uint64_t)i * sizeof(*ret);

	return h->e_shoff <= UINT64_MAX - at &&
	       get(f, h->e_shoff + at, ret, sizeof(*ret));
}

static bool find_modinfo(const struct file *f, uint64_t *ret_at,
			 uint64_t *ret_size)
{
	Elf64_Shdr names, s;
	Elf64_Ehdr h;

	if (!elf_is(f->data, f->len) || !get(f, 0, &h, sizeof(h)) ||
	    h.e_shentsize != sizeof(s) || h.e_shstrndx >= h.e_shnum ||
	    !section(f, &h, h.e_shstrndx, &names))
		return false;
	for (unsigned int i = 0; i < h.e_shnum; i++) {
		const char *name;

		if (!section(f, &h, i, &s) || s.sh_name >= names.sh_size ||
		    names.sh_offset > UINT64_MAX - s.sh_name)
			return false;
		name = string(f, names.sh_offset + s.sh_name,
			      names.sh_size - s.sh_name);
		if (!name || strcmp(name, ".modinfo") != 0)
			continue;
		if (s.sh_offset > f->len || s.sh_size > f->len - s.sh_offset ||
		    s.sh_type == SHT_NOBITS)
			return false;
		*ret_at = s.sh_offset;
		*ret_size = s.sh_size;
		return true;
	}
	return false;
}

const char *elf_modinfo(const uint8_t *data, size_t len, const char *key,
			unsigned int index)
{
	const struct file f = { data, len };
	size_t key_len = strlen(key);
	uint64_t at, size;

	if (!find_modinfo(&f, &at, &size))
		return NULL;
	while (size) {
		const char *s = string(&f, at, size);
		size_t n;

		if (!s)
			return NULL;
		n = strlen(s);
		if (n > key_len && memcmp(s, key, key_len) == 0 &&
		    s[key_len] == '=' && index-- == 0)
			return s + key_len + 1;
		at += n + 1;
		size -= n + 1;
	}
	return NULL;
}

/* ---- programs */

struct dynamic {
	uint64_t at, size;    /* in the file */
	uint64_t text, bytes; /* the strings: address, then offset */
};

static bool segment(const struct file *f, const Elf64_Ehdr *h, unsigned int i,
		    Elf64_Phdr *ret)
{
	uint64_t at = (uint64_t)i * sizeof(*ret);

	return h->e_phoff <= UINT64_MAX - at &&
	       get(f, h->e_phoff + at, ret, sizeof(*ret));
}

/* Where in the file what is loaded at @address is. */
static bool offset_of(const struct file *f, const Elf64_Ehdr *h,
		      uint64_t address, uint64_t *ret)
{
	Elf64_Phdr p;

	for (unsigned int i = 0; i < h->e_phnum; i++) {
		if (!segment(f, h, i, &p))
			return false;
		if (p.p_type == PT_LOAD && address >= p.p_vaddr &&
		    address - p.p_vaddr < p.p_filesz &&
		    p.p_offset <= UINT64_MAX - (address - p.p_vaddr)) {
			*ret = p.p_offset + (address - p.p_vaddr);
			return true;
		}
	}
	return false;
}

/* Calls for each entry; the table ends with DT_NULL or with its segment. */
static bool entry(const struct file *f, const struct dynamic *d, uint64_t i,
		  Elf64_Dyn *ret)
{
	return i < d->size / sizeof(*ret) &&
	       get(f, d->at + i * sizeof(*ret), ret, sizeof(*ret)) &&
	       ret->d_tag != DT_NULL;
}

static int read_dynamic(const struct file *f, const Elf64_Ehdr *h,
			struct dynamic *d, struct elf_program *ret)
{
	Elf64_Dyn e;

	for (uint64_t i = 0; entry(f, d, i, &e); i++) {
		if (e.d_tag == DT_STRTAB)
			d->text = e.d_un.d_ptr;
		else if (e.d_tag == DT_STRSZ)
			d->bytes = e.d_un.d_val;
	}
	if (!d->text || !d->bytes)
		return 0; /* names nothing */
	if (!offset_of(f, h, d->text, &d->text))
		return -ENOEXEC;
	for (uint64_t i = 0; entry(f, d, i, &e); i++) {
		const char *s;

		if (e.d_tag != DT_NEEDED && e.d_tag != DT_RUNPATH &&
		    e.d_tag != DT_RPATH)
			continue;
		if (e.d_un.d_val >= d->bytes ||
		    d->text > UINT64_MAX - e.d_un.d_val)
			return -ENOEXEC;
		s = string(f, d->text + e.d_un.d_val, d->bytes - e.d_un.d_val);
		if (!s)
			return -ENOEXEC;
		if (e.d_tag == DT_NEEDED) {
			if (ret->count == ELF_NEEDED_MAX)
				return -E2BIG;
			ret->needed[ret->count++] = s;
		} else if (e.d_tag == DT_RUNPATH || !ret->runpath) {
			ret->runpath = s;
		}
	}
	return 0;
}

int elf_program(const uint8_t *data, size_t len, struct elf_program *ret)
{
	const struct file f = { data, len };
	struct dynamic d = { 0 };
	Elf64_Ehdr h;
	Elf64_Phdr p;

	memset(ret, 0, sizeof(*ret));
	if (!elf_is(data, len) || !get(&f, 0, &h, sizeof(h)))
		return -ENOEXEC;
	if (h.e_phnum && h.e_phentsize != sizeof(p))
		return -ENOEXEC;
	for (unsigned int i = 0; i < h.e_phnum; i++) {
		if (!segment(&f, &h, i, &p))
			return -ENOEXEC;
		if (p.p_type == PT_INTERP) {
			ret->interpreter = string(&f, p.p_offset, p.p_filesz);
			if (!ret->interpreter)
				return -ENOEXEC;
		} else if (p.p_type == PT_DYNAMIC) {
			if (p.p_offset > len || p.p_filesz > len - p.p_offset)
				return -ENOEXEC;
			d.at = p.p_offset;
			d.size = p.p_filesz;
		}
	}
	return read_dynamic(&f, &h, &d, ret);
}
