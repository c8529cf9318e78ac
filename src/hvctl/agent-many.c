/* SPDX-License-Identifier: MIT */
/* agent-many.c - see agent.h: the same of many agents at once */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "hvctl/agent-conn.h"

struct run {
	struct agent_job *job;
	struct agent_conn *conn; /* NULL: over */
	size_t step; /* that is being answered, plus one */
};

static void over(struct run *r, int result)
{
	r->job->result = result;
	if (r->conn)
		r->job->dropped = agent_dropped(r->conn->client);
	r->conn = agent_close(r->conn);
}

/* Begin the next step that there is. Return: true: one was begun */
static bool next_step(struct run *r, const struct agent_step *steps, void *arg)
{
	for (; steps[r->step].command; r->step++) {
		const struct agent_step *s = &steps[r->step];
		json_t *args = NULL;
		int e;

		if (s->make) {
			args = s->make(arg, r->job->answers);
			if (!args)
				continue;
		}
		e = s->silent ? conn_say_silent(r->conn, s->command, args,
						&r->job->err) :
				conn_say(r->conn, s->command, args, 0,
					 &r->job->err);
		if (e) {
			over(r, e);
			return false;
		}
		r->step++;
		return true;
	}
	over(r, 0);
	return false;
}

/* The answer to the step. Return: true: the next one can be asked */
static bool take(struct run *r, const struct agent_step *steps)
{
	size_t i = r->step - 1;
	struct call_error *err = steps[i].optional ? &r->job->refused[i] :
						     &r->job->err;
	int e = conn_take(r->conn, &r->job->answers[i], err);

	if (e && !steps[i].optional)
		over(r, e);
	return r->conn != NULL;
}

/* All that can be done now. */
static void turn(struct run *r, const struct agent_step *steps, void *arg)
{
	while (r->conn) {
		int e = conn_turn(r->conn, &r->job->err);

		if (r->step && !r->conn->out)
			r->job->sent = true;
		if (!e && agent_now_ms() >= r->conn->end_ms)
			e = conn_late(r->conn, &r->job->err);
		if (!e)
			return;
		if (e < 0) {
			over(r, e);
			return;
		}
		if (r->step && !take(r, steps))
			return;
		if (!next_step(r, steps, arg))
			return;
	}
}

static void wait_all(struct run *runs, size_t n, struct pollfd *p)
{
	uint64_t end = UINT64_MAX, now = agent_now_ms();
	nfds_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (!runs[i].conn)
			continue;
		p[k++] = (struct pollfd){ .fd = runs[i].conn->fd,
					  .events = conn_events(runs[i].conn) };
		if (runs[i].conn->end_ms < end)
			end = runs[i].conn->end_ms;
	}
	if (k)
		(void)poll(p, k, end > now ? (int)(end - now) : 0);
}

void agent_run(struct agent_job *jobs, size_t n,
	       const struct agent_step *steps, void *arg, uint32_t timeout_ms)
{
	cleanup_free_ struct run *runs = calloc(n + 1, sizeof(*runs));
	cleanup_free_ struct pollfd *p = calloc(n + 1, sizeof(*p));
	bool more = runs && p;

	for (size_t i = 0; i < n; i++) {
		jobs[i].result = -ENOMEM;
		(void)agent_fail(&jobs[i].err, ENOMEM, "%s", strerror(ENOMEM));
		if (!more)
			continue;
		runs[i].job = &jobs[i];
		jobs[i].result = conn_open(jobs[i].vm, timeout_ms,
					   &runs[i].conn, &jobs[i].err);
	}
	while (more) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			turn(&runs[i], steps, arg);
			more |= runs[i].conn != NULL;
		}
		if (more)
			wait_all(runs, n, p);
	}
}

void agent_job_fini(struct agent_job *j)
{
	for (size_t i = 0; i < AGENT_STEPS; i++)
		json_decref(j->answers[i]);
}
