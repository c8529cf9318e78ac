/* SPDX-License-Identifier: MIT */
/* b64.h - base64url (RFC 4648 section 5) without padding */
#ifndef BASE_B64_H
#define BASE_B64_H

#include <stddef.h>
#include <stdint.h>

#define B64_SIZE(n) (((n) * 4 + 2) / 3 + 1) /* with the terminator */

/** b64_encode() - @text has B64_SIZE(@len) bytes. Return: characters written */
size_t b64_encode(const uint8_t *data, size_t len, char *text);

/** b64_decode() - exactly @want bytes from the whole of @text (@len characters;
 * one spelling only: unused bits are zero). Return: 0 or -EINVAL. */
int b64_decode(const char *text, size_t len, uint8_t *data, size_t want);

#endif /* BASE_B64_H */
