/* SPDX-License-Identifier: MIT */
/* private.c - see private.h */
#include "hvctl/private.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config.h"
#include "hvctl/out.h"
#include "hvctl/place.h"

#define READY_FD 3 /* in the broker */
#define LOG_SHOWN 2000

/* Paths of one private broker. */
struct nest {
	char top[PRIVATE_DIR_SIZE - 8];
	char runtime[PRIVATE_DIR_SIZE], config[PRIVATE_DIR_SIZE],
		log[PRIVATE_DIR_SIZE];
};

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

static int nest_make(struct nest *n)
{
	const char *tmp = getenv("TMPDIR");
	int r;

	r = snprintf(n->top, sizeof(n->top), "%s/hvctl-XXXXXX",
		     tmp && *tmp == '/' ? tmp : "/tmp");
	if (r >= (int)sizeof(n->top))
		return -ENAMETOOLONG;
	if (!mkdtemp(n->top))
		return -errno;
	snprintf(n->runtime, sizeof(n->runtime), "%s/r", n->top);
	snprintf(n->config, sizeof(n->config), "%s/c", n->top);
	snprintf(n->log, sizeof(n->log), "%s/log", n->top);
	if (mkdir(n->runtime, 0700) < 0 || mkdir(n->config, 0700) < 0) {
		r = -errno;
		nftw(n->top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
		return r;
	}
	return 0;
}

/* In the broker's process: never returns. */
static void broker_exec(const char *path, const struct nest *n, int ready,
			const char *profile, pid_t keeper)
{
	char fd[8];
	char *const argv[] = {
		(char *)(uintptr_t)"hvsocketd",
		(char *)(uintptr_t)"--runtime-dir",
		(char *)(uintptr_t)n->runtime,
		(char *)(uintptr_t)"--config-dir",
		(char *)(uintptr_t)n->config,
		(char *)(uintptr_t)"--ready-fd",
		fd,
		profile ? (char *)(uintptr_t)"--profile" : NULL,
		(char *)(uintptr_t)profile,
		NULL,
	};
	sigset_t none;
	int null, log;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(1);
	snprintf(fd, sizeof(fd), "%d", READY_FD);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	log = open(n->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	/* READY_FD may be any of these: move it out of the way first */
	ready = fcntl(ready, F_DUPFD_CLOEXEC, 10);
	if (null < 0 || log < 0 || ready < 0 || dup2(null, 0) < 0 ||
	    dup2(log, 1) < 0 || dup2(log, 2) < 0 || dup2(ready, READY_FD) < 0)
		_exit(1);
	unsetenv("LD_PRELOAD");
	unsetenv("HVSOCKET_RUNTIME_DIR");
	unsetenv("HVSOCKET_HOST_RUNTIME_DIR");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	execv(path, argv);
	dprintf(2, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

/* The end of the broker's log, on our stderr. */
static void show_log(const struct nest *n)
{
	cleanup_close_ int fd = open(n->log, O_RDONLY | O_CLOEXEC);
	char text[LOG_SHOWN + 1];
	struct stat st;
	ssize_t k;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	k = pread(fd, text, LOG_SHOWN,
		  st.st_size > LOG_SHOWN ? st.st_size - LOG_SHOWN : 0);
	if (k > 0)
		fprintf(stderr, "%.*s", (int)k, text);
}

static bool read_ready(int fd)
{
	ssize_t k;
	char byte;

	do {
		k = read(fd, &byte, 1);
	} while (k < 0 && errno == EINTR);
	return k == 1;
}

/* In the keeper's process: @hold is its end of the pipe, @answer tells that
 * the broker is ready. Never returns. */
static void keep(const char *path, const char *profile, const struct nest *n,
		 int hold, int answer)
{
	pid_t self = getpid();
	pid_t broker;
	int ready[2];
	bool ok = false;

	/* Ctrl-C is for the command; the pipe says when it is over. */
	setpgid(0, 0);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (pipe2(ready, O_CLOEXEC) < 0)
		_exit(1);
	broker = fork();
	if (broker == 0) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		broker_exec(path, n, ready[1], profile, self);
	}
	close(ready[1]);
	if (broker > 0) {
		ok = read_ready(ready[0]);
		if (!ok)
			show_log(n);
		if (ok && write(answer, "", 1) == 1)
			close(answer);
		if (ok)
			read_ready(hold); /* until it is closed */
		kill(broker, SIGTERM);
		while (waitpid(broker, NULL, 0) < 0 && errno == EINTR)
			;
	}
	nftw(n->top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	_exit(ok ? 0 : 1);
}

int private_start(const char *profile, struct private_broker *ret)
{
	static const char *const beside[] = { "../broker/hvsocketd",
					      "../sbin/hvsocketd", NULL };
	cleanup_close_ int hold_r = -1, hold_w = -1, answer_r = -1,
			   answer_w = -1;
	char path[PATH_MAX];
	struct nest n;
	int p[2], q[2];
	pid_t pid;
	int r;

	r = place_find("HVSOCKETD", beside, HVSOCKET_SBINDIR "/hvsocketd", path,
		       sizeof(path));
	if (r)
		return complain("as: no broker to start: %s: %s", show(path),
			    strerror(-r));
	r = nest_make(&n);
	if (r)
		return complain("as: a temporary directory: %s", strerror(-r));
	if (pipe2(p, O_CLOEXEC) < 0)
		goto error;
	hold_r = p[0];
	hold_w = p[1];
	if (pipe2(q, O_CLOEXEC) < 0)
		goto error;
	answer_r = q[0];
	answer_w = q[1];
	pid = fork();
	if (pid < 0)
		goto error;
	if (pid == 0) {
		close(hold_w);
		close(answer_r);
		keep(path, profile, &n, hold_r, answer_w);
	}
	close(fd_take(&answer_w));
	if (!read_ready(answer_r)) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return complain("as: the private broker did not start: %s",
			    show(path));
	}
	*ret = (struct private_broker){ .keeper = pid,
					.hold = fd_take(&hold_w) };
	snprintf(ret->dir, sizeof(ret->dir), "%s", n.runtime);
	return 0;
error:
	r = errno;
	nftw(n.top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return complain("as: %s", strerror(r));
}

void private_end(struct private_broker *p)
{
	close(p->hold);
	while (waitpid(p->keeper, NULL, 0) < 0 && errno == EINTR)
		;
}
