/* SPDX-License-Identifier: MIT */
/* agent.c - see agent.h and agent-conn.h: the connection and its commands */
#include "hvctl/agent-conn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "hvctl/out.h"

#define TURN_READS 64

uint64_t agent_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int agent_fail(struct call_error *err, int error, const char *fmt, ...)
{
	va_list ap;

	*err = (struct call_error){ .error = error };
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -error;
}

/* A failed hvs_* call, in the library's words. */
static int fail_hv(struct call_error *err, int fd, int error)
{
	struct hvs_reason why = { 0 };

	*err = (struct call_error){ .error = error };
	if (!hvs_reason(fd, &why) && why.code != HVS_REASON_NONE &&
	    (!why.error || why.error == error)) {
		err->reason = why.code;
		log_escape(why.text, strnlen(why.text, sizeof(why.text)),
			   err->text, sizeof(err->text));
	}
	return -error;
}

static bool not_registered(const struct call_error *err)
{
	return err->reason == HVS_REASON_NOT_REGISTERED ||
	       (err->reason == HVS_REASON_NOT_FOUND &&
		strstr(err->text, AGENT_SERVICE));
}

static int fail_dial(struct call_error *err, int fd, int error)
{
	(void)fail_hv(err, fd, error);
	if (not_registered(err))
		(void)snprintf(err->text, sizeof(err->text),
			       "the service is not registered: hvctl service add "
			       AGENT_SERVICE " --port N, with the port that the guests' agents listen at ("
			       AGENT_PORT ")");
	else if (err->reason == HVS_REASON_NO_LISTENER)
		(void)snprintf(err->text, sizeof(err->text),
			       "no agent listens in the guest at the port of the service "
			       AGENT_SERVICE);
	return -error;
}

/* ---- the connection */

static void begin(struct agent_conn *a)
{
	free(a->out);
	a->out = NULL;
	a->out_at = 0;
	json_decref(a->answer);
	a->answer = NULL;
	a->silent = false;
	a->end_ms = agent_now_ms() + a->timeout_ms;
}

struct agent_conn *agent_close(struct agent_conn *a)
{
	if (!a)
		return NULL;
	begin(a);
	if (a->fd >= 0)
		close(a->fd);
	agent_free(a->client);
	free(a);
	return NULL;
}

int conn_open(const char *vm, const char *service, uint32_t timeout_ms,
	      struct agent_conn **ret, struct call_error *err)
{
	cleanup_(agent_closep) struct agent_conn *a = calloc(1, sizeof(*a));
	char why[ENDPOINT_WHY];
	uint64_t seed = agent_now_ms();
	int pending = 0, n;

	if (!a)
		return agent_fail(err, ENOMEM, "%s", strerror(ENOMEM));
	a->fd = -1;
	a->timeout_ms = timeout_ms ? timeout_ms : AGENT_TIMEOUT_MS;
	(void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
	a->client = agent_new(seed);
	n = snprintf(a->address, sizeof(a->address), "%s:%s", vm, service);
	if (!a->client)
		return agent_fail(err, ENOMEM, "%s", strerror(ENOMEM));
	if (n >= (int)sizeof(a->address) ||
	    endpoint_parse(a->address, &a->at, why) < 0 ||
	    a->at.kind != ENDPOINT_HV)
		return agent_fail(err, EINVAL, "that is no name of a VM");
	begin(a);
	a->fd = endpoint_connect_small(&a->at, &pending);
	if (a->fd < 0)
		return fail_dial(err, -1, -a->fd);
	a->connecting = pending != 0;
	if (!pending)
		endpoint_grow(a->fd);
	n = agent_say_sync(a->client, &a->out, &a->out_len);
	if (n < 0)
		return agent_fail(err, -n, "%s", strerror(-n));
	*ret = a;
	a = NULL;
	return 0;
}

static int said(int r, const char *command, json_t *arguments,
		struct call_error *err)
{
	json_decref(arguments);
	return r < 0 ? agent_fail(err, -r, "%s: %s", command, strerror(-r)) :
		       0;
}

int conn_say(struct agent_conn *a, const char *command, json_t *arguments,
	     size_t line_max, struct call_error *err)
{
	begin(a);
	a->command = command;
	return said(agent_say(a->client, command, arguments, line_max, &a->out,
			      &a->out_len), command, arguments, err);
}

int conn_say_silent(struct agent_conn *a, const char *command,
		    json_t *arguments, struct call_error *err)
{
	begin(a);
	a->command = command;
	a->silent = true;
	return said(agent_say_silent(a->client, command, arguments, &a->out,
				     &a->out_len), command, arguments, err);
}

int conn_say_behind(struct agent_conn *a, const char *command,
		    json_t *arguments, struct call_error *err)
{
	cleanup_free_ char *line = NULL;
	size_t len = 0, before = a->out ? a->out_len : 0;
	char *all;
	int r = said(agent_say_behind(a->client, command, arguments, &line,
				      &len), command, arguments, err);

	if (r)
		return r;
	all = realloc(a->out, before + len);
	if (!all)
		return agent_fail(err, ENOMEM, "%s", strerror(ENOMEM));
	if (!before)
		a->out_at = 0;
	memcpy(all + before, line, len);
	a->out = all;
	a->out_len = before + len;
	return 0;
}

void conn_next(struct agent_conn *a, const char *command)
{
	json_decref(a->answer);
	a->answer = NULL;
	a->command = command;
	a->end_ms = agent_now_ms() + a->timeout_ms;
}

short conn_events(const struct agent_conn *a)
{
	return a->connecting	 ? POLLOUT :
	       a->out		 ? POLLIN | POLLOUT :
				   POLLIN;
}

static const char *doing(const struct agent_conn *a)
{
	return a->command ? a->command : "guest-sync-delimited";
}

int conn_late(const struct agent_conn *a, struct call_error *err)
{
	(void)agent_fail(err, ETIMEDOUT,
			 a->connecting ?
				 "the guest does not answer" :
			 a->command ?
				 "its agent has not answered %s in time, and may do it yet" :
				 "its agent does not answer: it hangs, or serves somebody else (it has one client at a time)",
			 doing(a));
	err->reason = HVS_REASON_NO_ANSWER;
	return -ETIMEDOUT;
}

static int connected(struct agent_conn *a, struct call_error *err)
{
	struct pollfd p = { .fd = a->fd, .events = POLLOUT };
	int r;

	if (poll(&p, 1, 0) <= 0)
		return 0;
	/* who can write, and was not hung up on, is connected: the broker need
	 * not be asked */
	r = p.revents == POLLOUT ? 0 : endpoint_result(&a->at, a->fd);
	if (r)
		return fail_dial(err, a->fd, -r);
	endpoint_grow(a->fd);
	a->connecting = false;
	return 1;
}

static int ended(struct agent_conn *a, struct call_error *err)
{
	if (a->silent && !a->out) {
		a->answer = json_pack("{s:{}}", "return");
		return a->answer ? 1 : -ENOMEM;
	}
	return agent_fail(err, ECONNRESET,
			  "its agent ended the connection before it answered %s",
			  doing(a));
}

static int flush(struct agent_conn *a, struct call_error *err)
{
	while (a->out) {
		ssize_t n = send(a->fd, a->out + a->out_at,
				 a->out_len - a->out_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return ended(a, err);
		a->out_at += (size_t)n;
		if (a->out_at < a->out_len)
			continue;
		free(a->out);
		a->out = NULL;
	}
	return 0;
}

int conn_turn(struct agent_conn *a, struct call_error *err)
{
	int r = a->connecting ? connected(a, err) : 1;
	unsigned int reads = 0;

	if (r <= 0)
		return r;
	r = flush(a, err);
	while (!r) {
		size_t used = 0;
		ssize_t n;

		r = agent_hear(a->client, a->in + a->in_at,
			       a->in_len - a->in_at, &used, &a->answer);
		a->in_at += used;
		if (r < 0)
			return agent_fail(err, -r, "%s", agent_why(a->client));
		/* who never stops must keep nobody from a turn or the clock */
		if (r || reads++ == TURN_READS)
			break;
		n = recv(a->fd, a->in, sizeof(a->in), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return ended(a, err);
		a->in_at = 0;
		a->in_len = (size_t)n;
	}
	return r;
}

/* The guest's words about why it has not done it. */
static int fail_refused(const struct agent_conn *a, enum agent_refusal why,
			const char *text, struct call_error *err)
{
	char shown[200];

	log_escape(text, strlen(text), shown, sizeof(shown));
	if (why == AGENT_UNKNOWN)
		return agent_fail(err, ENOSYS,
				  "the guest's agent has no command %s: %s",
				  doing(a), shown);
	if (why == AGENT_DISABLED)
		return agent_fail(err, EPERM,
				  "%s is not allowed by the guest: its agent's configuration (block-rpcs or allow-rpcs in /etc/qemu/qemu-ga.conf, or options), or its file systems are frozen: %s",
				  doing(a), shown);
	return agent_fail(err, EREMOTEIO, "%s failed in the guest: %s",
			  doing(a), shown);
}

int conn_take(struct agent_conn *a, json_t **ret, struct call_error *err)
{
	const char *text;
	enum agent_refusal why = agent_refusal(a->answer, &text);

	if (why != AGENT_NO_REFUSAL)
		return fail_refused(a, why, text, err);
	*ret = json_incref(json_object_get(a->answer, "return"));
	return 0;
}

/* ---- one, blocking */

static int drive(struct agent_conn *a, struct call_error *err)
{
	for (;;) {
		struct pollfd p = { .fd = a->fd };
		uint64_t now;
		int r = conn_turn(a, err);

		if (r)
			return r < 0 ? r : 0;
		now = agent_now_ms();
		if (now >= a->end_ms)
			return conn_late(a, err);
		p.events = conn_events(a);
		if (poll(&p, 1, (int)(a->end_ms - now)) < 0 && errno != EINTR)
			return agent_fail(err, errno, "%s", strerror(errno));
	}
}

int agent_open(const char *vm, uint32_t timeout_ms, struct agent_conn **ret,
	       struct call_error *err)
{
	cleanup_(agent_closep) struct agent_conn *a = NULL;
	int r = conn_open(vm, AGENT_SERVICE, timeout_ms, &a, err);

	if (!r)
		r = drive(a, err);
	if (r)
		return r;
	*ret = a;
	a = NULL;
	return 0;
}

int agent_ask(struct agent_conn *a, const char *command, json_t *arguments,
	      size_t line_max, json_t **ret, struct call_error *err)
{
	int r = conn_say(a, command, arguments, line_max, err);

	if (!r)
		r = drive(a, err);
	return r ? r : conn_take(a, ret, err);
}

int agent_call(struct agent_conn *a, const char *command, json_t *arguments,
	       json_t **ret, struct call_error *err)
{
	return agent_ask(a, command, arguments, 0, ret, err);
}
