/* SPDX-License-Identifier: MIT */
/* offload.c - see offload.h */
#include "broker/offload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/guard.h"

#define CONNECTORS 16
#define CLOSERS 32
#define CLOSE_MS 2 /* SO_LINGER ends with it */

struct pool {
	struct offload *o;
	unsigned int threads, idle, busy, most;
	void *(*run)(void *pool);
	pthread_cond_t work;
};

struct offload {
	struct ev_io io;
	int eventfd;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t ended;
	struct pool connectors, closers;
	struct offload_connect *todo, **todo_end;
	struct offload_connect *finished;
	struct offload_closing *closing, *closed;
	bool quit;
};

static void *run_connector(void *arg)
{
	struct pool *pool = arg;
	struct offload *o = pool->o;
	struct guard guard = { .ready = false };
	int no_guard = guard_init(&guard);

	pthread_mutex_lock(&o->lock);
	for (;;) {
		struct offload_connect *job;
		uint64_t one = 1;

		while (!o->todo && !o->quit) {
			pool->idle++;
			pthread_cond_wait(&pool->work, &o->lock);
			pool->idle--;
		}
		job = o->todo;
		if (!job)
			break;
		o->todo = job->next;
		if (!o->todo)
			o->todo_end = &o->todo;
		pthread_mutex_unlock(&o->lock);

		job->error = no_guard < 0 ? -no_guard : 0;
		if (!job->error) {
			guard_arm_for(&guard, job->timeout_ms);
			if (connect(job->fd, (struct sockaddr *)&job->addr,
				    job->len) < 0)
				job->error = errno;
			guard_arm_for(&guard, 0);
		}

		pthread_mutex_lock(&o->lock);
		job->next = o->finished;
		o->finished = job;
		(void)!write(o->eventfd, &one, sizeof(one));
	}
	pool->threads--;
	pthread_cond_signal(&o->ended);
	pthread_mutex_unlock(&o->lock);
	guard_fini(&guard);
	return NULL;
}

static void *run_closer(void *arg)
{
	struct pool *pool = arg;
	struct offload *o = pool->o;
	struct guard guard = { .ready = false };
	int no_guard = guard_init(&guard);

	pthread_mutex_lock(&o->lock);
	for (;;) {
		struct offload_closing *c;
		uint64_t one = 1;

		while (!o->closing && !o->quit) {
			pool->idle++;
			pthread_cond_wait(&pool->work, &o->lock);
			pool->idle--;
		}
		c = o->closing;
		if (!c || o->quit)
			break;
		o->closing = c->next;
		pool->busy++;
		pthread_mutex_unlock(&o->lock);
		if (no_guard == 0)
			guard_arm_for(&guard, CLOSE_MS);
		close(c->fd);
		if (no_guard == 0)
			guard_arm_for(&guard, 0);
		pthread_mutex_lock(&o->lock);
		pool->busy--;
		c->next = o->closed;
		o->closed = c;
		(void)!write(o->eventfd, &one, sizeof(one));
	}
	pool->threads--;
	pthread_cond_signal(&o->ended);
	pthread_mutex_unlock(&o->lock);
	guard_fini(&guard);
	return NULL;
}

/* With the lock held: there is work for one more. */
static void wake(struct pool *pool)
{
	pthread_t thread;
	pthread_attr_t attr;
	sigset_t all, old;

	if (pool->o->quit)
		return;
	if (pool->idle || pool->threads == pool->most) {
		pthread_cond_signal(&pool->work);
		return;
	}
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	/* all signals are the main thread's, but for the guard's */
	sigfillset(&all);
	sigdelset(&all, SIGRTMIN);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&thread, &attr, pool->run, pool) == 0)
		pool->threads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

static void on_finished(struct ev_io *io, uint32_t events)
{
	struct offload *o = container_of(io, struct offload, io);
	struct offload_connect *job, *next;
	struct offload_closing *c, *next_c;
	uint64_t n;

	(void)events;
	(void)!read(o->eventfd, &n, sizeof(n));
	pthread_mutex_lock(&o->lock);
	job = o->finished;
	o->finished = NULL;
	c = o->closed;
	o->closed = NULL;
	pthread_mutex_unlock(&o->lock);
	for (; job; job = next) {
		next = job->next;
		job->done(job);
	}
	for (; c; c = next_c) {
		next_c = c->next;
		c->done(c);
	}
}

int offload_new(struct ev *ev, struct offload **ret)
{
	struct offload *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = o->eventfd < 0 ? -errno :
			     ev_io_start(ev, &o->io, o->eventfd, EPOLLIN,
					 on_finished);
	if (r < 0) {
		if (o->eventfd >= 0)
			close(o->eventfd);
		free(o);
		return r;
	}
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->ended, NULL);
	o->todo_end = &o->todo;
	o->connectors = (struct pool){ .o = o,
				       .most = CONNECTORS,
				       .run = run_connector };
	o->closers = (struct pool){ .o = o, .most = CLOSERS,
				    .run = run_closer };
	pthread_cond_init(&o->connectors.work, NULL);
	pthread_cond_init(&o->closers.work, NULL);
	*ret = o;
	return 0;
}

struct offload *offload_free(struct offload *o)
{
	struct offload_closing *c;
	bool hangs;

	if (!o)
		return NULL;
	pthread_mutex_lock(&o->lock);
	o->quit = true;
	o->todo = NULL;
	pthread_cond_broadcast(&o->connectors.work);
	pthread_cond_broadcast(&o->closers.work);
	/* A closer may hang for as long as a stranger likes: not waited for,
	 * and what it uses stays. The process is about to end. */
	while (o->connectors.threads || o->closers.threads > o->closers.busy)
		pthread_cond_wait(&o->ended, &o->lock);
	hangs = o->closers.threads > 0;
	pthread_mutex_unlock(&o->lock);
	ev_io_stop(&o->io);
	if (hangs) {
		static struct offload *volatile left; /* not lost: left */

		left = o;
		(void)left;
		return NULL;
	}
	while ((c = o->closed ? o->closed : o->closing)) {
		/* a descriptor that is still open goes with the process */
		if (c == o->closed)
			o->closed = c->next;
		else
			o->closing = c->next;
		c->done(c);
	}
	close(o->eventfd);
	pthread_cond_destroy(&o->connectors.work);
	pthread_cond_destroy(&o->closers.work);
	pthread_cond_destroy(&o->ended);
	pthread_mutex_destroy(&o->lock);
	free(o);
	return NULL;
}

void offload_close_job(struct offload *o, struct offload_closing *job)
{
	pthread_mutex_lock(&o->lock);
	job->next = o->closing;
	o->closing = job;
	wake(&o->closers);
	pthread_mutex_unlock(&o->lock);
}

static void closed(struct offload_closing *job)
{
	free(job);
}

void offload_close(struct offload *o, int fd)
{
	struct offload_closing *job = malloc(sizeof(*job));

	if (!job) {
		close(fd);
		return;
	}
	*job = (struct offload_closing){ .fd = fd, .done = closed };
	offload_close_job(o, job);
}

void offload_connect(struct offload *o, struct offload_connect *job)
{
	pthread_mutex_lock(&o->lock);
	job->next = NULL;
	*o->todo_end = job;
	o->todo_end = &job->next;
	wake(&o->connectors);
	pthread_mutex_unlock(&o->lock);
}
