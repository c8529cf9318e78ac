/* SPDX-License-Identifier: MIT */
/* test-client.c - the agent's protocol: what is sent, and what is believed */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/suite.h"
#include "base/base64.h"
#include "agent/client.h"
#include "base/bytes.h"
#include "base/cleanup.h"

static struct agent_client *c;
static char *line;
static json_t *got;

static void begin(void)
{
	c = agent_new(100);
	line = NULL;
	got = NULL;
}

static void end(void)
{
	c = agent_free(c);
	free(line);
	json_decref(got);
}

static void say(const char *command)
{
	size_t len;

	free(line);
	line = NULL;
	ck_assert_int_eq(agent_say(c, command, NULL, 0, &line, &len), 0);
	ck_assert_uint_eq(len, strlen(line));
}

static void say_sync(void)
{
	size_t len;

	free(line);
	line = NULL;
	ck_assert_int_eq(agent_say_sync(c, &line, &len), 0);
	ck_assert_uint_eq(len, strlen(line));
}

/* One byte at a time, each in memory of its own. */
static int hear(const char *text, size_t *ret_used)
{
	size_t len = strlen(text), at = 0;
	int r = 0;

	json_decref(got);
	got = NULL;
	while (!r && at < len) {
		char *p = exact(text + at, 1);
		size_t used;

		r = agent_hear(c, p, 1, &used, &got);
		free(p);
		ck_assert(used == 1 || r < 0);
		if (r < 0)
			break;
		at += used;
	}
	if (ret_used)
		*ret_used = at;
	return r;
}

static void good_sync(void)
{
	say_sync();
	ck_assert_int_eq(hear("\xff{\"return\": 101}\n", NULL), 1);
}

START_TEST(said)
{
	cleanup_free_ char *two = NULL;
	json_t *args = json_pack("{s:s}", "mode", "reboot");
	size_t len;

	say_sync();
	ck_assert_str_eq(line, "\xff{\"execute\":\"guest-sync-delimited\","
			 "\"arguments\":{\"id\":101}}\n");
	ck_assert_int_eq(agent_say(c, "x", NULL, 0, &two, &len), -EINVAL);
	ck_assert_int_eq(hear("\xff{\"return\": 101}\n", NULL), 1);
	ck_assert_int_eq(agent_say(c, "\xff", NULL, 0, &two, &len), -EINVAL);
	say("guest-ping");
	ck_assert_str_eq(line, "{\"execute\":\"guest-ping\",\"id\":102}\n");
	ck_assert_int_eq(hear("{\"return\": {}, \"id\": 102}\n", NULL), 1);
	ck_assert_int_eq(agent_say_silent(c, "guest-shutdown", args, &two,
					  &len), 0);
	json_decref(args);
	ck_assert_str_eq(two, "{\"execute\":\"guest-shutdown\",\"id\":103,"
			 "\"arguments\":{\"mode\":\"reboot\"}}\n"
			 "{\"execute\":\"guest-ping\",\"id\":104}\n");
	ck_assert_int_eq(hear("{\"id\": 103, \"error\": {\"class\": \"X\", "
			      "\"desc\": \"no\"}}\n", NULL), 1);
	ck_assert(json_object_get(got, "error"));
}
END_TEST

/* Two more are said before the first has its answer. */
START_TEST(behind)
{
	cleanup_free_ char *two = NULL, *three = NULL, *bad = NULL;
	size_t len;

	ck_assert_int_eq(agent_say_behind(c, "a", NULL, &bad, &len), -EINVAL);
	say_sync();
	ck_assert_int_eq(agent_say_behind(c, "\xff", NULL, &bad, &len),
			 -EINVAL);
	ck_assert_int_eq(agent_say_behind(c, "a", NULL, &two, &len), 0);
	ck_assert_int_eq(agent_say_behind(c, "b", NULL, &three, &len), 0);
	ck_assert_str_eq(two, "{\"execute\":\"a\",\"id\":102}\n");
	ck_assert_str_eq(three, "{\"execute\":\"b\",\"id\":103}\n");
	ck_assert_int_eq(hear("\xff{\"return\": 101}\n", NULL), 1);
	/* the one's answer is not taken for the other's */
	ck_assert_int_eq(hear("{\"return\": 5, \"id\": 103}\n", NULL), 0);
	ck_assert_uint_eq(agent_dropped(c), 1);
	ck_assert_int_eq(hear("{\"return\": 1, \"id\": 102}\n", NULL), 1);
	ck_assert_int_eq(hear("{\"return\": 1, \"id\": 102}\n", NULL), 0);
	ck_assert_int_eq(hear("{\"return\": 2, \"id\": 103}\n", NULL), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(got, "return")),
			 2);
	say("c");
	ck_assert_str_eq(line, "{\"execute\":\"c\",\"id\":104}\n");
}
END_TEST

/* What is not waited for any more is dropped when it comes. */
START_TEST(forgotten)
{
	cleanup_free_ char *two = NULL;
	size_t len;

	good_sync();
	say("a");
	ck_assert_int_eq(agent_say_behind(c, "b", NULL, &two, &len), 0);
	agent_forget(c);
	say("c");
	ck_assert_str_eq(line, "{\"execute\":\"c\",\"id\":104}\n");
	ck_assert_int_eq(hear("{\"return\": 1, \"id\": 102}\n"
			      "{\"return\": 2, \"id\": 103}\n", NULL), 0);
	ck_assert_uint_eq(agent_dropped(c), 2);
	ck_assert_int_eq(hear("{\"return\": 3, \"id\": 104}\n", NULL), 1);
}
END_TEST

/* A client before us was cut off in the middle of a line, and had answers to
 * come; the agent complains of our mark. */
START_TEST(stale)
{
	static const char complaint[] =
		"{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON "
		"parse error, stray '\\uFFFD'\"}}\n";
	const char *const before[] = {
		"",
		"{\"return\": 101}\n",
		"{\"return\": {\"count\": 3, \"buf-b6",
		complaint,
		"\xff{\"return\": 100}\n",
		"\xff{\"return\": 100}\n{\"return\": 101}\n",
		"\xff{\"return\": \"101\"}\n\xff{\"error\": {}}\n\xff\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		char text[300];
		size_t used;

		end();
		begin();
		snprintf(text, sizeof(text), "%s\xff{\"return\": 101}\nrest",
			 before[i]);
		say_sync();
		ck_assert_msg(hear(text, &used) == 1, "%s: %s", text,
			      agent_why(c));
		ck_assert_str_eq(text + used, "rest");
		ck_assert_uint_eq(json_object_size(got), 0);
	}
}
END_TEST

START_TEST(late_and_doubled)
{
	good_sync();
	say("guest-ping");
	ck_assert_int_eq(hear("{\"return\": {}, \"id\": 99}\n"
			      "{\"return\": {}, \"id\": 103}\n"
			      "{\"return\": {}, \"id\": \"102\"}\n", NULL), 0);
	ck_assert_uint_eq(agent_dropped(c), 3);
	ck_assert_int_eq(hear("{\"return\": 1, \"id\": 102}\n", NULL), 1);
	say("guest-ping");
	ck_assert_int_eq(hear("{\"return\": 1, \"id\": 102}\n"
			      "{\"return\": 2, \"id\": 103}\n", NULL), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(got, "return")),
			 2);
	ck_assert_uint_eq(agent_dropped(c), 4);
	/* without ids: an old agent */
	say("guest-ping");
	ck_assert_int_eq(hear("{\"return\": 5}\n", NULL), 1);
	/* for ever: the end */
	say("guest-ping");
	for (int i = 0; i < AGENT_STRAY_MAX; i++)
		ck_assert_int_eq(hear("{\"return\": 1, \"id\": 1}\n", NULL),
				 0);
	ck_assert_int_eq(hear("{\"return\": 1, \"id\": 1}\n", NULL), -EPROTO);
	ck_assert(strstr(agent_why(c), "nobody asked for"));
	ck_assert_int_eq(hear("{\"return\": 5}\n", NULL), -EPROTO);
}
END_TEST

START_TEST(hostile)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "nonsense\n", "no JSON object" },
		{ "[1]\n", "no JSON object" },
		{ "{\"return\": \"\xc3\x28\", \"id\": 102}\n", "in UTF-8" },
		{ "{\"return\": \"\\u0000\", \"id\": 102}\n", "in UTF-8" },
		{ "{\"return\": \"\\ud800\", \"id\": 102}\n", "in UTF-8" },
		{ "{\"return\": 1, \"return\": 2, \"id\": 102}\n",
		  "no JSON object" },
		{ "{\"id\": 102}\n", "no result" },
		{ "{\"return\": 1, \"error\": {\"desc\": \"x\"}}\n",
		  "no result" },
		{ "{\"error\": 5, \"id\": 102}\n", "no result" },
		{ "{\"error\": {\"desc\": []}}\n", "no result" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		end();
		begin();
		good_sync();
		say("guest-ping");
		ck_assert_msg(hear(rows[i].text, NULL) == -EPROTO, "%s",
			      rows[i].text);
		ck_assert_msg(strstr(agent_why(c), rows[i].why) != NULL,
			      "%s: %s", rows[i].text, agent_why(c));
	}
}
END_TEST

START_TEST(limits)
{
	static char big[AGENT_LINE_MAX + 16];
	char deep[4 * AGENT_DEPTH_MAX] = "{\"return\":";
	size_t used;

	/* as deep as may be, and once more */
	for (int more = 0; more < 2; more++) {
		size_t n = AGENT_DEPTH_MAX - 1 + (size_t)more;

		end();
		begin();
		good_sync();
		say("guest-ping");
		memset(deep + 10, '[', n);
		memset(deep + 10 + n, ']', n);
		strcpy(deep + 10 + 2 * n, "}\n");
		ck_assert_int_eq(hear(deep, NULL), more ? -EPROTO : 1);
	}
	ck_assert(strstr(agent_why(c), "too deep"));
	end();
	begin();
	good_sync();
	say("guest-ping");
	memset(big, 'x', sizeof(big));
	ck_assert_int_eq(agent_hear(c, big, AGENT_LINE_MAX, &used, &got), 0);
	ck_assert_int_eq(agent_hear(c, big, 1, &used, &got), -EMSGSIZE);
	/* and before the mark */
	end();
	begin();
	say_sync();
	for (unsigned int i = 0; i < AGENT_LINE_MOST / AGENT_LINE_MAX; i++)
		ck_assert_int_eq(agent_hear(c, big, AGENT_LINE_MAX, &used,
					    &got), 0);
	ck_assert_int_eq(agent_hear(c, big, 1, &used, &got), -EPROTO);
}
END_TEST

/* No answer, without an end: what is said must be bounded in every state. */
START_TEST(empty_lines)
{
	int r = 0;

	good_sync();
	say("guest-ping");
	for (int i = 0; !r && i < 1000; i++)
		r = hear("\n", NULL);
	ck_assert_int_eq(r, -EPROTO);
	end();
	begin();
	say_sync();
	r = 0;
	for (int i = 0; !r && i < 1000; i++)
		r = hear("\xff\n", NULL);
	ck_assert_int_eq(r, -EPROTO);
}
END_TEST

START_TEST(refusals)
{
	static const struct {
		const char *text;
		enum agent_refusal is;
	} rows[] = {
		{ "{\"return\": {}}", AGENT_NO_REFUSAL },
		{ "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
		  "\"Command guest-exec has been disabled\"}}",
		  AGENT_DISABLED },
		{ "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
		  "\"The command x has not been found\"}}", AGENT_UNKNOWN },
		{ "{\"error\": {\"class\": \"GenericError\", \"desc\": "
		  "\"x\"}}", AGENT_FAILED },
		{ "{\"error\": {\"class\": 1, \"desc\": \"x\"}}",
		  AGENT_FAILED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *o = json_loads(rows[i].text, 0, NULL);
		const char *text;

		ck_assert_int_eq(agent_refusal(o, &text), rows[i].is);
		json_decref(o);
	}
}
END_TEST

START_TEST(base64)
{
	static const struct {
		const char *text, *data;
	} rows[] = {
		{ "", "" }, { "Zg==", "f" }, { "Zm8=", "fo" },
		{ "Zm9v", "foo" }, { "+//7", "\xfb\xff\xfb" },
	};
	static const char *const bad[] = { "Zg", "Zg=", "Z===", "Zg==Zg==",
					   "Zh==", "-__7", "Zm9\n", "====" };
	char *out;
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		out = base64_encode(rows[i].data, strlen(rows[i].data));
		ck_assert_str_eq(out, rows[i].text);
		free(out);
		out = exact(rows[i].text, strlen(rows[i].text));
		{
			char *data;

			ck_assert_int_eq(base64_decode(out,
				strlen(rows[i].text), &data, &len), 0);
			ck_assert_str_eq(data, rows[i].data);
			ck_assert_uint_eq(len, strlen(rows[i].data));
			free(data);
		}
		free(out);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(base64_decode(bad[i], strlen(bad[i]), &out,
					    &len) == -EINVAL, "%s", bad[i]);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, said);
	tcase_add_test(t, behind);
	tcase_add_test(t, forgotten);
	tcase_add_test(t, stale);
	tcase_add_test(t, late_and_doubled);
	tcase_add_test(t, hostile);
	tcase_add_test(t, limits);
	tcase_add_test(t, empty_lines);
	tcase_add_test(t, refusals);
	tcase_add_test(t, base64);
}

int main(void)
{
	return run_suite("agent", fill);
}
