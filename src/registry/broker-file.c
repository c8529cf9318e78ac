/* SPDX-License-Identifier: MIT */
/* broker-file.c - see broker-file.h */
#include "registry/broker-file.h"

#include <string.h>

struct reader {
	struct broker_file f;
	unsigned int profile_line; /* 0: not yet */
	struct parse_error *e;
};

static int on_profile(struct reader *r, const char *value, unsigned int line)
{
	char q[QUOTE_SIZE];

	if (r->profile_line)
		return parse_fail(r->e, line,
				  "Profile= again: it is in line %u",
				  r->profile_line);
	if (profile_parse(value, strlen(value), &r->f.profile) < 0)
		return parse_fail(r->e, line,
				  "Profile=%s: there are default and windows",
				  quote(value, q));
	r->profile_line = line;
	r->f.has_profile = true;
	return 0;
}

static int on_line(void *arg, const char *section, const char *key,
		   const char *value, unsigned int line, bool more)
{
	struct reader *r = arg;
	char q[QUOTE_SIZE];

	if (strcmp(section, "Broker") != 0)
		return *section ? parse_fail(r->e, line, "unknown section %s",
					     quote(section, q)) :
				  parse_fail(r->e, line,
					     "%s stands before [Broker]",
					     quote(key, q));
	if (!key)
		return 0;
	if (strcmp(key, "Profile") != 0)
		return parse_fail(r->e, line, "unknown key %s in [Broker]",
				  quote(key, q));
	if (more)
		return parse_fail(r->e, line, "Profile= is one word");
	return on_profile(r, value, line);
}

int broker_file_parse(const char *text, size_t len, struct broker_file *ret,
		      struct parse_error *e)
{
	struct reader r = { .f = *ret, .e = e };
	int error = ini_parse_text(text, len, on_line, &r, e);

	if (error == 0)
		*ret = r.f;
	return error;
}
