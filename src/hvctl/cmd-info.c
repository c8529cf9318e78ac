/* SPDX-License-Identifier: MIT */
/*
 * cmd-info.c - hvctl info: what a guest says about itself
 *
 * Facts from different sources under the same names: key-value exchange and
 * the list of integration services on VMBus, else the agent; and from the
 * broker what the guest's systemd has told it by itself. What a source does not
 * have is left out, and what the guest refuses to tell as well.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "hvctl/guests.h"

#define ADDRESSES_MAX 256

enum { PING, SYSTEM, HOST_NAME, ADDRESSES, ABOUT, OPEN, READ, CLOSE };

static json_t *open_uptime(void *arg, json_t *const *answers)
{
	(void)arg;
	(void)answers;
	return json_pack("{s:s}", "path", "/proc/uptime");
}

static json_t *handle(void *arg, json_t *const *answers)
{
	(void)arg;
	return json_is_integer(answers[OPEN]) ?
		       json_pack("{s:O}", "handle", answers[OPEN]) :
		       NULL;
}

static const struct agent_step steps[] = {
	[PING] = { .command = "guest-ping", .early = true },
	[SYSTEM] = { .command = "guest-get-osinfo",
		     .early = true,
		     .optional = true },
	[HOST_NAME] = { .command = "guest-get-host-name",
			.early = true,
			.optional = true },
	[ADDRESSES] = { .command = "guest-network-get-interfaces",
			.early = true,
			.optional = true },
	[ABOUT] = { .command = "guest-info", .early = true, .optional = true },
	[OPEN] = { .command = "guest-file-open",
		   .make = open_uptime,
		   .optional = true },
	[READ] = { .command = "guest-file-read",
		   .needs = 1u << OPEN,
		   .make = handle,
		   .optional = true },
	[CLOSE] = { .command = "guest-file-close",
		    .needs = 1u << OPEN,
		    .make = handle,
		    .optional = true },
	{ .command = NULL },
};

_Static_assert(CLOSE < AGENT_STEPS, "too many steps");

/* The first one counts. */
static void put_text(json_t *o, const char *key, const json_t *from,
		     const char *name)
{
	const char *text = json_text(from, name);

	if (*text && !json_object_get(o, key))
		json_object_set_new(o, key, json_string(text));
}

static void put_object(json_t *o, const char *key, json_t *value)
{
	if (json_object_size(value))
		json_object_set(o, key, value);
}

/* ---- of an agent */

static void put_uptime(json_t *o, const json_t *read)
{
	const char *text = json_text(read, "buf-b64");
	cleanup_free_ char *data = NULL;
	char *end;
	size_t len;
	double s;

	if (base64_decode(text, strlen(text), &data, &len) < 0)
		return;
	s = strtod(data, &end);
	if (end != data && s >= 0 && s < 1e12)
		json_object_set_new(o, "uptime_s", json_integer((json_int_t)s));
}

static void put_addresses(json_t *list, const json_t *interface)
{
	const json_t *all = json_object_get(interface, "ip-addresses");
	size_t i;
	json_t *v;

	if (!strcmp(json_text(interface, "name"), "lo"))
		return;
	json_array_foreach(all, i, v) {
		const char *text = json_text(v, "ip-address");

		if (*text && json_array_size(list) < ADDRESSES_MAX)
			json_array_append_new(list, json_string(text));
	}
}

static json_t *disabled_commands(const json_t *about)
{
	json_t *list = json_array();
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(about, "supported_commands"), i, v)
		if (json_is_false(json_object_get(v, "enabled")))
			json_array_append_new(list, json_string(json_text(
							v, "name")));
	return list;
}

static json_t *from_agent(void *arg, const struct agent_job *j)
{
	cleanup_json_ json_t *o = json_object(), *os = json_object();
	cleanup_json_ json_t *agent = json_object(), *list = json_array();
	size_t i;
	json_t *v;

	(void)arg;
	put_text(o, "host_name", j->answers[HOST_NAME], "host-name");
	put_text(os, "name", j->answers[SYSTEM], "pretty-name");
	put_text(os, "name", j->answers[SYSTEM], "name");
	put_text(os, "version", j->answers[SYSTEM], "version-id");
	put_text(os, "kernel", j->answers[SYSTEM], "kernel-release");
	put_text(os, "machine", j->answers[SYSTEM], "machine");
	put_object(o, "os", os);
	json_array_foreach(j->answers[ADDRESSES], i, v)
		put_addresses(list, v);
	if (j->answers[ADDRESSES])
		json_object_set(o, "addresses", list);
	put_uptime(o, j->answers[READ]);
	json_object_set_new(agent, "name", json_string(AGENT_SERVICE));
	json_object_set_new(agent, "state", json_string("ok"));
	put_text(agent, "version", j->answers[ABOUT], "version");
	if (j->answers[ABOUT])
		json_object_set_new(agent, "disabled",
				    disabled_commands(j->answers[ABOUT]));
	json_object_set_new(o, "services", json_pack("[O]", agent));
	return json_incref(o);
}

/* ---- on VMBus */

static void split_addresses(json_t *list, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, ";");

		if (n && json_array_size(list) < ADDRESSES_MAX)
			json_array_append_new(list, json_stringn(text, n));
		text += n + (text[n] == ';');
	}
}

static void put_pair(json_t *o, json_t *os, json_t *list, const char *key,
		     const json_t *entry)
{
	static const char *const names[][2] = {
		{ "OSName", "name" },
		{ "OSMajorVersion", "version" },
		{ "OSBuildNumber", "kernel" }, /* the whole of it */
		{ "OSVersion", "kernel" },
		{ "ProcessorArchitecture", "machine" },
	};

	if (!strcmp(key, "FullyQualifiedDomainName"))
		put_text(o, "host_name", entry, "value");
	if (!strcmp(key, "NetworkAddressIPv4") ||
	    !strcmp(key, "NetworkAddressIPv6"))
		split_addresses(list, json_text(entry, "value"));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(key, names[i][0]))
			put_text(os, names[i][1], entry, "value");
}

static json_t *from_vmbus(void *arg, const json_t *services,
			  const json_t *pairs)
{
	cleanup_json_ json_t *o = json_object(), *os = json_object();
	cleanup_json_ json_t *list = json_array();
	size_t i;
	json_t *v;

	(void)arg;
	json_array_foreach(json_object_get(pairs, "entries"), i, v)
		put_pair(o, os, list, json_text(v, "key"), v);
	put_object(o, "os", os);
	if (pairs)
		json_object_set(o, "addresses", list);
	json_object_set(o, "services", json_object_get(services, "services"));
	return json_incref(o);
}

/* ---- what the broker was told: @arg is its list of partitions, or NULL */

static void put_said(void *arg, const char *name, json_t *reply)
{
	size_t i;
	json_t *p;

	json_array_foreach(arg, i, p) {
		if (strcmp(json_text(p, "name"), name) != 0 &&
		    strcasecmp(json_text(p, "id"), name) != 0)
			continue;
		put_text(reply, "ready", p, "ready");
		put_text(reply, "status", p, "status");
	}
}

/* ---- for people */

static void line(const char *key, const char *text)
{
	if (*text)
		printf("  %-10s%s\n", key, show(text));
}

static void tell_services(const json_t *list)
{
	const char *key = "services";
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v) {
		const char *version = json_text(v, "version");
		size_t off = json_array_size(json_object_get(v, "disabled"));

		printf("  %-10s%s%s%s: %s", key, show(json_text(v, "name")),
		       *version ? " " : "", show(version),
		       show(json_text(v, "state")));
		if (off)
			printf(", %zu of its commands disabled", off);
		printf("\n");
		key = "";
	}
}

static void tell_uptime(uint64_t s)
{
	printf("  %-10s", "uptime");
	if (s >= 86400)
		printf("%" PRIu64 " days ", s / 86400);
	printf("%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "\n",
	       s / 3600 % 24, s / 60 % 60, s % 60);
}

/* As "hvctl wait" says it. */
static void tell_ready(const char *ready, const char *status)
{
	if (*ready && *status)
		printf("  %-10s%s: %s\n", "state", show(ready), show(status));
	else
		line("state", *ready ? ready : status);
}

static void tell(const char *name, const json_t *o)
{
	const json_t *os = json_object_get(o, "os");
	const char *key = "addresses";
	size_t i;
	json_t *v;

	printf("%s\n", show(name));
	line("host name", json_text(o, "host_name"));
	line("system", json_text(os, "name"));
	line("version", json_text(os, "version"));
	line("kernel", json_text(os, "kernel"));
	line("machine", json_text(os, "machine"));
	json_array_foreach(json_object_get(o, "addresses"), i, v) {
		printf("  %-10s%s\n", key, show(json_string_value(v)));
		key = "";
	}
	if (json_object_get(o, "uptime_s"))
		tell_uptime(json_number(o, "uptime_s"));
	tell_ready(json_text(o, "ready"), json_text(o, "status"));
	tell_services(json_object_get(o, "services"));
}

int cmd_info(struct ctl *c, const struct args *a)
{
	json_t *pairs = guests_request(a, "kvp.list");
	cleanup_json_ json_t *list = NULL;
	struct call_error err;
	struct guests_ask ask = { .request = guests_request(a, "list"),
				  .second_request = pairs,
				  .merge = from_vmbus,
				  .steps = steps,
				  .reply = from_agent,
				  .more = put_said,
				  .tell = tell };

	if (pairs)
		json_object_set_new(pairs, "pool", json_string("auto"));
	/* (why it cannot be had, the verb itself will say) */
	if (!call(c, CALL_HOST, json_pack("{s:s}", "method", "partition.list"),
		  &list, &err))
		ask.arg = json_object_get(list, "partitions");
	return guests_verb(c, a, &ask);
}
