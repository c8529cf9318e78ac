/* SPDX-License-Identifier: MIT */
/*
 * test-relay.c - a program's socket, between two looks at it
 */
#include <check.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "transport/closer.h"
#include "transport/relay.h"

/* A program that leaves something unread resets the connection: the kernel says
 * so once, ahead of what the program had sent before. @_i: when it closes. */
START_TEST(test_reset_between)
{
	struct relay r;
	char buf[8];
	const struct iovec iov = { buf, sizeof(buf) };
	int sv[2];

	must(closer_start() == 0);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	relay_init(&r);
	r.messages = true;
	relay_attach(&r, sv[0]);
	must(send(sv[0], "unread", 6, 0) == 6);
	must(send(sv[1], "one", 3, 0) == 3);
	must(send(sv[1], "three", 5, 0) == 5);
	for (int i = 0; i < 2; i++) {
		if (_i == 2 * i)
			close(sv[1]);
		ck_assert_int_eq(relay_next(&r), i ? 5 : 3);
		if (_i == 2 * i + 1)
			close(sv[1]);
		ck_assert_int_eq(relay_pull(&r, &iov, 1), i ? 5 : 3);
	}
	ck_assert_int_eq(relay_next(&r), 0);
	ck_assert(r.eof);
	relay_fini(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-relay");
	TCase *t = tcase_create("relay");

	tcase_add_loop_test(t, test_reset_between, 0, 4);
	suite_add_tcase(s, t);
	return rig_run(s);
}
