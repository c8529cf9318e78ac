/* SPDX-License-Identifier: MIT */
/*
 * cmd-simulate.c - hvctl simulate PARTITION EVENT
 *
 * The broker does it. What it cannot reach is told, and makes the exit status
 * 1: whoever tests how a program bears the event is not to believe that it
 * took place.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "hvctl/out.h"
#include "hvctl/verbs.h"

static bool known(const char *event)
{
	static const char *const events[] = { "pause", "save", "reset",
					      "migrate", "host-sleep",
					      "resume" };

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (!strcmp(events[i], event))
			return true;
	return false;
}

int cmd_simulate(struct ctl *c, const struct args *a)
{
	const char *name = a->pos[0], *event = a->pos[1];
	cleanup_json_ json_t *reply = NULL;
	uint64_t direct;

	if (!known(event))
		return usage("simulate: %s: there are pause, save, reset, "
			     "migrate, host-sleep and resume", show(event));
	if (call_or_say(c, json_pack("{s:s, s:s, s:s}", "method", "simulate",
				     "partition", name, "event", event),
			name, &reply))
		return 1;
	if (args_has(a, "json"))
		print_json(reply);
	else
		printf("%s is %s: connections ended: %" PRIu64
		       ", kept: %" PRIu64 "\n",
		       show(json_text(reply, "partition")),
		       show(json_text(reply, "state")),
		       json_number(reply, "ended"), json_number(reply, "kept"));
	if (!json_is_integer(json_object_get(reply, "direct")))
		return complain("simulate %s: whether connections go from "
				"program to program, where they are not reached, "
				"is not known here", show(name));
	direct = json_number(reply, "direct");
	if (!direct)
		return 0;
	return complain("simulate %s: %" PRIu64 " of its connections go from "
			"program to program and were not reached", show(name),
			direct);
}
