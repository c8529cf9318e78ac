/* SPDX-License-Identifier: MIT */
/*
 * simulate.c - simulate: what becomes of a partition's connections on Windows
 * when its machine is paused, saved, reset or moved, or the host sleeps
 *
 * The guest itself is left alone. What its transport relays is ended (CLOSE),
 * or held back (STALL); what goes from program to program is beyond anybody's
 * reach, and the answer says how much that is. docs/windows-profile.md, 5, has
 * what Windows does.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "broker/attempt.h"
#include "broker/manage.h"
#include "broker/transport.h"

static const struct event {
	const char *name;
	bool ends; /* all connections */
	bool ends_unless_suspend; /* those without CONNECTED_SUSPEND */
	bool refuses; /* connects under way: the partition is off */
	bool sets; /* the state below; else it stays */
	enum simulated state;
	bool of_host; /* the host's: everybody's connections */
} events[] = {
	{ .name = "pause", .ends_unless_suspend = true, .sets = true,
	  .state = SIMULATED_PAUSED },
	{ .name = "save", .ends_unless_suspend = true, .refuses = true,
	  .sets = true, .state = SIMULATED_SAVED },
	{ .name = "reset", .ends = true, .sets = true },
	{ .name = "migrate", .ends = true, .sets = true },
	{ .name = "host-sleep", .ends = true, .of_host = true },
	{ .name = "resume", .sets = true },
};

const char *simulated_name(enum simulated s)
{
	static const char *const names[] = {
		[SIMULATED_NOTHING] = "running",
		[SIMULATED_PAUSED] = "paused",
		[SIMULATED_SAVED] = "saved",
	};

	return names[s];
}

static const struct event *find_event(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (!strcmp(events[i].name, name))
			return &events[i];
	return NULL;
}

struct simulation {
	struct broker *b;
	const struct event *event;
	const GUID *vmid; /* NULL: everybody */
	uint32_t ended, kept;
};

/* Either end may be the partition's. */
static bool concerns(const struct simulation *s, const struct transport *t,
		     const GUID *from, bool from_host)
{
	return !s->vmid || guid_equal(&t->partition, s->vmid) ||
	       (from_host && guid_equal(from, s->vmid));
}

/* What the guest has not answered yet; parked ones are among the relayed. */
static void end_attempts(struct simulation *s, struct transport *t)
{
	static const char saved[] =
		"the partition was simulated to be saved before the guest answered";
	struct attempt *a, *next;

	DL_FOREACH_SAFE2(t->opens, a, next, open_next) {
		if (!concerns(s, t, &a->partition, true))
			continue;
		if (s->event->refuses) {
			transport_close(t, a->token, HVS_REASON_PARTITION_OFF);
			attempt_opened(a, EHOSTDOWN, HVS_REASON_PARTITION_OFF,
				       saved);
		} else if (s->event->ends && !a->parked) {
			transport_close(t, a->token, HVS_REASON_GUEST_RESET);
		}
	}
}

static void end_connections(struct simulation *s, struct transport *t)
{
	const struct event *e = s->event;
	struct relayed *r, *next;

	HASH_ITER(hh, t->relayed, r, next) {
		if (r->closing || !concerns(s, t, &r->from, r->direction))
			continue;
		if (e->ends ||
		    (e->ends_unless_suspend && !r->suspend && !r->opening)) {
			transport_close(t, r->token, HVS_REASON_GUEST_RESET);
			s->ended++;
		} else {
			s->kept++;
		}
	}
}

static void set_state(struct transport *t, enum simulated state)
{
	bool was = t->simulated != SIMULATED_NOTHING;
	bool is = state != SIMULATED_NOTHING;

	t->simulated = state;
	if (was != is)
		transport_stall(t, is);
}

/* Who may, and whether it can be done at all. False: refused */
static bool check(struct call *c, const struct partition *p,
		  const struct event *e, const struct transport *t)
{
	char direct[32] = "number unknown";
	int n;

	if (p->kind == PARTITION_HOST ? !client_may_change(c->client) :
					!may_attach(c->client, p)) {
		refuse(c->v, HVS_REASON_NOT_PERMITTED,
		       "uid %u does not manage partition \"%s\"",
		       c->client->uid, p->name);
		return false;
	}
	if (p->kind == PARTITION_HOST) {
		if (e->of_host)
			return true;
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "the host can be simulated to sleep (host-sleep), and nothing else");
		return false;
	}
	if (!t) {
		n = connections_direct(c->b, &p->vmid);
		if (n >= 0)
			snprintf(direct, sizeof(direct), "%d now", n);
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "partition \"%s\" has no transport: its connections (%s) go from program to program, and nothing that could end them or hold them back is in between",
		       p->name, direct);
		c->v->error = EOPNOTSUPP;
		return false;
	}
	if (e->sets && e->state != SIMULATED_NOTHING && !t->stalls) {
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "the %s transport of \"%s\" cannot hold connections back",
		       transport_kind_name(t->kind), p->name);
		c->v->error = EOPNOTSUPP;
		return false;
	}
	return true;
}

json_t *manage_simulate(struct call *c)
{
	const char *name, *what;
	const struct partition *p;
	struct simulation s = { .b = c->b };
	struct transport *t, *other, *next;
	int direct;
	json_t *o;

	if (!unpack(c, "{s:s, s:s}", "partition", &name, "event", &what))
		return NULL;
	s.event = find_event(what);
	if (!s.event) {
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "event: pause, save, reset, migrate, host-sleep or resume");
		return NULL;
	}
	p = find_partition(c, name);
	t = p ? transport_find(c->b, &p->vmid) : NULL;
	if (!p || !check(c, p, s.event, t))
		return NULL;
	if (p->kind != PARTITION_HOST)
		s.vmid = &p->vmid;
	HASH_ITER(hh, c->b->transports, other, next) {
		end_attempts(&s, other);
		end_connections(&s, other);
	}
	if (t && s.event->sets)
		set_state(t, s.event->state);
	if (t && s.event->sets && s.event->state == SIMULATED_NOTHING)
		attempts_wake(c->b);
	log_info("partition \"%s\": %s is simulated: %u connections ended",
		 p->name, what, s.ended);
	direct = connections_direct(c->b, &p->vmid);
	o = json_pack("{s:s, s:s, s:s, s:i, s:i}", "partition", p->name,
		      "event", what, "state",
		      simulated_name(t ? t->simulated : SIMULATED_NOTHING),
		      "ended", (int)s.ended, "kept", (int)s.kept);
	json_object_set_new(o, "direct",
			    direct < 0 ? json_null() : json_integer(direct));
	return o;
}
