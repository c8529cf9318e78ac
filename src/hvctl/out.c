/* SPDX-License-Identifier: MIT */
/* out.c - see out.h */
#include "hvctl/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "base/cleanup.h"
#include "base/log.h"

#define TABLE_COLUMNS 12

struct table {
	size_t columns, cells, room;
	char **cell; /* the heads are the first row */
	bool no_memory;
};

struct table *table_free(struct table *t)
{
	if (t) {
		for (size_t i = 0; i < t->cells; i++)
			free(t->cell[i]);
		free(t->cell);
		free(t);
	}
	return NULL;
}

struct table *table_new(const char *const *heads)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	while (heads[t->columns] && t->columns < TABLE_COLUMNS)
		t->columns++;
	for (size_t i = 0; i < t->columns; i++)
		table_cell(t, heads[i]);
	return t;
}

void table_cell(struct table *t, const char *text)
{
	char shown[256];

	if (!text || !*text)
		text = DASH;
	log_escape(text, strlen(text), shown, sizeof(shown));
	if (t->cells == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		char **cell = reallocarray(t->cell, room, sizeof(*cell));

		if (!cell) {
			t->no_memory = true;
			return;
		}
		t->cell = cell;
		t->room = room;
	}
	t->cell[t->cells] = strdup(shown);
	if (!t->cell[t->cells]) {
		t->no_memory = true;
		return;
	}
	t->cells++;
}

void table_cell_uint(struct table *t, uint64_t v)
{
	char s[24];

	snprintf(s, sizeof(s), "%" PRIu64, v);
	table_cell(t, s);
}

int table_print(const struct table *t, FILE *f)
{
	size_t width[TABLE_COLUMNS] = { 0 };

	if (t->no_memory)
		return -ENOMEM;
	for (size_t i = 0; i < t->cells; i++) {
		size_t w = text_columns(t->cell[i]);

		if (w > width[i % t->columns])
			width[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->cells; i++) {
		size_t column = i % t->columns;
		size_t w = text_columns(t->cell[i]);

		fputs(t->cell[i], f);
		if (column + 1 == t->columns) {
			fputc('\n', f);
			continue;
		}
		fprintf(f, "%*s", (int)(width[column] - w) + 2, "");
	}
	return 0;
}

size_t text_columns(const char *s)
{
	mbstate_t state = { 0 };
	size_t left = strlen(s);
	size_t n = 0;

	while (left) {
		wchar_t wc;
		size_t len = mbrtowc(&wc, s, left, &state);
		int w;

		if (len == 0 || len > left) { /* not in this locale */
			memset(&state, 0, sizeof(state));
			len = 1;
			w = 1;
		} else {
			w = wcwidth(wc);
		}
		n += w > 0 ? (size_t)w : 0;
		s += len;
		left -= len;
	}
	return n;
}

const char *show(const char *s)
{
	static char buf[8][512];
	static unsigned int turn;
	char *out = buf[turn++ % 8];

	if (!s)
		s = "";
	return log_escape(s, strlen(s), out, sizeof(buf[0]));
}

const char *json_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

uint64_t json_number(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));

	return v < 0 ? 0 : (uint64_t)v;
}

bool json_is(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

void print_json(const json_t *o)
{
	size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY;
	char *text, *p;

	if (!isatty(STDOUT_FILENO)) {
		json_dumpf(o, stdout, flags);
		fputc('\n', stdout);
		return;
	}
	/* a terminal obeys more than what JSON has to escape */
	text = json_dumps(o, flags | JSON_ENSURE_ASCII);
	for (p = text; p && *p; p++) {
		if (*p == 0x7f)
			fputs("\\u007f", stdout);
		else
			fputc(*p, stdout);
	}
	free(text);
	fputc('\n', stdout);
}

static void __attribute__((format(printf, 1, 0)))
say(const char *fmt, va_list ap, const char *tail)
{
	char line[1536];

	vsnprintf(line, sizeof(line), fmt, ap);
	fflush(stdout);
	fprintf(stderr, "hvctl: %s%s\n", line, tail);
}

int complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap, "");
	va_end(ap);
	return 1;
}

int usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap, " (hvctl help tells more)");
	va_end(ap);
	return 2;
}

/* A member's value as a person reads it. */
static void print_value(const char *label, const json_t *v)
{
	char *text;

	if (json_is_string(v)) {
		printf("%-14s%s\n", label, show(json_string_value(v)));
	} else if (json_is_integer(v)) {
		printf("%-14s%" JSON_INTEGER_FORMAT "\n", label,
		       json_integer_value(v));
	} else if (json_is_boolean(v)) {
		printf("%-14s%s\n", label, json_is_true(v) ? "yes" : "no");
	} else if (!json_is_null(v)) {
		text = json_dumps(v, JSON_COMPACT);
		printf("%-14s%s\n", label, show(text));
		free(text);
	}
}

void print_object(json_t *o)
{
	for (void *it = json_object_iter(o); it;
	     it = json_object_iter_next(o, it)) {
		const char *key = json_object_iter_key(it);
		json_t *v = json_object_iter_value(it);
		char text[400];

		if (strcmp(key, "refused")) {
			print_value(show(key), v);
			continue;
		}
		counts_text(v, text, sizeof(text));
		printf("%-14s%s\n", key, text);
	}
}

void counts_text(json_t *counts, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	if (json_is_integer(counts)) {
		snprintf(out, size, "%" JSON_INTEGER_FORMAT,
			 json_integer_value(counts));
		return;
	}
	for (void *it = json_object_iter(counts); it;
	     it = json_object_iter_next(counts, it)) {
		json_int_t v = json_integer_value(json_object_iter_value(it));
		int k;

		if (!v)
			continue;
		k = snprintf(out + n, size - n, "%s%s %" JSON_INTEGER_FORMAT,
			     n ? ", " : "", show(json_object_iter_key(it)), v);
		if (k < 0 || (size_t)k >= size - n)
			return;
		n += (size_t)k;
	}
	if (!n)
		snprintf(out, size, "0");
}
