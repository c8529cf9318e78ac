/* SPDX-License-Identifier: MIT */
/* cmd-service.c - hvctl service add, list, show */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "hvctl/out.h"
#include "hvctl/service.h"
#include "hvctl/store.h"
#include "hvctl/verbs.h"

/* What is asked for. */
struct wish {
	struct service_draft d;
	GUID id;
	uint32_t port, lease;
	bool ephemeral;
};

static int read_wish(const struct args *a, struct wish *w)
{
	const char *id = args_value(a, "id");
	const char *port = args_value(a, "port");
	const char *lease = args_value(a, "lease");

	w->d.name = a->pos[0];
	w->d.policy = args_value(a, "policy");
	w->d.bind = args_value(a, "bind");
	w->d.connect = args_value(a, "connect");
	w->d.siblings = args_value(a, "siblings");
	w->d.target = args_value(a, "target");
	w->d.wildcard = args_has(a, "no-wildcard") ? "no" : NULL;
	w->ephemeral = args_has(a, "ephemeral");
	if (!*w->d.name)
		return usage("service add: a name is not empty");
	if (id && guid_parse(id, &w->id))
		return usage("service add: --id %s: not a GUID", show(id));
	if (port && text_u32(port, &w->port))
		return usage("service add: --port %s: not a number",
			     show(port));
	if (lease && (text_u32(lease, &w->lease) || !w->lease ||
		      w->lease > INT32_MAX))
		return usage("service add: --lease %s: not a process id",
			     show(lease));
	if (lease && !w->ephemeral)
		return usage("service add: --lease goes with --ephemeral only");
	if (w->d.target && strncmp(w->d.target, "unix:", 5))
		return usage("service add: --target %s: not unix:PATH",
			     show(w->d.target));
	w->d.id = id ? &w->id : NULL;
	w->d.port = port ? &w->port : NULL;
	return 0;
}

static int put_text(json_t *q, const char *key, const char *value)
{
	return value ? json_object_set_new(q, key, json_string(value)) : 0;
}

static json_t *add_request(const struct wish *w)
{
	char id[GUID_TEXT_SIZE];
	json_t *q = json_pack("{s:s, s:s}", "method", "service.add", "name",
			      w->d.name);
	int r = q ? 0 : -1;

	if (!r && w->d.id)
		r = put_text(q, "id", guid_format(w->d.id, id));
	if (!r && w->d.port)
		r = json_object_set_new(q, "port", json_integer(w->port));
	if (!r)
		r = put_text(q, "policy", w->d.policy);
	if (!r)
		r = put_text(q, "bind", w->d.bind);
	if (!r)
		r = put_text(q, "connect", w->d.connect);
	if (!r)
		r = put_text(q, "siblings", w->d.siblings);
	if (!r)
		r = put_text(q, "target", w->d.target);
	if (!r && w->d.wildcard)
		r = json_object_set_new(q, "wildcard", json_false());
	/* hvctl itself is gone in a moment: the lease is never its own. */
	if (!r)
		r = json_object_set_new(q, "lease",
					w->lease ? json_integer(w->lease)
						 : json_string("none"));
	if (r) {
		json_decref(q);
		return NULL;
	}
	return q;
}

static int add_permanent(struct ctl *c, struct wish *w, json_t **ret)
{
	struct store s;
	int r;

	r = store_open(c, &store_services, &s);
	if (!r)
		r = service_add_file(&s, &w->d, ret);
	store_close(&s);
	return r;
}

int cmd_service_add(struct ctl *c, const struct args *a)
{
	cleanup_json_ json_t *reply = NULL;
	struct wish w = { .ephemeral = false };
	int r;

	r = read_wish(a, &w);
	if (r)
		return r;
	if (w.ephemeral)
		r = call_or_say(c, add_request(&w), w.d.name, &reply);
	else
		r = add_permanent(c, &w, &reply);
	if (r)
		return r;
	if (args_has(a, "json"))
		print_json(reply);
	else
		printf("%s\n", show(json_text(reply, "id")));
	return 0;
}

int cmd_service_list(struct ctl *c, const struct args *a)
{
	static const char *const heads[] = { "SERVICE", "ID", "PORT", "STATE",
					     "ORIGIN", "OPENED", NULL };
	cleanup_table_ struct table *t = table_new(heads);
	cleanup_json_ json_t *reply = NULL;
	const json_t *s;
	size_t i;

	if (call_or_say(c, json_pack("{s:s}", "method", "service.list"), NULL,
			&reply))
		return 1;
	if (args_has(a, "json")) {
		print_json(reply);
		return 0;
	}
	json_array_foreach(json_object_get(reply, "services"), i, s) {
		if (!t)
			break;
		table_cell(t, json_text(s, "name"));
		table_cell(t, json_text(s, "id"));
		if (json_object_get(s, "port"))
			table_cell_uint(t, json_number(s, "port"));
		else
			table_cell(t, NULL);
		table_cell(t, json_text(s, "effective"));
		table_cell(t, json_text(s, "origin"));
		table_cell_uint(t, json_number(s, "opened"));
	}
	if (!t || table_print(t, stdout))
		return complain("service list: %s", strerror(ENOMEM));
	return 0;
}

int cmd_service_show(struct ctl *c, const struct args *a)
{
	cleanup_json_ json_t *o = NULL;

	if (store_find(c, &store_services, a->pos[0], &o))
		return 1;
	if (args_has(a, "json"))
		print_json(o);
	else
		print_object(o);
	return 0;
}
