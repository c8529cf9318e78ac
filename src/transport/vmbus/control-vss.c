/* SPDX-License-Identifier: MIT */
/* control-vss.c - the verbs of backup: freeze, thaw */
#include <errno.h>

#include "transport/vmbus/integration-internal.h"

#define HOLD_MS 60000

const char *vss_word(const struct integration *i)
{
	static const char *const words[] = {
		[VSS_THAWED] = "thawed",     [VSS_CHECKING] = "thawed",
		[VSS_FREEZING] = "freezing", [VSS_FROZEN] = "frozen",
		[VSS_THAWING] = "thawing",
	};

	return words[i->set.vss.state];
}

static void no_daemon_there(struct ask *a)
{
	ask_failed(a, EREMOTEIO, 0,
		   "the guest refuses: hv_vss_daemon does not run there, or has failed");
}

static void on_frozen(void *arg, const struct ic_answer *answer, bool no_daemon)
{
	struct ask *a = arg;
	uint64_t ms = a->i->set.vss.hold / 1000000;

	if (no_daemon)
		no_daemon_there(a);
	else if (ask_good(a, answer))
		ask_done(a, json_pack("{s:s, s:I}", "file_systems", "frozen",
				      "thaw_ms", (json_int_t)ms));
}

void vss_verb_freeze(struct ask *a)
{
	json_int_t hold = HOLD_MS;
	int r;

	if (!ask_unpack(a, "{s?I}", "hold_ms", &hold))
		return;
	if (hold < 1 || hold > (int)VSS_HOLD_MAX_MS) {
		ask_failed(a, EINVAL, HVS_REASON_BAD_REQUEST,
			   "hold_ms: 1 to %u", VSS_HOLD_MAX_MS);
		return;
	}
	r = vss_freeze(&a->i->set.vss, a->timeout_ms, (uint32_t)hold,
		       a->lease ? a->session : 0, on_frozen, a);
	if (r == -EBUSY)
		ask_failed(a, EBUSY, HVS_REASON_EXISTS,
			   "the guest is frozen already, or is yet to thaw");
	else
		(void)ask_begun(a, r);
}

static void on_thawed(void *arg, const struct ic_answer *answer, bool no_daemon)
{
	struct ask *a = arg;

	if (no_daemon)
		no_daemon_there(a);
	else if (ask_good(a, answer))
		ask_done(a, json_pack("{s:s}", "file_systems", "thawed"));
}

void vss_verb_thaw(struct ask *a)
{
	int r;

	if (!ask_unpack(a, "{}"))
		return;
	r = vss_thaw(&a->i->set.vss, on_thawed, a);
	if (r == -EALREADY)
		ask_failed(a, EALREADY, HVS_REASON_NOT_FOUND,
			   "the guest is not frozen");
	else if (r == -EBUSY)
		ask_failed(a, EBUSY, HVS_REASON_EXISTS,
			   "a freeze or a thaw is under way");
	else
		(void)ask_begun(a, r);
}
