/* SPDX-License-Identifier: MIT */
/* test-control.c - the control plane with a guest that behaves */
#include <check.h>
#include <stdlib.h>

#include "rig.h"

START_TEST(test_smoke)
{
	struct rig *r = rig_new_loaded(NULL, 1);
	struct rig_flow *f = rig_connect_guest(r, 0);

	ck_assert_ptr_nonnull(f);
	f->host.to_send = f->guest.to_send = 1000000;
	f->host.fin = f->guest.fin = true;
	f->host.woken = f->v->woken = true;
	rig_settle(r);
	ck_assert_uint_eq(f->host.got, 1000000);
	ck_assert_uint_eq(f->guest.got, 1000000);
	ck_assert(f->host.eof && f->guest.eof);
	rig_close_host(f);
	rig_settle(r);
	rig_close_guest(f);
	rig_settle(r);
	rig_pass(r, 20000);
	rig_check_clean(r);
	f = rig_connect_host(r);
	ck_assert_ptr_nonnull(f);
	f->host.to_send = f->guest.to_send = 1000000;
	f->host.fin = f->guest.fin = true;
	f->host.woken = f->v->woken = true;
	rig_settle(r);
	ck_assert_uint_eq(f->host.got, 1000000);
	ck_assert_uint_eq(f->guest.got, 1000000);
	rig_close_guest(f);
	rig_close_host(f);
	rig_settle(r);
	rig_check_clean(r);
	rig_free(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vmbus-control");
	TCase *c = tcase_create("control");
	SRunner *sr;
	int failed;

	tcase_set_timeout(c, 120);
	tcase_add_test(c, test_smoke);
	suite_add_tcase(s, c);
	sr = srunner_create(s);
	srunner_set_tap(sr, "-");
	srunner_run_all(sr, CK_SILENT);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
