/* SPDX-License-Identifier: MIT */
/* args.c - see args.h */
#include "hvctl/args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"

/* Words come from whoever typed them: never echo control characters. */
static int refuse(char *why, const char *word, const char *what)
{
	char shown[80];

	log_escape(word, strlen(word), shown, sizeof(shown));
	snprintf(why, ARGS_WHY, "%s: %s", shown, what);
	return -EINVAL;
}

static const struct opt *find_long(const struct opt *opts, const char *word,
				   size_t len)
{
	for (const struct opt *o = opts; o && o->name; o++)
		if (strlen(o->name) == len && !memcmp(o->name, word, len))
			return o;
	return NULL;
}

static const struct opt *find_letter(const struct opt *opts, char letter)
{
	for (const struct opt *o = opts; o && o->name; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static int add(struct args *a, const struct opt *o, const char *value,
	       const char *word, char *why)
{
	if (!o->many && args_has(a, o->name))
		return refuse(why, word, "given twice");
	if (a->nopt == ARGS_MAX)
		return refuse(why, word, "too many options");
	a->opt[a->nopt] = o;
	a->value[a->nopt++] = value;
	return 0;
}

/* "--name", "--name=value", "--name value". @i moves over what was taken. */
static int parse_long(struct args *a, const struct opt *opts, char **words,
		      size_t *i, char *why)
{
	const char *word = words[*i];
	const char *eq = strchr(word, '=');
	size_t len = eq ? (size_t)(eq - word) - 2 : strlen(word) - 2;
	const struct opt *o = find_long(opts, word + 2, len);

	if (!o)
		return refuse(why, word, "unknown option");
	if (!o->arg) {
		if (eq)
			return refuse(why, word, "takes no argument");
		return add(a, o, NULL, word, why);
	}
	if (eq)
		return add(a, o, eq + 1, word, why);
	if (!words[*i + 1])
		return refuse(why, word, "needs an argument");
	return add(a, o, words[++*i], word, why);
}

/* "-lv", "-t5", "-t 5" */
static int parse_letters(struct args *a, const struct opt *opts, char **words,
			 size_t *i, char *why)
{
	const char *word = words[*i];
	int r;

	for (const char *p = word + 1; *p; p++) {
		const struct opt *o = find_letter(opts, *p);

		if (!o)
			return refuse(why, word, "unknown option");
		if (!o->arg) {
			r = add(a, o, NULL, word, why);
			if (r)
				return r;
			continue;
		}
		if (p[1])
			return add(a, o, p + 1, word, why);
		if (!words[*i + 1])
			return refuse(why, word, "needs an argument");
		return add(a, o, words[++*i], word, why);
	}
	return 0;
}

int args_parse(const struct opt *opts, enum args_rest rest, char **words,
	       struct args *ret, char *why)
{
	struct args a = { .pos = words };
	int r = 0;

	for (size_t i = 0; words[i]; i++) {
		char *word = words[i];

		if (!strcmp(word, "--")) {
			if (rest == ARGS_REST_COMMAND ||
			    rest == ARGS_REST_MAYBE) {
				a.rest = words + i + 1;
				break;
			}
			while (words[++i])
				words[a.npos++] = words[i];
			break;
		}
		if (word[0] != '-' || !word[1]) {
			if (rest == ARGS_REST_VERBATIM && a.npos == 0) {
				words[a.npos++] = word;
				a.rest = words + i + 1;
				break;
			}
			words[a.npos++] = word;
		} else if (word[1] == '-') {
			r = parse_long(&a, opts, words, &i, why);
		} else {
			r = parse_letters(&a, opts, words, &i, why);
		}
		if (r)
			return r;
	}
	*ret = a;
	return 0;
}

bool args_has(const struct args *a, const char *name)
{
	for (size_t i = 0; i < a->nopt; i++)
		if (!strcmp(a->opt[i]->name, name))
			return true;
	return false;
}

const char *args_value(const struct args *a, const char *name)
{
	for (size_t i = 0; i < a->nopt; i++)
		if (!strcmp(a->opt[i]->name, name))
			return a->value[i];
	return NULL;
}

int text_u32(const char *s, uint32_t *ret)
{
	uint64_t v = 0;

	if (!*s || strlen(s) > 10)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	if (v > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

int text_seconds(const char *s, uint32_t *ret_ms)
{
	uint64_t ms = 0;
	uint64_t unit = 1000;
	size_t digits = 0;

	if (strlen(s) > 12)
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++, digits++)
		ms = ms * 10 + (uint64_t)(*s - '0') * 1000;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, digits++) {
			unit /= 10; /* what is finer than 1 ms adds nothing */
			ms += (uint64_t)(*s - '0') * unit;
		}
	if (*s || !digits || ms < 1 || ms > 86400 * 1000ULL)
		return -EINVAL;
	*ret_ms = (uint32_t)ms;
	return 0;
}

int text_bool(const char *s, bool *ret)
{
	static const char *const words[2][4] = {
		{ "no", "false", "off", "0" },
		{ "yes", "true", "on", "1" },
	};

	for (int v = 0; v < 2; v++)
		for (int i = 0; i < 4; i++)
			if (!strcasecmp(s, words[v][i])) {
				*ret = v;
				return 0;
			}
	return -EINVAL;
}
