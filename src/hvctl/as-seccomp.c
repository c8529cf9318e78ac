/* SPDX-License-Identifier: MIT */
/* as-seccomp.c - see as-seccomp.h */
#include "hvctl/as-seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config.h"
#include "hvctl/out.h"
#include "hvctl/place.h"

#define SUPERVISOR "hvsocket-as"

/* In the child. Never returns. */
static void supervise(const char *path, int control, char **command)
{
	char number[12];
	size_t n = 0;
	char **argv;

	while (command[n])
		n++;
	argv = calloc(n + 4, sizeof(*argv));
	if (!argv)
		_exit(1);
	snprintf(number, sizeof(number), "%d", control);
	argv[0] = (char *)(uintptr_t)SUPERVISOR;
	argv[1] = number;
	argv[2] = (char *)(uintptr_t)"--";
	memcpy(argv + 3, command, n * sizeof(*argv));
	fcntl(control, F_SETFD, 0);
	execv(path, argv);
	complain("as: %s: %s", show(path), strerror(errno));
	_exit(1);
}

static void let_go(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, 0);
	dup2(null, 1);
	if (null > 1)
		close(null);
}

static void pass_on(int signals, int control)
{
	struct signalfd_siginfo info;
	int32_t sig;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return;
	sig = (int32_t)info.ssi_signo;
	if (sig != SIGCHLD && info.ssi_code <= 0)
		(void)send(control, &sig, sizeof(sig), MSG_NOSIGNAL);
}

/* It has ended without a word about the program. Return: 1 */
static int without_a_word(pid_t supervisor)
{
	int status;

	while (waitpid(supervisor, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		return 1; /* it has said why */
	return complain("as: " SUPERVISOR " has ended, and the command with it");
}

static int wait_for(pid_t supervisor, int control, int signals,
		    int *ret_status)
{
	struct pollfd p[] = {
		{ .fd = control, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};
	int32_t status;
	ssize_t n;

	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents)
			pass_on(signals, control);
		if (!p[0].revents)
			continue;
		n = recv(control, &status, sizeof(status), MSG_DONTWAIT);
		if (n == sizeof(status)) {
			*ret_status = status;
			return 0;
		}
		/* a reset comes before what is in the queue: it had not read
		 * of a signal when it ended */
		if (n >= 0 || (errno != EAGAIN && errno != EINTR &&
			       errno != ECONNRESET))
			return without_a_word(supervisor);
	}
}

int as_seccomp(char **command, const sigset_t *set, int *ret_status)
{
	static const char *const beside[] = { "../as/" SUPERVISOR, NULL };
	cleanup_close_ int mine = -1, its = -1, signals = -1;
	char path[PATH_MAX];
	pid_t pid;
	int p[2], r;

	r = place_find("HVSOCKET_AS", beside,
		       HVSOCKET_LIBEXECDIR "/" SUPERVISOR, path, sizeof(path));
	if (r)
		return complain("as: %s: %s", show(path), strerror(-r));
	signals = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
		return complain("as: %s", strerror(errno));
	mine = p[0];
	its = p[1];
	pid = fork();
	if (pid < 0)
		return complain("as: %s", strerror(errno));
	if (pid == 0)
		supervise(path, its, command);
	close(fd_take(&its));
	let_go();
	return wait_for(pid, mine, signals, ret_status);
}
