/* SPDX-License-Identifier: MIT */
/* test-give-back.c - what has been relocated outlives giving back */
#include "suite.h"

#include <stdint.h>

#include "base/give-back.h"

/* a pointer among the instructions: linked with -z notext */
extern const uintptr_t in_text[] __attribute__((visibility("hidden")));
__asm__(".pushsection .text\n"
	".balign 16\n"
	"in_text: .dc.a pointed_to\n"
	".popsection\n");

int pointed_to(void);
int pointed_to(void)
{
	return 7;
}

static int (*const table[])(void) = { pointed_to }; /* RELRO */

START_TEST(relocated)
{
	give_back_memory();
	ck_assert_int_eq(((int (*volatile const *)(void))table)[0](), 7);
	ck_assert_uint_eq(*(const volatile uintptr_t *)in_text,
			  (uintptr_t)pointed_to);
	give_back_memory(); /* more than once */
	ck_assert_uint_eq(*(const volatile uintptr_t *)in_text,
			  (uintptr_t)pointed_to);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, relocated);
}

int main(void)
{
	return run_suite("give-back", fill);
}
