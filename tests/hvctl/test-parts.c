/* SPDX-License-Identifier: MIT */
/* test-parts.c - the pure parts of hvctl: words, endpoints, tables, UUIDs */
#include <check.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/guid.h"
#include "hvctl/args.h"
#include "hvctl/endpoint.h"
#include "hvctl/ini-edit.h"
#include "hvctl/out.h"
#include "hvctl/uuid5.h"
#include "hvctl/verbs.h"

static const struct opt opts[] = {
	{ .name = "listen", .letter = 'l' },
	{ .name = "timeout", .letter = 't', .arg = "SECONDS" },
	{ .name = "partition", .arg = "NAME", .many = true },
	{ .name = NULL },
};

/* Words split at blanks; as many as a test needs. */
static int parse(enum args_rest rest, const char *line, struct args *ret,
		 char *why)
{
	static char copy[400];
	static char *words[ARGS_MAX + 40];
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		words[n++] = w;
	words[n] = NULL;
	return args_parse(opts, rest, words, ret, why);
}

START_TEST(args_mixed)
{
	char why[ARGS_WHY];
	struct args a;

	ck_assert_int_eq(parse(ARGS_REST_NONE, "one -lt5 two --partition=a "
			       "--partition b - -- -x", &a, why), 0);
	ck_assert_uint_eq(a.npos, 4);
	ck_assert_str_eq(a.pos[0], "one");
	ck_assert_str_eq(a.pos[1], "two");
	ck_assert_str_eq(a.pos[2], "-");
	ck_assert_str_eq(a.pos[3], "-x");
	ck_assert(args_has(&a, "listen"));
	ck_assert_str_eq(args_value(&a, "timeout"), "5");
	ck_assert_uint_eq(a.nopt, 4);
	ck_assert_str_eq(a.value[3], "b");
	ck_assert_ptr_null(args_value(&a, "listen"));
}
END_TEST

START_TEST(args_rest)
{
	char why[ARGS_WHY];
	struct args a;

	ck_assert_int_eq(parse(ARGS_REST_COMMAND, "-l web1 -- ls -l", &a, why),
			 0);
	ck_assert_uint_eq(a.npos, 1);
	ck_assert_str_eq(a.rest[0], "ls");
	ck_assert_str_eq(a.rest[1], "-l");
	ck_assert_ptr_null(a.rest[2]);
	ck_assert_int_eq(parse(ARGS_REST_COMMAND, "web1", &a, why), 0);
	ck_assert_ptr_null(a.rest);
	ck_assert_int_eq(parse(ARGS_REST_VERBATIM, "vhost-user --unknown x -- "
			       "y", &a, why), 0);
	ck_assert_uint_eq(a.npos, 1);
	ck_assert_str_eq(a.rest[0], "--unknown");
	ck_assert_str_eq(a.rest[3], "y");
}
END_TEST

static const struct {
	const char *line, *why;
} wrong[] = {
	{ "--nope", "--nope: unknown option" },
	{ "--listenx", "--listenx: unknown option" },
	{ "--liste", "--liste: unknown option" },
	{ "--listen=1", "--listen=1: takes no argument" },
	{ "--timeout", "--timeout: needs an argument" },
	{ "-t", "-t: needs an argument" },
	{ "-lq", "-lq: unknown option" },
	{ "-l --listen", "--listen: given twice" },
	{ "--timeout=1 -t 2", "-t: given twice" },
	{ "--\x1b[2J", "--\\x1b[2J: unknown option" },
};

START_TEST(args_wrong)
{
	struct args a = { .npos = 77 };
	char why[ARGS_WHY];

	ck_assert_int_eq(parse(ARGS_REST_NONE, wrong[_i].line, &a, why),
			 -EINVAL);
	ck_assert_str_eq(why, wrong[_i].why);
	ck_assert_uint_eq(a.npos, 77);
}
END_TEST

START_TEST(args_many)
{
	static char word[] = "--partition=x";
	char *words[ARGS_MAX + 2];
	char why[ARGS_WHY];
	struct args a;

	for (int i = 0; i <= ARGS_MAX; i++)
		words[i] = word;
	words[ARGS_MAX + 1] = NULL;
	ck_assert_int_eq(args_parse(opts, ARGS_REST_NONE, words, &a, why),
			 -EINVAL);
	words[ARGS_MAX] = NULL;
	ck_assert_int_eq(args_parse(opts, ARGS_REST_NONE, words, &a, why), 0);
}
END_TEST

START_TEST(numbers)
{
	uint32_t v = 7;
	bool b;

	ck_assert_int_eq(text_u32("4294967295", &v), 0);
	ck_assert_uint_eq(v, UINT32_MAX);
	ck_assert_int_eq(text_u32("4294967296", &v), -EINVAL);
	ck_assert_int_eq(text_u32("", &v), -EINVAL);
	ck_assert_int_eq(text_u32("-1", &v), -EINVAL);
	ck_assert_int_eq(text_u32("1 ", &v), -EINVAL);
	ck_assert_int_eq(text_seconds("1.5", &v), 0);
	ck_assert_uint_eq(v, 1500);
	ck_assert_int_eq(text_seconds("0.001", &v), 0);
	ck_assert_uint_eq(v, 1);
	ck_assert_int_eq(text_seconds("86400", &v), 0);
	ck_assert_uint_eq(v, 86400000);
	ck_assert_int_eq(text_seconds(".5", &v), 0);
	ck_assert_uint_eq(v, 500);
	v = 7;
	ck_assert_int_eq(text_seconds("0", &v), -EINVAL);
	ck_assert_int_eq(text_seconds("0.0001", &v), -EINVAL);
	ck_assert_int_eq(text_seconds("86401", &v), -EINVAL);
	ck_assert_int_eq(text_seconds("99999999999", &v), -EINVAL);
	ck_assert_int_eq(text_seconds(".", &v), -EINVAL);
	ck_assert_int_eq(text_seconds("1s", &v), -EINVAL);
	ck_assert_int_eq(text_seconds("-1", &v), -EINVAL);
	ck_assert_uint_eq(v, 7);
	ck_assert_int_eq(text_bool("Yes", &b), 0);
	ck_assert(b);
	ck_assert_int_eq(text_bool("0", &b), 0);
	ck_assert(!b);
	ck_assert_int_eq(text_bool("maybe", &b), -EINVAL);
}
END_TEST

START_TEST(endpoints)
{
	char why[ENDPOINT_WHY];
	struct endpoint e;

	ck_assert_int_eq(endpoint_parse("tcp:127.0.0.1:80", &e, why), 0);
	ck_assert_int_eq(e.kind, ENDPOINT_TCP);
	ck_assert_str_eq(e.host, "127.0.0.1");
	ck_assert_str_eq(e.port, "80");
	ck_assert_int_eq(endpoint_parse("tcp:[::1]:0080", &e, why), 0);
	ck_assert_str_eq(e.host, "::1");
	ck_assert_str_eq(e.port, "80");
	ck_assert_int_eq(endpoint_parse("unix:/run/x:y", &e, why), 0);
	ck_assert_int_eq(e.kind, ENDPOINT_UNIX);
	ck_assert_str_eq(e.path, "/run/x:y");
	ck_assert_int_eq(endpoint_parse("web1:http", &e, why), 0);
	ck_assert_int_eq(e.kind, ENDPOINT_HV);
	ck_assert_int_eq(endpoint_parse("host:5000", &e, why), 0);
}
END_TEST

#define X27 "xxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const char *const no_endpoint[] = {
	"",	    "web1",	":http",      "web1:",	     "tcp:",
	"tcp:80",   "tcp::80",	"tcp:h:65536", "tcp:h:",     "tcp:h:x",
	"tcp:::1:1", "tcp:[::1:1", "tcp:[]:1", "unix:",
	"unix:/" X27 X27 X27 X27,
};

START_TEST(endpoints_wrong)
{
	struct endpoint e = { .kind = ENDPOINT_UNIX, .path = "kept" };
	char why[ENDPOINT_WHY] = "";

	ck_assert_int_eq(endpoint_parse(no_endpoint[_i], &e, why), -EINVAL);
	ck_assert_str_ne(why, "");
	ck_assert_str_eq(e.path, "kept");
}
END_TEST

START_TEST(table_layout)
{
	static const char *const heads[] = { "A", "LONG HEAD", "C", NULL };
	struct table *t = table_new(heads);
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(t);
	table_cell(t, "dürr");
	table_cell(t, NULL);
	table_cell_uint(t, 18446744073709551615ULL);
	table_cell(t, "\xe6\xbc\xa2\xe5\xad\x97x"); /* two wide, one narrow */
	table_cell(t, "a\nb\x1b[2J\xff");
	table_cell(t, "");
	ck_assert_int_eq(table_print(t, f), 0);
	fclose(f);
	ck_assert_str_eq(text,
			 "A      LONG HEAD          C\n"
			 "dürr   " DASH "                  18446744073709551615\n"
			 "\xe6\xbc\xa2\xe5\xad\x97x  "
			 "a\\x0ab\\x1b[2J\\xff  " DASH "\n");
	free(text);
	table_free(t);
}
END_TEST

START_TEST(uuids)
{
	char text[GUID_TEXT_SIZE], upper[GUID_TEXT_SIZE];
	char many[CONTAINER_ID_MAX + 2];
	/* RFC 4122, appendix C: the DNS namespace */
	static const GUID dns = { 0x6ba7b810, 0x9dad, 0x11d1,
				  { 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30,
				    0xc8 } };
	GUID g;

	uuid5(&dns, (const uint8_t *)"www.example.com", 15, &g);
	ck_assert_str_eq(guid_format(&g, text),
			 "2ed6657d-e927-568b-95e1-2665a8aea6a2");
	ck_assert_int_eq(uuid5_container("abc123", &g), 0);
	ck_assert_str_eq(guid_format(&g, text),
			 "e151d7ec-f78c-5ecb-9d5c-5597bce84564");
	ck_assert_int_eq(uuid5_container("ABC123", &g), 0);
	ck_assert_str_eq(guid_format(&g, upper), text);
	ck_assert_int_eq(uuid5_container("", &g), -EINVAL);
	ck_assert_int_eq(uuid5_container("a\tb", &g), -EINVAL);
	memset(many, 'x', sizeof(many));
	many[CONTAINER_ID_MAX + 1] = '\0';
	ck_assert_int_eq(uuid5_container(many, &g), -EINVAL);
	many[CONTAINER_ID_MAX] = '\0';
	ck_assert_int_eq(uuid5_container(many, &g), 0);
}
END_TEST

START_TEST(sha1_lengths)
{
	/* one million "a" and "abc": FIPS 180, appendix A */
	static const uint8_t abc[20] = { 0xa9, 0x99, 0x3e, 0x36, 0x47,
					 0x06, 0x81, 0x6a, 0xba, 0x3e,
					 0x25, 0x71, 0x78, 0x50, 0xc2,
					 0x6c, 0x9c, 0xd0, 0xd8, 0x9d };
	static const uint8_t million[20] = { 0x34, 0xaa, 0x97, 0x3c, 0xd4,
					     0xc4, 0xda, 0xa4, 0xf6, 0x1e,
					     0xeb, 0x2b, 0xdb, 0xad, 0x27,
					     0x31, 0x65, 0x34, 0x01, 0x6f };
	static uint8_t as[1000000];
	uint8_t hash[20];

	sha1((const uint8_t *)"abc", 3, hash);
	ck_assert_mem_eq(hash, abc, 20);
	memset(as, 'a', sizeof(as));
	sha1(as, sizeof(as), hash);
	ck_assert_mem_eq(hash, million, 20);
}
END_TEST

static const struct {
	const char *before, *after;
} edits[] = {
	{ "", "[Partition]\nName=x\n" },
	{ "[Partition]\nName=old\n", "[Partition]\nName=x\n" },
	{ "# c\n[Partition]\nVmId=1\nname = old\n more\n; d\n[Defaults]\n"
	  "Name=kept\n",
	  "# c\n[Partition]\nName=x\nVmId=1\n; d\n[Defaults]\nName=kept\n" },
	{ "[Defaults]\nBind=any\n",
	  "[Defaults]\nBind=any\n[Partition]\nName=x\n" },
	{ "[Partition]\nName=a\nName=b", "[Partition]\nName=x\n" },
	{ "[Partition]\nNameless=1\n", "[Partition]\nName=x\nNameless=1\n" },
};

START_TEST(ini_edits)
{
	char *text;

	ck_assert_int_eq(ini_edit(edits[_i].before, "Partition", "Name", "x",
				  &text), 0);
	ck_assert_str_eq(text, edits[_i].after);
	free(text);
	ck_assert_int_eq(ini_edit("", "Partition", "Name", "x\ny", &text),
			 -EINVAL);
	ck_assert_int_eq(ini_edit("", "Partition", "Name", "", &text),
			 -EINVAL);
}
END_TEST

START_TEST(verb_table)
{
	char service[] = "service", add[] = "add", vm[] = "vm", nc[] = "nc";
	char *words[3] = { service, add, NULL };
	size_t n = 0;

	ck_assert_ptr_nonnull(verb_find(words, &n));
	ck_assert_uint_eq(n, 2);
	words[0] = vm;
	ck_assert_str_eq(verb_find(words, &n)->group, "partition");
	words[0] = nc;
	ck_assert_ptr_nonnull(verb_find(words, &n));
	ck_assert_uint_eq(n, 1);
	words[0] = service;
	words[1] = NULL;
	ck_assert_ptr_null(verb_find(words, &n));
	for (const struct verb *v = verbs; v->name; v++) {
		ck_assert(v->fn && v->synopsis && v->summary && v->opts);
		ck_assert_uint_le(v->min, v->max);
	}
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
	TCase *t = tcase_create("parts");
	Suite *s = suite_create("hvctl");
	SRunner *r;
	int failed;

	setlocale(LC_CTYPE, "C.UTF-8");
	tcase_add_test(t, args_mixed);
	tcase_add_test(t, args_rest);
	tcase_add_loop_test(t, args_wrong, 0, COUNT(wrong));
	tcase_add_test(t, args_many);
	tcase_add_test(t, numbers);
	tcase_add_test(t, endpoints);
	tcase_add_loop_test(t, endpoints_wrong, 0, COUNT(no_endpoint));
	tcase_add_test(t, table_layout);
	tcase_add_test(t, uuids);
	tcase_add_test(t, sha1_lengths);
	tcase_add_loop_test(t, ini_edits, 0, COUNT(edits));
	tcase_add_test(t, verb_table);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
