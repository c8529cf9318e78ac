/* SPDX-License-Identifier: MIT */
/* test-sftp.c - the pure parts of sessions: sftp packets, sums, words, keys */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hvctl/cksum.h"
#include "hvctl/cp.h"
#include "hvctl/session-key.h"
#include "hvctl/session.h"
#include "hvctl/sftp.h"

static uint8_t buf[4096];

static int decode(struct sftp_out *o, struct sftp_reply *ret)
{
	size_t n = sftp_end(o);
	size_t size;

	ck_assert_uint_gt(n, 0);
	ck_assert_int_eq(sftp_frame(buf, n, &size), 1);
	ck_assert_uint_eq(size, n);
	return sftp_decode(buf, n, ret);
}

static struct sftp_out begin(enum sftp_type type)
{
	return sftp_begin(buf, sizeof(buf), type, 7);
}

START_TEST(frames)
{
	const uint8_t empty[] = { 0, 0, 0, 4, 1, 2, 3, 4 };
	const uint8_t huge[] = { 0, 4, 0, 1, 0 };
	const uint8_t part[] = { 0, 0, 0, 6, 1, 2, 3 };
	size_t n;

	ck_assert_int_eq(sftp_frame(empty, sizeof(empty), &n), -EPROTO);
	ck_assert_int_eq(sftp_frame(huge, sizeof(huge), &n), -EPROTO);
	ck_assert_int_eq(sftp_frame(part, sizeof(part), &n), 0);
	ck_assert_int_eq(sftp_frame(part, 3, &n), 0);
}
END_TEST

START_TEST(version)
{
	struct sftp_out o = begin(SFTP_VERSION);
	struct sftp_reply a;

	sftp_put_text(&o, "posix-rename@openssh.com");
	sftp_put_text(&o, "1");
	sftp_put_text(&o, "statvfs@openssh.com");
	sftp_put_text(&o, "1"); /* another one than ours */
	ck_assert_int_eq(decode(&o, &a), 0);
	ck_assert(a.features.posix_rename);
	ck_assert(!a.features.statvfs);
	ck_assert(!a.features.fsync);
}
END_TEST

START_TEST(answers)
{
	struct sftp_out o = begin(SFTP_STATUS);
	struct sftp_reply a;

	sftp_put_u32(&o, SFTP_PERMISSION_DENIED);
	ck_assert_int_eq(decode(&o, &a), 0); /* older ones have no text */
	ck_assert_uint_eq(a.id, 7);
	ck_assert_uint_eq(a.status, SFTP_PERMISSION_DENIED);
	o = begin(SFTP_STATUS);
	ck_assert_int_eq(decode(&o, &a), -EPROTO);
	o = begin(SFTP_DATA);
	sftp_put_u32(&o, 5);
	sftp_put_u32(&o, 0);
	ck_assert_int_eq(decode(&o, &a), -EPROTO);
	o = begin(SFTP_DATA);
	sftp_put_bytes(&o, "hello", 5);
	ck_assert_int_eq(decode(&o, &a), 0);
	ck_assert_uint_eq(a.bytes.len, 5);
	ck_assert_mem_eq(a.bytes.p, "hello", 5);
	o = begin(SFTP_OPEN); /* a request */
	ck_assert_int_eq(decode(&o, &a), -EPROTO);
}
END_TEST

START_TEST(handles)
{
	struct sftp_out o = begin(SFTP_HANDLE);
	const uint8_t long_one[SFTP_HANDLE_MAX + 1] = { 0 };
	struct sftp_reply a;

	sftp_put_bytes(&o, long_one, SFTP_HANDLE_MAX);
	ck_assert_int_eq(decode(&o, &a), 0);
	o = begin(SFTP_HANDLE);
	sftp_put_bytes(&o, long_one, sizeof(long_one));
	ck_assert_int_eq(decode(&o, &a), -EPROTO);
}
END_TEST

START_TEST(attributes)
{
	const struct sftp_attrs want = {
		.flags = SFTP_ATTR_SIZE | SFTP_ATTR_MODE | SFTP_ATTR_TIMES,
		.size = 1ull << 40,
		.mode = 0100644,
		.atime = 5,
		.mtime = 6,
	};
	struct sftp_out o = begin(SFTP_ATTRS);
	struct sftp_reply a;

	sftp_put_attrs(&o, &want);
	ck_assert_int_eq(decode(&o, &a), 0);
	ck_assert_uint_eq(a.attrs.flags, want.flags);
	ck_assert_uint_eq(a.attrs.size, want.size);
	ck_assert_uint_eq(a.attrs.mode, want.mode);
	ck_assert_uint_eq(a.attrs.atime, want.atime);
	ck_assert_uint_eq(a.attrs.mtime, want.mtime);
	o = begin(SFTP_ATTRS);
	sftp_put_u32(&o, SFTP_ATTR_EXTENDED);
	sftp_put_u32(&o, UINT32_MAX);
	ck_assert_int_eq(decode(&o, &a), -EPROTO);
}
END_TEST

static void put_name(struct sftp_out *o, const char *name, size_t len)
{
	sftp_put_bytes(o, name, len);
	sftp_put_text(o, "-rw-r--r--");
	sftp_put_u32(o, 0);
}

START_TEST(entries)
{
	static const struct {
		const char *name;
		size_t len;
		int result;
	} rows[] = {
		{ "file", 4, 1 },     { "...", 3, 1 },
		{ "..a", 3, 1 },      { ".a", 2, 1 },
		{ "", 0, -EBADMSG },  { "a/b", 3, -EBADMSG },
		{ "/", 1, -EBADMSG }, { "a\nb", 3, -EBADMSG },
		{ "a\0b", 3, -EBADMSG },
	};
	struct sftp_out o = begin(SFTP_NAME);
	char long_name[SFTP_NAME_MAX + 1];
	struct sftp_reply a;
	struct sftp_entry e;

	memset(long_name, 'x', sizeof(long_name));
	sftp_put_u32(&o, 4 + sizeof(rows) / sizeof(rows[0]));
	put_name(&o, ".", 1);
	put_name(&o, "..", 2);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		put_name(&o, rows[i].name, rows[i].len);
	put_name(&o, long_name, SFTP_NAME_MAX);
	put_name(&o, long_name, sizeof(long_name));
	ck_assert_int_eq(decode(&o, &a), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_int_eq(sftp_next_entry(&a, &e), rows[i].result);
		ck_assert_uint_eq(e.name.len, rows[i].len);
	}
	ck_assert_int_eq(sftp_next_entry(&a, &e), 1);
	ck_assert_int_eq(sftp_next_entry(&a, &e), -EBADMSG);
	ck_assert_int_eq(sftp_next_entry(&a, &e), 0);
	/* the two that are in every directory are no others' names */
	ck_assert(!sftp_entry_ok((const uint8_t *)"..", 2));
	ck_assert(!sftp_entry_ok((const uint8_t *)".", 1));
	o = begin(SFTP_NAME);
	sftp_put_u32(&o, UINT32_MAX);
	put_name(&o, "a", 1);
	ck_assert_int_eq(decode(&o, &a), 0);
	ck_assert_int_eq(sftp_next_entry(&a, &e), 1);
	ck_assert_int_eq(sftp_next_entry(&a, &e), -EPROTO);
}
END_TEST

START_TEST(requests_have_an_end)
{
	uint8_t small[16];
	struct sftp_out o = sftp_begin(small, sizeof(small), SFTP_STAT, 1);

	sftp_put_text(&o, "abc");
	ck_assert_uint_eq(sftp_end(&o), 16);
	sftp_put_u32(&o, 1);
	ck_assert_uint_eq(sftp_end(&o), 0);
}
END_TEST

START_TEST(sums)
{
	struct cksum c = { 0 };
	uint8_t data[100];

	/* as cksum(1) prints them */
	ck_assert_uint_eq(cksum_end(&c), 4294967295u);
	cksum_add(&c, (const uint8_t *)"hello\n", 6);
	ck_assert_uint_eq(cksum_end(&c), 3015617425u);
	c = (struct cksum){ 0 };
	cksum_add(&c, (const uint8_t *)"123456789", 9);
	ck_assert_uint_eq(cksum_end(&c), 930766865u);
	/* in any pieces */
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t k = 0; k <= sizeof(data); k++) {
		struct cksum a = { 0 }, b = { 0 };

		cksum_add(&a, data, sizeof(data));
		cksum_add(&b, data, k);
		cksum_add(&b, data + k, sizeof(data) - k);
		ck_assert_uint_eq(cksum_end(&a), cksum_end(&b));
	}
	c = (struct cksum){ 0 };
	cksum_zeros(&c, 100000);
	ck_assert_uint_eq(c.bytes, 100000);
}
END_TEST

START_TEST(part_names)
{
	char a[CP_PART_SIZE], b[CP_PART_SIZE];

	cp_part_name("f/1", a);
	cp_part_name("f/1", b);
	ck_assert_str_eq(a, b);
	ck_assert_uint_eq(strlen(a), strlen(".hvctl-.part") + 36);
	cp_part_name("f/2", b);
	ck_assert_str_ne(a, b);
	cp_part_name(NULL, a);
	ck_assert_uint_eq(strlen(a), strlen(".hvctl-.part") + 36);
	cp_part_name(NULL, b);
	ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(quoting)
{
	static const char *const rows[][2] = {
		{ "", "''" },
		{ "a b", "'a b'" },
		{ "it's", "'it'\\''s'" },
		{ "$x`y`\\", "'$x`y`\\'" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *q = shell_quote(rows[i][0]);

		ck_assert_str_eq(q, rows[i][1]);
		free(q);
	}
}
END_TEST

static const char *key(const char *text)
{
	static char copy[4096];
	const char *why = "";

	snprintf(copy, sizeof(copy), "%s", text);
	return public_key_line(copy, strlen(text), &why);
}

START_TEST(keys)
{
	char text[3000];

	ck_assert_str_eq(key("ssh-ed25519 AAAAC3 me@here\n"),
			 "ssh-ed25519 AAAAC3 me@here");
	ck_assert_str_eq(key("sk-ssh-ed25519@openssh.com AAAAG\r\n"),
			 "sk-ssh-ed25519@openssh.com AAAAG");
	ck_assert_ptr_null(key(""));
	ck_assert_ptr_null(key("command=\"x\" ssh-ed25519 AAAAC3"));
	ck_assert_ptr_null(key("ssh-ed25519 AAAAC3\nssh-ed25519 AAAAC3\n"));
	ck_assert_ptr_null(key("ssh-ed25519 AAAAC3 \x1b[m\n"));
	ck_assert_ptr_null(key("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
	snprintf(text, sizeof(text), "ssh-rsa AAAA%02500d", 0);
	ck_assert_ptr_null(key(text));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sessions");
	TCase *t = tcase_create("parts");
	SRunner *r;
	int failed;

	tcase_add_test(t, frames);
	tcase_add_test(t, version);
	tcase_add_test(t, answers);
	tcase_add_test(t, handles);
	tcase_add_test(t, attributes);
	tcase_add_test(t, entries);
	tcase_add_test(t, requests_have_an_end);
	tcase_add_test(t, sums);
	tcase_add_test(t, part_names);
	tcase_add_test(t, quoting);
	tcase_add_test(t, keys);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
