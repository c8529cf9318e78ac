/* SPDX-License-Identifier: MIT */
/*
 * cmd-forward.c - hvctl forward LISTEN TARGET
 *
 * One thread, one event loop. For each connection that is accepted the target
 * is connected without blocking, and then a relay (splicer.h) has both. A
 * target that cannot be reached is told on stderr, and the connection ended;
 * the forward goes on. SIGTERM and SIGINT end it with exit code 0, and take
 * its socket file away.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "base/ev.h"
#include "hvctl/covers.h"
#include "hvctl/endpoint.h"
#include "hvctl/out.h"
#include "base/splicer.h"
#include "hvctl/verbs.h"

#define RETRY_MS 20 /* a Unix socket whose backlog is full */
#define CONNECT_MS HVSOCKET_CONNECT_TIMEOUT_DEFAULT

struct forward {
	struct ctl *ctl;
	struct ev *ev;
	struct endpoint listen, target;
	struct ev_io accept, signal;
	struct ev_timer pause;
	struct link *links;
	uint64_t count;
	bool verbose;
};

/* One connection: pending until the target answers, then a relay. */
struct link {
	struct ev_io io;
	struct ev_timer timer;
	struct forward *f;
	struct link *prev, *next;
	struct splicer *relay;
	int from, to;
	uint64_t number, deadline_ns;
};

static void link_free(struct link *l)
{
	struct forward *f = l->f;

	ev_io_stop(&l->io);
	ev_timer_stop(&l->timer);
	splicer_free(l->relay);
	cleanup_close(&l->from);
	cleanup_close(&l->to);
	if (l->prev)
		l->prev->next = l->next;
	else
		f->links = l->next;
	if (l->next)
		l->next->prev = l->prev;
	ev_later(f->ev, free, l);
}

static void link_refused(struct link *l, int error)
{
	struct forward *f = l->f;
	int fd = f->target.kind == ENDPOINT_HV ? l->to : -1;

	if (f->target.kind == ENDPOINT_HV)
		say_failed(f->ctl, f->target.text, fd, error);
	else
		complain("forward %s: %s", show(f->target.text), strerror(error));
	link_free(l);
}

static void on_relay_end(void *arg, int error, uint64_t to_target,
			 uint64_t from_target)
{
	struct link *l = arg;

	if (l->f->verbose)
		fprintf(stderr,
			"connection %" PRIu64 ": ended%s%s, %" PRIu64
			" bytes to the target, %" PRIu64 " from it\n",
			l->number, error ? ": " : "",
			error ? strerror(error) : "", to_target, from_target);
	l->relay = NULL; /* frees itself after this */
	link_free(l);
}

static void link_connected(struct link *l)
{
	struct forward *f = l->f;
	int r;

	ev_io_stop(&l->io);
	ev_timer_stop(&l->timer);
	r = splicer_new(f->ev, l->from, l->to, on_relay_end, l, &l->relay);
	if (r) {
		complain("forward: connection %" PRIu64 ": %s", l->number,
		     strerror(-r));
		link_free(l);
		return;
	}
	l->from = l->to = -1;
	if (f->verbose)
		fprintf(stderr, "connection %" PRIu64 ": %s\n", l->number,
			show(f->target.text));
}

static void on_pending(struct ev_io *io, uint32_t events)
{
	struct link *l = container_of(io, struct link, io);
	int r;

	(void)events;
	r = endpoint_result(&l->f->target, l->to);
	if (r)
		link_refused(l, -r);
	else
		link_connected(l);
}

static void on_deadline(struct ev_timer *t)
{
	link_refused(container_of(t, struct link, timer), ETIMEDOUT);
}

static void link_dial(struct link *l);

static void on_retry(struct ev_timer *t)
{
	link_dial(container_of(t, struct link, timer));
}

/* A full backlog is worth another try until the deadline. */
static bool is_backlog(const struct forward *f, int error)
{
	struct hvs_reason why = { 0 };

	if (f->target.kind == ENDPOINT_HV)
		return !hvs_reason(-1, &why) && why.code == HVS_REASON_BACKLOG;
	return error == EAGAIN;
}

static void link_dial(struct link *l)
{
	struct forward *f = l->f;
	int pending, r;

	r = endpoint_connect(&f->target, &pending);
	if (r < 0) {
		if (is_backlog(f, -r) && ev_now_ns() < l->deadline_ns &&
		    !ev_timer_start(f->ev, &l->timer, RETRY_MS, on_retry))
			return;
		link_refused(l, -r);
		return;
	}
	l->to = r;
	if (!pending) {
		link_connected(l);
		return;
	}
	r = ev_io_start(f->ev, &l->io, l->to, EPOLLOUT, on_pending);
	/* The broker keeps the time of its own connects. */
	if (!r && f->target.kind != ENDPOINT_HV)
		r = ev_timer_start(f->ev, &l->timer, CONNECT_MS, on_deadline);
	if (r)
		link_refused(l, -r);
}

static void link_new(struct forward *f, int fd)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l) {
		complain("forward: %s", strerror(ENOMEM));
		close(fd);
		return;
	}
	l->f = f;
	l->from = fd;
	l->to = -1;
	l->number = ++f->count;
	l->deadline_ns = ev_now_ns() + CONNECT_MS * 1000000ULL;
	l->next = f->links;
	if (f->links)
		f->links->prev = l;
	f->links = l;
	link_dial(l);
}

static void on_accept(struct ev_io *io, uint32_t events);

static void on_unpause(struct ev_timer *t)
{
	struct forward *f = container_of(t, struct forward, pause);

	ev_io_start(f->ev, &f->accept, f->accept.fd, EPOLLIN, on_accept);
}

static void on_accept(struct ev_io *io, uint32_t events)
{
	struct forward *f = container_of(io, struct forward, accept);

	(void)events;
	for (int i = 0; i < 16; i++) {
		int fd = accept4(io->fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			link_new(f, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return;
		/* Out of descriptors: wait for some to come back. */
		complain("forward: accept: %s", strerror(errno));
		ev_io_stop(io);
		ev_timer_start(f->ev, &f->pause, 200, on_unpause);
		return;
	}
}

static void on_signal(struct ev_io *io, uint32_t events)
{
	(void)events;
	ev_quit(container_of(io, struct forward, signal)->ev);
}

static int start(struct forward *f, int listener, int signals)
{
	int r;

	splicer_guard(listener);
	r = ev_io_start(f->ev, &f->accept, listener, EPOLLIN, on_accept);
	if (!r)
		r = ev_io_start(f->ev, &f->signal, signals, EPOLLIN,
				on_signal);
	return r;
}

static void stop(struct forward *f)
{
	ev_timer_stop(&f->pause);
	ev_io_stop(&f->accept);
	ev_io_stop(&f->signal);
	while (f->links)
		link_free(f->links);
	ev_step(f->ev, 0); /* frees what was put off */
}

static void raise_files(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* The socket's file, unless it is somebody else's by now. */
static void remove_file(const struct forward *f, const struct stat *made)
{
	struct stat st;

	if (f->listen.kind == ENDPOINT_UNIX &&
	    lstat(f->listen.path, &st) == 0 && st.st_dev == made->st_dev &&
	    st.st_ino == made->st_ino)
		unlink(f->listen.path);
}

static int run(struct forward *f)
{
	cleanup_close_ int listener = -1;
	cleanup_close_ int signals = -1;
	char at[512];
	sigset_t set;
	struct stat made;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return complain("forward: signalfd: %s", strerror(errno));
	listener = endpoint_listen(&f->listen, at, sizeof(at));
	if (listener < 0 && f->listen.kind == ENDPOINT_HV)
		return say_failed(f->ctl, f->listen.text, -1, -listener);
	if (listener < 0)
		return complain("forward %s: %s", show(f->listen.text),
			    strerror(-listener));
	if (f->listen.kind != ENDPOINT_UNIX || lstat(f->listen.path, &made) < 0)
		made = (struct stat){ 0 };
	printf("%s\n", show(at));
	if (fflush(stdout)) {
		remove_file(f, &made);
		return 1;
	}
	if (f->verbose && f->listen.kind == ENDPOINT_HV)
		covers_say(f->ctl, listener);
	r = start(f, listener, signals);
	if (!r)
		r = ev_run(f->ev);
	stop(f);
	remove_file(f, &made);
	return r ? complain("forward: %s", strerror(-r)) : 0;
}

int cmd_forward(struct ctl *c, const struct args *a)
{
	struct forward f = { .ctl = c, .verbose = args_has(a, "verbose") };
	char why[ENDPOINT_WHY];
	int r;

	if (endpoint_parse(a->pos[0], &f.listen, why))
		return usage("forward: %s: %s", show(a->pos[0]), why);
	if (endpoint_parse(a->pos[1], &f.target, why))
		return usage("forward: %s: %s", show(a->pos[1]), why);
	if (f.target.kind == ENDPOINT_TCP && !strcmp(f.target.port, "0"))
		return usage("forward: %s: nothing can be reached at port 0",
			     show(a->pos[1]));
	raise_files();
	r = ev_new(&f.ev);
	if (r)
		return complain("forward: %s", strerror(-r));
	r = run(&f);
	ev_free(f.ev);
	return r;
}
