/* SPDX-License-Identifier: MIT */
/* guid.h - GUIDs: text forms, comparison, the VSOCK template */
#ifndef BASE_GUID_H
#define BASE_GUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <hvsocket.h>

#define GUID_TEXT_SIZE 37

/* Well-known values under names of our own, so that programs that do not link
 * the library have them; lib/constants.c exports the HV_GUID_* from these. */
extern const GUID guid_zero;
extern const GUID guid_broadcast;
extern const GUID guid_children;
extern const GUID guid_loopback;
extern const GUID guid_parent;
extern const GUID guid_silohost;
extern const GUID guid_vsock_template;

static inline bool guid_equal(const GUID *a, const GUID *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool guid_is_zero(const GUID *a)
{
	return guid_equal(a, &guid_zero);
}

/** guid_parse() - the whole of @text (or its first @len bytes) as a GUID;
 * any case, with or without braces. Return: 0 or -EINVAL, @ret untouched. */
int guid_parse(const char *text, GUID *ret);
int guid_parse_n(const char *text, size_t len, GUID *ret);

/** guid_format() - lower case, no braces; @text has GUID_TEXT_SIZE bytes.
 * Return: @text. */
char *guid_format(const GUID *g, char *text);

/** guid_random() - version 4. Return: 0 or -errno. */
int guid_random(GUID *ret);

/** guid_from_port() - the VSOCK template with @port in Data1 */
GUID guid_from_port(uint32_t port);

/** guid_is_port() - is @g in the VSOCK template? @ret (may be NULL): port */
bool guid_is_port(const GUID *g, uint32_t *ret);

/** guid_special() - a VmId's word ("parent"), or NULL. ZERO is "wildcard". */
const char *guid_special_name(const GUID *g);

/** guid_special_parse() - the GUID of such a word; false if it is none */
bool guid_special_parse(const char *word, GUID *ret);

#endif /* BASE_GUID_H */
