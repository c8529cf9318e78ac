/* SPDX-License-Identifier: MIT */
/* test-uplink.c - the lines between brokers */
#include "suite.h"

#include <sys/socket.h>

#include "base/guid.h"
#include "proto/uplink.h"

#define SERVICE "999e53d4-3d5c-4c3e-8779-bed06ec056e1"
#define SOURCE "80000001-facb-11e6-bd58-64006a7986d3"
#define VM "11111111-2222-3333-4444-555555555555"

static int request(const char *line, struct uplink_request *ret)
{
	size_t len = strlen(line);
	char *copy = exact(line, len);
	int r = uplink_request_parse(copy, len, ret);

	free(copy);
	return r;
}

START_TEST(requests)
{
	char line[UPLINK_REQUEST_MAX + 1], g[GUID_TEXT_SIZE];
	struct uplink_request r;

	ck_assert_int_eq(request("HVSOCKET/1 HELLO\n", &r), 0);
	ck_assert_int_eq(r.verb, UPLINK_HELLO);
	ck_assert_uint_eq(uplink_request_format(&r, line), 17);
	ck_assert_str_eq(line, "HVSOCKET/1 HELLO\n");

	ck_assert_int_eq(request("HVSOCKET/1 DGRAM\n", &r), 0);
	ck_assert_int_eq(r.verb, UPLINK_DGRAM);
	ck_assert_uint_eq(uplink_request_format(&r, line), 17);
	ck_assert_str_eq(line, "HVSOCKET/1 DGRAM\n");

	ck_assert_int_eq(request("HVSOCKET/1 CONNECT stream - " SERVICE
				 " " SOURCE " 2000\n", &r), 0);
	ck_assert_int_eq(r.verb, UPLINK_CONNECT);
	ck_assert_int_eq(r.type, SOCK_STREAM);
	ck_assert(r.here);
	ck_assert_str_eq(guid_format(&r.service, g), SERVICE);
	ck_assert_str_eq(guid_format(&r.source, g), SOURCE);
	ck_assert_uint_eq(r.timeout_ms, 2000);

	/* the longest there is */
	ck_assert_int_eq(request("HVSOCKET/1 CONNECT stream " VM " " SERVICE
				 " " SOURCE " 300000\n", &r), 0);
	ck_assert(!r.here);
	ck_assert_str_eq(guid_format(&r.vmid, g), VM);
	ck_assert_uint_le(uplink_request_format(&r, line), UPLINK_REQUEST_MAX);
	ck_assert_str_eq(line, "HVSOCKET/1 CONNECT stream " VM " " SERVICE
			       " " SOURCE " 300000\n");
	ck_assert_int_eq(request("HVSOCKET/1 CONNECT raw - " SERVICE " " SOURCE
				 " 1\n", &r), 0);
	ck_assert_int_eq(r.type, SOCK_SEQPACKET);
}
END_TEST

static const char *const bad_requests[] = {
	"", "\n", " \n", "HELLO\n", "HVSOCKET/1\n", "HVSOCKET/1 \n",
	"HVSOCKET/1 HELLO", "HVSOCKET/1 HELLO \n", "HVSOCKET/1 HELLO x\n",
	"HVSOCKET/1 DGRAM x\n", "HVSOCKET/1 DGRAM -\n", "HVSOCKET/1 dgram\n",
	"HVSOCKET/1  HELLO\n", "HVSOCKET/2 HELLO\n", "hvsocket/1 HELLO\n",
	"HVSOCKET/1 HELLO\nHVSOCKET/1 HELLO\n", "HVSOCKET/1 HELLO\r\n",
	"HVSOCKET/1 CONNECT\n",
	"HVSOCKET/1 CONNECT dgram - " SERVICE " " SOURCE " 1\n",
	"HVSOCKET/1 CONNECT stream " SERVICE " " SOURCE " 1\n",
	"HVSOCKET/1 CONNECT stream - " SERVICE " " SOURCE "\n",
	"HVSOCKET/1 CONNECT stream - " SERVICE " " SOURCE " 0\n",
	"HVSOCKET/1 CONNECT stream - " SERVICE " " SOURCE " 01\n",
	"HVSOCKET/1 CONNECT stream - " SERVICE " " SOURCE " -1\n",
	"HVSOCKET/1 CONNECT stream - " SERVICE " " SOURCE " 300001\n",
	"HVSOCKET/1 CONNECT stream - " SERVICE " " SOURCE " 4294967297\n",
	"HVSOCKET/1 CONNECT stream - " SERVICE " " SOURCE " 1 1\n",
	"HVSOCKET/1 CONNECT stream -- " SERVICE " " SOURCE " 1\n",
	"HVSOCKET/1 CONNECT stream - {" SERVICE "} " SOURCE " 1\n",
	"HVSOCKET/1 CONNECT stream - 5000 " SOURCE " 1\n",
	"HVSOCKET/1 CONNECT stream -  " SERVICE " " SOURCE " 1\n",
};

START_TEST(what_is_no_request)
{
	struct uplink_request r = { .timeout_ms = 77 };

	ck_assert_int_eq(request(bad_requests[_i], &r), -EINVAL);
	ck_assert_uint_eq(r.timeout_ms, 77);
}
END_TEST

static int answer(enum uplink_verb verb, const char *line,
		  struct uplink_answer *ret)
{
	size_t len = strlen(line);
	char *copy = exact(line, len);
	int r = uplink_answer_parse(verb, copy, len, ret);

	free(copy);
	return r;
}

START_TEST(answers)
{
	char line[UPLINK_ANSWER_MAX + 1], g[GUID_TEXT_SIZE];
	struct uplink_answer a;

	ck_assert_int_eq(answer(UPLINK_CONNECT, "OK\n", &a), 0);
	ck_assert_uint_eq(a.reason, 0);
	ck_assert_int_eq(answer(UPLINK_CONNECT, "NO 6 nobody listens\n", &a),
			 0);
	ck_assert_uint_eq(a.reason, HVS_REASON_NO_LISTENER);
	ck_assert_str_eq(a.text, "nobody listens");
	ck_assert_int_eq(answer(UPLINK_HELLO, "OK " VM " my vm\n", &a), 0);
	ck_assert_str_eq(a.text, "my vm");
	ck_assert_str_eq(guid_format(&a.vmid, g), VM);
	uplink_answer_format(UPLINK_HELLO, &a, line);
	ck_assert_str_eq(line, "OK " VM " my vm\n");
	ck_assert_int_eq(answer(UPLINK_HELLO, "NO 1\n", &a), 0);
	ck_assert_str_eq(a.text, "");
	/* what cannot be said is left out, what is too long is cut */
	a = (struct uplink_answer){ .reason = 6, .text = "two\nlines" };
	uplink_answer_format(UPLINK_CONNECT, &a, line);
	ck_assert_str_eq(line, "NO 6\n");
	memset(a.text, 'x', sizeof(a.text) - 1);
	ck_assert_uint_eq(uplink_answer_format(UPLINK_CONNECT, &a, line),
			  strlen("NO 6 \n") + UPLINK_TEXT_MAX);
}
END_TEST

static const struct {
	enum uplink_verb verb;
	const char *line;
} bad_answers[] = {
	{ UPLINK_CONNECT, "" },
	{ UPLINK_CONNECT, "OK" },
	{ UPLINK_CONNECT, "OK \n" },
	{ UPLINK_CONNECT, "OK " VM " vm\n" },
	{ UPLINK_CONNECT, "ok\n" },
	{ UPLINK_CONNECT, "OKAY\n" },
	{ UPLINK_CONNECT, "NO\n" },
	{ UPLINK_CONNECT, "NO 0\n" },
	{ UPLINK_CONNECT, "NO 24 later\n" },
	{ UPLINK_CONNECT, "NO six\n" },
	{ UPLINK_CONNECT, "NO 6 a\tb\n" },
	{ UPLINK_CONNECT, "NO 6 \xff\n" },
	{ UPLINK_HELLO, "OK\n" },
	{ UPLINK_HELLO, "OK " VM "\n" },
	{ UPLINK_HELLO, "OK vm " VM "\n" },
};

START_TEST(what_is_no_answer)
{
	struct uplink_answer a;

	ck_assert_int_eq(answer(bad_answers[_i].verb, bad_answers[_i].line,
				&a), -EINVAL);
}
END_TEST

START_TEST(too_long)
{
	char line[UPLINK_ANSWER_MAX + 2];
	struct uplink_answer a;

	memset(line, 'x', sizeof(line));
	memcpy(line, "NO 6 ", 5);
	line[5 + UPLINK_TEXT_MAX] = '\n';
	ck_assert_int_eq(uplink_answer_parse(UPLINK_CONNECT, line,
					     6 + UPLINK_TEXT_MAX, &a), 0);
	line[5 + UPLINK_TEXT_MAX] = 'x';
	line[6 + UPLINK_TEXT_MAX] = '\n';
	ck_assert_int_eq(uplink_answer_parse(UPLINK_CONNECT, line,
					     7 + UPLINK_TEXT_MAX, &a),
			 -EINVAL);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, requests);
	tcase_add_loop_test(t, what_is_no_request, 0,
			    sizeof(bad_requests) / sizeof(bad_requests[0]));
	tcase_add_test(t, answers);
	tcase_add_loop_test(t, what_is_no_answer, 0,
			    sizeof(bad_answers) / sizeof(bad_answers[0]));
	tcase_add_test(t, too_long);
}

int main(void)
{
	return run_suite("uplink", fill);
}
