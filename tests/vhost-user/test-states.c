/* SPDX-License-Identifier: MIT */
/*
 * test-states.c - every op in every state of a connection
 *
 * The device alone, with host ends of its own. What the guest gets for one
 * packet is exact: one RST, one packet of another kind, or nothing; never RST
 * for an RST, and no two.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "rig.h"
#include "transport/vsock-device/vsock.h"

#define GUEST_PORT 1025u
#define HOST_PORT 5000u

static struct {
	struct vsock *v;
	struct vsock_conn *dialled;
	unsigned int dials, ended, refused, accepted, pushed;
	size_t held;
	bool eof;
} m;

static char end; /* a host end */

static int ops_dial(void *ctx, struct vsock_conn *c)
{
	(void)ctx;
	m.dials++;
	m.dialled = c;
	vsock_set_host(c, &end);
	return 0;
}

static void ops_answered(void *host, bool yes)
{
	must(host == &end);
	m.accepted += yes;
	m.refused += !yes;
}

static ssize_t ops_next(void *host)
{
	(void)host;
	return m.eof ? 0 : -EAGAIN;
}

static ssize_t ops_pull(void *host, const struct iovec *iov, unsigned int n)
{
	(void)host;
	(void)iov;
	(void)n;
	return m.eof ? 0 : -EAGAIN;
}

static size_t ops_waiting(void *host)
{
	(void)host;
	return 0;
}

static ssize_t ops_push(void *host, const struct iovec *iov, unsigned int n)
{
	size_t len = 0;

	(void)host;
	for (unsigned int i = 0; i < n; i++)
		len += iov[i].iov_len;
	m.pushed++;
	if (!m.held)
		return (ssize_t)len;
	m.held += len;
	return 0;
}

static ssize_t ops_flush(void *host)
{
	ssize_t n = (ssize_t)m.held;

	(void)host;
	m.held = 0;
	return n;
}

static size_t ops_held(void *host)
{
	(void)host;
	return m.held;
}

static void ops_shut(void *host, bool data, bool reading)
{
	(void)host;
	(void)data;
	(void)reading;
}

static void ops_ended(void *host, enum vsock_end why)
{
	must(host == &end);
	(void)why;
	m.ended++;
}

static void ops_wake(void *ctx)
{
	(void)ctx;
}

static const struct vsock_ops ops = {
	.dial = ops_dial,
	.answered = ops_answered,
	.next = ops_next,
	.pull = ops_pull,
	.waiting = ops_waiting,
	.push = ops_push,
	.flush = ops_flush,
	.held = ops_held,
	.shut = ops_shut,
	.ended = ops_ended,
	.wake = ops_wake,
};

static void from_guest(enum vsock_type type, unsigned int op, uint32_t flags,
		       uint32_t len)
{
	const struct vsock_header h = { .src_cid = 3,
					.dst_cid = 2,
					.src_port = GUEST_PORT,
					.dst_port = HOST_PORT,
					.len = len,
					.type = (uint16_t)type,
					.op = (uint16_t)op,
					.flags = flags,
					.buf_alloc = 262144 };
	uint8_t raw[VSOCK_HEADER + 100] = { 0 };
	const struct iovec iov = { raw, VSOCK_HEADER + len };

	must(len <= 100 && vsock_tx_ready(m.v));
	vsock_header_encode(&h, raw);
	vsock_tx(m.v, &iov, 1, VSOCK_HEADER + len);
	vsock_tx_end(m.v);
}

/* Everything for the guest. Return: packets; *@ret_op: of the last */
static unsigned int to_guest(unsigned int *ret_op, enum vsock_type type)
{
	uint8_t raw[VSOCK_HEADER + 100];
	const struct iovec iov = { raw, sizeof(raw) };
	unsigned int n = 0;
	struct vsock_header h;

	*ret_op = 0;
	while (vsock_rx_wanted(m.v)) {
		struct vsock_buf b = { .iov = &iov,
				       .n = 1,
				       .len = sizeof(raw) };

		if (!vsock_rx(m.v, &b, 1))
			break;
		vsock_header_decode(raw, &h);
		must(h.src_cid == 2 && h.dst_cid == 3);
		must(h.src_port == HOST_PORT && h.dst_port == GUEST_PORT);
		must(h.type == type);
		must(b.used == VSOCK_HEADER + h.len);
		*ret_op = h.op;
		n++;
	}
	return n;
}

/* ---- states */

enum state {
	NONE,
	DIALLING,
	UNSEEN, /* our REQUEST has not gone out */
	ASKED,
	OPEN,
	GUEST_DONE,   /* the guest sends no more */
	GUEST_DEAF,   /* the guest receives no more */
	HOST_DONE,    /* we have said that we send no more */
	HELD,	      /* a reader is slow */
	CLOSING,      /* we have said both */
	DEAD,	      /* our RST has not gone out */
	DRAINING,     /* the guest has closed, a reader is slow */
	STATES
};

static void reach(enum state s, enum vsock_type type)
{
	struct vsock_conn *c = NULL;
	unsigned int op;

	memset(&m, 0, sizeof(m));
	must(vsock_new(3, &ops, NULL, &m.v) == 0);
	vsock_set_seqpacket(m.v, true);
	vsock_time(m.v, 1000000);
	if (s == UNSEEN || s == ASKED) {
		must(vsock_open(m.v, type, VSOCK_CID_HOST, GUEST_PORT,
				HOST_PORT, &end, &c) == 0);
		if (s == ASKED)
			must(to_guest(&op, type) == 1);
		return;
	}
	if (s == NONE)
		return;
	from_guest(type, VSOCK_OP_REQUEST, 0, 0);
	c = m.dialled;
	if (s == DIALLING)
		return;
	vsock_accept(m.v, c);
	must(to_guest(&op, type) == 1 && op == VSOCK_OP_RESPONSE);
	if (s == GUEST_DONE)
		from_guest(type, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND, 0);
	if (s == GUEST_DEAF)
		from_guest(type, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_RCV, 0);
	if (s == HOST_DONE || s == CLOSING) {
		m.eof = true;
		vsock_readable(m.v, c);
	}
	if (s == CLOSING)
		vsock_unread(m.v, c);
	if (s == HELD || s == DRAINING) {
		m.held = 1;
		from_guest(type, VSOCK_OP_RW, VSOCK_SEQ_EOM, 10);
	}
	if (s == DRAINING)
		from_guest(type, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, 0);
	(void)to_guest(&op, type);
	if (s == DEAD)
		from_guest(type, 99, 0, 0);
	m.dials = m.ended = m.pushed = 0;
}

/* ---- what comes of it */

enum what {
	NIL,	/* nothing */
	RST,	/* one RST */
	DIAL,	/* a connect, no packet */
	CREDIT, /* CREDIT_UPDATE */
};

static const struct {
	const char *what;
	unsigned int op;
	uint32_t flags, len;
	enum what then[STATES];
} rows[] = {
	/* NONE, DIALLING, UNSEEN, ASKED, OPEN, GUEST_DONE, GUEST_DEAF,
	 * HOST_DONE, HELD, CLOSING, DEAD, DRAINING */
	{ "INVALID", VSOCK_OP_INVALID, 0, 0,
	  { RST, RST, RST, RST, RST, RST, RST, RST, RST, RST, RST, RST } },
	{ "REQUEST", VSOCK_OP_REQUEST, 0, 0,
	  { DIAL, DIAL, RST, RST, DIAL, DIAL, DIAL, DIAL, DIAL, DIAL, DIAL,
	    DIAL } },
	{ "RESPONSE", VSOCK_OP_RESPONSE, 0, 0,
	  { RST, RST, RST, NIL, RST, RST, RST, RST, RST, RST, RST, RST } },
	{ "RST", VSOCK_OP_RST, 0, 0,
	  { NIL, NIL, NIL, NIL, NIL, NIL, NIL, NIL, NIL, NIL, NIL, NIL } },
	{ "SHUTDOWN 0", VSOCK_OP_SHUTDOWN, 0, 0,
	  { RST, RST, RST, RST, NIL, NIL, NIL, NIL, NIL, NIL, RST, RST } },
	{ "SHUTDOWN 1", VSOCK_OP_SHUTDOWN, 1, 0,
	  { RST, RST, RST, RST, NIL, RST, NIL, NIL, NIL, NIL, RST, RST } },
	{ "SHUTDOWN 2", VSOCK_OP_SHUTDOWN, 2, 0,
	  { RST, RST, RST, RST, NIL, NIL, RST, NIL, NIL, NIL, RST, RST } },
	{ "SHUTDOWN 3", VSOCK_OP_SHUTDOWN, 3, 0,
	  { RST, RST, RST, RST, RST, RST, RST, RST, RST, RST, RST, RST } },
	{ "RW", VSOCK_OP_RW, VSOCK_SEQ_EOM, 10,
	  { RST, RST, RST, RST, NIL, RST, NIL, NIL, NIL, NIL, RST, RST } },
	{ "RW without the end", VSOCK_OP_RW, 0, 10,
	  { RST, RST, RST, RST, NIL, RST, NIL, NIL, NIL, NIL, RST, RST } },
	{ "RW, empty", VSOCK_OP_RW, VSOCK_SEQ_EOM, 0,
	  { RST, RST, RST, RST, NIL, RST, NIL, NIL, NIL, NIL, RST, RST } },
	{ "CREDIT_UPDATE", VSOCK_OP_CREDIT_UPDATE, 0, 0,
	  { RST, NIL, RST, NIL, NIL, NIL, NIL, NIL, NIL, NIL, RST, RST } },
	{ "CREDIT_REQUEST", VSOCK_OP_CREDIT_REQUEST, 0, 0,
	  { RST, NIL, RST, NIL, CREDIT, CREDIT, CREDIT, CREDIT, CREDIT, NIL,
	    RST, RST } },
	{ "op 8", 8, 0, 0,
	  { RST, RST, RST, RST, RST, RST, RST, RST, RST, RST, RST, RST } },
	{ "op 65535", 65535, 0xffffffff, 0,
	  { RST, RST, RST, RST, RST, RST, RST, RST, RST, RST, RST, RST } },
};

static void check_row(size_t i, enum state s, enum vsock_type type)
{
	enum what then = rows[i].then[s];
	unsigned int op, n, had, dials;

	reach(s, type);
	had = s != NONE && s != DRAINING;
	dials = m.dials;
	from_guest(type, rows[i].op, rows[i].flags, rows[i].len);
	n = to_guest(&op, type);
	dials = m.dials - dials;
	/* a REQUEST of ours that the guest has yet to see, and does */
	if (s == UNSEEN && rows[i].op == VSOCK_OP_RST) {
		ck_assert_msg(n == 1 && op == VSOCK_OP_REQUEST,
			      "our own REQUEST");
		n = 0;
	}
	ck_assert_msg(n == (then == RST || then == CREDIT),
		      "%s in state %d, type %d: %u packets", rows[i].what, s,
		      type, n);
	ck_assert_msg(!n || op == (then == RST ? VSOCK_OP_RST
					       : VSOCK_OP_CREDIT_UPDATE),
		      "%s in state %d, type %d: op %u", rows[i].what, s, type,
		      op);
	ck_assert_msg(dials == (then == DIAL), "%s in state %d: %u dials",
		      rows[i].what, s, dials);
	/* RST ends it */
	if (then == RST && had)
		ck_assert_msg(vsock_conn_count(m.v) <= (s == HELD),
			      "%s in state %d: it lives", rows[i].what, s);
	/* who had a host end was told, once */
	vsock_free(m.v);
	if (s == UNSEEN || s == ASKED)
		ck_assert_uint_eq(m.refused + m.accepted, 1);
	else if (s != DEAD && s != CLOSING)
		ck_assert_msg(m.ended == (s != NONE) + dials,
			      "%s in state %d: %u ends", rows[i].what, s,
			      m.ended);
}

START_TEST(test_op)
{
	for (int s = 0; s < STATES; s++) {
		check_row((size_t)_i, (enum state)s, VSOCK_STREAM);
		check_row((size_t)_i, (enum state)s, VSOCK_SEQPACKET);
	}
}
END_TEST

/* Of the other type: RST of that type, and it does not matter otherwise. */
START_TEST(test_other_type)
{
	unsigned int op, n;

	for (int s = DIALLING; s < STATES; s++) {
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			if (rows[i].op == VSOCK_OP_REQUEST)
				continue;
			reach((enum state)s, VSOCK_STREAM);
			if (s == UNSEEN || s == DEAD)
				(void)to_guest(&op, VSOCK_STREAM);
			from_guest(VSOCK_SEQPACKET, rows[i].op, rows[i].flags,
				   rows[i].len);
			n = to_guest(&op, VSOCK_SEQPACKET);
			ck_assert_uint_eq(n, rows[i].op != VSOCK_OP_RST);
			ck_assert(!n || op == VSOCK_OP_RST);
			ck_assert_uint_eq(m.ended + m.refused + m.pushed, 0);
			vsock_free(m.v);
		}
	}
}
END_TEST

/* As many packets as one likes that are answered: a flag, not a queue. */
START_TEST(test_credit_request_flood)
{
	unsigned int op;

	reach(OPEN, VSOCK_STREAM);
	for (int i = 0; i < 100000; i++)
		from_guest(VSOCK_STREAM, VSOCK_OP_CREDIT_REQUEST, 0, 0);
	ck_assert_uint_eq(to_guest(&op, VSOCK_STREAM), 1);
	ck_assert_uint_eq(op, VSOCK_OP_CREDIT_UPDATE);
	vsock_free(m.v);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-states");
	TCase *t = tcase_create("states");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_op, 0, (int)ARRAY_LEN(rows));
	tcase_add_test(t, test_other_type);
	tcase_add_test(t, test_credit_request_flood);
	suite_add_tcase(s, t);
	return rig_run(s);
}
