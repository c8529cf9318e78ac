/* SPDX-License-Identifier: MIT */
/* test-reg-file.c - .reg files as regedit and installers write them */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "registry/reg-file.h"

#define V5 "Windows Registry Editor Version 5.00\r\n\r\n"
#define KEY "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\"       \
	    "CurrentVersion\\Virtualization\\GuestCommunicationServices"

static int collect(const struct reg_service *s, void *arg)
{
	char id[GUID_TEXT_SIZE];
	char *out = arg;

	sprintf(out + strlen(out), "%u%s%s %.2s %s\n", s->line,
		s->deleted ? " deleted" : "", s->braces ? " braces" : "",
		guid_format(&s->id, id), s->name ? s->name : "-");
	return 0;
}

static const struct {
	const char *text, *want; /* services, or "!line: reason" */
} files[] = {
	{ V5, "" },
	{ "REGEDIT4\n", "" },
	{ V5 KEY "\\" GUID_A "]\r\n\"ElementName\"=\"HV Socket Demo\"\r\n",
	  "3 11 HV Socket Demo\n" },
	{ "\xef\xbb\xbf" V5 KEY "\\" GUID_A "]\r\n"
	  "\"ElementName\"=\"\xc3\xa4\"\r\n", "3 11 \xc3\xa4\n" },
	/* LF, no line end at the end, comments, others' keys and values */
	{ "REGEDIT4\n; hello\n[HKEY_CURRENT_USER\\x]\n\"ElementName\"=\"no\"\n"
	  KEY "]\n@=\"x\"\n"
	  KEY "\\" GUID_A "] ; here\n"
	  "\"Purpose\"=\"a \\\"quoted\\\" \\\\ one\" ; c\n"
	  "\"KeepAfterMachineRemove\"=dword:00000001\n"
	  "@=\"default\"\n"
	  "\"elementname\" = \"A\"\n"
	  "[HKEY_LOCAL_MACHINE\\SOFTWARE]\n\"ElementName\"=\"B\"",
	  "7 11 A\n" },
	{ V5 KEY "\\" GUID_A "]\r\n" KEY "\\" GUID_B "]\r\n",
	  "3 11 -\n4 22 -\n" },
	{ V5 KEY "\\{" GUID_A "}]\r\n", "3 braces 11 -\n" },
	{ V5 "[-HKEY_LOCAL_MACHINE\\software\\MICROSOFT\\windows nt\\"
	  "currentversion\\virtualization\\guestcommunicationservices\\"
	  GUID_A "]\r\n", "3 deleted 11 -\n" },
	{ V5 KEY "\\" GUID_A "\\below]\r\n\"ElementName\"=\"x\"\r\n", "" },
	{ V5 KEY "\\" GUID_A "]\r\n\"ElementName\"=\"a\\\\b\\\"c\"\r\n",
	  "3 11 a\\b\"c\n" },
	{ V5 KEY "\\" GUID_A "]\r\n\"ElementName\"=hex(1):48,00,69,00,\\\r\n"
	  "  21,00,00,00\r\n", "3 11 Hi!\n" },
	{ "REGEDIT4\n" KEY "\\" GUID_A "]\n\"ElementName\"=hex(1):48,69,00\n",
	  "2 11 Hi\n" },
	{ V5 KEY "\\" GUID_A "]\r\n\"ElementName\"=\"a\"\r\n"
	  "\"ElementName\"=-\r\n", "3 11 -\n" },
	/* values over several lines, in front of what counts */
	{ V5 "[x]\r\n\"b\"=hex:00,01,\\\r\n  02,03,\\\r\n  04\r\n\"s\"="
	  "\"two\r\nlines\"\r\n" KEY "\\" GUID_A "]\r\n", "9 11 -\n" },
	{ "", "!1: does not begin with \"Windows Registry Editor Version "
	  "5.00\" or \"REGEDIT4\"" },
	{ "[Service]\n", "!1: does not begin with \"Windows Registry Editor "
	  "Version 5.00\" or \"REGEDIT4\"" },
	{ V5 "rubbish\r\n", "!3: neither a key, a value nor a comment" },
	{ V5 KEY "\\" GUID_A "\r\n", "!3: a key without ]" },
	{ V5 KEY "\\echo]\r\n", "!3: the key \"echo\" is not a GUID" },
	{ V5 KEY "\\" GUID_A "] x\r\n", "!3: text behind the end" },
	{ V5 KEY "\\" GUID_A "]\r\n\"ElementName\"=\"x\r\n",
	  "!4: a quote is not closed" },
	{ V5 KEY "\\" GUID_A "]\r\n\"ElementName\"\r\n",
	  "!4: no = behind a value's name" },
	{ V5 KEY "\\" GUID_A "]\r\n\"ElementName\"=dword:00000001\r\n",
	  "!4: ElementName is not a string" },
	{ V5 KEY "\\" GUID_A "]\r\n\"ElementName\"=hex(1):4\r\n",
	  "!4: not a list of bytes" },
	{ V5 KEY "\\" GUID_A "]\r\n\"ElementName\"=hex(1):00,d8\r\n",
	  "!4: ElementName is not UTF-16" },
	{ V5 KEY "\\" GUID_A "]\r\n"
	  "\"ElementName\"=hex(1):41,00,00,00,42,00\r\n",
	  "!4: ElementName has a zero in it" },
	{ "REGEDIT4\n" KEY "\\" GUID_A "]\n\"ElementName\"=\"\xe4\"\n",
	  "!3: ElementName is not UTF-8 (save the file as Unicode)" },
};

static void parse(const void *data, size_t len, char *out, size_t size)
{
	struct parse_error e = { 0 };
	int r;

	out[0] = '\0';
	r = reg_file_parse(data, len, collect, out, &e);
	if (r == -EINVAL)
		snprintf(out, size, "!%u: %s", e.line, e.reason);
	else
		ck_assert_int_eq(r, 0);
}

START_TEST(as_utf8)
{
	char out[1000];

	parse(files[_i].text, strlen(files[_i].text), out, sizeof(out));
	ck_assert_str_eq(out, files[_i].want);
}
END_TEST

/* The same texts as regedit saves them (those that are ASCII). */
START_TEST(as_utf16)
{
	const char *text = files[_i].text;
	size_t n = strlen(text);
	char out[1000], *wide = malloc(2 * n + 2);

	ck_assert_ptr_nonnull(wide);
	memcpy(wide, "\xff\xfe", 2);
	for (size_t i = 0; i < n; i++) {
		if (text[i] & 0x80) { /* not ASCII: as_utf8 has it */
			free(wide);
			return;
		}
		wide[2 + 2 * i] = text[i];
		wide[3 + 2 * i] = 0;
	}
	parse(wide, 2 * n + 2, out, sizeof(out));
	free(wide);
	ck_assert_str_eq(out, files[_i].want);
}
END_TEST

START_TEST(encodings)
{
	char out[500];

	parse("\xff\xfe" "a\0b", 5, out, sizeof(out));
	ck_assert_str_eq(out, "!0: UTF-16 of an odd number of bytes: cut "
			 "short?");
	parse("\xff\xfe\n\0\0\xdc", 6, out, sizeof(out));
	ck_assert_str_eq(out, "!2: half a UTF-16 surrogate pair");
	parse("\xfe\xff\0W", 4, out, sizeof(out));
	ck_assert_str_eq(out, "!1: big-endian UTF-16; regedit writes "
			 "little-endian");
	parse("W\0i\0", 4, out, sizeof(out));
	ck_assert_str_eq(out, "!1: a zero byte (UTF-16 without its byte order "
			 "mark?)");
}
END_TEST

static int stop(const struct reg_service *s, void *arg)
{
	(void)s;
	return ++*(int *)arg == 1 ? 42 : 0;
}

START_TEST(stops)
{
	static const char text[] = V5 KEY "\\" GUID_A "]\r\n" KEY "\\" GUID_B
				   "]\r\n";
	struct parse_error e;
	int n = 0;

	ck_assert_int_eq(reg_file_parse(text, strlen(text), stop, &n, &e), 42);
	ck_assert_int_eq(n, 1);
}
END_TEST

START_TEST(round_trip)
{
	const struct reg_entry v[] = {
		{ guid(GUID_A), "a \"b\" \\c \xc3\xa4 \xf0\x9f\x98\x80" },
		{ guid(GUID_B), NULL },
	};
	const struct reg_entry bad[] = { { guid(GUID_A), "a\nb" } };
	static const char want[] =
		"3 11 a \"b\" \\c \xc3\xa4 \xf0\x9f\x98\x80\n6 22 -\n";
	char out[500], *text;
	size_t len;

	ck_assert_int_eq(reg_file_format(v, 2, true, &text, &len), 0);
	ck_assert_int_eq(memcmp(text, "Windows", 7), 0);
	parse(text, len, out, sizeof(out));
	ck_assert_str_eq(out, want);
	free(text);
	ck_assert_int_eq(reg_file_format(v, 2, false, &text, &len), 0);
	ck_assert_int_eq(memcmp(text, "\xff\xfeW\0i\0", 6), 0);
	ck_assert_int_eq(memcmp(text + len - 4, "\r\0\n\0", 4), 0);
	parse(text, len, out, sizeof(out));
	ck_assert_str_eq(out, want);
	free(text);
	ck_assert_int_eq(reg_file_format(bad, 1, false, &text, &len), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("registry-reg-file");
	TCase *t = tcase_create("reg-file");

	tcase_add_loop_test(t, as_utf8, 0, ARRAY_LEN(files));
	tcase_add_loop_test(t, as_utf16, 0, ARRAY_LEN(files));
	tcase_add_test(t, encodings);
	tcase_add_test(t, stops);
	tcase_add_test(t, round_trip);
	suite_add_tcase(s, t);
	return run_suite(s);
}
