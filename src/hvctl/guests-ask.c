/* SPDX-License-Identifier: MIT */
/* guests-ask.c - see guests.h: asking them, and telling what they said */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "hvctl/guests.h"
#include "proto/message.h"

struct answer {
	json_t *reply; /* NULL: err says why */
	struct call_error err;
};

struct asking {
	struct ctl *c;
	const struct guests *g;
	struct guests_ask *ask;
	struct answer *answers;
	size_t *places; /* of a request among the answers */
	bool second; /* requests are */
};

static void keep_answer(struct answer *n, const char *via, json_t *reply,
			const struct call_error *err)
{
	n->reply = json_deep_copy(reply);
	n->err = *err;
	if (reply && (!n->reply ||
		      json_object_set_new(n->reply, "via",
					  json_string(via)) < 0)) {
		json_decref(n->reply);
		n->reply = NULL;
		n->err = (struct call_error){ .error = ENOMEM };
	}
}

static void on_got(void *arg, size_t i, json_t *reply,
		   const struct call_error *err)
{
	struct asking *k = arg;
	struct answer *n = &k->answers[k->places[i]];
	json_t *both;

	if (!k->second) {
		keep_answer(n, "vmbus", reply, err);
		return;
	}
	if (!n->reply)
		return;
	both = k->ask->merge(k->ask->arg, n->reply, reply);
	json_decref(n->reply);
	keep_answer(n, "vmbus", both, &(struct call_error){ .error = ENOMEM });
	json_decref(both);
}

static json_t *request_to(const struct asking *k, const char *name)
{
	json_t *q = json_copy(k->second ? k->ask->second_request :
					  k->ask->request);

	if (q && json_object_set_new(q, "partition", json_string(name)) == 0)
		return q;
	json_decref(q);
	return NULL;
}

static int ask_vmbus(struct asking *k)
{
	json_t **requests = calloc(k->g->n + 1, sizeof(json_t *));
	size_t n = 0;
	int r = 0;

	if (!requests || !k->ask->request) {
		free(requests);
		return guests_no_memory(k->c);
	}
	for (size_t i = 0; !r && i < k->g->n; i++) {
		if (k->g->agent[i])
			continue;
		k->places[n] = i;
		requests[n] = request_to(k, k->g->names[i]);
		if (!requests[n])
			r = usage("%s: %s is not UTF-8", k->c->verb,
				  show(k->g->names[i]));
		else
			n++;
	}
	if (!r && n)
		(void)call_many(k->c, requests, n, on_got, k);
	for (size_t i = 0; i < n; i++)
		json_decref(requests[i]);
	free(requests);
	return r;
}

static void answer_of(const struct asking *k, const struct agent_job *j,
		      struct answer *n)
{
	json_t *reply = j->result ? NULL : k->ask->reply(k->ask->arg, j);
	struct call_error err = j->err;

	if (!j->result && !reply)
		err = (struct call_error){ .error = EPROTO,
			.text = "its agent's answer is not what it should be" };
	keep_answer(n, "agent", reply, &err);
	json_decref(reply);
}

static void run_agents(struct asking *k, struct agent_job *jobs, size_t n,
		       uint32_t timeout_ms)
{
	if (k->ask->no_agent || !k->ask->steps)
		for (size_t i = 0; i < n; i++) {
			jobs[i].result = -EOPNOTSUPP;
			jobs[i].err.error = EOPNOTSUPP;
			snprintf(jobs[i].err.text, sizeof(jobs[i].err.text),
				 "%s", k->ask->no_agent ? k->ask->no_agent :
				 "only a guest on VMBus has this (--via=vmbus)");
		}
	else if (k->ask->run)
		k->ask->run(k->ask->arg, jobs, n, timeout_ms);
	else
		agent_run(jobs, n, k->ask->steps, k->ask->arg, timeout_ms);
}

static int ask_agents(struct asking *k, uint32_t timeout_ms)
{
	struct agent_job *jobs = calloc(k->g->n + 1, sizeof(*jobs));
	size_t n = 0;

	if (!jobs)
		return guests_no_memory(k->c);
	for (size_t i = 0; i < k->g->n; i++)
		if (k->g->agent[i]) {
			jobs[n].vm = k->g->names[i];
			jobs[n].id = k->g->ids[i];
			k->places[n++] = i;
		}
	if (n)
		run_agents(k, jobs, n, timeout_ms);
	for (size_t i = 0; i < n; i++) {
		answer_of(k, &jobs[i], &k->answers[k->places[i]]);
		agent_job_fini(&jobs[i]);
	}
	free(jobs);
	return 0;
}

/* ---- telling */

static json_t *error_json(const struct asking *k, size_t i)
{
	const struct call_error *err = &k->answers[i].err;

	return json_pack("{s:{s:i, s:s, s:s}, s:s}", "error", "errno",
			 err->error, "reason",
			 err->reason ? reason_name(err->reason) : "", "text",
			 err->text[0] ? err->text : strerror(err->error),
			 "via", k->g->agent[i] ? "agent" : "vmbus");
}

static int say_error(const struct asking *k, size_t i)
{
	return say_refused(k->c, k->g->agent[i] ? CALL_SELF : CALL_HOST,
			   k->g->names[i], &k->answers[i].err);
}

static int print_all(const struct asking *k)
{
	cleanup_json_ json_t *all = json_object();
	int r = 0;

	for (size_t i = 0; i < k->g->n; i++) {
		const struct answer *n = &k->answers[i];

		json_object_set_new(all, k->g->names[i],
				    n->reply ? json_incref(n->reply) :
					       error_json(k, i));
		if (!n->reply)
			r = say_error(k, i);
	}
	print_json(all);
	return r;
}

/* Which way, where it is not the one that was always taken. */
static void say_way(const struct asking *k)
{
	size_t n = 0;
	const char *name = NULL;

	for (size_t i = 0; i < k->g->n; i++)
		if (k->g->agent[i] && k->answers[i].reply && ++n)
			name = k->g->names[i];
	if (!k->g->chosen || !n)
		return;
	if (n == 1)
		(void)complain("%s %s: via agent", k->c->verb, show(name));
	else
		(void)complain("%s: via agent: %zu of %zu", k->c->verb, n,
			       k->g->n);
}

static int tell_all(const struct asking *k, const struct args *a)
{
	bool json = args_has(a, "json");
	int r = 0;

	if (json && k->g->many)
		return print_all(k);
	if (!json)
		say_way(k);
	for (size_t i = 0; i < k->g->n; i++) {
		const struct answer *n = &k->answers[i];

		if (!n->reply)
			r = say_error(k, i);
		else if (json)
			print_json(n->reply);
		else if (k->ask->tell)
			k->ask->tell(k->g->names[i], n->reply);
	}
	return r;
}

int guests_do(struct ctl *c, const struct args *a, const struct guests *g,
	      struct guests_ask *ask)
{
	struct asking k = { .c = c, .g = g, .ask = ask };
	int r;

	k.answers = calloc(g->n + 1, sizeof(*k.answers));
	k.places = calloc(g->n + 1, sizeof(*k.places));
	r = k.answers && k.places ? ask_vmbus(&k) : guests_no_memory(c);
	k.second = ask->second_request != NULL;
	if (!r && k.second)
		r = ask_vmbus(&k);
	if (!r)
		r = ask_agents(&k, guests_timeout(a));
	for (size_t i = 0; !r && ask->more && i < g->n; i++)
		if (k.answers[i].reply)
			ask->more(ask->arg, g->names[i], k.answers[i].reply);
	if (!r)
		r = tell_all(&k, a);
	for (size_t i = 0; k.answers && i < g->n; i++) {
		json_t *reply = k.answers[i].reply;

		if (!r && ask->good && !ask->good(reply))
			r = 1;
		json_decref(reply);
	}
	free(k.answers);
	free(k.places);
	json_decref(ask->request);
	json_decref(ask->second_request);
	return r;
}

int guests_ask(struct ctl *c, const struct args *a, const struct guests *g,
	       json_t *request,
	       void (*tell)(const char *name, const json_t *reply))
{
	struct guests_ask ask = { .request = request, .tell = tell };

	return guests_do(c, a, g, &ask);
}

int guests_verb(struct ctl *c, const struct args *a, struct guests_ask *ask)
{
	struct guests g;
	int r;

	if (!ask->request)
		return 2;
	r = guests_find(c, a, ask->steps != NULL, &g);
	if (r) {
		json_decref(ask->request);
		json_decref(ask->second_request);
		return r;
	}
	r = guests_do(c, a, &g, ask);
	guests_fini(&g);
	return r;
}

uint32_t guests_timeout(const struct args *a)
{
	const char *timeout = args_value(a, "timeout");
	uint32_t ms = 0;

	/* guests_request() has said what is wrong with it */
	return timeout && !text_seconds(timeout, &ms) ? ms : 0;
}

json_t *guests_request(const struct args *a, const char *verb)
{
	const char *timeout = args_value(a, "timeout");
	json_t *o = json_pack("{s:s, s:s}", "method", "integration", "verb",
			      verb);
	uint32_t ms;

	if (!timeout)
		return o;
	if (text_seconds(timeout, &ms) < 0 ||
	    ms > HVSOCKET_CONNECT_TIMEOUT_MAX) {
		(void)usage("--timeout %s: seconds, at most 300",
			    show(timeout));
		json_decref(o);
		return NULL;
	}
	json_object_set_new(o, "timeout_ms", json_integer(ms));
	return o;
}
