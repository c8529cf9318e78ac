/* SPDX-License-Identifier: MIT */
/*
 * ev.h - the event loop: descriptors and timers, one thread
 *
 * Level-triggered epoll. An ev_io or ev_timer is embedded in its owner, zeroed
 * at first, and may be ended (ev_io_stop, ev_timer_stop) at any time, also
 * from a callback, its own included: an event of the same batch for a stopped
 * io is dropped. Its memory must stay until the callback that stopped it has
 * returned to the loop; ev_later() frees after the batch. ev_io_stop() comes
 * before close().
 */
#ifndef BASE_EV_H
#define BASE_EV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct ev;
struct ev_io;
struct ev_timer;

typedef void (*ev_io_fn)(struct ev_io *io, uint32_t events);
typedef void (*ev_timer_fn)(struct ev_timer *t);
typedef void (*ev_free_fn)(void *p);

struct ev_io {
	struct ev *ev; /* NULL: not active */
	int fd;
	uint32_t events;
	ev_io_fn fn;
};

struct ev_timer {
	struct ev *ev; /* NULL: not active */
	uint64_t at_ns;
	size_t index; /* place in the heap */
	ev_timer_fn fn;
};

#define container_of(p, type, member) \
	((type *)(void *)((char *)(p) - offsetof(type, member)))

int ev_new(struct ev **ret);
struct ev *ev_free(struct ev *ev); /* NULL is fine; owners stop theirs first */

/** ev_run() - dispatch until ev_quit(), which may have been before: then not at
 * all. Return: 0 or -errno (epoll broken) */
int ev_run(struct ev *ev);
/** ev_step() - one batch, waiting at most @timeout_ms (-1: for ever) */
int ev_step(struct ev *ev, int timeout_ms);
void ev_quit(struct ev *ev);
/** ev_quitting() - is ev_run() to end? For those who call ev_step() */
bool ev_quitting(const struct ev *ev);

/** ev_io_start() - watch @fd for @events (EPOLLIN, EPOLLOUT, EPOLLET...);
 * again for an active io changes the events. Return: 0 or -errno */
int ev_io_start(struct ev *ev, struct ev_io *io, int fd, uint32_t events,
		ev_io_fn fn);
void ev_io_stop(struct ev_io *io);

/** ev_timer_start() - call @fn once, @ms from now; moves an active timer.
 * Return: 0 or -ENOMEM */
int ev_timer_start(struct ev *ev, struct ev_timer *t, uint64_t ms,
		   ev_timer_fn fn);
int ev_timer_start_at(struct ev *ev, struct ev_timer *t, uint64_t at_ns,
		      ev_timer_fn fn);
void ev_timer_stop(struct ev_timer *t);

/** ev_later() - call @fn(@p) when the present batch is over */
void ev_later(struct ev *ev, ev_free_fn fn, void *p);

/** ev_now_ns() - CLOCK_MONOTONIC */
uint64_t ev_now_ns(void);

/** ev_eager() - after a batch of events look for more before sleeping, for at
 * most @ns (0: not at all, as at first)
 *
 * How long it really looks follows from how long the last events let wait:
 * twice that, and less and less while they take longer than @ns. */
void ev_eager(struct ev *ev, uint64_t ns);

/**
 * ev_poll() - for what makes no events, or need not make them while somebody
 * looks
 * @look:	called while the loop looks (ev_eager): do what there is to do
 * @sleep:	called before it sleeps: events are needed from now on
 *
 * Both return whether there was something; then the loop does not sleep.
 */
void ev_poll(struct ev *ev, bool (*look)(void *ctx), bool (*sleep)(void *ctx),
	     void *ctx);

/** ev_waits() - system calls so far that waited or looked for events */
uint64_t ev_waits(const struct ev *ev);

#endif /* BASE_EV_H */
