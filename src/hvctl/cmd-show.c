/* SPDX-License-Identifier: MIT */
/* cmd-show.c - hvctl listeners, connections, status, reload */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "hvctl/covers.h"
#include "hvctl/out.h"
#include "hvctl/verbs.h"

static int finish(const struct ctl *c, const struct table *t)
{
	if (!t || table_print(t, stdout))
		return complain("%s: %s", c->verb, strerror(ENOMEM));
	return 0;
}

static int ask(struct ctl *c, const char *method, json_t **ret)
{
	return call_or_say(c, json_pack("{s:s}", "method", method), NULL, ret);
}

static void cell_optional(struct table *t, const json_t *o, const char *key)
{
	if (json_is_integer(json_object_get(o, key)))
		table_cell_uint(t, json_number(o, key));
	else
		table_cell(t, NULL);
}

static void cell_service(struct table *t, const json_t *o)
{
	const char *name = json_text(o, "service_name");

	table_cell(t, *name ? name : json_text(o, "service"));
}

int cmd_listeners(struct ctl *c, const struct args *a)
{
	static const char *const heads[] = { "PARTITION", "HEARS", "SERVICE",
					     "TYPE", "UID", "PID", NULL };
	cleanup_table_ struct table *t = table_new(heads);
	cleanup_json_ json_t *reply = NULL;
	const json_t *l;
	size_t i;

	if (ask(c, "listeners", &reply))
		return 1;
	if (args_has(a, "json")) {
		print_json(reply);
		return 0;
	}
	json_array_foreach(json_object_get(reply, "listeners"), i, l) {
		if (!t)
			break;
		table_cell(t, json_text(l, "partition"));
		table_cell(t, strcmp(json_text(l, "bound"), "exact")
				      ? json_text(l, "bound")
				      : json_text(l, "vmid"));
		cell_service(t, l);
		table_cell(t, json_text(l, "type"));
		cell_optional(t, l, "uid");
		cell_optional(t, l, "pid");
	}
	if (finish(c, t))
		return 1;
	if (!args_has(a, "verbose"))
		return 0;
	json_array_foreach(json_object_get(reply, "listeners"), i, l) {
		const char *name = json_text(l, "service_name");

		if (!json_array_size(json_object_get(l, "covers")))
			continue;
		printf("\n%s:%s of %s covers\n", show(json_text(l, "bound")),
		       show(*name ? name : json_text(l, "service")),
		       show(json_text(l, "partition")));
		covers_print(l, "  ", stdout);
	}
	return 0;
}

int cmd_connections(struct ctl *c, const struct args *a)
{
	static const char *const heads[] = { "FROM",  "TO",  "SERVICE",
					     "TYPE",  "STATE", "VIA",
					     "UID",   "IN",  "OUT",
					     NULL };
	cleanup_table_ struct table *t = table_new(heads);
	cleanup_json_ json_t *reply = NULL;
	const json_t *l;
	size_t i;

	if (ask(c, "connections", &reply))
		return 1;
	if (args_has(a, "json")) {
		print_json(reply);
		return 0;
	}
	json_array_foreach(json_object_get(reply, "connections"), i, l) {
		if (!t)
			break;
		table_cell(t, json_text(l, "from"));
		table_cell(t, json_text(l, "to"));
		cell_service(t, l);
		table_cell(t, json_text(l, "type"));
		table_cell(t, json_text(l, "state"));
		table_cell(t, json_text(l, "via"));
		cell_optional(t, l, "uid");
		cell_optional(t, l, "bytes_in");
		cell_optional(t, l, "bytes_out");
	}
	return finish(c, t);
}

static int print_counters(const char *head, json_t *all)
{
	const char *const heads[] = { head, "OPENED", "REFUSED", NULL };
	cleanup_table_ struct table *t = NULL;
	char text[400];

	if (!json_object_size(all))
		return 0;
	t = table_new(heads);
	if (!t)
		return -ENOMEM;
	for (void *it = json_object_iter(all); it;
	     it = json_object_iter_next(all, it)) {
		const json_t *v = json_object_iter_value(it);

		counts_text(json_object_get(v, "refused"), text, sizeof(text));
		table_cell(t, json_object_iter_key(it));
		table_cell_uint(t, json_number(v, "opened"));
		table_cell(t, text);
	}
	fputc('\n', stdout);
	return table_print(t, stdout);
}

static void print_problems(const json_t *reply)
{
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(reply, "problems"), i, p) {
		uint64_t line = json_number(p, "line");
		char at[24] = "";

		if (line)
			snprintf(at, sizeof(at), ":%" PRIu64, line);
		printf("problem: %s%s: %s\n", show(json_text(p, "file")), at,
		       show(json_text(p, "reason")));
	}
}

static void print_field(const char *label, const char *value)
{
	if (*value)
		printf("%-14s%s\n", label, show(value));
}

static void print_broker(const json_t *reply)
{
	time_t started = (time_t)json_number(reply, "started");
	const json_t *dir;
	char when[40] = "";
	struct tm tm;
	size_t i;

	printf("%-14shvsocketd %s, pid %" PRIu64 ", uid %" PRIu64 "\n",
	       "broker", show(json_text(reply, "version")),
	       json_number(reply, "pid"), json_number(reply, "uid"));
	print_field("directory", json_text(reply, "runtime_dir"));
	print_field("profile", json_text(reply, "profile"));
	if (started && localtime_r(&started, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	print_field("started", when);
	json_array_foreach(json_object_get(reply, "config_dirs"), i, dir)
		print_field(i ? "" : "configuration",
			    json_string_value(dir) ? json_string_value(dir)
						   : "");
}

static void print_datagrams(const json_t *d)
{
	char text[400];

	if (!json_number(d, "sockets") && !json_number(d, "sent") &&
	    !json_number(d, "uplinks"))
		return;
	counts_text(json_object_get(d, "dropped"), text, sizeof(text));
	printf("%-14s%" PRIu64 " sockets, %" PRIu64 " sent, %" PRIu64
	       " delivered",
	       "datagrams", json_number(d, "sockets"), json_number(d, "sent"),
	       json_number(d, "delivered"));
	if (json_number(d, "uplinks"))
		printf(", %" PRIu64 " uplinks", json_number(d, "uplinks"));
	printf("\n%-14s%s\n", "dropped", text);
}

/* Of a broker in a guest. */
static void print_uplink(const json_t *u)
{
	const char *datagrams = json_text(u, "datagrams");

	if (!json_is_object(u))
		return;
	printf("%-14s%s, %s\n", "uplink", show(json_text(u, "place")),
	       json_text(u, "state"));
	if (*json_text(u, "why"))
		printf("%-14s%s\n", "", show(json_text(u, "why")));
	else
		printf("%-14sthe host knows this machine as %s (%s)\n", "",
		       show(json_text(u, "name")), json_text(u, "id"));
	if (strcmp(datagrams, "up") == 0)
		printf("%-14sdatagrams go over it\n", "");
	else if (*datagrams)
		printf("%-14sno datagrams: %s\n", "", show(datagrams));
}

int cmd_status(struct ctl *c, const struct args *a)
{
	static const char *const counts[] = { "partitions", "services",
					      "listeners", "connections" };
	cleanup_json_ json_t *reply = NULL;
	const json_t *counters;
	struct call_error err;
	enum call_side side = CALL_HOST;
	char text[400];
	int r;

	/* A partition may ask too, about itself. */
	r = call(c, side, json_pack("{s:s}", "method", "status"), &reply,
		 &err);
	if (r)
		return say_refused(c, side, NULL, &err);
	if (args_has(a, "json")) {
		print_json(reply);
		return 0;
	}
	print_broker(reply);
	for (size_t i = 0; i < 4; i++)
		if (json_object_get(reply, counts[i]))
			printf("%-14s%" PRIu64 "\n", counts[i],
			       json_number(reply, counts[i]));
	counters = json_object_get(reply, "counters");
	counts_text(json_object_get(counters, "refused"), text, sizeof(text));
	printf("%-14s%" PRIu64 "\n%-14s%s\n", "opened",
	       json_number(counters, "opened"), "refused", text);
	print_uplink(json_object_get(reply, "uplink"));
	print_datagrams(json_object_get(reply, "datagrams"));
	r = print_counters("SERVICE",
			   json_object_get(reply, "services_counters"));
	if (!r)
		r = print_counters("PARTITION", json_object_get(
					reply, "partitions_counters"));
	if (r)
		return complain("status: %s", strerror(-r));
	if (json_array_size(json_object_get(reply, "problems"))) {
		fputc('\n', stdout);
		print_problems(reply);
	}
	return 0;
}

int cmd_reload(struct ctl *c, const struct args *a)
{
	cleanup_json_ json_t *reply = NULL;

	if (ask(c, "reload", &reply))
		return 1;
	if (args_has(a, "json"))
		print_json(reply);
	else
		print_problems(reply);
	return 0;
}
