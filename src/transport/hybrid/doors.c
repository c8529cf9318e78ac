/* SPDX-License-Identifier: MIT */
/* doors.c - see doors.h */
#include "transport/hybrid/doors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/unix.h"
#include "proto/hybrid.h"
#include "transport/closer.h"

#define BACKLOG 128
#define BATCH 16	/* connections before others have their turn */
#define PAUSE_MS 100	/* when there are no descriptors left */
#define DOORS_MAX 16384 /* services, in either spelling */

struct door {
	GUID service;
	UT_hash_handle hh;
	struct doors *ds;
	bool wanted, told;
	int fd; /* -1: it could not be made */
	dev_t dev;
	ino_t ino;
	struct ev_io io;
	struct ev_timer pause;
};

struct doors {
	struct ev *ev;
	const char *name;
	uid_t uid; /* ours; the sandbox does not tell */
	doors_fn fn;
	void *ctx;
	struct door *all;
	unsigned int open, open_max;
	bool full_told;
	struct log_limit limit;
};

static const char *file_name(const struct door *d)
{
	static char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	char suffix[HYBRID_SUFFIX_SIZE];

	snprintf(name, sizeof(name), "%s%s", d->ds->name,
		 hybrid_suffix(&d->service, false, suffix));
	return name;
}

/* The VMM runs as we do. (Nobody else reaches the socket: mode 0600.) */
static bool from_vmm(const struct doors *ds, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	       (cred.uid == ds->uid || cred.uid == 0);
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

	(void)events;
	for (int i = 0; i < BATCH; i++) {
		int fd = accept4(io->fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0 && from_vmm(d->ds, fd)) {
			d->ds->fn(d->ds->ctx, fd, &d->service);
			continue;
		}
		if (fd >= 0) {
			closer_close_socket(fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return;
		log_limited(&d->ds->limit, LOG_WARN_, "accept: %s",
			    strerror(errno));
		ev_io_stop(io);
		(void)ev_timer_start(d->ds->ev, &d->pause, PAUSE_MS, on_pause);
		return;
	}
}

/* Is the file at its name still the one that we made? */
static bool in_place(const struct door *d)
{
	struct stat st;

	return lstat(file_name(d), &st) == 0 && st.st_dev == d->dev &&
	       st.st_ino == d->ino;
}

static void door_close(struct door *d)
{
	if (d->fd < 0)
		return;
	ev_io_stop(&d->io);
	ev_timer_stop(&d->pause);
	if (in_place(d))
		(void)unlink(file_name(d));
	close(d->fd);
	d->fd = -1;
	d->ds->open--;
}

static int door_listen(struct door *d)
{
	struct stat st;
	int r;

	/* (for this user only: the process has such a umask) */
	d->fd = unix_listen(file_name(d), SOCK_STREAM, BACKLOG, false);
	if (d->fd < 0)
		return d->fd;
	(void)closer_guard_socket(d->fd);
	r = ev_io_start(d->ds->ev, &d->io, d->fd, EPOLLIN, on_dialled);
	if (r == 0 && lstat(file_name(d), &st) < 0)
		r = -errno;
	if (r == 0) {
		d->dev = st.st_dev;
		d->ino = st.st_ino;
		d->ds->open++;
		return 0;
	}
	ev_io_stop(&d->io);
	close(d->fd);
	d->fd = -1;
	return r;
}

/* Connections need descriptors, too. */
static bool room(struct doors *ds)
{
	if (ds->open < ds->open_max)
		return true;
	if (!ds->full_told)
		log_warn("%s: %u services have sockets, which is all that the "
			 "limit of open files allows: others cannot be dialled",
			 ds->name, ds->open);
	ds->full_told = true;
	return false;
}

static void door_open(struct door *d)
{
	int r;

	if (!room(d->ds))
		return;
	r = door_listen(d);
	if (r == 0)
		log_debug("%s: made", file_name(d));
	else if (!d->told && r == -EADDRINUSE)
		log_limited(&d->ds->limit, LOG_WARN_,
			    "%s: somebody else listens there: what the guest "
			    "dials goes to them",
			    file_name(d));
	else if (!d->told)
		log_limited(&d->ds->limit, LOG_WARN_, "%s: cannot listen: %s",
			    file_name(d), strerror(-r));
	d->told = r < 0;
}

static void door_free(struct door *d)
{
	door_close(d);
	HASH_DELETE(hh, d->ds->all, d);
	ev_later(d->ds->ev, free, d);
}

static void want(struct doors *ds, const GUID *service)
{
	struct door *d;

	HASH_FIND(hh, ds->all, service, sizeof(*service), d);
	if (!d) {
		if (HASH_COUNT(ds->all) >= DOORS_MAX)
			return;
		d = calloc(1, sizeof(*d));
		if (!d)
			return;
		d->service = *service;
		d->ds = ds;
		d->fd = -1;
		HASH_ADD(hh, ds->all, service, sizeof(d->service), d);
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
	GUID service;

	if (m->flags & SERVICES_FIRST)
		for (d = ds->all; d; d = d->hh.next)
			d->wanted = false;
	for (size_t i = 0; i < m->n; i++) {
		memcpy(&service, m->ids + i * sizeof(service), sizeof(service));
		want(ds, &service);
	}
	if (!(m->flags & SERVICES_LAST))
		return;
	HASH_ITER (hh, ds->all, d, next) {
		if (!d->wanted)
			door_free(d);
	}
	/* there may be room now for those that had none */
	for (d = ds->all; d && ds->open < ds->open_max; d = d->hh.next)
		if (d->fd < 0)
			door_open(d);
}

void doors_look(struct doors *ds)
{
	struct door *d, *next;

	HASH_ITER (hh, ds->all, d, next) {
		if (d->fd >= 0 && in_place(d))
			continue;
		door_close(d);
		door_open(d);
	}
}

int doors_new(struct ev *ev, const char *name, doors_fn fn, void *ctx,
	      struct doors **ret)
{
	struct doors *ds = calloc(1, sizeof(*ds));
	struct rlimit limit;

	if (!ds)
		return -ENOMEM;
	ds->open_max = DOORS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur / 4 < DOORS_MAX)
		ds->open_max = (unsigned int)(limit.rlim_cur / 4);
	ds->ev = ev;
	ds->name = name;
	ds->uid = geteuid();
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
		free(ds);
	}
	return NULL;
}
