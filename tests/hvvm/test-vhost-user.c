/* SPDX-License-Identifier: MIT */
/*
 * test-vhost-user.c - the front end against back ends that keep to nothing
 *
 * A back end in a thread answers as it should, but for one request, to which
 * its answer is wrong in one of many ways. The conversation must then end with
 * the right error, at once, and stay ended.
 */
#include "../unit/suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/ev.h"
#include "base/fdmsg.h"
#include "hvvm/vhost-requests.h"
#include "hvvm/vhost-user.h"

#define CONFIG 60u
#define NEED_REPLY 8u
#define PROTOCOL (1ull << 0 | 1ull << 3 | 1ull << 5 | 1ull << 9)

enum way {
	RIGHT,
	IN_PIECES, /* right too */
	GONE,
	HALF, /* of a header */
	SILENT,
	OTHER_REQUEST,
	NO_REPLY_BIT,
	OTHER_VERSION,
	SHORT, /* a size that is too small, with as many bytes */
	LONG,
	HUGE,
	DESCRIPTOR,
	REFUSES, /* only where it is but an acknowledgement */
	WAYS
};

static const int errors[WAYS] = {
	[GONE] = -ECONNRESET,	  [HALF] = -ECONNRESET,
	[SILENT] = -ETIMEDOUT,	  [OTHER_REQUEST] = -EPROTO,
	[NO_REPLY_BIT] = -EPROTO, [OTHER_VERSION] = -EPROTO,
	[SHORT] = -EBADMSG,	  [LONG] = -EBADMSG,
	[HUGE] = -EBADMSG,	  [DESCRIPTOR] = -EPROTO,
	[REFUSES] = -EREMOTEIO,
};

static const uint32_t requests[] = { 1,	 2,  3,	 5,  8,	 9,  10, 11, 12,
				     13, 15, 16, 17, 18, 21, 24, 25 };
/* before REPLY_ACK is agreed upon these have no reply */
static bool never_answered(uint32_t request)
{
	return request == 16;
}

static bool has_reply(uint32_t request)
{
	return request == 1 || request == 11 || request == 15 ||
	       request == 17 || request == 24;
}

struct back {
	int listener;
	enum way way;
	uint32_t at; /* request with the wrong answer */
	uint64_t protocol;
	pthread_t thread;
	/* what came last of each */
	unsigned int seen[64], fds[64];
	uint8_t payload[64][300];
	uint32_t size[64];
	int memory; /* -1 */
};

static int take(int fd, uint8_t *p, size_t len, struct back *b, uint32_t r)
{
	struct fdmsg m;

	for (size_t got = 0; got < len; got += m.len) {
		if (fdmsg_recv(fd, p + got, len - got, 0, &m) < 0 || !m.len)
			return -1;
		/* they come with the header */
		for (int i = 0; i < m.nfds; i++) {
			if (i == 0 && b->memory < 0 && p[0] == 5)
				b->memory = dup(m.fds[i]);
			close(m.fds[i]);
		}
		if (m.nfds && !r)
			b->fds[p[0] % 64] += (unsigned int)m.nfds;
	}
	return 0;
}

static void answer(struct back *b, int fd, uint32_t request, uint32_t flags)
{
	enum way way = request == b->at ? b->way : RIGHT;
	uint32_t size = request == 24 ? 12 + CONFIG : 8;
	uint8_t buf[600] = { 0 };
	size_t len;

	if (!has_reply(request) && !(flags & NEED_REPLY))
		return;
	le32_put(buf, request + (way == OTHER_REQUEST));
	le32_put(buf + 4, (way == OTHER_VERSION ? 2 : 1) |
				  (way == NO_REPLY_BIT ? 0 : 4));
	if (way == SHORT)
		size--;
	else if (way == LONG)
		size++;
	le32_put(buf + 8, way == HUGE ? UINT32_MAX : size);
	if (request == 1)
		le64_put(buf + 12, 1ull << 30 | 1ull << 32);
	else if (request == 15)
		le64_put(buf + 12, b->protocol | 1ull << 40);
	else if (request == 17)
		le64_put(buf + 12, 7);
	else if (request == 24)
		memset(buf + 24, 0xab, CONFIG);
	else if (way == REFUSES)
		le64_put(buf + 12, 1);
	len = 12 + size;
	if (way == HALF)
		len = 5;
	if (way == SILENT || way == GONE)
		len = 0;
	if (way == IN_PIECES)
		for (; len > 1; len--)
			if (write(fd, buf + 12 + size - len, 1) != 1)
				return;
	if (len) {
		const uint8_t *p = way == IN_PIECES ? buf + 11 + size : buf;

		(void)fdmsg_send(fd, p, len, &b->listener, way == DESCRIPTOR,
				 0);
	}
	if (way == HALF || way == GONE)
		(void)shutdown(fd, SHUT_RDWR);
}

static void *serve(void *arg)
{
	struct back *b = arg;
	int fd = accept(b->listener, NULL, NULL);
	uint8_t head[12];

	while (take(fd, head, sizeof(head), b, 0) == 0) {
		uint32_t r = le32_get(head) % 64, size = le32_get(head + 8);

		if (size > sizeof(b->payload[r]) ||
		    take(fd, b->payload[r], size, b, 1) < 0)
			break;
		b->size[r] = size;
		b->seen[r]++;
		answer(b, fd, r, le32_get(head + 4));
	}
	close(fd);
	return NULL;
}

static void start(struct back *b, char *path, size_t size)
{
	static atomic_uint number;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	snprintf(path, size, "/tmp/hvs-back-%d-%u", getpid(), number++);
	strcpy(sun.sun_path, path);
	b->memory = -1;
	b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert(b->listener >= 0 &&
		  bind(b->listener, (struct sockaddr *)&sun, sizeof(sun)) ==
			  0 &&
		  listen(b->listener, 1) == 0);
	ck_assert(pthread_create(&b->thread, NULL, serve, b) == 0);
}

static void end(struct back *b, const char *path)
{
	pthread_join(b->thread, NULL);
	close(b->listener);
	if (b->memory >= 0)
		close(b->memory);
	unlink(path);
}

/* All that a device's life has. */
static int whole(struct vhost_user *v, const struct memory *m, uint8_t *config,
		 int event)
{
	const struct vhost_user_ring ring = { .num = 128,
					      .desc = 0x1000,
					      .avail = 0x2000,
					      .used = 0x3000,
					      .kick = event,
					      .call = event };

	(void)vhost_user_begin(v, PROTOCOL);
	(void)vhost_user_set_memory(v, m);
	(void)vhost_user_get_config(v, config, CONFIG);
	(void)vhost_user_set_requests(v, event);
	(void)vhost_user_set_features(v, 1ull << 32 | 1ull << 30);
	(void)vhost_user_start_ring(v, 1, &ring);
	(void)vhost_user_set_config(v, 32, (const uint8_t *)"\1", 1);
	return vhost_user_stop_ring(v, 1);
}

static void one(enum way way, uint32_t at, uint64_t protocol)
{
	struct back b = { .way = way, .at = at, .protocol = protocol };
	uint8_t config[CONFIG];
	struct vhost_user v;
	struct memory m;
	char path[100], why[200];
	int event = eventfd(0, 0), wanted = errors[way];

	start(&b, path, sizeof(path));
	ck_assert_int_eq(memory_new(&m, 2 << 20, false), 0);
	ck_assert_int_eq(vhost_user_open(path, &v), 0);
	if (way == SILENT)
		v.limit_ms = 20;
	ck_assert_msg(
		whole(&v, &m, config, event) == wanted && v.error == wanted,
		"request %u, way %d: %d, not %d", at, way, v.error, wanted);
	ck_assert(*vhost_user_why(&v, why, sizeof(why)));
	ck_assert_int_eq(vhost_user_set_features(&v, 0), wanted);
	vhost_user_close(&v);
	end(&b, path);
	memory_free(&m);
	close(event);
}

START_TEST(test_right)
{
	struct back b = { .protocol = PROTOCOL };
	uint8_t config[CONFIG] = { 0 };
	struct vhost_user v;
	struct memory m;
	struct stat st;
	char path[100];
	int event = eventfd(0, 0);

	start(&b, path, sizeof(path));
	ck_assert_int_eq(memory_new(&m, 2 << 20, false), 0);
	/* as if it were in two places */
	m.count = 2;
	m.at[0].size = 1 << 20;
	m.at[1] = (struct memory_region) { MEMORY_HIGH, 1 << 20, 1 << 20 };
	ck_assert_int_eq(vhost_user_open(path, &v), 0);
	ck_assert_int_eq(whole(&v, &m, config, event), 0);
	ck_assert_uint_eq(v.protocol, PROTOCOL); /* not what it has besides */
	ck_assert_uint_eq(v.queues, 7);
	ck_assert_uint_eq(config[0], 0xab);
	ck_assert_uint_eq(config[CONFIG - 1], 0xab);
	vhost_user_close(&v);
	pthread_join(b.thread, NULL);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		ck_assert_uint_eq(b.seen[requests[i]], 1);
	ck_assert_uint_eq(b.fds[5], 2);
	ck_assert_uint_eq(b.fds[12], 1);
	ck_assert_uint_eq(b.fds[13], 1);
	ck_assert_uint_eq(b.fds[21], 1);
	ck_assert(fstat(b.memory, &st) == 0 && st.st_size == 2 << 20);
	ck_assert_uint_eq(b.size[5], 8 + 2 * 32);
	ck_assert_uint_eq(le32_get(b.payload[5]), 2);
	ck_assert_uint_eq(le64_get(b.payload[5] + 40), MEMORY_HIGH);
	ck_assert_uint_eq(le64_get(b.payload[5] + 64), 1 << 20);
	ck_assert_uint_eq(le64_get(b.payload[5] + 56),
			  (uintptr_t)m.map + (1 << 20));
	ck_assert_uint_eq(b.size[9], 40);
	ck_assert_uint_eq(le32_get(b.payload[9]), 1);
	ck_assert_uint_eq(le64_get(b.payload[9] + 8), 0x1000);
	ck_assert_uint_eq(le64_get(b.payload[9] + 16), 0x3000);
	ck_assert_uint_eq(le64_get(b.payload[9] + 24), 0x2000);
	ck_assert_uint_eq(le32_get(b.payload[8] + 4), 128);
	ck_assert_uint_eq(le32_get(b.payload[18] + 4), 1);
	ck_assert_uint_eq(b.size[25], 13);
	close(b.listener);
	close(b.memory);
	unlink(path);
	memory_free(&m);
	close(event);
}
END_TEST

START_TEST(test_wrong_answers)
{
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		for (int way = IN_PIECES; way < WAYS; way++) {
			if (never_answered(requests[i]) ||
			    (way == REFUSES && has_reply(requests[i])))
				continue;
			one(way, requests[i], PROTOCOL);
		}
}
END_TEST

/* Without acknowledgements only what has a reply can be wrong. */
START_TEST(test_without_acknowledgements)
{
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		for (int way = IN_PIECES; way < REFUSES; way++)
			if (has_reply(requests[i]) && requests[i] != 17)
				one(way, requests[i], 1ull << 9);
}
END_TEST

START_TEST(test_nobody_there)
{
	struct vhost_user v;
	char path[300];

	ck_assert_int_eq(vhost_user_open("/tmp/hvs-no-such-socket", &v),
			 -ENOENT);
	vhost_user_close(&v);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(vhost_user_open(path, &v), -ENAMETOOLONG);
	vhost_user_close(&v);
}
END_TEST

/* ---- the back end's own requests */

static unsigned int changes;

static void on_changed(void *ctx)
{
	(void)ctx;
	changes++;
}

static const struct {
	const char *what;
	uint32_t request, flags, size;
	unsigned int changes;
	int reply; /* -1: none; else what it says */
	bool ends;
} own[] = {
	{ "changed", 2, 1, 0, 1, -1, false },
	{ "changed, with a reply", 2, 9, 0, 1, 0, false },
	{ "another", 3, 1, 40, 0, -1, false },
	{ "another, with a reply", 3, 9, 40, 0, 1, false },
	{ "changed, with contents", 2, 9, 8, 0, 1, false },
	{ "the largest", 99, 1, 500, 0, -1, false },
	{ "too large", 2, 1, 501, 0, -1, true },
	{ "huge", 2, 1, UINT32_MAX, 0, -1, true },
	{ "another version", 2, 2, 0, 0, -1, true },
	{ "a reply", 2, 5, 0, 0, -1, true },
};

START_TEST(test_own_requests)
{
	struct ev *ev;

	ck_assert_int_eq(ev_new(&ev), 0);
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		struct vhost_requests q = { .fd = -1 };
		uint8_t buf[600] = { 0 }, reply[20];
		uint32_t size = own[i].size > 500 ? 0 : own[i].size;
		int fd = -1;

		changes = 0;
		ck_assert_int_eq(
			vhost_requests_start(&q, ev, on_changed, NULL, &fd), 0);
		le32_put(buf, own[i].request);
		le32_put(buf + 4, own[i].flags);
		le32_put(buf + 8, own[i].size);
		/* in two pieces, with a descriptor */
		ck_assert_int_eq(fdmsg_send(fd, buf, 7, &fd, 1, 0), 0);
		ck_assert_int_eq(ev_step(ev, 0), 0);
		ck_assert_int_eq(fdmsg_send(fd, buf + 7, 5 + size, NULL, 0, 0),
				 0);
		for (int k = 0; k < 4; k++)
			ck_assert_int_eq(ev_step(ev, 0), 0);
		ck_assert_msg(changes == own[i].changes, "%s: changes",
			      own[i].what);
		ck_assert_msg(!q.io.ev == own[i].ends, "%s: end", own[i].what);
		if (own[i].reply >= 0) {
			ck_assert_int_eq(
				recv(fd, reply, sizeof(reply), MSG_DONTWAIT),
				20);
			ck_assert_uint_eq(le32_get(reply), own[i].request);
			ck_assert_uint_eq(le32_get(reply + 4), 5);
			ck_assert_uint_eq(reply[12],
					  (unsigned int)own[i].reply);
		} else {
			ck_assert_int_le(recv(fd, reply, 1, MSG_DONTWAIT), 0);
		}
		close(fd);
		for (int k = 0; k < 2; k++)
			ck_assert_int_eq(ev_step(ev, 0), 0);
		ck_assert_ptr_null(q.io.ev);
		vhost_requests_stop(&q);
	}
	ev_free(ev);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, test_right);
	tcase_add_test(t, test_wrong_answers);
	tcase_add_test(t, test_without_acknowledgements);
	tcase_add_test(t, test_nobody_there);
	tcase_add_test(t, test_own_requests);
}

int main(void)
{
	return run_suite("hvvm-vhost-user", fill);
}
