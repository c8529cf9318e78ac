/* SPDX-License-Identifier: MIT */
/* smbios.c - see smbios.h; layouts: DSP0134 3.0, 5.2.2 and 7.12 */
#include "hvvm/smbios.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define ENTRY 24u	/* bytes of the entry point */
#define TABLES 32u	/* where the structures begin */
#define OEM_STRINGS 11u /* types */
#define END_OF_TABLE 127u
#define OEM_HEADER 5u
#define END_HEADER 4u

static uint8_t checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static void entry(uint8_t *p, uint32_t size)
{
	memcpy(p, "_SM3_", 5);
	p[6] = ENTRY;
	p[7] = 3;  /* version 3.0, docrev 0 */
	p[10] = 1; /* revision of the entry point */
	le32_put(p + 12, size);
	le64_put(p + 16, SMBIOS_BASE + TABLES);
	p[5] = checksum(p, ENTRY);
}

/* A structure's first four bytes. */
static void header(uint8_t *p, uint8_t type, uint8_t len, uint16_t handle)
{
	p[0] = type;
	p[1] = len;
	le16_put(p + 2, handle);
}

int smbios_write(char *const *strings, size_t n, uint8_t *out)
{
	const size_t end = END_HEADER + 2; /* it has no strings: two zeros */
	size_t at = TABLES + OEM_HEADER;

	if (!n || n > SMBIOS_STRINGS_MAX)
		return -EINVAL;
	memset(out, 0, SMBIOS_SIZE);
	header(out + TABLES, OEM_STRINGS, OEM_HEADER, 0);
	out[TABLES + 4] = (uint8_t)n;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(strings[i]);

		if (!len)
			return -EINVAL;
		/* one more zero ends all of them */
		if (len + 2 + end > SMBIOS_SIZE - at)
			return -ENOSPC;
		memcpy(out + at, strings[i], len);
		at += len + 1;
	}
	at++;
	header(out + at, END_OF_TABLE, END_HEADER, 1);
	at += end;
	entry(out, (uint32_t)(at - TABLES));
	return (int)at;
}
