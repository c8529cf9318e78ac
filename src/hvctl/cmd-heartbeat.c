/* SPDX-License-Identifier: MIT */
/* cmd-heartbeat.c - hvctl heartbeat: does the guest's kernel live? */
#include <string.h>

#include "hvctl/guests.h"

static bool all_well;

static void tell(const char *name, const json_t *reply)
{
	bool well = !strcmp(json_text(reply, "heartbeat"), "ok");

	all_well &= well;
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
	int r;

	all_well = true;
	r = guests_verb(c, a, guests_request(a, "heartbeat"), tell);
	return r ? r : !all_well;
}
