/* SPDX-License-Identifier: MIT */
/* manage-partition.c - partition.* calls */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "broker/dgram.h"
#include "broker/manage.h"
#include "broker/transport.h"

static const char *state_of(const struct broker *b, const struct partition *p)
{
	const struct transport *t = transport_find(b, &p->vmid);

	if (t && t->simulated != SIMULATED_NOTHING)
		return simulated_name(t->simulated);
	switch (b->world.attached(b->world.arg, &p->vmid)) {
	case ATTACHED_LOCAL:
	case ATTACHED_TRANSPORT:
		return "running";
	case ATTACHED_NOBODY:
	case ATTACHED_TRANSPORT_OFF:
	case ATTACHED_TRANSPORT_SAVED:
		break;
	}
	return p->kind == PARTITION_HOST ? "running" : "off";
}

static json_t *partition_json(struct broker *b, const struct partition *p)
{
	cleanup_free_ char *dir = door_directory(b, &p->vmid);
	const struct transport *t = transport_find(b, &p->vmid);
	const struct door *d = door_find(b, &p->vmid);
	struct counter *n;
	json_t *o = json_object();

	HASH_FIND(hh, b->partition_counters, &p->vmid, sizeof(p->vmid), n);
	json_object_set_new(o, "id", json_guid(&p->vmid));
	json_object_set_new(o, "name", json_string(p->name));
	json_object_set_new(o, "kind",
			    json_string(partition_kind_name(p->kind)));
	json_object_set_new(o, "parent",
			    p->kind == PARTITION_HOST ?
				    json_null() :
				    json_string(partition_name(b, &p->parent)));
	json_object_set_new(o, "state", json_string(state_of(b, p)));
	if (t && notice_state_name(t->said.state))
		json_object_set_new(
			o, "ready",
			json_string(notice_state_name(t->said.state)));
	if (t && t->said.status[0])
		json_object_set_new(o, "status", json_string(t->said.status));
	json_object_set_new(o, "enabled", json_boolean(p->enabled));
	json_object_set_new(o, "transport",
			    json_string(transport_kind_name(
				    t ? t->kind : TRANSPORT_LOCAL)));
	json_object_set_new(o, "uplink", json_boolean(t && t->uplink));
	json_object_set_new(o, "datagrams",
			    json_boolean(t && dgram_uplink_find(b->dgrams,
								&p->vmid)));
	json_object_set_new(o, "origin", json_string(origin_name(p->origin)));
	if (p->path)
		json_object_set_new(o, "path", json_string(p->path));
	if (p->has_user)
		json_object_set_new(o, "user", json_integer(p->user));
	if (p->cid)
		json_object_set_new(o, "cid", json_integer(p->cid));
	if (p->sibling_cid)
		json_object_set_new(o, "sibling_cid",
				    json_integer(p->sibling_cid));
	json_object_set_new(o, "directory", json_string(dir ? dir : ""));
	json_object_set_new(o, "listeners",
			    json_integer(d ? d->listeners : 0));
	json_object_set_new(o, "connections",
			    json_integer(t ? HASH_COUNT(t->relayed) : 0));
	json_object_set_new(o, "opened",
			    json_integer(n ? (json_int_t)n->opened : 0));
	json_object_set_new(o, "refused",
			    n ? refused_json(n->refused) : json_object());
	return o;
}

struct list {
	struct broker *b;
	json_t *array;
};

static int add_partition(const struct partition *p, void *arg)
{
	struct list *l = arg;

	return json_array_append_new(l->array, partition_json(l->b, p));
}

json_t *manage_partition_list(struct call *c)
{
	struct list l = { .b = c->b, .array = json_array() };

	if (!unpack(c, "{}")) {
		json_decref(l.array);
		return NULL;
	}
	registry_each_partition(c->b->registry, add_partition, &l);
	return json_pack("{s:o}", "partitions", l.array);
}

json_t *manage_partition_show(struct call *c)
{
	const struct partition *p;
	const char *name;

	if (!unpack(c, "{s:s}", "partition", &name))
		return NULL;
	p = find_partition(c, name);
	return p ? partition_json(c->b, p) : NULL;
}

json_t *manage_partition_add(struct call *c)
{
	struct broker *b = c->b;
	struct partition_draft d = { .name = NULL };
	const struct partition *p = NULL;
	const char *id = NULL;
	char why[REGISTRY_WHY];
	GUID guid;
	int r;

	if (!unpack(c, "{s:s, s?s, s?s, s?s, s?s, s?s, s?s}", "name", &d.name,
		    "id", &id, "kind", &d.kind, "parent", &d.parent, "user",
		    &d.user, "cid", &d.cid, "sibling_cid", &d.sibling_cid))
		return NULL;
	if (id && guid_parse(id, &guid) < 0) {
		refuse(c->v, HVS_REASON_BAD_REQUEST, "\"%.60s\" is not a GUID",
		       id);
		return NULL;
	}
	d.id = id ? &guid : NULL;
	r = registry_add_partition(b->registry, &d, &p, why, sizeof(why));
	if (r < 0) {
		from_registry(c, r, why);
		return NULL;
	}
	guid = p->vmid;
	broker_changed(b);
	p = registry_partition(b->registry, &guid);
	return p ? partition_json(b, p) : NULL;
}

static const struct partition *find_volatile(struct call *c, const char *name)
{
	const struct partition *p = find_partition(c, name);

	if (p && p->origin != ORIGIN_VOLATILE) {
		refuse(c->v, HVS_REASON_NOT_PERMITTED,
		       "partition \"%s\" is %s: not volatile", p->name,
		       p->path ? p->path : "built in");
		return NULL;
	}
	return p;
}

json_t *manage_partition_set(struct call *c)
{
	struct partition_draft d = { .name = NULL };
	const struct partition *p;
	const char *partition;
	char why[REGISTRY_WHY];
	int enabled = -1, r;
	GUID guid;

	if (!unpack(c, "{s:s, s?s, s?s, s?b, s?s, s?s}", "partition",
		    &partition, "name", &d.name, "user", &d.user, "enabled",
		    &enabled, "cid", &d.cid, "sibling_cid", &d.sibling_cid))
		return NULL;
	p = find_volatile(c, partition);
	if (!p)
		return NULL;
	guid = p->vmid;
	d.disabled = enabled < 0 ? !p->enabled : !enabled;
	r = registry_set_partition(c->b->registry, &guid, &d, why, sizeof(why));
	if (r < 0) {
		from_registry(c, r, why);
		return NULL;
	}
	broker_changed(c->b);
	p = registry_partition(c->b->registry, &guid);
	return p ? partition_json(c->b, p) : NULL;
}

json_t *manage_partition_remove(struct call *c)
{
	const struct partition *p;
	const struct transport *t;
	const char *name;
	char why[REGISTRY_WHY];
	GUID guid;
	int r;

	if (!unpack(c, "{s:s}", "partition", &name))
		return NULL;
	p = find_volatile(c, name);
	if (!p)
		return NULL;
	t = transport_find(c->b, &p->vmid);
	if (t) {
		refuse(c->v, HVS_REASON_EXISTS,
		       "partition \"%s\" is attached by process %d: end that first",
		       p->name, t->client->pid);
		c->v->error = EBUSY;
		return NULL;
	}
	guid = p->vmid;
	r = registry_remove_partition(c->b->registry, &guid, why, sizeof(why));
	if (r < 0) {
		from_registry(c, r, why);
		return NULL;
	}
	broker_changed(c->b);
	return json_object();
}
