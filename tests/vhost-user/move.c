/* SPDX-License-Identifier: MIT */
/* move.c - 4 MB each way through the program, for test-zero-copy.py */
#include <check.h>
#include <stdlib.h>

#include "rig.h"

#define BYTES 4000000u
/* So much fits in a socket's buffer: without back-pressure nothing is held. */
#define STEP 80000u

static bool arrived(struct rig *r, void *arg)
{
	(void)arg;
	return r->prog[0].received == r->guest[0].to_send &&
	       r->guest[0].received == r->prog[0].to_send;
}

START_TEST(test_move)
{
	struct rig *r = rig_start();

	rig_connected(r, 0, 1025, 5000);
	while (r->guest[0].to_send < BYTES) {
		r->guest[0].to_send += STEP;
		r->prog[0].to_send += STEP;
		rig_wait(r, arrived, NULL, "all bytes");
	}
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("move");
	TCase *t = tcase_create("move");

	tcase_set_timeout(t, 100);
	tcase_add_test(t, test_move);
	suite_add_tcase(s, t);
	return rig_run(s);
}
