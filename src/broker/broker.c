/* SPDX-License-Identifier: MIT */
/* broker.c - the broker's start, its view of the world, and its counters */
#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "broker/attempt.h"
#include "broker/dgram.h"
#include "broker/offload.h"
#include "broker/transport.h"
#include "broker/uplink.h"
#include "broker/users.h"

#define EXPIRE_MS 2000
#define COUNTERS_SPARE 64 /* of services and partitions that went */
#define ADMIN_GROUP "hvsocket-admin"

uint64_t broker_token(const struct broker *b)
{
	static uint64_t pool[64]; /* one thread */
	static size_t left;
	size_t at;

	if (!left) {
		while (getrandom(pool, sizeof(pool), 0) != sizeof(pool))
			; /* small requests are whole or interrupted */
		left = 64;
	}
	at = --left;
	return (pool[at] >> 16) | (uint64_t)b->mark << 48;
}

/* ---- The world -----------------------------------------------------------*/

static const struct listener *world_find(const void *arg, const GUID *partition,
					 const GUID *vmid, const GUID *service,
					 uint8_t type)
{
	const struct broker *b = arg;

	return listeners_find(&b->listeners, partition, vmid, service, type);
}

static enum attached world_attached(const void *arg, const GUID *partition)
{
	const struct broker *b = arg;
	const struct transport *t = transport_find(b, partition);
	const struct door *d;

	if (t && !t->running)
		return ATTACHED_TRANSPORT_OFF;
	if (t)
		return t->simulated == SIMULATED_SAVED ?
			       ATTACHED_TRANSPORT_SAVED :
			       ATTACHED_TRANSPORT;
	d = door_find(b, partition);
	if (d && (d->clients || d->listeners))
		return ATTACHED_LOCAL;
	return uplink_below(b, partition) ? ATTACHED_TRANSPORT :
					    ATTACHED_NOBODY;
}

static const char *world_uplink_down(const void *arg)
{
	const struct broker *b = arg;

	return uplink_down(b->uplinks);
}

static void counters_prune(struct broker *b)
{
	struct counter *c, *next;

	/* seldom, so that it does not cost every change */
	if (HASH_COUNT(b->service_counters) >
	    2 * registry_service_count(b->registry) + COUNTERS_SPARE)
		HASH_ITER(hh, b->service_counters, c, next)
			if (!registry_service(b->registry, &c->id)) {
				HASH_DELETE(hh, b->service_counters, c);
				free(c);
			}
	if (HASH_COUNT(b->partition_counters) >
	    2 * registry_partition_count(b->registry) + COUNTERS_SPARE)
		HASH_ITER(hh, b->partition_counters, c, next)
			if (!registry_partition(b->registry, &c->id)) {
				HASH_DELETE(hh, b->partition_counters, c);
				free(c);
			}
}

void broker_changed(struct broker *b)
{
	do {
		b->changed = false;
		doors_sync(b);
		transports_recheck(b);
		dgram_flush(b->dgrams);
	} while (b->changed);
	transports_tell_services(b);
	overseers_tell(b);
	counters_prune(b);
	attempts_wake(b);
}

static void on_recheck(struct ev_timer *t)
{
	struct broker *b = container_of(t, struct broker, recheck);

	if (b->changed)
		broker_changed(b);
}

void broker_changed_soon(struct broker *b)
{
	b->changed = true;
	if (!b->recheck.ev) /* failing that: with the next request */
		(void)ev_timer_start(b->ev, &b->recheck, 0, on_recheck);
}

void broker_refresh(struct broker *b)
{
	if (registry_refresh(b->registry) || b->changed)
		broker_changed(b);
}

static void on_registry(struct ev_io *io, uint32_t events)
{
	(void)events;
	broker_refresh(container_of(io, struct broker, registry_io));
}

static void on_expire(struct ev_timer *t)
{
	struct broker *b = container_of(t, struct broker, expire);

	if (registry_expire(b->registry, 0))
		broker_changed(b);
	(void)ev_timer_start(b->ev, t, EXPIRE_MS, on_expire);
}

/* ---- Counters ------------------------------------------------------------*/

static void count(struct counter **table, const GUID *id, uint32_t reason)
{
	struct counter *c;

	HASH_FIND(hh, *table, id, sizeof(*id), c);
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return;
		c->id = *id;
		HASH_ADD(hh, *table, id, sizeof(c->id), c);
	}
	if (reason)
		c->refused[reason]++;
	else
		c->opened++;
}

void broker_count(struct broker *b, const GUID *service, const GUID *from,
		  const GUID *to, uint32_t reason)
{
	if (reason >= REASON_COUNT)
		reason = HVS_REASON_BROKER_FAILED;
	if (reason)
		b->refused[reason]++;
	else
		b->opened++;
	/* Only what is registered: numbers from outside do not make counters */
	if (registry_service(b->registry, service))
		count(&b->service_counters, service, reason);
	count(&b->partition_counters, from, reason);
	if (to && !guid_equal(to, from))
		count(&b->partition_counters, to, reason);
}

static void counters_free(struct counter **table)
{
	struct counter *c, *next;

	HASH_ITER(hh, *table, c, next) {
		HASH_DELETE(hh, *table, c);
		free(c);
	}
}

/* ---- The runtime directory -----------------------------------------------*/

static int make_directory(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0) /* whatever the umask: */
		return chmod(path, mode) < 0 ? -errno : 0;
	if (errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid != geteuid())
		return -EPERM;
	return 0;
}

static int complain(const char *path, int err)
{
	if (err == -EPERM)
		log_err("%s belongs to another user: refusing to use it", path);
	else
		log_err("%s: %s", path, strerror(-err));
	return err;
}

/* One that was killed just now gives the lock up when it is quite gone. */
static bool take_lock(int fd)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	for (int tries = 100; tries; tries--) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* Takes the directory: it becomes the working directory, so that the names of
 * kernel objects are short whatever the length of its path. */
static int take_directory(struct broker *b)
{
	static const char *const dirs[] = { "listeners", "rendezvous",
					    "partitions" };
	cleanup_free_ char *broker_dir = NULL;
	struct stat st;
	int r = make_directory(b->runtime_dir, b->everybody ? 0755 : 0700);

	if (r < 0)
		return complain(b->runtime_dir, r);
	if (asprintf(&broker_dir, "%s/broker", b->runtime_dir) < 0) {
		broker_dir = NULL;
		return -ENOMEM;
	}
	r = make_directory(broker_dir, 0700);
	if (r < 0)
		return complain(broker_dir, r);
	if (chdir(broker_dir) < 0 || chmod(".", 0700) < 0 ||
	    stat(".", &st) < 0)
		return complain(broker_dir, -errno);
	b->mark = (uint16_t)((st.st_ino ^ st.st_ino >> 16 ^ st.st_dev) *
			     0x9e3779b1u >> 8);
	b->lock_fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			  0600);
	if (b->lock_fd < 0)
		return complain("lock", -errno);
	if (!take_lock(b->lock_fd)) {
		log_err("%s: another broker is running here", b->runtime_dir);
		return -EBUSY;
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		r = make_directory(dirs[i], i == 2 ? 0755 : 0700);
		if (r < 0)
			return complain(dirs[i], r);
	}
	return 0;
}

/* ---- Life ----------------------------------------------------------------*/

static int copy_dirs(struct broker *b, const struct broker_options *o)
{
	b->config_dirs = calloc(o->ndirs + 1, sizeof(*b->config_dirs));
	if (!b->config_dirs)
		return -ENOMEM;
	for (size_t i = 0; i < o->ndirs; i++) {
		b->config_dirs[i].origin = o->dirs[i].origin;
		b->config_dirs[i].path = strdup(o->dirs[i].path);
		if (!b->config_dirs[i].path)
			return -ENOMEM;
		b->config_dirs_n++;
	}
	if (!o->ndirs)
		return 0;
	if (asprintf(&b->services_dir, "%s/services.d",
		     o->dirs[o->ndirs - 1].path) < 0) {
		b->services_dir = NULL;
		return -ENOMEM;
	}
	if (asprintf(&b->partitions_dir, "%s/partitions.d",
		     o->dirs[o->ndirs - 1].path) < 0) {
		b->partitions_dir = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int start(struct broker *b, const struct broker_options *o)
{
	cleanup_(users_free) struct user *users = NULL;
	struct listener *l;
	struct group gr, *group = NULL;
	char buf[4096];
	int r;

	b->runtime_dir = strdup(o->runtime_dir);
	if (!b->runtime_dir)
		return -ENOMEM;
	r = copy_dirs(b, o);
	if (r < 0)
		return r;
	r = take_directory(b);
	if (r < 0)
		return r;
	r = guid_random(&b->epoch);
	if (r < 0)
		return r;
	r = dgrams_new(b, o->dgram, &b->dgrams);
	if (r < 0)
		return r;
	r = uplinks_new(b, o->uplink, o->uplink_relay, &b->uplinks);
	if (r < 0)
		return r;
	r = guard_init(&b->guard);
	if (r < 0)
		return r;
	r = offload_new(b->ev, &b->offload);
	if (r < 0)
		return r;
	r = registry_new(b->config_dirs, b->config_dirs_n, ".", &b->registry);
	if (r < 0) {
		log_err("the registry cannot be read: %s", strerror(-r));
		return r;
	}
	registry_expire(b->registry, 0);
	b->world = (struct world){
		.registry = b->registry,
		.broker_uid = geteuid(),
		.profile = o->profile,
		.find = world_find,
		.attached = world_attached,
		.parent = o->uplink->kind == UPLINK_NONE ?
				  NULL :
				  &b->uplinks->parent,
		.uplink_down = world_uplink_down,
		.arg = b,
	};
	b->admin_gid = UINT32_MAX;
	if (getgrnam_r(ADMIN_GROUP, &gr, buf, sizeof(buf), &group) == 0 &&
	    group)
		b->admin_gid = group->gr_gid;
	r = listeners_load(&b->listeners);
	if (r < 0)
		return complain("listeners", r);
	for (l = b->listeners.all; l; l = l->next) {
		const struct user *u = users_find(&users, l->name.uid);

		if (u && listener_groups(l, u->groups, u->ngroups) < 0)
			return -ENOMEM;
		bind_charge(b, l);
	}
	if (o->control_fd >= 0) {
		r = door_adopt(b, o->control_fd);
		if (r < 0)
			return r;
	}
	doors_sync(b);
	if (!door_find(b, &guid_zero))
		return -EIO;
	r = ev_io_start(b->ev, &b->registry_io, registry_fd(b->registry),
			EPOLLIN, on_registry);
	if (r < 0)
		return r;
	r = ev_timer_start(b->ev, &b->expire, EXPIRE_MS, on_expire);
	if (r == 0)
		uplinks_start(b->uplinks);
	return r;
}

int broker_new(struct ev *ev, const struct broker_options *o,
	       struct broker **ret)
{
	struct broker *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->ev = ev;
	b->lock_fd = -1;
	b->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	b->started = time(NULL);
	b->everybody = o->everybody;
	b->limits = o->limits;
	if (!b->limits.listeners)
		b->limits.listeners = 16384;
	if (!b->limits.pending)
		b->limits.pending = 1024;
	if (!b->limits.volatiles)
		b->limits.volatiles = 1024;
	if (!b->limits.clients)
		b->limits.clients = 16384;
	r = start(b, o);
	if (r < 0) {
		broker_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

struct broker *broker_free(struct broker *b)
{
	struct outcome *o, *next_o;
	struct listener *l;

	if (!b)
		return NULL;
	ev_io_stop(&b->registry_io);
	ev_timer_stop(&b->expire);
	if (b->uplinks)
		b->uplinks->state = UPLINK_DOWN; /* nothing is started now */
	doors_close(b);
	b->dgrams = dgrams_free(b->dgrams);
	b->uplinks = uplinks_free(b->uplinks);
	ev_timer_stop(&b->sweep);
	ev_timer_stop(&b->recheck);
	ev_timer_stop(&b->wake);
	leases_free(b);
	b->offload = offload_free(b->offload);
	/* files of listeners stay: the listeners do */
	for (l = b->listeners.all; l; l = l->next)
		for (int i = 0; i < 2; i++)
			l->accounts[i] = account_unref(b, l->accounts[i]);
	listeners_free(&b->listeners);
	accounts_free(b);
	HASH_ITER(hh, b->outcomes, o, next_o) {
		HASH_DEL(b->outcomes, o);
		free(o);
	}
	counters_free(&b->service_counters);
	counters_free(&b->partition_counters);
	registry_free(b->registry);
	guard_fini(&b->guard);
	for (size_t i = 0; i < b->config_dirs_n; i++)
		free(b->config_dirs[i].path);
	free(b->config_dirs);
	free(b->services_dir);
	free(b->partitions_dir);
	free(b->runtime_dir);
	if (b->lock_fd >= 0)
		close(b->lock_fd);
	if (b->reserve_fd >= 0)
		close(b->reserve_fd);
	free(b);
	return NULL;
}
