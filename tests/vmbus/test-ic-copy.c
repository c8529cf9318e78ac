/* SPDX-License-Identifier: MIT */
/* test-ic-copy.c - a file copied into the guest, and what can end that */
#include <check.h>
#include <errno.h>

#include "base/bytes.h"
#include "ic-guest.h"
#include "rig.h"

static unsigned int told;
static int told_error;

static const struct fcopy_file a_file = { "name", "/a/b", 7000, true, false };

static struct ig_packet *fcopy_take(struct ig *g, uint32_t op)
{
	struct ig_packet *p;

	ig_pass(g, 0);
	p = ig_take(g);
	ck_assert_int_eq(p->kind, IC_FCOPY);
	ck_assert_uint_eq(le32_get(p->data + IC_HEAD), op);
	ck_assert(ig_none(g));
	return p;
}

static void on_part(void *arg, const struct ic_answer *a)
{
	(void)arg;
	told++;
	told_error = a->error ? a->error : (int)a->status;
}

static struct ig *copying(void)
{
	struct ig *g = ig_new();

	ig_ready(g, IC_FCOPY);
	told = 0;
	ck_assert_int_eq(fcopy_start(&g->set.fcopy, &a_file, 7, 1000, on_part,
				     g),
			 0);
	return g;
}

static void cancelled(struct ig *g)
{
	ig_answer(g, fcopy_take(g, 3), 0);
	ck_assert(!g->set.fcopy.open);
	ig_pass(g, 3600 * IG_S);
	ck_assert(ig_none(g));
	ig_free(g);
}

START_TEST(test_copy)
{
	struct ig *g = copying();
	struct fcopy *f = &g->set.fcopy;
	struct ig_packet *p = fcopy_take(g, 0);
	static uint8_t data[7000];
	char text[10];

	ck_assert_uint_eq(ig_message(p).len, 1088);
	ck_assert_int_eq(utf16_get(p->data + IC_HEAD + 36, 8, text, 10), 4);
	ck_assert_str_eq(text, "name");
	ck_assert_int_eq(utf16_get(p->data + IC_HEAD + 36 + 520, 10, text, 10),
			 5);
	ck_assert_str_eq(text, "/a/b/");
	ck_assert_uint_eq(le32_get(p->data + IC_HEAD + 36 + 1040), 1);
	ck_assert_uint_eq(le64_get(p->data + IC_HEAD + 36 + 1044), 7000);
	ck_assert_int_eq(fcopy_write(f, 7, data, 1, 1000, on_part, g),
			 -EALREADY);
	ck_assert_int_eq(fcopy_start(f, &a_file, 8, 1000, on_part, g), -EBUSY);
	ig_answer(g, p, 0);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(fcopy_write(f, 8, data, 1, 1000, on_part, g), -ENOENT);
	ck_assert_int_eq(fcopy_write(f, 7, data, 6145, 1000, on_part, g),
			 -EMSGSIZE);
	ck_assert_int_eq(fcopy_write(f, 7, data, 6144, 1000, on_part, g), 0);
	ig_answer(g, fcopy_take(g, 1), 0);
	ck_assert_int_eq(fcopy_end(f, 7, 1000, on_part, g), -EMSGSIZE);
	ck_assert_int_eq(fcopy_write(f, 7, data, 857, 1000, on_part, g),
			 -EMSGSIZE);
	ck_assert_int_eq(fcopy_write(f, 7, data, 856, 1000, on_part, g), 0);
	p = fcopy_take(g, 1);
	ck_assert_uint_eq(le64_get(p->data + IC_HEAD + 40), 6144);
	ck_assert_uint_eq(le32_get(p->data + IC_HEAD + 48), 856);
	ig_answer(g, p, 0);
	ck_assert_int_eq(fcopy_end(f, 7, 1000, on_part, g), 0);
	ig_answer(g, fcopy_take(g, 2), 0);
	ck_assert(!f->open);
	ig_pass(g, 3600 * IG_S);
	ck_assert(ig_none(g));
	ig_free(g);
}
END_TEST

START_TEST(test_copy_cut_short)
{
	struct ig *g = copying();
	struct ig_packet *p = fcopy_take(g, 0);

	/* the caller goes, before the guest has answered and after */
	fcopy_leave(&g->set.fcopy, 8);
	fcopy_leave(&g->set.fcopy, 7);
	ig_pass(g, 0);
	ck_assert(ig_none(g));
	ig_answer(g, p, 0);
	cancelled(g);
	g = copying();
	ig_answer(g, fcopy_take(g, 0), 0);
	fcopy_leave(&g->set.fcopy, 0);
	cancelled(g);
	/* it is silent */
	g = copying();
	ig_answer(g, fcopy_take(g, 0), 0);
	ig_pass(g, 30 * IG_S);
	cancelled(g);
	/* the guest is, or has no room */
	g = copying();
	(void)fcopy_take(g, 0);
	ig_pass(g, 2 * IG_S);
	ck_assert_int_eq(told_error, -ETIMEDOUT);
	cancelled(g);
	g = copying();
	ig_answer(g, fcopy_take(g, 0), 0);
	ck_assert_int_eq(fcopy_write(&g->set.fcopy, 7, "x", 1, 1000, on_part,
				     g),
			 0);
	ig_answer(g, fcopy_take(g, 1), IC_DISK_FULL);
	ck_assert_int_eq(told_error, (int)IC_DISK_FULL);
	cancelled(g);
	/* what was never begun leaves nothing: a cancel might remove what
	 * was there */
	g = copying();
	p = fcopy_take(g, 0);
	fcopy_leave(&g->set.fcopy, 7);
	ig_answer(g, p, IC_EXISTS);
	ck_assert(!g->set.fcopy.open);
	ig_pass(g, 60 * IG_S);
	ck_assert(ig_none(g));
	ig_free(g);
	g = copying();
	ig_answer(g, fcopy_take(g, 0), IC_EXISTS);
	ck_assert(!g->set.fcopy.open);
	ig_pass(g, 60 * IG_S);
	ck_assert(ig_none(g));
	ig_free(g);
	g = copying();
	ic_set_closed(&g->set, IC_FCOPY);
	ck_assert_int_eq(told_error, -ECONNRESET);
	ck_assert(!g->set.fcopy.open);
	ig_free(g);
}
END_TEST

/* The cancel does not get through: it is repeated, for a while, and nobody
 * begins another copy that it could meet. */
START_TEST(test_cancel_is_late)
{
	struct ig *g = copying();
	struct fcopy *f = &g->set.fcopy;

	ig_answer(g, fcopy_take(g, 0), 0);
	g->send_error = -EAGAIN;
	fcopy_leave(f, 7);
	ig_pass(g, 100 * IG_S);
	ck_assert(ig_none(g));
	ck_assert_int_eq(fcopy_start(f, &a_file, 8, 1000, on_part, g), -EBUSY);
	g->send_error = 0;
	ic_set_writable(&g->set, IC_FCOPY);
	ig_answer(g, fcopy_take(g, 3), 0);
	ck_assert_int_eq(fcopy_start(f, &a_file, 8, 1000, on_part, g), 0);
	ig_answer(g, fcopy_take(g, 0), 0);
	/* sent, and not answered */
	ck_assert_int_eq(fcopy_cancel(f, 8), 0);
	(void)fcopy_take(g, 3);
	ig_pass(g, 31 * IG_S);
	(void)fcopy_take(g, 3);
	ck_assert_int_eq(fcopy_start(f, &a_file, 8, 1000, on_part, g), -EBUSY);
	/* a guest that begins anew has no part of it open */
	ic_set_closed(&g->set, IC_FCOPY);
	ig_ready(g, IC_FCOPY);
	ck_assert_int_eq(fcopy_start(f, &a_file, 8, 1000, on_part, g), 0);
	ig_answer(g, fcopy_take(g, 0), 0);
	/* but not for ever */
	ck_assert_int_eq(fcopy_cancel(f, 8), 0);
	for (unsigned int i = 0; i < FCOPY_CANCELS; i++) {
		(void)fcopy_take(g, 3);
		ig_pass(g, 31 * IG_S);
	}
	ck_assert(ig_none(g));
	ck_assert_int_eq(fcopy_start(f, &a_file, 8, 1000, on_part, g), 0);
	ig_free(g);
}
END_TEST

/* Linux's driver answers for a daemon that stands still, after 5 s or at once:
 * the file is there as before. */
START_TEST(test_cancel_is_refused)
{
	struct ig *g = copying();
	struct fcopy *f = &g->set.fcopy;

	ig_answer(g, fcopy_take(g, 0), 0);
	ck_assert_int_eq(fcopy_cancel(f, 7), 0);
	ck_assert(fcopy_busy(f)); /* it cannot be disabled */
	for (unsigned int i = 1; i < FCOPY_CANCELS; i++) {
		ig_answer(g, fcopy_take(g, 3), IC_FAIL);
		/* not at once, or all of them would be over at once */
		ig_pass(g, 20 * IG_S);
		ck_assert(ig_none(g));
		ck_assert_int_eq(fcopy_start(f, &a_file, 8, 1000, on_part, g),
				 -EBUSY);
		ig_pass(g, 11 * IG_S);
	}
	ig_answer(g, fcopy_take(g, 3), 0);
	ck_assert_int_eq(fcopy_start(f, &a_file, 8, 1000, on_part, g), 0);
	ig_answer(g, fcopy_take(g, 0), 0);
	/* but not for ever, and not for a guest that has begun anew */
	ck_assert_int_eq(fcopy_cancel(f, 8), 0);
	for (unsigned int i = 0; i < FCOPY_CANCELS; i++) {
		ig_answer(g, fcopy_take(g, 3), IC_FAIL);
		ig_pass(g, 31 * IG_S);
	}
	ck_assert(ig_none(g));
	ck_assert_int_eq(fcopy_start(f, &a_file, 8, 1000, on_part, g), 0);
	ig_answer(g, fcopy_take(g, 0), 0);
	ck_assert_int_eq(fcopy_cancel(f, 8), 0);
	ig_answer(g, fcopy_take(g, 3), IC_FAIL);
	ic_set_closed(&g->set, IC_FCOPY);
	ig_ready(g, IC_FCOPY);
	ig_pass(g, 3600 * IG_S);
	ck_assert(ig_none(g));
	ig_free(g);
}
END_TEST

START_TEST(test_names_of_copies)
{
	static const struct fcopy_file bad[] = {
		{ "", "/a", 0, 0, 0 },	      { "a/b", "/a", 0, 0, 0 },
		{ "..", "/a", 0, 0, 0 },      { ".", "/a", 0, 0, 0 },
		{ "a\nb", "/a", 0, 0, 0 },    { "a\\b", "/a", 0, 0, 0 },
		{ "a", "", 0, 0, 0 },	      { "a", "a/b", 0, 0, 0 },
		{ "a", "/a/../b", 0, 0, 0 },  { "a", "/..", 0, 0, 0 },
		{ "a", "/b\033[2J", 0, 0, 0 }, { "\xff", "/", 0, 0, 0 },
	};
	const struct fcopy_file good = { "..a", "/a/..b/.../c/", 0, 0, 0 };
	struct ig *g = ig_new();

	ig_ready(g, IC_FCOPY);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(fcopy_start(&g->set.fcopy, &bad[i], 1, 1000,
					     on_part, g),
				 -EINVAL);
	ck_assert_int_eq(fcopy_start(&g->set.fcopy, &good, 1, 1000, on_part, g),
			 0);
	ig_free(g);
}
END_TEST

static void fill(void *c)
{
	tcase_add_test(c, test_copy);
	tcase_add_test(c, test_copy_cut_short);
	tcase_add_test(c, test_cancel_is_late);
	tcase_add_test(c, test_cancel_is_refused);
	tcase_add_test(c, test_names_of_copies);
}

int main(void)
{
	return rig_suite("vmbus-ic-copy", fill, 60);
}
