/* SPDX-License-Identifier: MIT */
/*
 * test-clock.c - time synchronization with the guest's reference counter, which
 * the VMM tells by CLOCK
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/host-clock.h"
#include "vmbus/ic/services.h"
#include "vmm.h"

#define AHEAD 7700000000000ull /* of RAW: the counter of this guest's, 100 ns */
#define CLOSE 1000000u	       /* 100 ns: as far off as time may be */

/* The last time that the guest was told, and by which version. */
struct told {
	uint32_t version;
	unsigned int times;
	uint8_t flags;
	uint64_t wall, reference;
};

static const char *const timesync[] = { "--integration", "timesync", NULL };

static uint64_t counter(void)
{
	return AHEAD + host_clock_ns(CLOCK_MONOTONIC_RAW) / 100;
}

static int say_clock(struct vmm *v)
{
	struct vmbu_request r = { .type = VMBU_CLOCK };

	r.u.clock.raw = host_clock_ns(CLOCK_MONOTONIC_RAW);
	r.u.clock.reference = AHEAD + r.u.clock.raw / 100;
	return vmm_ask(v, &r, NULL, 0);
}

/* As Linux does: it takes the newest, and sends each packet back. */
static void packet(struct told *t, struct vg_chan *c, uint8_t *p, size_t len,
		   uint64_t transaction)
{
	struct icmsg m;

	must(icmsg_get(p, len, &m) == 0);
	p[25] = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	if (m.type == IC_NEGOTIATE) {
		uint8_t *body = p + IC_HEAD;
		uint32_t last = 2u + le16_get(body + 2) - 1;

		memcpy(body + 8, body + 12, 4);
		memcpy(body + 12, body + 8 + 4 * last, 4);
		t->version = IC_VERSION(le16_get(body + 12),
					le16_get(body + 14));
		le16_put(body, 1);
		le16_put(body + 2, 1);
		le16_put(p + 18, 16);
		len = IC_HEAD + 16;
		le32_put(p + 4, (uint32_t)len - 8);
	} else {
		must(m.version == t->version && m.len >= 24);
		t->wall = le64_get(m.body);
		t->reference = le64_get(m.body + 8);
		t->flags = m.body[m.version == IC_VERSION(4, 0) ? 16 : 24];
		t->times++;
	}
	must(vg_chan_send(c, p, len, transaction) == 0);
}

static struct vg_chan *channel(struct vmm *v)
{
	return vg_chan_by_type(v->g, &ic_classes[IC_TIMESYNC].type);
}

static bool told(struct vmm *v, void *arg)
{
	static uint8_t in[IC_PACKET_MAX];
	struct vg_chan *c = channel(v);
	struct told *t = arg;
	uint64_t transaction;
	ssize_t n;

	if (c && c->state == VG_OFFERED)
		vg_chan_open(c, 5, 5);
	if (!c || c->state != VG_OPEN)
		return false;
	while ((n = vg_chan_recv(c, in, sizeof(in), &transaction)) > 0)
		packet(t, c, in, (size_t)n, transaction);
	return t->times;
}

/* Tells what it was told next, after an agreement. */
static struct told next(struct vmm *v)
{
	struct told t = { 0 };

	vmm_wait(v, told, &t, "a time");
	return t;
}

/* What the guest's clock is, whenever it looks. */
static void check_referenced(const struct told *t)
{
	uint64_t now = host_clock_read().wall;
	uint64_t guest = t->wall + (counter() - t->reference);

	ck_assert_uint_eq(t->version, IC_VERSION(4, 0));
	ck_assert_uint_eq(t->flags, TIMESYNC_SYNC);
	ck_assert_uint_lt(guest - now + CLOSE, 2 * CLOSE);
}

static void check_plain(const struct told *t)
{
	ck_assert_uint_eq(t->version, IC_VERSION(3, 0));
	ck_assert_uint_eq(t->flags, TIMESYNC_SYNC);
	ck_assert_uint_eq(t->reference, 0);
}

static struct vmm *machine(uint64_t features)
{
	struct vmbu_request r = { .type = VMBU_HELLO };
	struct vmm *v = vmm_new();

	vmm_launch(v, timesync);
	r.u.hello.lowest = r.u.hello.highest = 1;
	r.u.hello.features = features;
	vmm_must(v, &r, NULL, 0);
	ck_assert_uint_eq(v->reply.u.hello.features, features);
	vmm_machine(v);
	return v;
}

START_TEST(test_referenced)
{
	struct vmm *v = machine(VMBU_FEATURES);
	struct told t;

	ck_assert_int_eq(say_clock(v), 0);
	vg_load(v->g);
	t = next(v);
	check_referenced(&t);
	/* it may be told again */
	ck_assert_int_eq(say_clock(v), 0);
	vmm_end(v);
}
END_TEST

/* A VMM that does not know CLOCK, and one that does not tell it. */
START_TEST(test_plain)
{
	struct vmm *v = machine(_i ? VMBU_FEATURES
				   : VMBU_FEATURES & ~VMBU_FEATURE_CLOCK);
	struct told t;

	if (!_i)
		ck_assert_int_eq(say_clock(v), EINVAL);
	vg_load(v->g);
	t = next(v);
	check_plain(&t);
	vmm_end(v);
}
END_TEST

START_TEST(test_not_yet)
{
	struct vmbu_request r = { .type = VMBU_CLOCK };
	struct vmm *v = machine(VMBU_FEATURES);
	struct told t;

	r.u.clock.raw = host_clock_ns(CLOCK_MONOTONIC_RAW) + 3600000000000ull;
	ck_assert_int_eq(vmm_ask(v, &r, NULL, 0), ERANGE);
	vg_load(v->g);
	t = next(v);
	check_plain(&t);
	vmm_end(v);
}
END_TEST

/* Another machine's counter is not that of the one before. */
START_TEST(test_reset)
{
	struct vmbu_request r = { .type = VMBU_RESET };
	struct vmm *v = machine(VMBU_FEATURES);
	struct told t;

	for (int i = 0; i < 3; i++) {
		if (i != 1)
			ck_assert_int_eq(say_clock(v), 0);
		vg_load(v->g);
		t = next(v);
		if (i == 1)
			check_plain(&t);
		else
			check_referenced(&t);
		vmm_must(v, &r, NULL, 0);
		vmm_drop_doorbells(v);
		vg_reboot(v->g);
		for (uint32_t k = 0; k < VG_VPS; k++)
			vmm_synic(v, k, true);
	}
	vmm_end(v);
}
END_TEST

static bool broker_free(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.conn < 0;
}

/* To the next process, that may know it or not; each agrees anew, and sets the
 * guest's clock, which may have stood still. */
START_TEST(test_handed_over)
{
	struct vmm *v = machine(VMBU_FEATURES);
	struct told t;
	int status;

	ck_assert_int_eq(say_clock(v), 0);
	vg_load(v->g);
	t = next(v);
	check_referenced(&t);
	for (int i = 0; i < 4; i++) {
		bool handover = i < 2, known = i % 2;

		v->lost = true;
		vmm_save(v, handover);
		close(v->front);
		v->front = -1;
		status = vmm_reap(v);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		if (!handover)
			vmm_drop_doorbells(v);
		vmm_wait(v, broker_free, NULL, "the old one to go");
		v->b.nlive = 0;
		vmm_launch(v, timesync);
		vmm_introduce(v);
		if (known)
			ck_assert_int_eq(say_clock(v), 0);
		v->lost = true;
		ck_assert_int_eq(vmm_load(v, handover), 0);
		vmm_run(v);
		t = next(v);
		if (known)
			check_referenced(&t);
		else
			check_plain(&t);
	}
	vmm_end(v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("clock");

	tcase_add_test(t, test_referenced);
	tcase_add_loop_test(t, test_plain, 0, 2);
	tcase_add_test(t, test_not_yet);
	tcase_add_test(t, test_reset);
	tcase_add_test(t, test_handed_over);
	return vmm_main("vmbus-user clock", t);
}
