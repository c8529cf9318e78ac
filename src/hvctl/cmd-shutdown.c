/* SPDX-License-Identifier: MIT */
/*
 * cmd-shutdown.c - hvctl shutdown, hvctl reboot
 *
 * The guest answers that it will; that it is off is seen at the VMM, or with
 * "hvctl wait".
 */
#include "hvctl/guests.h"

static int ask(struct ctl *c, const struct args *a, const char *mode,
	       void (*tell)(const char *name, const json_t *reply))
{
	const char *text = args_value(a, "message");
	json_t *q = guests_request(a, "shutdown");

	if (q && json_object_set_new(q, "mode", json_string(mode)) == 0 &&
	    args_has(a, "force"))
		json_object_set_new(q, "force", json_true());
	if (q && text && json_object_set_new(q, "text", json_string(text)) < 0) {
		json_decref(q);
		return usage("%s: --message is not UTF-8", c->verb);
	}
	return guests_verb(c, a, q, tell);
}

static void tell_off(const char *name, const json_t *reply)
{
	(void)reply;
	printf("%s: shuts down\n", show(name));
}

static void tell_hibernate(const char *name, const json_t *reply)
{
	(void)reply;
	printf("%s: hibernates\n", show(name));
}

static void tell_reboot(const char *name, const json_t *reply)
{
	(void)reply;
	printf("%s: reboots\n", show(name));
}

int cmd_shutdown(struct ctl *c, const struct args *a)
{
	return args_has(a, "hibernate") ? ask(c, a, "hibernate",
					      tell_hibernate) :
					  ask(c, a, "off", tell_off);
}

int cmd_reboot(struct ctl *c, const struct args *a)
{
	return ask(c, a, "reboot", tell_reboot);
}
