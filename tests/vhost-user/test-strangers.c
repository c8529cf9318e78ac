/* SPDX-License-Identifier: MIT */
/*
 * test-strangers.c - descriptors and sockets that nobody asked for
 *
 * What programs send to a guest's connection besides bytes, who comes to the
 * rendezvous, and too few descriptors for it all.
 */
#include <check.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "rig.h"

/* Descriptors sent over a connection go nowhere, and the bytes arrive. */
START_TEST(test_smuggled_descriptors)
{
	struct rig *r = rig_start();
	uint8_t byte;
	int one = 1, pair[2];

	rig_connected(r, 0, 1025, 5000);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	byte = rig_byte(1, 0);
	/* a kernel that keeps them out says EPERM: then without */
	if (fdmsg_send(r->prog[0].fd, &byte, 1, &pair[1], 1, 0) < 0)
		ck_assert_int_eq(send(r->prog[0].fd, &byte, 1, 0), 1);
	close(pair[1]);
	r->prog[0].sent = 1;
	r->prog[0].to_send = 50000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	/* it is closed: the other end sees it */
	ck_assert_int_eq(recv(pair[0], &byte, 1, 0), 0);
	close(pair[0]);
	rig_end(r);
}
END_TEST

/* A TCP socket whose last close() takes as long as it may linger. */
static int lingering(void)
{
	const struct linger l = { .l_onoff = 1, .l_linger = 5 };
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	static uint8_t zeros[65536];
	int server, fd;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(server, (struct sockaddr *)&sa, len) == 0);
	must(listen(server, 1) == 0);
	must(getsockname(server, (struct sockaddr *)&sa, &len) == 0);
	must(connect(fd, (struct sockaddr *)&sa, len) == 0);
	must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0);
	while (send(fd, zeros, sizeof(zeros), MSG_DONTWAIT) > 0)
		;
	return fd; /* the server is never accepted from, nor closed */
}

static bool five(struct rig *r, void *arg)
{
	(void)arg;
	return r->guest[1].received == 5;
}

/*
 * Descriptors that cannot be closed yet: no more of them are read, so that
 * there is always one left and nothing is closed where it would be waited for;
 * other connections go on. Afterwards this one does.
 */
START_TEST(test_descriptor_flood)
{
	int fds[FDMSG_MAX], pair[2], unread = 0;
	struct rig *r;
	uint8_t byte;

	rig_descriptors = 1200;
	r = rig_start();
	/* sent before the program can forbid it, where the kernel lets it */
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			pair) == 0);
	fds[0] = lingering();
	for (int i = 1; i < FDMSG_MAX; i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (uint64_t i = 0; i < 5; i++) {
		byte = rig_byte(3, i);
		ck_assert_int_eq(
			fdmsg_send(pair[0], &byte, 1, fds, FDMSG_MAX, 0), 0);
		/* the first message holds the only one that lingers */
		close(fds[0]);
		fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	for (int i = 0; i < FDMSG_MAX; i++)
		close(fds[i]);
	rig_connected(r, 0, 1025, 5000);
	rig_connect(r, 1, 1026, 5000);
	while (!r->b.ndials)
		rig_step(r, 10);
	fb_dial_answer(&r->b, 0, pair[1]);
	close(pair[1]);
	while (r->guest[1].received < 2)
		rig_step(r, 10);
	r->guest[0].to_send = 500000;
	while (r->prog[0].received < 500000)
		rig_step(r, 10);
	rig_settle(r);
	ck_assert_int_eq(ioctl(pair[0], SIOCOUTQ, &unread), 0);
	ck_assert_int_gt(unread, 0);
	rig_wait(r, five, NULL, "the rest, when they are closed");
	close(pair[0]);
	rig_end(r);
}
END_TEST

/* Strangers at the rendezvous, and tokens that nobody gave. */
START_TEST(test_strangers)
{
	struct rig *r = rig_start();
	int fd, one = 1;
	uint8_t byte;

	rig_connected(r, 0, 1025, 5000);
	fd = fb_meet(&r->b, 0x666);
	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0); /* wait for it */
	ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
	close(fd);
	fb_parked(&r->b, 0x667, 1000);
	fb_close(&r->b, 0x668);
	r->guest[0].to_send = r->prog[0].to_send = 50000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_end(r);
}
END_TEST

/* More sockets arrive than the process may have: these are refused, and it
 * goes on when there is room again. */
START_TEST(test_no_descriptors)
{
	struct rig *r = rig_start();
	const struct rlimit few = { 40, 40 };
	int fds[60], one = 1, n = 0;
	uint8_t byte;

	ck_assert_int_eq(prlimit(r->child, RLIMIT_NOFILE, &few, NULL), 0);
	rig_connected(r, 0, 1025, 5000);
	for (int i = 0; i < 60; i++) {
		int o = fb_open(&r->b, 22, 0x80000100u + (uint32_t)i, true,
				5000);

		fds[i] = fb_meet(&r->b, r->b.opens[o].token);
	}
	rig_settle(r);
	for (int i = 0; i < 60; i++)
		n += recv(fds[i], &byte, 1, MSG_DONTWAIT) == 0;
	ck_assert_int_gt(n, 20);
	ck_assert_int_lt(n, 60);
	for (int i = 0; i < 60; i++)
		close(fds[i]);
	rig_settle(r);
	r->guest[0].to_send = r->prog[0].to_send = 50000;
	rig_wait(r, rig_all_arrived, &one, "bytes");
	rig_connected(r, 1, 1026, 5000);
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-strangers");
	TCase *t = tcase_create("strangers");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_smuggled_descriptors);
	tcase_add_test(t, test_descriptor_flood);
	tcase_add_test(t, test_strangers);
	tcase_add_test(t, test_no_descriptors);
	suite_add_tcase(s, t);
	return rig_run(s);
}
