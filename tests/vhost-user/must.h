/* SPDX-License-Identifier: MIT */
/* must.h - an assertion for what is asserted for each byte or packet: Check
 * notes every one of its own that holds, with a system call */
#ifndef TEST_MUST_H
#define TEST_MUST_H

#include <check.h>

#define must(cond)                                                            \
	do {                                                                  \
		if (!(cond))                                                  \
			ck_abort_msg("%s:%d: %s", __FILE__, __LINE__, #cond); \
	} while (0)

#endif /* TEST_MUST_H */
