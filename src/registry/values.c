/* SPDX-License-Identifier: MIT */
/* values.c - what may stand behind = in a registry file (parse.h) */
#include "registry/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/guid.h"
#include "base/utf8.h"

/* Decimal, or hexadecimal behind 0x; the whole of @v. */
static bool number(const char *v, uint64_t max, uint64_t *ret)
{
	int base = 10;
	uint64_t n = 0;

	if (v[0] == '0' && (v[1] == 'x' || v[1] == 'X')) {
		base = 16;
		v += 2;
	}
	if (!*v)
		return false;
	for (; *v; v++) {
		uint64_t digit;

		if (*v >= '0' && *v <= '9')
			digit = (uint64_t)(*v - '0');
		else if (base == 16 && isxdigit((unsigned char)*v))
			digit = (uint64_t)((*v | 0x20) - 'a' + 10);
		else
			return false;
		if (n > (max - digit) / (uint64_t)base)
			return false;
		n = n * (uint64_t)base + digit;
	}
	*ret = n;
	return n <= max;
}

static bool looks_like_number(const char *v)
{
	if (v[0] == '0' && (v[1] == 'x' || v[1] == 'X'))
		return v[2] && strspn(v + 2, "0123456789abcdefABCDEF") ==
				       strlen(v + 2);
	return *v && strspn(v, "0123456789") == strlen(v);
}

static bool is_word(const char *name)
{
	GUID g;

	return guid_special_parse(name, &g) || strcasecmp(name, "host") == 0;
}

int name_check(const char *what, const char *name, unsigned int line,
	       struct parse_error *e)
{
	size_t len = strlen(name);
	char q[QUOTE_SIZE];
	const char *bad;
	GUID g;

	if (!len)
		return parse_fail(e, line, "%s is empty", what);
	if (len > REGISTRY_NAME_MAX)
		return parse_fail(e, line, "%s has more than %d bytes", what,
				  REGISTRY_NAME_MAX);
	quote(name, q);
	if (!utf8_printable(name, len))
		return parse_fail(e, line,
				  "%s %s has control characters or is not "
				  "UTF-8",
				  what, q);
	bad = strpbrk(name, ":/;\"");
	if (bad)
		return parse_fail(e, line, "%s %s has a '%c' in it", what, q,
				  *bad);
	if (name[0] == ' ' || name[len - 1] == ' ')
		return parse_fail(e, line,
				  "%s %s begins or ends with a blank", what, q);
	if (guid_parse(name, &g) == 0)
		return parse_fail(e, line, "%s %s is a GUID", what, q);
	if (looks_like_number(name))
		return parse_fail(e, line, "%s %s is a number", what, q);
	if (is_word(name))
		return parse_fail(e, line,
				  "%s %s is a word with a meaning of its own",
				  what, q);
	return 0;
}

int value_guid(const char *key, const char *v, unsigned int line, GUID *ret,
	       struct parse_error *e)
{
	char q[QUOTE_SIZE];
	GUID g;

	if (guid_parse(v, &g) < 0)
		return parse_fail(e, line, "%s=%s is not a GUID", key,
				  quote(v, q));
	if (guid_special_name(&g))
		return parse_fail(e, line,
				  "%s=%s is reserved: it means \"%s\"", key,
				  quote(v, q), guid_special_name(&g));
	*ret = g;
	return 0;
}

int value_u64(const char *key, const char *v, unsigned int line, uint64_t max,
	      uint64_t *ret, struct parse_error *e)
{
	char q[QUOTE_SIZE];

	if (!number(v, max, ret))
		return parse_fail(e, line,
				  "%s=%s is not a number from 0 to %llu", key,
				  quote(v, q), (unsigned long long)max);
	return 0;
}

int value_u32(const char *key, const char *v, unsigned int line, uint32_t max,
	      uint32_t *ret, struct parse_error *e)
{
	uint64_t n;
	int r;

	r = value_u64(key, v, line, max, &n, e);
	if (r < 0)
		return r;
	*ret = (uint32_t)n;
	return 0;
}

int value_policy(const char *key, const char *v, unsigned int line,
		 enum policy *ret, struct parse_error *e)
{
	char q[QUOTE_SIZE];

	for (enum policy p = POLICY_DEFAULT; p <= POLICY_DISABLED; p++) {
		if (strcmp(v, policy_name(p)) == 0) {
			*ret = p;
			return 0;
		}
	}
	return parse_fail(e, line,
			  "%s=%s is not enabled, disabled or default", key,
			  quote(v, q));
}

int value_yes_no(const char *key, const char *v, unsigned int line, bool *ret,
		 struct parse_error *e)
{
	char q[QUOTE_SIZE];

	if (strcmp(v, "yes") != 0 && strcmp(v, "no") != 0)
		return parse_fail(e, line, "%s=%s is not yes or no", key,
				  quote(v, q));
	*ret = v[0] == 'y';
	return 0;
}

/* 4294967295 means "no change" to chown(2): it is nobody's. */
static int identity(const char *v, int (*look_up)(const char *, uint32_t *),
		    uint32_t *ret)
{
	uint64_t n;

	if (looks_like_number(v)) {
		if (!number(v, UINT32_MAX - 1, &n))
			return -ERANGE;
		*ret = (uint32_t)n;
		return 0;
	}
	return look_up(v, ret);
}

int value_user(const char *key, const char *v, unsigned int line,
	       const struct name_lookup *names, uint32_t *ret,
	       struct parse_error *e)
{
	char q[QUOTE_SIZE];
	int r;

	r = identity(v, names->user, ret);
	if (r == -ERANGE)
		return parse_fail(e, line, "%s=%s is not a user id", key,
				  quote(v, q));
	if (r < 0)
		return parse_fail(e, line, "%s=%s: no such user", key,
				  quote(v, q));
	return 0;
}

/* The next word of a list, without its quotes; *@p moves behind it.
 * Return: its length, 0 at the end, or -1 if a quote is not closed. */
static ssize_t next_word(const char **p, char *out)
{
	bool quoted = false;
	size_t n = 0;

	while (**p == ' ' || **p == '\t')
		(*p)++;
	for (; **p && (quoted || (**p != ' ' && **p != '\t')); (*p)++) {
		if (**p == '"')
			quoted = !quoted;
		else
			out[n++] = **p;
	}
	out[n] = '\0';
	return quoted ? -1 : (ssize_t)n;
}

static int acl_partition(const char *name, unsigned int line,
			 struct acl_entry *ret, struct parse_error *e)
{
	int r = 0;

	ret->kind = ACL_PARTITION;
	if (guid_parse(name, &ret->vmid) == 0)
		return 0;
	if (strcasecmp(name, "host") != 0)
		r = name_check("partition", name, line, e);
	if (r < 0)
		return r;
	ret->partition = strdup(name);
	return ret->partition ? 0 : -ENOMEM;
}

static int sibling_word(const char *key, const char *word, unsigned int line,
			struct acl_entry *ret, struct parse_error *e)
{
	static const char prefix[] = "partition:";
	char q[QUOTE_SIZE];

	if (strncmp(word, prefix, sizeof(prefix) - 1) == 0)
		word += sizeof(prefix) - 1; /* as Connect= has it */
	if (strcmp(word, "*") == 0 || strcmp(word, "any") == 0)
		return parse_fail(e, line,
				  "%s=: partitions are named one by one, not %s",
				  key, quote(word, q));
	if (strcasecmp(word, "host") == 0)
		return parse_fail(e, line, "%s=: the host is nobody's sibling",
				  key);
	return acl_partition(word, line, ret, e);
}

/* @names NULL: partitions only */
static int acl_word(const char *key, const char *word, unsigned int line,
		    const struct name_lookup *names, struct acl_entry *ret,
		    struct parse_error *e)
{
	const char *colon = strchr(word, ':');
	size_t len = colon ? (size_t)(colon - word) : 0;
	const char *what = colon ? colon + 1 : "";
	char q[QUOTE_SIZE];
	int r = 0;

	if (!names)
		return sibling_word(key, word, line, ret, e);
	quote(word, q);
	if (strcmp(word, "*") == 0 || strcmp(word, "any") == 0) {
		ret->kind = ACL_ANY;
		return 0;
	}
	if (colon && !*what)
		return parse_fail(e, line, "%s=: nothing behind %s", key, q);
	if (len == 4 && memcmp(word, "user", 4) == 0) {
		ret->kind = ACL_USER;
		r = identity(what, names->user, &ret->id);
	} else if (len == 5 && memcmp(word, "group", 5) == 0) {
		ret->kind = ACL_GROUP;
		r = identity(what, names->group, &ret->id);
	} else if (len == 9 && memcmp(word, "partition", 9) == 0) {
		return acl_partition(what, line, ret, e);
	} else {
		return parse_fail(e, line,
				  "%s=: %s is not any, none, user:, group: or "
				  "partition:", key, q);
	}
	if (r == -ERANGE)
		return parse_fail(e, line, "%s=: %s is not a number below "
				  "4294967295", key, q);
	if (r < 0)
		return parse_fail(e, line, "%s=: %s does not exist", key, q);
	return 0;
}

static int acl_words(const char *key, const char *v, unsigned int line,
		     const struct name_lookup *names, char *word,
		     struct acl *a, struct parse_error *e)
{
	bool none = false, any = false;
	size_t count = 0;
	ssize_t n;
	int r;

	for (;;) {
		n = next_word(&v, word);
		if (n < 0)
			return parse_fail(e, line,
					  "%s=: a quote is not closed", key);
		if (!n && !*v)
			break;
		if (count++ >= ACL_MAX)
			return parse_fail(e, line,
					  "%s= has more than %d entries", key,
					  ACL_MAX);
		if (strcmp(word, "none") == 0) {
			none = true;
			continue;
		}
		r = acl_word(key, word, line, names, &a->entry[a->n], e);
		if (r < 0)
			return r;
		any = any || a->entry[a->n].kind == ACL_ANY;
		a->n++;
	}
	if (!count)
		return parse_fail(e, line, "%s= names nobody (say none)", key);
	if (none && count > 1)
		return parse_fail(e, line, "%s=: none stands alone", key);
	if (any && count > 1)
		return parse_fail(e, line, "%s=: any stands alone", key);
	return 0;
}

int value_acl(const char *key, const char *v, unsigned int line,
	      const struct name_lookup *names, struct acl *ret,
	      struct parse_error *e)
{
	struct acl a = { .set = true };
	size_t words = 1;
	char *word;
	int r = -ENOMEM;

	for (const char *p = v; *p; p++)
		words += *p == ' ' || *p == '\t';
	if (words > ACL_MAX)
		words = ACL_MAX;
	word = malloc(strlen(v) + 1);
	a.text = strdup(v);
	a.entry = calloc(words, sizeof(*a.entry));
	if (word && a.text && a.entry)
		r = acl_words(key, v, line, names, word, &a, e);
	free(word);
	if (r < 0)
		acl_fini(&a);
	else
		*ret = a;
	return r;
}

int value_siblings(const char *key, const char *v, unsigned int line,
		   struct acl *ret, struct parse_error *e)
{
	return value_acl(key, v, line, NULL, ret, e);
}

void acl_fini(struct acl *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->entry[i].partition);
	free(a->entry);
	free(a->text);
	*a = (struct acl){ 0 };
}

void rules_fini(struct rules *r)
{
	acl_fini(&r->bind);
	acl_fini(&r->connect);
	acl_fini(&r->siblings);
}

int append_value(char **text, const char *more)
{
	size_t n = strlen(*text);
	char *p = realloc(*text, n + strlen(more) + 2);

	if (!p)
		return -ENOMEM;
	p[n] = ' ';
	strcpy(p + n + 1, more);
	*text = p;
	return 0;
}
