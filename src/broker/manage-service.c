/* SPDX-License-Identifier: MIT */
/* manage-service.c - service.* calls, and leases */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "broker/manage.h"
#include "broker/windows.h"

static struct counter *counter_of(struct broker *b, const GUID *id)
{
	struct counter *c;

	HASH_FIND(hh, b->service_counters, id, sizeof(*id), c);
	return c;
}

static void set_acl(json_t *o, const char *key, const struct acl *a)
{
	json_object_set_new(o, key,
			    a->set ? json_string(a->text) : json_null());
}

static json_t *service_json(struct broker *b, const struct service *s)
{
	const struct counter *n = counter_of(b, &s->id);
	json_t *o = json_object();

	json_object_set_new(o, "id", json_guid(&s->id));
	json_object_set_new(o, "name", json_string(s->name));
	json_object_set_new(o, "file", json_string(s->stem ? s->stem : ""));
	if (s->has_port)
		json_object_set_new(o, "port", json_integer(s->port));
	json_object_set_new(o, "policy",
			    json_string(policy_name(s->rules.policy)));
	json_object_set_new(o, "effective",
			    json_string(s->rules.policy == POLICY_DISABLED ?
						"disabled" :
						"enabled"));
	set_acl(o, "bind", &s->rules.bind);
	set_acl(o, "connect", &s->rules.connect);
	set_acl(o, "siblings", &s->rules.siblings);
	json_object_set_new(o, "wildcard",
			    json_boolean(s->rules.wildcard != 0));
	if (s->target)
		json_object_set_new(o, "target", json_string(s->target));
	if (s->max_connections)
		json_object_set_new(o, "max_connections",
				    json_integer(s->max_connections));
	json_object_set_new(o, "origin", json_string(origin_name(s->origin)));
	json_object_set_new(o, "path", json_string(s->path ? s->path : ""));
	json_object_set_new(o, "owner_uid", json_integer(s->owner_uid));
	if (s->lease_pid)
		json_object_set_new(o, "lease", json_integer(s->lease_pid));
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

static int add_service(const struct service *s, void *arg)
{
	struct list *l = arg;

	return json_array_append_new(l->array, service_json(l->b, s));
}

json_t *manage_service_list(struct call *c)
{
	struct list l = { .b = c->b, .array = json_array() };

	if (!unpack(c, "{}")) {
		json_decref(l.array);
		return NULL;
	}
	registry_each_service(c->b->registry, add_service, &l);
	return json_pack("{s:o}", "services", l.array);
}

json_t *manage_service_show(struct call *c)
{
	const struct service *s;
	const char *name;

	if (!unpack(c, "{s:s}", "service", &name))
		return NULL;
	s = find_service(c, name);
	return s ? service_json(c->b, s) : NULL;
}

/* ---- Leases --------------------------------------------------------------*/

struct lease {
	struct broker *b;
	int32_t pid;
	UT_hash_handle hh; /* one for a process, whatever it registers */
	int fd;
	struct ev_io io;
};

static void on_owner(struct ev_io *io, uint32_t events)
{
	struct lease *l = container_of(io, struct lease, io);
	struct broker *b = l->b;

	(void)events;
	HASH_DELETE(hh, b->leases, l);
	ev_io_stop(&l->io);
	close(l->fd);
	if (registry_expire(b->registry, l->pid))
		broker_changed(b);
	ev_later(b->ev, free, l);
}

void lease_watch(struct broker *b, int32_t pid)
{
	struct lease *l;

	HASH_FIND(hh, b->leases, &pid, sizeof(pid), l);
	if (l)
		return;
	l = calloc(1, sizeof(*l));
	/* Failing that, the timer finds it within seconds. */
	if (!l)
		return;
	l->b = b;
	l->pid = pid;
	l->fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (l->fd < 0 ||
	    ev_io_start(b->ev, &l->io, l->fd, EPOLLIN, on_owner) < 0) {
		if (l->fd >= 0)
			close(l->fd);
		free(l);
		return;
	}
	HASH_ADD(hh, b->leases, pid, sizeof(l->pid), l);
}

void leases_free(struct broker *b)
{
	struct lease *l, *next;

	HASH_ITER(hh, b->leases, l, next) {
		HASH_DELETE(hh, b->leases, l);
		ev_io_stop(&l->io);
		close(l->fd);
		free(l);
	}
}

/* A registration leased by a control connection. */
struct held {
	GUID id;
	struct held *next;
};

/* Forgets @id, and what others have removed. */
static void let_go(struct client *c, const GUID *id)
{
	struct held **at = &c->held, *h;

	while ((h = *at)) {
		if (guid_equal(&h->id, id) ||
		    !registry_service(c->b->registry, &h->id)) {
			*at = h->next;
			free(h);
		} else {
			at = &h->next;
		}
	}
}

static void hold(struct client *c, const GUID *id)
{
	struct held *h = malloc(sizeof(*h));

	let_go(c, id);
	/* Failing that, it ends with the process. */
	if (!h)
		return;
	h->id = *id;
	h->next = c->held;
	c->held = h;
}

void held_end(struct client *c)
{
	struct broker *b = c->b;
	char why[REGISTRY_WHY];
	struct held *h;

	while ((h = c->held)) {
		const struct service *s = registry_service(b->registry, &h->id);

		c->held = h->next;
		/* somebody else may have taken the id meanwhile */
		if (s && s->origin == ORIGIN_VOLATILE &&
		    s->owner_uid == c->uid && s->lease_pid == c->pid &&
		    registry_remove_service(b->registry, &h->id, why,
					    sizeof(why)) == 0)
			broker_changed_soon(b);
		free(h);
	}
}

/* Whose end ends the registration. Return: false: refused */
static bool lease_pid(struct call *c, json_t *lease, int32_t *ret)
{
	char path[32];
	struct stat st;
	json_int_t n;

	if (!lease || (json_is_string(lease) &&
		       (strcmp(json_string_value(lease), "process") == 0 ||
			strcmp(json_string_value(lease), "connection") == 0))) {
		if (!c->client->pid) {
			refuse(c->v, HVS_REASON_BAD_REQUEST,
			       "lease: the broker cannot see your process; say \"none\"");
			return false;
		}
		*ret = c->client->pid;
		return true;
	}
	if (json_is_string(lease) &&
	    strcmp(json_string_value(lease), "none") == 0) {
		*ret = 0;
		return true;
	}
	n = json_integer_value(lease);
	if (!json_is_integer(lease) || n <= 0 || n > INT32_MAX) {
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "lease: \"process\", \"connection\", \"none\" or a process id");
		return false;
	}
	snprintf(path, sizeof(path), "/proc/%d", (int)n);
	if (stat(path, &st) < 0) {
		refuse(c->v, HVS_REASON_NOT_FOUND,
		       "lease: there is no process %d", (int)n);
		return false;
	}
	if (st.st_uid != c->client->uid && !client_may_change(c->client)) {
		refuse(c->v, HVS_REASON_NOT_PERMITTED,
		       "lease: process %d belongs to another user", (int)n);
		return false;
	}
	*ret = (int32_t)n;
	return true;
}

static int count_owned(const struct service *s, void *arg)
{
	uint32_t *n = arg; /* [0] uid, [1] count */

	if (s->origin == ORIGIN_VOLATILE && s->owner_uid == n[0])
		n[1]++;
	return 0;
}

/* ---- Changes -------------------------------------------------------------*/

static bool parse_id_port(struct call *c, const char *id, json_t *port,
			  GUID *ret_id, uint32_t *ret_port)
{
	json_int_t n = json_integer_value(port);

	if (id && guid_parse(id, ret_id) < 0) {
		refuse(c->v, HVS_REASON_BAD_REQUEST, "\"%.60s\" is not a GUID",
		       id);
		return false;
	}
	if (port && (!json_is_integer(port) || n < 0 || n > UINT32_MAX)) {
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "port: a number of 0 to 4294967295");
		return false;
	}
	*ret_port = (uint32_t)n;
	return true;
}

/* Whose partitions they are: a registration of one's own does not open them to
 * each other. */
static bool may_grant_siblings(struct call *c, const char *siblings)
{
	if (!siblings || client_may_change(c->client))
		return true;
	refuse(c->v, HVS_REASON_NOT_PERMITTED,
	       "only who may change this broker's services may let partitions reach their siblings");
	return false;
}

json_t *manage_service_add(struct call *c)
{
	struct broker *b = c->b;
	struct caller caller = client_caller(c->client);
	struct service_draft d = { .owner_uid = c->client->uid };
	const struct service *s = NULL;
	const char *id = NULL;
	char why[REGISTRY_WHY];
	json_t *port = NULL, *lease = NULL;
	uint32_t number = 0, owned[2] = { c->client->uid, 0 };
	GUID guid;
	int r;

	if (!unpack(c, "{s:s, s?s, s?o, s?s, s?s, s?s, s?s, s?o, s?s, s?s}", "name",
		    &d.name, "id", &id, "port", &port, "policy", &d.policy,
		    "bind", &d.bind, "connect", &d.connect, "wildcard",
		    &d.wildcard, "lease", &lease, "target", &d.target,
		    "siblings", &d.siblings) ||
	    !parse_id_port(c, id, port, &guid, &number) ||
	    !lease_pid(c, lease, &d.lease_pid))
		return NULL;
	if (d.target && !client_may_change(c->client)) {
		refuse(c->v, HVS_REASON_NOT_PERMITTED,
		       "only who may change this broker's services may name a target");
		return NULL;
	}
	if (!may_grant_siblings(c, d.siblings))
		return NULL;
	if (windows_in_force(&b->world, &caller) && c->client->uid != 0 &&
	    c->client->uid != b->world.broker_uid) {
		refuse(c->v, HVS_REASON_NOT_PERMITTED,
		       "not on Windows: only an administrator registers services (profile \"windows\")");
		return NULL;
	}
	registry_each_service(b->registry, count_owned, owned);
	if (owned[1] >= b->limits.volatiles) {
		refuse(c->v, HVS_REASON_QUOTA,
		       "uid %u already has %u volatile registrations", owned[0],
		       owned[1]);
		return NULL;
	}
	d.id = id ? &guid : NULL;
	d.port = port ? &number : NULL;
	r = registry_add_service(b->registry, &d, &s, why, sizeof(why));
	if (r < 0) {
		from_registry(c, r, why);
		return NULL;
	}
	if (d.lease_pid)
		lease_watch(b, d.lease_pid);
	guid = s->id;
	if (json_is_string(lease) &&
	    strcmp(json_string_value(lease), "connection") == 0)
		hold(c->client, &guid);
	broker_changed(b);
	s = registry_service(b->registry, &guid);
	return s ? service_json(b, s) : NULL;
}

/* Volatile, and the caller's own or the caller may change everything. */
static const struct service *find_own(struct call *c, const char *name)
{
	const struct service *s = find_service(c, name);

	if (!s)
		return NULL;
	if (s->origin != ORIGIN_VOLATILE) {
		refuse(c->v, HVS_REASON_NOT_PERMITTED,
		       "service \"%s\" is registered by the file %s: change that",
		       s->name, s->path);
		return NULL;
	}
	if (s->owner_uid != c->client->uid && !client_may_change(c->client)) {
		refuse(c->v, HVS_REASON_NOT_PERMITTED,
		       "service \"%s\" was registered by uid %u", s->name,
		       s->owner_uid);
		return NULL;
	}
	return s;
}

json_t *manage_service_set(struct call *c)
{
	struct service_draft d = { .owner_uid = 0 };
	const struct service *s;
	const char *name;
	char why[REGISTRY_WHY];
	GUID id;
	int r;

	if (!unpack(c, "{s:s, s?s, s?s, s?s, s?s, s?s}", "service", &name,
		    "policy", &d.policy, "bind", &d.bind, "connect",
		    &d.connect, "wildcard", &d.wildcard, "siblings",
		    &d.siblings) ||
	    !may_grant_siblings(c, d.siblings))
		return NULL;
	s = find_own(c, name);
	if (!s)
		return NULL;
	id = s->id;
	d.owner_uid = s->owner_uid;
	r = registry_set_service(c->b->registry, &id, &d, why, sizeof(why));
	if (r < 0) {
		from_registry(c, r, why);
		return NULL;
	}
	broker_changed(c->b);
	s = registry_service(c->b->registry, &id);
	return s ? service_json(c->b, s) : NULL;
}

json_t *manage_service_remove(struct call *c)
{
	const struct service *s;
	const char *name;
	char why[REGISTRY_WHY];
	GUID id;
	int r;

	if (!unpack(c, "{s:s}", "service", &name))
		return NULL;
	s = find_own(c, name);
	if (!s)
		return NULL;
	id = s->id;
	r = registry_remove_service(c->b->registry, &id, why, sizeof(why));
	if (r < 0) {
		from_registry(c, r, why);
		return NULL;
	}
	let_go(c->client, &id);
	broker_changed(c->b);
	return json_object();
}
