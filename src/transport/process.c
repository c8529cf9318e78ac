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
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

static const char *program = "hvsocket";

void process_name(const char *name)
{
	program = name;
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

/*
 * A socket file without a listener is what an earlier process left. A connect
 * of another type tells, and leaves nothing in the queue of a live one.
 */
static int remove_stale(const struct sockaddr_un *sa, int type)
{
	cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX,
		    (type == SOCK_STREAM ? SOCK_SEQPACKET : SOCK_STREAM) |
			    SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
	    errno == EPROTOTYPE)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(sa->sun_path) < 0 ? -errno : 0;
}

int process_listen(const char *path, int type, int backlog, int *ret)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	cleanup_close_ int fd = -1;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* whoever may connect is the VMM: nobody but this user */
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	if (r == -EADDRINUSE) {
		r = remove_stale(&sa, type);
		if (r == 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			r = -errno;
	}
	umask(mask);
	if (r == 0 && listen(fd, backlog) < 0)
		r = -errno;
	if (r == 0)
		*ret = fd_take(&fd);
	return r;
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
