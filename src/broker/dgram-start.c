/* SPDX-License-Identifier: MIT */
/*
 * dgram-start.c - starting hvsocket-dgram, when the first socket asks for it
 *
 * It goes on when this broker ends, and comes to the next one. So that there
 * are never two, it holds a lock that the broker takes for it. As long as that
 * is held and none has come, and somebody waits, it is tried again.
 */
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
#include "broker/dgram.h"
#include "config.h"

#define LOCK_FILE "datagrams.lock"
#define LOCK_FD 3
#define LOCK_MS 100
#define PROGRAM "hvsocket-dgram"

/* As of a build tree, or as installed. */
static void find_program(const struct dgrams *d, char *ret, size_t size)
{
	const char *dir = getenv("HVSOCKET_LIBEXECDIR");
	char exe[PATH_MAX];
	ssize_t n;

	if (d->program) {
		snprintf(ret, size, "%s", d->program);
		return;
	}
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n > 0 && !(dir && *dir)) {
		exe[n] = '\0';
		*strrchr(exe, '/') = '\0';
		snprintf(ret, size, "%s/../transport/" PROGRAM, exe);
		if (access(ret, X_OK) == 0)
			return;
	}
	snprintf(ret, size, "%s/" PROGRAM,
		 dir && *dir ? dir : HVSOCKET_LIBEXECDIR);
}

void dgram_child_forget(struct dgrams *d)
{
	if (d->pidfd < 0)
		return;
	ev_io_stop(&d->child);
	close(d->pidfd);
	d->pidfd = -1;
}

static void on_child(struct ev_io *io, uint32_t events)
{
	struct dgrams *d = container_of(io, struct dgrams, child);
	char why[128];
	int status;

	(void)events;
	if (waitpid(d->pid, &status, WNOHANG) != d->pid)
		return;
	dgram_child_forget(d);
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why),
			 "hvsocket-dgram, which carries datagrams, was ended by signal %d",
			 WTERMSIG(status));
	else
		snprintf(why, sizeof(why),
			 "hvsocket-dgram, which carries datagrams, ended with status %d",
			 WEXITSTATUS(status));
	log_info("%s", why);
	if (d->relay)
		return;
	/* one that had served died of something else: another one */
	if (d->served)
		dgram_waits_lost(d);
	else
		dgram_waits_refuse(d, why);
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

static int spawn(struct dgrams *d, const char *path, int lock)
{
	char name[] = PROGRAM, on_demand[] = "--on-demand";
	char *argv[] = { name, on_demand, NULL };
	cleanup_free_ char *first = NULL;
	cleanup_free_ char **env = make_env(d->b, &first);
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
		r = posix_spawn(&d->pid, path, &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

static void on_again(struct ev_timer *t)
{
	dgram_waits_lost(container_of(t, struct dgrams, again));
}

int dgram_start(struct dgrams *d, const char **ret_why)
{
	static char why[PATH_MAX + 300];
	cleanup_close_ int lock = -1;
	char path[PATH_MAX + 64];
	int r;

	if (d->relay || d->pidfd >= 0 ||
	    (d->program && strcmp(d->program, "none") == 0))
		return 0;
	*ret_why = why;
	lock = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (lock < 0) {
		r = -errno;
		snprintf(why, sizeof(why), LOCK_FILE ": %s", strerror(-r));
		return r;
	}
	/* an earlier broker's: it will be here soon, or is about to end */
	if (flock(lock, LOCK_EX | LOCK_NB) < 0) {
		r = d->again.ev ? 0 :
				  ev_timer_start(d->b->ev, &d->again, LOCK_MS,
						 on_again);
		if (r < 0)
			snprintf(why, sizeof(why), "no memory");
		return r;
	}
	find_program(d, path, sizeof(path));
	d->served = false;
	r = spawn(d, path, lock);
	if (r == 0) {
		d->pidfd = pidfd_open(d->pid, 0);
		if (d->pidfd < 0)
			r = -errno;
		else
			r = ev_io_start(d->b->ev, &d->child, d->pidfd, EPOLLIN,
					on_child);
	}
	if (r < 0)
		snprintf(why, sizeof(why),
			 "hvsocket-dgram, which carries datagrams, cannot be started: %s: %s",
			 path, strerror(-r));
	return r;
}
