/* SPDX-License-Identifier: MIT */
/* agent-many.c - see agent.h: the same of many agents at once */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "hvctl/agent-conn.h"

struct run {
	struct agent_job *job;
	struct agent_conn *conn; /* NULL: over */
	size_t next; /* step, to be said */
	unsigned int waiting; /* steps that are said, and not answered */
	bool synced; /* the agent has shown that it listens */
	bool said; /* a step was, ever */
	bool alone; /* one at a time: it does not understand several */
};

static void over(struct run *r, int result)
{
	r->job->result = result;
	if (r->conn)
		r->job->dropped = agent_dropped(r->conn->client);
	r->conn = agent_close(r->conn);
}

/* Return: 0 or -errno */
static int say(struct run *r, const struct agent_step *s, json_t *args)
{
	struct call_error *err = &r->job->err;

	if (r->waiting || !r->synced)
		return conn_say_behind(r->conn, s->command, args, err);
	return s->silent ? conn_say_silent(r->conn, s->command, args, err) :
			   conn_say(r->conn, s->command, args, 0, err);
}

static size_t first_waiting(const struct run *r)
{
	return (size_t)__builtin_ctz(r->waiting);
}

static bool can_be_said(const struct run *r, const struct agent_step *steps)
{
	const struct agent_step *s = &steps[r->next];

	if (!r->synced)
		return s->early;
	/* behind what is silent comes its own */
	return !r->waiting ||
	       !(r->alone || steps[first_waiting(r)].silent || s->silent ||
		 (s->needs & r->waiting));
}

/* All that can be said before the next answer. Return: is anything awaited? */
static bool say_steps(struct run *r, const struct agent_step *steps, void *arg)
{
	const struct agent_step *s;

	for (; (s = &steps[r->next])->command && can_be_said(r, steps);
	     r->next++) {
		json_t *args = s->make ? s->make(arg, r->job->answers) : NULL;
		int e;

		if (s->make && !args)
			continue;
		e = say(r, s, args);
		if (e) {
			over(r, e);
			return false;
		}
		r->waiting |= 1u << r->next;
		r->said = true;
	}
	if (r->waiting || !r->synced)
		return true;
	over(r, 0);
	return false;
}

/* An error that is about no command: it was what it could not read. */
static bool is_about_none(const struct run *r)
{
	const char *text;

	return !r->alone && agent_refusal(r->conn->answer, &text) &&
	       !json_object_get(r->conn->answer, "id");
}

/* The answer to a step. Return: true: others can be said */
static bool take(struct run *r, const struct agent_step *steps)
{
	size_t i = first_waiting(r);
	struct call_error *err = steps[i].optional ? &r->job->refused[i] :
						     &r->job->err;
	int e;

	if (!steps[i].silent && is_about_none(r)) {
		agent_forget(r->conn->client);
		r->alone = true;
		r->waiting = 0;
		r->next = i;
		return true;
	}
	e = conn_take(r->conn, &r->job->answers[i], err);
	r->waiting &= ~(1u << i);
	if (e && !steps[i].optional)
		over(r, e);
	return r->conn != NULL;
}

/* All that can be done now. */
static void turn(struct run *r, const struct agent_step *steps, void *arg)
{
	while (r->conn) {
		int e = conn_turn(r->conn, &r->job->err);

		if (r->said && !r->conn->out)
			r->job->sent = true;
		if (!e && agent_now_ms() >= r->conn->end_ms)
			e = conn_late(r->conn, &r->job->err);
		if (!e)
			return;
		if (e < 0) {
			over(r, e);
			return;
		}
		if (r->synced && !take(r, steps))
			return;
		r->synced = true;
		if (r->waiting)
			conn_next(r->conn, steps[first_waiting(r)].command);
		if (!say_steps(r, steps, arg))
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

/* Of many, the service is asked for once. Return: what to dial it by */
static const char *service_of(const struct agent_job *jobs, size_t n,
			      char *guid)
{
	cleanup_free_ char *text = NULL;
	SOCKADDR_HV addr;

	if (n < 2 || !jobs[0].id ||
	    asprintf(&text, "%s:" AGENT_SERVICE, jobs[0].id) < 0 ||
	    hvs_address_parse(text, &addr) < 0)
		return AGENT_SERVICE; /* each will be told why */
	return hvs_guid_format(&addr.ServiceId, guid);
}

void agent_run(struct agent_job *jobs, size_t n,
	       const struct agent_step *steps, void *arg, uint32_t timeout_ms)
{
	cleanup_free_ struct run *runs = calloc(n + 1, sizeof(*runs));
	cleanup_free_ struct pollfd *p = calloc(n + 1, sizeof(*p));
	bool more = runs && p;
	char guid[HVS_GUID_TEXT_SIZE];
	const char *service = more ? service_of(jobs, n, guid) : NULL;
	const char *vm;

	for (size_t i = 0; i < n; i++) {
		jobs[i].result = -ENOMEM;
		(void)agent_fail(&jobs[i].err, ENOMEM, "%s", strerror(ENOMEM));
		if (!more)
			continue;
		runs[i].job = &jobs[i];
		vm = service == guid && jobs[i].id ? jobs[i].id : jobs[i].vm;
		jobs[i].result = conn_open(vm, service, timeout_ms,
					   &runs[i].conn, &jobs[i].err);
		if (runs[i].conn)
			(void)say_steps(&runs[i], steps, arg);
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
