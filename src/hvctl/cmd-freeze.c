/* SPDX-License-Identifier: MIT */
/*
 * cmd-freeze.c - hvctl freeze, hvctl thaw: the guest's file systems stand
 * still for a backup
 *
 * With a command the freeze is held by the connection to the broker: it ends
 * when the command has, and also when hvctl is killed. Without one it ends by
 * "thaw", or when its time is over.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/guests.h"

static void tell_frozen(const char *name, const json_t *reply)
{
	printf("%s: frozen; thaws by itself after %.0f s\n", show(name),
	       (double)json_number(reply, "thaw_ms") / 1000);
}

static void tell_thawed(const char *name, const json_t *reply)
{
	(void)reply;
	printf("%s: thawed\n", show(name));
}

/* Return: the command's exit status as a shell has it, or 1 */
static int run(struct ctl *c, char **command)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return complain("%s: %s", c->verb, strerror(errno));
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		signal(SIGXFSZ, SIG_DFL);
		execvp(command[0], command);
		(void)complain("%s: %s: %s", c->verb, show(command[0]),
			       strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return complain("%s: %s", c->verb, strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}

static int freeze_for(struct ctl *c, const struct args *a,
		      const struct guests *g, json_t *q)
{
	cleanup_json_ json_t *reply = NULL, *thawed = NULL;
	int r, status;

	if (json_object_set_new(q, "partition", json_string(g->names[0])) < 0 ||
	    json_object_set_new(q, "lease", json_true()) < 0) {
		json_decref(q);
		return complain("%s: %s", c->verb, strerror(ENOMEM));
	}
	if (call_or_say(c, q, g->names[0], &reply))
		return 1;
	status = run(c, a->rest);
	r = call_or_say(c, json_pack("{s:s, s:s, s:s, s:i}", "method",
				     "integration", "verb", "thaw",
				     "partition", g->names[0], "timeout_ms",
				     60000),
			g->names[0], &thawed);
	if (r)
		(void)complain("%s %s: it was not frozen, or may be still, when the command had ended",
			       c->verb, show(g->names[0]));
	return status ? status : r;
}

int cmd_freeze(struct ctl *c, const struct args *a)
{
	const char *hold = args_value(a, "hold");
	json_t *q = guests_request(a, "freeze");
	struct guests g;
	uint32_t ms;
	int r;

	if (!q)
		return 2;
	if (hold && (text_seconds(hold, &ms) < 0 || ms > 900000)) {
		json_decref(q);
		return usage("freeze: --hold %s: seconds, at most 900",
			     show(hold));
	}
	if (hold)
		json_object_set_new(q, "hold_ms", json_integer(ms));
	r = guests_find(c, a, &g);
	if (!r && a->rest && (g.n != 1 || !a->rest[0])) {
		r = usage("freeze: a command is for one VM, and comes after --");
		guests_fini(&g);
	}
	if (r) {
		json_decref(q);
		return r;
	}
	r = a->rest ? freeze_for(c, a, &g, q) :
		      guests_ask(c, a, &g, q, tell_frozen);
	guests_fini(&g);
	return r;
}

int cmd_thaw(struct ctl *c, const struct args *a)
{
	return guests_verb(c, a, guests_request(a, "thaw"), tell_thawed);
}
