/* SPDX-License-Identifier: MIT */
/*
 * fuzz-agent.c - what a guest's agent says
 *
 * First the answer to guest-sync-delimited (id 1), then to commands (ids 2 and
 * so on). The first byte of the input says in which pieces the rest arrives; by
 * it, up to three commands are said before the one in front has its answer, and
 * in the end nobody waits for them any more.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "agent/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const json_t *answer)
{
	const char *text = NULL;
	const json_t *v = json_object_get(answer, "return");
	char *out;
	size_t len;

	if (agent_refusal(answer, &text) != AGENT_NO_REFUSAL && !text)
		abort();
	if (json_is_string(v) &&
	    !base64_decode(json_string_value(v), json_string_length(v), &out,
			   &len))
		free(out);
}

static int more(struct agent_client *c, bool first)
{
	char *line = NULL;
	size_t len;
	int r = first ? agent_say_sync(c, &line, &len)
		      : agent_say(c, "guest-ping", NULL, 0, &line, &len);

	if (!r && (len != strlen(line) || line[len - 1] != '\n'))
		abort();
	free(line);
	return r;
}

static int behind(struct agent_client *c, unsigned int n)
{
	int r = 0;

	while (!r && n--) {
		char *line = NULL;
		size_t len;

		r = agent_say_behind(c, "guest-info", NULL, &line, &len);
		if (!r && (len != strlen(line) || line[len - 1] != '\n'))
			abort();
		free(line);
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agent_client *c = agent_new(0);
	size_t piece = size ? (size_t)data[0] + 1 : 1, at = 1;
	const unsigned int together = size ? data[0] % 4 : 0;
	unsigned int waiting = together, answers = 0;
	int r = c ? more(c, true) : -1;

	if (!r)
		r = behind(c, together);

	while (!r && at < size) {
		size_t n = size - at < piece ? size - at : piece, used = 0;
		json_t *answer = NULL;

		r = agent_hear(c, (const char *)data + at, n, &used, &answer);
		if (used > n || (r == 1) != (answer != NULL) ||
		    (r < 0 && !agent_why(c)[0]) || (!r && used != n))
			abort();
		at += used;
		if (r != 1)
			continue;
		look(answer);
		json_decref(answer);
		r = 0;
		if (waiting-- && ++answers < 7)
			continue;
		agent_forget(c);
		r = more(c, false);
		if (!r)
			r = behind(c, together);
		waiting = together;
	}
	agent_free(c);
	return 0;
}
