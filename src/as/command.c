/* SPDX-License-Identifier: MIT */
/*
 * command.c - see command.h
 *
 * The child installs the filter and sends the listener. Then it is tried
 * whether we may do to it what we will have to, and only then it goes on: a
 * kernel or a container that forbids something is told before anything runs.
 */
#include "as/command.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "as/filter.h"
#include "as/notice.h"
#include "as/target.h"
#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "base/log.h"

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "hvctl: as: %s: %s\n", what, why);
	return -1;
}

/* As env(1): 127 where there is no such command, 126 where it does not run. */
static void become(char **command)
{
	char shown[512];
	sigset_t none;
	int error;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	execvp(command[0], command);
	error = errno;
	log_escape(command[0], strlen(command[0]), shown, sizeof(shown));
	fail(shown, strerror(error));
	_exit(error == ENOENT ? 127 : 126);
}

static void child(int go, pid_t parent, char **command)
{
	int32_t error = 0;
	int listener, r;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	listener = filter_install();
	if (listener < 0)
		error = listener;
	r = fdmsg_send(go, &error, sizeof(error), &listener, error == 0, 0);
	if (r < 0 || error)
		_exit(1);
	close(listener);
	if (recv(go, &byte, 1, 0) != 1)
		_exit(1);
	become(command);
}

static int fail_filter(int error)
{
	static const char what[] = "--via=seccomp";

	switch (-error) {
	case EBUSY:
		return fail(what, "somebody listens to this program's system "
			    "calls already: another hvctl as --via=seccomp, or "
			    "the container's runtime; the kernel allows one "
			    "(with --via=preload it runs without Hyper-V "
			    "sockets)");
	case EOPNOTSUPP:
	case ENOSYS:
	case EINVAL:
		return fail(what, "this kernel has no seccomp user "
			    "notification that can pass descriptors (Linux "
			    "5.14 has it), or it is forbidden here (with "
			    "--via=preload it runs without Hyper-V sockets)");
	default:
		return fail(what, strerror(-error));
	}
}

static int receive_listener(int go, int *ret)
{
	struct fdmsg m;
	int32_t error;
	int r;

	do {
		r = fdmsg_recv(go, &error, sizeof(error), 0, &m);
	} while (r == -EINTR);
	if (r == 0 && m.len == sizeof(error) && error)
		return fail_filter(error);
	if (r < 0 || m.len != sizeof(error) || m.nfds != 1)
		return fail("--via=seccomp", "the program did not start");
	*ret = m.fds[0];
	return 0;
}

/* May we read and write the program, and take its descriptors? */
static int probe(pid_t pid, int listener, int its_fd)
{
	static uint64_t word = 1; /* the child has a copy at this address */
	struct piece p = { (uintptr_t)&word, &word, sizeof(word) };
	uint64_t copy;
	int r, fd;

	r = notice_probe(listener);
	if (r < 0)
		return fail_filter(r);
	r = target_read(pid, p.to, &copy, sizeof(copy));
	if (r == 0)
		r = target_write(pid, &p, 1);
	if (r < 0) {
		fprintf(stderr, "hvctl: as: --via=seccomp: the program's "
			"memory: %s (kernel.yama.ptrace_scope above 1, or a "
			"container's rules, forbid it)\n", strerror(-r));
		return -1;
	}
	r = fd = target_open(pid);
	if (fd >= 0) {
		r = target_fd(fd, its_fd);
		close(fd);
		cleanup_close(&r);
	}
	if (r < 0) {
		fprintf(stderr, "hvctl: as: --via=seccomp: the program's "
			"descriptors: %s (pidfd_getfd() is not there, or it is "
			"forbidden here)\n", strerror(-r));
		return -1;
	}
	return 0;
}

pid_t command_start(char **command, int *ret_listener, int *ret_go)
{
	cleanup_close_ int mine = -1, its = -1, listener = -1;
	pid_t self = getpid(), pid;
	int p[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
		return fail("--via=seccomp", strerror(errno));
	mine = p[0];
	its = p[1];
	pid = fork();
	if (pid < 0)
		return fail("--via=seccomp", strerror(errno));
	if (pid == 0) {
		close(mine);
		child(its, self, command);
	}
	if (receive_listener(mine, &listener) < 0 ||
	    probe(pid, listener, its) < 0) {
		close(fd_take(&mine)); /* it ends */
		close(fd_take(&its));
		waitpid(pid, NULL, 0);
		return -1;
	}
	*ret_listener = fd_take(&listener);
	*ret_go = fd_take(&mine);
	return pid;
}

void command_go(int go)
{
	(void)fdmsg_send(go, "", 1, NULL, 0, 0);
	close(go);
}
