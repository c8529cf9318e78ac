/* SPDX-License-Identifier: MIT */
/*
 * out.h - what hvctl prints: tables, fields, JSON, failures
 *
 * Text that came from the broker passes log_escape() before a terminal sees
 * it; columns are as wide as the terminal will draw them.
 */
#ifndef HVCTL_OUT_H
#define HVCTL_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#define DASH "\u2013" /* stands for what nobody knows */

struct table;

/** table_new() - @heads is NULL-ended; NULL where memory is out */
struct table *table_new(const char *const *heads);
struct table *table_free(struct table *t);

/** table_cell() - the next cell, row by row; NULL or "" shows a dash. Copies.
 * Running out of memory is remembered and told by table_print(). */
void table_cell(struct table *t, const char *text);
void table_cell_uint(struct table *t, uint64_t v);

/** table_print() - two spaces between columns, none at the end of lines.
 * Return: 0 or -ENOMEM */
int table_print(const struct table *t, FILE *f);

static inline void table_freep(struct table **t)
{
	table_free(*t);
}

/** text_columns() - how wide a terminal draws valid UTF-8 */
size_t text_columns(const char *s);

/** show() - @s escaped, in one of a few static buffers in turn: for printf */
const char *show(const char *s);

/* Members of a JSON object; "" , 0 and false where there is none. */
const char *json_text(const json_t *o, const char *key);
uint64_t json_number(const json_t *o, const char *key);
bool json_is(const json_t *o, const char *key);

/** print_json() - indented, keys in the broker's order */
void print_json(const json_t *o);

/** print_object() - "key  value" lines for people */
void print_object(json_t *o);

/** counts_text() - "no listener 3, connect denied 1" from an object of counts
 * (zeroes are left out), or a single number */
void counts_text(json_t *counts, char *out, size_t size);

#define cleanup_json_ cleanup_(json_decrefp) /* jansson's */
#define cleanup_table_ cleanup_(table_freep)

/** complain() - "hvctl: MESSAGE", one line on stderr. Return: 1 */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** usage() - the same for wrong words, with where to look. Return: 2 */
int usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* HVCTL_OUT_H */
