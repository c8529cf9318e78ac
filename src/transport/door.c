/* SPDX-License-Identifier: MIT */
/* door.c - see door.h */
#include "transport/door.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BATCH 16	/* connections before others have their turn */
#define PAUSE_MS 100	/* when there are no descriptors left */
#define DOORS_MAX 16384 /* services, in either spelling */

static void on_dialled(struct ev_io *io, uint32_t events);

static void on_pause(struct ev_timer *t)
{
	struct door *d = container_of(t, struct door, pause);

	(void)ev_io_start(d->set->ev, &d->io, d->fd, EPOLLIN, on_dialled);
}

static void on_dialled(struct ev_io *io, uint32_t events)
{
	struct door *d = container_of(io, struct door, io);

	(void)events;
	for (int i = 0; i < BATCH && d->fd >= 0; i++) {
		int r = d->set->ops->accept(d);

		if (r == -EAGAIN)
			return;
		if (r == 0)
			continue;
		log_limited(&d->set->limit, LOG_WARN_, "accept: %s",
			    strerror(-r));
		ev_io_stop(io);
		(void)ev_timer_start(d->set->ev, &d->pause, PAUSE_MS, on_pause);
		return;
	}
}

static void door_close(struct door *d)
{
	if (d->fd < 0)
		return;
	ev_io_stop(&d->io);
	ev_timer_stop(&d->pause);
	if (d->set->ops->closing)
		d->set->ops->closing(d);
	close(d->fd);
	d->fd = -1;
	d->set->open--;
}

/* Connections need descriptors, too. */
static bool room(struct door_set *set)
{
	if (set->open < set->open_max)
		return true;
	if (!set->full_told)
		set->ops->full(set);
	set->full_told = true;
	return false;
}

static int door_listen(struct door *d)
{
	int r, fd = d->set->ops->listen(d);

	if (fd < 0)
		return fd;
	r = ev_io_start(d->set->ev, &d->io, fd, EPOLLIN, on_dialled);
	if (r < 0) {
		close(fd);
		return r;
	}
	d->fd = fd;
	d->set->open++;
	return 0;
}

static void door_open(struct door *d)
{
	int r;

	if (!room(d->set))
		return;
	r = door_listen(d);
	if (r < 0)
		d->set->ops->failed(d, r, d->told);
	d->told = r < 0;
}

static void door_free(struct door *d)
{
	door_close(d);
	HASH_DELETE(hh, d->set->all, d);
	ev_later(d->set->ev, free, d);
}

static void want(struct door_set *set, const GUID *service)
{
	struct door *d;

	HASH_FIND(hh, set->all, service, sizeof(*service), d);
	if (!d) {
		if (HASH_COUNT(set->all) >= DOORS_MAX)
			return;
		d = calloc(1, set->ops->size);
		if (!d)
			return;
		d->service = *service;
		d->set = set;
		d->fd = -1;
		HASH_ADD(hh, set->all, service, sizeof(d->service), d);
		if (!d->hh.tbl) {
			free(d);
			return;
		}
	}
	d->wanted = true;
	if (d->fd < 0)
		door_open(d);
}

void door_set_services(struct door_set *set, const struct msg_services *m)
{
	struct door *d, *next;
	GUID service;

	if (m->flags & SERVICES_FIRST)
		for (d = set->all; d; d = d->hh.next)
			d->wanted = false;
	for (size_t i = 0; i < m->n; i++) {
		memcpy(&service, m->ids + i * sizeof(service), sizeof(service));
		if (!set->ops->possible || set->ops->possible(&service))
			want(set, &service);
	}
	if (!(m->flags & SERVICES_LAST))
		return;
	HASH_ITER (hh, set->all, d, next) {
		if (!d->wanted)
			door_free(d);
	}
	/* there may be room now for those that had none */
	for (d = set->all; d && set->open < set->open_max; d = d->hh.next)
		if (d->fd < 0)
			door_open(d);
}

void door_set_look(struct door_set *set)
{
	struct door *d, *next;

	HASH_ITER (hh, set->all, d, next) {
		if (d->fd >= 0 &&
		    (!set->ops->in_place || set->ops->in_place(d)))
			continue;
		door_close(d);
		door_open(d);
	}
}

void door_set_init(struct door_set *set, struct ev *ev,
		   const struct door_ops *ops)
{
	struct rlimit limit;

	*set = (struct door_set) { .ev = ev,
				   .ops = ops,
				   .open_max = DOORS_MAX };
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur / 4 < DOORS_MAX)
		set->open_max = (unsigned int)(limit.rlim_cur / 4);
}

void door_set_end(struct door_set *set)
{
	struct door *d, *next;

	HASH_ITER (hh, set->all, d, next) {
		door_free(d);
	}
}
