/* SPDX-License-Identifier: MIT */
/* partition-file.c - see partition-file.h */
#include "registry/partition-file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "base/utf8.h"

static const char *const keys[PARTITION_KEYS] = {
	[PARTITION_NAME] = "Name",     [PARTITION_VMID] = "VmId",
	[PARTITION_KIND] = "Kind",     [PARTITION_PARENT] = "Parent",
	[PARTITION_USER] = "User",     [PARTITION_ENABLED] = "Enabled",
	[PARTITION_CID] = "Cid",       [PARTITION_SIBLING_CID] = "SiblingCid",
};

enum rule_key {
	RULE_POLICY,
	RULE_BIND,
	RULE_CONNECT,
	RULE_WILDCARD,
	RULE_SIBLINGS,
	RULES
};

static const char *const rule_keys[RULES] = {
	[RULE_POLICY] = "Policy",
	[RULE_BIND] = "Bind",
	[RULE_CONNECT] = "Connect",
	[RULE_WILDCARD] = "AllowWildcardBinds",
	[RULE_SIBLINGS] = "Siblings",
};

struct reader {
	struct partition_file *f;
	const struct name_lookup *names;
	struct parse_error *e;
	/* The section with rules that is being read: values are judged when
	 * it is complete, as lists may go on. */
	struct rules *rules;
	char *value[RULES];
	unsigned int line[RULES];
	bool had_defaults;
};

static struct service_override *table(struct partition_file *f)
{
	if (!f->p.table)
		f->p.table = calloc(1, sizeof(*f->p.table));
	return f->p.table;
}

static int end_rules(struct reader *r)
{
	struct rules *to = r->rules;
	bool wildcard;
	int error = 0;

	if (r->value[RULE_POLICY])
		error = value_policy("Policy", r->value[RULE_POLICY],
				     r->line[RULE_POLICY], &to->policy, r->e);
	if (!error && r->value[RULE_BIND])
		error = value_acl("Bind", r->value[RULE_BIND],
				  r->line[RULE_BIND], r->names, &to->bind,
				  r->e);
	if (!error && r->value[RULE_CONNECT])
		error = value_acl("Connect", r->value[RULE_CONNECT],
				  r->line[RULE_CONNECT], r->names,
				  &to->connect, r->e);
	if (!error && r->value[RULE_WILDCARD]) {
		error = value_yes_no("AllowWildcardBinds",
				     r->value[RULE_WILDCARD],
				     r->line[RULE_WILDCARD], &wildcard, r->e);
		if (!error)
			to->wildcard = wildcard;
	}
	if (!error && r->value[RULE_SIBLINGS])
		error = value_siblings("Siblings", r->value[RULE_SIBLINGS],
				       r->line[RULE_SIBLINGS], &to->siblings,
				       r->e);
	for (size_t i = 0; i < RULES; i++) {
		free(r->value[i]);
		r->value[i] = NULL;
	}
	r->rules = NULL;
	return error;
}

/* [Service X] where X is a GUID, a port, or a service's name */
static int begin_override(struct reader *r, const char *what,
			  unsigned int line)
{
	struct service_override *t = table(r->f);
	struct override o = { .line = line, .rules.wildcard = -1 };
	struct override *grown;
	uint32_t port;
	int error;

	if (!t)
		return -ENOMEM;
	if (t->n == OVERRIDE_MAX)
		return parse_fail(r->e, line,
				  "more than %d sections [Service ...]",
				  OVERRIDE_MAX);
	if (*what >= '0' && *what <= '9' && strlen(what) < 11 &&
	    value_u32("Service", what, line, UINT32_MAX - 1, &port, r->e) == 0)
		o.id = guid_from_port(port);
	else if (guid_parse(what, &o.id) < 0) {
		error = name_check("the service", what, line, r->e);
		if (error < 0)
			return error;
		o.name = strdup(what);
		if (!o.name)
			return -ENOMEM;
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct override *x = &t->entry[i];

		if (o.name ? !x->name || strcasecmp(o.name, x->name) != 0 :
			     x->name || !guid_equal(&o.id, &x->id))
			continue;
		free(o.name);
		return parse_fail(r->e, line,
				  "this service's section stands in line %u "
				  "already", x->line);
	}
	grown = realloc(t->entry, (t->n + 1) * sizeof(*grown));
	if (!grown) {
		free(o.name);
		return -ENOMEM;
	}
	t->entry = grown;
	t->entry[t->n] = o;
	r->rules = &t->entry[t->n++].rules;
	return 0;
}

static int on_header(struct reader *r, const char *section, unsigned int line)
{
	char q[QUOTE_SIZE];
	int error;

	if (r->rules) {
		error = end_rules(r);
		if (error < 0)
			return error;
	}
	if (strcmp(section, "Partition") == 0)
		return 0;
	if (strcmp(section, "Defaults") == 0) {
		if (r->had_defaults)
			return parse_fail(r->e, line,
					  "[Defaults] stands there twice");
		r->had_defaults = true;
		r->rules = &r->f->p.defaults;
		return 0;
	}
	if (strncmp(section, "Service ", 8) == 0)
		return begin_override(r, section + 8, line);
	return parse_fail(r->e, line, "unknown section %s",
			  quote(section, q));
}

static int on_line(void *arg, const char *section, const char *key,
		   const char *value, unsigned int line, bool more)
{
	struct reader *r = arg;
	const char *const *names = r->rules ? rule_keys : keys;
	size_t n = r->rules ? (size_t)RULES : (size_t)PARTITION_KEYS, k;
	char **values = r->rules ? r->value : r->f->value;
	unsigned int *lines = r->rules ? r->line : r->f->line;
	char q[QUOTE_SIZE];

	if (!key)
		return on_header(r, section, line);
	if (!*section)
		return parse_fail(r->e, line, "%s stands before [Partition]",
				  quote(key, q));
	for (k = 0; k < n && strcmp(names[k], key) != 0; k++)
		;
	if (k == n)
		return parse_fail(r->e, line, "unknown key %s in [%s]",
				  quote(key, q), section);
	if (r->rules == &r->f->p.defaults && k == RULE_SIBLINGS)
		return parse_fail(r->e, line,
				  "Siblings= grants one service: it stands in "
				  "[Service ...], not in [Defaults]");
	if (more) {
		if (!r->rules || (k != RULE_BIND && k != RULE_CONNECT &&
				  k != RULE_SIBLINGS))
			return parse_fail(r->e, line,
					  "%s= cannot go on in a second line",
					  key);
		return append_value(&values[k], value);
	}
	if (values[k])
		return parse_fail(r->e, line,
				  "%s= stands in line %u already", key,
				  lines[k]);
	lines[k] = line;
	values[k] = strdup(value);
	return values[k] ? 0 : -ENOMEM;
}

static int build_kind(struct partition_file *f, struct parse_error *e)
{
	const char *kind = f->value[PARTITION_KIND];
	char q[QUOTE_SIZE];

	f->p.kind = PARTITION_VM;
	if (!kind || strcmp(kind, "vm") == 0)
		return 0;
	if (strcmp(kind, "container") != 0)
		return parse_fail(e, f->line[PARTITION_KIND],
				  "Kind=%s is not vm or container",
				  quote(kind, q));
	f->p.kind = PARTITION_CONTAINER;
	return 0;
}

static int build_parent(struct partition_file *f, struct parse_error *e)
{
	const char *parent = f->value[PARTITION_PARENT];
	GUID g;

	if (!parent || strcasecmp(parent, "host") == 0)
		return 0;
	if (guid_parse(parent, &g) == 0)
		return value_guid("Parent", parent, f->line[PARTITION_PARENT],
				  &g, e);
	return name_check("Parent", parent, f->line[PARTITION_PARENT], e);
}

/* 1 is the host itself (vsock_loopback); 0, 2 and the last one are no VM's. */
static int build_cid(struct partition_file *f, struct parse_error *e)
{
	const char *text = f->value[PARTITION_CID];
	unsigned int line = f->line[PARTITION_CID];
	int r;

	if (!text || strcmp(text, "none") == 0)
		return 0;
	if (f->p.kind != PARTITION_VM)
		return parse_fail(e, line, "Cid= is for a partition of kind vm");
	r = value_u32("Cid", text, line, UINT32_MAX - 1, &f->p.cid, e);
	if (!r && (f->p.cid == 0 || f->p.cid == 2))
		r = parse_fail(e, line, "Cid=%u is no guest's: 3 to %u, or 1",
			       f->p.cid, UINT32_MAX - 1);
	return r;
}

/* Of any partition: a guest beside it has no other name for it. */
static int build_sibling_cid(struct partition_file *f, struct parse_error *e)
{
	const char *text = f->value[PARTITION_SIBLING_CID];
	unsigned int line = f->line[PARTITION_SIBLING_CID];
	int r;

	if (!text || strcmp(text, "none") == 0)
		return 0;
	r = value_u32("SiblingCid", text, line, UINT32_MAX - 1,
		      &f->p.sibling_cid, e);
	if (!r && f->p.sibling_cid < 3)
		r = parse_fail(e, line, "SiblingCid=%u: 3 to %u",
			       f->p.sibling_cid, UINT32_MAX - 1);
	return r;
}

static int build(struct partition_file *f, const char *stem,
		 const struct name_lookup *names, struct parse_error *e)
{
	const char *name = f->value[PARTITION_NAME];
	int r;

	if (name)
		r = name_check("Name", name, f->line[PARTITION_NAME], e);
	else
		r = name_check("without Name= the file's name counts: it",
			       stem, 0, e);
	if (r < 0)
		return r;
	f->p.name = strdup(name ? name : stem);
	f->p.stem = strdup(stem);
	if (!f->p.name || !f->p.stem)
		return -ENOMEM;
	if (!f->value[PARTITION_VMID])
		return parse_fail(e, 0, "VmId= is missing");
	r = value_guid("VmId", f->value[PARTITION_VMID],
		       f->line[PARTITION_VMID], &f->p.vmid, e);
	if (!r)
		r = build_kind(f, e);
	if (!r)
		r = build_parent(f, e);
	if (!r && f->value[PARTITION_USER]) {
		r = value_user("User", f->value[PARTITION_USER],
			       f->line[PARTITION_USER], names, &f->p.user, e);
		f->p.has_user = !r;
	}
	f->p.enabled = true;
	if (!r && f->value[PARTITION_ENABLED])
		r = value_yes_no("Enabled", f->value[PARTITION_ENABLED],
				 f->line[PARTITION_ENABLED], &f->p.enabled, e);
	if (!r)
		r = build_cid(f, e);
	if (!r)
		r = build_sibling_cid(f, e);
	return r;
}

int partition_file_parse(const char *text, size_t len, const char *stem,
			 const struct name_lookup *names,
			 struct partition_file *ret, struct parse_error *e)
{
	struct reader r = { .f = ret, .names = names, .e = e };
	int error;

	*ret = (struct partition_file){ .p.defaults.wildcard = -1 };
	error = ini_parse_text(text, len, on_line, &r, e);
	if (!error && r.rules)
		error = end_rules(&r);
	for (size_t i = 0; i < RULES; i++)
		free(r.value[i]);
	if (!error)
		error = build(ret, stem, names, e);
	if (error < 0)
		partition_file_fini(ret);
	return error;
}

int partition_text_format(const char *const value[PARTITION_KEYS], char **ret)
{
	char *text = NULL;
	size_t size;
	FILE *f;
	bool bad;

	for (size_t k = 0; k < PARTITION_KEYS; k++)
		if (value[k] && !utf8_printable(value[k], strlen(value[k])))
			return -EINVAL;
	f = open_memstream(&text, &size);
	if (!f)
		return -ENOMEM;
	fprintf(f, "[Partition]\n");
	for (size_t k = 0; k < PARTITION_KEYS; k++)
		if (value[k])
			fprintf(f, "%s=%s\n", keys[k], value[k]);
	bad = ferror(f);
	if (fclose(f) != 0 || bad) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}

void partition_file_fini(struct partition_file *f)
{
	struct service_override *t = f->p.table;

	for (size_t i = 0; t && i < t->n; i++) {
		free(t->entry[i].name);
		rules_fini(&t->entry[i].rules);
	}
	if (t) {
		free(t->entry);
		free(t->slots);
	}
	free(t);
	for (size_t k = 0; k < PARTITION_KEYS; k++)
		free(f->value[k]);
	free(f->p.name);
	free(f->p.stem);
	free(f->p.path);
	rules_fini(&f->p.defaults);
	*f = (struct partition_file){ 0 };
}
