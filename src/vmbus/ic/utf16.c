/* SPDX-License-Identifier: MIT */
/* utf16.c - see services.h */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "vmbus/ic/services.h"

/* One character. Return: its bytes; 0: it is none. */
static size_t decode(const char *s, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const uint8_t *p = (const uint8_t *)s;
	size_t n = p[0] < 0x80 ? 1
		   : p[0] >= 0xf0 ? 4
		   : p[0] >= 0xe0 ? 3
				  : 2;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	if ((p[0] >= 0x80 && p[0] < 0xc0) || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret = c;
	return n;
}

int utf16_put(uint8_t *p, size_t units, const char *text)
{
	size_t n = 0, k;
	uint32_t c;

	memset(p, 0, 2 * units);
	for (; *text; text += k) {
		k = decode(text, &c);
		if (!k)
			return -EILSEQ;
		if (n + (c > 0xffff) + 2 > units)
			return -ENAMETOOLONG;
		if (c > 0xffff) {
			c -= 0x10000;
			le16_put(p + 2 * n++, (uint16_t)(0xd800 | c >> 10));
			c = 0xdc00 | (c & 0x3ff);
		}
		le16_put(p + 2 * n++, (uint16_t)c);
	}
	return 0;
}

int utf16_get(const uint8_t *p, size_t bytes, char *out, size_t size)
{
	size_t n = bytes / 2, len = 0;
	char one[4];

	if (bytes % 2)
		return -EILSEQ;
	if (n && !le16_get(p + 2 * (n - 1)))
		n--;
	for (size_t i = 0; i < n; i++) {
		uint32_t c = le16_get(p + 2 * i), low;
		size_t k;

		if (!c || (c >= 0xdc00 && c < 0xe000))
			return -EILSEQ;
		if (c >= 0xd800 && c < 0xdc00) {
			low = ++i < n ? le16_get(p + 2 * i) : 0;
			if (low < 0xdc00 || low >= 0xe000)
				return -EILSEQ;
			c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
		}
		k = utf8_put(c, one);
		if (len + k >= size)
			return -EMSGSIZE;
		memcpy(out + len, one, k);
		len += k;
	}
	if (!size)
		return -EMSGSIZE;
	out[len] = '\0';
	return (int)len;
}
