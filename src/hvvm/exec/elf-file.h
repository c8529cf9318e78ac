/* SPDX-License-Identifier: MIT */
/*
 * elf-file.h - what little is read of ELF files: of a kernel module the words
 * of its .modinfo section, of a program its interpreter and the libraries it
 * names
 *
 * The files are hostile: every offset and size is checked against the file's
 * length. What is returned points into the file's bytes. 64-bit x86 only.
 */
#ifndef HVVM_EXEC_ELF_FILE_H
#define HVVM_EXEC_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_NEEDED_MAX 256u

struct elf_program {
	const char *interpreter; /* NULL: none */
	const char *runpath;	 /* or rpath; NULL: none */
	const char *needed[ELF_NEEDED_MAX];
	unsigned int count;
};

/** elf_is() - does it begin as an ELF file for this processor does? */
bool elf_is(const uint8_t *data, size_t len);

/** elf_modinfo() - the @index-th value of @key. Return: NULL: there is none,
 * or the file is malformed */
const char *elf_modinfo(const uint8_t *data, size_t len, const char *key,
			unsigned int index);

/** elf_program() - Return: 0 (a static program: nothing is set); -ENOEXEC:
 * malformed; -E2BIG: more libraries than ELF_NEEDED_MAX */
int elf_program(const uint8_t *data, size_t len, struct elf_program *ret);

#endif /* HVVM_EXEC_ELF_FILE_H */
