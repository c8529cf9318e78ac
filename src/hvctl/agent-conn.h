/* SPDX-License-Identifier: MIT */
/*
 * agent-conn.h - one connection to an agent, as its callers step through it
 *
 * conn_turn() does what can be done without waiting, until what was begun has
 * its answer. Private to agent*.c.
 */
#ifndef HVCTL_AGENT_CONN_H
#define HVCTL_AGENT_CONN_H

#include <poll.h>

#include "agent/client.h"
#include "hvctl/agent.h"
#include "hvctl/endpoint.h"

#define CONN_BUF 16384

struct agent_conn {
	struct endpoint at;
	char address[600];
	int fd;
	bool connecting;
	uint32_t timeout_ms;
	uint64_t end_ms; /* of the answer that is waited for */
	struct agent_client *client;
	bool silent;
	const char *command; /* that is being answered; NULL: the beginning */
	char *out;
	size_t out_len, out_at;
	char in[CONN_BUF];
	size_t in_len, in_at;
	json_t *answer;
};

/** conn_open() - begin to connect, and to agree. Where both @vm and @service
 * are GUIDs the broker is not asked for them. 0 or -errno */
int conn_open(const char *vm, const char *service, uint32_t timeout_ms,
	      struct agent_conn **ret, struct call_error *err);

/** conn_say() - begin a command; @arguments is taken, @command is kept */
int conn_say(struct agent_conn *a, const char *command, json_t *arguments,
	     size_t line_max, struct call_error *err);

/** conn_say_silent() - one that is answered only if it fails */
int conn_say_silent(struct agent_conn *a, const char *command,
		    json_t *arguments, struct call_error *err);

/** conn_say_behind() - one more, while an answer is waited for; conn_next()
 * once that is there */
int conn_say_behind(struct agent_conn *a, const char *command,
		    json_t *arguments, struct call_error *err);
void conn_next(struct agent_conn *a, const char *command);

/** conn_turn() - Return: 1: done, a->answer is there; 0: wait for
 * conn_events(), until end_ms; -errno: the connection is of no use any more */
int conn_turn(struct agent_conn *a, struct call_error *err);

/** conn_late() - nobody has answered in time. Return: -ETIMEDOUT */
int conn_late(const struct agent_conn *a, struct call_error *err);

short conn_events(const struct agent_conn *a);

/** conn_take() - the answer's "return", or a refusal, as of agent_call() */
int conn_take(struct agent_conn *a, json_t **ret, struct call_error *err);

/** agent_ask() - agent_call() with another limit of the answer's length */
int agent_ask(struct agent_conn *a, const char *command, json_t *arguments,
	      size_t line_max, json_t **ret, struct call_error *err);

uint64_t agent_now_ms(void);

/** agent_fail() - fill in @err with our own words. Return: -@error */
int agent_fail(struct call_error *err, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* HVCTL_AGENT_CONN_H */
