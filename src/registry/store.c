/* SPDX-License-Identifier: MIT */
/* store.c - units and their claims (store.h) */
#include "registry/store.h"

#include <errno.h>
#include <stdio.h>

#include "base/guid.h"

/* ---- Keys --------------------------------------------------------------- */

struct key {
	unsigned int len;
	bool exclusive; /* two holders are in conflict */
	unsigned char bytes[CLAIM_KEY_MAX];
};

#define KEYS_MAX 4

static void guid_key(struct key *k, enum claim_type type, const GUID *id)
{
	k->bytes[0] = (unsigned char)type;
	memcpy(k->bytes + 1, id, sizeof(*id));
	k->len = 1 + sizeof(*id);
	k->exclusive = true;
}

/* Names differ by more than ASCII case. */
static bool name_key(struct key *k, enum claim_type type, const char *name,
		     bool exclusive)
{
	size_t n = strlen(name);

	if (n > NAME_MAX)
		return false;
	k->bytes[0] = (unsigned char)type;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];

		k->bytes[i + 1] = c >= 'A' && c <= 'Z' ?
					  (unsigned char)(c | 0x20) : c;
	}
	k->len = (unsigned int)n + 1;
	k->exclusive = exclusive;
	return true;
}

static size_t unit_keys(const struct unit *u, struct key *k)
{
	size_t n = 0;
	GUID template;

	if (u->kind == UNIT_PARTITION) {
		guid_key(&k[n++], CLAIM_VMID, &u->partition.p.vmid);
		n += name_key(&k[n], CLAIM_PARTITION_NAME, u->partition.p.name,
			      true);
		n += name_key(&k[n], CLAIM_PARTITION_STEM, u->stem, false);
		return n;
	}
	guid_key(&k[n++], CLAIM_SERVICE_ID, &u->service.id);
	template = guid_from_port(u->service.port);
	if (u->service.has_port && !guid_equal(&template, &u->service.id))
		guid_key(&k[n++], CLAIM_SERVICE_ID, &template);
	n += name_key(&k[n], CLAIM_SERVICE_NAME, u->service.name, true);
	n += name_key(&k[n], CLAIM_SERVICE_STEM, u->stem, false);
	return n;
}

static void describe(const struct unit *u, const struct key *k, char *out,
		     size_t size)
{
	char text[GUID_TEXT_SIZE], q[QUOTE_SIZE];
	GUID id;

	switch (k->bytes[0]) {
	case CLAIM_SERVICE_ID:
	case CLAIM_VMID:
		memcpy(&id, k->bytes + 1, sizeof(id));
		guid_format(&id, text);
		if (u->kind == UNIT_SERVICE && u->service.has_port &&
		    guid_is_port(&id, NULL))
			snprintf(out, size, "Port %u", u->service.port);
		else
			snprintf(out, size, "%s %s",
				 u->kind == UNIT_SERVICE ? "ServiceId" : "VmId",
				 text);
		break;
	default:
		snprintf(out, size, "the name %s",
			 quote(u->kind == UNIT_SERVICE ? u->service.name :
							 u->partition.p.name,
			       q));
	}
}

/* ---- Claims --------------------------------------------------------------*/

static struct claim *claim_find(const struct registry *r, const struct key *k)
{
	struct claim *c;

	HASH_FIND(hh, r->claims, k->bytes, k->len, c);
	return c;
}

static void mark(struct registry *r, struct unit *u)
{
	if (u->dirty)
		return;
	u->dirty = true;
	u->next_dirty = r->dirty;
	r->dirty = u;
}

static void mark_holders(struct registry *r, const struct claim *c)
{
	for (size_t i = 0; i < c->n; i++)
		mark(r, c->holder[i]);
}

static int claim_add(struct registry *r, const struct key *k, struct unit *u)
{
	struct claim *c = claim_find(r, k);
	struct unit **grown;

	if (!c) {
		c = calloc(1, sizeof(*c) + k->len);
		if (!c)
			return -ENOMEM;
		c->key_len = k->len;
		memcpy(c->key, k->bytes, k->len);
		HASH_ADD_KEYPTR(hh, r->claims, c->key, c->key_len, c);
		if (!c->hh.tbl) {
			free(c);
			return -ENOMEM;
		}
	}
	if (c->n == c->room) {
		grown = realloc(c->holder,
				(c->room * 2 + 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		c->holder = grown;
		c->room = c->room * 2 + 1;
	}
	if (k->exclusive)
		mark_holders(r, c);
	c->holder[c->n++] = u;
	return 0;
}

static void claim_drop(struct registry *r, const struct key *k,
		       const struct unit *u)
{
	struct claim *c = claim_find(r, k);
	size_t n = 0;

	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		if (c->holder[i] != u)
			c->holder[n++] = c->holder[i];
	c->n = n;
	if (k->exclusive)
		mark_holders(r, c);
	if (n)
		return;
	HASH_DEL(r->claims, c);
	free(c->holder);
	free(c);
}

/* A name may be held by more than one that is so far: then by none. */
static struct unit *claim_holder(const struct registry *r, const struct key *k,
				 enum claim_state state)
{
	struct claim *c = claim_find(r, k);
	struct unit *found = NULL;

	for (size_t i = 0; c && i < c->n; i++) {
		struct unit *u = c->holder[i];

		if ((state == CLAIM_NO_CONFLICT && u->conflict) ||
		    (state == CLAIM_IN_FORCE && !u->in_force))
			continue;
		if (found)
			return NULL;
		found = u;
	}
	return found;
}

struct unit *claim_guid(const struct registry *r, enum claim_type type,
			const GUID *id, enum claim_state state)
{
	struct key k;

	guid_key(&k, type, id);
	return claim_holder(r, &k, state);
}

struct unit *claim_name(const struct registry *r, enum claim_type type,
			const char *name, enum claim_state state)
{
	struct key k;

	if (!name_key(&k, type, name, true))
		return NULL;
	return claim_holder(r, &k, state);
}

/* ---- Units --------------------------------------------------------------- */

const char *unit_path(const struct unit *u)
{
	return u->kind == UNIT_SERVICE ? u->service.path :
					 u->partition.p.path;
}

struct unit *unit_find(const struct registry *r, enum unit_kind kind,
		       bool is_volatile, const char *stem)
{
	struct unit *u;

	HASH_FIND_STR(r->units[kind][is_volatile], stem, u);
	return u;
}

struct unit *unit_get(struct registry *r, enum unit_kind kind,
		      bool is_volatile, const char *stem)
{
	struct unit *u = unit_find(r, kind, is_volatile, stem);

	if (u)
		return u;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->kind = kind;
	u->is_volatile = is_volatile;
	u->stem = strdup(stem);
	if (u->stem)
		HASH_ADD_KEYPTR(hh, r->units[kind][is_volatile], u->stem,
				strlen(u->stem), u);
	if (!u->stem || !u->hh.tbl) {
		free(u->stem);
		free(u);
		return NULL;
	}
	return u;
}

static void set_in_force(struct registry *r, struct unit *u, bool in_force)
{
	if (u->in_force == in_force)
		return;
	u->in_force = in_force;
	r->count[u->kind] += in_force ? 1 : (size_t)-1;
	r->changed = true;
}

void unit_clear(struct registry *r, struct unit *u)
{
	struct key keys[KEYS_MAX];
	size_t n;

	set_in_force(r, u, false);
	if (u->parsed) {
		n = unit_keys(u, keys);
		for (size_t i = 0; i < n; i++)
			claim_drop(r, &keys[i], u);
		if (u->kind == UNIT_PARTITION)
			r->partitions_changed = true;
		else
			r->services_changed = true;
	}
	u->parsed = false;
	u->conflict = false;
	if (u->kind == UNIT_SERVICE)
		service_fini(&u->service);
	else
		link_forget(&u->partition);
	service_text_fini(&u->text);
	problems_clear(&u->load);
	problems_clear(&u->state);
	r->listing[u->kind]->valid = false;
}

void unit_remove(struct registry *r, struct unit *u)
{
	unit_clear(r, u);
	for (struct unit **p = &r->dirty; u->dirty && *p;
	     p = &(*p)->next_dirty) {
		if (*p == u) {
			*p = u->next_dirty;
			break;
		}
	}
	HASH_DEL(r->units[u->kind][u->is_volatile], u);
	free(u->stem);
	free(u);
}

int unit_claim(struct registry *r, struct unit *u)
{
	struct key keys[KEYS_MAX];
	size_t n = unit_keys(u, keys);
	int error;

	for (size_t i = 0; i < n; i++) {
		error = claim_add(r, &keys[i], u);
		if (error < 0) {
			while (i--)
				claim_drop(r, &keys[i], u);
			return error;
		}
	}
	u->parsed = true;
	mark(r, u);
	if (u->kind == UNIT_PARTITION)
		r->partitions_changed = true;
	else
		r->services_changed = true;
	r->listing[u->kind]->valid = false;
	return 0;
}

const struct unit *unit_rival(const struct registry *r, const struct unit *u,
			      const struct unit *ignore, bool files_only,
			      char *what)
{
	struct key keys[KEYS_MAX];
	size_t n = unit_keys(u, keys);
	const struct claim *c;

	for (size_t i = 0; i < n; i++) {
		c = keys[i].exclusive ? claim_find(r, &keys[i]) : NULL;
		for (size_t j = 0; c && j < c->n; j++) {
			const struct unit *x = c->holder[j];

			if (x == u || x == ignore ||
			    (files_only && x->is_volatile))
				continue;
			describe(u, &keys[i], what, RIVAL_SIZE);
			return x;
		}
	}
	return NULL;
}

/* ---- What is in force ---------------------------------------------------- */

/* A file never yields to a volatile registration. */
static void judge(struct registry *r, struct unit *u)
{
	const struct unit *rival;
	char what[RIVAL_SIZE];

	problems_clear(&u->state);
	if (!u->parsed)
		return;
	rival = unit_rival(r, u, NULL, !u->is_volatile, what);
	u->conflict = rival != NULL;
	if (rival && u->is_volatile)
		problem_add(&u->state, unit_path(u), 0,
			    "%s is taken by %s; this one is out of force",
			    what, unit_path(rival));
	else if (rival)
		problem_add(&u->state, unit_path(u), 0,
			    "%s is also in %s; both are out of force", what,
			    unit_path(rival));
	/* Partitions come into force by link_partitions(). */
	if (u->kind == UNIT_SERVICE)
		set_in_force(r, u, !u->conflict);
	else if (u->conflict)
		set_in_force(r, u, false);
}

bool store_settle(struct registry *r)
{
	bool changed;

	while (r->dirty) {
		struct unit *u = r->dirty;

		r->dirty = u->next_dirty;
		u->next_dirty = NULL;
		u->dirty = false;
		if (u->kind == UNIT_PARTITION)
			r->partitions_changed = true;
		else
			r->services_changed = true;
		judge(r, u);
		r->listing[u->kind]->valid = false;
	}
	if (r->partitions_changed)
		link_partitions(r);
	if (r->partitions_changed || r->services_changed)
		link_tables(r);
	problems_collect(r);
	changed = r->changed;
	r->partitions_changed = false;
	r->services_changed = false;
	r->changed = false;
	if (changed)
		r->generation++;
	return changed;
}

void store_clear(struct registry *r)
{
	struct unit *u, *next;

	for (size_t k = 0; k < UNIT_KINDS; k++) {
		for (size_t v = 0; v < 2; v++) {
			HASH_ITER (hh, r->units[k][v], u, next)
				unit_remove(r, u);
		}
	}
}
