/* SPDX-License-Identifier: MIT */
/*
 * smbios.h - the table by which a machine gives its guest strings
 *
 * SMBIOS 3.0: an entry point where Linux looks for one on a PC, and behind it
 * OEM strings (type 11) and the end (type 127). Pure: bytes in, bytes out.
 */
#ifndef HVVM_SMBIOS_H
#define HVVM_SMBIOS_H

#include <stddef.h>
#include <stdint.h>

#define SMBIOS_BASE 0xf0000ull /* guest address of the entry point */
#define SMBIOS_SIZE 0x10000u
#define SMBIOS_STRINGS_MAX 255u /* OEM strings of one structure */

/**
 * smbios_write() - into @out, SMBIOS_SIZE bytes that will be at SMBIOS_BASE
 * @strings:	@n of them, none empty
 *
 * Return: bytes used; -ENOSPC: they do not fit; -EINVAL: more than
 * SMBIOS_STRINGS_MAX, or an empty one, which would end them.
 */
int smbios_write(char *const *strings, size_t n, uint8_t *out);

#endif /* HVVM_SMBIOS_H */
