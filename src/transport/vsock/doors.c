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
#include <unistd.h>

#include "base/guid.h"
#include "base/hash.h"
#include "base/log.h"
#include "transport/vsock/vsocket.h"

#define BATCH 16	/* connections before others have their turn */
#define PAUSE_MS 100	/* when there are no descriptors left */
#define AGAIN_MS 2000
#define DOORS_MAX 16384

struct door {
	uint32_t port;
	UT_hash_handle hh;
	struct doors *ds;
	bool wanted, told;
	int fd; /* -1: it could not be made */
	struct ev_io io;
	struct ev_timer pause;
};

struct doors {
	struct ev *ev;
	doors_fn fn;
	void *ctx;
	struct door *all;
	struct ev_timer again;
	struct log_limit limit;
};

bool door_port(const GUID *service, uint32_t *ret_port)
{
	/* the last number stands for any port */
	return guid_is_port(service, ret_port) && *ret_port != UINT32_MAX;
}

static void on_dialled(struct ev_io *io, uint32_t events);

static void on_pause(struct ev_timer *t)
{
	struct door *d = container_of(t, struct door, pause);

	(void)ev_io_start(d->ds->ev, &d->io, d->fd, EPOLLIN, on_dialled);
}

static void on_dialled(struct ev_io *io, uint32_t events)
{
	struct door *d = container_of(io, struct door, io);
	uint32_t cid, source;

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		int fd = vsocket_accept(io->fd, &cid, &source);

		if (fd >= 0) {
			d->ds->fn(d->ds->ctx, fd, d->port, cid, source);
			continue;
		}
		if (fd == -EAGAIN)
			return;
		if (fd != -EMFILE && fd != -ENFILE && fd != -ENOMEM &&
		    fd != -ENOBUFS)
			continue; /* that one has gone */
		log_limited(&d->ds->limit, LOG_WARN_, "accept: %s",
			    strerror(-fd));
		ev_io_stop(io);
		(void)ev_timer_start(d->ds->ev, &d->pause, PAUSE_MS, on_pause);
		return;
	}
}

static void door_close(struct door *d)
{
	if (d->fd < 0)
		return;
	ev_io_stop(&d->io);
	ev_timer_stop(&d->pause);
	close(d->fd);
	d->fd = -1;
}

static int door_listen(struct door *d)
{
	int r;

	d->fd = vsocket_listen(d->port);
	if (d->fd < 0)
		return d->fd;
	r = ev_io_start(d->ds->ev, &d->io, d->fd, EPOLLIN, on_dialled);
	if (r < 0) {
		close(d->fd);
		d->fd = -1;
	}
	return r;
}

static void on_again(struct ev_timer *t);

static void door_open(struct door *d)
{
	struct doors *ds = d->ds;
	int r = door_listen(d);

	if (r == 0)
		log_debug("port %u: listening", d->port);
	else if (!d->told && r == -EADDRINUSE)
		log_limited(&ds->limit, LOG_WARN_,
			    "port %u: another process listens there: what "
			    "guests dial goes to it",
			    d->port);
	else if (!d->told && r == -EACCES)
		log_limited(&ds->limit, LOG_WARN_,
			    "port %u: below 1024 it takes CAP_NET_BIND_SERVICE",
			    d->port);
	else if (!d->told)
		log_limited(&ds->limit, LOG_WARN_, "port %u: cannot listen: %s",
			    d->port, strerror(-r));
	d->told = r < 0;
	if (r < 0 && !ds->again.ev)
		(void)ev_timer_start(ds->ev, &ds->again, AGAIN_MS, on_again);
}

static void on_again(struct ev_timer *t)
{
	struct doors *ds = container_of(t, struct doors, again);
	struct door *d, *next;

	HASH_ITER (hh, ds->all, d, next) {
		if (d->fd < 0)
			door_open(d);
	}
}

static void door_free(struct door *d)
{
	door_close(d);
	HASH_DELETE(hh, d->ds->all, d);
	ev_later(d->ds->ev, free, d);
}

static void want(struct doors *ds, uint32_t port)
{
	struct door *d;

	HASH_FIND(hh, ds->all, &port, sizeof(port), d);
	if (!d) {
		if (HASH_COUNT(ds->all) >= DOORS_MAX)
			return;
		d = calloc(1, sizeof(*d));
		if (!d)
			return;
		d->port = port;
		d->ds = ds;
		d->fd = -1;
		HASH_ADD(hh, ds->all, port, sizeof(d->port), d);
		if (!d->hh.tbl) {
			free(d);
			return;
		}
	}
	d->wanted = true;
	if (d->fd < 0)
		door_open(d);
}

void doors_services(struct doors *ds, const struct msg_services *m)
{
	struct door *d, *next;
	uint32_t port;
	GUID service;

	if (m->flags & SERVICES_FIRST)
		for (d = ds->all; d; d = d->hh.next)
			d->wanted = false;
	for (size_t i = 0; i < m->n; i++) {
		memcpy(&service, m->ids + i * sizeof(service), sizeof(service));
		if (door_port(&service, &port))
			want(ds, port);
	}
	if (!(m->flags & SERVICES_LAST))
		return;
	HASH_ITER (hh, ds->all, d, next) {
		if (!d->wanted)
			door_free(d);
	}
}

int doors_new(struct ev *ev, doors_fn fn, void *ctx, struct doors **ret)
{
	struct doors *ds = calloc(1, sizeof(*ds));

	if (!ds)
		return -ENOMEM;
	ds->ev = ev;
	ds->fn = fn;
	ds->ctx = ctx;
	*ret = ds;
	return 0;
}

struct doors *doors_free(struct doors *ds)
{
	struct door *d, *next;

	if (ds) {
		HASH_ITER (hh, ds->all, d, next) {
			door_free(d);
		}
		ev_timer_stop(&ds->again);
		free(ds);
	}
	return NULL;
}
