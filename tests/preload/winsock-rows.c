/* SPDX-License-Identifier: MIT */
/*
 * winsock-rows.c - the table "Shutdown and close" of the API's description,
 * row by row
 */
#include "winsock-test.h"

START_TEST(shutdown_send_then_send)
{
	struct both b = connected(types[_i]);

	ck_assert_int_eq(send(b.client, "a", 1, 0), 1);
	ck_assert_int_eq(shutdown(b.client, SD_SEND), 0);
	FAILS(send(b.client, "b", 1, 0), WSAESHUTDOWN);
	FAILS(send(b.client, "b", 1, 0), 10058);
	end(&b);
	/* the accepting side as well */
	b = connected(types[_i]);
	ck_assert_int_eq(shutdown(b.server, SD_SEND), 0);
	FAILS(send(b.server, "b", 1, 0), WSAESHUTDOWN);
	end(&b);
}
END_TEST

START_TEST(shutdown_receive_then_receive)
{
	struct both b = connected(types[_i]);
	char buf[8];

	ck_assert_int_eq(shutdown(b.client, SD_RECEIVE), 0);
	FAILS(recv(b.client, buf, sizeof(buf), 0), WSAESHUTDOWN);
	/* the other direction goes on */
	ck_assert_int_eq(send(b.client, "x", 1, 0), 1);
	ck_assert_int_eq(recv(b.server, buf, sizeof(buf), 0), 1);
	end(&b);

	/* and nothing is read any more, also what was there before */
	b = connected(types[_i]);
	ck_assert_int_eq(send(b.client, "abc", 3, 0), 3);
	ck_assert_int_eq(shutdown(b.server, SD_RECEIVE), 0);
	FAILS(recv(b.server, buf, sizeof(buf), 0), WSAESHUTDOWN);
	FAILS(recv(b.server, buf, sizeof(buf), MSG_PEEK), WSAESHUTDOWN);
	end(&b);
}
END_TEST

START_TEST(shutdown_repeated)
{
	static const int hows[] = { SD_SEND, SD_RECEIVE, SD_BOTH };
	size_t i;

	for (i = 0; i < 3; i++) {
		struct both b = connected(types[_i]);

		ck_assert_int_eq(shutdown(b.client, hows[i]), 0);
		ck_assert_int_eq(shutdown(b.client, hows[i]), 0);
		ck_assert_int_eq(shutdown(b.server, hows[i]), 0);
		ck_assert_int_eq(shutdown(b.server, hows[i]), 0);
		end(&b);
	}
}
END_TEST

START_TEST(peer_of_shutdown_send)
{
	struct both b = connected(types[_i]);
	char buf[8];

	ck_assert_int_eq(send(b.client, "last", 4, 0), 4);
	ck_assert_int_eq(shutdown(b.client, SD_SEND), 0);
	/* reads to the end of the stream */
	ck_assert_int_eq(recv(b.server, buf, sizeof(buf), 0), 4);
	ck_assert_int_eq(recv(b.server, buf, sizeof(buf), 0), 0);
	ck_assert_int_eq(recv(b.server, buf, sizeof(buf), 0), 0);
	/* and may still write */
	ck_assert_int_eq(send(b.server, "yes", 3, 0), 3);
	ck_assert_int_eq(send(b.server, "yes", 3, 0), 3);
	ck_assert_int_eq(recv(b.client, buf, 3, 0), 3);
	ck_assert_int_eq(recv(b.client, buf, 3, 0), 3);
	ck_assert_int_eq(closesocket(b.server), 0);
	b.server = INVALID_SOCKET;
	ck_assert_int_eq(recv(b.client, buf, 3, 0), 0);
	end(&b);
}
END_TEST

START_TEST(call_on_closed_socket)
{
	struct both b = connected(types[_i]);
	SOCKADDR_HV a;
	int len = sizeof(a);
	char x;

	ck_assert_int_eq(closesocket(b.client), 0);
	FAILS(send(b.client, "x", 1, 0), WSAENOTCONN);
	FAILS(recv(b.client, &x, 1, 0), WSAENOTCONN);
	FAILS(shutdown(b.client, SD_BOTH), WSAENOTCONN);
	FAILS(getpeername(b.client, (SOCKADDR *)&a, &len), WSAENOTCONN);
	FAILS(closesocket(b.client), WSAENOTSOCK);
	FAILS(listen(b.client, 1), WSAENOTSOCK);
	end(&b);
}
END_TEST

START_TEST(close_with_accept_pending)
{
	struct both b = connected(types[_i]);
	struct waiter w = { .s = b.listener };
	pthread_t t;

	pthread_barrier_init(&w.ready, NULL, 2);
	pthread_create(&t, NULL, wait_in_call, &w);
	pthread_barrier_wait(&w.ready);
	await_sleep(&w);
	ck_assert_int_eq(closesocket(b.listener), 0);
	pthread_join(t, NULL);
	ck_assert_int_eq(w.result, INVALID_SOCKET);
	ck_assert_int_eq(w.error, WSAEINTR);
	end(&b);

	/* and the same for a receive */
	b = connected(types[_i]);
	w = (struct waiter){ .s = b.client, .receives = 1 };
	pthread_barrier_init(&w.ready, NULL, 2);
	pthread_create(&t, NULL, wait_in_call, &w);
	pthread_barrier_wait(&w.ready);
	await_sleep(&w);
	ck_assert_int_eq(closesocket(b.client), 0);
	pthread_join(t, NULL);
	ck_assert_int_eq(w.result, SOCKET_ERROR);
	ck_assert_int_eq(w.error, WSAEINTR);
	end(&b);
}
END_TEST

START_TEST(second_listener)
{
	struct both b = connected(types[_i]);
	SOCKET s = make(types[_i]);

	FAILS(bind(s, (SOCKADDR *)&b.addr, sizeof(b.addr)), WSAEADDRINUSE);
	FAILS(bind(s, (SOCKADDR *)&b.addr, sizeof(b.addr)), 10048);
	closesocket(s);
	end(&b);
}
END_TEST

START_TEST(nobody_listening)
{
	SOCKADDR_HV a = make_address();
	SOCKET s = make(types[_i]);
	struct timespec before, after;
	double ms;

	clock_gettime(CLOCK_MONOTONIC, &before);
	FAILS(connect(s, (SOCKADDR *)&a, sizeof(a)), WSAECONNREFUSED);
	clock_gettime(CLOCK_MONOTONIC, &after);
	ms = (double)(after.tv_sec - before.tv_sec) * 1e3 +
	     (double)(after.tv_nsec - before.tv_nsec) / 1e6;
	/* not the connect timeout of 2 s; the machine may be busy */
	ck_assert_double_lt(ms, 1000);
	FAILS(connect(s, (SOCKADDR *)&a, sizeof(a)), 10061);
	closesocket(s);
}
END_TEST

TCase *winsock_rows(void)
{
	TCase *t = tcase_create("shutdown and close");

	tcase_add_loop_test(t, shutdown_send_then_send, 0, TYPES);
	tcase_add_loop_test(t, shutdown_receive_then_receive, 0, TYPES);
	tcase_add_loop_test(t, shutdown_repeated, 0, TYPES);
	tcase_add_loop_test(t, peer_of_shutdown_send, 0, TYPES);
	tcase_add_loop_test(t, call_on_closed_socket, 0, TYPES);
	tcase_add_loop_test(t, close_with_accept_pending, 0, TYPES);
	tcase_add_loop_test(t, second_listener, 0, TYPES);
	tcase_add_loop_test(t, nobody_listening, 0, TYPES);
	return t;
}
