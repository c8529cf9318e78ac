/* SPDX-License-Identifier: MIT */
/*
 * cmd-integration.c - hvctl integration list, enable, disable: which services
 * a VM is offered, and why one cannot be used
 */
#include "base/cleanup.h"
#include "hvctl/guests.h"

static void tell_list(const char *name, const json_t *reply)
{
	static const char *const heads[] = { "VM", "SERVICE", "TITLE", "STATE",
					     "VERSION", "WHY", NULL };
	cleanup_table_ struct table *t = table_new(heads);
	size_t i;
	json_t *o;

	json_array_foreach(json_object_get(reply, "services"), i, o) {
		table_cell(t, name);
		table_cell(t, json_text(o, "name"));
		table_cell(t, json_text(o, "title"));
		table_cell(t, json_text(o, "state"));
		table_cell(t, json_text(o, "version"));
		table_cell(t, json_text(o, "why"));
	}
	(void)table_print(t, stdout);
}

int cmd_integration_list(struct ctl *c, const struct args *a)
{
	struct guests_ask ask = { .request = guests_request(a, "list"),
				  .tell = tell_list };

	return guests_verb(c, a, &ask);
}

static void tell_one(const char *name, const json_t *reply)
{
	printf("%s: %s: %s\n", show(name), show(json_text(reply, "name")),
	       show(json_text(reply, "state")));
}

static int set(struct ctl *c, const struct args *a, const char *verb)
{
	json_t *q = guests_request(a, verb);
	struct guests g;
	int r;

	if (!q || json_object_set_new(q, "service", json_string(a->pos[1])) < 0 ||
	    guests_one(a->pos[0], &g)) {
		json_decref(q);
		return usage("%s: %s is no name", c->verb, show(a->pos[1]));
	}
	r = guests_ask(c, a, &g, q, tell_one);
	guests_fini(&g);
	return r;
}

int cmd_integration_enable(struct ctl *c, const struct args *a)
{
	return set(c, a, "enable");
}

int cmd_integration_disable(struct ctl *c, const struct args *a)
{
	return set(c, a, "disable");
}
