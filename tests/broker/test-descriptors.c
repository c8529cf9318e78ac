/* SPDX-License-Identifier: MIT */
/*
 * test-descriptors.c - what programs do with descriptors, on ours
 *
 * Through the library and a real broker: everything that the kernel offers on
 * an AF_UNIX socket goes on working, before and after the broker has had the
 * socket in its hands.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/fdmsg.h"
#include "base/guid.h"

static char dir[64], box_dir[256];
static pid_t broker;

#define BOX "00000003-1111-4111-8111-111111111111"
#define PORT 5000

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void setup(void)
{
	char run[128], config[128], fd[16], command[512], byte;
	int ready[2];

	strcpy(dir, "/tmp/hvs-desc-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(run, sizeof(run), "%s/run", dir);
	snprintf(config, sizeof(config), "%s/config", dir);
	snprintf(command, sizeof(command),
		 "mkdir -p %s/services.d %s/partitions.d", config, config);
	ck_assert_int_eq(system(command), 0);
	write_file("config/partitions.d/box.conf",
		   "[Partition]\nKind=container\nVmId=" BOX "\n");
	write_file("config/services.d/echo.conf", "[Service]\nPort=5000\n");
	snprintf(box_dir, sizeof(box_dir), "%s/broker/partitions/" BOX, run);
	ck_assert_int_eq(pipe(ready), 0);
	broker = fork();
	ck_assert_int_ge(broker, 0);
	if (!broker) {
		snprintf(fd, sizeof(fd), "%d", ready[1]);
		execl(getenv("HVSOCKETD"), "hvsocketd", "--runtime-dir", run,
		      "--config-dir", config, "--ready-fd", fd, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	ck_assert_int_eq(setenv("HVSOCKET_RUNTIME_DIR", run, 1), 0);
	signal(SIGPIPE, SIG_DFL);
}

static void teardown(void)
{
	char command[128];
	int status;

	kill(broker, SIGTERM);
	ck_assert_int_eq(waitpid(broker, &status, 0), broker);
	ck_assert_int_eq(status, 0);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static SOCKADDR_HV address(const GUID *vmid, uint32_t port)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV, .VmId = *vmid };

	hvs_guid_from_port(port, &a.ServiceId);
	return a;
}

static int new_socket(int type)
{
	int fd = hvs_socket(AF_HYPERV, type, HV_PROTOCOL_RAW);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static int serve(int type, int backlog)
{
	SOCKADDR_HV a = address(&HV_GUID_WILDCARD, PORT);
	int fd = new_socket(type);

	ck_assert_int_eq(hvs_bind(fd, &a, sizeof(a)), 0);
	ck_assert_int_eq(hvs_listen(fd, backlog), 0);
	return fd;
}

static int dial(int fd)
{
	SOCKADDR_HV a = address(&HV_GUID_LOOPBACK, PORT);

	return hvs_connect(fd, &a, sizeof(a));
}

/* near, far */
static void pair(int type, int *fds)
{
	int listener = serve(type, 8);

	fds[0] = new_socket(type);
	ck_assert_int_eq(dial(fds[0]), 0);
	fds[1] = hvs_accept(listener, NULL, NULL, 0);
	ck_assert_int_ge(fds[1], 0);
	close(listener);
}

static void says(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), 0),
			 (ssize_t)strlen(text));
}

static void hears(int fd, const char *text)
{
	char buf[256];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	ck_assert_int_eq(n, (ssize_t)strlen(text));
	ck_assert_int_eq(memcmp(buf, text, (size_t)n), 0);
}

static short polled(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	ck_assert_int_ge(poll(&p, 1, 0), 0);
	return p.revents;
}

START_TEST(poll_and_select)
{
	struct timeval none = { 0 };
	int fds[2], listener = serve(SOCK_STREAM, 8), near;
	fd_set r;

	ck_assert_int_eq(polled(listener, POLLIN), 0);
	near = new_socket(SOCK_STREAM);
	ck_assert_int_eq(dial(near), 0);
	ck_assert_int_eq(polled(listener, POLLIN), POLLIN);
	close(near);
	close(listener);
	pair(SOCK_STREAM, fds);
	ck_assert_int_eq(polled(fds[0], POLLIN | POLLOUT), POLLOUT);
	FD_ZERO(&r);
	FD_SET(fds[1], &r);
	ck_assert_int_eq(select(fds[1] + 1, &r, NULL, NULL, &none), 0);
	says(fds[0], "x");
	FD_SET(fds[1], &r);
	ck_assert_int_eq(select(fds[1] + 1, &r, NULL, NULL, &none), 1);
	ck_assert_int_eq(polled(fds[1], POLLIN | POLLRDHUP), POLLIN);
	shutdown(fds[0], SHUT_WR);
	ck_assert_int_eq(polled(fds[1], POLLIN | POLLRDHUP),
			 POLLIN | POLLRDHUP);
	hears(fds[1], "x");
	hears(fds[1], ""); /* end of stream; the other way is open */
	says(fds[1], "back");
	hears(fds[0], "back");
	close(fds[1]);
	ck_assert_int_eq(polled(fds[0], POLLIN) & POLLHUP, POLLHUP);
	close(fds[0]);
}
END_TEST

/* Registered before the socket is bound or connected: no new registration. */
START_TEST(epoll_before_connect)
{
	static const uint32_t modes[] = { 0, EPOLLET };

	for (int i = 0; i < 2; i++) {
		int ep = epoll_create1(0), listener = new_socket(SOCK_STREAM);
		int near = new_socket(SOCK_STREAM | SOCK_NONBLOCK), far;
		struct epoll_event e = { .events = EPOLLIN | modes[i] };
		SOCKADDR_HV a = address(&HV_GUID_WILDCARD, PORT);

		e.data.fd = listener;
		ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e), 0);
		e.events |= EPOLLOUT;
		e.data.fd = near;
		ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, near, &e), 0);
		while (epoll_wait(ep, &e, 1, 0) > 0 && modes[i])
			; /* unconnected sockets report a hang-up: taken */
		ck_assert_int_eq(hvs_bind(listener, &a, sizeof(a)), 0);
		ck_assert_int_eq(hvs_listen(listener, 8), 0);
		ck_assert_int_eq(dial(near), 0);
		/* connect() returned 0: as with any AF_UNIX socket, that is
		 * all that the connecting end is told; the listener's end is
		 * an event */
		do {
			ck_assert_int_eq(epoll_wait(ep, &e, 1, 5000), 1);
		} while (e.data.fd != listener || !(e.events & EPOLLIN));
		ck_assert_int_eq(polled(near, POLLOUT | POLLIN), POLLOUT);
		far = hvs_accept(listener, NULL, NULL, 0);
		ck_assert_int_ge(far, 0);
		says(far, "edge");
		do {
			ck_assert_int_eq(epoll_wait(ep, &e, 1, 5000), 1);
		} while (e.data.fd != near || !(e.events & EPOLLIN));
		hears(near, "edge");
		close(far);
		close(near);
		close(listener);
		close(ep);
	}
}
END_TEST

START_TEST(dup_fork_exec)
{
	int fds[2], copy, status;
	SOCKADDR_HV a;
	socklen_t len = sizeof(a);
	char command[64];
	pid_t pid;

	pair(SOCK_STREAM, fds);
	copy = dup(fds[0]);
	close(fds[0]);
	says(copy, "by a copy");
	hears(fds[1], "by a copy");
	ck_assert_int_eq(hvs_getpeername(copy, &a, &len), 0);
	ck_assert(guid_equal(&a.VmId, &HV_GUID_LOOPBACK));
	pid = fork();
	if (!pid) {
		len = sizeof(a);
		if (hvs_getpeername(copy, &a, &len) == 0 &&
		    send(copy, "child", 5, 0) == 5)
			_exit(0);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	hears(fds[1], "child");
	/* a program that knows nothing of us inherits it */
	snprintf(command, sizeof(command), "printf inherited >&%d", copy);
	pid = fork();
	if (!pid) {
		execl("/bin/bash", "bash", "-c", command, (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	hears(fds[1], "inherited");
	close(copy);
	close(fds[1]);
}
END_TEST

START_TEST(splice_and_sendfile)
{
	int fds[2], p[2], file;
	char path[128];

	pair(SOCK_STREAM, fds);
	write_file("payload", "from a file");
	snprintf(path, sizeof(path), "%s/payload", dir);
	file = open(path, O_RDONLY);
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(sendfile(fds[0], file, NULL, 100), 11);
	hears(fds[1], "from a file");
	ck_assert_int_eq(pipe(p), 0);
	says(fds[0], "through a pipe");
	ck_assert_int_eq(splice(fds[1], NULL, p[1], NULL, 100, 0), 14);
	ck_assert_int_eq(splice(p[0], NULL, fds[1], NULL, 14, 0), 14);
	hears(fds[0], "through a pipe");
	close(p[0]);
	close(p[1]);
	close(file);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

static int finish(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int r;

	ck_assert_int_eq(io_uring_wait_cqe(ring, &cqe), 0);
	r = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return r;
}

START_TEST(uring)
{
	int listener = serve(SOCK_STREAM, 8), near = new_socket(SOCK_STREAM);
	struct io_uring ring;
	char buf[16];
	int far;

	ck_assert_int_eq(io_uring_queue_init(8, &ring, 0), 0);
	io_uring_prep_accept(io_uring_get_sqe(&ring), listener, NULL, NULL, 0);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	ck_assert_int_eq(dial(near), 0); /* while the accept waits */
	far = finish(&ring);
	ck_assert_int_ge(far, 0);
	io_uring_prep_recv(io_uring_get_sqe(&ring), far, buf, sizeof(buf), 0);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	io_uring_prep_send(io_uring_get_sqe(&ring), near, "ring", 4, 0);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	ck_assert_int_eq(finish(&ring), 4);
	ck_assert_int_eq(finish(&ring), 4);
	ck_assert_int_eq(memcmp(buf, "ring", 4), 0);
	io_uring_prep_poll_add(io_uring_get_sqe(&ring), near, POLLIN);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	says(far, "x");
	ck_assert_int_eq(finish(&ring) & POLLIN, POLLIN);
	io_uring_queue_exit(&ring);
	close(far);
	close(near);
	close(listener);
}
END_TEST

START_TEST(blocking_or_not)
{
	struct timeval soon = { .tv_usec = 20000 }, got = { 0 };
	socklen_t len = sizeof(got);
	int fds[2], s;
	char c;

	/* options and flags set before stay set */
	s = new_socket(SOCK_STREAM);
	ck_assert_int_eq(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &soon,
				    sizeof(soon)), 0);
	ck_assert_int_eq(fcntl(s, F_GETFL) & O_NONBLOCK, 0);
	fds[1] = serve(SOCK_STREAM, 8);
	ck_assert_int_eq(dial(s), 0);
	ck_assert_int_eq(fcntl(s, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &got, &len), 0);
	ck_assert_int_eq(got.tv_usec, 20000);
	ck_assert_int_eq(recv(s, &c, 1, 0), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(s);
	close(fds[1]);
	pair(SOCK_STREAM, fds);
	ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(recv(fds[0], &c, 1, 0), -1);
	ck_assert_int_eq(errno, EAGAIN);
	says(fds[1], "peek");
	ck_assert_int_eq(recv(fds[0], &c, 1, MSG_PEEK), 1);
	ck_assert_int_eq(c, 'p');
	hears(fds[0], "peek");
	/* EPIPE, and the signal that goes with it */
	close(fds[0]);
	ck_assert_int_eq(send(fds[1], "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(fds[1]);
}
END_TEST

START_TEST(raw_keeps_bounds)
{
	static const size_t sizes[] = { 1, 2, 100, 4096, 32768, 65535, 65536 };
	static char out[65536], in[70000];
	int fds[2], size = 400000;

	pair(SOCK_RAW, fds);
	ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size,
				    sizeof(size)), 0);
	memset(out, 'r', sizeof(out));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		out[sizes[i] - 1] = (char)i;
		ck_assert_int_eq(send(fds[0], out, sizes[i], 0),
				 (ssize_t)sizes[i]);
		says(fds[0], "next");
		ck_assert_int_eq(recv(fds[1], in, sizeof(in), 0),
				 (ssize_t)sizes[i]);
		ck_assert_int_eq(memcmp(in, out, sizes[i]), 0);
		hears(fds[1], "next");
	}
	/* a message too long for the reader is cut, the next one is not */
	ck_assert_int_eq(send(fds[0], out, 100, 0), 100);
	says(fds[0], "whole");
	ck_assert_int_eq(recv(fds[1], in, 10, MSG_TRUNC), 100);
	hears(fds[1], "whole");
	close(fds[0]);
	close(fds[1]);
}
END_TEST

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

START_TEST(backlog_and_timeout)
{
	int listener = serve(SOCK_STREAM, 0), held[8], n = 0, s;
	uint32_t ms = 100;
	struct hvs_reason r;
	uint64_t start;

	for (;;) {
		s = new_socket(SOCK_STREAM | SOCK_NONBLOCK);
		if (dial(s) < 0)
			break;
		ck_assert_int_lt(n, 8);
		held[n++] = s;
	}
	ck_assert_int_eq(errno, ECONNREFUSED);
	ck_assert_int_eq(hvs_reason(s, &r), 0);
	ck_assert_uint_eq(r.code, HVS_REASON_BACKLOG);
	/* with time: refused when it is over, not before */
	ck_assert_int_eq(fcntl(s, F_SETFL, 0), 0);
	ck_assert_int_eq(hvs_setsockopt(s, HV_PROTOCOL_RAW,
					HVSOCKET_CONNECT_TIMEOUT, &ms,
					sizeof(ms)), 0);
	start = now_ms();
	ck_assert_int_eq(dial(s), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	ck_assert_uint_ge(now_ms() - start, 95);
	/* the same descriptor again, with room */
	close(hvs_accept(listener, NULL, NULL, 0));
	ck_assert_int_eq(dial(s), 0);
	close(s);
	while (n)
		close(held[--n]);
	close(listener);
}
END_TEST

START_TEST(descriptors_between_partitions)
{
	struct fdmsg msg;
	int listener = serve(SOCK_STREAM, 8), far, status;
	char buf[16];
	SOCKADDR_HV a;
	socklen_t len = sizeof(a);
	pid_t pid = fork();

	if (!pid) {
		/* another partition: another directory */
		SOCKADDR_HV up = address(&HV_GUID_PARENT, PORT);
		int s, p[2];

		setenv("HVSOCKET_RUNTIME_DIR", box_dir, 1);
		s = hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
		if (s < 0 || hvs_connect(s, &up, sizeof(up)) < 0 || pipe(p) < 0)
			_exit(1);
		if (write(p[1], "in a pipe", 9) != 9 ||
		    fdmsg_send(s, "fd", 2, p, 1, 0) < 0)
			_exit(2);
		_exit(0);
	}
	far = hvs_accept(listener, &a, &len, 0);
	ck_assert_int_ge(far, 0);
	{
		GUID box;

		ck_assert_int_eq(hvs_guid_parse(BOX, &box), 0);
		ck_assert(guid_equal(&a.VmId, &box));
	}
	ck_assert_int_eq(fdmsg_recv(far, buf, sizeof(buf), 0, &msg), 0);
	ck_assert_int_eq(msg.nfds, 1);
	ck_assert_int_eq(read(msg.fds[0], buf, sizeof(buf)), 9);
	ck_assert_int_eq(memcmp(buf, "in a pipe", 9), 0);
	close(msg.fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(far);
	close(listener);
}
END_TEST

/* A waiting connect, and a program that never heard of LISTEN. */
START_TEST(waits_for_plain_listen)
{
	SOCKADDR_HV a = address(&HV_GUID_WILDCARD, PORT);
	int listener = new_socket(SOCK_STREAM), status;
	pid_t pid;

	ck_assert_int_eq(hvs_bind(listener, &a, sizeof(a)), 0);
	pid = fork();
	if (!pid) {
		uint32_t one = 1, ms = 20000;
		int s = hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);

		if (hvs_setsockopt(s, SOL_HVSOCKET, HVSOCKET_WAIT_LISTENER,
				   &one, 4) < 0 ||
		    hvs_setsockopt(s, SOL_HVSOCKET, HVSOCKET_CONNECT_TIMEOUT,
				   &ms, 4) < 0 ||
		    dial(s) < 0 || send(s, "waited", 6, 0) != 6)
			_exit(1);
		_exit(0);
	}
	/* whichever comes first: it gets through */
	ck_assert_int_eq(listen(listener, 8), 0);
	{
		int far = accept(listener, NULL, NULL);

		ck_assert_int_ge(far, 0);
		hears(far, "waited");
		close(far);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(listener);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("descriptors");
	TCase *t = tcase_create("descriptors");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, poll_and_select);
	tcase_add_test(t, epoll_before_connect);
	tcase_add_test(t, dup_fork_exec);
	tcase_add_test(t, splice_and_sendfile);
	tcase_add_test(t, uring);
	tcase_add_test(t, blocking_or_not);
	tcase_add_test(t, raw_keeps_bounds);
	tcase_add_test(t, backlog_and_timeout);
	tcase_add_test(t, descriptors_between_partitions);
	tcase_add_test(t, waits_for_plain_listen);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
