/* SPDX-License-Identifier: MIT */
/* static-signals.c - calls that are interrupted, and what is left of them */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "static.h"

static atomic_int caught;

static void on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&caught, 1);
}

static void handle(int sig, int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	sigaction(sig, &sa, NULL);
}

struct waiter {
	pthread_t thread;
	int listener, tid; /* or what connects, to .where */
	struct hv where;
	atomic_int ready;
	long result;
};

static void *accept_once(void *arg)
{
	struct waiter *w = arg;
	socklen_t len = sizeof(struct hv);
	struct hv from = { 0 };

	w->tid = (int)syscall(SYS_gettid);
	atomic_store(&w->ready, 1);
	w->result = raw_accept(w->listener, &from, &len);
	if (w->result >= 0)
		ck_assert_uint_eq(from.family, FAMILY);
	return NULL;
}

static void start(struct waiter *w, int listener)
{
	w->listener = listener;
	atomic_store(&w->ready, 0);
	ck_assert_int_eq(pthread_create(&w->thread, NULL, accept_once, w), 0);
	while (!atomic_load(&w->ready))
		sleep_ms(1);
	in_call(getpid(), w->tid, SYS_accept4);
}

static void echo(int c, int s)
{
	char x = 0;

	ck_assert_int_ge(s, 0);
	ck_assert_int_eq(write(c, "x", 1), 1);
	ck_assert_int_eq(read(s, &x, 1), 1);
	ck_assert_int_eq(x, 'x');
}

/* The next connection is the next accept's, whatever was before. */
static void accepts(int listener, const struct hv *a)
{
	int c = dial(SOCK_STREAM, a);
	struct hv from;
	socklen_t len = sizeof(from);

	echo(c, (int)raw_accept(listener, &from, &len));
}

START_TEST(accept_is_interrupted)
{
	struct hv a = address();
	struct waiter w;
	int l = serve(SOCK_STREAM, &a);

	handle(SIGUSR1, 0);
	for (int i = 0; i < 20; i++) {
		start(&w, l);
		pthread_kill(w.thread, SIGUSR1);
		pthread_join(w.thread, NULL);
		ck_assert_int_eq(w.result, -EINTR);
		ck_assert_int_eq(atomic_load(&caught), i + 1);
	}
	accepts(l, &a);
}
END_TEST

START_TEST(accept_goes_on)
{
	struct hv a = address();
	struct waiter w;
	int l = serve(SOCK_STREAM, &a), c;

	handle(SIGUSR1, SA_RESTART);
	start(&w, l);
	for (int i = 0; i < 20; i++) {
		pthread_kill(w.thread, SIGUSR1);
		while (atomic_load(&caught) <= i)
			sleep_ms(1);
		in_call(getpid(), w.tid, SYS_accept4);
	}
	c = dial(SOCK_STREAM, &a);
	pthread_join(w.thread, NULL);
	echo(c, (int)w.result);
}
END_TEST

/* The kernel's own accept would be at an end as well. */
START_TEST(accept_has_a_time_limit)
{
	struct timeval tv = { .tv_usec = 50000 };
	struct hv a = address(), from;
	socklen_t len = sizeof(from);
	int l = serve(SOCK_STREAM, &a);

	ck_assert_int_eq(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv,
				    sizeof(tv)), 0);
	ck_assert_int_eq(raw_accept(l, &from, &len), -EAGAIN);
	accepts(l, &a);
}
END_TEST

/* Nothing of ours keeps a listener: its address is free again. */
static void bind_again(const struct hv *a)
{
	for (int ms = 0; ms < LIMIT_MS; ms += 10) {
		int fd = make(SOCK_STREAM);

		if (!bind(fd, SA(a), sizeof(*a)))
			return;
		ck_assert_int_eq(errno, EADDRINUSE);
		close(fd);
		sleep_ms(10);
	}
	ck_abort_msg("the address is still taken");
}

START_TEST(closed_after_an_interruption)
{
	struct hv a = address();
	struct waiter w;
	int l = serve(SOCK_STREAM, &a);

	handle(SIGUSR1, 0);
	start(&w, l);
	pthread_kill(w.thread, SIGUSR1);
	pthread_join(w.thread, NULL);
	close(l);
	bind_again(&a);
}
END_TEST

START_TEST(killed_in_accept)
{
	struct hv a = address();
	int l = serve(SOCK_STREAM, &a), status;
	struct hv from;
	socklen_t len = sizeof(from);
	pid_t pid = fork();

	if (!pid) {
		raw_accept(l, &from, &len);
		_exit(1);
	}
	in_call(pid, pid, SYS_accept4);
	close(l);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	bind_again(&a);
}
END_TEST

/* A listener whose backlog is full: connects wait. */
static int full(const struct hv *a)
{
	int l = make(SOCK_STREAM);

	ck_assert_int_eq(bind(l, SA(a), sizeof(*a)), 0);
	ck_assert_int_eq(listen(l, 0), 0);
	dial(SOCK_STREAM, a);
	return l;
}

static void *connect_once(void *arg)
{
	struct waiter *w = arg;

	w->tid = (int)syscall(SYS_gettid);
	atomic_store(&w->ready, 1);
	w->result = raw_connect(w->listener, &w->where);
	return NULL;
}

static void start_connect(struct waiter *w)
{
	w->listener = make(SOCK_STREAM);
	atomic_store(&w->ready, 0);
	ck_assert_int_eq(pthread_create(&w->thread, NULL, connect_once, w), 0);
	while (!atomic_load(&w->ready))
		sleep_ms(1);
	in_call(getpid(), w->tid, SYS_connect);
}

START_TEST(connect_is_interrupted)
{
	struct waiter w = { .where = address() };
	int l = full(&w.where), blocking;
	long again;
	struct hv from;
	socklen_t len = sizeof(from);

	handle(SIGUSR1, 0);
	start_connect(&w);
	pthread_kill(w.thread, SIGUSR1);
	pthread_join(w.thread, NULL);
	ck_assert_int_eq(w.result, -EINTR);
	/* it is given up, and can be made again; or had just been made */
	ck_assert_int_ge(raw_accept(l, &from, &len), 0);
	again = raw_connect(w.listener, &w.where);
	ck_assert_msg(again == 0 || again == -EISCONN, "connect: %s",
		      strerror((int)-again));
	blocking = fcntl(w.listener, F_GETFL);
	ck_assert_int_eq(blocking & O_NONBLOCK, 0);
	len = sizeof(from);
	echo(w.listener, (int)raw_accept(l, &from, &len));
}
END_TEST

START_TEST(connect_goes_on)
{
	struct waiter w = { .where = address() };
	int l = full(&w.where);
	struct hv from;
	socklen_t len = sizeof(from);

	handle(SIGUSR1, SA_RESTART);
	start_connect(&w);
	for (int i = 0; i < 20; i++) {
		pthread_kill(w.thread, SIGUSR1);
		while (atomic_load(&caught) <= i)
			sleep_ms(1);
		in_call(getpid(), w.tid, SYS_connect);
	}
	ck_assert_int_ge(raw_accept(l, &from, &len), 0);
	pthread_join(w.thread, NULL);
	ck_assert_int_eq(w.result, 0);
	len = sizeof(from);
	echo(w.listener, (int)raw_accept(l, &from, &len));
}
END_TEST

/* Without handlers nothing can have been interrupted. */
START_TEST(connect_for_a_second_time)
{
	struct hv a = address();
	int fd = make(SOCK_STREAM);

	serve(SOCK_STREAM, &a);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		signal(sig, SIG_DFL);
	ck_assert_int_eq(raw_connect(fd, &a), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(raw_connect(fd, &a), -EISCONN);
	/* with one, it can */
	handle(SIGUSR1, SA_RESTART);
	fd = make(SOCK_STREAM);
	ck_assert_int_eq(raw_connect(fd, &a), 0);
	(void)raw_connect(fd, &a);
	ck_assert_int_eq(raw_connect(fd, &a), -EISCONN);
}
END_TEST

static void *cancelled(void *arg)
{
	struct waiter *w = arg;
	struct hv from;
	socklen_t len = sizeof(from);

	w->tid = (int)syscall(SYS_gettid);
	atomic_store(&w->ready, 1);
	accept4(w->listener, SA(&from), &len, 0); /* libc's: may be cancelled */
	return NULL;
}

START_TEST(cancelled_in_accept)
{
	struct hv a = address();
	struct waiter w = { .listener = serve(SOCK_STREAM, &a) };
	void *result;

	ck_assert_int_eq(pthread_create(&w.thread, NULL, cancelled, &w), 0);
	while (!atomic_load(&w.ready))
		sleep_ms(1);
	in_call(getpid(), w.tid, SYS_accept4);
	pthread_cancel(w.thread);
	pthread_join(w.thread, &result);
	ck_assert_ptr_eq(result, PTHREAD_CANCELED);
	accepts(w.listener, &a);
}
END_TEST

static void *serve_all(void *arg)
{
	struct waiter *w = arg;
	struct hv from;
	socklen_t len;
	char x;

	for (int i = 0; i < (int)w->result; i++) {
		long s;

		do {
			len = sizeof(from);
			s = raw_accept(w->listener, &from, &len);
		} while (s == -EINTR);
		ck_assert_msg(s >= 0, "accept: %s", strerror((int)-s));
		while (read((int)s, &x, 1) < 0)
			ck_assert_int_eq(errno, EINTR);
		ck_assert_int_eq(write((int)s, &x, 1), 1);
		close((int)s);
	}
	return NULL;
}

/*
 * A timer that fires all the time, with SA_RESTART and without: no connection
 * is lost, and none is refused.
 */
START_TEST(storm)
{
	struct itimerval timer = { { 0, 700 }, { 0, 700 } };
	struct hv a = address();
	struct waiter w = { .listener = serve(SOCK_STREAM, &a), .result = 300 };
	bool restart = _i;
	char x;

	handle(SIGALRM, restart ? SA_RESTART : 0);
	ck_assert_int_eq(pthread_create(&w.thread, NULL, serve_all, &w), 0);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (int i = 0; i < 300; i++) {
		long fd, r;

		do {
			fd = raw(SYS_socket, FAMILY, SOCK_STREAM, PROTOCOL);
		} while (!restart && fd == -EINTR);
		ck_assert_msg(fd >= 0, "socket: %s", strerror((int)-fd));
		do {
			r = raw_connect((int)fd, &a);
		} while (!restart && r == -EINTR);
		/* one that was interrupted may have come to its end */
		ck_assert_msg(r == 0 || (!restart && r == -EISCONN),
			      "connect: %s", strerror((int)-r));
		while (write((int)fd, "x", 1) < 0)
			ck_assert_int_eq(errno, EINTR);
		while (read((int)fd, &x, 1) < 0)
			ck_assert_int_eq(errno, EINTR);
		close((int)fd);
	}
	pthread_join(w.thread, NULL);
	timer = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &timer, NULL);
	ck_assert_int_gt(atomic_load(&caught), 0);
}
END_TEST

Suite *suite_signals(void)
{
	Suite *s = suite_create("signals");
	TCase *t = tcase_create("signals");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, accept_is_interrupted);
	tcase_add_test(t, accept_goes_on);
	tcase_add_test(t, accept_has_a_time_limit);
	tcase_add_test(t, closed_after_an_interruption);
	tcase_add_test(t, killed_in_accept);
	tcase_add_test(t, cancelled_in_accept);
	tcase_add_test(t, connect_is_interrupted);
	tcase_add_test(t, connect_goes_on);
	tcase_add_test(t, connect_for_a_second_time);
	tcase_add_loop_test(t, storm, 0, 2);
	suite_add_tcase(s, t);
	return s;
}
