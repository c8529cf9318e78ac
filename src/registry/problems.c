/* SPDX-License-Identifier: MIT */
/* problems.c - what is wrong, and where (store.h) */
#include "registry/store.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

/* Without memory a problem goes unreported; the rest stands. */
void problem_add(struct problems *p, const char *file, unsigned int line,
		 const char *fmt, ...)
{
	struct registry_problem *v;
	struct registry_problem x = { .line = line };
	char shown[4 * NAME_MAX]; /* file names may be no text */
	va_list ap;

	v = realloc(p->v, (p->n + 1) * sizeof(*v));
	if (!v)
		return;
	p->v = v;
	va_start(ap, fmt);
	if (vasprintf(&x.reason, fmt, ap) < 0)
		x.reason = NULL;
	va_end(ap);
	x.file = strdup(log_escape(file, strlen(file), shown, sizeof(shown)));
	if (!x.file || !x.reason) {
		free(x.file);
		free(x.reason);
		return;
	}
	p->v[p->n++] = x;
}

void problems_clear(struct problems *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].file);
		free(p->v[i].reason);
	}
	free(p->v);
	*p = (struct problems){ 0 };
}

static int by_place(const void *a, const void *b)
{
	const struct registry_problem *x = a, *y = b;
	int r = strcmp(x->file, y->file);

	if (!r)
		r = x->line < y->line ? -1 : x->line > y->line;
	return r ? r : strcmp(x->reason, y->reason);
}

static size_t count(const struct registry *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_dirs; i++)
		n += r->dirs[i].problems.n;
	for (size_t k = 0; k < UNIT_KINDS; k++)
		for (size_t v = 0; v < 2; v++)
			for (const struct unit *u = r->units[k][v]; u;
			     u = u->hh.next)
				n += u->load.n + u->state.n;
	return n;
}

static void add_all(struct problems *to, const struct problems *from)
{
	for (size_t i = 0; i < from->n; i++)
		to->v[to->n++] = from->v[i];
}

void problems_collect(struct registry *r)
{
	size_t n = count(r);

	free(r->all.v);
	r->all = (struct problems){ 0 };
	if (n)
		r->all.v = calloc(n, sizeof(*r->all.v));
	if (!r->all.v)
		return;
	for (size_t i = 0; i < r->n_dirs; i++)
		add_all(&r->all, &r->dirs[i].problems);
	for (size_t k = 0; k < UNIT_KINDS; k++) {
		for (size_t v = 0; v < 2; v++) {
			for (const struct unit *u = r->units[k][v]; u;
			     u = u->hh.next) {
				add_all(&r->all, &u->load);
				add_all(&r->all, &u->state);
			}
		}
	}
	qsort(r->all.v, r->all.n, sizeof(*r->all.v), by_place);
}
