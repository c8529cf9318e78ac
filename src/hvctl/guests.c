/* SPDX-License-Identifier: MIT */
/* guests.c - see guests.h: which VMs */
#include "hvctl/guests.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

int guests_no_memory(const struct ctl *c)
{
	return complain("%s: %s", c->verb, strerror(ENOMEM));
}

void guests_fini(struct guests *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free(g->names[i]);
		free(g->ids[i]);
	}
	free(g->names);
	free(g->ids);
	free(g->agent);
	*g = (struct guests){ 0 };
}

static int add(struct guests *g, const char *name, const char *id,
	       bool agent)
{
	char **more;
	bool *ways;

	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->names[i], name))
			return 0;
	more = realloc(g->names, (g->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	g->names = more;
	more = realloc(g->ids, (g->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	g->ids = more;
	ways = realloc(g->agent, (g->n + 1) * sizeof(*ways));
	if (!ways)
		return -ENOMEM;
	g->agent = ways;
	g->agent[g->n] = agent;
	g->ids[g->n] = id && *id ? strdup(id) : NULL; /* none: by name */
	g->names[g->n] = strdup(name);
	if (g->names[g->n++])
		return 0;
	free(g->ids[--g->n]);
	return -ENOMEM;
}

int guests_one(const char *name, struct guests *ret)
{
	*ret = (struct guests){ 0 };
	return add(ret, name, NULL, false);
}

enum via { VIA_VMBUS, VIA_AGENT, VIA_CHOSEN };

struct finding {
	struct guests *g;
	const json_t *list; /* of partitions; NULL: not needed */
	enum via via;
};

static bool on_vmbus(const json_t *p)
{
	return !strcmp(json_text(p, "transport"), "vmbus");
}

static bool is_off(const json_t *p)
{
	return !strcmp(json_text(p, "state"), "off");
}

static bool by_agent(const struct finding *f, const json_t *p)
{
	return f->via == VIA_AGENT || (f->via == VIA_CHOSEN && !on_vmbus(p));
}

/* Those of the broker's VMs whose guest is there. */
static int add_matching(const struct finding *f, const char *pattern)
{
	size_t i, before = f->g->n;
	json_t *p;

	json_array_foreach(f->list, i, p) {
		const char *name = json_text(p, "name");

		if (is_off(p) || strcmp(json_text(p, "kind"), "vm") != 0 ||
		    (f->via == VIA_VMBUS && !on_vmbus(p)) ||
		    fnmatch(pattern, name, 0) != 0)
			continue;
		if (add(f->g, name, json_text(p, "id"), by_agent(f, p)) < 0)
			return -ENOMEM;
	}
	return f->g->n == before ? -ENOENT : 0;
}

static int add_named(const struct finding *f, const char *name)
{
	size_t i;
	json_t *p;

	json_array_foreach(f->list, i, p)
		if (!strcmp(json_text(p, "name"), name) ||
		    !strcasecmp(json_text(p, "id"), name))
			return add(f->g, name, json_text(p, "id"), by_agent(f, p));
	/* nobody's: the broker will say so */
	return add(f->g, name, NULL, f->via == VIA_AGENT);
}

static bool is_pattern(const char *s)
{
	return strpbrk(s, "*?[") != NULL;
}

/* Return: 0 or hvctl's exit code */
static int parse_via(const struct ctl *c, const struct args *a, bool agents,
		     enum via *ret)
{
	const char *via = args_value(a, "via");

	*ret = agents ? VIA_CHOSEN : VIA_VMBUS;
	if (!via)
		return 0;
	if (strcmp(via, "vmbus") != 0 && strcmp(via, "agent") != 0)
		return usage("%s: --via=%s: it is vmbus or agent", c->verb,
			     show(via));
	*ret = *via == 'v' ? VIA_VMBUS : VIA_AGENT;
	return 0;
}

static const char *whereabouts(const struct finding *f)
{
	return f->via == VIA_VMBUS ? "on VMBus" : "attached";
}

static int find(struct ctl *c, const struct args *a, bool agents,
		struct guests *g)
{
	cleanup_json_ json_t *reply = NULL;
	struct finding f = { .g = g };
	bool all = args_has(a, "all");
	int r;

	g->many = all || a->npos > 1;
	if (all && a->npos)
		return usage("%s: --all, and names", c->verb);
	if (!all && !a->npos)
		return usage("%s: which VM? A name, a pattern, or --all",
			     c->verb);
	r = parse_via(c, a, agents, &f.via);
	if (r)
		return r;
	g->chosen = f.via == VIA_CHOSEN;
	for (size_t i = 0; i < a->npos; i++)
		g->many |= is_pattern(a->pos[i]);
	if (g->many || f.via == VIA_CHOSEN) {
		if (call_or_say(c, json_pack("{s:s}", "method",
					     "partition.list"), NULL, &reply))
			return 1;
		f.list = json_object_get(reply, "partitions");
	}
	if (all) {
		r = add_matching(&f, "*");
		if (r == -ENOENT)
			return complain("%s: no VM is %s now", c->verb,
					whereabouts(&f));
		return r ? guests_no_memory(c) : 0;
	}
	for (size_t i = 0; i < a->npos; i++) {
		r = is_pattern(a->pos[i]) ? add_matching(&f, a->pos[i]) :
					    add_named(&f, a->pos[i]);
		if (r == -ENOENT)
			return complain("%s: no VM %s matches %s", c->verb,
					whereabouts(&f), show(a->pos[i]));
		if (r)
			return guests_no_memory(c);
	}
	return 0;
}

int guests_find(struct ctl *c, const struct args *a, bool agents,
		struct guests *ret)
{
	int r;

	*ret = (struct guests){ 0 };
	r = find(c, a, agents, ret);
	if (r)
		guests_fini(ret);
	return r;
}
