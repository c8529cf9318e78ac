/* SPDX-License-Identifier: MIT */
/* manage-state.c - calls that show what there is: status, listeners,
 * connections, names, wait, reload */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/guid.h"
#include "broker/attempt.h"
#include "broker/dgram.h"
#include "broker/diag.h"
#include "broker/manage.h"
#include "broker/resolve.h"
#include "broker/rules.h"
#include "broker/transport.h"
#include "broker/uplink.h"
#include "config.h"

/* ---- status --------------------------------------------------------------*/

static json_t *problems_json(const struct broker *b)
{
	const struct registry_problem *p;
	size_t n = registry_problems(b->registry, &p);
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			a, json_pack("{s:s, s:i, s:s}", "file", p[i].file,
				     "line", (int)p[i].line, "reason",
				     p[i].reason));
	return a;
}

static json_t *counter_json(const struct counter *c)
{
	return json_pack("{s:I, s:o}", "opened", (json_int_t)c->opened,
			 "refused", refused_json(c->refused));
}

static json_t *counters_json(struct broker *b, const struct counter *table,
			     bool services)
{
	const struct counter *c;
	json_t *o = json_object();

	for (c = table; c; c = c->hh.next) {
		const struct service *s;
		char g[GUID_TEXT_SIZE];
		const char *name = guid_format(&c->id, g);

		if (services) {
			s = registry_service(b->registry, &c->id);
			if (s)
				name = s->name;
		} else if (registry_partition(b->registry, &c->id)) {
			name = partition_name(b, &c->id);
		}
		json_object_set_new(o, name, counter_json(c));
	}
	return o;
}

static size_t count_relayed(const struct broker *b)
{
	const struct transport *t;
	const struct relayed *r;
	size_t n = 0;

	for (t = b->transports; t; t = t->hh.next)
		for (r = t->relayed; r; r = r->hh.next)
			n += !transport_told_twice(b, t, r);
	return n;
}

static json_t *datagrams_json(const struct dgrams *d)
{
	json_t *dropped = json_object();

	for (uint32_t i = 0; i < DROP_COUNT; i++)
		if (d->drops.dropped[i])
			json_object_set_new(
				dropped, drop_name(i),
				json_integer((json_int_t)d->drops.dropped[i]));
	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:o}", "relay",
			 d->relay ? json_integer(d->relay->pid) : json_null(),
			 "sockets", (json_int_t)HASH_COUNT(d->sockets),
			 "uplinks", (json_int_t)HASH_COUNT(d->uplinks), "sent",
			 (json_int_t)d->drops.sent, "delivered",
			 (json_int_t)d->drops.delivered, "dropped", dropped);
}

static json_t *uplink_json(const struct uplinks *u)
{
	const char *why = uplink_down(u);
	char place[UPLINK_PATH_MAX + 6];
	json_t *o;

	if (u->place.kind == UPLINK_NONE)
		return json_null();
	o = json_pack("{s:s, s:s}", "place",
		      uplink_place_text(&u->place, place), "state",
		      why ? "down" : "up");
	if (why) {
		json_object_set_new(o, "why", json_string(why));
	} else {
		json_object_set_new(o, "id", json_guid(&u->vmid));
		json_object_set_new(o, "name", json_string(u->name));
		json_object_set_new(
			o, "datagrams",
			dgram_uplink_find(u->b->dgrams, &guid_parent) ?
				json_string("up") :
				json_string(uplink_dgram_down(u)));
	}
	return o;
}

static void status_all(struct broker *b, json_t *o)
{
	json_t *dirs = json_array();

	for (size_t i = 0; i < b->config_dirs_n; i++)
		json_array_append_new(dirs,
				      json_string(b->config_dirs[i].path));
	json_object_set_new(o, "config_dirs", dirs);
	json_object_set_new(o, "services_dir",
			    b->services_dir ? json_string(b->services_dir) :
					      json_null());
	json_object_set_new(o, "partitions_dir",
			    b->partitions_dir ? json_string(b->partitions_dir) :
						json_null());
	json_object_set_new(
		o, "partitions",
		json_integer(
			(json_int_t)registry_partition_count(b->registry)));
	json_object_set_new(
		o, "services",
		json_integer((json_int_t)registry_service_count(b->registry)));
	json_object_set_new(o, "listeners",
			    json_integer((json_int_t)b->listeners.count));
	json_object_set_new(o, "connections",
			    json_integer((json_int_t)count_relayed(b)));
	json_object_set_new(o, "counters",
			    json_pack("{s:I, s:o}", "opened",
				      (json_int_t)b->opened, "refused",
				      refused_json(b->refused)));
	json_object_set_new(o, "services_counters",
			    counters_json(b, b->service_counters, true));
	json_object_set_new(o, "partitions_counters",
			    counters_json(b, b->partition_counters, false));
	json_object_set_new(o, "datagrams", datagrams_json(b->dgrams));
	json_object_set_new(o, "uplink", uplink_json(b->uplinks));
	json_object_set_new(o, "problems", problems_json(b));
}

json_t *manage_status(struct call *c)
{
	struct broker *b = c->b;
	const GUID *self = &c->client->door->partition;
	json_t *o;

	if (!unpack(c, "{}"))
		return NULL;
	o = json_pack("{s:s, s:i, s:i, s:s, s:s, s:I, s:s}", "version",
		      HVSOCKET_VERSION, "pid", (int)getpid(), "uid",
		      (int)geteuid(), "runtime_dir", b->runtime_dir, "profile",
		      profile_name(b->world.profile), "started", (json_int_t)b->started,
		      "partition", partition_name(b, self));
	if (!o)
		return NULL;
	json_object_set_new(o, "epoch", json_guid(&b->epoch));
	if (guid_is_zero(self))
		status_all(b, o);
	return o;
}

/* ---- listeners -----------------------------------------------------------*/

/* Listeners times partitions: so many are decided for one call. */
#define COVERS_MAX 16384

struct cover {
	struct broker *b;
	const struct listener *l;
	json_t *array;
};

static int add_cover(const struct partition *p, void *arg)
{
	struct cover *c = arg;
	struct verdict v;

	if (guid_equal(&p->vmid, &c->l->name.partition))
		return 0;
	verdict_init(&v);
	decide_covers(&c->b->world, c->l, p, &v);
	/* not of partitions that could not even address it */
	if (v.reason == HVS_REASON_PARTITION_UNKNOWN)
		return 0;
	return json_array_append_new(
		c->array,
		json_pack("{s:s, s:b, s:s, s:s}", "partition", p->name, "ok",
			  v.reason == 0, "reason", reason_name(v.reason),
			  "text", v.text));
}

static const char *type_name(uint8_t type)
{
	switch (type) {
	case SOCK_STREAM:
		return "stream";
	case SOCK_DGRAM:
		return "dgram";
	default:
		return "raw";
	}
}

static json_t *listener_json(struct broker *b, const struct listener *l,
			     size_t *budget)
{
	const struct service *s = registry_service(b->registry,
						   &l->name.service);
	const char *word = guid_special_name(&l->name.vmid);
	json_t *o = json_object();

	json_object_set_new(o, "partition",
			    json_string(partition_name(b, &l->name.partition)));
	json_object_set_new(o, "vmid", json_guid(&l->name.vmid));
	json_object_set_new(o, "bound", json_string(word ? word : "exact"));
	if (!word)
		json_object_set_new(
			o, "bound_name",
			json_string(partition_name(b, &l->name.vmid)));
	json_object_set_new(o, "service", json_guid(&l->name.service));
	json_object_set_new(o, "service_name",
			    s ? json_string(s->name) : json_null());
	json_object_set_new(o, "type",
			    json_string(type_name(l->name.type)));
	json_object_set_new(o, "uid", json_integer(l->name.uid));
	if (l->pid)
		json_object_set_new(o, "pid", json_integer(l->pid));
	if (*budget && (guid_is_zero(&l->name.vmid) ||
			guid_equal(&l->name.vmid, &guid_children))) {
		struct cover c = { .b = b, .l = l, .array = json_array() };

		size_t n = registry_partition_count(b->registry);

		*budget -= n < *budget ? n : *budget;
		registry_each_partition(b->registry, add_cover, &c);
		json_object_set_new(o, "covers", c.array);
	}
	return o;
}

json_t *manage_listeners(struct call *c)
{
	struct broker *b = c->b;
	struct listener *l, *next;
	const char *service = NULL;
	size_t budget = COVERS_MAX;
	json_t *a;
	GUID id;

	if (!unpack(c, "{s?s}", "service", &service))
		return NULL;
	if (service && !resolve_service(b, service, &id)) {
		refuse(c->v, HVS_REASON_NOT_FOUND,
		       "no service is named \"%.100s\"", service);
		return NULL;
	}
	a = json_array();
	for (l = b->listeners.all; l; l = next) {
		next = l->next;
		if (service && !guid_equal(&l->name.service, &id))
			continue;
		if (!listener_alive(l))
			bind_forget(b, l);
		else
			json_array_append_new(a, listener_json(b, l, &budget));
	}
	return json_pack("{s:o}", "listeners", a);
}

/* ---- connections ---------------------------------------------------------*/

struct connections {
	struct broker *b;
	json_t *array;
};

static json_t *service_name_json(const struct broker *b, const GUID *id)
{
	const struct service *s = registry_service(b->registry, id);

	return s ? json_string(s->name) : json_null();
}

static json_t *connection_json(const struct broker *b, uint64_t token,
			       const char *from, const char *to,
			       const GUID *service, uint16_t type,
			       const char *state, const char *via, uint32_t uid)
{
	char text[20];
	json_t *o = json_object();

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)token);
	json_object_set_new(o, "token", json_string(text));
	json_object_set_new(o, "from", json_string(from));
	json_object_set_new(o, "to", json_string(to));
	json_object_set_new(o, "service", json_guid(service));
	json_object_set_new(o, "service_name", service_name_json(b, service));
	json_object_set_new(o, "type", json_string(type == SOCK_STREAM ?
							   "stream" :
							   "raw"));
	json_object_set_new(o, "state", json_string(state));
	json_object_set_new(o, "via", json_string(via));
	if (uid != NAME_UID_NONE)
		json_object_set_new(o, "uid", json_integer(uid));
	return o;
}

/* Who the connector is, by what its listener sees. False: not known */
static bool connector_partition(const struct broker *b,
				const struct connector_name *n,
				const struct listener_name *l, GUID *ret)
{
	const struct partition *p = registry_partition(b->registry,
						       &l->partition);

	*ret = n->peer;
	if (guid_equal(&n->peer, &guid_loopback))
		*ret = l->partition;
	else if (guid_equal(&n->peer, &guid_parent) && p)
		*ret = p->parent;
	return p || !guid_equal(&n->peer, &guid_parent);
}

static int add_direct(const struct connector_name *n,
		      const struct listener_name *l, void *arg)
{
	struct connections *c = arg;
	GUID from;
	bool known = connector_partition(c->b, n, l, &from);

	if (n->flags & CONNECTOR_GUEST)
		return 0; /* told by its transport */
	return json_array_append_new(
		c->array, connection_json(c->b, n->token,
					  known ? partition_name(c->b, &from) :
						  "?",
					  partition_name(c->b, &l->partition),
					  &l->service, n->type, "connected",
					  "direct", n->uid));
}

struct direct {
	const struct broker *b;
	const GUID *vmid;
	int n;
};

static int count_direct(const struct connector_name *n,
			const struct listener_name *l, void *arg)
{
	struct direct *d = arg;
	GUID from;

	if (!(n->flags & CONNECTOR_GUEST) &&
	    (guid_equal(&l->partition, d->vmid) ||
	     (connector_partition(d->b, n, l, &from) &&
	      guid_equal(&from, d->vmid))))
		d->n++;
	return 0;
}

int connections_direct(const struct broker *b, const GUID *vmid)
{
	struct direct d = { .b = b, .vmid = vmid };
	int r = diag_connections(b->mark, count_direct, &d);

	return r < 0 ? r : d.n;
}

/* Whom a connection over an uplink reaches. */
static const char *dialled_name(const struct broker *b,
				const struct relayed *r)
{
	const struct partition *from = partition_find(&b->world, &r->from);
	const struct partition *to = partition_find(&b->world, &r->dest);

	if (from && guid_equal(&r->dest, &guid_parent) &&
	    from != b->world.parent)
		to = parent_of(&b->world, from);
	return to ? to->name : "?";
}

/* Whom a guest has dialled. */
static const char *reached_name(const struct broker *b,
				const struct transport *t,
				const struct relayed *r)
{
	const struct partition *p = partition_find(&b->world, &t->partition);

	if (!guid_special_name(&r->dest))
		p = partition_find(&b->world, &r->dest);
	else if (p)
		p = parent_of(&b->world, p);
	return p ? p->name : "?";
}

static void add_relayed(struct connections *c, const struct transport *t)
{
	struct broker *b = c->b;
	const struct relayed *r;

	for (r = t->relayed; r; r = r->hh.next) {
		const char *guest = partition_name(b, &t->partition);
		const char *other = partition_name(b, &r->from);
		json_t *o;

		if (transport_told_twice(b, t, r))
			continue;
		if (uplink_is_relay(t))
			guest = dialled_name(b, r);
		if (!r->direction) {
			other = guest;
			guest = reached_name(b, t, r);
		}
		o = connection_json(b, r->token, other, guest, &r->service,
				    r->type,
				    r->opening ? "opening" : "connected",
				    transport_kind_name(t->kind), r->uid);
		json_object_set_new(o, "bytes_in",
				    json_integer((json_int_t)r->from_guest));
		json_object_set_new(o, "bytes_out",
				    json_integer((json_int_t)r->to_guest));
		json_array_append_new(c->array, o);
	}
}

json_t *manage_connections(struct call *c)
{
	struct connections all = { .b = c->b };
	const struct transport *t;

	if (!unpack(c, "{}"))
		return NULL;
	all.array = json_array();
	for (t = c->b->transports; t; t = t->hh.next) {
		add_relayed(&all, t);
		transport_ask_counters(c->b, t); /* for the next time */
	}
	(void)diag_connections(c->b->mark, add_direct, &all);
	return json_pack("{s:o}", "connections", all.array);
}

/* ---- names, wait, reload -------------------------------------------------*/

static int add_partition_name(const struct partition *p, void *arg)
{
	char g[GUID_TEXT_SIZE];

	return json_object_set_new(arg, guid_format(&p->vmid, g),
				   json_string(p->name));
}

static int add_service_name(const struct service *s, void *arg)
{
	char g[GUID_TEXT_SIZE];

	return json_object_set_new(arg, guid_format(&s->id, g),
				   json_string(s->name));
}

json_t *manage_names(struct call *c)
{
	json_t *partitions, *services;

	if (!unpack(c, "{}"))
		return NULL;
	partitions = json_object();
	services = json_object();
	if (guid_is_zero(&c->client->door->partition))
		registry_each_partition(c->b->registry, add_partition_name,
					partitions);
	registry_each_service(c->b->registry, add_service_name, services);
	return json_pack("{s:o, s:o}", "partitions", partitions, "services",
			 services);
}

json_t *manage_wait(struct call *c)
{
	const char *to, *type = "stream";
	struct attempt a;
	int timeout_ms = 0;

	if (!unpack(c, "{s:s, s?i, s?s}", "to", &to, "timeout_ms", &timeout_ms,
		    "type", &type))
		return NULL;
	if (timeout_ms < 0 || timeout_ms > HVSOCKET_CONNECT_TIMEOUT_MAX ||
	    (strcmp(type, "stream") != 0 && strcmp(type, "raw") != 0)) {
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "timeout_ms: 0 to 300000; type: stream or raw");
		return NULL;
	}
	a = (struct attempt){
		.b = c->b,
		.client = c->client,
		.request = MSG_CALL,
		.serial = c->serial,
		.fd = -1,
		.type = strcmp(type, "raw") == 0 ? SOCK_SEQPACKET : SOCK_STREAM,
		.partition = c->client->door->partition,
		.uid = c->client->uid,
		.profile = c->client->profile,
		.flags = CONNECT_WAIT,
		.deadline_ns = attempt_deadline((uint32_t)timeout_ms),
		.token = broker_token(c->b),
	};
	if (!parse_address(c, &a.partition, to, &a.dest))
		return NULL;
	a.source = guid_from_port(0x80000000u | (uint32_t)a.token);
	c->later = true;
	attempt_start(&a);
	return NULL;
}

json_t *manage_reload(struct call *c)
{
	if (!unpack(c, "{}"))
		return NULL;
	registry_reload(c->b->registry);
	broker_changed(c->b);
	return json_pack("{s:o}", "problems", problems_json(c->b));
}
