/* SPDX-License-Identifier: MIT */
/*
 * cmd-shutdown.c - hvctl shutdown, hvctl reboot
 *
 * The guest answers that it will; that it is off is seen at the VMM, or with
 * "hvctl wait". An agent has no answer to give but that it failed: that it
 * goes on, or is gone, is taken for one.
 */
#include <string.h>

#include "hvctl/guests.h"

static json_t *agent_mode(void *arg, json_t *const *answers)
{
	(void)answers;
	return json_pack("{s:s}", "mode", (const char *)arg);
}

static json_t *from_agent(void *arg, const struct agent_job *j)
{
	(void)arg;
	(void)j;
	return json_object();
}

static const struct agent_step steps_off[] = {
	{ .command = "guest-shutdown", .make = agent_mode, .silent = true },
	{ .command = NULL },
};

static const struct agent_step steps_hibernate[] = {
	{ .command = "guest-suspend-disk", .silent = true },
	{ .command = NULL },
};

static int ask(struct ctl *c, const struct args *a, const char *mode,
	       void (*tell)(const char *name, const json_t *reply))
{
	static char off[] = "powerdown", reboot[] = "reboot";
	const char *text = args_value(a, "message");
	json_t *q = guests_request(a, "shutdown");
	struct guests_ask k = {
		.steps = !strcmp(mode, "hibernate") ? steps_hibernate :
						      steps_off,
		.arg = strcmp(mode, "reboot") != 0 ? off : reboot,
		.reply = from_agent,
		.tell = tell,
	};

	if (q && json_object_set_new(q, "mode", json_string(mode)) == 0 &&
	    args_has(a, "force"))
		json_object_set_new(q, "force", json_true());
	if (q && text && json_object_set_new(q, "text", json_string(text)) < 0) {
		json_decref(q);
		return usage("%s: --message is not UTF-8", c->verb);
	}
	k.request = q;
	if (args_has(a, "force"))
		k.no_agent = "an agent does not take --force, which VMBus has (--via=vmbus)";
	else if (text)
		k.no_agent = "an agent does not take --message, which VMBus has (--via=vmbus)";
	return guests_verb(c, a, &k);
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
