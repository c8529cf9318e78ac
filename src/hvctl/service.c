/* SPDX-License-Identifier: MIT */
/* service.c - see service.h */
#include "hvctl/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "hvctl/out.h"
#include "registry/service-file.h"

/* Two files that claim the same would put both out of force. */
static int check_free(struct ctl *c, const struct service_draft *d)
{
	char id[GUID_TEXT_SIZE], port[16];
	const char *refs[3] = { d->name };

	if (d->id)
		refs[1] = guid_format(d->id, id);
	if (d->port) {
		snprintf(port, sizeof(port), "%" PRIu32, *d->port);
		refs[2] = port;
	}
	for (size_t i = 0; i < 3; i++) {
		cleanup_json_ json_t *o = NULL;
		struct call_error err;

		if (!refs[i])
			continue;
		if (!store_show(c, &store_services, refs[i], &o, &err))
			return complain("%s %s: %s is taken by %s, %s "
					"(exists)", c->verb, show(d->name),
					show(refs[i]),
					show(json_text(o, "name")),
					show(json_text(o, "path")));
		if (err.reason != HVS_REASON_NOT_FOUND &&
		    err.reason != HVS_REASON_NOT_REGISTERED)
			return say_refused(c, CALL_HOST, d->name, &err);
	}
	return 0;
}

int service_add_file(struct store *s, const struct service_draft *d,
		     json_t **ret)
{
	char stem[SERVICE_STEM_SIZE], why[REGISTRY_WHY];
	struct service_draft draft = *d;
	char text[GUID_TEXT_SIZE];
	GUID id;
	int r;

	if (check_free(s->c, d))
		return 1;
	if (d->id) {
		id = *d->id;
	} else if (d->port) {
		id = guid_from_port(*d->port);
	} else {
		r = guid_random(&id);
		if (r)
			return complain("%s: %s", s->c->verb, strerror(-r));
		draft.id = &id;
	}
	guid_format(&id, text);
	service_stem(d->name, stem);
	r = service_file_write(s->dir, stem, &draft, false, why, sizeof(why));
	if (r)
		return store_refused(s, d->name, stem, why, -r);
	r = store_settle(s, d->name, text, stem, NULL, NULL, ret);
	if (r)
		store_delete(s, d->name, stem);
	return r;
}

int service_remove_object(struct store *s, const char *about, const json_t *o)
{
	cleanup_json_ json_t *reply = NULL;
	const char *id = json_text(o, "id");

	if (store_is_volatile(o))
		return call_or_say(s->c,
				   json_pack("{s:s, s:s}", "method",
					     store_services.remove, "service",
					     id),
				   about, &reply);
	if (!s->dir && store_open(s->c, &store_services, s))
		return 1;
	if (store_drop(s, about, o))
		return 1;
	return store_settle(s, about, id, NULL, NULL, NULL, NULL);
}
