/* SPDX-License-Identifier: MIT */
/* elf-maker.h - an ELF file with a .modinfo section, as a kernel module has */
#ifndef TESTS_HVVM_ELF_MAKER_H
#define TESTS_HVVM_ELF_MAKER_H

#include <elf.h>
#include <stdint.h>
#include <string.h>

#define ELF_MAKER_MODINFO 128u /* where the section begins */

/* @info: @len bytes, words each ended by a zero. Return: the file's length. */
static inline size_t elf_make(uint8_t *ret, const char *info, size_t len)
{
	static const char names[] = "\0.shstrtab\0.modinfo";
	const size_t names_at = 64,
		     sections = (ELF_MAKER_MODINFO + len + 7) & ~(size_t)7;
	const Elf64_Ehdr h = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
			     ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_REL,
		.e_machine = EM_X86_64,
		.e_shoff = sections,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 3,
		.e_shstrndx = 1,
	};
	const Elf64_Shdr s[3] = {
		{ 0 },
		{ .sh_name = 1,
		  .sh_type = SHT_STRTAB,
		  .sh_offset = names_at,
		  .sh_size = sizeof(names) },
		{ .sh_name = 11,
		  .sh_type = SHT_PROGBITS,
		  .sh_offset = ELF_MAKER_MODINFO,
		  .sh_size = len },
	};

	memset(ret, 0, sections);
	memcpy(ret, &h, sizeof(h));
	memcpy(ret + names_at, names, sizeof(names));
	memcpy(ret + ELF_MAKER_MODINFO, info, len);
	memcpy(ret + sections, s, sizeof(s));
	return sections + sizeof(s);
}

#endif /* TESTS_HVVM_ELF_MAKER_H */
