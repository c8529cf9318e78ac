/* SPDX-License-Identifier: MIT */
/* utf8.h - is this text? */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** utf8_sequence() - length in bytes of the well-formed sequence (RFC 3629)
 * at @s, of which @len > 0 bytes are there; 0 if it is none */
size_t utf8_sequence(const char *s, size_t len);

/** utf8_valid() - all of @s well formed? */
bool utf8_valid(const char *s, size_t len);

/** utf8_printable() - well formed and without control characters (C0, DEL,
 * C1)? What may stand in a name. */
bool utf8_printable(const char *s, size_t len);

/** utf8_put() - @c, up to 0x10ffff and no surrogate, as UTF-8. @out has room
 * for 4 bytes. Return: how many it took */
size_t utf8_put(uint32_t c, char *out);

#endif /* BASE_UTF8_H */
