/* SPDX-License-Identifier: MIT */
/* base64.h - base64 with padding (RFC 4648 section 4) */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/** base64_encode() - Return: text for free(), or NULL where memory is out */
char *base64_encode(const void *data, size_t len);

/** base64_decode() - the whole of @text, @len characters
 * @ret:	for free(); zero-ended, which is not counted
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int base64_decode(const char *text, size_t len, char **ret, size_t *ret_len);

#endif /* BASE_BASE64_H */
