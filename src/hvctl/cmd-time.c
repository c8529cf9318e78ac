/* SPDX-License-Identifier: MIT */
/* cmd-time.c - hvctl time: the guest's clock is set to the host's */
#include "hvctl/guests.h"

static void tell(const char *name, const json_t *reply)
{
	(void)reply;
	printf("%s: clock set\n", show(name));
}

int cmd_time(struct ctl *c, const struct args *a)
{
	return guests_verb(c, a, guests_request(a, "time"), tell);
}
