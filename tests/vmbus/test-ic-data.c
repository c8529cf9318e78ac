/* SPDX-License-Identifier: MIT */
/* test-ic-data.c - texts, keys and values, freeze and thaw */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "ic-guest.h"
#include "rig.h"

/* ---- texts */

START_TEST(test_texts)
{
	static const char *const good[] = { "", "a", "z\xc3\xa4hl",
					    "\xe2\x82\xac \xf0\x9f\x98\x80",
					    "\x01\x1b[2J" };
	static const char *const bad[] = { "\x80",	   "\xc0\x80",
					   "\xed\xa0\x80", "\xf5\x80\x80\x80",
					   "\xe2\x82",	   "a\xff" };
	uint8_t p[64];
	char out[64];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ck_assert_int_eq(utf16_put(p, 32, good[i]), 0);
		for (size_t n = 0; n < 32; n++) {
			if (le16_get(p + 2 * n))
				continue;
			/* with the terminator, and without */
			ck_assert_int_eq(utf16_get(p, 2 * n, out, 64),
					 (int)strlen(good[i]));
			ck_assert_int_eq(utf16_get(p, 2 * n + 2, out, 64),
					 (int)strlen(good[i]));
			break;
		}
		ck_assert_str_eq(out, good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(utf16_put(p, 32, bad[i]), -EILSEQ);
	ck_assert_int_eq(utf16_put(p, 4, "abc"), 0);
	ck_assert_int_eq(utf16_put(p, 4, "abcd"), -ENAMETOOLONG);
	ck_assert_int_eq(utf16_put(p, 4, "ab\xf0\x9f\x98\x80"), -ENAMETOOLONG);
}
END_TEST

START_TEST(test_bad_texts)
{
	static const struct {
		uint16_t units[4];
		size_t bytes;
		int result;
	} rows[] = {
		{ { 'a', 'b', 0 }, 3, -EILSEQ },	  /* odd */
		{ { 'a', 0, 'b', 0 }, 8, -EILSEQ },	  /* zero within */
		{ { 'a', 0, 0 }, 6, -EILSEQ },		  /* and two */
		{ { 0xd800, 'a', 0 }, 6, -EILSEQ },	  /* half a pair */
		{ { 'a', 0xd83d, 0 }, 6, -EILSEQ },	  /* at the end */
		{ { 0xdc00, 0xd800, 0 }, 6, -EILSEQ },	  /* swapped */
		{ { 0xd83d, 0xde00, 0 }, 6, 4 },
		{ { 0 }, 2, 0 },
		{ { 0 }, 0, 0 },
		{ { 'a', 'b', 'c', 'd' }, 8, -EMSGSIZE }, /* for 4 bytes */
	};
	char out[5];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t p[8];

		for (size_t n = 0; n < 4; n++)
			le16_put(p + 2 * n, rows[i].units[n]);
		ck_assert_int_eq(utf16_get(p, rows[i].bytes, out,
					   rows[i].result == -EMSGSIZE ? 4 : 5),
				 rows[i].result);
	}
}
END_TEST

/* ---- keys and values */

START_TEST(test_pairs)
{
	uint8_t body[KVP_BODY_MAX];
	static struct kvp_pair pair;
	char text[2100];
	int n;

	n = kvp_put(body, KVP_SET, KVP_EXTERNAL, "key", "value");
	ck_assert_int_eq(n, 4 + 12 + 512 + 2048);
	ck_assert_uint_eq(body[0], KVP_SET);
	ck_assert_uint_eq(le32_get(body + 4), 1);
	ck_assert_uint_eq(le32_get(body + 8), 8);
	ck_assert_uint_eq(le32_get(body + 12), 12);
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_GET, &pair), 0);
	ck_assert_str_eq(pair.key, "key");
	ck_assert_str_eq(pair.value, "value");
	n = kvp_put(body, KVP_DELETE, KVP_GUEST, "key", "");
	ck_assert_uint_eq(le32_get(body + 4), 8);
	ck_assert_uint_eq(le16_get(body + 8), 'k');
	ck_assert_int_eq(kvp_put(body, KVP_GET, KVP_AUTO, "", ""), -EINVAL);
	/* limits: units, and bytes of UTF-8 in the guest */
	memset(text, 'x', sizeof(text));
	text[255] = '\0';
	ck_assert_int_gt(kvp_put(body, KVP_SET, KVP_GUEST, text, ""), 0);
	text[255] = 'x';
	text[256] = '\0';
	ck_assert_int_eq(kvp_put(body, KVP_SET, KVP_GUEST, text, ""),
			 -ENAMETOOLONG);
	text[256] = 'x';
	text[1023] = '\0';
	ck_assert_int_gt(kvp_put(body, KVP_SET, KVP_GUEST, "k", text), 0);
	text[1023] = 'x';
	text[1024] = '\0';
	ck_assert_int_eq(kvp_put(body, KVP_SET, KVP_GUEST, "k", text), -E2BIG);
	for (n = 0; n < 171; n++)
		memcpy(text + 3 * n, "\xe2\x82\xac", 3);
	text[3 * n] = '\0'; /* 171 units, 513 bytes */
	ck_assert_int_eq(kvp_put(body, KVP_SET, KVP_GUEST, text, ""),
			 -ENAMETOOLONG);
	ck_assert_int_eq(kvp_put(body, KVP_SET, KVP_GUEST, "k", "\xff"),
			 -EILSEQ);
}
END_TEST

START_TEST(test_pairs_of_a_hostile_guest)
{
	static struct kvp_pair pair;
	uint8_t body[KVP_BODY_MAX];
	int n = kvp_put(body, KVP_SET, KVP_GUEST, "key", "value");
	uint8_t *v = body + 4;

	for (int len = 0; len < n; len++)
		ck_assert_int_eq(kvp_get(body, (size_t)len, KVP_GET, &pair),
				 -EPROTO);
	/* as an enumeration it is 4 bytes short */
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_ENUMERATE, &pair),
			 -EPROTO);
	le32_put(v, 4);
	le32_put(v + 12 + 512, 77);
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_GET, &pair), 0);
	ck_assert_str_eq(pair.value, "77");
	le32_put(v, 11);
	le64_put(v + 12 + 512, UINT64_MAX);
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_GET, &pair), 0);
	ck_assert_str_eq(pair.value, "18446744073709551615");
	le32_put(v, 3);
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_GET, &pair), -EPROTO);
	le32_put(v, 1);
	le32_put(v + 8, 2049);
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_GET, &pair), -EPROTO);
	le32_put(v + 8, 2048);
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_GET, &pair), -EILSEQ);
	memset(v + 12 + 512, 0x41, 2048);
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_GET, &pair), 0);
	ck_assert_uint_eq(strlen(pair.value), 3 * 1024);
	le32_put(v + 4, UINT32_MAX);
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_GET, &pair), -EPROTO);
	le32_put(v + 4, 7);
	ck_assert_int_eq(kvp_get(body, (size_t)n, KVP_GET, &pair), -EILSEQ);
}
END_TEST

/* As Linux compares them, whatever is typed. */
START_TEST(test_adapter)
{
	static const char guid[] = "{0e0b6031-5213-4934-818b-38d90ced39db}";
	static const char *const rows[][2] = {
		{ "{0e0b6031-5213-4934-818b-38d90ced39db}", guid },
		{ "0E0B6031-5213-4934-818B-38D90CED39DB", guid },
		{ "00:15:5d:01:02:0a", "00:15:5D:01:02:0A" },
		{ "00-15-5D-01-02-0A", "00:15:5D:01:02:0A" },
		{ "00155d01020a", "00:15:5D:01:02:0A" },
		{ "", NULL },
		{ "eth0", NULL },
		{ "00:15:5d:01:02", NULL },
		{ "00:15:5d:01:02:0a:", NULL },
		{ "00:15:5d:01:02:0a0b", NULL },
		{ "00:15-5d:01:02:0a", NULL },
		{ "00155d01020", NULL },
		{ "0015:5d01020a", NULL },
		{ "g0:15:5d:01:02:0a", NULL },
		{ "{0e0b6031-5213-4934-818b-38d90ced39d}", NULL },
	};
	char out[64];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = kvp_adapter(rows[i][0], out, sizeof(out));

		ck_assert_msg(r == (rows[i][1] ? 0 : -EINVAL), "%s: %d",
			      rows[i][0], r);
		if (r == 0)
			ck_assert_str_eq(out, rows[i][1]);
	}
	ck_assert_int_eq(kvp_adapter(guid, out, sizeof(guid)), 0);
	ck_assert_int_eq(kvp_adapter(guid, out, sizeof(guid) - 1), -E2BIG);
}
END_TEST

START_TEST(test_address_lists)
{
	static const struct {
		const char *text;
		bool mask;
		unsigned int count, families;
		const char *bad;
	} rows[] = {
		{ "", false, 0, 0, NULL },
		{ "192.0.2.1", false, 1, KVP_IPV4, NULL },
		{ "192.0.2.1;", false, 1, KVP_IPV4, NULL },
		{ "192.0.2.1;2001:db8::1", false, 2, KVP_IPV4 | KVP_IPV6,
		  NULL },
		{ "::ffff:192.0.2.1", false, 1, KVP_IPV6, NULL },
		{ "192.0.2.1,192.0.2.2", false, 0, 0, "192.0.2.1,192.0.2.2" },
		{ "192.0.2.1;192.0.2", false, 0, 0, "192.0.2" },
		{ "192.0.2.1;;192.0.2.2", false, 0, 0, "" },
		{ ";", false, 0, 0, "" },
		{ "192.0.2.1/24", false, 0, 0, "192.0.2.1/24" },
		{ "64", false, 0, 0, "64" },
		{ "fe80::1%eth0", false, 0, 0, "fe80::1%eth0" },
		{ "$(reboot);::1", false, 0, 0, "$(reboot)" },
		{ "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111",
		  false, 0, 0,
		  "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111" },
		{ "255.255.255.0;64;/128;ffff::", true, 4,
		  KVP_IPV4 | KVP_IPV6, NULL },
		{ "0.0.0.0;255.255.255.255;0", true, 3, KVP_IPV4 | KVP_IPV6,
		  NULL },
		{ "255.0.255.0", true, 0, 0, "255.0.255.0" },
		{ "129", true, 0, 0, "129" },
		{ "/", true, 0, 0, "/" },
		{ "0064", true, 0, 0, "0064" },
		{ "-1", true, 0, 0, "-1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct kvp_list l;
		int r = kvp_addresses(rows[i].text, rows[i].mask, &l);

		ck_assert_msg(r == (rows[i].bad ? -EINVAL : 0), "%s: %d",
			      rows[i].text, r);
		if (r < 0) {
			ck_assert_uint_eq(l.bad_len, strlen(rows[i].bad));
			ck_assert_mem_eq(l.bad, rows[i].bad, l.bad_len);
			continue;
		}
		ck_assert_uint_eq(l.count, rows[i].count);
		ck_assert_uint_eq(l.families, rows[i].families);
	}
}
END_TEST

START_TEST(test_addresses)
{
	static struct kvp_ip ip, back;
	uint8_t body[KVP_BODY_MAX];
	int n;

	ip = (struct kvp_ip) { .dhcp = true,
			       .family = 3,
			       .adapter = "{0e0b6031-5213-4934-818b-38d90ced39db}",
			       .address = "192.0.2.1;2001:db8::1",
			       .mask = "255.255.255.0;64",
			       .gateway = "192.0.2.254",
			       .dns = "192.0.2.53" };
	n = kvp_put_ip(body, KVP_SET_IP, &ip);
	ck_assert_int_eq(n, 2 + 256 + 2 + 2048 * 3 + 1024);
	ck_assert_uint_eq(body[0], KVP_SET_IP);
	ck_assert_uint_eq(le16_get(body + 2), '{');
	ck_assert_int_eq(kvp_get_ip(body, (size_t)n, &back), 0);
	ck_assert_str_eq(back.address, ip.address);
	ck_assert_str_eq(back.gateway, ip.gateway);
	ck_assert_str_eq(back.dns, ip.dns);
	ck_assert(back.dhcp);
	ck_assert_int_eq(kvp_get_ip(body, (size_t)n - 1, &back), -EPROTO);
	/* full to the brim, without an end */
	memset(body, 0x41, (size_t)n);
	ck_assert_int_eq(kvp_get_ip(body, (size_t)n, &back), 0);
	ck_assert_uint_eq(strlen(back.dns), 3 * 1024);
	memset(body, 0xdd, (size_t)n);
	ck_assert_int_eq(kvp_get_ip(body, (size_t)n, &back), -EILSEQ);
	memset(ip.address, '1', 1200);
	ck_assert_int_eq(kvp_put_ip(body, KVP_SET_IP, &ip), -E2BIG);
	ck_assert_int_eq(kvp_pool_of("auto"), KVP_AUTO);
	ck_assert_int_eq(kvp_pool_of("nowhere"), KVP_POOLS);
}
END_TEST

/* ---- freeze and thaw */

enum { CHECK = 2, FREEZE = 5, THAW = 6 };

static unsigned int told;
static int told_error;
static bool told_no_daemon;

static void on_told(void *arg, const struct ic_answer *a, bool no_daemon)
{
	(void)arg;
	told++;
	told_error = a->error ? a->error : (int)a->status;
	told_no_daemon = no_daemon;
}

static struct ig_packet *vss_take(struct ig *g, uint8_t op)
{
	struct ig_packet *p;

	ig_pass(g, 0);
	p = ig_take(g);
	ck_assert_int_eq(p->kind, IC_VSS);
	ck_assert_uint_eq(p->data[IC_HEAD], op);
	ck_assert(ig_none(g));
	return p;
}

static struct ig_packet *freezing(struct ig *g, uint64_t session)
{
	told = 0;
	ck_assert_int_eq(vss_freeze(&g->set.vss, 10000, 30000, session,
				    on_told, g),
			 0);
	ig_answer(g, vss_take(g, CHECK), 0);
	return vss_take(g, FREEZE);
}

static struct ig *frozen(uint64_t session)
{
	struct ig *g = ig_new();

	ig_ready(g, IC_VSS);
	ig_answer(g, freezing(g, session), 0);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(told_error, 0);
	ck_assert_int_eq(g->set.vss.state, VSS_FROZEN);
	return g;
}

/* It is thawed now, and nothing more is asked of it. */
static void thaws(struct ig *g)
{
	ig_answer(g, vss_take(g, THAW), 0);
	ck_assert_int_eq(g->set.vss.state, VSS_THAWED);
	ig_pass(g, 3600 * IG_S);
	ck_assert(ig_none(g));
	ig_free(g);
}

START_TEST(test_freeze_and_thaw)
{
	struct ig *g = frozen(0);

	ck_assert_int_eq(vss_freeze(&g->set.vss, 1, 1, 0, on_told, g), -EBUSY);
	vss_leave(&g->set.vss, 0); /* it is nobody's */
	ig_pass(g, IG_S);
	ck_assert(ig_none(g));
	told = 0;
	ck_assert_int_eq(vss_thaw(&g->set.vss, on_told, g), 0);
	ck_assert_int_eq(vss_thaw(&g->set.vss, on_told, g), -EBUSY);
	ig_answer(g, vss_take(g, THAW), 0);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(vss_thaw(&g->set.vss, on_told, g), -EALREADY);
	ig_free(g);
}
END_TEST

START_TEST(test_thaws_by_itself)
{
	struct ig *g = frozen(0);

	ig_pass(g, 29 * IG_S);
	ck_assert(ig_none(g));
	ig_pass(g, 1 * IG_S);
	thaws(g);
}
END_TEST

START_TEST(test_caller_gone)
{
	struct ig *g = frozen(7);

	vss_leave(&g->set.vss, 8);
	ig_pass(g, IG_S);
	ck_assert(ig_none(g));
	vss_leave(&g->set.vss, 7);
	thaws(g);
	g = frozen(7); /* the broker has gone, with all of them */
	vss_leave(&g->set.vss, 0);
	thaws(g);
	/* before the guest has answered */
	g = ig_new();
	ig_ready(g, IC_VSS);
	{
		struct ig_packet *p = freezing(g, 7);

		vss_leave(&g->set.vss, 7);
		ig_answer(g, p, 0);
	}
	thaws(g);
}
END_TEST

START_TEST(test_freeze_never_answered)
{
	struct ig *g = ig_new();
	struct ig_packet *p;

	ig_ready(g, IC_VSS);
	p = freezing(g, 0);
	ig_pass(g, 11 * IG_S);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(told_error, -ETIMEDOUT);
	ck_assert_int_eq(g->set.vss.state, VSS_THAWING);
	/* late: it is frozen, and finds the thaw behind it */
	ig_answer(g, p, 0);
	ck_assert_int_eq(g->set.vss.state, VSS_THAWING);
	thaws(g);
}
END_TEST

START_TEST(test_thaw_again_and_again)
{
	struct ig *g = frozen(0);

	ig_pass(g, 30 * IG_S);
	for (unsigned int i = 0; i < 5; i++) {
		ig_answer(g, vss_take(g, THAW), IC_FAIL);
		ck_assert_int_eq(g->set.vss.state, VSS_THAWING);
		ig_pass(g, 4 * IG_S);
		ck_assert(ig_none(g));
		ig_pass(g, 1 * IG_S);
	}
	/* one without an answer */
	(void)vss_take(g, THAW);
	ig_pass(g, 34 * IG_S);
	ck_assert(ig_none(g));
	ig_pass(g, 1 * IG_S);
	thaws(g);
}
END_TEST

START_TEST(test_refused)
{
	struct ig *g = ig_new();

	ig_ready(g, IC_VSS);
	told = 0;
	ck_assert_int_eq(vss_freeze(&g->set.vss, 10000, 1, 0, on_told, g), 0);
	ig_answer(g, vss_take(g, CHECK), IC_FAIL);
	ck_assert_uint_eq(told, 1);
	ck_assert(told_no_daemon);
	ck_assert_int_eq(g->set.vss.state, VSS_THAWED);
	/* a freeze that failed may have done half of it */
	ig_answer(g, freezing(g, 0), IC_FAIL);
	ck_assert_uint_eq(told, 1);
	thaws(g);
}
END_TEST

START_TEST(test_driver_goes)
{
	struct ig *g = frozen(0);

	ic_set_closed(&g->set, IC_VSS);
	ig_pass(g, 3600 * IG_S);
	ck_assert(ig_none(g));
	ig_ready(g, IC_VSS);
	thaws(g);
	/* while it freezes, and while it thaws: who asked is told */
	g = ig_new();
	ig_ready(g, IC_VSS);
	freezing(g, 0);
	ic_set_closed(&g->set, IC_VSS);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(told_error, -ECONNRESET);
	ig_ready(g, IC_VSS);
	told = 0;
	ck_assert_int_eq(vss_thaw(&g->set.vss, on_told, g), 0);
	(void)vss_take(g, THAW);
	ic_set_opened(&g->set, IC_VSS);
	ck_assert_uint_eq(told, 1);
	g->taken = g->nsent;
	ig_ready(g, IC_VSS);
	thaws(g);
	/* a guest that has nothing to thaw it with is let go in time */
	g = frozen(0);
	ic_set_closed(&g->set, IC_VSS);
	ig_ready(g, IC_VSS);
	for (unsigned int i = 0; i < VSS_TRIES_ANEW; i++) {
		ig_answer(g, vss_take(g, THAW), IC_FAIL);
		ig_pass(g, 5 * IG_S);
	}
	ck_assert(ig_none(g));
	ck_assert_int_eq(g->set.vss.state, VSS_THAWED);
	ig_free(g);
}
END_TEST

START_TEST(test_thaw_without_driver)
{
	struct ig *g = frozen(0);

	/* nobody waits for what may never come, and the thaw does */
	ic_set_closed(&g->set, IC_VSS);
	told = 0;
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(vss_thaw(&g->set.vss, on_told, g), -ENOTCONN);
	ig_ready(g, IC_VSS);
	thaws(g);
	ck_assert_uint_eq(told, 0);
	/* it goes before the thaw is sent */
	g = frozen(0);
	told = 0;
	ck_assert_int_eq(vss_thaw(&g->set.vss, on_told, g), 0);
	ic_set_closed(&g->set, IC_VSS);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(told_error, -ECONNRESET);
	ig_ready(g, IC_VSS);
	thaws(g);
}
END_TEST

START_TEST(test_after_silence)
{
	struct ig *g = ig_new();
	struct ig_packet *p;

	/* no time is asked for while nothing is due; then something is asked */
	ig_ready(g, IC_VSS);
	ck_assert_uint_eq(ic_set_deadline(&g->set), 0);
	g->now += 3600 * IG_S;
	ic_set_now(&g->set, g->now);
	p = freezing(g, 0);
	ck_assert_uint_eq(told, 0);
	/* the guest takes its time, which is not taken from the freeze */
	g->now += 9 * IG_S;
	ic_set_now(&g->set, g->now);
	ig_answer(g, p, 0);
	ig_pass(g, 29 * IG_S);
	ck_assert(ig_none(g));
	ig_pass(g, IG_S);
	thaws(g);
}
END_TEST

static void fill(void *c)
{
	tcase_add_test(c, test_texts);
	tcase_add_test(c, test_bad_texts);
	tcase_add_test(c, test_pairs);
	tcase_add_test(c, test_pairs_of_a_hostile_guest);
	tcase_add_test(c, test_adapter);
	tcase_add_test(c, test_address_lists);
	tcase_add_test(c, test_addresses);
	tcase_add_test(c, test_freeze_and_thaw);
	tcase_add_test(c, test_thaws_by_itself);
	tcase_add_test(c, test_caller_gone);
	tcase_add_test(c, test_freeze_never_answered);
	tcase_add_test(c, test_thaw_again_and_again);
	tcase_add_test(c, test_refused);
	tcase_add_test(c, test_driver_goes);
	tcase_add_test(c, test_thaw_without_driver);
	tcase_add_test(c, test_after_silence);
}

int main(void)
{
	return rig_suite("vmbus-ic-data", fill, 60);
}
