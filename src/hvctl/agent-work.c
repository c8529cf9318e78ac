/* SPDX-License-Identifier: MIT */
/*
 * agent-work.c - see agent.h: programs and files of the guest's
 *
 * The agent takes and gives both as base64 in one line. Files go in pieces of
 * 1 MiB, so that its limit of 48 MiB is not seen. Of the end of a program it
 * has no notice to give: it is asked, less often the longer it takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include "hvctl/agent-conn.h"
#include "hvctl/out.h"

#define PIECE (1u << 20)
#define ASK_FIRST_MS 2
#define ASK_LAST_MS 200

static int fail_memory(struct call_error *err)
{
	return agent_fail(err, ENOMEM, "%s", strerror(ENOMEM));
}

static int fail_answer(struct call_error *err, const char *command)
{
	/* not EPROTO: the connection is as good as it was */
	return agent_fail(err, EBADMSG,
			  "the agent's answer to %s is not what it should be",
			  command);
}

/* ---- programs */

static json_t *strings(const char *const *v)
{
	json_t *list = json_array();

	for (; list && v && *v; v++)
		if (json_array_append_new(list, json_string(*v)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static int check_words(const char *const *v, const char *what,
		       struct call_error *err)
{
	for (size_t n = 0; v && v[n]; n++) {
		if (n > 1023)
			return agent_fail(err, E2BIG, "too many %ss", what);
		if (!utf8_valid(v[n], strlen(v[n])))
			return agent_fail(err, EINVAL,
					  "%s %zu is not UTF-8, which the agent's protocol cannot carry",
					  what, n);
	}
	return 0;
}

static int exec_start(struct agent_conn *a, const char *const *argv,
		      const char *const *env, const void *input,
		      size_t input_len, json_int_t *ret_pid,
		      struct call_error *err)
{
	cleanup_json_ json_t *args = NULL, *reply = NULL;
	int r = check_words(argv, "argument", err);

	if (!r)
		r = check_words(env, "variable", err);
	if (r)
		return r;
	if (!argv[0])
		return agent_fail(err, EINVAL, "no program");
	if (input_len > AGENT_INPUT_MAX)
		return agent_fail(err, EMSGSIZE,
				  "more than 32 MiB of input for a program cannot go through the agent");
	args = json_pack("{s:s, s:o, s:b}", "path", argv[0], "arg",
			 strings(argv + 1), "capture-output", 1);
	if (args && env && json_object_set_new(args, "env", strings(env)) < 0)
		return fail_memory(err);
	if (args && input_len) {
		cleanup_free_ char *text = base64_encode(input, input_len);

		if (!text || json_object_set_new(args, "input-data",
						 json_string(text)) < 0)
			return fail_memory(err);
	}
	if (!args)
		return fail_memory(err);
	r = agent_call(a, "guest-exec", json_incref(args), &reply, err);
	if (r)
		return r;
	if (!json_is_integer(json_object_get(reply, "pid")))
		return fail_answer(err, "guest-exec");
	*ret_pid = json_integer_value(json_object_get(reply, "pid"));
	return 0;
}

static int decode(const json_t *reply, const char *key, char **ret,
		  size_t *ret_len)
{
	const char *text = json_text(reply, key);

	return base64_decode(text, strlen(text), ret, ret_len);
}

static int exec_ended(const json_t *reply, struct agent_exit *ret,
		      struct call_error *err)
{
	const json_t *signal = json_object_get(reply, "signal");
	const json_t *code = json_object_get(reply, "exitcode");
	int r;

	if (!json_is_integer(signal) && !json_is_integer(code))
		return fail_answer(err, "guest-exec-status");
	*ret = (struct agent_exit){
		.status = (int)(json_integer_value(code) & 255),
		.signal = (int)(json_integer_value(signal) & 127),
		.out_cut = json_is(reply, "out-truncated"),
		.err_cut = json_is(reply, "err-truncated"),
	};
	r = decode(reply, "out-data", &ret->out, &ret->out_len);
	if (!r)
		r = decode(reply, "err-data", &ret->err, &ret->err_len);
	if (!r)
		return 0;
	agent_exit_fini(ret);
	return r == -ENOMEM ? fail_memory(err) :
			      fail_answer(err, "guest-exec-status");
}

void agent_exit_fini(struct agent_exit *e)
{
	free(e->out);
	free(e->err);
	*e = (struct agent_exit){ 0 };
}

int agent_exec(struct agent_conn *a, const char *const *argv,
	       const char *const *env, const void *input, size_t input_len,
	       uint32_t limit_ms, struct agent_exit *ret,
	       struct call_error *err)
{
	uint64_t end = limit_ms ? agent_now_ms() + limit_ms : UINT64_MAX;
	uint64_t wait = ASK_FIRST_MS;
	json_int_t pid = 0;
	int r = exec_start(a, argv, env, input, input_len, &pid, err);

	while (!r) {
		cleanup_json_ json_t *reply = NULL;
		struct timespec ts = { .tv_nsec = (long)wait * 1000000 };

		r = agent_ask(a, "guest-exec-status",
			      json_pack("{s:I}", "pid", pid), AGENT_LINE_MOST,
			      &reply, err);
		if (r)
			return r;
		if (json_is(reply, "exited"))
			return exec_ended(reply, ret, err);
		if (agent_now_ms() >= end)
			return agent_fail(err, ETIME,
					  "%s has not ended in time, and goes on in the guest",
					  argv[0]);
		nanosleep(&ts, NULL);
		wait = wait * 2 < ASK_LAST_MS ? wait * 2 : ASK_LAST_MS;
	}
	return r;
}

/* ---- files */

static int file_open(struct agent_conn *a, const char *path, const char *mode,
		     json_int_t *ret, struct call_error *err)
{
	cleanup_json_ json_t *reply = NULL;
	int r;

	if (!utf8_valid(path, strlen(path)))
		return agent_fail(err, EINVAL,
				  "the path is not UTF-8, which the agent's protocol cannot carry");
	r = agent_call(a, "guest-file-open",
		       json_pack("{s:s, s:s}", "path", path, "mode", mode),
		       &reply, err);
	if (r)
		return r;
	if (!json_is_integer(reply))
		return fail_answer(err, "guest-file-open");
	*ret = json_integer_value(reply);
	return 0;
}

/* A connection that has failed takes no more; the first error is told. */
static int file_close(struct agent_conn *a, json_int_t handle, int r,
		      struct call_error *err)
{
	cleanup_json_ json_t *reply = NULL;
	struct call_error late;
	int closed;

	if (r == -EPROTO || r == -EMSGSIZE || r == -ETIMEDOUT ||
	    r == -ECONNRESET)
		return r;
	closed = agent_call(a, "guest-file-close",
			    json_pack("{s:I}", "handle", handle), &reply,
			    &late);
	if (!r && closed) {
		*err = late;
		return closed;
	}
	return r;
}

static int read_piece(struct agent_conn *a, json_int_t handle,
		      agent_sink_fn sink, void *arg, bool *ret_eof,
		      struct call_error *err)
{
	cleanup_json_ json_t *reply = NULL;
	cleanup_free_ char *data = NULL;
	size_t len = 0;
	int r = agent_call(a, "guest-file-read",
			   json_pack("{s:I, s:i}", "handle", handle, "count",
				     PIECE),
			   &reply, err);

	if (r)
		return r;
	r = decode(reply, "buf-b64", &data, &len);
	*ret_eof = json_is(reply, "eof");
	if (r == -ENOMEM)
		return fail_memory(err);
	if (r || len > PIECE || (!len && !*ret_eof))
		return fail_answer(err, "guest-file-read");
	r = len ? sink(arg, data, len) : 0;
	return r < 0 ? agent_fail(err, -r, "%s", strerror(-r)) : 0;
}

int agent_file_read(struct agent_conn *a, const char *path,
		    agent_sink_fn sink, void *arg, struct call_error *err)
{
	json_int_t handle = 0;
	bool eof = false;
	int r = file_open(a, path, "rb", &handle, err);

	if (r)
		return r;
	while (!r && !eof)
		r = read_piece(a, handle, sink, arg, &eof, err);
	return file_close(a, handle, r, err);
}

static int write_piece(struct agent_conn *a, json_int_t handle,
		       const char *data, size_t len, struct call_error *err)
{
	for (size_t at = 0; at < len;) {
		cleanup_json_ json_t *reply = NULL;
		cleanup_free_ char *text = base64_encode(data + at, len - at);
		uint64_t n;
		int r;

		if (!text)
			return fail_memory(err);
		r = agent_call(a, "guest-file-write",
			       json_pack("{s:I, s:s}", "handle", handle,
					 "buf-b64", text),
			       &reply, err);
		if (r)
			return r;
		n = json_number(reply, "count");
		if (!n || n > len - at)
			return fail_answer(err, "guest-file-write");
		at += n;
	}
	return 0;
}

int agent_file_write(struct agent_conn *a, const char *path, const char *mode,
		     agent_source_fn source, void *arg,
		     struct call_error *err)
{
	cleanup_free_ char *data = malloc(PIECE);
	json_int_t handle = 0;
	size_t len = 1;
	int r;

	if (!data)
		return fail_memory(err);
	r = file_open(a, path, mode, &handle, err);
	if (r)
		return r;
	while (!r && len) {
		len = 0;
		r = source(arg, data, PIECE, &len);
		if (r < 0)
			(void)agent_fail(err, -r, "%s", strerror(-r));
		else
			r = write_piece(a, handle, data, len, err);
	}
	return file_close(a, handle, r, err);
}
