/* SPDX-License-Identifier: MIT */
/*
 * winsock-state.c - see winsock-state.h
 *
 * One lock for both lists: they are short (sockets shut down and not yet
 * closed; threads asleep), and it is never held over a call that blocks. Over
 * fork() the child keeps the marks and drops the sleepers, which are threads
 * that it does not have.
 */
#include "lib/winsock-state.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/sys.h"

#define BUCKETS 64u

struct mark {
	uint64_t cookie;
	unsigned int directions;
	struct mark *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct mark *marks[BUCKETS];
static atomic_uint mark_count; /* read without the lock: none at all? */
static struct ws_sleeper *sleepers;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;

static void fork_prepare(void)
{
	pthread_mutex_lock(&lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void fork_child(void)
{
	sleepers = NULL;
	pthread_mutex_unlock(&lock);
}

static void init(void)
{
	(void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static void state_lock(void)
{
	(void)pthread_once(&once, init);
	pthread_mutex_lock(&lock);
}

static int cookie_of(int fd, uint64_t *ret)
{
	*ret = sys_cookie(fd);
	return *ret ? 0 : -errno;
}

/* Where the mark's pointer stands, or the end of its list. */
static struct mark **mark_find(uint64_t cookie)
{
	struct mark **m = &marks[cookie % BUCKETS];

	while (*m && (*m)->cookie != cookie)
		m = &(*m)->next;
	return m;
}

void ws_sleep(struct ws_sleeper *s, int fd)
{
	*s = (struct ws_sleeper){ .fd = fd };
	state_lock();
	s->next = sleepers;
	if (sleepers)
		sleepers->prev = s;
	sleepers = s;
	pthread_mutex_unlock(&lock);
}

bool ws_wake(struct ws_sleeper *s)
{
	int saved = errno;

	pthread_mutex_lock(&lock);
	if (s->prev)
		s->prev->next = s->next;
	else
		sleepers = s->next;
	if (s->next)
		s->next->prev = s->prev;
	pthread_cond_broadcast(&woken);
	pthread_mutex_unlock(&lock);
	errno = saved;
	return s->closed;
}

static bool is_asleep(int fd)
{
	const struct ws_sleeper *s;

	for (s = sleepers; s; s = s->next)
		if (s->fd == fd)
			return true;
	return false;
}

int ws_close(int fd)
{
	struct ws_sleeper *s;
	struct mark **m, *old;
	bool asleep = false;
	uint64_t cookie;
	int r;

	r = cookie_of(fd, &cookie);
	if (r < 0)
		return r;
	state_lock();
	m = mark_find(cookie);
	old = *m;
	if (old) {
		*m = old->next;
		free(old);
		atomic_fetch_sub(&mark_count, 1);
	}
	for (s = sleepers; s; s = s->next) {
		if (s->fd == fd) {
			s->closed = true;
			asleep = true;
		}
	}
	/*
	 * close() does not wake a thread that sleeps on the socket; shutdown()
	 * does, and a thread that is about to sleep finds it shut down.
	 */
	if (asleep)
		(void)shutdown(fd, SHUT_RDWR);
	/* Once it is closed its number may be another file's: the sleepers
	 * have to be out of their calls. */
	while (is_asleep(fd))
		pthread_cond_wait(&woken, &lock);
	pthread_mutex_unlock(&lock);
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

int ws_shut_mark(int fd, unsigned int directions)
{
	struct mark *fresh, **m;
	uint64_t cookie;
	int r;

	r = cookie_of(fd, &cookie);
	if (r < 0)
		return r;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	state_lock();
	m = mark_find(cookie);
	if (!*m) {
		fresh->cookie = cookie;
		*m = fresh;
		fresh = NULL;
		atomic_fetch_add(&mark_count, 1);
	}
	(*m)->directions |= directions;
	pthread_mutex_unlock(&lock);
	free(fresh);
	return 0;
}

bool ws_shut_test(int fd, unsigned int direction)
{
	struct mark **m;
	uint64_t cookie;
	bool r;

	if (!atomic_load(&mark_count) || cookie_of(fd, &cookie) < 0)
		return false;
	state_lock();
	m = mark_find(cookie);
	r = *m && ((*m)->directions & direction);
	pthread_mutex_unlock(&lock);
	return r;
}
