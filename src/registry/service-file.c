/* SPDX-License-Identifier: MIT */
/* service-file.c - the pure part of service-file.h: text and its meaning */
#include "registry/service-file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "base/utf8.h"

static const struct {
	const char *section, *key;
} keys[SERVICE_KEYS] = {
	[SERVICE_NAME] = { "Service", "ElementName" },
	[SERVICE_ID] = { "Service", "ServiceId" },
	[SERVICE_PORT] = { "Service", "Port" },
	[SERVICE_POLICY] = { "Service", "Policy" },
	[SERVICE_BIND] = { "Service", "Bind" },
	[SERVICE_CONNECT] = { "Service", "Connect" },
	[SERVICE_SIBLINGS] = { "Service", "Siblings" },
	[SERVICE_WILDCARD] = { "Service", "AllowWildcardBinds" },
	[SERVICE_TARGET] = { "Service", "Target" },
	[SERVICE_MAX_CONNECTIONS] = { "Service", "MaxConnections" },
	[SERVICE_LEASE_PID] = { "Lease", "Pid" },
	[SERVICE_LEASE_START] = { "Lease", "Start" },
	[SERVICE_LEASE_BOOT] = { "Lease", "Boot" },
	[SERVICE_OWNER_UID] = { "Owner", "Uid" },
};

struct reader {
	struct service_text *t;
	bool is_volatile;
	struct parse_error *e;
};

static int on_header(struct reader *r, const char *section, unsigned int line)
{
	char q[QUOTE_SIZE];

	if (strcmp(section, "Service") == 0)
		return 0;
	if (strcmp(section, "Lease") != 0 && strcmp(section, "Owner") != 0)
		return parse_fail(r->e, line, "unknown section %s",
				  quote(section, q));
	if (!r->is_volatile)
		return parse_fail(r->e, line,
				  "[%s] is for the broker's own files",
				  section);
	return 0;
}

static int on_line(void *arg, const char *section, const char *key,
		   const char *value, unsigned int line, bool more)
{
	struct reader *r = arg;
	struct service_text *t = r->t;
	char q[QUOTE_SIZE];
	size_t k;

	if (!key)
		return on_header(r, section, line);
	if (!*section)
		return parse_fail(r->e, line, "%s stands before [Service]",
				  quote(key, q));
	for (k = 0; k < SERVICE_KEYS; k++)
		if (strcmp(keys[k].section, section) == 0 &&
		    strcmp(keys[k].key, key) == 0)
			break;
	if (k == SERVICE_KEYS)
		return parse_fail(r->e, line, "unknown key %s in [%s]",
				  quote(key, q), section);
	if (more) {
		if (k != SERVICE_BIND && k != SERVICE_CONNECT &&
		    k != SERVICE_SIBLINGS)
			return parse_fail(r->e, line,
					  "%s= cannot go on in a second line",
					  key);
		return append_value(&t->value[k], value);
	}
	if (t->value[k])
		return parse_fail(r->e, line,
				  "%s= stands in line %u already", key,
				  t->line[k]);
	t->line[k] = line;
	t->value[k] = strdup(value);
	return t->value[k] ? 0 : -ENOMEM;
}

int service_text_parse(const char *text, size_t len, bool is_volatile,
		       struct service_text *ret, struct parse_error *e)
{
	struct reader r = { ret, is_volatile, e };
	int error;

	*ret = (struct service_text){ 0 };
	error = ini_parse_text(text, len, on_line, &r, e);
	if (error < 0)
		service_text_fini(ret);
	return error;
}

int service_text_set(struct service_text *t, enum service_key key,
		     const char *value)
{
	char *p = NULL;

	if (value && !utf8_printable(value, strlen(value)))
		return -EINVAL;
	if (value) {
		p = strdup(value);
		if (!p)
			return -ENOMEM;
	}
	free(t->value[key]);
	t->value[key] = p;
	return 0;
}

/* KEY=VALUE; a list that is too long for a line goes on in the next. */
static void put_value(FILE *f, const char *key, const char *value)
{
	size_t room = INI_LINE - strlen(key) - 1, n = strlen(value);

	fprintf(f, "%s=", key);
	while (n > room) {
		size_t cut = 0;
		bool quoted = false;

		for (size_t i = 0; i < room; i++) {
			if (value[i] == '"')
				quoted = !quoted;
			if (value[i] == ' ' && !quoted && i)
				cut = i;
		}
		if (!cut)
			break;
		fprintf(f, "%.*s\n ", (int)cut, value);
		value += cut + 1;
		n -= cut + 1;
		room = INI_LINE - 1;
	}
	fprintf(f, "%s\n", value);
}

int service_text_format(const struct service_text *t, char **ret)
{
	const char *section = "";
	char *text = NULL;
	size_t size;
	FILE *f;
	bool bad;

	f = open_memstream(&text, &size);
	if (!f)
		return -ENOMEM;
	for (size_t k = 0; k < SERVICE_KEYS; k++) {
		if (!t->value[k])
			continue;
		if (strcmp(section, keys[k].section) != 0) {
			fprintf(f, "%s[%s]\n", *section ? "\n" : "",
				keys[k].section);
			section = keys[k].section;
		}
		put_value(f, keys[k].key, t->value[k]);
	}
	bad = ferror(f);
	if (fclose(f) != 0 || bad) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}

int service_text_draft(const struct service_draft *d, struct service_text *ret)
{
	char id[GUID_TEXT_SIZE], port[16];
	const char *v[SERVICE_KEYS] = {
		[SERVICE_NAME] = d->name,
		[SERVICE_POLICY] = d->policy,
		[SERVICE_BIND] = d->bind,
		[SERVICE_CONNECT] = d->connect,
		[SERVICE_SIBLINGS] = d->siblings,
		[SERVICE_WILDCARD] = d->wildcard,
		[SERVICE_TARGET] = d->target,
		[SERVICE_MAX_CONNECTIONS] = d->max_connections,
	};
	int r;

	if (d->id)
		v[SERVICE_ID] = guid_format(d->id, id);
	if (d->port) {
		snprintf(port, sizeof(port), "%u", *d->port);
		v[SERVICE_PORT] = port;
	}
	*ret = (struct service_text){ 0 };
	for (enum service_key k = 0; k < SERVICE_KEYS; k++) {
		r = v[k] ? service_text_set(ret, k, v[k]) : 0;
		if (r < 0) {
			service_text_fini(ret);
			return r;
		}
	}
	return 0;
}

void service_text_fini(struct service_text *t)
{
	for (size_t k = 0; k < SERVICE_KEYS; k++)
		free(t->value[k]);
	*t = (struct service_text){ 0 };
}

static int build_id(const struct service_text *t, struct service *s,
		    struct parse_error *e)
{
	const char *id = t->value[SERVICE_ID], *port = t->value[SERVICE_PORT];
	uint32_t of_id;
	int r;

	if (!id && !port)
		return parse_fail(e, 0, "neither ServiceId= nor Port=");
	if (port) {
		r = value_u32("Port", port, t->line[SERVICE_PORT],
			      UINT32_MAX - 1, &s->port, e);
		if (r < 0)
			return r;
		s->has_port = true;
		s->id = guid_from_port(s->port);
	}
	if (!id)
		return 0;
	r = value_guid("ServiceId", id, t->line[SERVICE_ID], &s->id, e);
	if (r < 0)
		return r;
	if (!guid_is_port(&s->id, &of_id))
		return 0;
	if (s->has_port && of_id != s->port)
		return parse_fail(e, t->line[SERVICE_ID],
				  "ServiceId= is that of port %u, but Port= is "
				  "%u", of_id, s->port);
	if (of_id == UINT32_MAX)
		return parse_fail(e, t->line[SERVICE_ID],
				  "ServiceId= is that of port 4294967295, "
				  "which means any");
	s->has_port = true;
	s->port = of_id;
	return 0;
}

static int build_target(const struct service_text *t, struct service *s,
			struct parse_error *e)
{
	const char *v = t->value[SERVICE_TARGET];
	unsigned int line = t->line[SERVICE_TARGET];
	char q[QUOTE_SIZE];

	if (!v)
		return 0;
	if (strncmp(v, "unix:/", 6) != 0)
		return parse_fail(e, line,
				  "Target=%s is not unix: and an absolute path",
				  quote(v, q));
	if (strlen(v + 5) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return parse_fail(e, line,
				  "Target=: the path has more than 107 bytes");
	s->target = strdup(v + 5);
	return s->target ? 0 : -ENOMEM;
}

static int build_rules(const struct service_text *t,
		       const struct name_lookup *names, struct service *s,
		       struct parse_error *e)
{
	bool wildcard;
	int r = 0;

	s->rules.wildcard = -1;
	if (t->value[SERVICE_POLICY])
		r = value_policy("Policy", t->value[SERVICE_POLICY],
				 t->line[SERVICE_POLICY], &s->rules.policy, e);
	if (!r && t->value[SERVICE_BIND])
		r = value_acl("Bind", t->value[SERVICE_BIND],
			      t->line[SERVICE_BIND], names, &s->rules.bind, e);
	if (!r && t->value[SERVICE_CONNECT])
		r = value_acl("Connect", t->value[SERVICE_CONNECT],
			      t->line[SERVICE_CONNECT], names,
			      &s->rules.connect, e);
	if (!r && t->value[SERVICE_SIBLINGS])
		r = value_siblings("Siblings", t->value[SERVICE_SIBLINGS],
				   t->line[SERVICE_SIBLINGS],
				   &s->rules.siblings, e);
	if (!r && t->value[SERVICE_WILDCARD]) {
		r = value_yes_no("AllowWildcardBinds",
				 t->value[SERVICE_WILDCARD],
				 t->line[SERVICE_WILDCARD], &wildcard, e);
		if (!r)
			s->rules.wildcard = wildcard;
	}
	if (!r && t->value[SERVICE_MAX_CONNECTIONS])
		r = value_u32("MaxConnections",
			      t->value[SERVICE_MAX_CONNECTIONS],
			      t->line[SERVICE_MAX_CONNECTIONS], UINT32_MAX,
			      &s->max_connections, e);
	return r;
}

static int build_lease(const struct service_text *t, struct service *s,
		       struct parse_error *e)
{
	const char *pid = t->value[SERVICE_LEASE_PID];
	const char *start = t->value[SERVICE_LEASE_START];
	const char *boot = t->value[SERVICE_LEASE_BOOT];
	uint32_t n;
	GUID g;
	int r;

	if (t->value[SERVICE_OWNER_UID]) {
		r = value_u32("Uid", t->value[SERVICE_OWNER_UID],
			      t->line[SERVICE_OWNER_UID], UINT32_MAX,
			      &s->owner_uid, e);
		if (r < 0)
			return r;
	}
	if (!pid && !start && !boot)
		return 0;
	if (!pid || !start || !boot)
		return parse_fail(e, 0, "[Lease] needs Pid=, Start= and Boot=");
	r = value_u32("Pid", pid, t->line[SERVICE_LEASE_PID], INT32_MAX, &n,
		      e);
	if (!r)
		r = value_u64("Start", start, t->line[SERVICE_LEASE_START],
			      UINT64_MAX, &s->lease_start, e);
	if (r < 0)
		return r;
	if (!n || guid_parse(boot, &g) < 0)
		return parse_fail(e, t->line[SERVICE_LEASE_PID],
				  "[Lease] names no process");
	s->lease_pid = (int32_t)n;
	guid_format(&g, s->lease_boot);
	return 0;
}

static int build(const struct service_text *t, const char *stem,
		 const struct name_lookup *names, struct service *s,
		 struct parse_error *e)
{
	const char *name = t->value[SERVICE_NAME];
	int r;

	if (name)
		r = name_check("ElementName", name, t->line[SERVICE_NAME], e);
	else
		r = name_check("without ElementName= the file's name counts: "
			       "it", stem, 0, e);
	if (r < 0)
		return r;
	s->name = strdup(name ? name : stem);
	s->stem = strdup(stem);
	if (!s->name || !s->stem)
		return -ENOMEM;
	r = build_id(t, s, e);
	if (!r)
		r = build_rules(t, names, s, e);
	if (!r)
		r = build_target(t, s, e);
	if (!r)
		r = build_lease(t, s, e);
	return r;
}

int service_build(const struct service_text *t, const char *stem,
		  const struct name_lookup *names, struct service *ret,
		  struct parse_error *e)
{
	struct service s = { 0 };
	int r;

	r = build(t, stem, names, &s, e);
	if (r < 0)
		service_fini(&s);
	else
		*ret = s;
	return r;
}

void service_fini(struct service *s)
{
	free(s->name);
	free(s->stem);
	free(s->path);
	free(s->target);
	rules_fini(&s->rules);
	*s = (struct service){ 0 };
}
