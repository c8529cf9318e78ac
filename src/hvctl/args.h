/* SPDX-License-Identifier: MIT */
/*
 * args.h - a verb's options and operands
 *
 * Pure: the verb's table of options and the words in, the values out, or one
 * sentence that names the word that is wrong. Options and operands may be
 * mixed; "--" ends the options. One table serves the parser, the help text,
 * and the test which compares it with the manual and the completion.
 */
#ifndef HVCTL_ARGS_H
#define HVCTL_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARGS_MAX 64 /* words that one option table or command line may hold */

struct opt {
	const char *name; /* without the dashes; NULL ends a table */
	char letter; /* or 0 */
	const char *arg; /* what its argument is called; NULL: it has none */
	const char *help;
	bool many; /* may be given more than once */
};

enum args_rest {
	ARGS_REST_NONE, /* "--" only ends the options */
	ARGS_REST_COMMAND, /* what follows "--" is a command: required */
	ARGS_REST_MAYBE, /* the same, and there may be none */
	ARGS_REST_VERBATIM, /* all that follows the first operand is not ours */
};

struct args {
	const struct opt *opt[ARGS_MAX]; /* options given, in order */
	const char *value[ARGS_MAX];
	size_t nopt;
	char **pos; /* operands: points into the words, reordered */
	size_t npos;
	char **rest; /* the command, NULL-ended, or NULL */
};

#define ARGS_WHY 200

/**
 * args_parse() - options and operands
 * @opts:	the table
 * @rest:	what happens to the words that are not for the verb
 * @words:	NULL-ended; reordered, so that operands come first
 * @ret:	points into @words and @opts
 * @why:	ARGS_WHY bytes: a sentence when the result is not 0
 *
 * Return: 0 or -EINVAL.
 */
int args_parse(const struct opt *opts, enum args_rest rest, char **words,
	       struct args *ret, char *why);

/** args_has() - was the option given? */
bool args_has(const struct args *a, const char *name);

/** args_value() - its argument, or NULL if it was not given */
const char *args_value(const struct args *a, const char *name);

/** text_u32() - the whole of @s as a decimal number. 0 or -EINVAL */
int text_u32(const char *s, uint32_t *ret);

/** text_seconds() - "1.5" as milliseconds, at least 1 and at most a day.
 * Return: 0 or -EINVAL */
int text_seconds(const char *s, uint32_t *ret_ms);

/** text_bool() - yes/no, true/false, on/off, 1/0. 0 or -EINVAL */
int text_bool(const char *s, bool *ret);

#endif /* HVCTL_ARGS_H */
