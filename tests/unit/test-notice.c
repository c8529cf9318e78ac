/* SPDX-License-Identifier: MIT */
/* test-notice.c - what a guest says of how far it is */
#include "suite.h"

#include "proto/notice.h"

static struct notice n;

static void says(const char *text)
{
	notice_init(&n);
	ck_assert_int_eq(notice_feed(&n, text, strlen(text)), 0);
	notice_end(&n);
}

START_TEST(states)
{
	says("READY=1\nSTATUS=up\n");
	ck_assert_int_eq(n.state, NOTICE_READY);
	ck_assert_str_eq(n.status, "up");
	ck_assert_str_eq(notice_state_name(n.state), "ready");
	says("READY=1");
	ck_assert_int_eq(n.state, NOTICE_READY);
	ck_assert(!n.has_status);
	says("READY=1\nSTOPPING=1\n");
	ck_assert_int_eq(n.state, NOTICE_STOPPING);
	ck_assert_str_eq(notice_state_name(n.state), "stopping");
	says("READY=0\nREADY=11\n READY=1\nready=1\nRELOADING=1\n");
	ck_assert_int_eq(n.state, NOTICE_NONE);
	ck_assert_ptr_null(notice_state_name(n.state));
	says("STATUS=one\nSTATUS=\n");
	ck_assert(n.has_status);
	ck_assert_str_eq(n.status, "");
}
END_TEST

START_TEST(pieces)
{
	static const char text[] = "X=1\nREADY=1\nSTATUS=two\n";

	notice_init(&n);
	for (size_t i = 0; i < strlen(text); i++) {
		ck_assert_int_eq(n.state, i < 12 ? NOTICE_NONE : NOTICE_READY);
		ck_assert_int_eq(notice_feed(&n, &text[i], 1), 0);
	}
	ck_assert_str_eq(n.status, "two");
}
END_TEST

START_TEST(strangers)
{
	static char big[NOTICE_MAX + 1];
	char line[700];

	/* not for a terminal */
	says("STATUS=good\nSTATUS=\033[2J\nSTATUS=\xff\n");
	ck_assert_str_eq(n.status, "good");
	/* a line may be too long, and the next one counts */
	memset(line, 'x', sizeof(line));
	strcpy(line + 600, "\nREADY=1\n");
	says(line);
	ck_assert_int_eq(n.state, NOTICE_READY);
	memcpy(line, "STATUS=", 7);
	strcpy(line + 500, "\n");
	says(line);
	ck_assert_uint_eq(strlen(n.status), NOTICE_STATUS_SIZE - 1);
	/* cut between characters: 127 is odd */
	for (int i = 7; i < 407; i += 2)
		memcpy(line + i, "\xc3\xbc", 2);
	strcpy(line + 407, "\n");
	says(line);
	ck_assert_uint_eq(strlen(n.status), NOTICE_STATUS_SIZE - 2);
	/* nor without end */
	notice_init(&n);
	ck_assert_int_eq(notice_feed(&n, big, NOTICE_MAX), 0);
	ck_assert_int_eq(notice_feed(&n, "\nREADY=1\n", 9), -EFBIG);
	ck_assert_int_eq(n.state, NOTICE_NONE);
	notice_init(&n);
	ck_assert_int_eq(notice_feed(&n, big, NOTICE_MAX + 1), -EFBIG);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, states);
	tcase_add_test(t, pieces);
	tcase_add_test(t, strangers);
}

int main(void)
{
	return run_suite("notice", fill);
}
