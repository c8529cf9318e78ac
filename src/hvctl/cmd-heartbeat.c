/* SPDX-License-Identifier: MIT */
/* cmd-heartbeat.c - hvctl heartbeat: does the guest's kernel live? */
#include <string.h>

#include "hvctl/guests.h"

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
	json_t *q = guests_request(a, "heartbeat");
	struct guests g;
	int r;

	if (!q)
		return 2;
	r = guests_find(c, a, &g);
	if (r) {
		json_decref(q);
		return r;
	}
	g.good = is_well;
	r = guests_ask(c, a, &g, q, tell);
	guests_fini(&g);
	return r;
}
