/* SPDX-License-Identifier: MIT */
/* test-base.c - GUIDs, base64url, UTF-8, escaping, little-endian integers */
#include "suite.h"

#include "base/b64.h"
#include "base/bytes.h"
#include "base/guid.h"
#include "base/log.h"
#include "base/utf8.h"

START_TEST(guid)
{
	static const char *const words[] = { "wildcard", "broadcast",
					     "children", "loopback", "parent",
					     "silohost" };
	char text[GUID_TEXT_SIZE], part[GUID_TEXT_SIZE];
	uint32_t port;
	GUID g, h;

	for (size_t i = 0; i < 6; i++) {
		ck_assert(guid_special_parse(words[i], &g));
		ck_assert_str_eq(guid_special_name(&g), words[i]);
		ck_assert_int_eq(guid_parse(guid_format(&g, text), &h), 0);
		ck_assert(guid_equal(&g, &h));
	}
	ck_assert(guid_special_parse("PaReNt", &g));
	ck_assert(!guid_special_parse("host", &g));
	ck_assert(!guid_special_parse("", &g));
	ck_assert_ptr_null(guid_special_name(&guid_vsock_template));
	/* every shorter piece is refused, and its end is not passed */
	guid_format(&guid_children, text);
	for (size_t n = 0; n < 36; n++) {
		char *p = exact(text, n);

		h = guid_parent;
		ck_assert_int_eq(guid_parse_n(p, n, &h), -EINVAL);
		ck_assert(guid_equal(&h, &guid_parent));
		free(p);
	}
	/* every other character in each place is refused */
	for (size_t i = 0; i < 36; i++) {
		memcpy(part, text, sizeof(part));
		part[i] = 'x';
		ck_assert_int_eq(guid_parse(part, &h), -EINVAL);
	}
	ck_assert(guid_is_zero(&guid_zero));
	ck_assert(!guid_is_zero(&guid_parent));
	g = guid_from_port(0xfffffffe);
	ck_assert(guid_is_port(&g, &port));
	ck_assert_uint_eq(port, 0xfffffffe);
	g.Data4[7] ^= 1;
	ck_assert(!guid_is_port(&g, &port));
	ck_assert_int_eq(guid_random(&g), 0);
	ck_assert_int_eq(guid_random(&h), 0);
	ck_assert(!guid_equal(&g, &h));
}
END_TEST

START_TEST(b64)
{
	static const struct {
		const char *data, *text;
		size_t len;
	} table[] = { /* RFC 4648, section 10, without padding */
		      { "", "", 0 }, { "f", "Zg", 1 }, { "fo", "Zm8", 2 },
		      { "foo", "Zm9v", 3 }, { "foob", "Zm9vYg", 4 },
		      { "fooba", "Zm9vYmE", 5 }, { "foobar", "Zm9vYmFy", 6 },
		      { "\xff\xef\xbe", "_---", 3 } };
	uint8_t data[64], back[64];
	char text[B64_SIZE(64)];

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		size_t n = b64_encode((const uint8_t *)table[i].data,
				      table[i].len, text);

		ck_assert_str_eq(text, table[i].text);
		ck_assert_uint_eq(n, strlen(text));
		ck_assert_uint_eq(n + 1, B64_SIZE(table[i].len));
	}
	for (size_t len = 0; len <= 64; len++) {
		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)(i * 37 + len);
		size_t n = b64_encode(data, len, text);

		ck_assert_int_eq(b64_decode(text, n, back, len), 0);
		ck_assert_mem_eq(back, data, len);
		ck_assert_int_eq(b64_decode(text, n + 1, back, len), -EINVAL);
		if (n)
			ck_assert_int_eq(b64_decode(text, n - 1, back, len),
					 -EINVAL);
	}
	/* one spelling only */
	ck_assert_int_eq(b64_decode("Zg", 2, back, 1), 0);
	ck_assert_int_eq(b64_decode("Zh", 2, back, 1), -EINVAL);
	ck_assert_int_eq(b64_decode("Zm9", 3, back, 2), -EINVAL);
	ck_assert_int_eq(b64_decode("Z=", 2, back, 1), -EINVAL);
	ck_assert_int_eq(b64_decode("Z+", 2, back, 1), -EINVAL);
	ck_assert_int_eq(b64_decode("Z\xff", 2, back, 1), -EINVAL);
}
END_TEST

START_TEST(utf8)
{
	static const char *const good[] = { "", "a", "\xc2\x80", "\xdf\xbf",
					    "\xe0\xa0\x80", "\xed\x9f\xbf",
					    "\xee\x80\x80", "\xef\xbf\xbf",
					    "\xf0\x90\x80\x80",
					    "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80", "\xbf", "\xc0\x80",
					   "\xc1\xbf", "\xc2", "\xc2\x41",
					   "\xe0\x9f\xbf", "\xed\xa0\x80",
					   "\xed\xbf\xbf", "\xe2\x82",
					   "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80", "\xff", "\xfe",
					   "\xf8\x88\x80\x80\x80" };
	static const char *const controls[] = { "\x01", "\n", "\x7f", "\x1b[0m",
						"\xc2\x80", "\xc2\x9f" };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_msg(utf8_valid(good[i], strlen(good[i])), "%zu", i);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *p = exact(bad[i], strlen(bad[i]));

		ck_assert_msg(!utf8_valid(p, strlen(bad[i])), "%zu", i);
		ck_assert(!utf8_printable(p, strlen(bad[i])));
		free(p);
	}
	for (size_t i = 0; i < ARRAY_LEN(controls); i++)
		ck_assert(!utf8_printable(controls[i], strlen(controls[i])));
	ck_assert(!utf8_printable("a\0b", 3));
	ck_assert(utf8_printable("\xc2\xa0 \xc3\xa4", 5));
}
END_TEST

START_TEST(escape)
{
	static const struct {
		const char *in, *out;
	} table[] = { { "plain", "plain" }, { "a\nb", "a\\x0ab" },
		      { "\x1b[31m", "\\x1b[31m" }, { "\xff", "\\xff" },
		      { "\xc3\xa4", "\xc3\xa4" }, { "\xc2\x85", "\\xc2\\x85" },
		      { "\xc3", "\\xc3" } };
	char out[64], in[300], *p;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		ck_assert_str_eq(log_escape(table[i].in, strlen(table[i].in),
					    out, sizeof(out)), table[i].out);
	ck_assert_str_eq(log_escape("a\0b", 3, out, sizeof(out)), "a\\x00b");
	/* cut, but never past the end, whatever stands at the cut */
	for (size_t size = 4; size < 40; size++) {
		for (int kind = 0; kind < 3; kind++) {
			for (size_t i = 0; i < sizeof(in); i++)
				in[i] = kind == 0 ? 'x' :
					kind == 1 ? '\x01' :
					i % 2	  ? '\xa4' : '\xc3';
			p = malloc(size);
			ck_assert_ptr_nonnull(p);
			log_escape(in, sizeof(in), p, size);
			ck_assert_uint_lt(strlen(p), size);
			ck_assert_ptr_nonnull(strstr(p, "..."));
			ck_assert(utf8_valid(p, strlen(p)));
			free(p);
		}
	}
}
END_TEST

START_TEST(integers)
{
	uint8_t b[8];

	le16_put(b, 0xa1b2);
	ck_assert_mem_eq(b, "\xb2\xa1", 2);
	ck_assert_uint_eq(le16_get(b), 0xa1b2);
	le32_put(b, 0xa1b2c3d4);
	ck_assert_mem_eq(b, "\xd4\xc3\xb2\xa1", 4);
	ck_assert_uint_eq(le32_get(b), 0xa1b2c3d4);
	le64_put(b, 0xa1b2c3d4e5f60718u);
	ck_assert_mem_eq(b, "\x18\x07\xf6\xe5\xd4\xc3\xb2\xa1", 8);
	ck_assert(le64_get(b) == 0xa1b2c3d4e5f60718u);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, guid);
	tcase_add_test(t, b64);
	tcase_add_test(t, utf8);
	tcase_add_test(t, escape);
	tcase_add_test(t, integers);
}

int main(void)
{
	return run_suite("base", fill);
}
