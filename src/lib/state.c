/* SPDX-License-Identifier: MIT */
/*
 * state.c - see state.h
 *
 * Chained hashing; buckets grow with the table, which is swept first: an
 * entry is dropped when no descriptor of this process has its cookie. A sweep
 * costs one system call per descriptor, and comes only after as many new
 * entries as there were left by the one before.
 */
#include "lib/state.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "lib/sys.h"

#define THRESHOLD_MIN 256
#define BUCKETS_MIN 64
#define PROBES_MAX 1048576

struct entry {
	struct entry *next;
	uint64_t cookie;
	bool seen; /* by a sweep */
	struct sock_state s;
	struct hvs_reason *reason;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry **buckets;
static size_t n_buckets;
static size_t threshold = THRESHOLD_MIN;
static const struct state_watch *watch;
/* Read without the lock: zero means that nobody has anything to look up. */
static atomic_size_t count;

void state_lock_for_fork(void)
{
	pthread_mutex_lock(&lock);
}

void state_unlock_after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

size_t state_count(void)
{
	return atomic_load_explicit(&count, memory_order_relaxed);
}

void state_watch(const struct state_watch *w)
{
	watch = w;
}

static size_t bucket_of(uint64_t cookie, size_t n)
{
	return (size_t)(cookie * 0x9e3779b97f4a7c15u >> 32) & (n - 1);
}

static struct entry **find(uint64_t cookie)
{
	struct entry **p;

	if (!n_buckets)
		return NULL;
	p = &buckets[bucket_of(cookie, n_buckets)];
	while (*p && (*p)->cookie != cookie)
		p = &(*p)->next;
	return p;
}

static void drop(struct entry **p)
{
	struct entry *e = *p;

	*p = e->next;
	free(e->reason);
	free(e);
	atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
}

static void mark_cookie(uint64_t cookie)
{
	struct entry **p = cookie ? find(cookie) : NULL;

	if (p && *p)
		(*p)->seen = true;
}

static void mark(int fd)
{
	mark_cookie(sys_cookie(fd));
}

/*
 * Where /proc is not mounted every number is tried, up to what the limit could
 * have been: lowering it does not close what is above.
 */
static void mark_by_probing(void)
{
	struct rlimit rl;
	int max = PROBES_MAX;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_max < (rlim_t)max)
		max = (int)rl.rlim_max;
	for (int fd = 0; fd < max; fd++)
		mark(fd);
}

/* Return: false if some could not be seen, for want of a descriptor or memory:
 * then nobody is known to be gone. */
static bool mark_all(void)
{
	cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;

	if (watch)
		return watch->living(mark_cookie);
	dir = opendir("/proc/self/fd");
	if (!dir && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return false;
	if (!dir) {
		mark_by_probing();
		return true;
	}
	for (;;) {
		errno = 0;
		e = readdir(dir);
		if (!e)
			return errno == 0;
		if (e->d_name[0] != '.')
			mark(atoi(e->d_name));
	}
}

static void sweep(void)
{
	bool all = mark_all();
	size_t i, left;

	for (i = 0; i < n_buckets; i++) {
		struct entry **p = &buckets[i];

		while (*p) {
			if ((*p)->seen || !all) {
				(*p)->seen = false;
				p = &(*p)->next;
			} else {
				drop(p);
			}
		}
	}
	left = state_count();
	threshold = left * 2 < THRESHOLD_MIN ? THRESHOLD_MIN : left * 2;
}

static void grow(void)
{
	size_t n = n_buckets ? n_buckets * 2 : BUCKETS_MIN;
	struct entry **fresh = calloc(n, sizeof(*fresh));

	if (!fresh)
		return; /* longer chains, then */
	for (size_t i = 0; i < n_buckets; i++) {
		while (buckets[i]) {
			struct entry *e = buckets[i];
			struct entry **to = &fresh[bucket_of(e->cookie, n)];

			buckets[i] = e->next;
			e->next = *to;
			*to = e;
		}
	}
	free(buckets);
	buckets = fresh;
	n_buckets = n;
}

/* With the lock held. */
static struct entry **get(int fd, uint64_t cookie, bool create)
{
	struct entry **p = find(cookie), *e;

	if ((p && *p) || !create)
		return p;
	if (state_count() >= threshold)
		sweep();
	if (state_count() >= n_buckets)
		grow();
	p = find(cookie);
	e = p ? calloc(1, sizeof(*e)) : NULL;
	if (!e)
		return NULL;
	e->cookie = cookie;
	*p = e;
	atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
	if (watch)
		watch->born(fd, cookie);
	return p;
}

static bool same_as_fresh(const struct entry *e)
{
	const struct sock_state *s = &e->s;

	return !e->reason && !s->opt.timeout_ms && !s->opt.passthru &&
	       !s->opt.suspend && !s->opt.high_vtl && !s->opt.wait &&
	       !s->pending_bind && !s->ask_listen && !s->datagram &&
	       !s->has_dest && !s->parent_only && s->parked == PARKED_NO &&
	       !s->error;
}

bool state_get(int fd, struct sock_state *ret)
{
	int saved = errno;
	struct entry **p;
	uint64_t cookie;
	bool found = false;

	*ret = (struct sock_state){ 0 };
	if (!state_count())
		return false;
	cookie = sys_cookie(fd);
	errno = saved;
	if (!cookie)
		return false;
	pthread_mutex_lock(&lock);
	p = find(cookie);
	if (p && *p) {
		*ret = (*p)->s;
		found = true;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

int state_change(int fd, void (*fn)(struct sock_state *s, void *arg), void *arg)
{
	uint64_t cookie = sys_cookie(fd);
	struct entry **p;

	if (!cookie)
		return -errno;
	pthread_mutex_lock(&lock);
	p = get(fd, cookie, true);
	if (p) {
		fn(&(*p)->s, arg);
		if (same_as_fresh(*p))
			drop(p);
	}
	pthread_mutex_unlock(&lock);
	return p ? 0 : -ENOMEM;
}

void state_set_reason(int fd, const struct hvs_reason *reason)
{
	int saved = errno;
	uint64_t cookie = sys_cookie(fd);
	struct entry **p;

	if (!cookie) {
		errno = saved;
		return;
	}
	pthread_mutex_lock(&lock);
	p = get(fd, cookie, reason->code != HVS_REASON_NONE);
	if (p && *p && reason->code == HVS_REASON_NONE) {
		free((*p)->reason);
		(*p)->reason = NULL;
	} else if (p && *p) {
		if (!(*p)->reason)
			(*p)->reason = malloc(sizeof(*reason));
		if ((*p)->reason)
			*(*p)->reason = *reason;
	}
	if (p && *p && same_as_fresh(*p))
		drop(p);
	pthread_mutex_unlock(&lock);
	errno = saved;
}

void state_clear_reason(int fd)
{
	static const struct hvs_reason none;

	if (state_count())
		state_set_reason(fd, &none);
}

void state_get_reason(int fd, struct hvs_reason *ret)
{
	uint64_t cookie = state_count() ? sys_cookie(fd) : 0;
	struct entry **p;

	*ret = (struct hvs_reason){ 0 };
	if (!cookie)
		return;
	pthread_mutex_lock(&lock);
	p = find(cookie);
	if (p && *p && (*p)->reason)
		*ret = *(*p)->reason;
	pthread_mutex_unlock(&lock);
}
