/* SPDX-License-Identifier: MIT */
/* doors.c - see doors.h */
#include "transport/hybrid/doors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/unix.h"
#include "proto/hybrid.h"
#include "transport/closer.h"
#include "transport/door.h"

#define BACKLOG 128

/* A file, and which one we made. */
struct file_door {
	struct door door;
	dev_t dev;
	ino_t ino;
};

struct doors {
	struct door_set set;
	const char *name;
	uid_t uid; /* ours; the sandbox does not tell */
	doors_fn fn;
	void *ctx;
};

static struct doors *doors_of(struct door_set *set)
{
	return container_of(set, struct doors, set);
}

static const char *file_name(const struct door *d)
{
	static char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	char suffix[HYBRID_SUFFIX_SIZE];

	snprintf(name, sizeof(name), "%s%s", doors_of(d->set)->name,
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

static int file_accept(struct door *d)
{
	struct doors *ds = doors_of(d->set);
	int fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return errno == EINTR || errno == ECONNABORTED ? 0 : -errno;
	if (from_vmm(ds, fd))
		ds->fn(ds->ctx, fd, &d->service);
	else
		closer_close_socket(fd);
	return 0;
}

/* Is the file at its name still the one that we made? */
static bool file_in_place(struct door *d)
{
	struct file_door *f = container_of(d, struct file_door, door);
	struct stat st;

	return lstat(file_name(d), &st) == 0 && st.st_dev == f->dev &&
	       st.st_ino == f->ino;
}

static void file_closing(struct door *d)
{
	if (file_in_place(d))
		(void)unlink(file_name(d));
}

static int file_listen(struct door *d)
{
	struct file_door *f = container_of(d, struct file_door, door);
	struct stat st;
	int fd, r;

	/* (for this user only: the process has such a umask) */
	fd = unix_listen(file_name(d), SOCK_STREAM, BACKLOG, false);
	if (fd < 0)
		return fd;
	(void)closer_guard_socket(fd);
	if (lstat(file_name(d), &st) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	log_debug("%s: made", file_name(d));
	return fd;
}

static void file_failed(struct door *d, int error, bool told)
{
	if (told)
		return;
	if (error == -EADDRINUSE)
		log_limited(&d->set->limit, LOG_WARN_,
			    "%s: somebody else listens there: what the guest "
			    "dials goes to them",
			    file_name(d));
	else
		log_limited(&d->set->limit, LOG_WARN_, "%s: cannot listen: %s",
			    file_name(d), strerror(-error));
}

static void file_full(struct door_set *set)
{
	log_warn("%s: %u services have sockets, which is all that the limit of "
		 "open files allows: others cannot be dialled",
		 doors_of(set)->name, set->open);
}

static const struct door_ops file_ops = {
	.size = sizeof(struct file_door),
	.listen = file_listen,
	.accept = file_accept,
	.failed = file_failed,
	.in_place = file_in_place,
	.closing = file_closing,
	.full = file_full,
};

void doors_services(struct doors *ds, const struct msg_services *m)
{
	door_set_services(&ds->set, m);
}

void doors_look(struct doors *ds)
{
	door_set_look(&ds->set);
}

int doors_new(struct ev *ev, const char *name, doors_fn fn, void *ctx,
	      struct doors **ret)
{
	struct doors *ds = calloc(1, sizeof(*ds));

	if (!ds)
		return -ENOMEM;
	door_set_init(&ds->set, ev, &file_ops);
	ds->name = name;
	ds->uid = geteuid();
	ds->fn = fn;
	ds->ctx = ctx;
	*ret = ds;
	return 0;
}

struct doors *doors_free(struct doors *ds)
{
	if (ds) {
		door_set_end(&ds->set);
		free(ds);
	}
	return NULL;
}
