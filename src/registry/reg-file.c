/* SPDX-License-Identifier: MIT */
/*
 * reg-file.c - reading .reg files (reg-file.h)
 *
 * The text becomes UTF-8 first. Then it is read by the character, not by the
 * line: regedit writes line ends within strings as they are, and binary values
 * over several lines.
 */
#include "registry/reg-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "base/utf8.h"

#define SERVICES_KEY                                                          \
	"HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion" \
	"\\Virtualization\\GuestCommunicationServices\\"

struct reg {
	const char *p, *end;
	unsigned int line;
	bool ansi; /* REGEDIT4: hex(1) is bytes, not UTF-16 */
	bool in_service;
	struct reg_service s;
	char *name;
	reg_service_fn fn;
	void *arg;
	struct parse_error *e;
};

/* ---- Text --------------------------------------------------------------- */

/* UTF-16LE to UTF-8. @out has room for 3/2 of @len. Return: its length, or
 * -EINVAL where a surrogate stands alone (@bad: at which byte) */
static ssize_t from_utf16(const unsigned char *p, size_t len, char *out,
			  size_t *bad)
{
	size_t n = 0;

	for (size_t i = 0; i + 1 < len; i += 2) {
		uint32_t c = p[i] | (uint32_t)p[i + 1] << 8, low;

		*bad = i;
		if (c >= 0xdc00 && c <= 0xdfff)
			return -EINVAL;
		if (c >= 0xd800 && c <= 0xdbff) {
			if (i + 3 >= len)
				return -EINVAL;
			low = p[i + 2] | (uint32_t)p[i + 3] << 8;
			if (low < 0xdc00 || low > 0xdfff)
				return -EINVAL;
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			i += 2;
		}
		n += utf8_put(c, out + n);
	}
	return (ssize_t)n;
}

static unsigned int count_lines(const unsigned char *p, size_t len)
{
	unsigned int n = 1;

	for (size_t i = 0; i + 1 < len; i += 2)
		n += p[i] == '\n' && !p[i + 1];
	return n;
}

/* The whole file as UTF-8 without a mark, at *@ret (the caller's). */
static int to_text(const unsigned char *data, size_t len, char **ret,
		   size_t *ret_len, struct parse_error *e)
{
	const unsigned char *zero;
	size_t bad = 0;
	ssize_t n;
	char *out;

	out = malloc(len / 2 * 3 + len % 2 + 1);
	if (!out)
		return -ENOMEM;
	*ret = out;
	if (len >= 2 && data[0] == 0xff && data[1] == 0xfe) {
		if (len % 2)
			return parse_fail(e, 0, "UTF-16 of an odd number of "
					  "bytes: cut short?");
		n = from_utf16(data + 2, len - 2, out, &bad);
		if (n < 0)
			return parse_fail(e, count_lines(data + 2, bad),
					  "half a UTF-16 surrogate pair");
		*ret_len = (size_t)n;
	} else if (len >= 2 && data[0] == 0xfe && data[1] == 0xff) {
		return parse_fail(e, 1, "big-endian UTF-16; regedit writes "
				  "little-endian");
	} else {
		if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
			data += 3;
			len -= 3;
		}
		memcpy(out, data, len);
		*ret_len = len;
	}
	zero = memchr(out, 0, *ret_len);
	if (zero) {
		unsigned int line = 1;

		for (const char *p = out; p < (const char *)zero; p++)
			line += *p == '\n';
		return parse_fail(e, line, "a zero byte (UTF-16 without its "
				  "byte order mark?)");
	}
	return 0;
}

/* ---- Scanning ----------------------------------------------------------- */

static bool at(const struct reg *r, char c)
{
	return r->p < r->end && *r->p == c;
}

static void skip_blanks(struct reg *r)
{
	while (at(r, ' ') || at(r, '\t'))
		r->p++;
}

static void skip_line(struct reg *r)
{
	const char *lf = memchr(r->p, '\n', (size_t)(r->end - r->p));

	r->p = lf ? lf + 1 : r->end;
	r->line++;
}

static bool line_ends(const struct reg *r)
{
	return r->p == r->end || *r->p == '\n' ||
	       (*r->p == '\r' && (r->p + 1 == r->end || r->p[1] == '\n'));
}

/* "text" with \" and \\; *@ret is the caller's. r->p is at the first quote.
 * Return: 0, -EINVAL without a closing quote, -ENOMEM */
static int string(struct reg *r, char **ret)
{
	const char *p = r->p + 1;
	unsigned int line = r->line;
	size_t n = 0;
	char *out;

	while (p < r->end && *p != '"')
		p += *p == '\\' && p + 1 < r->end ? 2 : 1;
	if (p >= r->end)
		return parse_fail(r->e, line, "a quote is not closed");
	out = malloc((size_t)(p - r->p));
	if (!out)
		return -ENOMEM;
	for (p = r->p + 1; *p != '"'; p++) {
		if (*p == '\\')
			p++;
		r->line += *p == '\n';
		out[n++] = *p;
	}
	out[n] = '\0';
	r->p = p + 1;
	*ret = out;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 48,00,76,00,\ and so on over lines. *@ret is the caller's. */
static int hex_bytes(struct reg *r, unsigned char **ret, size_t *ret_len)
{
	unsigned char *out = malloc((size_t)(r->end - r->p) / 2 + 1);
	size_t n = 0;

	if (!out)
		return -ENOMEM;
	*ret = out;
	for (;;) {
		skip_blanks(r);
		if (line_ends(r) || at(r, ';'))
			break;
		if (at(r, '\\')) {
			r->p++;
			skip_blanks(r);
			if (!line_ends(r))
				return parse_fail(r->e, r->line,
						  "text behind a \\");
			skip_line(r);
			continue;
		}
		if (at(r, ',')) {
			r->p++;
			continue;
		}
		if (r->end - r->p < 2 || hex_digit(r->p[0]) < 0 ||
		    hex_digit(r->p[1]) < 0)
			return parse_fail(r->e, r->line,
					  "not a list of bytes");
		out[n++] = (unsigned char)(hex_digit(r->p[0]) << 4 |
					   hex_digit(r->p[1]));
		r->p += 2;
	}
	*ret_len = n;
	return 0;
}

/* hex(1): a string as bytes, with a terminator or several. */
static int hex_string(struct reg *r, char **ret)
{
	cleanup_free_ unsigned char *bytes = NULL;
	unsigned int line = r->line;
	size_t len = 0, bad;
	ssize_t n;
	char *out;
	int error;

	error = hex_bytes(r, &bytes, &len);
	if (error < 0)
		return error;
	out = malloc(len / 2 * 3 + 2);
	if (!out)
		return -ENOMEM;
	if (r->ansi) {
		memcpy(out, bytes, len);
		n = (ssize_t)len;
	} else {
		n = len % 2 ? -EINVAL : from_utf16(bytes, len, out, &bad);
	}
	if (n < 0) {
		free(out);
		return parse_fail(r->e, line, "ElementName is not UTF-16");
	}
	while (n && !out[n - 1])
		n--;
	out[n] = '\0';
	if (strlen(out) != (size_t)n) {
		free(out);
		return parse_fail(r->e, line, "ElementName has a zero in it");
	}
	*ret = out;
	return 0;
}

/* ---- Keys and values ---------------------------------------------------- */

static int end_service(struct reg *r)
{
	int error = 0;

	if (r->in_service) {
		r->s.name = r->name;
		error = r->fn(&r->s, r->arg);
	}
	free(r->name);
	r->name = NULL;
	r->in_service = false;
	return error;
}

static int key(struct reg *r)
{
	const char *lf = memchr(r->p, '\n', (size_t)(r->end - r->p));
	const char *line_end = lf ? lf : r->end, *close = NULL;
	const char *p = r->p + 1;
	bool deleted = p < line_end && *p == '-';
	size_t prefix = strlen(SERVICES_KEY), len;
	GUID id;
	int error;

	error = end_service(r);
	if (error)
		return error;
	for (const char *q = p; q < line_end; q++)
		if (*q == ']')
			close = q;
	if (!close)
		return parse_fail(r->e, r->line, "a key without ]");
	p += deleted;
	len = (size_t)(close - p);
	r->p = close + 1;
	if (len <= prefix || strncasecmp(p, SERVICES_KEY, prefix) != 0)
		return 0;
	p += prefix;
	len -= prefix;
	if (memchr(p, '\\', len)) /* a key below a service's */
		return 0;
	if (guid_parse_n(p, len, &id) < 0) {
		char q[QUOTE_SIZE], text[64];

		len = len < sizeof(text) ? len : sizeof(text) - 1;
		memcpy(text, p, len);
		text[len] = '\0';
		return parse_fail(r->e, r->line, "the key %s is not a GUID",
				  quote(text, q));
	}
	r->s = (struct reg_service){
		.id = id, .line = r->line, .deleted = deleted,
		.braces = *p == '{',
	};
	r->in_service = true;
	return 0;
}

static int element_name(struct reg *r)
{
	unsigned int line = r->line;
	char *name = NULL;
	int error;

	if (at(r, '-')) {
		r->p++;
	} else if (at(r, '"')) {
		error = string(r, &name);
		if (error < 0)
			return error;
	} else if (r->end - r->p > 7 && strncasecmp(r->p, "hex(1):", 7) == 0) {
		r->p += 7;
		error = hex_string(r, &name);
		if (error < 0)
			return error;
	} else {
		return parse_fail(r->e, line, "ElementName is not a string");
	}
	if (name && !utf8_valid(name, strlen(name))) {
		free(name);
		return parse_fail(r->e, line, "ElementName is not UTF-8 (save "
				  "the file as Unicode)");
	}
	free(r->name);
	r->name = name;
	return 0;
}

/* What is of no interest, which may be over several lines. */
static int skip_value(struct reg *r)
{
	cleanup_free_ char *text = NULL;

	if (at(r, '"'))
		return string(r, &text);
	for (;;) {
		const char *lf = memchr(r->p, '\n', (size_t)(r->end - r->p));
		const char *end = lf ? lf : r->end;

		if (end > r->p && end[-1] == '\r')
			end--;
		if (end == r->p || end[-1] != '\\' || !lf) {
			r->p = end;
			return 0;
		}
		skip_line(r);
	}
}

static int value(struct reg *r)
{
	cleanup_free_ char *what = NULL;
	int error;

	if (at(r, '@')) {
		r->p++;
	} else {
		error = string(r, &what);
		if (error < 0)
			return error;
	}
	skip_blanks(r);
	if (!at(r, '='))
		return parse_fail(r->e, r->line, "no = behind a value's name");
	r->p++;
	skip_blanks(r);
	if (r->in_service && what && strcasecmp(what, "ElementName") == 0)
		return element_name(r);
	return skip_value(r);
}

static int one_line(struct reg *r)
{
	int error;

	skip_blanks(r);
	if (line_ends(r) || at(r, ';')) {
		skip_line(r);
		return 0;
	}
	if (at(r, '['))
		error = key(r);
	else if (at(r, '"') || at(r, '@'))
		error = value(r);
	else
		return parse_fail(r->e, r->line,
				  "neither a key, a value nor a comment");
	if (error)
		return error;
	skip_blanks(r);
	if (!line_ends(r) && !at(r, ';'))
		return parse_fail(r->e, r->line, "text behind the end");
	skip_line(r);
	return 0;
}

static int first_line(struct reg *r)
{
	static const char v5[] = "Windows Registry Editor Version 5.00";
	size_t n;

	while (r->p < r->end && line_ends(r))
		skip_line(r);
	for (n = 0; r->p + n < r->end && r->p[n] != '\n'; n++)
		;
	while (n && (r->p[n - 1] == '\r' || r->p[n - 1] == ' '))
		n--;
	if (n == strlen("REGEDIT4") && memcmp(r->p, "REGEDIT4", n) == 0)
		r->ansi = true;
	else if (n != strlen(v5) || memcmp(r->p, v5, n) != 0)
		return parse_fail(r->e, r->line,
				  "does not begin with \"%s\" or \"REGEDIT4\"",
				  v5);
	skip_line(r);
	return 0;
}

int reg_file_parse(const void *data, size_t len, reg_service_fn fn, void *arg,
		   struct parse_error *e)
{
	struct reg r = { .line = 1, .fn = fn, .arg = arg, .e = e };
	cleanup_free_ char *text = NULL;
	size_t text_len = 0;
	int error;

	if (len > REG_FILE_MAX)
		return parse_fail(e, 0, "larger than 16 MiB");
	error = to_text(data, len, &text, &text_len, e);
	if (error < 0)
		return error;
	r.p = text;
	r.end = text + text_len;
	error = first_line(&r);
	while (!error && r.p < r.end)
		error = one_line(&r);
	if (!error)
		error = end_service(&r);
	free(r.name);
	return error;
}
