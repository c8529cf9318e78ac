/* SPDX-License-Identifier: MIT */
/*
 * cmd-exec.c - hvctl exec [USER@]VM -- COMMAND
 *
 * ssh(1) has no way to send a signal to what it has started. So the command
 * has a mark in its environment, and a signal that hvctl gets is sent, over
 * the same kept connection, to all in the guest that bear it. ssh itself does
 * not get the signal: it would end, and the command go on. A session over
 * which that cannot be said is ended.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/out.h"
#include "hvctl/session-agent.h"
#include "hvctl/session.h"
#include "hvctl/verbs.h"

#define MARK "HVCTL_EXEC="
/* A signal may be faster than the command that it is for. */
#define TRIES 50
#define AGAIN_MS 100

static const struct {
	int number;
	const char *name;
} passed_on[] = {
	{ SIGINT, "INT" },   { SIGTERM, "TERM" }, { SIGHUP, "HUP" },
	{ SIGQUIT, "QUIT" }, { SIGUSR1, "USR1" }, { SIGUSR2, "USR2" },
};

#define PASSED_ON (sizeof(passed_on) / sizeof(passed_on[0]))

static void block_signals(sigset_t *ret)
{
	sigemptyset(ret);
	for (size_t i = 0; i < PASSED_ON; i++)
		sigaddset(ret, passed_on[i].number);
}

/* "MARK 'word' 'word'; exit $?": a shell that stays can tell which signal
 * ended the command, which ssh does not. To be freed. */
static char *remote_command(char *const *words, const char *mark)
{
	size_t size = 0;
	char *out = NULL;
	FILE *f = open_memstream(&out, &size);
	bool bad = !f;

	if (!f)
		return NULL;
	fprintf(f, MARK "%s", mark);
	for (; *words; words++) {
		cleanup_free_ char *q = shell_quote(*words);

		bad |= !q || fprintf(f, " %s", q) < 0;
	}
	fprintf(f, "; exit $?");
	if (fclose(f) || bad) {
		free(out);
		return NULL;
	}
	return out;
}

/* Return: 0; 1: nobody bears the mark yet, or any more; SESSION_FAILED */
static int send_signal(const struct session *s, const char *mark,
		       const char *name)
{
	cleanup_words_ struct words w = { 0 };

	session_words(s, &w, true);
	words_add(&w, "-T");
	words_add(&w, "-oBatchMode=yes");
	words_add(&w, "-oControlMaster=no");
	session_host(s, &w);
	words_add(&w,
		  "r=1; for f in $(grep -ls " MARK "%s /proc/[0-9]*/environ); "
		  "do p=${f#/proc/}; kill -s %s ${p%%/environ} 2>/dev/null && "
		  "r=0; done; exit $r",
		  mark, name);
	return session_run(s, &w, NULL, 0);
}

static const char *name_of(int number)
{
	for (size_t i = 0; i < PASSED_ON; i++)
		if (passed_on[i].number == number)
			return passed_on[i].name;
	return NULL;
}

/* Until ssh has ended, which is @pid. Return: its exit status */
static int attend(const struct session *s, const char *mark, pid_t pid,
		  const sigset_t *set)
{
	const struct timespec again = { 0, AGAIN_MS * 1000000L };
	const char *owed = NULL;
	unsigned int tries = 0;
	int status, sig, r;

	for (;;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) :
						   SESSION_FAILED;
		sig = owed ? sigtimedwait(set, NULL, &again) :
			     sigwaitinfo(set, NULL);
		if (sig > 0 && name_of(sig)) {
			owed = name_of(sig);
			tries = 0;
		}
		if (!owed || sig == SIGCHLD)
			continue;
		r = send_signal(s, mark, owed);
		if (r == 0) {
			owed = NULL;
		} else if (r != 1 || ++tries == TRIES) {
			complain("exec %s: SIG%s could not be passed on; the "
				 "session is ended", show(s->vm), owed);
			kill(pid, SIGKILL);
			owed = NULL;
		}
	}
}

static int run_command(struct session *s, const struct args *a)
{
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
			!args_has(a, "no-terminal");
	cleanup_words_ struct words w = { 0 };
	cleanup_free_ char *command = NULL;
	struct termios before;
	bool restore = !tcgetattr(STDIN_FILENO, &before);
	sigset_t passed, set;
	uint64_t random;
	char mark[17];
	pid_t pid;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = (uint64_t)getpid();
	snprintf(mark, sizeof(mark), "%016llx", (unsigned long long)random);
	command = remote_command(a->rest, mark);
	if (!command)
		return complain("exec: %s", strerror(ENOMEM)), SESSION_FAILED;
	session_words(s, &w, true);
	words_add(&w, "%s", args_has(a, "terminal") ? "-tt" :
			    terminal		    ? "-t" :
						      "-T");
	words_add(&w, "-enone");
	if (*s->control)
		words_add(&w, "-oControlMaster=no");
	session_host(s, &w);
	words_add(&w, "%s", command);
	block_signals(&passed);
	set = passed;
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = session_spawn(&w, -1, -1, &passed);
	if (pid < 0) {
		complain("exec: %s", strerror((int)-pid));
		return SESSION_FAILED;
	}
	r = attend(s, mark, pid, &set);
	if (restore)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	return r;
}

int cmd_exec(struct ctl *c, const struct args *a)
{
	const char *via = args_value(a, "via");
	struct session s;
	int r;

	if (via && !strcmp(via, "agent"))
		return strchr(a->pos[0], '@') || args_has(a, "login") ?
			       usage("exec: --via=agent takes no user") :
			       agent_command(c, a->pos[0], a->rest);
	if (via && strcmp(via, "ssh"))
		return usage("exec: --via %s: there are ssh and agent",
			     show(via));
	r = session_open(c, a, a->pos[0], &s);
	if (r)
		return r;
	if (args_has(a, "fresh"))
		s.control[0] = '\0';
	r = session_keep(&s);
	if (!r)
		r = run_command(&s, a);
	session_fini(&s);
	return r;
}
