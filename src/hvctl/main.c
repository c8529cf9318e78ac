/* SPDX-License-Identifier: MIT */
/*
 * main.c - hvctl: the command
 *
 * Words to a verb of the table, its options checked against the verb's own
 * table, then the verb's function. Exit codes: 0; 1, it failed (or "no"), one
 * line on stderr says why; 2, the words were wrong. "as", "attach" end as
 * what they start.
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hvctl/out.h"
#include "hvctl/verbs.h"

static bool wants_help(const struct verb *v, char **words)
{
	for (; *words && strcmp(*words, "--"); words++) {
		if (!strcmp(*words, "--help") || !strcmp(*words, "-h"))
			return true;
		if (v->rest == ARGS_REST_VERBATIM && **words != '-')
			return false;
	}
	return false;
}

static int wrong_verb(char **words)
{
	bool group = false;

	for (const struct verb *v = verbs; v->name; v++)
		if (v->group && !strcmp(v->group, words[0]))
			group = true;
	if (!strcmp(words[0], "vm") || !strcmp(words[0], "container"))
		group = true;
	if (!group)
		return usage("%s: unknown verb", show(words[0]));
	if (!words[1])
		return usage("%s: a verb is missing after it", show(words[0]));
	return usage("%s %s: unknown verb", show(words[0]), show(words[1]));
}

static int run(const struct verb *v, const char *typed, char **words)
{
	char why[ARGS_WHY];
	struct args a;
	struct ctl c;
	int r;

	if (args_parse(v->opts, v->rest, words, &a, why))
		return usage("%s: %s", typed, why);
	if (a.npos < v->min)
		return usage("%s: too few words: %s %s", typed, typed,
			     v->synopsis);
	if (a.npos > v->max)
		return usage("%s: one word too many: %s", typed,
			     show(a.pos[v->max]));
	if (v->rest == ARGS_REST_COMMAND && (!a.rest || !a.rest[0]))
		return usage("%s: a command is missing after --", typed);
	ctl_init(&c);
	c.verb = typed;
	r = v->fn(&c, &a);
	ctl_fini(&c);
	return r;
}

int main(int argc, char **argv)
{
	const struct verb *v;
	char help[] = "help", version[] = "version";
	char typed[64];
	size_t n = 0;
	int r;

	/* Widths of characters, nothing else, follow a locale. */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		setlocale(LC_CTYPE, "");
	/* A reader that left and a file's limit are errors like others. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (argc < 2)
		return usage("a verb is missing");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		argv[1] = help;
	if (!strcmp(argv[1], "--version"))
		argv[1] = version;
	v = verb_find(argv + 1, &n);
	if (!v)
		return wrong_verb(argv + 1);
	snprintf(typed, sizeof(typed), "%s%s%s", argv[1], n > 1 ? " " : "",
		 n > 1 ? argv[2] : "");
	if (wants_help(v, argv + 1 + n)) {
		help_verb(v, argv[1]);
		r = 0;
	} else {
		r = run(v, typed, argv + 1 + n);
	}
	/* A full disk or a closed pipe is a failure of what was asked for. */
	if (fflush(stdout) || ferror(stdout)) {
		if (errno == EPIPE)
			return r ? r : 1;
		return complain("%s: standard output: %s", typed, strerror(errno));
	}
	return r;
}
