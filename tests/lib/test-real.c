/* SPDX-License-Identifier: MIT */
/*
 * test-real.c - descriptors are real: what holds for AF_UNIX holds here
 *
 * Each test of the first half runs four times, with plain AF_UNIX sockets and
 * with Hyper-V sockets over the real broker, of both types, and expects the
 * same. The second half is about what only Hyper-V sockets have.
 */
#include "real.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>

#define NSIG_MAX 65

/* ---- As AF_UNIX ----------------------------------------------------------*/

START_TEST(calls)
{
	struct ends e = ends_of(_i);
	struct iovec iov[3] = { { (void *)(uintptr_t)"ab", 2 },
				{ (void *)(uintptr_t)"cd", 2 },
				{ (void *)(uintptr_t)"e", 1 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };
	char buf[16];
	int n = 0;

	ck_assert_int_eq(write(e.client, "one", 3), 3);
	gets_bytes(e.server, "one");
	ck_assert_int_eq(send(e.server, "two", 3, MSG_NOSIGNAL), 3);
	ck_assert_int_eq(recv(e.client, buf, sizeof(buf), MSG_PEEK), 3);
	ck_assert_int_eq(ioctl(e.client, FIONREAD, &n), 0);
	ck_assert_int_eq(n, 3);
	ck_assert_int_eq(recv(e.client, buf, sizeof(buf), 0), 3);
	ck_assert_int_eq(sendmsg(e.client, &msg, 0), 5);
	gets_bytes(e.server, "abcde");
	ck_assert_int_eq(recv(e.server, buf, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ends_close(&e);
}
END_TEST

/* The kernel ends a connection as it should: gracefully, and by halves. */
START_TEST(shutdown_and_close)
{
	struct ends e = ends_of(_i);
	char buf[16];

	ck_assert_int_eq(write(e.client, "last", 4), 4);
	ck_assert_int_eq(shutdown(e.client, SHUT_WR), 0);
	ck_assert_int_eq(shutdown(e.client, SHUT_WR), 0);
	gets_bytes(e.server, "last");
	ck_assert_int_eq(read(e.server, buf, sizeof(buf)), 0);
	ck_assert_int_eq(send(e.client, "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(errno, EPIPE);
	/* the other half goes on, and what was sent before a close is read */
	ck_assert_int_eq(write(e.server, "still", 5), 5);
	close(e.server);
	gets_bytes(e.client, "still");
	ck_assert_int_eq(read(e.client, buf, sizeof(buf)), 0);
	close(e.client);
	close(e.listener);
}
END_TEST

static volatile sig_atomic_t pipes;

static void on_pipe(int sig)
{
	(void)sig;
	pipes++;
}

START_TEST(sigpipe)
{
	struct ends e = ends_of(_i);

	signal(SIGPIPE, on_pipe);
	close(e.server);
	ck_assert_int_eq(write(e.client, "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	/* of streams only: the kernel has none for messages */
	ck_assert_int_eq(pipes, TYPE_OF(_i) == SOCK_STREAM);
	pipes = 0;
	ck_assert_int_eq(send(e.client, "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(pipes, 0);
	close(e.client);
	close(e.listener);
}
END_TEST

START_TEST(dup_and_fork)
{
	struct ends e = ends_of(_i);
	int copy = dup(e.client), status;
	char buf[16];
	pid_t pid;

	close(e.client);
	pid = fork();
	if (pid == 0)
		_exit(write(copy, "child", 5) != 5);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	gets_bytes(e.server, "child");
	/* the child's end did not end the connection */
	ck_assert_int_eq(recv(e.server, buf, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(copy);
	ck_assert_int_eq(read(e.server, buf, 1), 0);
	close(e.server);
	close(e.listener);
}
END_TEST

static int readable_by_select(int fd)
{
	struct timeval none = { 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &none);
}

START_TEST(waiting)
{
	struct ends e = ends_of(_i);
	struct pollfd p = { .fd = e.server, .events = POLLIN };
	struct epoll_event ev = { .events = EPOLLIN };
	int level = epoll_create1(0), edge = epoll_create1(0);

	ck_assert_int_eq(epoll_ctl(level, EPOLL_CTL_ADD, e.server, &ev), 0);
	ev.events = EPOLLIN | EPOLLET;
	ck_assert_int_eq(epoll_ctl(edge, EPOLL_CTL_ADD, e.server, &ev), 0);
	ck_assert_int_eq(readable_by_select(e.server), 0);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	ck_assert_int_eq(epoll_wait(level, &ev, 1, 0), 0);
	ck_assert_int_eq(epoll_wait(edge, &ev, 1, 0), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(write(e.client, "x", 1), 1);
		ck_assert_int_eq(readable_by_select(e.server), 1);
		ck_assert_int_eq(poll(&p, 1, 0), 1);
		ck_assert_int_eq(epoll_wait(level, &ev, 1, 0), 1);
		ck_assert_int_eq(epoll_wait(level, &ev, 1, 0), 1);
		/* told once for each edge */
		ck_assert_int_eq(epoll_wait(edge, &ev, 1, 0), 1);
		ck_assert_int_eq(epoll_wait(edge, &ev, 1, 0), 0);
	}
	close(e.client);
	ck_assert_int_eq(poll(&p, 1, 0), 1);
	ck_assert_int_eq(p.revents & (POLLIN | POLLHUP), POLLIN | POLLHUP);
	ck_assert_int_eq(epoll_wait(edge, &ev, 1, 0), 1);
	close(level);
	close(edge);
	close(e.server);
	close(e.listener);
}
END_TEST

START_TEST(does_not_block)
{
	struct ends e = ends_of(_i);
	struct pollfd p = { .fd = e.client, .events = POLLOUT };
	char block[4096] = { 0 };
	size_t sent = 0, got = 0;
	ssize_t n;

	ck_assert_int_eq(fcntl(e.client, F_SETFL, O_NONBLOCK), 0);
	while ((n = write(e.client, block, sizeof(block))) > 0)
		sent += (size_t)n;
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	while (got < sent) {
		n = read(e.server, block, sizeof(block));
		ck_assert_int_gt(n, 0);
		got += (size_t)n;
	}
	ck_assert_int_eq(poll(&p, 1, 0), 1);
	ck_assert_int_eq(p.revents, POLLOUT);
	ends_close(&e);
}
END_TEST

START_TEST(sends_files)
{
	struct ends e = ends_of(_i);
	int file = memfd_create("test", MFD_CLOEXEC);
	off_t at = 2;

	ck_assert_int_eq(write(file, "0123456789", 10), 10);
	ck_assert_int_eq(sendfile(e.client, file, &at, 6), 6);
	ck_assert_int_eq(at, 8);
	gets_bytes(e.server, "234567");
	close(file);
	ends_close(&e);
}
END_TEST

/* Of streams; bit 1 of _i is not used. */
START_TEST(splices)
{
	struct ends e = ends_of(_i);
	int p[2], q[2];

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(pipe(q), 0);
	ck_assert_int_eq(write(p[1], "spliced", 7), 7);
	ck_assert_int_eq(splice(p[0], NULL, e.client, NULL, 7, 0), 7);
	ck_assert_int_eq(splice(e.server, NULL, q[1], NULL, 64, 0), 7);
	gets_bytes(q[0], "spliced");
	ck_assert_int_eq(splice(e.server, NULL, q[1], NULL, 64,
				SPLICE_F_NONBLOCK), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
	ends_close(&e);
}
END_TEST

START_TEST(options_of_the_kernel)
{
	struct ends e = ends_of(_i);
	struct timeval tv = { .tv_usec = 20000 };
	char byte;

	ck_assert_int_eq(setsockopt(e.server, SOL_SOCKET, SO_RCVTIMEO, &tv,
				    sizeof(tv)), 0);
	ck_assert_int_eq(read(e.server, &byte, 1), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ends_close(&e);
}
END_TEST

/* ---- Only here -----------------------------------------------------------*/

#define TYPES 2
static const int types[TYPES] = { SOCK_STREAM, SOCK_SEQPACKET };

/*
 * A non-blocking connect within the host is decided when hvs_connect() returns:
 * all that look at the state see it. An edge is not made where none is needed:
 * a program that has taken the first event of the unconnected socket, and
 * waits although it was told 0, hears from its peer only.
 */
START_TEST(connected_at_once)
{
	int l = hv_listener(types[_i], 8), s;
	int c = hv_client(types[_i] | SOCK_NONBLOCK);
	int level = epoll_create1(0), edge = epoll_create1(0);
	int late = epoll_create1(0);
	struct epoll_event ev = { .events = EPOLLOUT };
	struct pollfd p = { .fd = c, .events = POLLOUT };
	struct timeval none = { 0 };
	SOCKADDR_HV a = loopback(l);
	fd_set set;

	ck_assert_int_eq(epoll_ctl(level, EPOLL_CTL_ADD, c, &ev), 0);
	ev.events = EPOLLOUT | EPOLLET;
	ck_assert_int_eq(epoll_ctl(edge, EPOLL_CTL_ADD, c, &ev), 0);
	ck_assert_int_eq(epoll_ctl(late, EPOLL_CTL_ADD, c, &ev), 0);
	/* what AF_UNIX says of an unconnected one is taken here, not there */
	ck_assert_int_eq(epoll_wait(edge, &ev, 1, 0), 1);
	ck_assert_uint_ne(ev.events & EPOLLHUP, 0);

	ck_assert_int_eq(hvs_connect(c, &a, sizeof(a)), 0);
	FD_ZERO(&set);
	FD_SET(c, &set);
	ck_assert_int_eq(select(c + 1, NULL, &set, NULL, &none), 1);
	ck_assert_int_eq(poll(&p, 1, 0), 1);
	ck_assert_int_eq(p.revents, POLLOUT);
	ck_assert_int_eq(epoll_wait(level, &ev, 1, 0), 1);
	ck_assert_uint_eq(ev.events, EPOLLOUT);
	ck_assert_int_eq(epoll_wait(late, &ev, 1, 0), 1);
	ck_assert_uint_eq(ev.events, EPOLLOUT);
	ck_assert_int_eq(epoll_wait(edge, &ev, 1, 0), 0);
	/* registered again, as after EPOLL_CTL_ADD, it is told */
	ev.events = EPOLLOUT | EPOLLET;
	ck_assert_int_eq(epoll_ctl(edge, EPOLL_CTL_MOD, c, &ev), 0);
	ck_assert_int_eq(epoll_wait(edge, &ev, 1, 0), 1);
	ck_assert_uint_eq(ev.events, EPOLLOUT);
	s = hvs_accept(l, NULL, NULL, 0);
	ck_assert_int_ge(s, 0);
	close(s);
	close(c);
	close(l);
	close(level);
	close(edge);
	close(late);
}
END_TEST

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void set_option(int fd, int name, uint32_t v)
{
	ck_assert_int_eq(hvs_setsockopt(fd, SOL_HVSOCKET, name, &v, sizeof(v)),
			 0);
}

static void ends_in_time(int fd, const SOCKADDR_HV *a, uint32_t ms,
			 uint32_t code)
{
	struct hvs_reason why;
	long long began;

	set_option(fd, HVSOCKET_CONNECT_TIMEOUT, ms);
	began = now_ms();
	ck_assert_int_eq(hvs_connect(fd, a, sizeof(*a)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	ck_assert_int_ge(now_ms() - began, ms);
	/* far from the default, and from what a broker may take longer */
	ck_assert_int_lt(now_ms() - began, 1900);
	ck_assert_int_eq(hvs_reason(fd, &why), 0);
	ck_assert_uint_eq(why.code, code);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

START_TEST(timeout_limits)
{
	int l = hv_listener(types[_i], 0), c[64], n = 0, fd;
	SOCKADDR_HV a = loopback(l);

	do {
		ck_assert_int_lt(n, 64);
		c[n] = hv_client(types[_i] | SOCK_NONBLOCK);
	} while (hvs_connect(c[n++], &a, sizeof(a)) == 0);
	ck_assert_int_eq(errno, ECONNREFUSED);
	fd = hv_client(types[_i]);
	ends_in_time(fd, &a, 200, HVS_REASON_BACKLOG);
	ends_in_time(fd, &a, 400, HVS_REASON_BACKLOG);
	while (n)
		close(c[--n]);
	close(l);
	set_option(fd, HVSOCKET_WAIT_LISTENER, 1);
	ends_in_time(fd, &a, 200, HVS_REASON_NO_LISTENER);
	close(fd);
}
END_TEST

struct waiter {
	int fd, result;
	SOCKADDR_HV a;
};

static void *wait_there(void *p)
{
	struct waiter *w = p;

	w->result = hvs_connect(w->fd, &w->a, sizeof(w->a));
	return NULL;
}

START_TEST(waits_for_a_listener)
{
	struct waiter w = { .fd = hv_client(SOCK_STREAM) };
	int l = hv_client(SOCK_STREAM), other = hv_listener(SOCK_STREAM, 1);
	SOCKADDR_HV a = loopback(other);
	pthread_t t;

	/* an address that is free, and was somebody's */
	close(other);
	w.a = a;
	ck_assert_int_eq(hvs_connect(w.fd, &a, sizeof(a)), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	set_option(w.fd, HVSOCKET_WAIT_LISTENER, 1);
	set_option(w.fd, HVSOCKET_CONNECT_TIMEOUT, 60000);
	ck_assert_int_eq(pthread_create(&t, NULL, wait_there, &w), 0);
	/* it is on its way when its socket does not block */
	while (!(fcntl(w.fd, F_GETFL) & O_NONBLOCK))
		poll(NULL, 0, 1);
	a.VmId = HV_GUID_WILDCARD;
	ck_assert_int_eq(hvs_bind(l, &a, sizeof(a)), 0);
	ck_assert_int_eq(hvs_listen(l, 1), 0);
	pthread_join(t, NULL);
	ck_assert_int_eq(w.result, 0);
	ck_assert_int_eq(fcntl(w.fd, F_GETFL) & O_NONBLOCK, 0);
	close(w.fd);
	close(l);
}
END_TEST

START_TEST(binds_once)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV }, other = a;
	int fd = hv_client(SOCK_STREAM);
	socklen_t len = sizeof(a);

	a.VmId = HV_GUID_LOOPBACK;
	ck_assert_int_eq(hvs_bind(fd, &a, sizeof(a)), 0);
	ck_assert_int_eq(hvs_getsockname(fd, &a, &len), 0);
	/* a reply that was lost, perhaps */
	ck_assert_int_eq(hvs_bind(fd, &a, sizeof(a)), 0);
	other = a;
	other.VmId = HV_GUID_CHILDREN;
	ck_assert_int_eq(hvs_bind(fd, &other, sizeof(a)), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(hvs_listen(fd, 1), 0);
	ck_assert_int_eq(hvs_bind(fd, &a, sizeof(a)), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(hvs_connect(fd, &other, sizeof(a)), -1);
	ck_assert_int_eq(errno, EINVAL);
	close(fd);
}
END_TEST

static int threads_now(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void some_of_everything(void)
{
	struct ends e = ends_of(1);
	SOCKADDR_HV a = loopback(e.listener);
	char text[HVS_ADDRESS_TEXT_SIZE];
	struct hvs_reason why;

	ck_assert_int_eq(hvs_dial("nobody:nothing", 0, 0), -1);
	ck_assert_int_eq(hvs_reason(-1, &why), 0);
	ck_assert_int_eq(hvs_serve("wildcard:no such service", 1, 0), -1);
	ck_assert_int_eq(hvs_address_format(&a, text, sizeof(text), 0), 0);
	ck_assert_int_eq(hvs_socket(AF_HYPERV, SOCK_RDM, 1), -1);
	ck_assert_int_eq(hvs_partition(NULL, text, sizeof(text)), 0);
	ck_assert_int_eq(setenv("HVSOCKET_RUNTIME_DIR", "/nowhere", 1), 0);
	ck_assert_int_eq(hvs_partition(NULL, text, sizeof(text)), -1);
	ends_close(&e);
}

/* No hidden threads, nothing printed, and signals are the program's. */
START_TEST(leaves_the_process_alone)
{
	sigset_t before, after;
	struct sigaction sa;
	int out[2], n;
	int keep1 = dup(1), keep2 = dup(2), had = threads_now();
	void (*had_action[NSIG_MAX])(int);

	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sigaction(sig, NULL, &sa) == 0)
			had_action[sig] = sa.sa_handler;
	ck_assert_int_eq(pipe(out), 0);
	sigprocmask(SIG_BLOCK, NULL, &before);
	dup2(out[1], 1);
	dup2(out[1], 2);
	some_of_everything();
	dup2(keep1, 1);
	dup2(keep2, 2);
	ck_assert_int_eq(ioctl(out[0], FIONREAD, &n), 0);
	ck_assert_int_eq(n, 0);
	ck_assert_int_eq(threads_now(), had);
	sigprocmask(SIG_BLOCK, NULL, &after);
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		ck_assert_int_eq(sigismember(&before, sig),
				 sigismember(&after, sig));
		if (sigaction(sig, NULL, &sa) == 0)
			ck_assert(sa.sa_handler == had_action[sig]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lib-real");
	TCase *same = tcase_create("as AF_UNIX"), *own = tcase_create("own");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(same, 60);
	tcase_add_loop_test(same, calls, 0, KINDS);
	tcase_add_loop_test(same, shutdown_and_close, 0, KINDS);
	tcase_add_loop_test(same, sigpipe, 0, KINDS);
	tcase_add_loop_test(same, dup_and_fork, 0, KINDS);
	tcase_add_loop_test(same, waiting, 0, KINDS);
	tcase_add_loop_test(same, does_not_block, 0, KINDS);
	tcase_add_loop_test(same, sends_files, 0, KINDS);
	tcase_add_loop_test(same, splices, 0, KINDS / TYPES);
	tcase_add_loop_test(same, options_of_the_kernel, 0, KINDS);
	suite_add_tcase(s, same);
	tcase_set_timeout(own, 60);
	tcase_add_loop_test(own, connected_at_once, 0, TYPES);
	tcase_add_loop_test(own, timeout_limits, 0, TYPES);
	tcase_add_test(own, waits_for_a_listener);
	tcase_add_test(own, binds_once);
	tcase_add_test(own, leaves_the_process_alone);
	suite_add_tcase(s, own);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
