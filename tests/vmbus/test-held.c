/* SPDX-License-Identifier: MIT */
/* test-held.c - an embedder that looks itself, and a guest that need not ring
 */
#include <check.h>
#include <string.h>

#include "rig.h"

static char buf[65536];

/* The guest sends @len. Return: how often it rang. */
static uint64_t sends(struct rig *r, struct rig_flow *f, size_t len)
{
	uint64_t before = r->g->signals;

	ck_assert_int_eq(vg_send(f->v, buf, len), (ssize_t)len);
	return r->g->signals - before;
}

static void takes(struct rig_flow *f, ssize_t len)
{
	struct iovec iov[8];
	unsigned int n;

	ck_assert_int_eq(vmbh_sock_peek(f->s, iov, 8, &n), len);
	vmbh_sock_consume(f->s, (size_t)len);
}

START_TEST(test_reading)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_connect_guest(r, 0);

	f->host_stalls = true;
	ck_assert(!vmbh_sock_pending(f->s));
	vmbh_sock_hold(f->s);
	ck_assert_uint_eq(sends(r, f, 100), 1); /* it was not asked not to */
	ck_assert(vmbh_sock_pending(f->s));
	takes(f, 100);
	takes(f, 0);
	for (int i = 0; i < 5; i++) {
		ck_assert(!vmbh_sock_pending(f->s));
		ck_assert_uint_eq(sends(r, f, 100), 0);
		ck_assert(vmbh_sock_pending(f->s));
		takes(f, 100);
		takes(f, 0);
	}
	/* let go, it rings */
	ck_assert(!vmbh_sock_release(f->s));
	ck_assert_uint_eq(sends(r, f, 100), 1);
	takes(f, 100);
	takes(f, 0);
	ck_assert_uint_eq(sends(r, f, 100), 1);
	/* and what came before is told */
	vmbh_sock_hold(f->s);
	takes(f, 100);
	takes(f, 0);
	ck_assert_uint_eq(sends(r, f, 100), 0);
	ck_assert(vmbh_sock_release(f->s));
	takes(f, 100);
	/* the guest's FIN too */
	vmbh_sock_hold(f->s);
	takes(f, 0);
	vg_shutdown(f->v);
	ck_assert(vmbh_sock_release(f->s));
	takes(f, 0);
	ck_assert(vmbh_sock_eof(f->s));
	ck_assert(!vmbh_sock_pending(f->s));
	ck_assert(!vmbh_sock_release(f->s));
	rig_free(r);
}
END_TEST

/* Fill the ring to the guest. Return: bytes. */
static ssize_t fills(struct rig_flow *f)
{
	struct iovec iov[16];
	ssize_t n, sent = 0;
	unsigned int k;

	while ((n = vmbh_sock_room(f->s, iov, 16, &k, 0)) > 0) {
		for (unsigned int i = 0; i < k; i++)
			memset(iov[i].iov_base, 0, iov[i].iov_len);
		vmbh_sock_produce(f->s, (size_t)n);
		sent += n;
	}
	return sent;
}

static uint32_t asked_for(const struct rig_flow *f)
{
	return f->v->chan->in.control[3];
}

START_TEST(test_writing)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_connect_guest(r, 0);
	uint64_t rung = r->g->signals;
	ssize_t n;

	f->host_stalls = f->guest_stalls = true;
	vmbh_sock_hold(f->s);
	n = fills(f);
	ck_assert_int_gt(n, 20000);
	ck_assert_uint_eq(asked_for(f), 0);
	ck_assert(!vmbh_sock_pending(f->s));
	ck_assert_int_eq(vg_recv(f->v, buf, sizeof(buf)), n);
	ck_assert_uint_eq(r->g->signals, rung);
	ck_assert(vmbh_sock_pending(f->s));
	ck_assert_int_gt(fills(f), 0);
	/* full again, and let go: the guest rings */
	ck_assert(!vmbh_sock_release(f->s));
	ck_assert_uint_gt(asked_for(f), 0);
	ck_assert_int_gt(vg_recv(f->v, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(r->g->signals, rung + 1);
	/* what was read before is told */
	vmbh_sock_hold(f->s);
	ck_assert_int_gt(fills(f), 0);
	ck_assert_int_gt(vg_recv(f->v, buf, sizeof(buf)), 0);
	ck_assert(vmbh_sock_release(f->s));
	ck_assert_uint_eq(asked_for(f), 0);
	/* FIN has nobody to look for it */
	vmbh_sock_hold(f->s);
	ck_assert_int_gt(fills(f), 0);
	vmbh_sock_shutdown(f->s);
	ck_assert(!vmbh_sock_fin_sent(f->s));
	ck_assert_int_gt(vg_recv(f->v, buf, sizeof(buf)), 0);
	ck_assert(vmbh_sock_fin_sent(f->s));
	rig_free(r);
}
END_TEST

static void says(const struct rig_flow *f, const char *what)
{
	char text[512];

	ck_assert_int_lt(vmbh_sock_describe(f->s, text, sizeof(text)),
			 sizeof(text));
	ck_assert_msg(strstr(text, what), "not \"%s\" in \"%s\"", what, text);
}

START_TEST(test_described)
{
	struct rig *r = rig_new_loaded(NULL, 5);
	struct rig_flow *f = rig_connect_guest(r, 0);
	char few[8];

	f->host_stalls = f->guest_stalls = true;
	says(f, "open; from the guest 0..0 mask 0 pending 4120, read to 0, "
		"checked to 0; to the guest 0..0");
	ck_assert_int_eq(vg_send(f->v, buf, 100), 100);
	/* 32 bytes more, in eights */
	says(f,
	     "from the guest 0..136 mask 0 pending 4120, read to 0, checked to "
	     "0;");
	vmbh_sock_hold(f->s);
	takes(f, 100);
	takes(f, 0);
	says(f, "from the guest 136..136 mask 1 ");
	says(f, "checked to 136, masked, held;");
	ck_assert_int_gt(fills(f), 0);
	says(f, "open, waits for room;");
	vg_shutdown(f->v);
	takes(f, 0);
	says(f, ", FIN;");
	ck_assert_int_gt(vmbh_sock_describe(f->s, few, sizeof(few)), 8);
	ck_assert_str_eq(few, "channel");
	rig_free(r);
}
END_TEST

static void fill(void *c)
{
	tcase_add_test(c, test_described);
	tcase_add_test(c, test_reading);
	tcase_add_test(c, test_writing);
}

int main(void)
{
	return rig_suite("vmbus-held", fill, 60);
}
