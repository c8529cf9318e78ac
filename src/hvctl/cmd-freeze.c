/* SPDX-License-Identifier: MIT */
/*
 * cmd-freeze.c - hvctl freeze, hvctl thaw: the guest's file systems stand
 * still for a backup
 *
 * With a command the freeze is held by the connection to the broker, or to the
 * keeper of one by an agent: it ends when the command has, and also when hvctl
 * is killed. Without one it ends by "thaw", or when its time is over.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/guests.h"
#include "hvctl/keeper.h"

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

static const struct agent_step steps_freeze[] = {
	{ .command = "guest-fsfreeze-freeze" },
	{ .command = NULL },
};

static void run_freeze(void *arg, struct agent_job *jobs, size_t n,
		       uint32_t timeout_ms)
{
	keeper_freeze(arg, jobs, n, timeout_ms);
}

static json_t *from_freeze(void *arg, const struct agent_job *j)
{
	const struct keeper *k = arg;

	if (!json_is_integer(j->answers[0]))
		return NULL;
	return json_pack("{s:s, s:O, s:I}", "file_systems", "frozen", "frozen",
			 j->answers[0], "thaw_ms", (json_int_t)k->hold_ms);
}

static const struct agent_step steps_thaw[] = {
	{ .command = "guest-fsfreeze-thaw" },
	{ .command = NULL },
};

static void run_thaw(void *arg, struct agent_job *jobs, size_t n,
		     uint32_t timeout_ms)
{
	agent_run(jobs, n, steps_thaw, arg, timeout_ms);
	for (size_t i = 0; i < n; i++) {
		struct agent_job *j = &jobs[i];

		if (j->result)
			continue;
		keeper_told(j->vm);
		if (json_integer_value(j->answers[0]) > 0)
			continue;
		j->result = -ENOENT;
		j->err = (struct call_error){ .error = ENOENT,
			.reason = HVS_REASON_NOT_FOUND,
			.text = "its file systems are not frozen" };
	}
}

static json_t *from_thaw(void *arg, const struct agent_job *j)
{
	(void)arg;
	return json_pack("{s:s, s:O}", "file_systems", "thawed", "thawed",
			 j->answers[0]);
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

static int agent_freeze_for(struct ctl *c, const struct args *a,
			    const struct guests *g, struct keeper *k)
{
	struct agent_job job = { .vm = g->names[0] };
	struct call_error err;
	int r, status;

	k->leased = true;
	keeper_freeze(k, &job, 1, guests_timeout(a));
	agent_job_fini(&job);
	if (job.result)
		return say_refused(c, CALL_SELF, g->names[0], &job.err);
	if (g->chosen)
		(void)complain("freeze %s: via agent", show(g->names[0]));
	status = run(c, a->rest);
	r = keeper_thaw(k, g->names[0], &err);
	if (r)
		r = complain("%s %s: it was not frozen, or may be still, when the command had ended: %s",
			     c->verb, show(g->names[0]), err.text);
	return status ? status : r;
}

static int freeze_with(struct ctl *c, const struct args *a,
		       const struct guests *g, struct guests_ask *ask)
{
	json_t *q = ask->request;

	if (!a->rest)
		return guests_do(c, a, g, ask);
	if (!g->agent[0])
		return freeze_for(c, a, g, q);
	json_decref(q);
	return agent_freeze_for(c, a, g, ask->arg);
}

int cmd_freeze(struct ctl *c, const struct args *a)
{
	const char *hold = args_value(a, "hold");
	struct keeper k = { .hold_ms = KEEPER_HOLD_MS, .fd = -1 };
	struct guests_ask ask = { .request = guests_request(a, "freeze"),
				  .steps = steps_freeze,
				  .arg = &k,
				  .run = run_freeze,
				  .reply = from_freeze,
				  .tell = tell_frozen };
	struct guests g;
	int r;

	if (!ask.request)
		return 2;
	if (hold && (text_seconds(hold, &k.hold_ms) < 0 ||
		     k.hold_ms > 900000)) {
		json_decref(ask.request);
		return usage("freeze: --hold %s: seconds, at most 900",
			     show(hold));
	}
	if (hold)
		json_object_set_new(ask.request, "hold_ms",
				    json_integer(k.hold_ms));
	r = guests_find(c, a, true, &g);
	if (!r && a->rest && (g.n != 1 || !a->rest[0])) {
		r = usage("freeze: a command is for one VM, and comes after --");
		guests_fini(&g);
	}
	if (r) {
		json_decref(ask.request);
		return r;
	}
	r = freeze_with(c, a, &g, &ask);
	guests_fini(&g);
	return r;
}

int cmd_thaw(struct ctl *c, const struct args *a)
{
	struct guests_ask ask = { .request = guests_request(a, "thaw"),
				  .steps = steps_thaw,
				  .run = run_thaw,
				  .reply = from_thaw,
				  .tell = tell_thawed };

	return guests_verb(c, a, &ask);
}
