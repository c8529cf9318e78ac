/* SPDX-License-Identifier: MIT */
/* side.c - see side.h */
#include "side.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hvsocket.h>

#include "../lib.h"

#define WAIT_MS 240000 /* emulation is slow */

static char buf[1 << 20];

static _Noreturn void lost(const struct side *s, const char *what)
{
	FILE *f = fopen(s->log, "r");
	char line[256];

	fprintf(stderr, "bench: %s: %s; its log:\n", s->name, what);
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "  %s", line);
	exit(1);
}

static void await(const struct side *s, int fd, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, WAIT_MS) != 1)
		lost(s, what);
}

static int listen_vsock(unsigned int port)
{
	struct sockaddr_vm sa = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = port,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die("AF_VSOCK");
	return fd;
}

static int listen_hvs(unsigned int port)
{
	SOCKADDR_HV sa = { .Family = AF_HYPERV };
	int fd = hvs_socket(AF_HYPERV, SOCK_STREAM | SOCK_CLOEXEC,
			    HV_PROTOCOL_RAW);

	hvs_guid_from_port(port, &sa.ServiceId);
	if (fd < 0 || hvs_bind(fd, &sa, sizeof(sa)) < 0)
		die("AF_HYPERV");
	return fd;
}

static int listen_native(unsigned int port)
{
	char address[32];
	int fd;

	snprintf(address, sizeof(address), "children:%u", port);
	fd = hvs_serve(address, 1024, HVS_NATIVE);
	if (fd < 0)
		die("hvs_serve");
	return fd;
}

void side_listen(struct side *s)
{
	for (unsigned int i = 0; i < PORTS; i++) {
		unsigned int port = s->first + i;

		s->listeners[i] = s->vsock    ? listen_vsock(port)
				  : s->native ? listen_native(port)
					      : listen_hvs(port);
		if (listen(s->listeners[i], 1024) < 0)
			die("listen");
	}
	s->control = -1;
}

int side_accept(struct side *s, int port)
{
	int fd;

	await(s, s->listeners[port], "the guest does not connect");
	fd = hvs_accept(s->listeners[port], NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		die("accept");
	return fd;
}

void side_start(struct side *s)
{
	s->started = now_s();
	s->pid = fork();
	if (s->pid < 0)
		die("fork");
	if (s->pid == 0) {
		int null = open("/dev/null", O_RDONLY);
		int log = open(s->log, O_WRONLY | O_CREAT | O_TRUNC, 0644);

		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(null, 0);
		dup2(log, 1);
		dup2(log, 2);
		execv(s->command[0], (char *const *)(uintptr_t)s->command);
		_exit(127);
	}
}

void side_wait(struct side *s)
{
	s->control = side_accept(s, PORT_CONTROL);
}

void side_stop(struct side *s)
{
	if (s->control >= 0)
		close(s->control);
	s->control = -1;
	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		waitpid(s->pid, NULL, 0);
	}
	s->pid = 0;
}

void side_tell(struct side *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vdprintf(s->control, fmt, ap) < 0)
		lost(s, "the control connection is gone");
	va_end(ap);
}

double side_done(struct side *s)
{
	char line[64];
	size_t n = 0;
	double ns;

	do {
		await(s, s->control, "the guest does not answer");
		if (n + 1 == sizeof(line) || read(s->control, line + n, 1) != 1)
			lost(s, "the control connection is gone");
	} while (line[n++] != '\n');
	line[n] = '\0';
	if (sscanf(line, "done %lf", &ns) != 1)
		lost(s, "the guest's answer is none");
	return ns;
}

double side_up(void *arg)
{
	struct side *s = arg;
	long got = 0;
	double t0, t;
	ssize_t n;
	int fd;

	side_tell(s, "up %ld %ld %ld\n", s->bytes, s->size, s->buffer);
	fd = side_accept(s, PORT_UP);
	t0 = now_s();
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		got += n;
	t = now_s() - t0;
	if (n < 0 || got != s->bytes)
		lost(s, "the guest sent too little");
	close(fd);
	(void)side_done(s);
	return (double)got * 8 / 1e9 / t;
}

double side_down(void *arg)
{
	struct side *s = arg;
	double t0, t;
	int fd;

	side_tell(s, "down %ld %ld %ld\n", s->bytes, s->size, s->buffer);
	fd = side_accept(s, PORT_DOWN);
	t0 = now_s();
	for (long sent = 0; sent < s->bytes;) {
		long left = s->bytes - sent;
		ssize_t n = write(fd, buf,
				  (size_t)(left < s->size ? left : s->size));

		if (n <= 0)
			lost(s, "the guest stopped reading");
		sent += n;
	}
	shutdown(fd, SHUT_WR);
	(void)side_done(s); /* it has seen the end of file */
	t = now_s() - t0;
	close(fd);
	return (double)s->bytes * 8 / 1e9 / t;
}

double side_trip(void *arg)
{
	struct side *s = arg;
	double ns;
	ssize_t n;
	int fd;

	side_tell(s, "trips %ld %ld\n", s->count, s->size);
	fd = side_accept(s, PORT_TRIPS);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			lost(s, "the guest stopped reading");
	close(fd);
	ns = side_done(s);
	return ns / 1e3 / (double)s->count;
}

double side_connects(void *arg)
{
	struct side *s = arg;
	double t0 = now_s();

	side_tell(s, "connects %ld\n", s->count);
	for (long i = 0; i < s->count; i++)
		close(side_accept(s, PORT_CONNECTS));
	(void)side_done(s);
	return (double)s->count / (now_s() - t0);
}

double side_whole_start(void *arg)
{
	struct side *s = arg;
	double t;

	side_start(s);
	side_wait(s);
	t = now_s() - s->started;
	side_stop(s);
	return t;
}
