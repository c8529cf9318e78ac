/* SPDX-License-Identifier: MIT */
/* test-hybrid.c - lines of the Unix-socket convention, in every fragment */
#include "suite.h"

#include "base/guid.h"
#include "proto/hybrid.h"

#define PORT_GUID "00001388-facb-11e6-bd58-64006a7986d3"
#define OTHER_GUID "999e53d4-3d5c-4c3e-8779-bed06ec056e1"

/* The whole of @text, in pieces of @piece bytes. */
static struct hybrid_parser parse(enum hybrid_kind kind, const char *text,
				  size_t piece, size_t *ret_used)
{
	struct hybrid_parser p;
	size_t len = strlen(text), n, used;

	*ret_used = 0;
	hybrid_parser_init(&p, kind);
	while (p.status == HYBRID_MORE && *ret_used < len) {
		n = len - *ret_used < piece ? len - *ret_used : piece;
		hybrid_parse(&p, text + *ret_used, n, &used);
		ck_assert_uint_le(used, n);
		*ret_used += used;
	}
	return p;
}

static const struct {
	enum hybrid_kind kind;
	const char *line;
	const char *guid;
	bool by_guid;
} good[] = {
	{ HYBRID_CONNECT, "CONNECT 5000\n", PORT_GUID, false },
	{ HYBRID_CONNECT, "connect 5000\n", PORT_GUID, false },
	{ HYBRID_CONNECT, "ConNecT 0000005000\n", PORT_GUID, false },
	{ HYBRID_CONNECT, "CONNECT 0\n", "00000000-facb-11e6-bd58-64006a7986d3",
	  false },
	{ HYBRID_CONNECT, "CONNECT 4294967295\n",
	  "ffffffff-facb-11e6-bd58-64006a7986d3", false },
	{ HYBRID_CONNECT, "CONNECT " PORT_GUID "\n", PORT_GUID, true },
	{ HYBRID_CONNECT, "connect 999E53D4-3d5c-4c3e-8779-BED06ec056e1\n",
	  OTHER_GUID, true },
	{ HYBRID_OK, "OK 5000\n", PORT_GUID, false },
	{ HYBRID_OK, "OK 1073741824\n", "40000000-facb-11e6-bd58-64006a7986d3",
	  false },
	{ HYBRID_OK, "OK " OTHER_GUID "\n", OTHER_GUID, true },
};

START_TEST(good_lines)
{
	char text[HYBRID_LINE_SIZE + 20], guid[GUID_TEXT_SIZE];
	struct hybrid_parser p;
	size_t used;

	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		p = parse(good[_i].kind, good[_i].line, piece, &used);
		ck_assert_int_eq(p.status, HYBRID_DONE);
		ck_assert_uint_eq(used, strlen(good[_i].line));
		ck_assert_str_eq(guid_format(&p.service, guid), good[_i].guid);
		ck_assert_int_eq(p.by_guid, good[_i].by_guid);
		/* what follows is not the line's */
		strcpy(text, good[_i].line);
		strcat(text, "7\nOK CONNECT\n");
		p = parse(good[_i].kind, text, piece, &used);
		ck_assert_int_eq(p.status, HYBRID_DONE);
		ck_assert_uint_eq(used, strlen(good[_i].line));
	}
}
END_TEST

/* With where it is seen to be bad: at the first byte that cannot be. */
static const struct {
	enum hybrid_kind kind;
	const char *line;
	size_t used;
} bad[] = {
	{ HYBRID_CONNECT, "\n", 1 },
	{ HYBRID_CONNECT, "GET / HTTP/1.0\r\n", 1 },
	{ HYBRID_CONNECT, "CONNECT\n", 8 },
	{ HYBRID_CONNECT, "CONNECT \n", 9 },
	{ HYBRID_CONNECT, "CONNECT  5000\n", 9 },
	{ HYBRID_CONNECT, "CONNECT\t5000\n", 8 },
	{ HYBRID_CONNECT, " CONNECT 5000\n", 1 },
	{ HYBRID_CONNECT, "CONNECT 5000 \n", 13 },
	{ HYBRID_CONNECT, "CONNECT 5000\r\n", 13 },
	{ HYBRID_CONNECT, "CONNECT +5000\n", 9 },
	{ HYBRID_CONNECT, "CONNECT -1\n", 11 },
	{ HYBRID_CONNECT, "CONNECT 0x1388\n", 10 },
	{ HYBRID_CONNECT, "CONNECT 5000a\n", 14 },
	{ HYBRID_CONNECT, "CONNECT 4294967296\n", 19 },
	{ HYBRID_CONNECT, "CONNECT 00000005000\n", 20 },
	{ HYBRID_CONNECT, "CONNECT {" PORT_GUID "}\n", 9 },
	{ HYBRID_CONNECT, "CONNECT 00001388-facb-11e6-bd58-64006a7986d\n", 44 },
	{ HYBRID_CONNECT, "CONNECT 00001388-facb-11e6-bd58-64006a7986d33\n",
	  45 },
	{ HYBRID_CONNECT, "CONNECT 00001388-facb-11e6-bd5864006a7986d3-\n",
	  45 },
	{ HYBRID_CONNECT, "OK 5000\n", 1 },
	{ HYBRID_OK, "ok 5000\n", 1 },
	{ HYBRID_OK, "OK\n", 3 },
	{ HYBRID_OK, "OK \n", 4 },
	{ HYBRID_OK, "NO 5000\n", 1 },
	{ HYBRID_OK, "CONNECT 5000\n", 1 },
};

START_TEST(bad_lines)
{
	struct hybrid_parser p;
	size_t used, more;

	for (size_t piece = 1; piece <= HYBRID_LINE_SIZE; piece++) {
		p = parse(bad[_i].kind, bad[_i].line, piece, &used);
		ck_assert_int_eq(p.status, HYBRID_BAD);
		ck_assert_uint_eq(used, bad[_i].used);
		/* and it stays so */
		hybrid_parse(&p, "CONNECT 1\n", 10, &more);
		ck_assert_int_eq(p.status, HYBRID_BAD);
		ck_assert_uint_eq(more, 0);
	}
}
END_TEST

START_TEST(a_zero_byte)
{
	static const char line[] = "CONNECT 50\00000\n";
	struct hybrid_parser p;
	size_t used;

	hybrid_parser_init(&p, HYBRID_CONNECT);
	ck_assert_int_eq(hybrid_parse(&p, line, sizeof(line) - 1, &used),
			 HYBRID_BAD);
	ck_assert_uint_eq(used, 11);
}
END_TEST

START_TEST(nothing_yet)
{
	struct hybrid_parser p;
	size_t used;

	hybrid_parser_init(&p, HYBRID_CONNECT);
	ck_assert_int_eq(hybrid_parse(&p, "", 0, &used), HYBRID_MORE);
	ck_assert_int_eq(hybrid_parse(&p, "CONN", 4, &used), HYBRID_MORE);
	ck_assert_uint_eq(used, 4);
}
END_TEST

START_TEST(formats)
{
	GUID port = guid_from_port(4294967295), other;
	char line[HYBRID_LINE_SIZE], suffix[HYBRID_SUFFIX_SIZE];

	ck_assert_int_eq(guid_parse(OTHER_GUID, &other), 0);
	ck_assert_uint_eq(hybrid_format(HYBRID_CONNECT, &port, false, line),
			  19);
	ck_assert_str_eq(line, "CONNECT 4294967295\n");
	ck_assert_uint_eq(hybrid_format(HYBRID_OK, &port, false, line), 14);
	ck_assert_str_eq(line, "OK 4294967295\n");
	ck_assert_uint_eq(hybrid_format(HYBRID_CONNECT, &other, false, line),
			  sizeof(line) - 1);
	ck_assert_str_eq(line, "CONNECT " OTHER_GUID "\n");
	hybrid_format(HYBRID_OK, &port, true, line);
	ck_assert_str_eq(line, "OK ffffffff-facb-11e6-bd58-64006a7986d3\n");
	ck_assert_str_eq(hybrid_suffix(&port, false, suffix), "_4294967295");
	ck_assert_str_eq(hybrid_suffix(&port, true, suffix),
			 "_ffffffff-facb-11e6-bd58-64006a7986d3");
	ck_assert_str_eq(hybrid_suffix(&other, false, suffix), "_" OTHER_GUID);
}
END_TEST

START_TEST(suffixes)
{
	static const char *const yes[][2] = {
		{ "_0", "00000000-facb-11e6-bd58-64006a7986d3" },
		{ "_5000", PORT_GUID },
		{ "_4294967295", "ffffffff-facb-11e6-bd58-64006a7986d3" },
		{ "_" OTHER_GUID, OTHER_GUID },
		{ "_" PORT_GUID, PORT_GUID },
	};
	static const char *const no[] = {
		"",
		"_",
		"5000",
		"_5000x",
		"_05000",
		"_4294967296",
		"_-1",
		"__5",
		"_{" OTHER_GUID "}",
		"_" OTHER_GUID "0",
		"5000_",
		"_999E53D4-3d5c-4c3e-8779-bed06ec056e1",
		"_lock",
	};
	char text[GUID_TEXT_SIZE];
	GUID g;

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		ck_assert_msg(hybrid_suffix_parse(yes[i][0], &g), "%s",
			      yes[i][0]);
		ck_assert_str_eq(guid_format(&g, text), yes[i][1]);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		ck_assert_msg(!hybrid_suffix_parse(no[i], &g), "%s", no[i]);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_loop_test(t, good_lines, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(t, bad_lines, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, a_zero_byte);
	tcase_add_test(t, nothing_yet);
	tcase_add_test(t, formats);
	tcase_add_test(t, suffixes);
}

int main(void)
{
	return run_suite("hybrid", fill);
}
