/* SPDX-License-Identifier: MIT */
/* SMBIOS with OEM strings, read as a guest reads it; and what is in them. */
#include "../unit/suite.h"

#include "base/bytes.h"
#include "hvvm/credential.h"
#include "hvvm/smbios.h"

static uint8_t area[SMBIOS_SIZE];

static const uint8_t *at(uint64_t gpa)
{
	ck_assert_uint_ge(gpa, SMBIOS_BASE);
	ck_assert_uint_lt(gpa, SMBIOS_BASE + SMBIOS_SIZE);
	return area + (gpa - SMBIOS_BASE);
}

/* As drivers/firmware/dmi_scan.c: the entry point, then structure after
 * structure. Return: the OEM strings' bytes; checks all else. */
static const char *walk(int used, uint8_t *ret_count)
{
	const uint8_t *p, *end;
	const char *strings;
	uint8_t sum = 0;

	ck_assert_mem_eq(area, "_SM3_", 5);
	ck_assert_uint_ge(area[6], 24);
	ck_assert_uint_le(area[6], 32);
	for (unsigned int i = 0; i < area[6]; i++)
		sum = (uint8_t)(sum + area[i]);
	ck_assert_uint_eq(sum, 0);
	p = at(le64_get(area + 16));
	end = p + le32_get(area + 12);
	ck_assert_ptr_eq(end, area + used);
	ck_assert_uint_eq(p[0], 11);
	ck_assert_uint_eq(p[1], 5);
	*ret_count = p[4];
	strings = (const char *)p + p[1];
	p += p[1];
	while (p[0] || p[1])
		p++;
	p += 2;
	ck_assert_uint_eq(p[0], 127);
	ck_assert_uint_eq(p[1], 4);
	ck_assert_uint_ne(le16_get(p + 2), 0); /* each its handle */
	ck_assert_uint_eq(p[4] + p[5], 0);
	ck_assert_ptr_eq(p + 6, end);
	return strings;
}

START_TEST(strings)
{
	char one[] = "first", two[] = "io.x:y=z";
	char *both[] = { one, two };
	const char *s;
	uint8_t n;

	s = walk(smbios_write(both, 2, area), &n);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(s, one);
	ck_assert_str_eq(s + strlen(one) + 1, two);
	s = walk(smbios_write(both, 1, area), &n);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(s, one);
	ck_assert_str_eq(s + strlen(one) + 1, "");
}
END_TEST

START_TEST(bounds)
{
	static char long_[SMBIOS_SIZE], x[] = "x", empty[] = "";
	char *many[SMBIOS_STRINGS_MAX + 1], *one[] = { long_ };
	char *with_empty[] = { x, empty };
	uint8_t n;
	int r;

	for (unsigned int i = 0; i <= SMBIOS_STRINGS_MAX; i++)
		many[i] = x;
	ck_assert_int_eq(smbios_write(many, 0, area), -EINVAL);
	ck_assert_int_eq(smbios_write(many, 256, area), -EINVAL);
	ck_assert_int_eq(smbios_write(with_empty, 2, area), -EINVAL);
	walk(smbios_write(many, 255, area), &n);
	ck_assert_uint_eq(n, 255);
	/* the longest that fits, and a byte more */
	memset(long_, 'x', sizeof(long_) - 1);
	ck_assert_int_eq(smbios_write(one, 1, area), -ENOSPC);
	for (size_t len = sizeof(long_) - 1;; len--) {
		long_[len] = '\0';
		r = smbios_write(one, 1, area);
		if (r > 0)
			break;
	}
	ck_assert_int_eq(r, SMBIOS_SIZE);
	walk(r, &n);
	ck_assert_uint_eq(n, 1);
}
END_TEST

static void takes(const char *arg, size_t name_len, const char *file,
		  const char *value)
{
	const char *f, *v, *why;
	size_t n;

	ck_assert_int_eq(credential_parse(arg, &n, &f, &v, &why), 0);
	ck_assert_uint_eq(n, name_len);
	ck_assert_pstr_eq(f, file);
	ck_assert_pstr_eq(v, value);
}

static void refuses(const char *arg, const char *text)
{
	const char *f, *v, *why;
	size_t n;

	ck_assert_int_eq(credential_parse(arg, &n, &f, &v, &why), -EINVAL);
	ck_assert_msg(strstr(why, text), "%s: %s", arg, why);
}

START_TEST(words)
{
	char name[300] = "";

	takes("a=b", 1, NULL, "b");
	takes("a.b=", 3, NULL, "");
	takes("a=b:c=d", 1, NULL, "b:c=d");
	takes("a:b=c", 1, "b=c", NULL);
	takes(CREDENTIAL_NOTIFY, strlen("vmm.notify_socket"), NULL,
	      "vsock-stream:2:26743");
	refuses("", "NAME=VALUE");
	refuses("name", "NAME=VALUE");
	refuses("=b", "1 to 255");
	refuses("a:", "file's name");
	refuses("../a=b", "that a file could have");
	refuses("..=b", "that a file could have");
	refuses(".=b", "that a file could have");
	refuses("a\nb=c", "that a file could have");
	memset(name, 'n', 256);
	strcpy(name + 256, "=x");
	refuses(name, "1 to 255");
	takes(name + 1, 255, NULL, "x");
}
END_TEST

static void makes(const char *name, size_t name_len, const void *value,
		  size_t len, const char *want)
{
	char *s = credential_string(name, name_len, value, len);

	ck_assert_str_eq(s, want);
	free(s);
}

START_TEST(forms)
{
	makes("a.bc", 3, "v w", 3, "io.systemd.credential:a.b=v w");
	makes("a", 1, "", 0, "io.systemd.credential:a=");
	makes("a", 1, "x\n", 2, "io.systemd.credential.binary:a=eAo=");
	makes("a", 1, "\0\xff~", 3, "io.systemd.credential.binary:a=AP9+");
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, strings);
	tcase_add_test(t, bounds);
	tcase_add_test(t, words);
	tcase_add_test(t, forms);
}

int main(void)
{
	return run_suite("smbios", fill);
}
