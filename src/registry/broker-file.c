/* SPDX-License-Identifier: MIT */
/* broker-file.c - see broker-file.h */
#include "registry/broker-file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct reader {
	struct broker_file f;
	unsigned int profile_line, uplink_line; /* 0: not yet */
	struct parse_error *e;
};

int uplink_place_parse(const char *text, struct uplink_place *ret)
{
	struct uplink_place p = { .kind = UPLINK_NONE };

	if (strcmp(text, "vsock") == 0) {
		p.kind = UPLINK_VSOCK;
	} else if (strncmp(text, "unix:/", 6) == 0) {
		p.kind = UPLINK_UNIX;
		if (strlen(text + 5) > UPLINK_PATH_MAX)
			return -EINVAL;
		strcpy(p.path, text + 5);
	} else if (strcmp(text, "none") != 0) {
		return -EINVAL;
	}
	*ret = p;
	return 0;
}

const char *uplink_place_text(const struct uplink_place *p, char *ret)
{
	if (p->kind == UPLINK_UNIX)
		snprintf(ret, UPLINK_PATH_MAX + 6, "unix:%s", p->path);
	else
		strcpy(ret, p->kind == UPLINK_VSOCK ? "vsock" : "none");
	return ret;
}

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

static int on_uplink(struct reader *r, const char *value, unsigned int line)
{
	char q[QUOTE_SIZE];

	if (r->uplink_line)
		return parse_fail(r->e, line,
				  "Uplink= again: it is in line %u",
				  r->uplink_line);
	if (uplink_place_parse(value, &r->f.uplink) < 0)
		return parse_fail(r->e, line,
				  "Uplink=%s: none, vsock, or unix:/PATH of at most %d bytes",
				  quote(value, q), UPLINK_PATH_MAX);
	r->uplink_line = line;
	r->f.has_uplink = true;
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
	if (strcmp(key, "Profile") != 0 && strcmp(key, "Uplink") != 0)
		return parse_fail(r->e, line, "unknown key %s in [Broker]",
				  quote(key, q));
	if (more)
		return parse_fail(r->e, line, "%s= is one word", key);
	return key[0] == 'P' ? on_profile(r, value, line) :
			       on_uplink(r, value, line);
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
