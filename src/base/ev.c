/* SPDX-License-Identifier: MIT */
/* ev.c - see ev.h */
#include "base/ev.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define UNASKED_MAX 8u
#define LOOK_MIN_NS 10000u

struct later {
	ev_free_fn fn;
	void *p;
};

struct ev {
	int epfd;
	bool quit;
	uint64_t look_max_ns, look_ns; /* how long to look, and did so last */
	bool had_events;
	uint64_t waits;
	bool (*poll_look)(void *ctx), (*poll_sleep)(void *ctx);
	void *poll_ctx;
	unsigned int unasked; /* looks since epoll was asked */

	struct epoll_event batch[BATCH];
	int batch_len, batch_at;

	struct ev_timer **heap; /* earliest first */
	size_t timers, heap_size;

	struct later *later;
	size_t laters, later_size;
};

uint64_t ev_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int ev_new(struct ev **ret)
{
	struct ev *ev = calloc(1, sizeof(*ev));

	if (!ev)
		return -ENOMEM;
	ev->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (ev->epfd < 0) {
		int err = -errno;

		free(ev);
		return err;
	}
	*ret = ev;
	return 0;
}

static void run_laters(struct ev *ev)
{
	/* a callback may add more */
	for (size_t i = 0; i < ev->laters; i++) {
		struct later l = ev->later[i];

		l.fn(l.p);
	}
	ev->laters = 0;
}

struct ev *ev_free(struct ev *ev)
{
	if (ev) {
		run_laters(ev);
		close(ev->epfd);
		free(ev->heap);
		free(ev->later);
		free(ev);
	}
	return NULL;
}

void ev_later(struct ev *ev, ev_free_fn fn, void *p)
{
	if (ev->laters == ev->later_size) {
		size_t size = ev->later_size ? ev->later_size * 2 : 16;
		struct later *l = realloc(ev->later, size * sizeof(*l));

		if (!l)
			return; /* a leak is better than a dangling pointer */
		ev->later = l;
		ev->later_size = size;
	}
	ev->later[ev->laters++] = (struct later){ .fn = fn, .p = p };
}

int ev_io_start(struct ev *ev, struct ev_io *io, int fd, uint32_t events,
		ev_io_fn fn)
{
	struct epoll_event e = { .events = events, .data.ptr = io };
	bool active = io->ev != NULL;

	if (active && io->fd == fd && io->events == events) {
		io->fn = fn;
		return 0;
	}
	if (epoll_ctl(ev->epfd, active ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
		      &e) < 0)
		return -errno;
	*io = (struct ev_io){ .ev = ev, .fd = fd, .events = events, .fn = fn };
	return 0;
}

void ev_io_stop(struct ev_io *io)
{
	struct ev *ev = io->ev;

	if (!ev)
		return;
	(void)epoll_ctl(ev->epfd, EPOLL_CTL_DEL, io->fd, NULL);
	for (int i = ev->batch_at; i < ev->batch_len; i++)
		if (ev->batch[i].data.ptr == io)
			ev->batch[i].data.ptr = NULL;
	io->ev = NULL;
}

static bool earlier(const struct ev_timer *a, const struct ev_timer *b)
{
	return a->at_ns < b->at_ns;
}

static void heap_set(struct ev *ev, size_t i, struct ev_timer *t)
{
	ev->heap[i] = t;
	t->index = i;
}

static void heap_up(struct ev *ev, size_t i)
{
	struct ev_timer *t = ev->heap[i];

	while (i && earlier(t, ev->heap[(i - 1) / 2])) {
		heap_set(ev, i, ev->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(ev, i, t);
}

static void heap_down(struct ev *ev, size_t i)
{
	struct ev_timer *t = ev->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= ev->timers)
			break;
		if (child + 1 < ev->timers &&
		    earlier(ev->heap[child + 1], ev->heap[child]))
			child++;
		if (!earlier(ev->heap[child], t))
			break;
		heap_set(ev, i, ev->heap[child]);
		i = child;
	}
	heap_set(ev, i, t);
}

int ev_timer_start_at(struct ev *ev, struct ev_timer *t, uint64_t at_ns,
		      ev_timer_fn fn)
{
	ev_timer_stop(t);
	if (ev->timers == ev->heap_size) {
		size_t size = ev->heap_size ? ev->heap_size * 2 : 64;
		struct ev_timer **h = realloc(ev->heap, size * sizeof(*h));

		if (!h)
			return -ENOMEM;
		ev->heap = h;
		ev->heap_size = size;
	}
	t->ev = ev;
	t->at_ns = at_ns;
	t->fn = fn;
	heap_set(ev, ev->timers++, t);
	heap_up(ev, t->index);
	return 0;
}

int ev_timer_start(struct ev *ev, struct ev_timer *t, uint64_t ms,
		   ev_timer_fn fn)
{
	return ev_timer_start_at(ev, t, ev_now_ns() + ms * 1000000u, fn);
}

void ev_timer_stop(struct ev_timer *t)
{
	struct ev *ev = t->ev;
	struct ev_timer *last;
	size_t i = t->index;

	if (!ev)
		return;
	t->ev = NULL;
	last = ev->heap[--ev->timers];
	if (last == t)
		return;
	heap_set(ev, i, last);
	heap_up(ev, i);
	heap_down(ev, last->index);
}

static void run_timers(struct ev *ev)
{
	uint64_t now;

	if (!ev->timers)
		return;
	now = ev_now_ns();
	/* Those that callbacks add are for later, even if already due. */
	for (size_t n = ev->timers; n && ev->timers; n--) {
		struct ev_timer *t = ev->heap[0];

		if (t->at_ns > now)
			break;
		ev_timer_stop(t);
		t->fn(t);
	}
}

static int timeout_until(const struct ev *ev, int timeout_ms)
{
	uint64_t now, ms;

	if (!ev->timers)
		return timeout_ms;
	now = ev_now_ns();
	if (ev->heap[0]->at_ns <= now)
		return 0;
	ms = (ev->heap[0]->at_ns - now + 999999) / 1000000;
	if (ms > 3600000)
		ms = 3600000;
	if (timeout_ms >= 0 && ms > (uint64_t)timeout_ms)
		return timeout_ms;
	return (int)ms;
}

static bool polled(struct ev *ev)
{
	return ev->poll_look && ev->poll_look(ev->poll_ctx);
}

static void let_others_run(struct ev *ev)
{
	sched_yield();
	ev->waits++;
}

/* Looks for events for a while without sleeping, letting others run. Return:
 * events; or there was something else, or nothing (*@ret_any). */
static int look(struct ev *ev, uint64_t began, bool *ret_any)
{
	int n = 0;

	/* what is polled is most often all that comes; but epoll gets its turn
	 */
	if (ev->poll_look && ev->unasked++ < UNASKED_MAX) {
		let_others_run(ev);
		*ret_any = polled(ev);
	}
	while (!*ret_any) {
		n = epoll_wait(ev->epfd, ev->batch, BATCH, 0);
		ev->waits++;
		ev->unasked = 0;
		*ret_any = n || polled(ev);
		if (*ret_any || ev_now_ns() - began >= ev->look_ns)
			break;
		let_others_run(ev);
		*ret_any = polled(ev);
	}
	return n;
}

/*
 * It took @ns until something came. Had it come while looking, a sleep and a
 * wake-up would have been saved, so the next look is as long as that takes;
 * what took longer than a look may take makes them shorter, until there are
 * none. (Others that run meanwhile may keep the processor for a whole time
 * slice, so a look can take too long and bring something nevertheless.)
 */
static void judge(struct ev *ev, uint64_t ns)
{
	if (ns <= ev->look_max_ns) {
		if (ev->look_ns < 2 * ns)
			ev->look_ns = 2 * ns < ev->look_max_ns ?
					      2 * ns :
					      ev->look_max_ns;
		return;
	}
	ev->look_ns /= 2;
	if (ev->look_ns < LOOK_MIN_NS)
		ev->look_ns = 0;
}

static int wait_events(struct ev *ev, int timeout_ms)
{
	int n, ms = timeout_until(ev, timeout_ms);
	bool any = false, eager = ev->look_max_ns && ev->had_events && ms != 0;
	uint64_t began = eager ? ev_now_ns() : 0;

	if (eager && ev->look_ns) {
		n = look(ev, began, &any);
		if (any) {
			judge(ev, ev_now_ns() - began);
			return n;
		}
	}
	if (ms != 0 && ev->poll_sleep)
		any = ev->poll_sleep(ev->poll_ctx);
	/* whatever was polled may have started timers, and looking took time */
	ms = any ? 0 : timeout_until(ev, timeout_ms);
	ev->waits++;
	n = epoll_wait(ev->epfd, ev->batch, BATCH, ms);
	ev->had_events = any || n > 0;
	if (eager)
		judge(ev, ev_now_ns() - began);
	return n;
}

void ev_poll(struct ev *ev, bool (*look_fn)(void *ctx),
	     bool (*sleep_fn)(void *ctx), void *ctx)
{
	ev->poll_look = look_fn;
	ev->poll_sleep = sleep_fn;
	ev->poll_ctx = ctx;
}

uint64_t ev_waits(const struct ev *ev)
{
	return ev->waits;
}

int ev_step(struct ev *ev, int timeout_ms)
{
	int n = wait_events(ev, timeout_ms);

	if (n < 0 && errno != EINTR)
		return -errno;
	ev->batch_len = n > 0 ? n : 0;
	for (ev->batch_at = 0; ev->batch_at < ev->batch_len;) {
		struct epoll_event *e = &ev->batch[ev->batch_at++];
		struct ev_io *io = e->data.ptr;

		if (io)
			io->fn(io, e->events);
	}
	ev->batch_len = 0;
	run_timers(ev);
	run_laters(ev);
	return 0;
}

int ev_run(struct ev *ev)
{
	int r = 0;

	while (!ev->quit && r == 0)
		r = ev_step(ev, -1);
	ev->quit = false;
	return r;
}

void ev_quit(struct ev *ev)
{
	ev->quit = true;
}

bool ev_quitting(const struct ev *ev)
{
	return ev->quit;
}

void ev_eager(struct ev *ev, uint64_t ns)
{
	if (ns == ev->look_max_ns)
		return;
	ev->look_max_ns = ns;
	ev->look_ns = ns;
}
