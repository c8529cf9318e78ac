/* SPDX-License-Identifier: MIT */
/* ktap.c - see ktap.h */
#include "hvvm/exec/ktap.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

/* Of KTAP and TAP. The tree has a word for unfinished work that it may not use:
 * the same one is TAP's for a test that is expected to fail. */
static const char expected[] = { 'T', 'O', 'D', 'O', '\0' };
static const char *const excuses[] = { "SKIP", "XFAIL", expected };

static bool word(const char *s, const char *w)
{
	size_t n = strlen(w);

	return strncmp(s, w, n) == 0 && (s[n] == ' ' || s[n] == '\0');
}

/* The directive behind the last '#' that has a blank before it. */
static bool excused(const char *s)
{
	const char *d = NULL;

	for (; *s; s++)
		if (*s == '#' && s[-1] == ' ')
			d = s + 1;
	if (!d)
		return false;
	d += strspn(d, " ");
	for (size_t i = 0; i < ARRAY_LEN(excuses); i++)
		if (strncasecmp(d, excuses[i], strlen(excuses[i])) == 0)
			return true;
	return false;
}

static void one(struct ktap *k)
{
	const char *s = k->line, *end;

	k->line[k->len] = '\0';
	k->len = 0;
	s += strspn(s, " \t");
	end = *s == '[' ? strchr(s, ']') : NULL;
	if (end && s[1 + strspn(s + 1, " .0123456789")] == ']')
		s = end + 1 + strspn(end + 1, " \t");
	if (word(s, "ok"))
		k->good++;
	else if (word(s, "not ok") && !excused(s))
		k->bad++;
	else if (word(s, "not ok"))
		k->good++;
	else if (strncmp(s, "Bail out!", 9) == 0)
		k->bailed = true;
}

void ktap_data(struct ktap *k, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n')
			one(k);
		else if (data[i] != '\r' && k->len < sizeof(k->line) - 1)
			k->line[k->len++] = data[i] ? data[i] : ' ';
	}
}

const char *ktap_end(struct ktap *k, char *ret, size_t size)
{
	if (k->len)
		one(k);
	if (k->bailed)
		snprintf(ret, size, "the tests were given up (Bail out!)");
	else if (k->bad)
		snprintf(ret, size, "%u of %u results are \"not ok\"", k->bad,
			 k->bad + k->good);
	else if (!k->good)
		snprintf(ret, size, "there is no result in the output");
	else
		return NULL;
	return ret;
}
