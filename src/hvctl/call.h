/* SPDX-License-Identifier: MIT */
/*
 * call.h - asking the broker (docs/protocol.md, sections 2, 3 and 4)
 *
 * One connection to one control socket, opened when it is first needed. Two
 * of them may matter: the partition that hvctl runs in ("self"), and the
 * host's, which alone manages. They differ inside "hvctl as", which names the
 * host's directory in HVSOCKET_HOST_RUNTIME_DIR.
 */
#ifndef HVCTL_CALL_H
#define HVCTL_CALL_H

#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>
#include <jansson.h>

#define CALL_DIR_SIZE 512

enum call_side { CALL_HOST, CALL_SELF };

struct call_error {
	int error; /* a positive errno */
	uint32_t reason;
	char text[400]; /* escaped */
};

struct caller {
	int fd; /* -1: not open */
	uint32_t serial;
	char dir[CALL_DIR_SIZE]; /* runtime directory asked */
	GUID partition; /* zero: the host */
};

struct ctl {
	struct caller side[2]; /* by enum call_side */
	const char *verb; /* as typed, for messages: "service add" */
};

void ctl_init(struct ctl *c);
void ctl_fini(struct ctl *c);

/** runtime_dir() - where @side's control socket is by the environment.
 * Return: 0 or -ENAMETOOLONG */
int runtime_dir(enum call_side side, char *ret, size_t size);

/** control_connect() - connect to DIR/control, of any length. fd or -errno */
int control_connect(const char *dir);

/**
 * call() - one management call
 * @request:	taken, whatever happens; NULL is told as lack of memory
 * @ret:	the broker's object
 * @err:	filled in when the result is not 0
 *
 * Return: 0, or -errno as the broker's.
 */
int call(struct ctl *c, enum call_side side, json_t *request, json_t **ret,
	 struct call_error *err);

/* @reply is borrowed; NULL: @err says why */
typedef void (*call_got_fn)(void *arg, size_t i, json_t *reply,
			    const struct call_error *err);
/** call_many() - requests to the host's side that wait together; @got is called
 * once for each, in the order of the answers. Return: 0 or -errno */
int call_many(struct ctl *c, json_t *const *requests, size_t n,
	      call_got_fn got, void *arg);

/** call_or_say() - the same, on the host's side; a failure is printed with
 * @about (may be NULL) in front. Return: 0, or 1: hvctl's exit code */
int call_or_say(struct ctl *c, json_t *request, const char *about,
		json_t **ret);

/** say_refused() - "hvctl: VERB ABOUT: sentence (reason; broker DIR)".
 * Return: 1 */
int say_refused(struct ctl *c, enum call_side side, const char *about,
		const struct call_error *err);

/** say_failed() - the same for the hvs_* call that failed last in this thread
 * on @fd (or -1), with errno @error. Return: 1 */
int say_failed(struct ctl *c, const char *about, int fd, int error);

#endif /* HVCTL_CALL_H */
