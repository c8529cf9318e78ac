/* SPDX-License-Identifier: MIT */
/*
 * cmd-policy.c - hvctl service enable, disable, revert, remove
 *
 * A volatile service is the broker's to change. A file in the directory for
 * changes is written anew; one in a lower directory stays as it is, and a
 * file of the same name in the upper one overrides or masks it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "hvctl/out.h"
#include "hvctl/service.h"
#include "hvctl/store.h"
#include "hvctl/verbs.h"
#include "registry/service-file.h"
#include "registry/write-file.h"

static int set_volatile(struct ctl *c, const char *ref, const char *policy)
{
	cleanup_json_ json_t *reply = NULL;

	return call_or_say(c,
			   json_pack("{s:s, s:s, s:s}", "method",
				     store_services.set, "service", ref,
				     "policy", policy),
			   ref, &reply);
}

/* Policy= of a file, in place or as an override. */
static int set_file(struct store *s, const char *ref, const json_t *o,
		    const char *policy)
{
	cleanup_free_ char *dir = NULL, *stem = NULL;
	struct service_text t;
	char why[REGISTRY_WHY];
	int r;

	if (store_split(o, &dir, &stem))
		return complain("%s %s: it has no file that could be changed",
			    s->c->verb, show(ref));
	r = service_file_load(dir, stem, &t, why, sizeof(why));
	if (r)
		return store_refused(s, ref, stem, why, -r);
	r = service_text_set(&t, SERVICE_POLICY, policy);
	if (r)
		snprintf(why, sizeof(why), "%s", strerror(-r));
	else
		r = service_file_save(s->dir, stem, &t, store_is_here(s, o),
				      why, sizeof(why));
	service_text_fini(&t);
	if (r)
		return store_refused(s, ref, stem, why, -r);
	return store_settle(s, ref, json_text(o, "id"), stem, "policy", policy,
			    NULL);
}

static int set_policy(struct ctl *c, const char *ref, const char *policy)
{
	cleanup_json_ json_t *o = NULL;
	struct store s;
	int r;

	if (store_find(c, &store_services, ref, &o))
		return 1;
	if (store_is_volatile(o))
		return set_volatile(c, ref, policy);
	if (!strcmp(json_text(o, "policy"), policy))
		return 0;
	r = store_open(c, &store_services, &s);
	if (!r)
		r = set_file(&s, ref, o, policy);
	store_close(&s);
	return r;
}

int cmd_service_enable(struct ctl *c, const struct args *a)
{
	return set_policy(c, a->pos[0], "enabled");
}

int cmd_service_disable(struct ctl *c, const struct args *a)
{
	return set_policy(c, a->pos[0], "disabled");
}

/* A mask hides the service from the broker: it is found by its file's name. */
static int unmask(struct store *s, const char *ref,
		  const struct call_error *err)
{
	cleanup_free_ char *path = NULL, *text = NULL;
	char stem[SERVICE_STEM_SIZE];
	const char *reason;
	uid_t owner;
	size_t len;
	int r;

	service_stem(ref, stem);
	if (asprintf(&path, "%s/%s.conf", s->dir, stem) < 0) {
		path = NULL;
		return complain("%s: %s", s->c->verb, strerror(ENOMEM));
	}
	r = read_file(path, &text, &len, &owner, &reason);
	if (r || len || !store_below(s, stem))
		return say_refused(s->c, CALL_HOST, ref, err);
	if (store_delete(s, ref, stem))
		return 1;
	return store_settle(s, ref, stem, stem, NULL, NULL, NULL);
}

static int revert_file(struct store *s, const char *ref, const json_t *o)
{
	cleanup_free_ char *dir = NULL, *stem = NULL;

	if (store_split(o, &dir, &stem))
		return complain("%s %s: it has no file that could be changed",
			    s->c->verb, show(ref));
	if (!store_is_here(s, o))
		return 0; /* the package's own word already */
	if (!store_below(s, stem))
		return set_file(s, ref, o, "default");
	if (store_delete(s, ref, stem))
		return 1;
	return store_settle(s, ref, stem, stem, NULL, NULL, NULL);
}

int cmd_service_revert(struct ctl *c, const struct args *a)
{
	cleanup_json_ json_t *o = NULL;
	const char *ref = a->pos[0];
	struct call_error err;
	struct store s;
	int r;

	r = store_show(c, &store_services, ref, &o, &err);
	if (r && err.reason != HVS_REASON_NOT_FOUND &&
	    err.reason != HVS_REASON_NOT_REGISTERED)
		return say_refused(c, CALL_HOST, ref, &err);
	if (!r && store_is_volatile(o))
		return set_volatile(c, ref, "default");
	if (store_open(c, &store_services, &s))
		r = 1;
	else if (r)
		r = unmask(&s, ref, &err);
	else
		r = revert_file(&s, ref, o);
	store_close(&s);
	return r;
}

int cmd_service_remove(struct ctl *c, const struct args *a)
{
	struct store s = { .c = c, .kind = &store_services };
	cleanup_json_ json_t *o = NULL;
	int r;

	if (store_find(c, &store_services, a->pos[0], &o))
		return 1;
	r = service_remove_object(&s, a->pos[0], o);
	store_close(&s);
	return r;
}
