/* SPDX-License-Identifier: MIT */
/* volatile-service.c - services at run time (volatile.h) */
#include "registry/volatile.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/guid.h"

static int build_service(struct registry *r, struct unit *u, char *why,
			 size_t size)
{
	struct service *s = &u->service;
	struct parse_error e = { 0 };
	int error;

	error = service_build(&u->text, u->stem, &name_lookup_system, s, &e);
	if (error < 0)
		return volatile_say_parse(why, size, error, &e);
	s->origin = ORIGIN_VOLATILE;
	if (asprintf(&s->path, "%s/%s.conf", r->volatile_path[UNIT_SERVICE],
		     u->stem) < 0) {
		s->path = NULL;
		return volatile_say(why, size, -ENOMEM, "out of memory");
	}
	if (s->target && s->owner_uid != 0 && s->owner_uid != geteuid())
		return volatile_say(why, size, -EPERM,
			   "only root and the broker's user may say Target=");
	return 0;
}

static int add_owner(struct unit *u, const struct service_draft *d, char *why,
		     size_t size)
{
	char uid[16];
	int error;

	snprintf(uid, sizeof(uid), "%u", d->owner_uid);
	error = service_text_set(&u->text, SERVICE_OWNER_UID, uid);
	if (error == 0 && d->lease_pid)
		error = lease_take(d->lease_pid, &u->text);
	if (error == -ESRCH)
		return volatile_say(why, size, error,
			   "process %d, the lease's, is gone", d->lease_pid);
	if (error < 0)
		return volatile_say(why, size, error, "%s", strerror(-error));
	return 0;
}

static int finish_service(struct registry *r, struct unit *u,
			  const struct unit *old, const struct service **ret,
			  char *why, size_t size)
{
	cleanup_free_ char *text = NULL;
	struct service_text again;
	struct parse_error e;
	struct unit *to;
	int error;

	error = build_service(r, u, why, size);
	if (error == 0)
		error = volatile_rival(r, u, old, why, size);
	if (error < 0)
		return error;
	if (service_text_format(&u->text, &text) < 0)
		return volatile_say(why, size, -ENOMEM, "out of memory");
	/* Lists of a client may be of a form that no line can hold. */
	error = service_text_parse(text, strlen(text), true, &again, &e);
	if (error < 0)
		return volatile_say_parse(why, size, error, &e);
	for (size_t k = 0; k < SERVICE_KEYS && !error; k++) {
		const char *a = u->text.value[k], *b = again.value[k];

		if (!a != !b || (a && strcmp(a, b) != 0))
			error = volatile_say(why, size, -EINVAL,
				    "a value that a file cannot hold");
	}
	service_text_fini(&again);
	if (error == 0)
		error = volatile_write(r, u, text, why, size);
	if (error < 0)
		return error;
	to = volatile_install(r, u);
	if (!to)
		return volatile_say(why, size, -ENOMEM, "out of memory");
	if (ret)
		*ret = &to->service;
	return 0;
}

int registry_add_service(struct registry *r, const struct service_draft *d,
			 const struct service **ret, char *why, size_t size)
{
	cleanup_spare_ struct unit *u = NULL;
	struct service_draft with_id = *d;
	struct parse_error e;
	GUID id;
	int error;

	error = volatile_possible(r, why, size);
	if (error < 0)
		return error;
	if (!d->name)
		return volatile_say(why, size, -EINVAL,
				    "a service needs a name");
	if (name_check("the name", d->name, 0, &e) < 0)
		return volatile_say(why, size, -EINVAL, "%s", e.reason);
	if (guid_random(&id) < 0)
		return volatile_say(why, size, -EIO, "no random numbers");
	if (!d->id && !d->port)
		with_id.id = &id;
	u = volatile_spare(UNIT_SERVICE, d->name, r, &id);
	if (!u)
		return volatile_say(why, size, -ENOMEM, "out of memory");
	error = service_text_draft(&with_id, &u->text);
	if (error < 0)
		return volatile_say(why, size, error,
			   "a value is not text or has control characters");
	error = add_owner(u, d, why, size);
	if (error < 0)
		return error;
	return finish_service(r, u, NULL, ret, why, size);
}

static int copy_text(const struct service_text *from, struct service_text *to)
{
	int error = 0;

	for (enum service_key k = 0; k < SERVICE_KEYS && !error; k++)
		if (from->value[k])
			error = service_text_set(to, k, from->value[k]);
	return error;
}

int registry_set_service(struct registry *r, const GUID *id,
			 const struct service_draft *d, char *why,
			 size_t size)
{
	cleanup_spare_ struct unit *u = NULL;
	struct unit *old;
	const char *v[SERVICE_KEYS] = {
		[SERVICE_NAME] = d->name,
		[SERVICE_POLICY] = d->policy,
		[SERVICE_BIND] = d->bind,
		[SERVICE_CONNECT] = d->connect,
		[SERVICE_SIBLINGS] = d->siblings,
		[SERVICE_WILDCARD] = d->wildcard,
		[SERVICE_TARGET] = d->target,
		[SERVICE_MAX_CONNECTIONS] = d->max_connections,
	};
	int error;

	error = volatile_find(r, UNIT_SERVICE, id, &old, why, size);
	if (error < 0)
		return error;
	if ((d->id && !guid_equal(d->id, &old->service.id)) ||
	    (d->port &&
	     (!old->service.has_port || *d->port != old->service.port)))
		return volatile_say(why, size, -EINVAL,
			   "id and port of a service do not change");
	u = calloc(1, sizeof(*u));
	if (!u)
		return volatile_say(why, size, -ENOMEM, "out of memory");
	u->is_volatile = true;
	u->stem = strdup(old->stem);
	error = u->stem ? copy_text(&old->text, &u->text) : -ENOMEM;
	for (enum service_key k = 0; k < SERVICE_KEYS && !error; k++)
		if (v[k])
			error = service_text_set(&u->text, k, v[k]);
	if (error == -EINVAL)
		return volatile_say(why, size, error,
			   "a value is not text or has control characters");
	if (error < 0)
		return volatile_say(why, size, error, "%s", strerror(-error));
	return finish_service(r, u, old, NULL, why, size);
}

int registry_remove_service(struct registry *r, const GUID *id, char *why,
			    size_t size)
{
	struct unit *u;
	int error;

	error = volatile_find(r, UNIT_SERVICE, id, &u, why, size);
	if (error < 0)
		return error;
	volatile_remove(r, u);
	store_settle(r);
	return 0;
}

size_t registry_expire(struct registry *r, int32_t pid)
{
	struct unit *u, *next;
	size_t n = 0;

	HASH_ITER (hh, r->units[UNIT_SERVICE][1], u, next) {
		if (!u->service.lease_pid ||
		    (pid && u->service.lease_pid != pid) ||
		    !lease_over(&u->service))
			continue;
		volatile_remove(r, u);
		n++;
	}
	if (n)
		store_settle(r);
	return n;
}
