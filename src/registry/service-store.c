/* SPDX-License-Identifier: MIT */
/*
 * service-store.c - service files on disk, for whoever edits them
 *
 * What is about to be written is formatted, parsed again and compared: a value
 * that would change the file's structure cannot get in.
 */
#include "registry/service-file.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "base/utf8.h"
#include "registry/write-file.h"

char *service_stem(const char *name, char *out)
{
	size_t n = 0;

	for (; *name && n < SERVICE_STEM_SIZE - 1; name++) {
		unsigned char c = (unsigned char)*name;

		if (c < 0x80 && (isalnum(c) || c == '_' || c == '.'))
			out[n++] = (char)tolower(c);
		else if (n && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n && (out[n - 1] == '-' || out[n - 1] == '.'))
		n--;
	out[n] = '\0';
	n = strspn(out, ".");
	memmove(out, out + n, strlen(out + n) + 1);
	if (!*out)
		strcpy(out, "service");
	return out;
}

char *service_name_clean(const char *name, char *out)
{
	struct parse_error e;
	size_t n = 0, seq;

	for (size_t left = strlen(name); left; name += seq, left -= seq) {
		seq = utf8_sequence(name, left);
		if (n + seq >= SERVICE_NAME_SIZE)
			break;
		if (seq && utf8_printable(name, seq) &&
		    !strchr(":/;\"", *name)) {
			memcpy(out + n, name, seq);
			n += seq;
			continue;
		}
		seq = seq ? seq : 1;
		if (n && out[n - 1] != ' ' && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n && (out[n - 1] == ' ' || out[n - 1] == '-'))
		n--;
	out[n] = '\0';
	n = strspn(out, " ");
	memmove(out, out + n, strlen(out + n) + 1);
	/* A number or a word: made a name by what it is called. */
	if (*out && name_check("", out, 0, &e) < 0) {
		char copy[SERVICE_NAME_SIZE];

		strcpy(copy, out);
		n = (size_t)snprintf(out, SERVICE_NAME_SIZE, "service %s",
				     copy);
		if (n >= SERVICE_NAME_SIZE)
			*out = '\0';
	}
	return out;
}

static int explain(char *why, size_t size, const char *dir, const char *stem,
		   const struct parse_error *e, int r)
{
	if (r != -EINVAL)
		snprintf(why, size, "%s/%s.conf: %s", dir, stem, strerror(-r));
	else if (e->line)
		snprintf(why, size, "%s/%s.conf:%u: %s", dir, stem, e->line,
			 e->reason);
	else
		snprintf(why, size, "%s/%s.conf: %s", dir, stem, e->reason);
	return r;
}

static bool stem_ok(const char *stem)
{
	return *stem && *stem != '.' && !strchr(stem, '/') &&
	       strlen(stem) <= NAME_MAX - 5;
}

int service_file_load(const char *dir, const char *stem,
		      struct service_text *ret, char *why, size_t size)
{
	cleanup_free_ char *text = NULL, *path = NULL;
	struct parse_error e = { 0 };
	const char *reason;
	uid_t owner;
	size_t len;
	int r;

	if (!stem_ok(stem)) {
		parse_fail(&e, 0, "not a file name");
		return explain(why, size, dir, stem, &e, -EINVAL);
	}
	if (asprintf(&path, "%s/%s.conf", dir, stem) < 0) {
		path = NULL;
		return explain(why, size, dir, stem, &e, -ENOMEM);
	}
	r = read_file(path, &text, &len, &owner, &reason);
	if (r == -EINVAL)
		parse_fail(&e, 0, "%s", reason);
	if (r == 0 && !len)
		r = parse_fail(&e, 0, "empty: it masks the service");
	if (r == 0)
		r = service_text_parse(text, len, false, ret, &e);
	return r < 0 ? explain(why, size, dir, stem, &e, r) : 0;
}

/* Does @text say exactly what @t says? */
static int read_back(const struct service_text *t, const char *text,
		     const char *stem, struct parse_error *e)
{
	struct service_text again;
	struct service s;
	int r;

	r = service_text_parse(text, strlen(text), true, &again, e);
	if (r < 0)
		return r;
	for (size_t k = 0; k < SERVICE_KEYS && r == 0; k++) {
		const char *a = t->value[k], *b = again.value[k];

		if (!a != !b || (a && strcmp(a, b) != 0))
			r = parse_fail(e, again.line[k],
				       "a value that a file cannot hold");
	}
	if (r == 0)
		r = service_build(&again, stem, &name_lookup_system, &s, e);
	if (r == 0)
		service_fini(&s);
	service_text_fini(&again);
	return r;
}

int service_file_save(const char *dir, const char *stem,
		      const struct service_text *t, bool overwrite, char *why,
		      size_t size)
{
	cleanup_free_ char *text = NULL, *name = NULL;
	struct parse_error e = { 0 };
	int r;

	if (!stem_ok(stem)) {
		parse_fail(&e, 0, "not a file name");
		return explain(why, size, dir, stem, &e, -EINVAL);
	}
	r = service_text_format(t, &text);
	if (r == 0)
		r = read_back(t, text, stem, &e);
	if (r == 0)
		r = make_directories(dir, 0755);
	if (r == 0 && asprintf(&name, "%s.conf", stem) < 0) {
		name = NULL;
		r = -ENOMEM;
	}
	if (r == 0)
		r = write_file(dir, name, text, strlen(text), 0644, overwrite);
	return r < 0 ? explain(why, size, dir, stem, &e, r) : 0;
}

int service_file_write(const char *dir, const char *stem,
		       const struct service_draft *d, bool overwrite,
		       char *why, size_t size)
{
	struct service_text t;
	struct service_draft with_id = *d;
	GUID id;
	int r = 0;

	if (!d->id && !d->port) {
		r = guid_random(&id);
		with_id.id = &id;
	}
	if (r == 0)
		r = service_text_draft(&with_id, &t);
	if (r < 0) {
		snprintf(why, size, "%s/%s.conf: %s", dir, stem,
			 r == -EINVAL ? "a control character, or not UTF-8" :
					strerror(-r));
		return r;
	}
	r = service_file_save(dir, stem, &t, overwrite, why, size);
	service_text_fini(&t);
	return r;
}
