/* SPDX-License-Identifier: MIT */
/*
 * cmd-heartbeat.c - hvctl heartbeat: does the guest live?
 *
 * On VMBus its kernel, which answers by itself; else its agent.
 */
#include <string.h>

#include "hvctl/guests.h"

static const struct agent_step steps[] = {
	{ .command = "guest-ping", .early = true },
	{ .command = NULL },
};

static json_t *from_agent(void *arg, const struct agent_job *j)
{
	(void)arg;
	(void)j;
	return json_pack("{s:s, s:s}", "heartbeat", "ok", "application",
			 "unknown");
}

static bool is_well(const json_t *reply)
{
	return !strcmp(json_text(reply, "heartbeat"), "ok");
}

static void tell(const char *name, const json_t *reply)
{
	printf("%s: %s, applications %s", show(name),
	       show(json_text(reply, "heartbeat")),
	       show(json_text(reply, "application")));
	if (json_object_get(reply, "age_ms"))
		printf(", last answer %.1f s ago",
		       (double)json_number(reply, "age_ms") / 1000);
	printf("\n");
}

int cmd_heartbeat(struct ctl *c, const struct args *a)
{
	struct guests_ask ask = { .request = guests_request(a, "heartbeat"),
				  .steps = steps,
				  .reply = from_agent,
				  .tell = tell,
				  .good = is_well };

	return guests_verb(c, a, &ask);
}
