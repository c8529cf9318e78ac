/* SPDX-License-Identifier: MIT */
/*
 * cmd-kvp.c - hvctl kvp: keys and values in the guest's pools
 *
 * A value is printed as it is into a file or pipe, and escaped on a terminal:
 * it is the guest's text.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/guests.h"

/* One VM, texts by name; NULL ends. @q is taken. Return: the exit code */
static int ask(struct ctl *c, const struct args *a, json_t *q,
	       const char *const (*texts)[2],
	       void (*tell)(const char *name, const json_t *reply))
{
	struct guests g;
	int r;

	if (!q)
		return 2;
	for (; (*texts)[0]; texts++) {
		if (!(*texts)[1])
			continue;
		if (json_object_set_new(q, (*texts)[0],
					json_string((*texts)[1])) < 0) {
			json_decref(q);
			return usage("%s: %s is not UTF-8", c->verb,
				     (*texts)[0]);
		}
	}
	if (guests_one(a->pos[0], &g)) {
		json_decref(q);
		return complain("%s: %s", c->verb, strerror(ENOMEM));
	}
	r = guests_ask(c, a, &g, q, tell);
	guests_fini(&g);
	return r;
}

static void tell_value(const char *name, const json_t *reply)
{
	const char *value = json_text(reply, "value");

	(void)name;
	printf("%s\n", isatty(STDOUT_FILENO) ? show(value) : value);
}

int cmd_kvp_get(struct ctl *c, const struct args *a)
{
	const char *const texts[][2] = { { "key", a->pos[1] },
					 { "pool", args_value(a, "pool") },
					 { NULL, NULL } };

	return ask(c, a, guests_request(a, "kvp.get"), texts, tell_value);
}

int cmd_kvp_set(struct ctl *c, const struct args *a)
{
	const char *const texts[][2] = { { "key", a->pos[1] },
					 { "value", a->pos[2] },
					 { "pool", args_value(a, "pool") },
					 { NULL, NULL } };

	return ask(c, a, guests_request(a, "kvp.set"), texts, NULL);
}

int cmd_kvp_delete(struct ctl *c, const struct args *a)
{
	const char *const texts[][2] = { { "key", a->pos[1] },
					 { "pool", args_value(a, "pool") },
					 { NULL, NULL } };

	return ask(c, a, guests_request(a, "kvp.delete"), texts, NULL);
}

/* ---- list */

/* One pool's entries, part by part. Return: the exit code */
static int list_pool(struct ctl *c, const struct args *a, const char *pool,
		     json_t *all)
{
	json_int_t index = 0;
	json_t *next;

	do {
		cleanup_json_ json_t *reply = NULL;
		json_t *q = guests_request(a, "kvp.list"), *o;
		size_t i;

		if (!q)
			return 2;
		json_object_set_new(q, "partition", json_string(a->pos[0]));
		json_object_set_new(q, "pool", json_string(pool));
		json_object_set_new(q, "index", json_integer(index));
		if (call_or_say(c, q, a->pos[0], &reply))
			return 1;
		json_array_foreach(json_object_get(reply, "entries"), i, o) {
			json_object_set_new(o, "pool", json_string(pool));
			json_array_append(all, o);
		}
		next = json_object_get(reply, "next");
		if (next && json_integer_value(next) <= index)
			return complain("%s: the answer cannot be understood",
					c->verb);
		index = json_integer_value(next);
	} while (index);
	return 0;
}

static int print_list(const json_t *all)
{
	static const char *const heads[] = { "POOL", "KEY", "VALUE", NULL };
	cleanup_table_ struct table *t = table_new(heads);
	size_t i;
	json_t *o;

	json_array_foreach(all, i, o) {
		const char *error = json_text(o, "error");

		table_cell(t, json_text(o, "pool"));
		table_cell(t, *error ? error : json_text(o, "key"));
		table_cell(t, json_text(o, "value"));
	}
	return table_print(t, stdout) ? 1 : 0;
}

int cmd_kvp_list(struct ctl *c, const struct args *a)
{
	static const char *const pools[] = { "auto", "guest", "external",
					     "auto-external", "auto-internal",
					     NULL };
	const char *one = args_value(a, "pool");
	cleanup_json_ json_t *all = json_array(), *o = NULL;
	int r = 0;

	if (one)
		r = list_pool(c, a, one, all);
	for (size_t i = 0; !one && pools[i] && !r; i++)
		r = list_pool(c, a, pools[i], all);
	if (r)
		return r;
	if (!args_has(a, "json"))
		return print_list(all);
	o = json_pack("{s:O}", "entries", all);
	print_json(o);
	return 0;
}

/* ---- addresses */

static void tell_ip(const char *name, const json_t *reply)
{
	cleanup_json_ json_t *copy = json_copy((json_t *)(uintptr_t)reply);

	(void)name;
	print_object(copy);
}

int cmd_kvp_ip(struct ctl *c, const struct args *a)
{
	const char *const texts[][2] = { { "adapter", a->pos[1] },
					 { NULL, NULL } };

	return ask(c, a, guests_request(a, "kvp.ip"), texts, tell_ip);
}

int cmd_kvp_set_ip(struct ctl *c, const struct args *a)
{
	const char *const texts[][2] = {
		{ "adapter", a->pos[1] },
		{ "address", args_value(a, "address") },
		{ "mask", args_value(a, "mask") },
		{ "gateway", args_value(a, "gateway") },
		{ "dns", args_value(a, "dns") },
		{ NULL, NULL }
	};
	json_t *q = guests_request(a, "kvp.set-ip");

	if (q && args_has(a, "dhcp"))
		json_object_set_new(q, "dhcp", json_true());
	return ask(c, a, q, texts, NULL);
}
