/* SPDX-License-Identifier: MIT */
/*
 * cmd-partition-set.c - hvctl partition set, remove
 *
 * A permanent partition's file is edited line by line, so that its comments
 * and its table of services stay; one in a lower directory is overridden by
 * an edited copy.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "hvctl/ini-edit.h"
#include "hvctl/out.h"
#include "hvctl/partition.h"
#include "hvctl/store.h"
#include "hvctl/verbs.h"
#include "registry/write-file.h"

static int set_volatile(struct ctl *c, const struct partition_wish *w,
			const json_t *o, json_t **ret)
{
	json_t *q = json_pack("{s:s, s:s}", "method", store_partitions.set,
			      "partition", json_text(o, "id"));
	int r = q ? 0 : -1;

	if (!r && w->name)
		r = json_object_set_new(q, "name", json_string(w->name));
	if (!r && w->user)
		r = json_object_set_new(q, "user", json_string(w->user));
	if (!r && w->cid)
		r = json_object_set_new(q, "cid", json_string(w->cid));
	if (!r && w->sibling_cid)
		r = json_object_set_new(q, "sibling_cid",
					json_string(w->sibling_cid));
	if (!r && w->has_enabled)
		r = json_object_set_new(q, "enabled", json_boolean(w->enabled));
	if (r) {
		json_decref(q);
		q = NULL;
	}
	return call_or_say(c, q, json_text(o, "name"), ret);
}

static int edit_key(char **text, const char *key, const char *value)
{
	char *next;
	int r;

	if (!value)
		return 0;
	r = ini_edit(*text, "Partition", key, value, &next);
	if (r)
		return r;
	free(*text);
	*text = next;
	return 0;
}

static int set_file(struct store *s, const struct partition_wish *w,
		    const json_t *o, json_t **ret)
{
	cleanup_free_ char *dir = NULL, *stem = NULL, *text = NULL;
	const char *about = json_text(o, "name");
	const char *reason = NULL;
	uid_t owner;
	size_t len;
	int r;

	if (store_split(o, &dir, &stem))
		return complain("%s %s: it has no file that could be changed",
			    s->c->verb, show(about));
	r = read_file(json_text(o, "path"), &text, &len, &owner, &reason);
	if (r || !text)
		return complain("%s %s: %s: %s", s->c->verb, show(about),
			    show(json_text(o, "path")),
			    r == -EINVAL && reason ? reason : strerror(-r));
	r = edit_key(&text, "Name", w->name);
	if (!r)
		r = edit_key(&text, "User", w->user);
	if (!r)
		r = edit_key(&text, "Cid", w->cid);
	if (!r)
		r = edit_key(&text, "SiblingCid", w->sibling_cid);
	if (!r && w->has_enabled)
		r = edit_key(&text, "Enabled", w->enabled ? "yes" : "no");
	if (r == -EINVAL)
		return usage("%s: a value is empty or has control characters",
			     s->c->verb);
	if (r)
		return complain("%s: %s", s->c->verb, strerror(-r));
	if (check_partition_text(s->c, about, stem, text) ||
	    store_write(s, about, stem, text, store_is_here(s, o)))
		return 1;
	return store_settle(s, about, json_text(o, "id"), stem,
			    w->name ? "name" : NULL, w->name, ret);
}

int partition_change(struct ctl *c, const struct partition_wish *w,
		     const json_t *o, json_t **ret)
{
	struct store s;
	int r;

	if (store_is_volatile(o))
		return set_volatile(c, w, o, ret);
	r = store_open(c, &store_partitions, &s);
	if (!r)
		r = set_file(&s, w, o, ret);
	store_close(&s);
	return r;
}

bool partition_cid_ok(const char *text)
{
	uint32_t cid;

	return !strcmp(text, "none") ||
	       (!text_u32(text, &cid) && cid != 0 && cid != 2 &&
		cid != UINT32_MAX);
}

bool partition_sibling_cid_ok(const char *text)
{
	uint32_t cid;

	return !strcmp(text, "none") ||
	       (!text_u32(text, &cid) && cid >= 3 && cid != UINT32_MAX);
}

int cmd_partition_set(struct ctl *c, const struct args *a)
{
	struct partition_wish w = { .name = args_value(a, "name"),
				    .user = args_value(a, "user"),
				    .cid = args_value(a, "cid"),
				    .sibling_cid = args_value(a, "sibling-cid"),
				    .has_enabled = args_has(a, "enabled") };
	cleanup_json_ json_t *o = NULL;
	cleanup_json_ json_t *reply = NULL;
	int r;

	if (!w.name && !w.user && !w.cid && !w.sibling_cid && !w.has_enabled)
		return usage("%s: nothing to set: --name, --user, --cid, "
			     "--sibling-cid or --enabled", c->verb);
	if (w.sibling_cid && !partition_sibling_cid_ok(w.sibling_cid))
		return usage("%s: --sibling-cid %s: not 3 to 4294967294, or "
			     "none", c->verb, show(w.sibling_cid));
	if (w.cid && !partition_cid_ok(w.cid))
		return usage("%s: --cid %s: no guest's CID: 3 to 4294967294, 1, "
			     "or none", c->verb, show(w.cid));
	if (w.has_enabled && text_bool(args_value(a, "enabled"), &w.enabled))
		return usage("%s: --enabled %s: not yes or no", c->verb,
			     show(args_value(a, "enabled")));
	if (find_partition(c, a->pos[0], &o))
		return 1;
	r = partition_change(c, &w, o, &reply);
	if (!r && args_has(a, "json"))
		print_json(reply);
	return r;
}

int cmd_partition_remove(struct ctl *c, const struct args *a)
{
	cleanup_json_ json_t *o = NULL;
	cleanup_json_ json_t *reply = NULL;
	const char *ref = a->pos[0];
	struct store s;
	int r;

	if (find_partition(c, ref, &o))
		return 1;
	if (store_is_volatile(o))
		return call_or_say(c,
				   json_pack("{s:s, s:s}", "method",
					     store_partitions.remove,
					     "partition", json_text(o, "id")),
				   ref, &reply);
	r = store_open(c, &store_partitions, &s);
	if (!r)
		r = store_drop(&s, ref, o);
	if (!r)
		r = store_settle(&s, ref, json_text(o, "id"), NULL, NULL, NULL,
				 NULL);
	store_close(&s);
	return r;
}
