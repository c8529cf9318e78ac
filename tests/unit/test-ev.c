/* SPDX-License-Identifier: MIT */
/* test-ev.c - the event loop, and packets with descriptors */
#include "suite.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ev.h"
#include "base/fdmsg.h"
#include "base/wakeup.h"

struct watch {
	struct ev_io io;
	struct watch *stops;
	int calls;
};

static void on_io(struct ev_io *io, uint32_t events)
{
	struct watch *w = container_of(io, struct watch, io);
	char byte;

	w->calls++;
	if (events & EPOLLIN)
		ck_assert_int_eq(read(io->fd, &byte, 1), 1);
	if (w->stops)
		ev_io_stop(&w->stops->io);
}

START_TEST(io)
{
	struct watch a = { 0 }, b = { 0 };
	int pa[2], pb[2];
	struct ev *ev;

	ck_assert_int_eq(ev_new(&ev), 0);
	ck_assert_int_eq(pipe(pa), 0);
	ck_assert_int_eq(pipe(pb), 0);
	ck_assert_int_eq(ev_io_start(ev, &a.io, pa[0], EPOLLIN, on_io), 0);
	ck_assert_int_eq(ev_io_start(ev, &b.io, pb[0], EPOLLIN, on_io), 0);
	ck_assert_int_ge(ev_step(ev, 0), 0);
	ck_assert_int_eq(a.calls + b.calls, 0);
	ck_assert_int_eq(write(pa[1], "xx", 2), 2);
	/* level-triggered */
	ck_assert_int_ge(ev_step(ev, 1000), 0);
	ck_assert_int_ge(ev_step(ev, 1000), 0);
	ck_assert_int_eq(a.calls, 2);
	/* each stops the other: only one of a batch is called */
	a.stops = &b;
	b.stops = &a;
	ck_assert_int_eq(write(pa[1], "x", 1), 1);
	ck_assert_int_eq(write(pb[1], "x", 1), 1);
	ck_assert_int_ge(ev_step(ev, 1000), 0);
	ck_assert_int_eq(a.calls + b.calls, 3);
	/* from its own callback, too; and twice is once */
	a.stops = &a;
	ev_io_stop(&a.io);
	ev_io_stop(&b.io);
	ck_assert_int_eq(ev_io_start(ev, &a.io, pa[0], EPOLLIN, on_io), 0);
	ck_assert_int_eq(write(pa[1], "x", 1), 1);
	ck_assert_int_ge(ev_step(ev, 1000), 0);
	ck_assert_ptr_null(a.io.ev);
	ev_io_stop(&a.io);
	/* other events for an active one */
	ck_assert_int_eq(ev_io_start(ev, &b.io, pb[1], 0, on_io), 0);
	ck_assert_int_ge(ev_step(ev, 0), 0);
	b.calls = 0;
	b.stops = NULL;
	ck_assert_int_eq(ev_io_start(ev, &b.io, pb[1], EPOLLOUT, on_io), 0);
	ck_assert_int_ge(ev_step(ev, 1000), 0);
	ck_assert_int_eq(b.calls, 1);
	ev_io_stop(&b.io);
	ck_assert_ptr_null(ev_free(ev));
}
END_TEST

struct tick {
	struct ev_timer t;
	struct ev *ev;
	int *order, place;
};

static void on_timer(struct ev_timer *t)
{
	struct tick *k = container_of(t, struct tick, t);

	k->place = (*k->order)++;
}

START_TEST(timers)
{
	struct tick k[20] = { 0 };
	uint64_t base;
	struct ev *ev;
	int order = 0;

	ck_assert_int_eq(ev_new(&ev), 0);
	base = ev_now_ns();
	/* started in no order, due in that of their number */
	for (int i = 0; i < 20; i++) {
		int n = i * 7 % 20;

		k[n].order = &order;
		k[n].place = -1;
		ck_assert_int_eq(ev_timer_start_at(ev, &k[n].t,
						   base + (uint64_t)n * 100000,
						   on_timer), 0);
	}
	ev_timer_stop(&k[3].t);
	ev_timer_stop(&k[3].t);
	/* moved to the end */
	ck_assert_int_eq(ev_timer_start_at(ev, &k[0].t, base + 5000000,
					   on_timer), 0);
	while (order < 19)
		ck_assert_int_ge(ev_step(ev, 1000), 0);
	ck_assert_int_eq(k[3].place, -1);
	ck_assert_int_eq(k[0].place, 18);
	for (int i = 1, want = 0; i < 20; i++)
		if (i != 3)
			ck_assert_int_eq(k[i].place, want++);
	ck_assert_uint_ge(ev_now_ns(), base + 5000000);
	ck_assert_ptr_null(ev_free(ev));
}
END_TEST

static void free_one(void *p)
{
	++*(int *)p;
}

static void later_and_quit(struct ev_timer *t)
{
	struct tick *k = container_of(t, struct tick, t);

	ev_later(k->ev, free_one, k->order);
	ck_assert_int_eq(*k->order, 0); /* not yet */
	ev_quit(k->ev);
}

START_TEST(later)
{
	struct tick k = { 0 };
	int freed = 0;

	ck_assert_int_eq(ev_new(&k.ev), 0);
	ev_eager(k.ev, true);
	k.order = &freed;
	ck_assert_int_eq(ev_timer_start(k.ev, &k.t, 0, later_and_quit), 0);
	ck_assert_int_eq(ev_run(k.ev), 0);
	ck_assert_int_eq(freed, 1);
	ck_assert_ptr_null(ev_free(k.ev));
	ck_assert_ptr_null(ev_free(NULL));
}
END_TEST

/* Told to end before it runs: by a signal while its owner does something else,
 * with steps of its own. */
START_TEST(quit_before)
{
	struct tick k = { 0 };
	int freed = 0;

	ck_assert_int_eq(ev_new(&k.ev), 0);
	k.order = &freed;
	ck_assert(!ev_quitting(k.ev));
	ck_assert_int_eq(ev_timer_start(k.ev, &k.t, 0, later_and_quit), 0);
	ck_assert_int_eq(ev_step(k.ev, 5000), 0);
	ck_assert(ev_quitting(k.ev));
	ck_assert_int_eq(ev_run(k.ev), 0);
	/* and once is once */
	ck_assert(!ev_quitting(k.ev));
	ck_assert_ptr_null(ev_free(k.ev));
}
END_TEST

struct sleeper {
	struct ev *ev;
	struct ev_timer t;
	bool fired;
};

static void on_sleeper(struct ev_timer *t)
{
	container_of(t, struct sleeper, t)->fired = true;
}

static bool starts_timer(void *ctx)
{
	struct sleeper *k = ctx;

	if (!k->fired && !k->t.ev)
		ck_assert_int_eq(ev_timer_start(k->ev, &k->t, 20, on_sleeper),
				 0);
	return false;
}

/* What is done just before the loop sleeps may bound the sleep. */
START_TEST(polled_timer)
{
	struct sleeper k = { .fired = false };
	uint64_t began = ev_now_ns();

	ck_assert_int_eq(ev_new(&k.ev), 0);
	ev_poll(k.ev, NULL, starts_timer, &k);
	ck_assert_int_eq(ev_step(k.ev, 10000), 0);
	ck_assert(k.fired);
	ck_assert_uint_lt(ev_now_ns() - began, 5000000000u);
	ev_free(k.ev);
}
END_TEST

static bool counts_looks(void *ctx)
{
	++*(unsigned int *)ctx;
	return false;
}

static void on_bell(struct ev_io *bell, uint32_t events)
{
	eventfd_t n;

	(void)events;
	ck_assert_int_eq(eventfd_read(bell->fd, &n), 0);
}

static void on_nothing(struct ev_timer *t)
{
	(void)t;
}

/* Looking pays while events come soon, stops when they do not, and begins
 * again. */
START_TEST(looking)
{
	enum { MAX_MS = 4 };
	struct ev_io bell = { 0 };
	struct ev_timer t = { 0 };
	struct ev *ev;
	unsigned int count = 0, before, tries;
	int fd = eventfd(0, EFD_CLOEXEC);

	ck_assert_int_eq(ev_new(&ev), 0);
	ck_assert_int_eq(ev_io_start(ev, &bell, fd, EPOLLIN, on_bell), 0);
	ev_eager(ev, MAX_MS * 1000000u);
	ev_poll(ev, counts_looks, NULL, &count);
	ck_assert_int_eq(eventfd_write(fd, 1), 0);
	ck_assert_int_eq(ev_step(ev, 1000), 0);
	ck_assert_uint_eq(count, 0); /* nothing had come before */
	ck_assert_int_eq(eventfd_write(fd, 1), 0);
	ck_assert_int_eq(ev_step(ev, 1000), 0);
	ck_assert_uint_ne(count, 0);
	/* from 4 ms to less than 10 us */
	for (tries = 0; tries < 10; tries++) {
		ck_assert_int_eq(ev_timer_start(ev, &t, 2 * MAX_MS, on_nothing),
				 0);
		ck_assert_int_eq(ev_step(ev, 1000), 0);
		ck_assert_int_eq(eventfd_write(fd, 1), 0);
		ck_assert_int_eq(ev_step(ev, 0), 0); /* had events, no look */
	}
	before = count;
	ck_assert_int_eq(ev_timer_start(ev, &t, 2 * MAX_MS, on_nothing), 0);
	ck_assert_int_eq(ev_step(ev, 1000), 0);
	ck_assert_uint_eq(count, before);
	/* it is at once, but for whoever takes the processor away */
	for (tries = 0; count == before && tries < 1000; tries++) {
		ck_assert_int_eq(eventfd_write(fd, 1), 0);
		ck_assert_int_eq(ev_step(ev, 1000), 0);
	}
	ck_assert_uint_ne(count, before);
	ev_io_stop(&bell);
	close(fd);
	ck_assert_ptr_null(ev_free(ev));
}
END_TEST

START_TEST(wakes)
{
	cpu_set_t before, after;
	uint64_t ns;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(before), &before), 0);
	ns = wakeup_ns();
	ck_assert_uint_gt(ns, 0);
	ck_assert_uint_lt(ns, 10000000000u);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(after), &after), 0);
	ck_assert(CPU_EQUAL(&before, &after));
	ns = wakeup_look_ns();
	ck_assert_uint_ge(ns, 200000);
	ck_assert_uint_le(ns, 400000);
}
END_TEST

START_TEST(descriptors)
{
	int sv[2], fds[FDMSG_MAX + 1], n;
	struct fdmsg m;
	char buf[8];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	for (n = 0; n <= FDMSG_MAX; n++)
		fds[n] = sv[0];
	static const int counts[] = { 0, 1, 2, 100, FDMSG_MAX };

	for (size_t i = 0; i < 5; i++) {
		ck_assert_int_eq(fdmsg_send(sv[0], "hello", 5, fds, counts[i],
					    0), 0);
		ck_assert_int_eq(fdmsg_recv(sv[1], buf, sizeof(buf), 0, &m), 0);
		ck_assert_uint_eq(m.len, 5);
		ck_assert_int_eq(m.truncated, 0);
		ck_assert_int_eq(m.nfds, counts[i]);
		for (n = 0; n < m.nfds; n++) {
			ck_assert_int_ne(fcntl(m.fds[n], F_GETFD) & FD_CLOEXEC,
					 0);
			close(m.fds[n]);
		}
	}
	ck_assert_int_eq(fdmsg_send(sv[0], "x", 1, fds, FDMSG_MAX + 1, 0),
			 -EINVAL);
	ck_assert_int_eq(fdmsg_send(sv[0], "x", 1, fds, -1, 0), -EINVAL);
	ck_assert_int_eq(fdmsg_send(sv[0], "much too long", 13, NULL, 0, 0), 0);
	ck_assert_int_eq(fdmsg_recv(sv[1], buf, sizeof(buf), 0, &m), 0);
	ck_assert_int_ne(m.truncated, 0);
	ck_assert_int_eq(fdmsg_recv(sv[1], buf, sizeof(buf), MSG_DONTWAIT, &m),
			 -EAGAIN);
	close(sv[0]);
	ck_assert_int_eq(fdmsg_recv(sv[1], buf, sizeof(buf), 0, &m), 0);
	ck_assert_uint_eq(m.len, 0);
	/* and no signal */
	ck_assert_int_eq(fdmsg_send(sv[1], "x", 1, NULL, 0, 0), -EPIPE);
	close(sv[1]);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, io);
	tcase_add_test(t, timers);
	tcase_add_test(t, later);
	tcase_add_test(t, quit_before);
	tcase_add_test(t, polled_timer);
	tcase_add_test(t, looking);
	tcase_add_test(t, wakes);
	tcase_add_test(t, descriptors);
}

int main(void)
{
	return run_suite("ev", fill);
}
