/* SPDX-License-Identifier: MIT */
/*
 * cmd-as.c - hvctl as PARTITION -- COMMAND
 *
 * A partition is the control socket that one talks to: the command gets its
 * directory in HVSOCKET_RUNTIME_DIR, the host's in HVSOCKET_HOST_RUNTIME_DIR
 * (so that hvctl manages from inside, too), and libhvsocket-preload.so; with
 * --profile that in HVSOCKET_PROFILE, which libhvsocket tells the broker. A
 * program that no preload library reaches has its calls made by hvsocket-as
 * instead (as-seccomp.h).
 *
 * Without --private and hvsocket-as, hvctl becomes the command. With one of
 * them, the command is a child or grandchild: signals that somebody sent to
 * hvctl are passed on (those of the terminal reach the command by themselves),
 * and hvctl ends as the command did, by the same signal if need be.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config.h"
#include "hvctl/as-program.h"
#include "hvctl/as-seccomp.h"
#include "hvctl/out.h"
#include "hvctl/place.h"
#include "hvctl/private.h"
#include "hvctl/store.h"
#include "hvctl/verbs.h"
#include "proto/profile.h"

#define PRELOAD "libhvsocket-preload.so"

static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1,
				 SIGUSR2, SIGALRM, SIGWINCH };

/* The partition's directory, where the command's control socket is. */
static int find_directory(struct ctl *c, const char *name, char *ret,
			  size_t size)
{
	cleanup_json_ json_t *o = NULL;
	const char *dir;
	int fd;

	if (store_find(c, &store_partitions, name, &o))
		return 1;
	if (!strcmp(json_text(o, "kind"), "host"))
		dir = c->side[CALL_HOST].dir;
	else
		dir = json_text(o, "directory");
	if (!*dir || strlen(dir) >= size)
		return complain("as %s: it has no directory", show(name));
	fd = control_connect(dir);
	if (fd == -EACCES)
		return complain("as %s: %s: only the user whom the broker runs as "
			    "may enter (%s)", show(name), show(dir),
			    strerror(EACCES));
	if (fd < 0)
		return complain("as %s: %s: %s", show(name), show(dir),
			    strerror(-fd));
	close(fd);
	snprintf(ret, size, "%s", dir);
	return 0;
}

/* HVSOCKET_PRELOAD= (empty) asks for none. */
static int set_preload(void)
{
	static const char *const beside[] = { "../preload/" PRELOAD, NULL };
	const char *named = getenv("HVSOCKET_PRELOAD");
	const char *old = getenv("LD_PRELOAD");
	cleanup_free_ char *value = NULL;
	char path[PATH_MAX];
	int r;

	if (named && !*named)
		return 0;
	r = place_find("HVSOCKET_PRELOAD", beside,
		       HVSOCKET_LIBDIR "/" PRELOAD, path, sizeof(path));
	if (r)
		return complain("as: %s: %s", show(path), strerror(-r));
	if (strpbrk(path, " :"))
		return complain("as: %s: the loader takes no path with a blank or "
			    "a colon", show(path));
	if (old && strstr(old, PRELOAD))
		return 0; /* hvctl as within hvctl as */
	if (asprintf(&value, "%s%s%s", path, old && *old ? ":" : "",
		     old ? old : "") < 0) {
		value = NULL;
		return complain("as: %s", strerror(ENOMEM));
	}
	return setenv("LD_PRELOAD", value, 1) ? complain("as: %s", strerror(errno))
					      : 0;
}

static int set_environment(struct ctl *c, const struct args *a,
			   enum as_way way)
{
	const char *profile = args_value(a, "profile");
	char dir[CALL_DIR_SIZE];

	if (find_directory(c, a->pos[0], dir, sizeof(dir)))
		return 1;
	if (setenv("HVSOCKET_RUNTIME_DIR", dir, 1) ||
	    setenv("HVSOCKET_HOST_RUNTIME_DIR", c->side[CALL_HOST].dir, 1) ||
	    (profile && setenv("HVSOCKET_PROFILE", profile, 1)))
		return complain("as: %s", strerror(errno));
	return way == AS_PRELOAD ? set_preload() : 0;
}

/* As env(1): 127 where there is no such command, 126 where it does not run. */
static int become(char **command)
{
	sigset_t none;
	int error;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	execvp(command[0], command);
	error = errno;
	complain("as: %s: %s", show(command[0]), strerror(error));
	return error == ENOENT ? 127 : 126;
}

static int wait_command(pid_t pid, const sigset_t *set)
{
	int status;

	for (;;) {
		siginfo_t info;

		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		if (sigwaitinfo(set, &info) < 0)
			continue;
		if (info.si_signo != SIGCHLD && info.si_code <= 0)
			kill(pid, info.si_signo);
	}
}

/* End as the command did. */
static int end_like(int status)
{
	const struct rlimit no_core = { 0, 0 };
	sigset_t set;
	int sig;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	sig = WTERMSIG(status);
	setrlimit(RLIMIT_CORE, &no_core);
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return 128 + sig;
}

static int add_partition(struct ctl *c, const char *name)
{
	cleanup_json_ json_t *reply = NULL;
	struct call_error err;

	if (!strcmp(name, "host"))
		return 0;
	if (!store_show(c, &store_partitions, name, &reply, &err))
		return 0; /* named twice */
	return call_or_say(c,
			   json_pack("{s:s, s:s}", "method", "partition.add",
				     "name", name),
			   name, &reply);
}

static int run_private(struct ctl *c, const struct args *a, enum as_way way,
		       const sigset_t *set, int *ret_status)
{
	pid_t self = getpid();
	pid_t pid;

	for (size_t i = 0; i < a->nopt; i++)
		if (!strcmp(a->opt[i]->name, "partition") &&
		    add_partition(c, a->value[i]))
			return 1;
	if (add_partition(c, a->pos[0]) || set_environment(c, a, way))
		return 1;
	ctl_fini(c);
	if (way == AS_SECCOMP)
		return as_seccomp(a->rest, set, ret_status);
	pid = fork();
	if (pid < 0)
		return complain("as: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != self)
			_exit(1);
		_exit(become(a->rest));
	}
	*ret_status = wait_command(pid, set);
	return 0;
}

static void block_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGCHLD);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
		sigaddset(ret, passed_on[i]);
	sigprocmask(SIG_BLOCK, ret, NULL);
}

static int as_private(struct ctl *c, const struct args *a, enum as_way way)
{
	struct private_broker p;
	int status, r;
	sigset_t set;

	block_signals(&set);
	if (private_start(args_value(a, "profile"), &p))
		return 1;
	if (setenv("HVSOCKET_RUNTIME_DIR", p.dir, 1) ||
	    setenv("HVSOCKET_HOST_RUNTIME_DIR", p.dir, 1))
		r = complain("as: %s", strerror(errno));
	else
		r = run_private(c, a, way, &set, &status);
	private_end(&p);
	return r ? r : end_like(status);
}

/* The command is not ours to be, but its supervisor's to start. */
static int as_supervised(const struct args *a)
{
	sigset_t set;
	int status;

	block_signals(&set);
	return as_seccomp(a->rest, &set, &status) ? 1 : end_like(status);
}

/* What is opened under the number of a closed standard stream would be taken
 * for one: by the command, its supervisor and its broker. */
static int fill_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return complain("as: /dev/null: %s", strerror(errno));
	close(fd);
	return 0;
}

int cmd_as(struct ctl *c, const struct args *a)
{
	const char *profile = args_value(a, "profile");
	enum profile known;
	enum as_way way;
	int r;

	if (profile && (!*profile || profile_parse(profile, strlen(profile),
						   &known) < 0))
		return usage("as: --profile %s: there are default and windows",
			     show(profile));
	if (!args_has(a, "private") && args_has(a, "partition"))
		return usage("as: --partition goes with --private only");
	if (fill_streams())
		return 1;
	r = as_choose(args_value(a, "via"), args_has(a, "verbose"), a->rest[0],
		      &way);
	if (r)
		return r;
	if (args_has(a, "private"))
		return as_private(c, a, way);
	if (set_environment(c, a, way))
		return 1;
	ctl_fini(c);
	return way == AS_SECCOMP ? as_supervised(a) : become(a->rest);
}
