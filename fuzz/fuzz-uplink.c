/* SPDX-License-Identifier: MIT */
/*
 * fuzz-uplink.c - the lines between brokers
 *
 * The first byte says which line is expected. What is read is written as a
 * line that is read as the same again, and no line is longer than may be read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "proto/uplink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

static void request(const char *line, size_t len)
{
	char text[UPLINK_REQUEST_MAX + 1];
	struct uplink_request a = { 0 }, b = { 0 };
	size_t n;

	if (uplink_request_parse(line, len, &a) < 0)
		return;
	n = uplink_request_format(&a, text);
	check(n == strlen(text) && n <= UPLINK_REQUEST_MAX);
	check(uplink_request_parse(text, n, &b) == 0);
	check(memcmp(&a, &b, sizeof(a)) == 0);
}

static void answer(enum uplink_verb verb, const char *line, size_t len)
{
	char text[UPLINK_ANSWER_MAX + 1];
	struct uplink_answer a = { 0 }, b = { 0 };
	size_t n;

	if (uplink_answer_parse(verb, line, len, &a) < 0)
		return;
	check(utf8_printable(a.text, strlen(a.text)));
	n = uplink_answer_format(verb, &a, text);
	check(n == strlen(text) && n <= UPLINK_ANSWER_MAX);
	check(uplink_answer_parse(verb, text, n, &b) == 0);
	check(a.reason == b.reason && strcmp(a.text, b.text) == 0);
	check(memcmp(&a.vmid, &b.vmid, sizeof(a.vmid)) == 0);
}

/* Whatever a name or a sentence is, the line can be read. */
static void say(const char *bytes, size_t len, uint32_t reason)
{
	char text[UPLINK_ANSWER_MAX + 1];
	struct uplink_answer a = { .reason = reason }, b;
	size_t n;

	memcpy(a.text, bytes, len < UPLINK_NAME_MAX ? len : UPLINK_NAME_MAX);
	n = uplink_answer_format(UPLINK_HELLO, &a, text);
	check(n == strlen(text) && n <= UPLINK_ANSWER_MAX);
	check(uplink_answer_parse(UPLINK_HELLO, text, n, &b) == 0);
	check(b.reason == reason);
}

static void frame(const uint8_t *data, size_t size)
{
	uint8_t raw[JOIN_SIZE];
	struct msg_buf b = msg_buf(raw, sizeof(raw));
	struct msg_join m;

	if (msg_join_decode(data, size, &m) < 0)
		return;
	msg_begin(&b, MSG_JOIN, 0);
	msg_put_join(&b, &m);
	check(!b.overflow && b.len == size);
	check(memcmp(raw + MSG_HEADER, data + MSG_HEADER,
		     size - MSG_HEADER) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line;

	if (!size)
		return 0;
	/* memory that ends exactly behind them */
	line = malloc(size);
	if (!line)
		return 0;
	memcpy(line, data + 1, size - 1);
	switch (data[0] & 3) {
	case 0:
		request(line, size - 1);
		break;
	case 1:
		answer(UPLINK_CONNECT, line, size - 1);
		break;
	case 2:
		answer(UPLINK_HELLO, line, size - 1);
		break;
	default:
		say(line, size - 1, 0);
		say(line, size - 1, HVS_REASON_NO_LISTENER);
		frame((const uint8_t *)line, size - 1);
	}
	free(line);
	return 0;
}
