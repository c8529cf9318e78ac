/* SPDX-License-Identifier: MIT */
/* closer.c - see closer.h */
#include "transport/closer.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define QUEUE 16384u
#define BUSY 4096u /* and at most a quarter of all descriptors */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more, started;
	bool running, can_guard, up;
	unsigned int first, count, busy;
} closer = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
	.started = PTHREAD_COND_INITIALIZER,
	.busy = BUSY,
};
static int waiting[QUEUE]; /* apart: no page of the file is read for it */

static void *run(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&closer.lock);
	closer.up = true;
	pthread_cond_signal(&closer.started);
	for (;;) {
		int fd;

		while (!closer.count)
			pthread_cond_wait(&closer.more, &closer.lock);
		fd = waiting[closer.first];
		closer.first = (closer.first + 1) % QUEUE;
		closer.count--;
		pthread_mutex_unlock(&closer.lock);
		close(fd);
		pthread_mutex_lock(&closer.lock);
	}
	return NULL;
}

bool closer_guard_socket(int fd)
{
	int off = 0;

	if (closer.running && !closer.can_guard)
		return false; /* a kernel that does not know it */
	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) ==
	       0;
}

int closer_start(void)
{
	struct rlimit limit;
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int probe, r;

	if (closer.running)
		return 0;
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe >= 0) {
		closer.can_guard = closer_guard_socket(probe);
		close(probe);
	}
	/* without a free one the kernel would close them on the spot */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 4 < BUSY)
		closer.busy = (unsigned int)(limit.rlim_cur / 4);
	/* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	r = pthread_create(&thread, &attr, run, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	closer.running = r == 0;
	/* the C library's part of its start needs calls that a sandbox denies
	 */
	pthread_mutex_lock(&closer.lock);
	while (closer.running && !closer.up)
		pthread_cond_wait(&closer.started, &closer.lock);
	pthread_mutex_unlock(&closer.lock);
	return -r;
}

bool closer_busy(void)
{
	bool busy;

	pthread_mutex_lock(&closer.lock);
	busy = closer.count >= closer.busy;
	pthread_mutex_unlock(&closer.lock);
	return busy;
}

static bool enqueue(int fd)
{
	bool done = false;

	if (!closer.running)
		return false;
	pthread_mutex_lock(&closer.lock);
	if (closer.count < QUEUE) {
		waiting[(closer.first + closer.count++) % QUEUE] = fd;
		pthread_cond_signal(&closer.more);
		done = true;
	}
	pthread_mutex_unlock(&closer.lock);
	return done;
}

void closer_close(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		if (!enqueue(fds[i]))
			close(fds[i]);
}

void closer_close_socket(int fd)
{
	if (closer.can_guard)
		close(fd);
	else
		closer_close(&fd, 1);
}
