/* SPDX-License-Identifier: MIT */
/*
 * test-sibling.c - connections with partitions beside the guest's, which have
 * CIDs there
 *
 * The rig's own ends are the host's; a sibling's packets are seen first, by the
 * hook, and answered by hand.
 */
#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "rig.h"

#define SIBLING 7u
#define PORT 1025u
#define SERVICE 5000u

static struct seen {
	unsigned int n[8]; /* by op */
	struct vsock_header last[8];
	uint8_t bytes[64];
	uint32_t len;
} seen;

static bool on_packet(struct rig *r, const struct vsock_header *h,
		      const uint8_t *payload)
{
	(void)r;
	if (h->src_cid == 2 || h->op > 7)
		return false;
	seen.n[h->op]++;
	seen.last[h->op] = *h;
	if (h->op == VSOCK_OP_RW) {
		ck_assert_uint_le(seen.len + h->len, sizeof(seen.bytes));
		memcpy(seen.bytes + seen.len, payload, h->len);
		seen.len += h->len;
	}
	return true;
}

static struct rig *begin(void)
{
	struct rig *r = rig_start();

	memset(&seen, 0, sizeof(seen));
	r->hook = on_packet;
	return r;
}

static bool has_seen(struct rig *r, void *op)
{
	(void)r;
	return seen.n[*(unsigned int *)op];
}

static void wait_for(struct rig *r, unsigned int op)
{
	rig_wait(r, has_seen, &op, "a packet of the sibling's");
	ck_assert_uint_eq(seen.last[op].dst_cid, DRV_CID);
}

static bool both_open(struct rig *r, void *arg)
{
	(void)r;
	(void)arg;
	return seen.n[VSOCK_OP_RESPONSE] == 2;
}

static bool dialled(struct rig *r, void *n)
{
	return r->b.ndials == *(int *)n;
}

static void say(struct rig *r, uint64_t cid, uint32_t host_port,
		enum vsock_op op, const char *text)
{
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = cid,
				  .src_port = PORT,
				  .dst_port = host_port,
				  .type = VSOCK_STREAM,
				  .op = (uint16_t)op,
				  .buf_alloc = 262144,
				  .len = text ? (uint32_t)strlen(text) : 0 };

	rig_put(r, &h, text);
}

/* The guest dials, and the other end is a program's here. */
static int dial(struct rig *r, uint32_t cid)
{
	int one = 1;

	say(r, cid, SERVICE, VSOCK_OP_REQUEST, NULL);
	rig_wait(r, dialled, &one, "DIAL");
	ck_assert_uint_eq(r->b.dials[0].m.flags, DIAL_CID);
	ck_assert_uint_eq(dial_cid(&r->b.dials[0].m.vmid), cid);
	return fb_dial_accept(&r->b, 0, NULL);
}

static void program_reads(int fd, const char *text, struct rig *r)
{
	char buf[64];
	size_t n = 0;

	for (int i = 0; i < 1000 && n < strlen(text); i++) {
		ssize_t got = recv(fd, buf + n, sizeof(buf) - n, MSG_DONTWAIT);

		if (got > 0)
			n += (size_t)got;
		else
			rig_step(r, 10);
	}
	ck_assert_uint_eq(n, strlen(text));
	ck_assert_int_eq(memcmp(buf, text, n), 0);
}

/* The same ports, with the host and with two siblings: three connections. */
START_TEST(test_dial)
{
	struct rig *r = begin();
	struct vsock_header h;
	int one = 1, a, b;

	rig_connected(r, 0, PORT, SERVICE);
	a = dial(r, SIBLING);
	wait_for(r, VSOCK_OP_RESPONSE);
	h = seen.last[VSOCK_OP_RESPONSE];
	ck_assert_uint_eq(h.src_cid, SIBLING);
	ck_assert_uint_eq(h.src_port, SERVICE);
	ck_assert_uint_eq(h.dst_port, PORT);
	b = dial(r, SIBLING + 1);
	rig_wait(r, both_open, NULL, "the second one's RESPONSE");
	say(r, SIBLING, SERVICE, VSOCK_OP_RW, "to seven");
	say(r, SIBLING + 1, SERVICE, VSOCK_OP_RW, "to eight");
	program_reads(a, "to seven", r);
	program_reads(b, "to eight", r);
	ck_assert_int_eq(send(a, "from seven", 10, MSG_NOSIGNAL), 10);
	wait_for(r, VSOCK_OP_RW);
	ck_assert_uint_eq(seen.last[VSOCK_OP_RW].src_cid, SIBLING);
	ck_assert_uint_eq(seen.len, 10);
	ck_assert_int_eq(memcmp(seen.bytes, "from seven", 10), 0);
	r->guest[0].to_send = r->prog[0].to_send = 50000;
	rig_wait(r, rig_all_arrived, &one, "the host's bytes");
	/* the end of one is that of no other */
	close(a);
	wait_for(r, VSOCK_OP_SHUTDOWN);
	ck_assert_uint_eq(seen.last[VSOCK_OP_SHUTDOWN].src_cid, SIBLING);
	say(r, SIBLING, SERVICE, VSOCK_OP_RST, NULL);
	say(r, SIBLING + 1, SERVICE, VSOCK_OP_RW, "still");
	program_reads(b, "still", r);
	r->guest[0].to_send = r->prog[0].to_send = 60000;
	rig_wait(r, rig_all_arrived, &one, "more of the host's bytes");
	close(b);
	rig_end(r);
}
END_TEST

START_TEST(test_refused)
{
	struct rig *r = begin();
	int one = 1;

	say(r, SIBLING, SERVICE, VSOCK_OP_REQUEST, NULL);
	rig_wait(r, dialled, &one, "DIAL");
	fb_dial_refuse(&r->b, 0, HVS_REASON_CONNECT_DENIED);
	wait_for(r, VSOCK_OP_RST);
	ck_assert_uint_eq(seen.last[VSOCK_OP_RST].src_cid, SIBLING);
	ck_assert_uint_eq(seen.last[VSOCK_OP_RST].src_port, SERVICE);
	ck_assert_uint_eq(seen.n[VSOCK_OP_RESPONSE], 0);
	rig_end(r);
}
END_TEST

/* Revoked: the broker closes it, the guest sees a reset. */
START_TEST(test_closed)
{
	struct rig *r = begin();
	int fd = dial(r, SIBLING);
	char c;

	wait_for(r, VSOCK_OP_RESPONSE);
	fb_close(&r->b, r->b.next_token);
	wait_for(r, VSOCK_OP_RST);
	ck_assert_uint_eq(seen.last[VSOCK_OP_RST].src_cid, SIBLING);
	ck_assert_int_eq(recv(fd, &c, 1, 0), 0);
	close(fd);
	rig_end(r);
}
END_TEST

static bool opened(struct rig *r, void *o)
{
	return r->b.opens[*(int *)o].answered;
}

static bool told_live(struct rig *r, void *n)
{
	return r->b.nlive == *(int *)n;
}

/* A sibling dials the guest; and who has gone with whom is told to a broker
 * that comes later. */
START_TEST(test_open)
{
	struct rig *r = begin();
	struct vsock_header h;
	int o, fd, there, two = 2;
	bool dials = false, opens = false;

	r->b.open_cid = SIBLING;
	o = fb_open(&r->b, 22, 40000, false, 5000);
	wait_for(r, VSOCK_OP_REQUEST);
	h = seen.last[VSOCK_OP_REQUEST];
	ck_assert_uint_eq(h.src_cid, SIBLING);
	ck_assert_uint_eq(h.src_port, 40000);
	ck_assert_uint_eq(h.dst_port, 22);
	h = (struct vsock_header){ .src_cid = DRV_CID, .dst_cid = SIBLING,
				   .src_port = 22, .dst_port = 40000,
				   .type = VSOCK_STREAM, .buf_alloc = 262144 };
	/* the same from the host is none of it */
	h.op = VSOCK_OP_RESPONSE;
	h.dst_cid = 2;
	rig_put(r, &h, NULL);
	rig_settle(r);
	ck_assert(!r->b.opens[o].answered);
	h.dst_cid = SIBLING;
	rig_put(r, &h, NULL);
	rig_wait(r, opened, &o, "the reply to OPEN");
	ck_assert_uint_eq(r->b.opens[o].error, 0);
	fd = fb_meet(&r->b, r->b.opens[o].token);
	ck_assert_int_eq(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
	wait_for(r, VSOCK_OP_RW);
	ck_assert_int_eq(memcmp(seen.bytes, "hello", 5), 0);

	there = dial(r, SIBLING);
	wait_for(r, VSOCK_OP_RESPONSE);
	fb_kill(&r->b);
	fb_start(&r->b, r->dir);
	rig_wait(r, told_live, &two, "LIVE");
	for (int i = 0; i < 2; i++) {
		const struct msg_live *l = &r->b.live[i];

		ck_assert(guid_equal(&l->partition, &fb_sibling));
		dials |= l->direction == 0;
		opens |= l->direction == 1;
	}
	ck_assert(dials && opens);
	close(there);
	close(fd);
	rig_end(r);
}
END_TEST

/* One that has the guest's own CID cannot be told from the guest. */
START_TEST(test_own_cid)
{
	struct rig *r = begin();
	int o;

	r->b.open_cid = DRV_CID;
	o = fb_open(&r->b, 22, 40000, false, 5000);
	rig_wait(r, opened, &o, "the reply to OPEN");
	ck_assert_uint_ne(r->b.opens[o].error, 0);
	ck_assert_ptr_nonnull(strstr(r->b.opens[o].text, "own CID"));
	ck_assert_uint_eq(r->packets, 0);
	rig_end(r);
}
END_TEST

/* Another process takes over: whose connection it is goes along. */
START_TEST(test_replaced)
{
	struct rig *r = begin();
	int fd = dial(r, SIBLING);

	wait_for(r, VSOCK_OP_RESPONSE);
	rig_replace(r);
	say(r, SIBLING, SERVICE, VSOCK_OP_RW, "after");
	program_reads(fd, "after", r);
	ck_assert_int_eq(send(fd, "all", 3, MSG_NOSIGNAL), 3);
	wait_for(r, VSOCK_OP_RW);
	ck_assert_uint_eq(seen.last[VSOCK_OP_RW].src_cid, SIBLING);
	close(fd);
	rig_end(r);
}
END_TEST

static bool attached(struct rig *r, void *arg)
{
	(void)arg;
	return r->b.attached && r->b.state;
}

/* A broker that knows of no siblings is not asked for any. */
START_TEST(test_older_broker)
{
	struct rig *r = begin();

	fb_kill(&r->b);
	r->b.unknown = ATTACH_CIDS;
	/* one that has waited for a broker */
	say(r, SIBLING, SERVICE, VSOCK_OP_REQUEST, NULL);
	rig_settle(r);
	ck_assert_uint_eq(seen.n[VSOCK_OP_RST], 0);
	fb_start(&r->b, r->dir);
	rig_wait(r, attached, NULL, "ATTACH");
	rig_settle(r);
	rig_settle(r);
	ck_assert_uint_eq(seen.n[VSOCK_OP_RST], 1);
	/* and one that comes now: at once, not when its time is over */
	say(r, SIBLING + 1, SERVICE, VSOCK_OP_REQUEST, NULL);
	rig_settle(r);
	ck_assert_uint_eq(seen.n[VSOCK_OP_RST], 2);
	ck_assert_uint_eq(seen.last[VSOCK_OP_RST].src_cid, SIBLING + 1);
	ck_assert_int_eq(r->b.ndials, 0);
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sibling");
	TCase *t = tcase_create("sibling");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_dial);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_closed);
	tcase_add_test(t, test_open);
	tcase_add_test(t, test_own_cid);
	tcase_add_test(t, test_replaced);
	tcase_add_test(t, test_older_broker);
	suite_add_tcase(s, t);
	return rig_run(s);
}
