/* SPDX-License-Identifier: MIT */
/* reg-write.c - writing .reg files (reg-file.h) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "base/utf8.h"
#include "registry/reg-file.h"

static int put_name(FILE *f, const char *name)
{
	if (!utf8_valid(name, strlen(name)) || strpbrk(name, "\r\n"))
		return -EINVAL;
	fputs("\"ElementName\"=\"", f);
	for (; *name; name++) {
		if (*name == '"' || *name == '\\')
			fputc('\\', f);
		fputc(*name, f);
	}
	fputs("\"\r\n", f);
	return 0;
}

static int put_all(FILE *f, const struct reg_entry *v, size_t n)
{
	char id[GUID_TEXT_SIZE];
	int error = 0;

	fputs("Windows Registry Editor Version 5.00\r\n", f);
	for (size_t i = 0; i < n && !error; i++) {
		fprintf(f, "\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\"
			"Windows NT\\CurrentVersion\\Virtualization\\"
			"GuestCommunicationServices\\%s]\r\n",
			guid_format(&v[i].id, id));
		if (v[i].name)
			error = put_name(f, v[i].name);
	}
	return error;
}

/* Of valid UTF-8. @out has 2 bytes for each of @text, and 2. */
static size_t to_utf16(const char *text, size_t len, char *out)
{
	size_t n = 0;

	out[n++] = (char)0xff;
	out[n++] = (char)0xfe;
	for (size_t i = 0, seq; i < len; i += seq) {
		const unsigned char *p = (const unsigned char *)text + i;
		uint32_t c = p[0], low;

		seq = utf8_sequence(text + i, len - i);
		if (seq > 1)
			c &= 0x7fu >> seq;
		for (size_t k = 1; k < seq; k++)
			c = c << 6 | (p[k] & 0x3f);
		if (c >= 0x10000) {
			c -= 0x10000;
			low = 0xdc00 | (c & 0x3ff);
			c = 0xd800 | c >> 10;
			out[n++] = (char)c;
			out[n++] = (char)(c >> 8);
			c = low;
		}
		out[n++] = (char)c;
		out[n++] = (char)(c >> 8);
	}
	return n;
}

int reg_file_format(const struct reg_entry *v, size_t n, bool utf8, char **ret,
		    size_t *ret_len)
{
	cleanup_free_ char *text = NULL;
	size_t len = 0;
	char *wide;
	int error;
	bool bad;
	FILE *f;

	f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	error = put_all(f, v, n);
	bad = ferror(f);
	if (fclose(f) != 0 || bad)
		return -ENOMEM;
	if (error < 0)
		return error;
	if (utf8) {
		*ret = text;
		*ret_len = len;
		text = NULL;
		return 0;
	}
	wide = malloc(2 * len + 2);
	if (!wide)
		return -ENOMEM;
	*ret_len = to_utf16(text, len, wide);
	*ret = wide;
	return 0;
}
