/* SPDX-License-Identifier: MIT */
/*
 * cmd-explain.c - hvctl explain
 *
 * It asks about a connect of the partition that hvctl runs in, so it goes to
 * its own control socket, unless --from names another: that only the host may
 * ask.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "hvctl/endpoint.h"
#include "hvctl/out.h"
#include "hvctl/verbs.h"

static json_t *explain_request(const struct args *a, uint32_t uid)
{
	const char *from = args_value(a, "from");
	json_t *q;
	int r;

	q = json_pack("{s:s, s:s, s:s, s:s}", "method", "explain", "to",
		      a->pos[0], "verb",
		      args_has(a, "bind") ? "bind" : "connect", "type",
		      args_has(a, "dgram") ? "dgram" :
		      args_has(a, "raw")   ? "raw" :
					     "stream");
	r = q ? 0 : -1;
	if (!r && from)
		r = json_object_set_new(q, "from", json_string(from));
	if (!r && args_has(a, "uid"))
		r = json_object_set_new(q, "uid", json_integer(uid));
	if (!r && args_has(a, "profile"))
		r = json_object_set_new(q, "profile",
					json_string(args_value(a, "profile")));
	if (!r && args_has(a, "passthru"))
		r = json_object_set_new(q, "passthru", json_true());
	if (r) {
		json_decref(q);
		return NULL;
	}
	return q;
}

static void explain_print(const json_t *reply, const char *dir)
{
	const json_t *step;
	size_t i;

	if (json_is(reply, "allowed"))
		printf("yes: %s\n", show(json_text(reply, "text")));
	else
		printf("no: %s (%s, %s)\n", show(json_text(reply, "text")),
		       show(json_text(reply, "reason")),
		       show(json_text(reply, "error")));
	json_array_foreach(json_object_get(reply, "steps"), i, step)
		printf("  %zu. %s\n", i + 1, show(json_string_value(step)));
	if (*json_text(reply, "rule"))
		printf("decided by: %s\n", show(json_text(reply, "rule")));
	if (*json_text(reply, "fix"))
		printf("what would change it: %s\n",
		       show(json_text(reply, "fix")));
	printf("broker: %s\n", show(dir));
}

int cmd_explain(struct ctl *c, const struct args *a)
{
	enum call_side side = args_has(a, "from") ? CALL_HOST : CALL_SELF;
	const char *uid_text = args_value(a, "uid");
	cleanup_json_ json_t *reply = NULL;
	struct call_error err;
	uint32_t uid = 0;

	if (uid_text && text_u32(uid_text, &uid))
		return usage("explain: --uid %s: not a number", show(uid_text));
	if (address_form(a->pos[0]))
		return usage("explain: %s: not PARTITION:SERVICE",
			     show(a->pos[0]));
	if (call(c, side, explain_request(a, uid), &reply, &err))
		return say_refused(c, side, a->pos[0], &err);
	if (args_has(a, "json"))
		print_json(reply);
	else
		explain_print(reply, c->side[side].dir);
	return json_is(reply, "allowed") ? 0 : 1;
}
