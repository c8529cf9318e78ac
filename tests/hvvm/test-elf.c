/* SPDX-License-Identifier: MIT */
/*
 * test-elf.c - what is read of ELF files, of good and of hostile ones, and the
 * libraries that a program brings along
 *
 * Hostile ones are in memory that ends exactly behind them, so that a build
 * with AddressSanitizer sees every byte that is read too many.
 */
#include "../unit/suite.h"
#include "hvvm/exec/elf-file.h"
#include "hvvm/exec/file.h"
#include "hvvm/exec/libraries.h"
#include "elf-maker.h"

static const char info[] = "license=MIT\0vermagic=6.1.0 SMP\0depends=a,b\0"
			   "alias=x\0alias=y\0dependsnot=1";

START_TEST(words_of_modinfo)
{
	uint8_t f[1024];
	size_t len = elf_make(f, info, sizeof(info));

	ck_assert(elf_is(f, len));
	ck_assert_str_eq(elf_modinfo(f, len, "depends", 0), "a,b");
	ck_assert_str_eq(elf_modinfo(f, len, "vermagic", 0), "6.1.0 SMP");
	ck_assert_str_eq(elf_modinfo(f, len, "alias", 1), "y");
	ck_assert_ptr_null(elf_modinfo(f, len, "alias", 2));
	ck_assert_ptr_null(elf_modinfo(f, len, "licens", 0));
}
END_TEST

START_TEST(modinfo_whose_last_word_has_no_end)
{
	uint8_t f[1024];
	size_t len = elf_make(f, "a=1\0b=2", 7); /* without the zero */

	ck_assert_str_eq(elf_modinfo(f, len, "a", 0), "1");
	ck_assert_ptr_null(elf_modinfo(f, len, "b", 0));
}
END_TEST

/* Every length, and every byte at its extremes. */
START_TEST(hostile_modules)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	uint8_t f[1024], *copy;
	size_t len = elf_make(f, info, sizeof(info));

	for (size_t n = 0; n <= len; n++) {
		copy = exact(f, n);
		(void)elf_modinfo(copy, n, "depends", 0);
		free(copy);
	}
	for (size_t i = 0; i < len; i++)
		for (size_t k = 0; k < sizeof(values); k++) {
			copy = exact(f, len);
			copy[i] = values[k];
			(void)elf_modinfo(copy, len, "depends", 5);
			free(copy);
		}
}
END_TEST

static uint8_t *self(size_t *ret_len)
{
	uint8_t *data;

	ck_assert_int_eq(file_read("/proc/self/exe", &data, ret_len), 0);
	return data;
}

static struct elf_program program;

START_TEST(libraries_of_a_program)
{
	size_t len;
	uint8_t *data = self(&len);
	bool libc = false;

	ck_assert_int_eq(elf_program(data, len, &program), 0);
	ck_assert_ptr_nonnull(program.interpreter);
	ck_assert_int_eq(program.interpreter[0], '/');
	for (unsigned int i = 0; i < program.count; i++)
		libc = libc || strncmp(program.needed[i], "libc.", 5) == 0;
	ck_assert(libc);
	free(data);
}
END_TEST

START_TEST(what_is_no_program)
{
	static const char script[] = "#!/bin/sh\nexit 0\n"
				     "# and some more, to be long enough .....";

	ck_assert_int_eq(
		elf_program((const uint8_t *)script, sizeof(script), &program),
		-ENOEXEC);
	ck_assert_int_eq(elf_program((const uint8_t *)"", 0, &program),
			 -ENOEXEC);
}
END_TEST

/* Headers and dynamic section changed at random, from a fixed seed. */
START_TEST(hostile_programs)
{
	size_t len, head = 64 + 16 * sizeof(Elf64_Phdr);
	uint8_t *data = self(&len);
	uint64_t x = 0x9e3779b97f4a7c15ull, at = 0, size = 0;
	Elf64_Ehdr h;
	Elf64_Phdr p;
	int refused = 0;

	memcpy(&h, data, sizeof(h));
	for (unsigned int i = 0; i < h.e_phnum; i++) {
		memcpy(&p, data + h.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_DYNAMIC) {
			at = p.p_offset;
			size = p.p_filesz;
		}
	}
	ck_assert_uint_gt(size, 0);
	for (int round = 0; round < 20000; round++) {
		uint8_t kept[4];
		size_t where[4];

		for (int i = 0; i < 4; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			where[i] =
				x & 1 ? (x >> 8) % head : at + (x >> 8) % size;
			kept[i] = data[where[i]];
			data[where[i]] = (uint8_t)(x >> 56);
		}
		refused += elf_program(data, len, &program) < 0;
		for (int i = 3; i >= 0; i--)
			data[where[i]] = kept[i];
	}
	ck_assert_int_gt(refused, 0);
	ck_assert_int_eq(elf_program(data, len, &program), 0);
	for (size_t n = 0; n < len; n += n < 4096 ? 1 : len / 50 + 1) {
		uint8_t *copy = exact(data, n);

		(void)elf_program(copy, n, &program);
		free(copy);
	}
	free(data);
}
END_TEST

/* The archive's names, wherever they are in it. */
static bool packed(struct cpio *c, const char *name)
{
	/* what is there already is not packed again */
	return cpio_data(c, name, 0644, "", 0) == 1;
}

START_TEST(libraries_into_an_archive)
{
	struct libraries l;
	struct cpio c;
	size_t len;
	uint8_t *data = self(&len);

	ck_assert_int_eq(elf_program(data, len, &program), 0);
	ck_assert_int_eq(cpio_new(&c), 0);
	ck_assert_int_eq(libraries_open(&l, &c, NULL), 0);
	ck_assert_int_eq(libraries_of(&l, "/proc/self/exe"), 0);
	ck_assert(packed(&c, program.interpreter));
	ck_assert(!packed(&c, "/lib/nosuch"));
	ck_assert_int_eq(libraries_of(&l, "/proc/self/exe"), 0);
	ck_assert_int_eq(libraries_of(&l, "/proc/self/maps"), 0);
	libraries_close(&l);
	cpio_free(&c);
	free(data);
}
END_TEST

START_TEST(a_library_that_is_missing)
{
	static const char *const nowhere[] = { "/proc/self", NULL };
	struct libraries l;
	struct cpio c;

	ck_assert_int_eq(cpio_new(&c), 0);
	ck_assert_int_eq(libraries_open(&l, &c, nowhere), 0);
	ck_assert_int_eq(libraries_of(&l, "/proc/self/exe"), -ENOENT);
	libraries_close(&l);
	cpio_free(&c);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, words_of_modinfo);
	tcase_add_test(t, modinfo_whose_last_word_has_no_end);
	tcase_add_test(t, hostile_modules);
	tcase_add_test(t, libraries_of_a_program);
	tcase_add_test(t, what_is_no_program);
	tcase_add_test(t, hostile_programs);
	tcase_add_test(t, libraries_into_an_archive);
	tcase_add_test(t, a_library_that_is_missing);
}

int main(void)
{
	return run_suite("elf", fill);
}
