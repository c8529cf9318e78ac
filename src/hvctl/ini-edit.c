/* SPDX-License-Identifier: MIT */
/* ini-edit.c - see ini-edit.h */
#include "hvctl/ini-edit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/utf8.h"

/* Lengths without the blanks around. */
static const char *trim(const char *s, size_t *len)
{
	while (*len && (*s == ' ' || *s == '\t')) {
		s++;
		(*len)--;
	}
	while (*len && (s[*len - 1] == ' ' || s[*len - 1] == '\t' ||
			s[*len - 1] == '\r'))
		(*len)--;
	return s;
}

static bool is_header(const char *line, size_t len)
{
	line = trim(line, &len);
	return len && line[0] == '[';
}

static bool is_section(const char *line, size_t len, const char *section)
{
	line = trim(line, &len);
	return len == strlen(section) + 2 && line[0] == '[' &&
	       line[len - 1] == ']' &&
	       !strncmp(line + 1, section, len - 2);
}

static bool is_key(const char *line, size_t len, const char *key)
{
	const char *eq = memchr(line, '=', len);
	size_t n;

	if (!eq || line[0] == ' ' || line[0] == '\t')
		return false;
	n = (size_t)(eq - line);
	line = trim(line, &n);
	return n == strlen(key) && !strncasecmp(line, key, n);
}

static void edit(FILE *f, const char *text, const char *section,
		 const char *key, const char *value)
{
	bool inside = false, dropping = false, done = false;

	while (*text) {
		size_t len = strcspn(text, "\n");
		const char *next = text + len + (text[len] == '\n');
		bool header = is_header(text, len);
		bool goes_on = len && (*text == ' ' || *text == '\t');

		if (header)
			inside = is_section(text, len, section);
		dropping = (dropping && goes_on) ||
			   (inside && !header && is_key(text, len, key));
		if (!dropping)
			fprintf(f, "%.*s\n", (int)len, text);
		if (header && inside && !done) {
			fprintf(f, "%s=%s\n", key, value);
			done = true;
		}
		text = next;
	}
	if (!done)
		fprintf(f, "[%s]\n%s=%s\n", section, key, value);
}

int ini_edit(const char *text, const char *section, const char *key,
	     const char *value, char **ret)
{
	cleanup_free_ char *out = NULL;
	size_t size;
	FILE *f;

	if (!*value || !utf8_printable(value, strlen(value)))
		return -EINVAL;
	f = open_memstream(&out, &size);
	if (!f)
		return -ENOMEM;
	edit(f, text, section, key, value);
	if (fclose(f))
		return -ENOMEM;
	*ret = out;
	out = NULL;
	return 0;
}
