/* SPDX-License-Identifier: MIT */
/*
 * test-units.c - rings, memory, credit: each alone, at the ends of its numbers
 */
#include <check.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "rig.h"
#include "transport/vhost-user/vring.h"
#include "transport/vsock-device/conn.h"

#define PAGE 4096u
#define UVA 0x10000u

/* ---- memory */

static int memory(size_t pages)
{
	int fd = memfd_create("units", MFD_CLOEXEC);

	must(fd >= 0 && ftruncate(fd, (off_t)(pages * PAGE)) == 0);
	return fd;
}

static void region(struct gmem *g, uint64_t gpa, uint64_t uva, int fd,
		   uint64_t offset, uint64_t size)
{
	const struct gmem_range r = {
		.gpa = gpa, .size = size, .uva = uva, .offset = offset
	};

	ck_assert_int_eq(gmem_add(g, &r, fd), 0);
}

static struct gmem *three_regions(void)
{
	struct gmem *g = calloc(1, sizeof(*g));
	int fd = memory(4);

	must(g);
	/* added out of order; the first two touch, in memory as in the file */
	region(g, 3 * PAGE, UVA + 3 * PAGE, fd, 2 * PAGE, PAGE);
	region(g, 2 * PAGE, UVA + 2 * PAGE, fd, 0, PAGE);
	region(g, 0u - (uint64_t)2 * PAGE, 0u - (uint64_t)2 * PAGE, fd, PAGE,
	       PAGE);
	close(fd);
	return g;
}

static const struct {
	const char *what;
	uint64_t at;
	size_t len;
	unsigned int max;
	int n; /* or -errno */
	size_t first;
} places[] = {
	{ "the start", 2 * PAGE, 1, 4, 1, 1 },
	{ "before it", 2 * PAGE - 1, 2, 4, -EFAULT, 0 },
	{ "the end of the first", 3 * PAGE - 1, 1, 4, 1, 1 },
	{ "across", 3 * PAGE - 1, 2, 4, 2, 1 },
	{ "across, without room", 3 * PAGE - 1, 2, 1, -E2BIG, 0 },
	{ "all of two", 2 * PAGE, 2 * PAGE, 4, 2, PAGE },
	{ "more than two", 2 * PAGE, 2 * PAGE + 1, 4, -EFAULT, 0 },
	{ "behind", 4 * PAGE, 1, 4, -EFAULT, 0 },
	{ "nothing", 4 * PAGE, 0, 4, 0, 0 },
	{ "0", 0, 1, 4, -EFAULT, 0 },
	{ "the last region", 0u - (uint64_t)2 * PAGE, PAGE, 4, 1, PAGE },
	{ "behind the last", 0u - (uint64_t)PAGE - 1, 2, 4, -EFAULT, 0 },
	{ "the last byte there is", UINT64_MAX, 1, 4, -EFAULT, 0 },
	{ "round the end", UINT64_MAX, 2 * PAGE + 2, 4, -EFAULT, 0 },
};

START_TEST(test_translate)
{
	struct gmem *g = three_regions();
	struct iovec iov[4];
	int n;

	for (int again = 0; again < 2; again++) {
		n = gmem_iov(g, places[_i].at, places[_i].len, iov,
			     places[_i].max);
		ck_assert_msg(n == places[_i].n, "%s: %d", places[_i].what, n);
		if (n > 0)
			ck_assert_uint_eq(iov[0].iov_len, places[_i].first);
		/* once more, with another region hit last */
		ck_assert_int_eq(
			gmem_iov(g, 0u - (uint64_t)2 * PAGE, 1, iov, 4), 1);
	}
	gmem_clear(g);
	free(g);
}
END_TEST

START_TEST(test_front_end_addresses)
{
	struct gmem *g = three_regions();
	uint8_t *a = gmem_uva(g, UVA + 2 * PAGE, PAGE);

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_eq(gmem_uva(g, UVA + 3 * PAGE - 1, 1), a + PAGE - 1);
	/* never across regions, also where they touch */
	ck_assert_ptr_null(gmem_uva(g, UVA + 3 * PAGE - 1, 2));
	ck_assert_ptr_null(gmem_uva(g, UVA + 2 * PAGE - 1, 1));
	ck_assert_ptr_null(gmem_uva(g, UVA + 4 * PAGE, 1));
	ck_assert_ptr_null(gmem_uva(g, UVA + 2 * PAGE, SIZE_MAX));
	ck_assert_ptr_null(gmem_uva(g, UINT64_MAX, 1));
	ck_assert_ptr_nonnull(gmem_uva(g, 0u - (uint64_t)PAGE - 1, 1));
	gmem_clear(g);
	free(g);
}
END_TEST

START_TEST(test_regions)
{
	struct gmem *g = three_regions();
	struct gmem_range r = { .gpa = 4 * PAGE - 1, .size = 2 };
	int fd = memory(1);
	struct iovec iov;

	ck_assert_int_eq(gmem_add(g, &r, fd), -EEXIST);
	r.gpa = 4 * PAGE;
	r.size = PAGE + 1;
	ck_assert_int_eq(gmem_add(g, &r, fd), -EFBIG);
	r = (struct gmem_range) { .gpa = 3 * PAGE,
				 .size = PAGE,
				 .uva = UVA + 2 * PAGE };
	ck_assert_int_eq(gmem_remove(g, &r), -ENOENT); /* another address */
	r.uva = UVA + 3 * PAGE;
	ck_assert_int_eq(gmem_remove(g, &r), 0);
	ck_assert_int_eq(gmem_iov(g, 3 * PAGE, 1, &iov, 1), -EFAULT);
	ck_assert_int_eq(gmem_iov(g, 2 * PAGE, 1, &iov, 1), 1);
	close(fd);
	gmem_clear(g);
	free(g);
}
END_TEST

/* ---- a ring of four, at the wrap of its 16-bit indices */

#define NUM 4u

struct ring {
	struct gmem g;
	struct vqueue q;
	uint8_t *ram;
};

static void ring_init(struct ring *r, uint16_t at, bool event_idx)
{
	int fd = memory(3);

	memset(r, 0, sizeof(*r));
	region(&r->g, 0, UVA, fd, 0, 3 * PAGE);
	r->ram =
		mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(r->ram != MAP_FAILED);
	close(fd);
	r->q = (struct vqueue) { .num = NUM,
				 .event_idx = event_idx,
				 .last_avail = at };
	ck_assert_int_eq(
		vring_map(&r->q, &r->g, UVA, UVA + PAGE, UVA + 2 * PAGE), 0);
	le16_put(r->ram + PAGE + 2, at);
	le16_put(r->ram + 2 * PAGE + 2, at);
	for (unsigned int i = 0; i < NUM; i++)
		le32_put(r->ram + 16 * i + 8,
			 10 + i); /* of 10 + i bytes at 0 */
	ck_assert_int_eq(vring_start(&r->q), 0);
}

static void ring_fini(struct ring *r)
{
	munmap(r->ram, 3 * PAGE);
	gmem_clear(&r->g);
}

static void offer(struct ring *r, uint16_t head)
{
	uint16_t at = le16_get(r->ram + PAGE + 2);

	le16_put(r->ram + PAGE + 4 + 2 * (at % NUM), head);
	le16_put(r->ram + PAGE + 2, (uint16_t)(at + 1));
}

START_TEST(test_ring_wraps)
{
	struct iovec iov[VRING_IOV_MAX];
	struct vring_chain c;
	struct ring r;
	uint16_t at;

	ring_init(&r, 65533, true);
	for (uint16_t i = 0; i < 9; i++) {
		at = (uint16_t)(65533 + i);
		offer(&r, i % NUM);
		ck_assert_int_eq(vring_take(&r.q, &r.g, &c, iov), 1);
		ck_assert_uint_eq(c.head, i % NUM);
		ck_assert_uint_eq(c.readable_len, 10u + i % NUM);
		/* as if it had not been looked at, and again */
		vring_untake(&r.q, 1);
		ck_assert_int_eq(vring_take(&r.q, &r.g, &c, iov), 1);
		ck_assert_int_eq(vring_take(&r.q, &r.g, &c, iov), 0);
		vring_return(&r.q, c.head, 7);
		/* not before it is published */
		ck_assert_uint_eq(le16_get(r.ram + 2 * PAGE + 2), at);
		(void)vring_publish(&r.q);
		ck_assert_uint_eq(le16_get(r.ram + 2 * PAGE + 2),
				  (uint16_t)(at + 1));
		ck_assert_uint_eq(
			le32_get(r.ram + 2 * PAGE + 4 + 8 * (at % NUM) + 4), 7);
		/* the kick that is asked for: the next one */
		ck_assert(!vring_arm(&r.q));
		ck_assert_uint_eq(le16_get(r.ram + 2 * PAGE + 4 + 8 * NUM),
				  (uint16_t)(at + 1));
	}
	/* a full ring is fine, one more is not */
	for (uint16_t i = 0; i < NUM; i++)
		offer(&r, i);
	ck_assert(vring_arm(&r.q));
	ck_assert_int_eq(vring_take(&r.q, &r.g, &c, iov), 1);
	vring_untake(&r.q, 1);
	offer(&r, 0);
	ck_assert_int_eq(vring_take(&r.q, &r.g, &c, iov), -EINVAL);
	ck_assert(r.q.broken);
	ck_assert_int_eq(vring_take(&r.q, &r.g, &c, iov), 0);
	ring_fini(&r);
}
END_TEST

/* Used index before, published count, event index: is it an interrupt? */
static const struct {
	uint16_t from, n, event;
	bool call;
} events[] = {
	{ 10, 1, 10, true },	   { 10, 1, 11, false },
	{ 10, 1, 9, false },	   { 10, 4, 13, true },
	{ 10, 4, 14, false },	   { 10, 4, 10, true },
	{ 65535, 1, 65535, true }, { 65535, 1, 0, false },
	{ 65534, 4, 0, true },	   { 65534, 4, 1, true },
	{ 65534, 4, 2, false },	   { 65534, 4, 65533, false },
	{ 0, 1, 0, true },	   { 0, 1, 65535, false },
};

START_TEST(test_event_index)
{
	struct iovec iov[VRING_IOV_MAX];
	struct vring_chain c;
	struct ring r;

	ring_init(&r, events[_i].from, true);
	le16_put(r.ram + PAGE + 4 + 2 * NUM, events[_i].event);
	for (uint16_t i = 0; i < events[_i].n; i++) {
		offer(&r, i);
		ck_assert_int_eq(vring_take(&r.q, &r.g, &c, iov), 1);
		vring_return(&r.q, c.head, 0);
	}
	ck_assert_int_eq(vring_publish(&r.q), events[_i].call);
	ck_assert(!vring_publish(&r.q)); /* nothing new */
	ring_fini(&r);
}
END_TEST

START_TEST(test_ring_start)
{
	struct ring r;

	ring_init(&r, 2, false);
	le16_put(r.ram + 2 * PAGE + 2, 65534); /* 4 behind: all in flight */
	ck_assert_int_eq(vring_start(&r.q), 0);
	le16_put(r.ram + 2 * PAGE + 2, 65533);
	ck_assert_int_eq(vring_start(&r.q), -EINVAL);
	le16_put(r.ram + 2 * PAGE + 2, 3); /* ahead of what was taken */
	ck_assert_int_eq(vring_start(&r.q), -EINVAL);
	ring_fini(&r);
}
END_TEST

/* ---- credit */

static int told(struct vsock_conn *c, uint32_t buf_alloc, uint32_t fwd_cnt)
{
	const struct vsock_header h = { .buf_alloc = buf_alloc,
					.fwd_cnt = fwd_cnt };

	return credit_update(c, &h);
}

START_TEST(test_credit_wraps)
{
	struct vsock_conn c = { .sent = UINT32_MAX - 999,
				.peer_fwd_cnt = UINT32_MAX - 999 };

	ck_assert_int_eq(told(&c, 40000, UINT32_MAX - 999), 0);
	ck_assert_uint_eq(credit_free(&c), 40000);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(credit_reserve(&c, 1), 1);
		credit_sent(&c, 1000);
	}
	ck_assert_uint_eq(c.sent, 2000);
	ck_assert_uint_eq(credit_free(&c), 37000);
	ck_assert_uint_eq(c.mark_count, 3);
	/* exactly the first packet; then a byte less than the second */
	ck_assert_int_eq(told(&c, 40000, 0), 0);
	ck_assert_uint_eq(c.mark_count, 2);
	ck_assert_int_eq(told(&c, 40000, 999), 0);
	ck_assert_uint_eq(c.mark_count, 2);
	/* overtaken: ignored; ahead of what was sent: nonsense */
	ck_assert_int_eq(told(&c, 40000, UINT32_MAX - 500), 0);
	ck_assert_uint_eq(c.peer_fwd_cnt, 999);
	ck_assert_int_eq(told(&c, 40000, 2001), -EPROTO);
	ck_assert_int_eq(told(&c, 40000, 2000), 0);
	ck_assert_uint_eq(c.mark_count, 0);
	/* a window that shrinks below what is flying, or is huge */
	ck_assert_uint_eq(credit_reserve(&c, 1), 1);
	credit_sent(&c, 3000);
	ck_assert_int_eq(told(&c, 2999, 2000), 0);
	ck_assert_uint_eq(credit_free(&c), 0);
	ck_assert_int_eq(told(&c, 0, 2000), 0);
	ck_assert_uint_eq(credit_free(&c), 0);
	ck_assert_int_eq(told(&c, UINT32_MAX, 2000), 0);
	ck_assert_uint_gt(credit_free(&c), 1u << 29);
	ck_assert_uint_lt(credit_free(&c), 1u << 31);
	free(c.marks);
}
END_TEST

START_TEST(test_credit_packets)
{
	struct vsock_conn c = { .peer_buf_alloc = 262144 };

	ck_assert_uint_eq(credit_packets(&c), 447);
	for (unsigned int i = 0; i < 223; i++) {
		ck_assert(!credit_crowded(&c));
		ck_assert_uint_eq(credit_reserve(&c, 1), 1);
		credit_sent(&c, 1);
	}
	ck_assert(credit_crowded(&c));
	ck_assert_uint_eq(credit_reserve(&c, 1000), 447 - 223);
	for (unsigned int i = 223; i < 447; i++)
		credit_sent(&c, 1);
	ck_assert_uint_eq(credit_packets(&c), 0);
	ck_assert_uint_eq(credit_reserve(&c, 1), 0);
	ck_assert_int_eq(told(&c, 262144, 400), 0);
	ck_assert_uint_eq(c.mark_count, 47);
	/* fewer than are flying */
	ck_assert_int_eq(told(&c, 20 * 576, 400), 0);
	ck_assert_uint_eq(credit_packets(&c), 0);
	/* always one, however small the window */
	ck_assert_int_eq(told(&c, 1, 447), 0);
	ck_assert_uint_eq(credit_packets(&c), 1);
	ck_assert(!credit_crowded(&c));
	free(c.marks);
}
END_TEST

START_TEST(test_credit_due)
{
	struct vsock_conn c = { .peer_buf_alloc = 1u << 20,
				.received = 10000,
				.fwd_cnt = UINT32_MAX - 5000,
				.told_fwd_cnt = UINT32_MAX - 5000 };

	ck_assert(!credit_due(&c)); /* nothing to tell */
	c.fwd_cnt = 10000;
	ck_assert(!credit_due(&c));
	c.received = c.fwd_cnt = 65536 - 5001;
	ck_assert(credit_due(&c));
	/* of a window as small as the guest's own, a quarter */
	c.peer_buf_alloc = 4096;
	c.received = c.fwd_cnt = UINT32_MAX - 5000 + 1024;
	ck_assert(credit_due(&c));
}
END_TEST

/* ---- small packets, and stalls, in a device of their own */

struct host {
	size_t gives;
};

static int ops_dial(void *ctx, struct vsock_conn *c)
{
	vsock_set_host(c, ctx);
	return 0;
}

static ssize_t ops_pull(void *host, const struct iovec *iov, unsigned int n)
{
	struct host *h = host;
	size_t room = 0, done = h->gives;

	for (unsigned int i = 0; i < n; i++)
		room += iov[i].iov_len;
	if (done > room)
		done = room;
	h->gives -= done;
	return done ? (ssize_t)done : -EAGAIN;
}

static size_t ops_waiting(void *host)
{
	return ((struct host *)host)->gives;
}

static size_t ops_held(void *host)
{
	(void)host;
	return 0;
}

static void ops_ended(void *host, enum vsock_end why)
{
	(void)host;
	(void)why;
}

static void ops_wake(void *ctx)
{
	(void)ctx;
}

static const struct vsock_ops ops = {
	.dial = ops_dial,
	.pull = ops_pull,
	.waiting = ops_waiting,
	.held = ops_held,
	.ended = ops_ended,
	.wake = ops_wake,
};

#define BUF 1044u /* 1000 bytes of payload */
#define MS 1000000ull

static void from_guest(struct vsock *v, enum vsock_op op, uint32_t buf_alloc,
		       uint32_t fwd_cnt)
{
	const struct vsock_header h = { .src_cid = 3,
					.dst_cid = 2,
					.src_port = 1,
					.dst_port = 2,
					.type = VSOCK_STREAM,
					.op = (uint16_t)op,
					.buf_alloc = buf_alloc,
					.fwd_cnt = fwd_cnt };
	uint8_t raw[VSOCK_HEADER];
	const struct iovec iov = { raw, sizeof(raw) };

	vsock_header_encode(&h, raw);
	vsock_tx(v, &iov, 1, sizeof(raw));
	vsock_tx_end(v);
}

/* One packet for the guest: its payload's length; -1: none */
static int to_guest(struct vsock *v, struct vsock_header *ret)
{
	uint8_t raw[BUF];
	const struct iovec iov = { raw, sizeof(raw) };
	struct vsock_buf b = { .iov = &iov, .n = 1, .len = sizeof(raw) };

	if (!vsock_rx_wanted(v) || !vsock_rx(v, &b, 1))
		return -1;
	vsock_header_decode(raw, ret);
	return (int)ret->len;
}

static struct vsock *connected(struct host *h, struct vsock_conn **ret)
{
	struct vsock_header p;
	struct vsock *v;

	ck_assert_int_eq(vsock_new(3, &ops, h, &v), 0);
	vsock_time(v, 1000 * MS);
	from_guest(v, VSOCK_OP_REQUEST, 262144, 0);
	*ret = conn_find(v, VSOCK_STREAM, VSOCK_CID_HOST, 1, 2);
	vsock_accept(v, *ret);
	ck_assert_int_eq(to_guest(v, &p), 0);
	ck_assert_int_eq(p.op, VSOCK_OP_RESPONSE);
	ck_assert_int_eq(to_guest(v, &p), -1);
	return v;
}

START_TEST(test_gather)
{
	struct host h = { 0 };
	struct vsock_header p;
	struct vsock_conn *c;
	struct vsock *v = connected(&h, &c);

	/* few: as it comes */
	for (int i = 0; i < 223; i++) {
		h.gives = 1;
		vsock_readable(v, c);
		ck_assert_int_eq(to_guest(v, &p), 1);
		ck_assert_int_eq(to_guest(v, &p), -1);
	}
	/* many: a full buffer, */
	h.gives = 1500;
	vsock_readable(v, c);
	ck_assert_int_eq(to_guest(v, &p), 1000);
	ck_assert_int_eq(to_guest(v, &p), -1);
	ck_assert_uint_eq(vsock_deadline(v), (1000 + VSOCK_GATHER_MS) * MS);
	h.gives = 700;
	vsock_readable(v, c);
	ck_assert_int_eq(to_guest(v, &p), -1);
	/* or what has waited, from the first byte on */
	vsock_time(v, (1000 + VSOCK_GATHER_MS) * MS - 1);
	ck_assert_int_eq(to_guest(v, &p), -1);
	vsock_time(v, (1000 + VSOCK_GATHER_MS) * MS);
	ck_assert_int_eq(to_guest(v, &p), 700);
	ck_assert_uint_eq(vsock_deadline(v), 0);
	/* the guest has read: as it comes */
	from_guest(v, VSOCK_OP_CREDIT_UPDATE, 262144, 223 + 1700);
	h.gives = 1;
	vsock_readable(v, c);
	ck_assert_int_eq(to_guest(v, &p), 1);
	vsock_free(v);
}
END_TEST

START_TEST(test_credit_request)
{
	struct host h = { 0 };
	struct vsock_header p;
	struct vsock_conn *c;
	struct vsock *v = connected(&h, &c);
	uint64_t at = (1000 + VSOCK_STALL_MS) * MS;

	h.gives = 5000;
	from_guest(v, VSOCK_OP_CREDIT_UPDATE, 1500, 0);
	vsock_readable(v, c);
	ck_assert_int_eq(to_guest(v, &p), 1000);
	ck_assert_int_eq(to_guest(v, &p), -1); /* one packet fits 1500 bytes */
	ck_assert_uint_eq(vsock_deadline(v), at);
	vsock_time(v, at - 1);
	ck_assert_int_eq(to_guest(v, &p), -1);
	vsock_time(v, at);
	ck_assert_int_eq(to_guest(v, &p), 0);
	ck_assert_int_eq(p.op, VSOCK_OP_CREDIT_REQUEST);
	/* once */
	ck_assert_uint_eq(vsock_deadline(v), 0);
	from_guest(v, VSOCK_OP_CREDIT_UPDATE, 1500, 0);
	vsock_time(v, at * 2);
	ck_assert_int_eq(to_guest(v, &p), -1);
	/* for each stall */
	from_guest(v, VSOCK_OP_CREDIT_UPDATE, 1500, 1000);
	ck_assert_int_eq(to_guest(v, &p), 1000);
	ck_assert_int_eq(to_guest(v, &p), -1);
	ck_assert_uint_eq(vsock_deadline(v), at * 2 + VSOCK_STALL_MS * MS);
	/* none is left behind */
	from_guest(v, VSOCK_OP_RST, 0, 0);
	ck_assert_uint_eq(vsock_deadline(v), 0);
	vsock_free(v);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-units");
	TCase *t = tcase_create("units");

	tcase_add_loop_test(t, test_translate, 0, (int)ARRAY_LEN(places));
	tcase_add_test(t, test_front_end_addresses);
	tcase_add_test(t, test_regions);
	tcase_add_test(t, test_ring_wraps);
	tcase_add_loop_test(t, test_event_index, 0, (int)ARRAY_LEN(events));
	tcase_add_test(t, test_ring_start);
	tcase_add_test(t, test_credit_wraps);
	tcase_add_test(t, test_credit_packets);
	tcase_add_test(t, test_credit_due);
	tcase_add_test(t, test_gather);
	tcase_add_test(t, test_credit_request);
	suite_add_tcase(s, t);
	return rig_run(s);
}
