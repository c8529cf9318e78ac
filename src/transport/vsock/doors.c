/* SPDX-License-Identifier: MIT */
/*
 * doors.c - see doors.h
 *
 * A port that cannot be had (another process listens there, or it is below 1024
 * and we may not) is tried again every now and then: nothing tells when it is
 * free.
 */
#include "transport/vsock/doors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/guid.h"
#include "transport/door.h"
#include "transport/vsock/vsocket.h"

#define AGAIN_MS 2000

struct doors {
	struct door_set set;
	doors_fn fn;
	void *ctx;
	struct ev_timer again;
};

static struct doors *doors_of(struct door_set *set)
{
	return container_of(set, struct doors, set);
}

bool door_port(const GUID *service, uint32_t *ret_port)
{
	/* the last number stands for any port */
	return guid_is_port(service, ret_port) && *ret_port != UINT32_MAX;
}

static bool has_port(const GUID *service)
{
	uint32_t port;

	return door_port(service, &port);
}

static uint32_t port_of(const struct door *d)
{
	uint32_t port = 0;

	(void)door_port(&d->service, &port); /* it has one: has_port() */
	return port;
}

static int port_accept(struct door *d)
{
	struct doors *ds = doors_of(d->set);
	uint32_t cid, source;
	int fd = vsocket_accept(d->fd, &cid, &source);

	switch (fd) {
	case -EAGAIN:
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -ENOBUFS:
		return fd;
	default:
		if (fd >= 0) /* else that one has gone */
			ds->fn(ds->ctx, fd, port_of(d), cid, source);
		return 0;
	}
}

static int port_listen(struct door *d)
{
	int fd = vsocket_listen(port_of(d));

	if (fd >= 0)
		log_debug("port %u: listening", port_of(d));
	return fd;
}

static void on_again(struct ev_timer *t)
{
	door_set_look(&container_of(t, struct doors, again)->set);
}

static void port_failed(struct door *d, int error, bool told)
{
	struct doors *ds = doors_of(d->set);
	uint32_t port = port_of(d);

	if (!ds->again.ev)
		(void)ev_timer_start(ds->set.ev, &ds->again, AGAIN_MS,
				     on_again);
	if (told)
		return;
	if (error == -EADDRINUSE)
		log_limited(&ds->set.limit, LOG_WARN_,
			    "port %u: another process listens there: what "
			    "guests dial goes to it",
			    port);
	else if (error == -EACCES)
		log_limited(&ds->set.limit, LOG_WARN_,
			    "port %u: below 1024 it takes CAP_NET_BIND_SERVICE",
			    port);
	else
		log_limited(&ds->set.limit, LOG_WARN_,
			    "port %u: cannot listen: %s", port,
			    strerror(-error));
}

static void ports_full(struct door_set *set)
{
	log_warn("%u services have listeners, which is all that the limit of "
		 "open files allows: others cannot be dialled",
		 set->open);
}

static const struct door_ops port_ops = {
	.size = sizeof(struct door),
	.listen = port_listen,
	.accept = port_accept,
	.failed = port_failed,
	.possible = has_port,
	.full = ports_full,
};

void doors_services(struct doors *ds, const struct msg_services *m)
{
	door_set_services(&ds->set, m);
}

int doors_new(struct ev *ev, doors_fn fn, void *ctx, struct doors **ret)
{
	struct doors *ds = calloc(1, sizeof(*ds));

	if (!ds)
		return -ENOMEM;
	door_set_init(&ds->set, ev, &port_ops);
	ds->fn = fn;
	ds->ctx = ctx;
	*ret = ds;
	return 0;
}

struct doors *doors_free(struct doors *ds)
{
	if (ds) {
		door_set_end(&ds->set);
		ev_timer_stop(&ds->again);
		free(ds);
	}
	return NULL;
}
