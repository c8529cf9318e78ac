/* SPDX-License-Identifier: MIT */
/* virsh.c - see virsh.h */
#include "hvctl/virsh.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define WORDS_MAX 32
#define NO_PROGRAM 127

/* In the new process: never returns. */
static void become(const char *uri, const char *const *words, int out,
		   pid_t parent)
{
	const char *argv[WORDS_MAX + 8] = { "virsh", "--quiet", "--readonly" };
	size_t n = 3;
	sigset_t none;
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || null < 0 || dup2(null, 0) < 0 ||
	    dup2(out, 1) < 0)
		_exit(1);
	if (uri) {
		argv[n++] = "--connect";
		argv[n++] = uri;
	}
	for (size_t i = 0; words[i] && i < WORDS_MAX; i++)
		argv[n++] = words[i];
	argv[n] = NULL;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(errno == ENOENT ? NO_PROGRAM : 126);
}

static pid_t start(const char *uri, const char *const *words, int out)
{
	pid_t self = getpid(), pid = fork();

	if (pid == 0)
		become(uri, words, out, self);
	return pid < 0 ? -errno : pid;
}

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_PROGRAM)
		return -ENOENT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int read_all(int fd, char **ret, size_t *ret_len)
{
	cleanup_free_ char *text = NULL;
	size_t len = 0, size = 0;
	ssize_t n;

	for (;;) {
		if (len + 1 >= size) {
			char *grown;

			if (size >= VIRSH_OUTPUT_MAX)
				return -E2BIG;
			size = size ? size * 2 : 65536;
			grown = realloc(text, size);
			if (!grown)
				return -ENOMEM;
			text = grown;
		}
		n = read(fd, text + len, size - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	*ret = text;
	*ret_len = len;
	text = NULL;
	return 0;
}

int virsh_read(const char *uri, const char *const *words, char **ret,
	       size_t *ret_len)
{
	cleanup_close_ int in = -1;
	int fds[2], r, ended;
	char *text = NULL;
	size_t len = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	in = fds[0];
	pid = start(uri, words, fds[1]);
	close(fds[1]);
	if (pid < 0)
		return (int)pid;
	r = read_all(in, &text, &len);
	if (r < 0)
		kill(pid, SIGTERM); /* it may wait for us to read */
	ended = reap(pid);
	if (r == 0 && ended < 0)
		r = ended;
	if (r < 0) {
		free(text);
		return r;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

/* It writes to a terminal, so that it does not keep back what it says. */
int virsh_follow(const char *uri, pid_t *ret_pid)
{
	static const char *const words[] = { "event", "--event", "lifecycle",
					     "--loop", NULL };
	cleanup_close_ int master = -1, slave = -1;
	char name[64];
	pid_t pid;

	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
	    ptsname_r(master, name, sizeof(name)))
		return -errno;
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	pid = start(uri, words, slave);
	if (pid < 0)
		return (int)pid;
	*ret_pid = pid;
	return fd_take(&master);
}

void virsh_end(pid_t pid)
{
	kill(pid, SIGTERM);
	(void)reap(pid);
}
