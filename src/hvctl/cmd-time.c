/* SPDX-License-Identifier: MIT */
/*
 * cmd-time.c - hvctl time: the guest's clock is set to the host's
 *
 * An agent sets the system's clock, and then has hwclock(8) set the machine's;
 * where that fails (there is none) the whole command has failed, in its words.
 * So what time it is there is asked afterwards.
 */
#include <errno.h>
#include <stdint.h>
#include <time.h>

#include "hvctl/guests.h"

#define CLOSE_NS 2000000000 /* is set: the way there and back takes some */

static int64_t host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static json_t *now(void *arg, json_t *const *answers)
{
	(void)arg;
	(void)answers;
	return json_pack("{s:I}", "time", (json_int_t)host_ns());
}

static const struct agent_step steps[] = {
	{ .command = "guest-set-time", .make = now, .optional = true },
	{ .command = "guest-get-time", .optional = true },
	{ .command = NULL },
};

static void run(void *arg, struct agent_job *jobs, size_t n,
		uint32_t timeout_ms)
{
	agent_run(jobs, n, steps, arg, timeout_ms);
	for (size_t i = 0; i < n; i++) {
		struct agent_job *j = &jobs[i];
		int64_t off;

		if (j->result || j->answers[0])
			continue;
		off = (int64_t)json_integer_value(j->answers[1]) - host_ns();
		if (j->refused[0].error == EREMOTEIO &&
		    json_is_integer(j->answers[1]) && off > -CLOSE_NS &&
		    off < CLOSE_NS)
			continue;
		j->result = -j->refused[0].error;
		j->err = j->refused[0];
	}
}

static json_t *from_agent(void *arg, const struct agent_job *j)
{
	(void)arg;
	return json_pack("{s:b}", "hardware_clock", j->answers[0] != NULL);
}

static void tell(const char *name, const json_t *reply)
{
	bool only = json_is_false(json_object_get(reply, "hardware_clock"));

	printf("%s: clock set%s\n", show(name),
	       only ? ", but not the one that it boots with" : "");
}

int cmd_time(struct ctl *c, const struct args *a)
{
	struct guests_ask ask = { .request = guests_request(a, "time"),
				  .steps = steps,
				  .run = run,
				  .reply = from_agent,
				  .tell = tell };

	return guests_verb(c, a, &ask);
}
