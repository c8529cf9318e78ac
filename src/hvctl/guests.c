/* SPDX-License-Identifier: MIT */
/* guests.c - see guests.h */
#include "hvctl/guests.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/message.h"

static int no_memory(const struct ctl *c)
{
	return complain("%s: %s", c->verb, strerror(ENOMEM));
}

void guests_fini(struct guests *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->names[i]);
	free(g->names);
	*g = (struct guests){ 0 };
}

static int add(struct guests *g, const char *name)
{
	char **more;

	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->names[i], name))
			return 0;
	more = realloc(g->names, (g->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	g->names = more;
	g->names[g->n] = strdup(name);
	return g->names[g->n] ? (g->n++, 0) : -ENOMEM;
}

int guests_one(const char *name, struct guests *ret)
{
	*ret = (struct guests){ 0 };
	return add(ret, name);
}

/* Those of the broker's whose transport has what is asked for. */
static int add_matching(struct guests *g, const json_t *list,
			const char *pattern)
{
	size_t i, before = g->n;
	json_t *p;

	json_array_foreach(list, i, p) {
		const char *name = json_text(p, "name");

		if (strcmp(json_text(p, "transport"), "vmbus") != 0 ||
		    fnmatch(pattern, name, 0) != 0)
			continue;
		if (add(g, name) < 0)
			return -ENOMEM;
	}
	return g->n == before ? -ENOENT : 0;
}

static bool is_pattern(const char *s)
{
	return strpbrk(s, "*?[") != NULL;
}

static int find(struct ctl *c, const struct args *a, struct guests *g)
{
	cleanup_json_ json_t *reply = NULL;
	const json_t *list = NULL;
	bool all = args_has(a, "all");
	int r;

	g->many = all || a->npos > 1;
	if (all && a->npos)
		return usage("%s: --all, and names", c->verb);
	if (!all && !a->npos)
		return usage("%s: which VM? A name, a pattern, or --all",
			     c->verb);
	for (size_t i = 0; i < a->npos; i++)
		g->many |= is_pattern(a->pos[i]);
	if (g->many) {
		if (call_or_say(c, json_pack("{s:s}", "method",
					     "partition.list"), NULL, &reply))
			return 1;
		list = json_object_get(reply, "partitions");
	}
	if (all) {
		r = add_matching(g, list, "*");
		if (r == -ENOENT)
			return complain("%s: no VM is on VMBus now", c->verb);
		return r ? no_memory(c) : 0;
	}
	for (size_t i = 0; i < a->npos; i++) {
		r = is_pattern(a->pos[i]) ? add_matching(g, list, a->pos[i]) :
					    add(g, a->pos[i]);
		if (r == -ENOENT)
			return complain("%s: no VM on VMBus matches %s",
					c->verb, show(a->pos[i]));
		if (r)
			return no_memory(c);
	}
	return 0;
}

int guests_find(struct ctl *c, const struct args *a, struct guests *ret)
{
	int r;

	*ret = (struct guests){ 0 };
	r = find(c, a, ret);
	if (r)
		guests_fini(ret);
	return r;
}

/* ---- asking */

struct asking {
	struct answer {
		json_t *reply;
		struct call_error err;
	} *answers;
};

static void on_got(void *arg, size_t i, json_t *reply,
		   const struct call_error *err)
{
	struct asking *k = arg;

	k->answers[i].reply = json_incref(reply);
	k->answers[i].err = *err;
}

static json_t *error_json(const struct call_error *err)
{
	return json_pack("{s:{s:i, s:s, s:s}}", "error", "errno", err->error,
			 "reason", err->reason ? reason_name(err->reason) : "",
			 "text", err->text[0] ? err->text :
						strerror(err->error));
}

static int print_all(struct ctl *c, const struct guests *g,
		     const struct asking *k)
{
	cleanup_json_ json_t *all = json_object();
	int r = 0;

	for (size_t i = 0; i < g->n; i++) {
		const struct answer *n = &k->answers[i];

		json_object_set_new(all, g->names[i],
				    n->reply ? json_incref(n->reply) :
					       error_json(&n->err));
		if (!n->reply)
			r = say_refused(c, CALL_HOST, g->names[i], &n->err);
	}
	print_json(all);
	return r;
}

static int tell_all(struct ctl *c, const struct args *a, const struct guests *g,
		    const struct asking *k,
		    void (*tell)(const char *name, const json_t *reply))
{
	bool json = args_has(a, "json");
	int r = 0;

	if (json && g->many)
		return print_all(c, g, k);
	for (size_t i = 0; i < g->n; i++) {
		const struct answer *n = &k->answers[i];

		if (!n->reply)
			r = say_refused(c, CALL_HOST, g->names[i], &n->err);
		else if (json)
			print_json(n->reply);
		else if (tell)
			tell(g->names[i], n->reply);
	}
	return r;
}

int guests_ask(struct ctl *c, const struct args *a, const struct guests *g,
	       json_t *request,
	       void (*tell)(const char *name, const json_t *reply))
{
	json_t **requests = calloc(g->n + 1, sizeof(json_t *));
	struct asking k = { calloc(g->n + 1, sizeof(*k.answers)) };
	int r = 1;

	for (size_t i = 0; requests && i < g->n; i++) {
		requests[i] = json_copy(request);
		if (json_object_set_new(requests[i], "partition",
					json_string(g->names[i])) < 0) {
			r = usage("%s: %s is not UTF-8", c->verb,
				  show(g->names[i]));
			goto end;
		}
	}
	if (!request || !requests || !k.answers)
		goto out;
	(void)call_many(c, requests, g->n, on_got, &k);
	r = tell_all(c, a, g, &k, tell);
	for (size_t i = 0; i < g->n; i++) {
		json_t *reply = k.answers[i].reply;

		if (!r && g->good && !g->good(reply))
			r = 1;
		json_decref(reply);
	}
	goto end;
out:
	(void)no_memory(c);
end:
	for (size_t i = 0; requests && i < g->n; i++)
		json_decref(requests[i]);
	free(requests);
	free(k.answers);
	json_decref(request);
	return r;
}

int guests_verb(struct ctl *c, const struct args *a, json_t *request,
		void (*tell)(const char *name, const json_t *reply))
{
	struct guests g;
	int r;

	if (!request)
		return 2;
	r = guests_find(c, a, &g);
	if (r) {
		json_decref(request);
		return r;
	}
	r = guests_ask(c, a, &g, request, tell);
	guests_fini(&g);
	return r;
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
