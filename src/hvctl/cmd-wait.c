/* SPDX-License-Identifier: MIT */
/*
 * cmd-wait.c - hvctl wait: until a service listens, or a guest has started
 *
 * For a service the partition's own broker is asked, as a connect would be. For
 * a virtual machine the host's: it hears what the guest's systemd says, and
 * when the driver comes up. Only an agent has to be tried again and again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "hvctl/agent.h"
#include "hvctl/endpoint.h"
#include "hvctl/out.h"
#include "hvctl/verbs.h"

#define SLICE_MS 60000 /* one request; the broker keeps it that long */
#define SETTLE_MS 30000
#define AGENT_AGAIN_MS 500

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static json_int_t slice(uint64_t end)
{
	uint64_t now = now_ms(), left = end > now ? end - now : 1;

	return (json_int_t)(left < SLICE_MS ? left : SLICE_MS);
}

/* ---- a service */

static int wait_service(struct ctl *c, const struct args *a, const char *to,
			uint64_t end)
{
	struct call_error err;

	for (;;) {
		cleanup_json_ json_t *reply = NULL;

		if (!call(c, CALL_SELF,
			  json_pack("{s:s, s:s, s:s, s:I}", "method", "wait",
				    "to", to, "type",
				    args_has(a, "raw") ? "raw" : "stream",
				    "timeout_ms", slice(end)),
			  &reply, &err))
			return 0;
		if (err.error != ETIMEDOUT || now_ms() >= end)
			return say_refused(c, CALL_SELF, to, &err);
	}
}

/* ---- a virtual machine */

enum way { WAY_ANY, WAY_READY, WAY_DRIVER, WAY_AGENT };

/* @settle_ms 0: that the driver is there is not enough. Return: 0, or hvctl's
 * exit code */
static int ask_broker(struct ctl *c, const char *vm, bool driver,
		      uint32_t settle_ms, uint64_t end, json_t **ret)
{
	struct call_error err;

	for (;;) {
		if (!call(c, CALL_HOST,
			  json_pack("{s:s, s:s, s:s, s:I, s:I}", "method",
				    "partition.wait", "partition", vm, "until",
				    driver ? "driver" : "ready", "settle_ms",
				    (json_int_t)settle_ms, "timeout_ms",
				    slice(end)),
			  ret, &err))
			return 0;
		if (err.error != ETIMEDOUT || now_ms() >= end)
			return say_refused(c, CALL_HOST, vm, &err);
	}
}

/* Nothing says when an agent comes up. */
static int try_agent(struct ctl *c, const char *vm, uint64_t end)
{
	const struct timespec again = { .tv_nsec = AGENT_AGAIN_MS * 1000000l };
	struct agent_conn *agent;
	struct call_error err;

	for (;;) {
		uint64_t left = (uint64_t)slice(end);

		if (left > AGENT_TIMEOUT_MS)
			left = AGENT_TIMEOUT_MS;
		if (!agent_open(vm, (uint32_t)left, &agent, &err)) {
			agent_close(agent);
			return 0;
		}
		if (err.error == EACCES || err.error == ENOENT ||
		    now_ms() >= end)
			return say_refused(c, CALL_SELF, vm, &err);
		nanosleep(&again, NULL);
	}
}

static void tell(const json_t *reply, uint32_t settle_ms)
{
	const char *way = json_text(reply, "way");
	const char *status = json_text(reply, "status");

	printf("%s: ", show(json_text(reply, "partition")));
	if (!strcmp(way, "agent"))
		printf("its agent answers\n");
	else if (!strcmp(way, "ready"))
		printf("ready%s%s\n", *status ? ": " : "", show(status));
	else if (settle_ms)
		printf("its driver is up; that it is ready was not said "
		       "within %.3g s\n",
		       settle_ms / 1000.0);
	else
		printf("its driver is up\n");
}

static int wait_vm(struct ctl *c, const struct args *a, const char *vm,
		   enum way way, uint32_t settle_ms, uint64_t end)
{
	cleanup_json_ json_t *reply = NULL;
	int r;

	if (way != WAY_ANY)
		settle_ms = 0;
	r = ask_broker(c, vm, way == WAY_DRIVER || way == WAY_AGENT, settle_ms,
		       end, &reply);
	if (r == 0 && way == WAY_AGENT) {
		r = try_agent(c, vm, end);
		if (r == 0)
			json_object_set_new(reply, "way", json_string("agent"));
	}
	if (r)
		return r;
	if (args_has(a, "json"))
		print_json(reply);
	else
		tell(reply, settle_ms);
	return 0;
}

static bool way_named(const char *text, enum way *ret)
{
	static const char *const names[] = { "", "ready", "driver", "agent" };

	for (enum way w = WAY_READY; w <= WAY_AGENT; w++) {
		if (!strcmp(text, names[w])) {
			*ret = w;
			return true;
		}
	}
	return false;
}

int cmd_wait(struct ctl *c, const struct args *a)
{
	const char *timeout = args_value(a, "timeout");
	const char *settle = args_value(a, "settle");
	const char *via = args_value(a, "via");
	uint32_t ms = 0, settle_ms = SETTLE_MS;
	const char *to = a->pos[0];
	enum way way = WAY_ANY;
	bool vm = !strchr(to, ':');
	uint64_t end;

	if (timeout && text_seconds(timeout, &ms))
		return usage("wait: --timeout %s: not a number of seconds up "
			     "to 86400",
			     show(timeout));
	if (settle && text_seconds(settle, &settle_ms))
		return usage("wait: --settle %s: not a number of seconds up "
			     "to 86400",
			     show(settle));
	if (via && !way_named(via, &way))
		return usage("wait: --via %s: ready, driver or agent",
			     show(via));
	if (!vm && (via || settle || args_has(a, "json")))
		return usage("wait: --via, --settle and --json are for a VM: "
			     "its name, without a service");
	if (vm && args_has(a, "raw"))
		return usage("wait: --raw is for a service: PARTITION:SERVICE");
	if (settle && way != WAY_ANY)
		return usage("wait: --settle says when the driver is enough; "
			     "--via %s does, too",
			     show(via));
	end = timeout ? now_ms() + ms : UINT64_MAX;
	if (vm)
		return wait_vm(c, a, to, way, settle_ms ? settle_ms : 1, end);
	if (address_form(to))
		return usage("wait: %s: not PARTITION:SERVICE", show(to));
	return wait_service(c, a, to, end);
}
