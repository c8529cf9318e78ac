/* SPDX-License-Identifier: MIT */
/*
 * door.c - the partitions' control sockets
 *
 * The host's is ../control, a partition's partitions/VMID/control. Directories
 * are made once and stay, so that a container's mount survives a restart; the
 * socket file in them is replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guid.h"
#include "base/cleanup.h"
#include "broker/dgram.h"

struct door *door_find(const struct broker *b, const GUID *partition)
{
	struct door *d;

	HASH_FIND(hh, b->doors, partition, sizeof(*partition), d);
	return d;
}

char *door_directory(const struct broker *b, const GUID *partition)
{
	char g[GUID_TEXT_SIZE], *s;

	if (guid_is_zero(partition))
		return strdup(b->runtime_dir);
	if (asprintf(&s, "%s/broker/partitions/%s", b->runtime_dir,
		     guid_format(partition, g)) < 0)
		return NULL;
	return s;
}

static void on_retry(struct ev_timer *t);
static void on_door(struct ev_io *io, uint32_t events);

static void pause_door(struct door *d)
{
	ev_io_stop(&d->io);
	(void)ev_timer_start(d->b->ev, &d->retry, 100, on_retry);
}

static void on_retry(struct ev_timer *t)
{
	struct door *d = container_of(t, struct door, retry);

	if (ev_io_start(d->b->ev, &d->io, d->fd, EPOLLIN, on_door) < 0)
		pause_door(d);
}

/* No descriptors left: take one connection with the reserved one and end it,
 * so that its owner learns of it, and rest. */
static void out_of_descriptors(struct door *d)
{
	struct broker *b = d->b;
	int fd;

	log_limited(&b->client_log, LOG_ERR_,
		    "no descriptors left: a client is turned away");
	close(b->reserve_fd);
	fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	b->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pause_door(d);
}

static void on_door(struct ev_io *io, uint32_t events)
{
	struct door *d = container_of(io, struct door, io);

	(void)events;
	/* few at a time: those who are in already wait meanwhile */
	for (int budget = 8; budget; budget--) {
		int fd = accept4(d->fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			client_new(d, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			out_of_descriptors(d);
		return;
	}
}

static void door_free(void *p)
{
	free(p);
}

static void door_close(struct door *d)
{
	struct broker *b = d->b;
	struct client *c, *next;

	for (c = b->clients; c; c = next) {
		next = c->next;
		if (c->door == d)
			client_drop(c);
	}
	ev_io_stop(&d->io);
	ev_timer_stop(&d->retry);
	close(d->fd);
	d->account = account_unref(b, d->account);
	HASH_DELETE(hh, b->doors, d);
	ev_later(b->ev, door_free, d);
}

static struct door *door_add(struct broker *b, const GUID *partition, int fd)
{
	struct door *d = calloc(1, sizeof(*d));
	const struct listener *l;

	if (d) {
		d->b = b;
		d->partition = *partition;
		d->fd = fd;
		d->account = account_of_partition(b, partition);
	}
	if (!d || !d->account ||
	    ev_io_start(b->ev, &d->io, fd, EPOLLIN, on_door) < 0) {
		if (d)
			account_unref(b, d->account);
		free(d);
		close(fd);
		return NULL;
	}
	HASH_ADD(hh, b->doors, partition, sizeof(d->partition), d);
	/* those read back when the broker started */
	for (l = b->listeners.all; l; l = l->next)
		if (guid_equal(&l->name.partition, partition))
			d->listeners++;
	return d;
}

/*
 * Makes @path a listening socket. Under another name first: who sees the file
 * must not find that nobody listens yet, or that it has another mode.
 */
static int listen_at(const char *path, mode_t mode)
{
	cleanup_close_ int fd = -1;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s~", path);
	int r;

	if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (unlink(sa.sun_path) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path)) +
			 (socklen_t)n + 1) < 0)
		return -errno;
	if (chmod(sa.sun_path, mode) == 0 && listen(fd, 4096) == 0 &&
	    rename(sa.sun_path, path) == 0)
		return fd_take(&fd);
	r = -errno;
	(void)unlink(sa.sun_path);
	return r;
}

int door_adopt(struct broker *b, int fd)
{
	return door_add(b, &guid_zero, fd) ? 0 : -ENOMEM;
}

static int open_door(const struct partition *p, void *arg)
{
	struct broker *b = arg;
	struct door *d = door_find(b, &p->vmid);
	char path[100], g[GUID_TEXT_SIZE];
	int fd;

	if (d) {
		d->gone = false;
		return 0;
	}
	if (p->kind == PARTITION_HOST) {
		snprintf(path, sizeof(path), "../control");
	} else {
		snprintf(path, sizeof(path), "partitions/%s",
			 guid_format(&p->vmid, g));
		if (mkdir(path, 0755) < 0 && errno != EEXIST) {
			log_err("partition %s: %s: %s", p->name, path,
				strerror(errno));
			return 0;
		}
		(void)chmod(path, 0755); /* whatever the umask */
		strcat(path, "/control");
	}
	/* A partition's is for everyone whom its directory is mounted for. */
	fd = listen_at(path, p->kind != PARTITION_HOST || b->everybody ? 0666 :
									 0600);
	if (fd < 0) {
		log_err("partition %s: control socket %s: %s", p->name, path,
			strerror(-fd));
		return 0;
	}
	if (!door_add(b, &p->vmid, fd))
		log_err("partition %s: no memory for its control socket",
			p->name);
	return 0;
}

static void forget_listeners(struct broker *b, const GUID *partition)
{
	struct listener *l, *next;

	for (l = b->listeners.all; l; l = next) {
		next = l->next;
		if (guid_equal(&l->name.partition, partition))
			bind_forget(b, l);
	}
}

void doors_sync(struct broker *b)
{
	struct door *d, *next;

	HASH_ITER(hh, b->doors, d, next)
		d->gone = true;
	registry_each_partition(b->registry, open_door, b);
	HASH_ITER(hh, b->doors, d, next) {
		char path[100], g[GUID_TEXT_SIZE];

		if (!d->gone)
			continue;
		/* The directory stays while somebody may have it mounted. */
		snprintf(path, sizeof(path), "partitions/%s/control",
			 guid_format(&d->partition, g));
		(void)unlink(path);
		dgram_partition_gone(b->dgrams, &d->partition);
		forget_listeners(b, &d->partition);
		door_close(d);
	}
}

void doors_close(struct broker *b)
{
	struct door *d, *next;

	HASH_ITER(hh, b->doors, d, next)
		door_close(d);
}
