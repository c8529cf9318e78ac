/* SPDX-License-Identifier: MIT */
/*
 * ini.c - lines of a registry file (parse.h)
 *
 * libinih splits the lines; what it leaves open is settled here, by the reader
 * that hands it each line: it truncates long sections, takes ':' for '=',
 * reads bytes of any encoding, cuts lines at its buffer's end, and knows no
 * line numbers in its handler. The reader passes on only lines that libinih
 * understands in one way.
 */
#include "registry/parse.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"

struct ini {
	const char *p, *end;
	unsigned int line;
	bool more, may_go_on; /* this line goes on; the next one may */
	int error;
	ini_fn fn;
	void *arg;
	struct parse_error *e;
	char section[INI_LINE + 1];
};

int parse_fail(struct parse_error *e, unsigned int line, const char *fmt, ...)
{
	va_list ap;

	e->line = line;
	va_start(ap, fmt);
	vsnprintf(e->reason, sizeof(e->reason), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

char *quote(const char *text, char *out)
{
	out[0] = '"';
	log_escape(text, strlen(text), out + 1, QUOTE_SIZE - 2);
	strcat(out, "\"");
	return out;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static int check_bytes(struct ini *s, const char *p, size_t len)
{
	for (size_t i = 0, n; i < len; i += n) {
		unsigned char c = (unsigned char)p[i];

		if (!c)
			return parse_fail(s->e, s->line,
					  "a zero byte (is the file UTF-16? "
					  "save it as UTF-8)");
		n = utf8_sequence(p + i, len - i);
		if (!n)
			return parse_fail(s->e, s->line,
					  "byte 0x%02x is not UTF-8", c);
		if (n == 2 && c == 0xc2 && (unsigned char)p[i + 1] < 0xa0)
			c = (unsigned char)p[i + 1];
		else if ((c >= 0x20 && c != 0x7f) || c == '\t')
			continue;
		return parse_fail(s->e, s->line, "control character 0x%02x", c);
	}
	return 0;
}

/* What is left of a line without its comment and the blanks behind. */
static size_t strip(const char *p, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if (p[i] == ';' && blank(p[i - 1]))
			len = i;
	while (len && blank(p[len - 1]))
		len--;
	return len;
}

static int header(struct ini *s, const char *p, size_t len)
{
	if (p[len - 1] != ']')
		return parse_fail(s->e, s->line,
				  "the section header does not end in ]");
	p++;
	len -= 2;
	if (!len)
		return parse_fail(s->e, s->line, "a section without a name");
	if (memchr(p, '[', len) || memchr(p, ']', len))
		return parse_fail(s->e, s->line, "a bracket in a section name");
	memcpy(s->section, p, len);
	s->section[len] = '\0';
	return s->fn(s->arg, s->section, NULL, NULL, s->line, false);
}

static int key_line(struct ini *s, const char *p, size_t len)
{
	const char *equals = memchr(p, '=', len);
	const char *colon = memchr(p, ':', len);

	if (!equals && !colon)
		return parse_fail(s->e, s->line,
				  "neither [Section], KEY=VALUE nor a comment");
	if (!equals || (colon && colon < equals))
		return parse_fail(s->e, s->line,
				  "key and value are separated by =, not by :");
	if (equals == p)
		return parse_fail(s->e, s->line, "no key in front of =");
	return 0;
}

/* Judges one line; *@len becomes what libinih gets to see of it. */
static int look_at(struct ini *s, const char *p, size_t *len)
{
	size_t n, skip = 0;
	int r;

	if (*len > INI_LINE)
		return parse_fail(s->e, s->line,
				  "the line has more than %d bytes (a list may "
				  "go on in a line that begins with a blank)",
				  INI_LINE);
	r = check_bytes(s, p, *len);
	if (r < 0)
		return r;
	n = strip(p, *len);
	while (skip < n && blank(p[skip]))
		skip++;
	*len = 0;
	s->more = false;
	if (n == skip || p[skip] == '#' || p[skip] == ';')
		return 0;
	if (skip) {
		if (!s->may_go_on)
			return parse_fail(s->e, s->line,
					  "begins with a blank, but there is "
					  "no value before to go on with");
		s->more = true;
		*len = n;
		return 0;
	}
	s->may_go_on = p[0] != '[';
	if (p[0] == '[')
		r = header(s, p, n);
	else
		r = key_line(s, p, n);
	*len = n;
	return r;
}

/* fgets() for libinih; NULL ends its work. */
static char *next_line(char *out, int size, void *arg)
{
	struct ini *s = arg;
	const char *p = s->p, *lf;
	size_t len;

	if (s->error || p == s->end)
		return NULL;
	lf = memchr(p, '\n', (size_t)(s->end - p));
	len = (size_t)((lf ? lf : s->end) - p);
	s->p = lf ? lf + 1 : s->end;
	s->line++;
	if (len && p[len - 1] == '\r')
		len--;
	s->error = look_at(s, p, &len);
	if (!s->error && len + 2 > (size_t)size)
		s->error = parse_fail(s->e, s->line,
				      "the line is too long for this libinih");
	if (s->error)
		return NULL;
	memcpy(out, p, len);
	out[len] = '\n';
	out[len + 1] = '\0';
	return out;
}

static int on_key(void *arg, const char *section, const char *key,
		  const char *value)
{
	struct ini *s = arg;

	(void)section; /* cut at libinih's limit */
	if (s->error)
		return 0;
	if (!*value)
		s->error = parse_fail(s->e, s->line, "%.50s= has no value",
				      key);
	else
		s->error = s->fn(s->arg, s->section, key, value, s->line,
				 s->more);
	return !s->error;
}

int ini_parse_text(const char *text, size_t len, ini_fn fn, void *arg,
		   struct parse_error *e)
{
	struct ini s = {
		.p = text, .end = text + len, .fn = fn, .arg = arg, .e = e
	};
	int r;

	if (len > REGISTRY_FILE_MAX)
		return parse_fail(e, 0, "larger than 64 KiB");
	if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 ||
			 memcmp(text, "\xfe\xff", 2) == 0))
		return parse_fail(e, 1, "UTF-16; save it as UTF-8");
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		s.p += 3;
	r = ini_parse_stream(next_line, &s, on_key, &s);
	if (s.error)
		return s.error;
	if (r < 0)
		return -ENOMEM;
	if (r > 0)
		return parse_fail(e, (unsigned int)r,
				  "libinih does not take this line");
	return 0;
}
