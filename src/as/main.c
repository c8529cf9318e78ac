/* SPDX-License-Identifier: MIT */
/*
 * hvsocket-as - Hyper-V sockets for programs that no preload library reaches
 *
 *	hvsocket-as CONTROL-FD -- COMMAND...
 *
 * hvctl as --via=seccomp starts it; it starts the program, under a seccomp
 * filter that all the program starts inherits, and makes their calls about
 * Hyper-V sockets for them. Data does not come this way.
 *
 *	hvctl ── CONTROL-FD ── hvsocket-as ── program ── what it starts
 *
 * On CONTROL-FD, a SOCK_SEQPACKET: from hvctl, numbers of signals for the
 * program; to hvctl, its wait status; its end is hvctl's, and the program is
 * killed. hvctl then ends. We do not before the last that has the filter, since
 * a call that the filter stops fails when there is nobody to hear of it: a
 * program may leave a daemon behind. Until then orphans are our children
 * (PR_SET_CHILD_SUBREAPER), because where Yama restricts ptrace only an
 * ancestor may look into a process.
 *
 * The main thread receives every notification, and answers what takes no time;
 * the rest is job.h's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "as/command.h"
#include "as/identity.h"
#include "as/job.h"
#include "as/living.h"
#include "as/view.h"
#include "base/cleanup.h"

/* What stays of the descriptors. */
enum { CONTROL = 3, LISTENER, CHILDREN, GO, FIRST_FREE };

static int fail(const char *what)
{
	fprintf(stderr, "hvctl: as: --via=seccomp: %s: %s\n", what,
		strerror(errno));
	return -1;
}

/* @fd as number @number, which nobody has. */
static int move(int fd, int number)
{
	return dup3(fd, number, O_CLOEXEC) < 0 ? -1 : 0;
}

/*
 * Everything that we were started with is the program's: whoever waits for the
 * end of a pipe must not wait for us. First out of the way, then into place.
 */
static int keep_only(int control, int listener, int go)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int high[] = { null, null, null, control, listener, go };
	static const int place[] = { 0, 1, 2, CONTROL, LISTENER, GO };

	for (int i = 0; i < 6; i++) {
		high[i] = fcntl(high[i], F_DUPFD_CLOEXEC, FIRST_FREE);
		if (high[i] < 0)
			return -1;
	}
	for (int i = 0; i < 6; i++)
		if (move(high[i], place[i]) < 0)
			return -1;
	return 0;
}

static void nothing(int sig)
{
	(void)sig;
}

/* Signals for the program's group and whoever tidies up are not for us. */
static int take_signals(void)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
				       SIGPIPE, SIGTSTP, SIGUSR1, SIGUSR2,
				       SIGALRM };
	struct sigaction kick = { .sa_handler = nothing }; /* no SA_RESTART */
	sigset_t set;
	int fd;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigaction(KICK, &kick, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 || fd == CHILDREN)
		return fd;
	if (move(fd, CHILDREN) < 0)
		return -1;
	return close(fd);
}

/* As many descriptors as we may have: a call that waits has a few. */
static void raise_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int settle(int control, int listener, int go)
{
	if (keep_only(control, listener, go) < 0)
		return fail("descriptors");
	if (take_signals() < 0)
		return fail("signalfd");
	if (close_range(FIRST_FREE, ~0U, 0) < 0)
		return fail("close_range");
	raise_limit();
	/* ^C and ^Z are the program's, which stays in hvctl's group */
	setpgid(0, 0);
	return 0;
}

/* Return: the program is still there. */
static bool reap(pid_t program)
{
	struct signalfd_siginfo info;
	bool there = true;
	int32_t status;
	pid_t pid;

	while (read(CHILDREN, &info, sizeof(info)) > 0)
		;
	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			return there;
		if (pid != program)
			continue;
		there = false;
		(void)send(CONTROL, &status, sizeof(status), MSG_NOSIGNAL);
	}
}

/* Return: hvctl is still there. */
static bool hear(pid_t program)
{
	int32_t sig;
	ssize_t n = recv(CONTROL, &sig, sizeof(sig), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == sizeof(sig) && program > 0)
		kill(program, sig);
	else if (n == 0 && program > 0)
		kill(program, SIGKILL);
	return n != 0;
}

static void serve(pid_t program)
{
	struct pollfd p[] = {
		{ .fd = LISTENER, .events = POLLIN },
		{ .fd = CHILDREN, .events = POLLIN },
		{ .fd = CONTROL, .events = POLLIN },
	};

	for (;;) {
		if (poll(p, 3, jobs_tick()) < 0)
			continue;
		if (p[1].revents && program > 0 && !reap(program))
			program = 0;
		else if (p[1].revents)
			(void)reap(0);
		if (p[2].revents && !hear(program))
			p[2].fd = -1;
		if (p[0].revents & POLLIN) {
			if (jobs_take() < 0)
				return;
		} else if (p[0].revents) {
			break; /* nobody has the filter any more */
		}
	}
	/* it has ended as well, but we may not have been told */
	while (program > 0 && reap(program))
		(void)poll(&p[1], 1, -1);
}

int main(int argc, char **argv)
{
	int control, listener, go;
	pid_t program;

	if (argc < 4 || strcmp(argv[2], "--") != 0) {
		fprintf(stderr, "usage: hvsocket-as CONTROL-FD -- COMMAND...\n"
			"hvctl as --via=seccomp starts it.\n");
		return 2;
	}
	control = atoi(argv[1]);
	if (fcntl(control, F_SETFD, FD_CLOEXEC) < 0) {
		fail(argv[1]);
		return 2;
	}
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		fail("PR_SET_CHILD_SUBREAPER");
		return 1;
	}
	program = command_start(argv + 3, &listener, &go);
	if (program < 0)
		return 1;
	if (settle(control, listener, go) < 0)
		return 1;
	errno = -view_start();
	if (errno)
		return fail("/proc/self") < 0;
	if (living_start() < 0 || identity_start() < 0)
		return 1;
	jobs_start(LISTENER);
	command_go(GO);
	serve(program);
	return 0;
}
