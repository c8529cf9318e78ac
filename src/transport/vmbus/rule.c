/* SPDX-License-Identifier: MIT */
/* rule.c - see rule.h */
#include "transport/vmbus/rule.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define DELAY_MAX_MS 3600000u

struct parse {
	struct rule r;
	bool on, acted;
	const char *why;
};

static bool number(const char *text, uint32_t most, uint32_t *ret, char **end)
{
	unsigned long v;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	v = strtoul(text, end, 10);
	if (errno || v > most)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool whole(const char *text, uint32_t *ret)
{
	char *end;

	return number(text, UINT32_MAX, ret, &end) && !*end;
}

static bool duration(const char *text, uint32_t *ret)
{
	uint32_t v;
	char *end;

	if (!number(text, DELAY_MAX_MS, &v, &end))
		return false;
	if (strcmp(end, "s") == 0 && v <= DELAY_MAX_MS / 1000)
		v *= 1000;
	else if (strcmp(end, "ms") != 0)
		return false;
	*ret = v;
	return true;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex(const char *text, struct rule *r)
{
	r->len = 0;
	while (text[0]) {
		int high = digit(text[0]);
		int low = high < 0 ? -1 : digit(text[1]);

		if (low < 0 || r->len == sizeof(r->message))
			return false;
		r->message[r->len++] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return r->len >= 8;
}

static bool act(struct parse *p, enum rule_action action)
{
	if (p->acted)
		p->why = "two actions in one rule";
	p->acted = true;
	p->r.action = action;
	return !p->why;
}

/* What follows @key in @word, or NULL. */
static const char *after(const char *word, const char *key)
{
	size_t n = strlen(key);

	return strncmp(word, key, n) == 0 ? word + n : NULL;
}

static bool on(struct parse *p, const char *name)
{
	if (p->on)
		p->why = "on= twice";
	p->on = true;
	if (strcmp(name, "any") == 0)
		return !p->why;
	p->r.type = vmbh_message_type(name);
	if (!p->r.type)
		p->why = "on=: not the name of a control message";
	return !p->why;
}

static bool from(struct parse *p, const char *who)
{
	p->r.guest = strcmp(who, "guest") == 0;
	p->r.host = strcmp(who, "host") == 0;
	if (p->r.guest == p->r.host)
		p->why = "from=: guest or host";
	return !p->why;
}

static bool word(struct parse *p, const char *w)
{
	const char *v;

	if ((v = after(w, "on=")))
		return on(p, v);
	if ((v = after(w, "from=")))
		return from(p, v);
	if ((v = after(w, "skip=")) || (v = after(w, "count="))) {
		if (!whole(v, *w == 's' ? &p->r.skip : &p->r.count))
			p->why = "skip=, count=: not a number";
		return !p->why;
	}
	if (strcmp(w, "drop") == 0 || strcmp(w, "do=drop") == 0)
		return act(p, RULE_DROP);
	if (strcmp(w, "do=rescind") == 0)
		return act(p, RULE_RESCIND);
	if ((v = after(w, "delay="))) {
		if (!duration(v, &p->r.delay_ms))
			p->why = "delay=: a time such as 500ms or 2s";
		return act(p, RULE_DELAY);
	}
	if ((v = after(w, "msg=hex:"))) {
		if (!hex(v, &p->r))
			p->why = "msg=hex: 8 to 240 bytes as hexadecimal "
				 "digits";
		return act(p, RULE_SEND);
	}
	p->why = "unknown word: on=, from=, skip=, count=, drop, do=rescind, "
		 "delay=, msg=hex: are known";
	return false;
}

int rule_parse(const char *text, struct rule *ret, const char **ret_why)
{
	struct parse p = {
		.r = { .guest = true, .host = true, .count = UINT32_MAX }
	};
	char *copy = strdup(text), *save = NULL;

	*ret_why = "no memory";
	if (!copy)
		return -ENOMEM;
	for (char *w = strtok_r(copy, " ,\t", &save); w && !p.why;
	     w = strtok_r(NULL, " ,\t", &save))
		(void)word(&p, w);
	free(copy);
	if (!p.why && !p.acted)
		p.why = "no action: drop, do=rescind, delay= or msg=hex:";
	if (!p.why && !p.on && p.r.action != RULE_SEND)
		p.why = "no on=NAME";
	if (p.why) {
		*ret_why = p.why;
		return -EINVAL;
	}
	if (!p.on) { /* once, at the first message that there is */
		p.r.count = 1;
	}
	*ret = p.r;
	return 0;
}

bool rule_matches(struct rule *r, bool from_guest, const uint8_t *message,
		  size_t len)
{
	if (!(from_guest ? r->guest : r->host) || len < 4 ||
	    (r->type && le32_get(message) != r->type))
		return false;
	if (r->skip) {
		r->skip--;
		return false;
	}
	if (!r->count)
		return false;
	if (r->count != UINT32_MAX)
		r->count--;
	return true;
}
