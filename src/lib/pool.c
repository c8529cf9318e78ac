/* SPDX-License-Identifier: MIT */
/*
 * pool.c - see pool.h
 *
 * A fixed table of slots under one mutex, which is never held over a request.
 * When all slots are taken (as many calls at once), a connection of the heap
 * serves and is closed after its one request.
 *
 * A forked child must not answer to its parent's name: its copies of the
 * descriptors are closed in the child, busy ones included, since their owners
 * are threads that do not exist there. Connections of the heap are in a list
 * for that; their memory stays, as they are their owners'.
 */
#include "lib/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/call.h"
#include "lib/open.h"
#include "lib/reason.h"
#include "lib/state.h"
#include "lib/sys.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct conn slots[POOL_SLOTS];
static struct conn *heap; /* every one of them, by next */
static struct conn *hint; /* given back last */
static size_t idle_plain; /* idle ones without listeners */
static uint64_t gives;
static struct broker_env env;
static bool env_known;
static unsigned int env_generation;

/* The number may be somebody else's by now. */
static bool still_ours(const struct conn *c)
{
	return c->cookie && sys_cookie(c->fd) == c->cookie;
}

/* errno is preserved; @end: also for processes that have inherited it */
static void close_fd(struct conn *c, bool end)
{
	int saved = errno;

	if (still_ours(c)) {
		if (end)
			shutdown(c->fd, SHUT_RDWR);
		close(c->fd);
	}
	c->fd = -1;
	c->cookie = 0;
	errno = saved;
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
	state_lock_for_fork();
}

static void in_parent(void)
{
	state_unlock_after_fork();
	pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
	for (size_t i = 0; i < POOL_SLOTS; i++) {
		if (slots[i].use == CONN_FREE)
			continue;
		close_fd(&slots[i], false);
		slots[i].use = CONN_FREE;
	}
	for (struct conn *c = heap; c; c = c->next)
		close_fd(c, false);
	heap = NULL;
	idle_plain = 0;
	in_parent();
}

static void init(void)
{
	pthread_atfork(before_fork, in_parent, in_child);
}

/* Bookkeeping of one slot's use; with the lock held. */
static void set_use(struct conn *c, enum conn_use use)
{
	if (c->use == CONN_IDLE && !c->bound)
		idle_plain--;
	c->use = use;
	if (c->use == CONN_IDLE && !c->bound)
		idle_plain++;
}

static void drop_idle(struct conn *c)
{
	set_use(c, CONN_FREE);
	close_fd(c, false);
}

/* Return: how many there are, or -1 */
static int many_groups(struct caller *ret)
{
	int n = getgroups(0, NULL);
	gid_t *all = n > 0 ? calloc((size_t)n, sizeof(*all)) : NULL;

	n = all ? getgroups(n, all) : -1;
	for (int i = 0; i < n; i++) {
		if (i < CALLER_GROUPS)
			ret->groups[i] = all[i];
		ret->more = (ret->more ^ all[i]) * UINT64_C(0x100000001b3);
	}
	free(all);
	return n;
}

/* The thread's: hvsocket-as has threads of several users. Keeps errno. */
static void look_at_caller(struct caller *ret)
{
	int saved = errno;

	*ret = (struct caller){ .uid = geteuid(), .gid = getegid() };
	ret->n = getgroups(CALLER_GROUPS, ret->groups);
	if (ret->n < 0)
		ret->n = many_groups(ret);
	errno = saved;
}

static bool same_caller(const struct conn *c, const struct caller *who)
{
	const struct caller *o = &c->caller;

	return c->env == env_generation && o->uid == who->uid &&
	       o->gid == who->gid && o->n == who->n && o->n >= 0 &&
	       o->more == who->more &&
	       !memcmp(o->groups, who->groups, sizeof(o->groups));
}

/*
 * The idle connection used last. Those of another identity are closed: a
 * program that has given up a user must not keep a door open as that user.
 */
static struct conn *find_idle(const struct caller *who)
{
	struct conn *best = NULL;

	if (hint && hint->use == CONN_IDLE && same_caller(hint, who) &&
	    still_ours(hint))
		return hint;
	for (size_t i = 0; i < POOL_SLOTS; i++) {
		struct conn *c = &slots[i];

		if (c->use != CONN_IDLE)
			continue;
		if (!same_caller(c, who) || !still_ours(c))
			drop_idle(c);
		else if (!best || c->used > best->used)
			best = c;
	}
	return best;
}

static struct conn *find_free(void)
{
	for (size_t i = 0; i < POOL_SLOTS; i++)
		if (slots[i].use == CONN_FREE)
			return &slots[i];
	return NULL;
}

static int env_refresh(void)
{
	if (env_known && broker_env_same(&env))
		return 0;
	env_known = broker_env_read(&env) == 0;
	env_generation++;
	return env_known ? 0 : -1;
}

/* The idle connection that was not used for longest, and has no listeners. */
static void trim(void)
{
	struct conn *oldest = NULL;

	if (idle_plain <= POOL_IDLE)
		return;
	for (size_t i = 0; i < POOL_SLOTS; i++) {
		struct conn *c = &slots[i];

		if (c->use == CONN_IDLE && !c->bound &&
		    (!oldest || c->used < oldest->used))
			oldest = c;
	}
	if (oldest)
		drop_idle(oldest);
}

/* @c is the caller's alone; the mutex is not held. */
static int open_conn(struct conn *c, const struct broker_env *e)
{
	c->timeout_ms = CALL_TIMEOUT_MS;
	c->fd = broker_open(e, c->timeout_ms, c->dir, sizeof(c->dir));
	if (c->fd < 0)
		return -1;
	c->cookie = sys_cookie(c->fd);
	return 0;
}

int pool_take(bool fresh, struct conn **ret)
{
	struct conn *c = NULL;
	struct broker_env e;
	struct caller who;

	look_at_caller(&who);
	pthread_once(&once, init);
	pthread_mutex_lock(&lock);
	if (env_refresh() < 0) {
		pthread_mutex_unlock(&lock);
		return -1;
	}
	if (!fresh)
		c = find_idle(&who);
	if (c) {
		set_use(c, CONN_BUSY);
		pthread_mutex_unlock(&lock);
		*ret = c;
		return 0;
	}
	c = find_free();
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c) {
			pthread_mutex_unlock(&lock);
			return hvs__fail_errno();
		}
		c->heap = true;
		c->next = heap;
		heap = c;
	} else {
		*c = (struct conn){ .fd = -1 };
	}
	c->use = CONN_BUSY;
	c->fd = -1;
	c->caller = who;
	c->env = env_generation;
	e = env;
	pthread_mutex_unlock(&lock);
	if (open_conn(c, &e) < 0) {
		pool_drop(c);
		return -1;
	}
	*ret = c;
	return 0;
}

void pool_give(struct conn *c)
{
	if (c->heap) {
		pool_drop(c);
		return;
	}
	pthread_mutex_lock(&lock);
	/* a child that was forked by a signal's handler has closed it */
	if (c->use == CONN_BUSY) {
		c->used = ++gives;
		set_use(c, CONN_IDLE);
		hint = c;
		trim();
	}
	pthread_mutex_unlock(&lock);
}

static void heap_drop(struct conn *c)
{
	struct conn **p = &heap;

	pthread_mutex_lock(&lock);
	close_fd(c, true);
	while (*p && *p != c)
		p = &(*p)->next;
	if (*p)
		*p = c->next;
	pthread_mutex_unlock(&lock);
	free(c);
}

void pool_drop(struct conn *c)
{
	if (c->heap) {
		heap_drop(c);
		return;
	}
	pthread_mutex_lock(&lock);
	if (c->use == CONN_BUSY) {
		close_fd(c, true);
		set_use(c, CONN_FREE);
	}
	pthread_mutex_unlock(&lock);
}

void pool_counts(size_t *ret_idle, size_t *ret_busy)
{
	*ret_idle = *ret_busy = 0;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < POOL_SLOTS; i++) {
		*ret_idle += slots[i].use == CONN_IDLE;
		*ret_busy += slots[i].use == CONN_BUSY;
	}
	pthread_mutex_unlock(&lock);
}
