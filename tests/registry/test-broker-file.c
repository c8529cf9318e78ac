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
	struct broker_file f = { .has_profile = true,
				 .profile = PROFILE_WINDOWS };
	struct parse_error e = { 0 };

	ck_assert_int_eq(broker_file_parse(B, strlen(B), &f, &e), 0);
	ck_assert(f.has_profile && f.profile == PROFILE_WINDOWS);
	ck_assert_int_eq(broker_file_parse(B "x=1\n", strlen(B "x=1\n"), &f,
					   &e), -EINVAL);
	ck_assert(f.has_profile && f.profile == PROFILE_WINDOWS);
}
END_TEST

static const struct {
	const char *text;
	const char *want; /* "line: reason", or the place; NULL: none */
} uplinks[] = {
	{ B, NULL },
	{ B "Uplink=vsock\n", "vsock" },
	{ B "Uplink=none\n", "none" },
	{ B "Uplink=unix:/run/vm/v.sock\nProfile=default\n",
	  "unix:/run/vm/v.sock" },
	{ B "Uplink=unix:v.sock\n",
	  "2: Uplink=\"unix:v.sock\": none, vsock, or unix:/PATH of at most 100 bytes" },
	{ B "Uplink=VSOCK\n",
	  "2: Uplink=\"VSOCK\": none, vsock, or unix:/PATH of at most 100 bytes" },
	{ B "Uplink=none\nUplink=vsock\n",
	  "3: Uplink= again: it is in line 2" },
	{ B "Uplink=vsock\n more\n", "3: Uplink= is one word" },
};

START_TEST(uplink_texts)
{
	struct broker_file f = { .has_uplink = false };
	char got[500], place[UPLINK_PATH_MAX + 6];
	const char *want = uplinks[_i].want;
	struct parse_error e = { 0 };
	int r = broker_file_parse(uplinks[_i].text, strlen(uplinks[_i].text),
				  &f, &e);

	if (want && want[0] >= '0' && want[0] <= '9') {
		ck_assert_int_eq(r, -EINVAL);
		snprintf(got, sizeof(got), "%u: %s", e.line, e.reason);
		ck_assert_str_eq(got, want);
		ck_assert(!f.has_uplink);
		return;
	}
	ck_assert_msg(r == 0, "%u: %s", e.line, e.reason);
	ck_assert(f.has_uplink == !!want);
	if (want)
		ck_assert_str_eq(uplink_place_text(&f.uplink, place), want);
}
END_TEST

START_TEST(uplink_paths)
{
	char text[UPLINK_PATH_MAX + 8], place[UPLINK_PATH_MAX + 6];
	struct uplink_place p;

	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:/", 6);
	text[5 + UPLINK_PATH_MAX] = '\0';
	ck_assert_int_eq(uplink_place_parse(text, &p), 0);
	ck_assert_str_eq(uplink_place_text(&p, place), text);
	text[5 + UPLINK_PATH_MAX] = 'x';
	text[6 + UPLINK_PATH_MAX] = '\0';
	ck_assert_int_eq(uplink_place_parse(text, &p), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("registry-broker-file");
	TCase *t = tcase_create("broker-file");

	tcase_add_loop_test(t, texts, 0, ARRAY_LEN(rows));
	tcase_add_test(t, lower_files);
	tcase_add_loop_test(t, uplink_texts, 0, ARRAY_LEN(uplinks));
	tcase_add_test(t, uplink_paths);
	suite_add_tcase(s, t);
	return run_suite(s);
}
