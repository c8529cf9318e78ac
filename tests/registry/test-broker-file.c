/* SPDX-License-Identifier: MIT */
/* test-broker-file.c - texts of a broker.conf: meaning and messages */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "registry/broker-file.h"

#define B "[Broker]\n"

static const struct {
	const char *text;
	const char *want; /* "line: reason", or the profile; NULL: none */
} rows[] = {
	{ "", NULL },
	{ "# nothing\n", NULL },
	{ B, NULL },
	{ B "Profile=windows\n", "windows" },
	{ B "Profile=default\n", "default" },
	{ "\n" B B " \nProfile = windows ; strict\r\n", "windows" },
	{ B "Profile=Windows\n",
	  "2: Profile=\"Windows\": there are default and windows" },
	{ B "Profile=\n", "2: Profile= has no value" },
	{ B "Profile=windows\n more\n", "3: Profile= is one word" },
	{ B "Profile=default\nProfile=windows\n",
	  "3: Profile= again: it is in line 2" },
	{ B "Profle=windows\n", "2: unknown key \"Profle\" in [Broker]" },
	{ "Profile=windows\n", "1: \"Profile\" stands before [Broker]" },
	{ "[Service]\n", "1: unknown section \"Service\"" },
	{ "[broker]\n", "1: unknown section \"broker\"" },
	{ B "Profile windows\n",
	  "2: neither [Section], KEY=VALUE nor a comment" },
};

START_TEST(texts)
{
	struct broker_file f = { .profile = PROFILE_DEFAULT };
	const char *want = rows[_i].want;
	struct parse_error e = { 0 };
	char got[500];
	int r = broker_file_parse(rows[_i].text, strlen(rows[_i].text), &f,
				  &e);

	if (want && want[0] >= '0' && want[0] <= '9') {
		ck_assert_int_eq(r, -EINVAL);
		snprintf(got, sizeof(got), "%u: %s", e.line, e.reason);
		ck_assert_str_eq(got, want);
		ck_assert(!f.has_profile);
		return;
	}
	ck_assert_msg(r == 0, "%u: %s", e.line, e.reason);
	ck_assert(f.has_profile == !!want);
	if (want)
		ck_assert_str_eq(profile_name(f.profile), want);
}
END_TEST

/* What a file does not mention stays as a lower one had it. */
START_TEST(lower_files)
{
	struct broker_file f = { true, PROFILE_WINDOWS };
	struct parse_error e = { 0 };

	ck_assert_int_eq(broker_file_parse(B, strlen(B), &f, &e), 0);
	ck_assert(f.has_profile && f.profile == PROFILE_WINDOWS);
	ck_assert_int_eq(broker_file_parse(B "x=1\n", strlen(B "x=1\n"), &f,
					   &e), -EINVAL);
	ck_assert(f.has_profile && f.profile == PROFILE_WINDOWS);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("registry-broker-file");
	TCase *t = tcase_create("broker-file");

	tcase_add_loop_test(t, texts, 0, ARRAY_LEN(rows));
	tcase_add_test(t, lower_files);
	suite_add_tcase(s, t);
	return run_suite(s);
}
