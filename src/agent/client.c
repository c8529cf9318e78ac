/* SPDX-License-Identifier: MIT */
/* client.c - see client.h */
#include "agent/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"

#define IDS (1ull << 52) /* a double has them all */

enum waits { NOTHING, SYNC_MARK, SYNC_LINE, ANSWER };

struct agent_client {
	enum waits waits;
	json_int_t id;
	json_int_t first; /* of a silent one, before id; else the same */
	unsigned int behind; /* said, and to be waited for after id */
	size_t skipped; /* before the mark */
	size_t line_max;
	unsigned int strays, dropped;
	char *line;
	size_t len, size;
	char why[AGENT_WHY];
	int over; /* -errno */
};

struct agent_client *agent_new(uint64_t seed)
{
	struct agent_client *c = calloc(1, sizeof(*c));

	if (c)
		c->id = (json_int_t)(seed % IDS);
	return c;
}

struct agent_client *agent_free(struct agent_client *c)
{
	if (!c)
		return NULL;
	free(c->line);
	free(c);
	return NULL;
}

unsigned int agent_dropped(const struct agent_client *c)
{
	return c->dropped;
}

const char *agent_why(const struct agent_client *c)
{
	return c->why;
}

/* ---- what we say */

static int as_line(json_t *o, const char *before, char **ret, size_t *ret_len)
{
	cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	int n;

	json_decref(o);
	if (!text)
		return -ENOMEM;
	n = asprintf(ret, "%s%s\n", before, text);
	if (n < 0)
		return -ENOMEM;
	*ret_len = (size_t)n;
	return 0;
}

static int next(struct agent_client *c, size_t line_max)
{
	if (c->over)
		return c->over;
	if (c->waits != NOTHING)
		return -EINVAL;
	c->id = c->first = (json_int_t)(((uint64_t)c->id + 1) % IDS);
	c->line_max = line_max ? line_max : AGENT_LINE_MAX;
	c->strays = 0;
	c->len = 0;
	return 0;
}

static int command_line(const char *command, json_int_t id, json_t *arguments,
			char **ret, size_t *ret_len)
{
	json_t *name = json_string(command);
	json_t *o;

	if (!name)
		return -EINVAL;
	o = json_pack("{s:o, s:I}", "execute", name, "id", id);
	if (o && arguments && json_object_set(o, "arguments", arguments) < 0) {
		json_decref(o);
		return -ENOMEM;
	}
	return as_line(o, "", ret, ret_len);
}

int agent_say(struct agent_client *c, const char *command,
	      json_t *arguments, size_t line_max, char **ret, size_t *ret_len)
{
	int r = utf8_valid(command, strlen(command)) ? next(c, line_max) :
						       -EINVAL;

	if (!r)
		r = command_line(command, c->id, arguments, ret, ret_len);
	if (!r)
		c->waits = ANSWER;
	return r;
}

int agent_say_behind(struct agent_client *c, const char *command,
		     json_t *arguments, char **ret, size_t *ret_len)
{
	json_int_t id = (json_int_t)(((uint64_t)c->id + c->behind + 1) % IDS);
	int r = c->over;

	if (!r && c->waits == NOTHING)
		r = -EINVAL;
	if (!r)
		r = command_line(command, id, arguments, ret, ret_len);
	if (!r)
		c->behind++;
	return r;
}

void agent_forget(struct agent_client *c)
{
	c->id = (json_int_t)(((uint64_t)c->id + c->behind) % IDS);
	c->behind = 0;
	c->waits = NOTHING;
}

int agent_say_sync(struct agent_client *c, char **ret, size_t *ret_len)
{
	int r = next(c, 0);

	if (r < 0)
		return r;
	/* The mark is no JSON: the agent drops what it has of another's line,
	 * says so in front of its own mark, and begins anew. */
	r = as_line(json_pack("{s:s, s:{s:I}}", "execute",
			      "guest-sync-delimited", "arguments", "id", c->id),
		    "\xff", ret, ret_len);
	if (!r) {
		c->waits = SYNC_MARK;
		c->skipped = 0;
	}
	return r;
}

int agent_say_silent(struct agent_client *c, const char *command,
		     json_t *arguments, char **ret, size_t *ret_len)
{
	cleanup_free_ char *line = NULL, *ping = NULL;
	size_t len, ping_len;
	json_int_t first;
	int r = agent_say(c, command, arguments, 0, &line, &len);

	if (r < 0)
		return r;
	first = c->id;
	c->waits = NOTHING;
	r = agent_say(c, "guest-ping", NULL, 0, &ping, &ping_len);
	if (r < 0)
		return r;
	c->first = first;
	if (asprintf(ret, "%s%s", line, ping) < 0) {
		c->waits = NOTHING;
		return -ENOMEM;
	}
	*ret_len = len + ping_len;
	return 0;
}

/* ---- what we hear */

static int end(struct agent_client *c, int r, const char *why)
{
	snprintf(c->why, sizeof(c->why), "%s", why);
	c->over = r;
	return r;
}

static int stray(struct agent_client *c)
{
	c->dropped++;
	if (++c->strays <= AGENT_STRAY_MAX)
		return 0;
	return end(c, -EPROTO,
		   "its agent sends answers that nobody asked for");
}

/* json_loadb() recurses: bounded before it sees the text. */
static bool is_shallow(const char *s, size_t len)
{
	bool quoted = false;
	size_t depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (quoted && s[i] == '\\')
			i++;
		else if (s[i] == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (s[i] == '{' || s[i] == '[')
			depth++;
		else if ((s[i] == '}' || s[i] == ']') && depth)
			depth--;
		if (depth > AGENT_DEPTH_MAX)
			return false;
	}
	return true;
}

static json_t *parse(struct agent_client *c)
{
	json_t *o;

	if (!is_shallow(c->line, c->len)) {
		(void)end(c, -EPROTO, "its agent's answer is nested too deep");
		return NULL;
	}
	o = json_loadb(c->line, c->len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(o))
		return o;
	json_decref(o);
	(void)end(c, -EPROTO,
		  "its agent's answer is no JSON object in UTF-8");
	return NULL;
}

/* Return: as agent_hear() */
static int heard_sync(struct agent_client *c, const json_t *o, json_t **ret)
{
	const json_t *id = json_object_get(o, "return");

	if (!json_is_integer(id) || json_integer_value(id) != c->id) {
		c->waits = SYNC_MARK; /* another client's, or an error */
		return stray(c);
	}
	*ret = json_object();
	return *ret ? 1 : end(c, -ENOMEM, strerror(ENOMEM));
}

static int heard_answer(struct agent_client *c, json_t *o, json_t **ret)
{
	const json_t *id = json_object_get(o, "id");
	const json_t *error = json_object_get(o, "error");
	bool good = json_object_get(o, "return") != NULL;

	/* An agent older than ids leaves them out. */
	if (id && (!json_is_integer(id) ||
		   (json_integer_value(id) != c->id &&
		    json_integer_value(id) != c->first)))
		return stray(c);
	if (good == (error != NULL) ||
	    (error && !json_is_string(json_object_get(error, "desc"))))
		return end(c, -EPROTO,
			   "its agent's answer has no result and no error");
	*ret = json_incref(o);
	return 1;
}

/* An answer that was cut off, by an agent that began anew, ends in a mark. */
static void forget_cut(struct agent_client *c)
{
	const char *mark = c->len ? memrchr(c->line, 0xff, c->len) : NULL;
	size_t n = mark ? (size_t)(mark - c->line) + 1 : 0;

	c->len -= n;
	if (n)
		memmove(c->line, c->line + n, c->len);
}

static int heard_line(struct agent_client *c, json_t **ret)
{
	json_t *o;
	int r;

	if (c->waits == SYNC_LINE)
		forget_cut(c);
	if (!c->len)
		return stray(c); /* empty, or cut: without end, no answer */
	o = parse(c);
	if (!o)
		return c->over;
	r = c->waits == SYNC_LINE ? heard_sync(c, o, ret) :
				    heard_answer(c, o, ret);
	json_decref(o);
	if (r != 1)
		return r;
	c->waits = c->behind ? ANSWER : NOTHING;
	if (c->behind) {
		c->behind--;
		c->id = c->first = (json_int_t)(((uint64_t)c->id + 1) % IDS);
		c->strays = 0;
	}
	return 1;
}

static int keep(struct agent_client *c, const char *data, size_t len)
{
	size_t size = c->size ? c->size : 4096;
	char *more;

	if (len > c->line_max - c->len)
		return end(c, -EMSGSIZE,
			   "its agent's answer is longer than is taken");
	while (size < c->len + len)
		size *= 2;
	if (size != c->size) {
		more = realloc(c->line, size);
		if (!more)
			return end(c, -ENOMEM, strerror(ENOMEM));
		c->line = more;
		c->size = size;
	}
	memcpy(c->line + c->len, data, len);
	c->len += len;
	return 0;
}

/* What is in front of the mark is not looked at. Return: bytes passed */
static size_t skip(struct agent_client *c, const char *data, size_t len)
{
	const char *mark = memchr(data, 0xff, len);
	size_t n = mark ? (size_t)(mark - data) + 1 : len;

	c->skipped += n;
	if (c->skipped > AGENT_LINE_MOST)
		(void)end(c, -EPROTO,
			  "its agent says much, and nothing to the point");
	else if (mark)
		c->waits = SYNC_LINE;
	return n;
}

int agent_hear(struct agent_client *c, const char *data, size_t len,
	       size_t *ret_used, json_t **ret)
{
	size_t used = 0;
	int r = c->over;

	while (!r && c->waits != NOTHING && used < len) {
		const char *at = data + used, *eol;
		size_t n;

		if (c->waits == SYNC_MARK) {
			used += skip(c, at, len - used);
			r = c->over;
			continue;
		}
		eol = memchr(at, '\n', len - used);
		n = eol ? (size_t)(eol - at) : len - used;
		r = keep(c, at, n);
		used += n + (eol != NULL);
		if (r || !eol)
			continue;
		r = heard_line(c, ret);
		c->len = 0;
	}
	*ret_used = used;
	return r;
}

enum agent_refusal agent_refusal(const json_t *answer, const char **ret_text)
{
	const json_t *error = json_object_get(answer, "error");
	const char *class = json_string_value(json_object_get(error, "class"));
	const char *text = json_string_value(json_object_get(error, "desc"));

	if (!error)
		return AGENT_NO_REFUSAL;
	*ret_text = text ? text : "";
	if (strstr(*ret_text, "has been disabled"))
		return AGENT_DISABLED;
	if (class && !strcmp(class, "CommandNotFound"))
		return AGENT_UNKNOWN;
	return AGENT_FAILED;
}
