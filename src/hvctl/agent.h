/* SPDX-License-Identifier: MIT */
/*
 * agent.h - talking to the qemu-guest-agent of a VM
 *
 * The agent listens in the guest, at the port of the service that is
 * registered as AGENT_SERVICE; it is dialled as any listener is, so policy
 * decides who may. It has one client at a time: a connection is not kept
 * longer than it is needed. What it says is checked (agent/client.h), but is
 * the guest's text: show() before a terminal sees it.
 *
 * agent_open() and what follows it block; agent_run() asks many at once.
 * Failures fill in a call_error, for say_refused(c, CALL_SELF, vm, &err).
 */
#ifndef HVCTL_AGENT_H
#define HVCTL_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "hvctl/call.h"

#define AGENT_SERVICE "qemu-guest-agent"
#define AGENT_PORT "5200" /* in what we tell people to type */
#define AGENT_TIMEOUT_MS 10000 /* for each answer */
#define AGENT_INPUT_MAX (32u << 20) /* of a program: it goes in one piece */

struct agent_conn;

/** agent_open() - connect to @vm's agent and agree on where answers begin
 * @timeout_ms:	for each answer, this one and later; 0: AGENT_TIMEOUT_MS
 *
 * Return: 0 or -errno.
 */
int agent_open(const char *vm, uint32_t timeout_ms, struct agent_conn **ret,
	       struct call_error *err);
struct agent_conn *agent_close(struct agent_conn *a);

/**
 * agent_call() - one command
 * @arguments:	an object, or NULL; taken
 * @ret:	what is in "return"
 *
 * A command that the guest has refused is -EREMOTEIO (it failed there),
 * -EPERM (disabled by its configuration, or because it is frozen) or -ENOSYS;
 * the connection can be used then. Return: 0 or -errno.
 */
int agent_call(struct agent_conn *a, const char *command, json_t *arguments,
	       json_t **ret, struct call_error *err);

struct agent_exit {
	int status; /* the exit status, if it was not ended by a signal */
	int signal; /* or 0 */
	char *out, *err; /* zero-ended, which is not counted; for free() */
	size_t out_len, err_len;
	bool out_cut, err_cut; /* there was more: the agent keeps 16 MiB */
};

/**
 * agent_exec() - run a program in the guest, and take what it has written
 * @argv:	NULL-ended; the program is looked up in the agent's PATH. At
 *		most 1,023 words
 * @env:	NULL-ended "NAME=VALUE", in place of the agent's; or NULL
 * @input:	its standard input, at most AGENT_INPUT_MAX; NULL: empty
 * @limit_ms:	how long it may run; 0: as long as it likes. Over: -ETIME, and
 *		the program goes on there (the agent has no way to end one)
 *
 * Words are UTF-8: JSON has no others (-EINVAL). Return: 0 or -errno.
 */
int agent_exec(struct agent_conn *a, const char *const *argv,
	       const char *const *env, const void *input, size_t input_len,
	       uint32_t limit_ms, struct agent_exit *ret,
	       struct call_error *err);
void agent_exit_fini(struct agent_exit *e);

/* Return: 0, or -errno, which ends the transfer. */
typedef int (*agent_sink_fn)(void *arg, const char *data, size_t len);
/* @ret_len 0: the end. */
typedef int (*agent_source_fn)(void *arg, char *data, size_t size,
			       size_t *ret_len);

/** agent_file_read() - a file of the guest's, piece by piece, of any length */
int agent_file_read(struct agent_conn *a, const char *path,
		    agent_sink_fn sink, void *arg, struct call_error *err);

/** agent_file_write() - into a file of the guest's; there is no mode or owner
 * that could be given (agent_exec() has chmod)
 * @mode:	as of fopen(): "wb" (made, or emptied first), "ab" */
int agent_file_write(struct agent_conn *a, const char *path, const char *mode,
		     agent_source_fn source, void *arg,
		     struct call_error *err);

/* ---- many at once */

#define AGENT_STEPS 8

/* A command of a sequence that is the same for each VM. */
struct agent_step {
	const char *command;
	/* its arguments, from the answers so far (NULL: that step failed); if
	 * it returns NULL, the step is left out. NULL: it has none */
	json_t *(*make)(void *arg, json_t *const *answers);
	unsigned int needs; /* answers: 1 << step. Else it is said before
			     * those in front of it are answered */
	bool early; /* may be done late, when nobody waits any more: it is said
		     * before the agent has shown that it listens */
	bool optional; /* the rest is asked even if this one is refused */
	bool silent; /* as shutdown: an answer comes only if it fails. That the
		      * agent goes on, or the connection ends, is its answer */
};

struct agent_job {
	const char *vm;
	const char *id; /* its VmId, where it is known; or NULL */
	json_t *answers[AGENT_STEPS]; /* by step; "return", or NULL */
	struct call_error refused[AGENT_STEPS]; /* of optional ones */
	int result; /* 0 or -errno */
	struct call_error err;
	bool sent; /* the first step, at least, has been sent */
	unsigned int dropped; /* answers that were late or doubled */
};

/** agent_run() - @steps, ended by one without a command, of each job, all
 * together. Results are in the jobs */
void agent_run(struct agent_job *jobs, size_t n,
	       const struct agent_step *steps, void *arg, uint32_t timeout_ms);
void agent_job_fini(struct agent_job *j);

static inline void agent_closep(struct agent_conn **a)
{
	agent_close(*a);
}

#endif /* HVCTL_AGENT_H */
