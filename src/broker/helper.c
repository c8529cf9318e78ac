/* SPDX-License-Identifier: MIT */
/* helper.c - see helper.h */
#include "broker/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "broker/broker.h"
#include "config.h"

#define LOCK_FD 3
#define LOCK_MS 100

/* As of a build tree, or as installed. */
static void find_program(const struct helper *h, char *ret, size_t size)
{
	const char *dir = getenv("HVSOCKET_LIBEXECDIR");
	char exe[PATH_MAX];
	ssize_t n;

	if (h->program) {
		snprintf(ret, size, "%s", h->program);
		return;
	}
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n > 0 && !(dir && *dir)) {
		exe[n] = '\0';
		*strrchr(exe, '/') = '\0';
		snprintf(ret, size, "%s/../transport/%s", exe, h->name);
		if (access(ret, X_OK) == 0)
			return;
	}
	snprintf(ret, size, "%s/%s", dir && *dir ? dir : HVSOCKET_LIBEXECDIR,
		 h->name);
}

static void forget(struct helper *h)
{
	if (h->pidfd < 0)
		return;
	ev_io_stop(&h->child);
	close(h->pidfd);
	h->pidfd = -1;
}

void helper_fini(struct helper *h)
{
	ev_timer_stop(&h->timer);
	forget(h);
}

static void on_child(struct ev_io *io, uint32_t events)
{
	struct helper *h = container_of(io, struct helper, child);
	char why[160];
	int status;

	(void)events;
	if (waitpid(h->pid, &status, WNOHANG) != h->pid)
		return;
	forget(h);
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "%s, %s, was ended by signal %d",
			 h->name, h->what, WTERMSIG(status));
	else
		snprintf(why, sizeof(why), "%s, %s, ended with status %d",
			 h->name, h->what, WEXITSTATUS(status));
	log_info("%s", why);
	if (!h->here)
		h->ended(h, why);
}

/* The environment, with the runtime directory of this very broker. */
static char **make_env(const struct broker *b, char **ret_first)
{
	static const char name[] = "HVSOCKET_RUNTIME_DIR=";
	char **env;
	size_t n = 0, k = 1;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (!env || asprintf(ret_first, "%s%s", name, b->runtime_dir) < 0) {
		free(env);
		*ret_first = NULL;
		return NULL;
	}
	env[0] = *ret_first;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], name, sizeof(name) - 1) != 0)
			env[k++] = environ[i];
	return env;
}

static int spawn(struct helper *h, const char *path, int lock)
{
	char on_demand[] = "--on-demand";
	char *argv[] = { (char *)(uintptr_t)h->name, on_demand, NULL };
	cleanup_free_ char *first = NULL;
	cleanup_free_ char **env = make_env(h->b, &first);
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	if (!env)
		return -ENOMEM;
	if (posix_spawn_file_actions_init(&files))
		return -ENOMEM;
	if (posix_spawnattr_init(&attr)) {
		posix_spawn_file_actions_destroy(&files);
		return -ENOMEM;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID |
						POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn_file_actions_adddup2(&files, lock, LOCK_FD);
	for (int fd = 0; fd < 2 && !r; fd++)
		r = posix_spawn_file_actions_addopen(&files, fd, "/dev/null",
						     O_RDWR, 0);
	if (!r)
		r = posix_spawn(&h->pid, path, &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

static void on_again(struct ev_timer *t)
{
	struct helper *h = container_of(t, struct helper, timer);

	h->again(h);
}

int helper_start(struct helper *h, const char **ret_why)
{
	static char why[PATH_MAX + 300];
	cleanup_close_ int lock = -1;
	char path[PATH_MAX + 64];
	int r;

	if (h->here || h->pidfd >= 0 ||
	    (h->program && strcmp(h->program, "none") == 0))
		return 0;
	*ret_why = why;
	lock = open(h->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0) {
		r = -errno;
		snprintf(why, sizeof(why), "%s: %s", h->lock, strerror(-r));
		return r;
	}
	/* an earlier broker's: it will be here soon, or is about to end */
	if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
		r = h->timer.ev ? 0 :
				  ev_timer_start(h->b->ev, &h->timer, LOCK_MS,
						 on_again);
		if (r < 0)
			snprintf(why, sizeof(why), "no memory");
		return r;
	}
	find_program(h, path, sizeof(path));
	h->served = false;
	r = spawn(h, path, lock);
	if (r == 0) {
		h->pidfd = pidfd_open(h->pid, 0);
		if (h->pidfd < 0)
			r = -errno;
		else
			r = ev_io_start(h->b->ev, &h->child, h->pidfd, EPOLLIN,
					on_child);
	}
	if (r < 0)
		snprintf(why, sizeof(why), "%s, %s, cannot be started: %s: %s",
			 h->name, h->what, path, strerror(-r));
	return r;
}
