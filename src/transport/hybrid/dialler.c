/* SPDX-License-Identifier: MIT */
/*
 * dialler.c - see dialler.h
 *
 * A few threads take from one queue; what they are done with lies in another
 * one until the loop, woken by an eventfd, gives it to whoever asked. One that
 * is cancelled while a thread has it is dropped there.
 */
#include "transport/hybrid/dialler.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/bytes.h"
#include "transport/closer.h"

#define THREADS 4u
#define STACK (256u * 1024u)
#define ADDRESS_SIZE 400

enum where { WAITING, RUNNING, DONE };

struct dial {
	STAILQ_ENTRY(dial) link;
	enum where where;
	char address[ADDRESS_SIZE]; /* "": fd is asked about */
	dial_fn fn;		    /* NULL: cancelled */
	void *ctx;
	int fd, error;
	struct hvs_reason reason;
};

STAILQ_HEAD(dials, dial);

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more, started;
	unsigned int up;
	struct dials waiting, done;
	struct ev_io io;
} dialler = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
	.started = PTHREAD_COND_INITIALIZER,
	.waiting = STAILQ_HEAD_INITIALIZER(dialler.waiting),
	.done = STAILQ_HEAD_INITIALIZER(dialler.done),
};

/* ---- on a thread */

static int connect_to(struct dial *d)
{
	SOCKADDR_HV a;

	if (hvs_address_parse(d->address, &a) < 0)
		return errno;
	d->fd = hvs_socket(AF_HYPERV,
			   SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			   HV_PROTOCOL_RAW);
	if (d->fd < 0)
		return errno;
	return hvs_connect(d->fd, &a, sizeof(a)) == 0 ? 0 : errno;
}

static int ask(struct dial *d)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (hvs_getsockopt(d->fd, SOL_HVSOCKET, HVSOCKET_ERROR, &error, &len) <
	    0)
		error = errno;
	return error;
}

static void work(struct dial *d)
{
	bool asked = !d->address[0];

	d->error = asked ? ask(d) : connect_to(d);
	if (!d->error || d->error == EINPROGRESS)
		return;
	(void)hvs_reason(asked ? d->fd : -1, &d->reason);
	if (d->fd >= 0)
		closer_close_socket(d->fd);
	d->fd = -1;
}

static void *run(void *arg)
{
	const uint64_t one = 1;
	struct dial *d;

	(void)arg;
	pthread_mutex_lock(&dialler.lock);
	dialler.up++;
	pthread_cond_signal(&dialler.started);
	for (;;) {
		while (STAILQ_EMPTY(&dialler.waiting))
			pthread_cond_wait(&dialler.more, &dialler.lock);
		d = STAILQ_FIRST(&dialler.waiting);
		STAILQ_REMOVE_HEAD(&dialler.waiting, link);
		d->where = RUNNING;
		pthread_mutex_unlock(&dialler.lock);
		work(d);
		pthread_mutex_lock(&dialler.lock);
		d->where = DONE;
		STAILQ_INSERT_TAIL(&dialler.done, d, link);
		/* (its counter cannot overflow) */
		(void)!write(dialler.io.fd, &one, sizeof(one));
	}
	return NULL;
}

/* ---- on the loop's */

static void dial_free(struct dial *d)
{
	if (d->fd >= 0)
		closer_close_socket(d->fd);
	free(d);
}

static void deliver(struct dial *d)
{
	const struct dial_result r = {
		.error = d->error,
		.fd = d->fd,
		.backlog = d->reason.code == HVS_REASON_BACKLOG,
		.why = d->reason.text[0] ? d->reason.text : strerror(d->error),
	};

	if (d->fn) {
		d->fd = -1;
		d->fn(d->ctx, &r);
	}
	dial_free(d);
}

static struct dial *take_done(void)
{
	struct dial *d;

	pthread_mutex_lock(&dialler.lock);
	d = STAILQ_FIRST(&dialler.done);
	if (d)
		STAILQ_REMOVE_HEAD(&dialler.done, link);
	pthread_mutex_unlock(&dialler.lock);
	return d;
}

static void on_done(struct ev_io *io, uint32_t events)
{
	struct dial *d;
	uint64_t n;

	(void)events;
	(void)!read(io->fd, &n, sizeof(n));
	while ((d = take_done()))
		deliver(d);
}

static struct dial *enqueue(const char *address, int fd, dial_fn fn, void *ctx)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	snprintf(d->address, sizeof(d->address), "%s", address);
	d->fd = fd;
	d->fn = fn;
	d->ctx = ctx;
	pthread_mutex_lock(&dialler.lock);
	STAILQ_INSERT_TAIL(&dialler.waiting, d, link);
	pthread_cond_signal(&dialler.more);
	pthread_mutex_unlock(&dialler.lock);
	return d;
}

struct dial *dial_new(const char *address, dial_fn fn, void *ctx)
{
	return enqueue(address, -1, fn, ctx);
}

struct dial *dial_ask(int fd, dial_fn fn, void *ctx)
{
	return enqueue("", fd, fn, ctx);
}

struct dial *dial_cancel(struct dial *d)
{
	bool waiting;

	if (!d)
		return NULL;
	pthread_mutex_lock(&dialler.lock);
	d->fn = NULL;
	waiting = d->where == WAITING;
	if (waiting)
		STAILQ_REMOVE(&dialler.waiting, d, dial, link);
	pthread_mutex_unlock(&dialler.lock);
	if (waiting)
		dial_free(d);
	return NULL;
}

static int start_threads(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	unsigned int n = 0;
	int r = 0;

	/* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	while (n < THREADS && r == 0) {
		r = pthread_create(&thread, &attr, run, NULL);
		n += r == 0;
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	/* their start needs calls that a sandbox denies */
	pthread_mutex_lock(&dialler.lock);
	while (dialler.up < n)
		pthread_cond_wait(&dialler.started, &dialler.lock);
	pthread_mutex_unlock(&dialler.lock);
	return -r;
}

int dialler_start(struct ev *ev)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	r = ev_io_start(ev, &dialler.io, fd, EPOLLIN, on_done);
	if (r < 0) {
		close(fd);
		return r;
	}
	return start_threads();
}

void dialler_stop(void)
{
	struct dial *d;

	/* the threads, and what they are at, end with the process */
	ev_io_stop(&dialler.io);
	while ((d = take_done()))
		dial_free(d);
}
