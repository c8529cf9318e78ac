/* SPDX-License-Identifier: MIT */
/* domain-xml.c - see domain-xml.h */
#include "hvctl/domain-xml.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/guid.h"
#include "hvctl/args.h"

#define DEPTH_MAX 256
#define UUID_MAX 48

enum where { ELSEWHERE, IN_NAME, IN_UUID };

struct reader {
	XML_Parser parser;
	struct domain d;
	char *why;
	int error;
	unsigned int depth;
	unsigned int match; /* of the path below, how deep we are in it */
	enum where where;
	char uuid[UUID_MAX + 1];
	size_t name_len, uuid_len;
	bool has_name, has_uuid, whole;
};

/* domain/devices/vsock/cid */
static const char *const path[] = { "domain", "devices", "vsock", "cid" };

static void fail(struct reader *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void fail(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	if (r->error)
		return;
	r->error = -EINVAL;
	va_start(ap, fmt);
	vsnprintf(r->why, DOMAIN_WHY, fmt, ap);
	va_end(ap);
	XML_StopParser(r->parser, XML_FALSE);
}

static const char *attribute(const char **atts, const char *name)
{
	for (; *atts; atts += 2)
		if (strcmp(atts[0], name) == 0)
			return atts[1];
	return NULL;
}

static void begin_cid(struct reader *r, const char **atts)
{
	const char *address = attribute(atts, "address");
	uint32_t cid;

	if (!address)
		return; /* to be chosen when it starts */
	if (text_u32(address, &cid) || cid < 3 || cid == UINT32_MAX)
		fail(r, "the CID in it is no guest's");
	else if (r->d.cid)
		fail(r, "it has two CIDs");
	else
		r->d.cid = cid;
}

static void begin_child(struct reader *r, const char *name)
{
	if (strcmp(name, "name") == 0) {
		if (r->has_name)
			fail(r, "it has two names");
		r->has_name = true;
		r->where = IN_NAME;
	} else if (strcmp(name, "uuid") == 0) {
		if (r->has_uuid)
			fail(r, "it has two UUIDs");
		r->has_uuid = true;
		r->where = IN_UUID;
	}
}

static void on_start(void *arg, const char *name, const char **atts)
{
	struct reader *r = arg;
	bool on_path = r->match == r->depth;

	/* some more may come after it was told to stop */
	if (r->error || r->whole)
		return;
	if (r->depth == DEPTH_MAX) {
		fail(r, "it is nested too deep");
		return;
	}
	if (r->where != ELSEWHERE) {
		fail(r, "there are elements in its name or UUID");
		return;
	}
	if (!r->depth && strcmp(name, path[0]) != 0) {
		fail(r, "it is no domain");
		return;
	}
	if (!r->depth)
		r->d.active = attribute(atts, "id");
	if (r->depth == 1)
		begin_child(r, name);
	if (on_path && r->depth < 4 && strcmp(name, path[r->depth]) == 0) {
		r->match++;
		if (r->match == 3)
			r->d.has_vsock = true;
		else if (r->match == 4)
			begin_cid(r, atts);
	}
	r->depth++;
}

static void on_end(void *arg, const char *name)
{
	struct reader *r = arg;

	(void)name;
	if (r->error || r->whole)
		return;
	r->depth--;
	if (r->match > r->depth)
		r->match = r->depth;
	r->where = ELSEWHERE;
	if (!r->depth && !r->error) {
		r->whole = true;
		XML_StopParser(r->parser, XML_FALSE);
	}
}

static void append(struct reader *r, char *to, size_t *at, size_t max,
		   const char *s, size_t n, const char *what)
{
	if (n > max - *at) {
		fail(r, "its %s is too long", what);
		return;
	}
	memcpy(to + *at, s, n);
	*at += n;
	to[*at] = '\0';
}

static void on_text(void *arg, const char *s, int n)
{
	struct reader *r = arg;

	if (r->error || r->whole)
		return;
	if (r->where == IN_NAME)
		append(r, r->d.name, &r->name_len, DOMAIN_NAME_MAX, s,
		       (size_t)n, "name");
	else if (r->where == IN_UUID)
		append(r, r->uuid, &r->uuid_len, UUID_MAX, s, (size_t)n,
		       "UUID");
}

static void on_doctype(void *arg, const char *name, const char *sys,
		       const char *pub, int internal)
{
	(void)name;
	(void)sys;
	(void)pub;
	(void)internal;
	fail(arg, "it has a document type");
}

static void finish(struct reader *r)
{
	if (!r->has_name || !r->name_len)
		fail(r, "it has no name");
	else if (guid_parse(r->uuid, &r->d.uuid) < 0 ||
		 guid_is_zero(&r->d.uuid))
		fail(r, "it has no UUID");
}

int domain_xml_parse(const char *text, size_t len, struct domain *ret,
		     size_t *ret_used, char *why)
{
	struct reader r = { .why = why };
	enum XML_Status status;

	if (len > INT_MAX) {
		snprintf(why, DOMAIN_WHY, "it is too long");
		return -EINVAL;
	}
	r.parser = XML_ParserCreate("UTF-8");
	if (!r.parser) {
		snprintf(why, DOMAIN_WHY, "no memory");
		return -ENOMEM;
	}
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	status = XML_Parse(r.parser, text, (int)len, XML_TRUE);
	if (r.whole) {
		*ret_used = (size_t)XML_GetCurrentByteIndex(r.parser) +
			    (size_t)XML_GetCurrentByteCount(r.parser);
		finish(&r);
	} else if (status != XML_STATUS_OK) {
		fail(&r, "line %lu: %s", XML_GetCurrentLineNumber(r.parser),
		     XML_ErrorString(XML_GetErrorCode(r.parser)));
	} else {
		fail(&r, "it is empty");
	}
	XML_ParserFree(r.parser);
	if (!r.error)
		*ret = r.d;
	return r.error;
}
