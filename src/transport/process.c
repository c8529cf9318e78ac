/* SPDX-License-Identifier: MIT */
/* process.c - see process.h */
#include "transport/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

static const char *program = "hvsocket";

void process_name(const char *name)
{
	program = name;
}

const char *process_program(void)
{
	return program;
}

int process_fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

bool process_number(const char *text, uint64_t low, uint64_t high,
		    uint64_t *ret)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || v < low || v > high)
		return false;
	*ret = v;
	return true;
}

bool process_sandbox(const char *text, bool *ret)
{
	*ret = strcmp(text, "none") != 0;
	if (!*ret || strcmp(text, "seccomp") == 0)
		return true;
	(void)process_fail("--sandbox %s: seccomp or none", text);
	return false;
}

int process_inherited(int fd, int type)
{
	int domain, its_type, listening;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &its_type, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
		return -errno;
	if (domain != AF_UNIX || its_type != type)
		return -EPROTOTYPE;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	return listening;
}

static struct ev *signal_ev;
static void (*usr1_fn)(void *ctx);
static void *usr1_ctx;

void process_on_usr1(void (*fn)(void *ctx), void *ctx)
{
	usr1_fn = fn;
	usr1_ctx = ctx;
}

static void on_signal(struct ev_io *io, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	if (read(io->fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGUSR1)
		usr1_fn(usr1_ctx);
	else
		ev_quit(signal_ev);
}

int process_signals(struct ev *ev, struct ev_io *io)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (usr1_fn)
		sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	signal_ev = ev;
	return ev_io_start(ev, io, fd, EPOLLIN, on_signal);
}

void process_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}
