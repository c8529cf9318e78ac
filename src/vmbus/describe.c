/* SPDX-License-Identifier: MIT */
/*
 * describe.c - control messages as text, for traces
 *
 * A table of fields per message; those that lie beyond the end of a short
 * message are left out, and that it is short is said.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "vmbus/message.h"

enum form { END, U8, U16, U32, HEX, ID, VERSION, PAGES };

struct field {
	const char *name;
	uint8_t at, form;
};

static const struct field offer[] = {
	{ "type", 8, ID },	     { "instance", 24, ID },
	{ "flags", 56, U16 },	     { "accept", 64, U8 },
	{ "sub-channel", 180, U16 }, { "relid", 184, U32 },
	{ "connection", 192, HEX },  { NULL, 0, END },
};
static const struct field relid[] = { { "relid", 8, U32 }, { NULL, 0, END } };
static const struct field open_channel[] = {
	{ "relid", 8, U32 }, { "open-id", 12, U32 },	{ "gpadl", 16, HEX },
	{ "vp", 20, U32 },   { "downstream", 24, U32 }, { NULL, 0, END },
};
static const struct field open_result[] = {
	{ "relid", 8, U32 },
	{ "open-id", 12, U32 },
	{ "status", 16, HEX },
	{ NULL, 0, END },
};
static const struct field gpadl_header[] = {
	{ "relid", 8, U32 },	 { "gpadl", 12, HEX },	{ "bytes", 16, U16 },
	{ "ranges", 18, U16 },	 { "length", 20, U32 }, { "offset", 24, U32 },
	{ "frames", 28, PAGES }, { NULL, 0, END },
};
static const struct field gpadl_body[] = {
	{ "number", 8, U32 },
	{ "gpadl", 12, HEX },
	{ "frames", 16, PAGES },
	{ NULL, 0, END },
};
static const struct field gpadl_created[] = {
	{ "relid", 8, U32 },
	{ "gpadl", 12, HEX },
	{ "status", 16, HEX },
	{ NULL, 0, END },
};
static const struct field teardown[] = {
	{ "relid", 8, U32 },
	{ "gpadl", 12, HEX },
	{ NULL, 0, END },
};
static const struct field torndown[] = { { "gpadl", 8, HEX },
					 { NULL, 0, END } };
static const struct field initiate[] = {
	{ "version", 8, VERSION }, { "vp", 12, U32 }, { "sint", 16, U8 },
	{ "vtl", 17, U8 },	   { NULL, 0, END },
};
static const struct field version[] = {
	{ "supported", 8, U8 },
	{ "state", 9, U8 },
	{ "connection", 12, HEX },
	{ NULL, 0, END },
};
static const struct field tl_request[] = {
	{ "endpoint", 8, ID },
	{ "service", 24, ID },
	{ "silo", 40, ID },
	{ NULL, 0, END },
};
static const struct field tl_result[] = {
	{ "endpoint", 8, ID },
	{ "service", 24, ID },
	{ "status", 40, HEX },
	{ NULL, 0, END },
};
static const struct field modify[] = {
	{ "relid", 8, U32 },
	{ "vp", 12, U32 },
	{ NULL, 0, END },
};
static const struct field modified[] = {
	{ "relid", 8, U32 },
	{ "status", 12, HEX },
	{ NULL, 0, END },
};

static const struct {
	const struct field *fields;
	uint8_t size; /* bytes that a whole one has */
} forms[] = {
	[MSG_OFFER_CHANNEL] = { offer, 196 },
	[MSG_RESCIND_CHANNEL_OFFER] = { relid, 12 },
	[MSG_OPEN_CHANNEL] = { open_channel, 148 },
	[MSG_OPEN_CHANNEL_RESULT] = { open_result, 20 },
	[MSG_CLOSE_CHANNEL] = { relid, 12 },
	[MSG_GPADL_HEADER] = { gpadl_header, 28 },
	[MSG_GPADL_BODY] = { gpadl_body, 16 },
	[MSG_GPADL_CREATED] = { gpadl_created, 20 },
	[MSG_GPADL_TEARDOWN] = { teardown, 16 },
	[MSG_GPADL_TORNDOWN] = { torndown, 12 },
	[MSG_RELID_RELEASED] = { relid, 12 },
	[MSG_INITIATE_CONTACT] = { initiate, 40 },
	[MSG_VERSION_RESPONSE] = { version, 16 },
	[MSG_TL_CONNECT_REQUEST] = { tl_request, 40 },
	[MSG_TL_CONNECT_RESULT] = { tl_result, 44 },
	[MSG_MODIFY_CHANNEL] = { modify, 16 },
	[MSG_MODIFY_CHANNEL_RESPONSE] = { modified, 16 },
};

/* Return: it was there. */
static bool put_field(FILE *f, const struct field *field, const uint8_t *m,
		      size_t len)
{
	static const uint8_t bytes[] = {
		[U8] = 1,  [U16] = 2,	  [U32] = 4,  [HEX] = 4,
		[ID] = 16, [VERSION] = 4, [PAGES] = 0
	};
	char text[GUID_TEXT_SIZE];
	GUID id;
	uint32_t v;

	if (len < field->at || len - field->at < bytes[field->form])
		return false;
	m += field->at;
	fprintf(f, " %s=", field->name);
	switch (field->form) {
	case U8:
		fprintf(f, "%u", *m);
		break;
	case U16:
		fprintf(f, "%u", le16_get(m));
		break;
	case U32:
		v = le32_get(m);
		if (v == MSG_NO_VP)
			fputs("none", f);
		else
			fprintf(f, "%u", v);
		break;
	case HEX:
		fprintf(f, "0x%x", le32_get(m));
		break;
	case ID:
		id = guid_get(m);
		fputs(guid_format(&id, text), f);
		break;
	case VERSION:
		v = le32_get(m);
		fprintf(f, "%u.%u", v >> 16, v & 0xffff);
		break;
	case PAGES:
		fprintf(f, "%zu", (len - field->at) / 8);
		break;
	}
	return true;
}

static void describe(FILE *f, const uint8_t *m, size_t len)
{
	uint32_t type = len >= 4 ? le32_get(m) : 0;
	const char *name = vmbh_message_name(type);

	if (len < MSG_HEADER) {
		fprintf(f, "(%zu bytes: too short)", len);
		return;
	}
	if (name)
		fputs(name, f);
	else
		fprintf(f, "MESSAGE_%u", type);
	if (type >= ARRAY_LEN(forms) || !forms[type].fields)
		return;
	for (const struct field *p = forms[type].fields; p->name; p++)
		put_field(f, p, m, len);
	if (len < forms[type].size)
		fprintf(f, " (%zu bytes: too short)", len);
}

char *vmbh_describe(const void *message, size_t len, char *out, size_t size)
{
	char line[512] = "";
	FILE *f;

	if (!size)
		return out;
	f = fmemopen(line, sizeof(line) - 1, "w");
	if (f) {
		describe(f, message, len);
		fclose(f);
	}
	snprintf(out, size, "%s", line);
	return out;
}
