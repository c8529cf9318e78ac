/* SPDX-License-Identifier: MIT */
/*
 * winsock-rest.c - what winsock.h promises besides: errors, options, waiting
 */
#include <signal.h>
#include <stdlib.h>

#include "winsock-test.h"

START_TEST(reports_a_reset_as_such)
{
	struct both b = connected(SOCK_STREAM);
	struct linger off = { .l_onoff = 0 };
	char x;

	/* SIGPIPE would end the test */
	ck_assert_int_eq(setsockopt(b.server, SOL_SOCKET, SO_LINGER, &off,
				    sizeof(off)), 0);
	ck_assert_int_eq(closesocket(b.server), 0);
	b.server = INVALID_SOCKET;
	FAILS(send(b.client, "x", 1, 0), WSAECONNRESET);
	ck_assert_int_eq(recv(b.client, &x, 1, 0), 0);
	end(&b);
}
END_TEST

START_TEST(wants_startup)
{
	WSADATA data;

	ck_assert_int_eq(WSACleanup(), 0);
	FAILS(socket(AF_HYPERV, SOCK_STREAM, 1), WSANOTINITIALISED);
	FAILS(WSACleanup(), WSANOTINITIALISED);
	ck_assert_int_eq(WSAStartup(MAKEWORD(0, 1), &data),
			 WSAVERNOTSUPPORTED);
	ck_assert_int_eq(WSAStartup(MAKEWORD(2, 2), NULL), WSAEFAULT);
	ck_assert_int_eq(WSAStartup(MAKEWORD(9, 0), &data), 0);
	ck_assert_uint_eq(data.wVersion, MAKEWORD(2, 2));
	/* leave one for the fixture */
}
END_TEST

START_TEST(makes_sockets_or_says_why)
{
	SOCKET s;

	s = WSASocketW(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW, NULL, 0,
		       WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	ck_assert_int_ne(s, INVALID_SOCKET);
	ck_assert_int_eq(fcntl(s, F_GETFD), FD_CLOEXEC);
	closesocket(s);
	FAILS(WSASocket(AF_HYPERV, SOCK_STREAM, 1, NULL, 0, 0x1000),
	      WSAEINVAL);
	FAILS(socket(AF_HYPERV, SOCK_STREAM, 7), WSAEPROTONOSUPPORT);
	FAILS(socket(AF_HYPERV, SOCK_DGRAM, 1), WSAEPROTONOSUPPORT);
	FAILS(socket(12345, SOCK_STREAM, 0), WSAEAFNOSUPPORT);
	s = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ne(s, INVALID_SOCKET);
	closesocket(s);
}
END_TEST

START_TEST(checks_the_room_for_addresses)
{
	struct both b = connected(SOCK_STREAM);
	SOCKADDR_HV a, wild = make_address();
	SOCKET s = make(SOCK_STREAM);
	int len = 35;

	FAILS(getsockname(b.listener, (SOCKADDR *)&a, &len), WSAEFAULT);
	FAILS(getpeername(b.client, (SOCKADDR *)&a, &len), WSAEFAULT);
	FAILS(accept(b.listener, (SOCKADDR *)&a, &len), WSAEFAULT);
	FAILS(bind(s, (SOCKADDR *)&b.addr, 35), WSAEFAULT);
	FAILS(connect(s, (SOCKADDR *)&b.addr, 35), WSAEFAULT);
	FAILS(getpeername(s, (SOCKADDR *)&a, &len), WSAENOTCONN);
	FAILS(shutdown(s, SD_BOTH), WSAENOTCONN);
	FAILS(send(s, "x", 1, 0), WSAENOTCONN);
	FAILS(recv(s, (char *)&a, 1, 0), WSAENOTCONN);
	wild.VmId = HV_GUID_WILDCARD;
	FAILS(connect(s, (SOCKADDR *)&wild, sizeof(wild)), WSAEADDRNOTAVAIL);
	len = sizeof(a);
	ck_assert_int_eq(getsockname(b.listener, (SOCKADDR *)&a, &len), 0);
	ck_assert_int_eq(len, 36);
	ck_assert_mem_eq(&a, &b.addr, sizeof(a));
	ck_assert_int_eq(connect(s, (SOCKADDR *)&b.addr, sizeof(b.addr)), 0);
	len = 100;
	closesocket(b.server);
	b.server = accept(b.listener, (SOCKADDR *)&a, &len);
	ck_assert_int_ne(b.server, INVALID_SOCKET);
	ck_assert_int_eq(len, 36);
	ck_assert(IsEqualGUID(a.VmId, HV_GUID_LOOPBACK));
	FAILS(connect(s, (SOCKADDR *)&b.addr, sizeof(b.addr)), WSAEISCONN);
	closesocket(s);
	end(&b);
}
END_TEST

START_TEST(keeps_levels_apart)
{
	SOCKET s = make(SOCK_STREAM);
	DWORD v = 1500, got = 0;
	struct linger linger = { .l_onoff = 1, .l_linger = 3 }, lgot;
	int len = sizeof(got);
	BOOL on = TRUE;

	ck_assert_int_eq(SOL_SOCKET, 0xffff);
	/* at level 1 every number is Hyper-V's */
	ck_assert_int_eq(setsockopt(s, HV_PROTOCOL_RAW,
				    HVSOCKET_CONNECT_TIMEOUT, &v, sizeof(v)),
			 0);
	ck_assert_int_eq(setsockopt(s, HV_PROTOCOL_RAW,
				    HVSOCKET_CONTAINER_PASSTHRU, &on,
				    sizeof(on)), 0);
	ck_assert_int_eq(getsockopt(s, HV_PROTOCOL_RAW,
				    HVSOCKET_CONTAINER_PASSTHRU, &got, &len),
			 0);
	ck_assert_uint_eq(got, 1);
	ck_assert_int_eq(getsockopt(s, SOL_SOCKET, SO_REUSEADDR, &got, &len),
			 0);
	ck_assert_uint_eq(got, 0);
	FAILS(setsockopt(s, HV_PROTOCOL_RAW, 0x40, &v, sizeof(v)),
	      WSAENOPROTOOPT);
	v = HVSOCKET_CONNECT_TIMEOUT_MAX + 1;
	FAILS(setsockopt(s, HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT, &v,
			 sizeof(v)), WSAEINVAL);

	v = 1500;
	ck_assert_int_eq(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, (char *)&v,
				    sizeof(v)), 0);
	ck_assert_int_eq(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, (char *)&got,
				    &len), 0);
	/* the kernel counts in ticks */
	ck_assert_uint_ge(got, 1500);
	ck_assert_uint_le(got, 1520);
	ck_assert_int_eq(setsockopt(s, SOL_SOCKET, SO_LINGER, &linger,
				    sizeof(linger)), 0);
	len = sizeof(lgot);
	ck_assert_int_eq(getsockopt(s, SOL_SOCKET, SO_LINGER, &lgot, &len), 0);
	ck_assert_int_eq(lgot.l_linger, 3);
	ck_assert_int_eq(setsockopt(s, SOL_SOCKET, SO_DONTLINGER, &on,
				    sizeof(on)), 0);
	ck_assert_int_eq(getsockopt(s, SOL_SOCKET, SO_LINGER, &lgot, &len), 0);
	ck_assert_int_eq(lgot.l_onoff, 0);
	ck_assert_int_eq(setsockopt(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, &on,
				    sizeof(on)), 0);
	len = sizeof(got);
	ck_assert_int_eq(getsockopt(s, SOL_SOCKET, SO_TYPE, &got, &len), 0);
	ck_assert_uint_eq(got, SOCK_STREAM);
	ck_assert_int_eq(getsockopt(s, SOL_SOCKET, SO_ERROR, &got, &len), 0);
	ck_assert_uint_eq(got, 0);
	FAILS(setsockopt(s, SOL_SOCKET, SO_ERROR, &got, 4), WSAENOPROTOOPT);
	FAILS(setsockopt(s, SOL_SOCKET, 0x7777, &got, 4), WSAENOPROTOOPT);
	FAILS(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &got, 3), WSAEFAULT);
	len = 3;
	FAILS(getsockopt(s, SOL_SOCKET, SO_TYPE, &got, &len), WSAEFAULT);
	closesocket(s);
}
END_TEST

START_TEST(times_out_and_would_block)
{
	struct both b = connected(types[_i]);
	u_long wide = 1;
	ULONG narrow = 0;
	DWORD ms = 30;
	char buf[4];

	ck_assert_int_eq(setsockopt(b.client, SOL_SOCKET, SO_RCVTIMEO, &ms,
				    sizeof(ms)), 0);
	FAILS(recv(b.client, buf, 4, 0), WSAETIMEDOUT);
	ck_assert_int_eq(ioctlsocket(b.client, FIONBIO, &wide), 0);
	FAILS(recv(b.client, buf, 4, 0), WSAEWOULDBLOCK);
	ck_assert_int_eq(ioctlsocket(b.listener, FIONBIO, &wide), 0);
	FAILS(accept(b.listener, NULL, NULL), WSAEWOULDBLOCK);
	ck_assert_int_eq(ioctlsocket(b.client, FIONBIO, &narrow), 0);
	ck_assert_int_eq(fcntl(b.client, F_GETFL) & O_NONBLOCK, 0);

	ck_assert_int_eq(send(b.server, "abcde", 5, 0), 5);
	wide = ~0ul;
	ck_assert_int_eq(ioctlsocket(b.client, FIONREAD, &wide), 0);
	ck_assert_uint_eq(wide, 5);
	ck_assert_int_eq(ioctlsocket(b.client, FIONREAD, &narrow), 0);
	ck_assert_uint_eq(narrow, 5);
	if (types[_i] == SOCK_RAW)
		FAILS(recv(b.client, buf, 4, 0), WSAEMSGSIZE);
	else
		ck_assert_int_eq(recv(b.client, buf, 4, 0), 4);
	FAILS(ioctlsocket(b.client, 0x1234, &wide), WSAEINVAL);
	end(&b);

	/* as on Windows, what a listener accepts blocks if it does */
	b = connected(types[_i]);
	wide = 1;
	ck_assert_int_eq(ioctlsocket(b.listener, FIONBIO, &wide), 0);
	closesocket(b.client);
	closesocket(b.server);
	b.client = make(types[_i]);
	ck_assert_int_eq(connect(b.client, (SOCKADDR *)&b.addr,
				 sizeof(b.addr)), 0);
	b.server = accept(b.listener, NULL, NULL);
	FAILS(recv(b.server, buf, 4, 0), WSAEWOULDBLOCK);
	end(&b);
}
END_TEST

START_TEST(waits_with_select)
{
	struct both b = connected(types[_i]);
	struct timeval none = { 0, 0 }, bad = { 0, 1000000 };
	fd_set r, w, e;
	char x;

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&e);
	FAILS(select(0, NULL, NULL, NULL, &none), WSAEINVAL);
	FAILS(select(0, &r, NULL, NULL, &none), WSAEINVAL);
	FD_SET(b.client, &r);
	FD_SET(b.client, &r);
	ck_assert_uint_eq(r.fd_count, 1);
	FD_SET(b.client, &w);
	FD_SET(b.client, &e);
	FAILS(select(0, &r, &w, &e, &bad), WSAEINVAL);
	ck_assert_int_eq(select(0, &r, &w, &e, &none), 1);
	ck_assert(!FD_ISSET(b.client, &r));
	ck_assert(FD_ISSET(b.client, &w));
	ck_assert(!FD_ISSET(b.client, &e));

	ck_assert_int_eq(send(b.server, "x", 1, 0), 1);
	FD_SET(b.server, &r);
	FD_SET(b.client, &r);
	FD_SET(b.listener, &r);
	ck_assert_int_eq(select(0, &r, NULL, NULL, NULL), 1);
	ck_assert(FD_ISSET(b.client, &r));
	ck_assert(!FD_ISSET(b.server, &r));
	ck_assert_int_eq(recv(b.client, &x, 1, 0), 1);

	/* the graceful end wakes a reader */
	shutdown(b.server, SD_SEND);
	FD_ZERO(&r);
	FD_SET(b.client, &r);
	ck_assert_int_eq(select(0, &r, NULL, NULL, NULL), 1);
	ck_assert_int_eq(recv(b.client, &x, 1, 0), 0);
	FD_CLR(b.client, &r);
	ck_assert_uint_eq(r.fd_count, 0);

	closesocket(b.client);
	FD_SET(b.client, &r);
	FAILS(select(0, &r, NULL, NULL, &none), WSAENOTSOCK);
	end(&b);
}
END_TEST

START_TEST(waits_with_poll)
{
	struct both b = connected(types[_i]);
	WSAPOLLFD p[2] = { { .fd = b.client, .events = POLLRDNORM },
			   { .fd = b.server, .events = POLLWRNORM } };

	FAILS(WSAPoll(p, 0, 0), WSAEINVAL);
	FAILS(WSAPoll(NULL, 1, 0), WSAEFAULT);
	ck_assert_int_eq(WSAPoll(p, 1, 0), 0);
	ck_assert_int_eq(WSAPoll(p, 2, -1), 1);
	ck_assert_int_ne(p[1].revents & POLLWRNORM, 0);
	ck_assert_int_eq(send(b.server, "x", 1, 0), 1);
	ck_assert_int_eq(WSAPoll(p, 1, -1), 1);
	ck_assert_int_ne(p[0].revents & POLLRDNORM, 0);
	closesocket(b.server);
	b.server = INVALID_SOCKET;
	ck_assert_int_eq(WSAPoll(p, 1, -1), 1);
	ck_assert_int_ne(p[0].revents & POLLHUP, 0);
	end(&b);
}
END_TEST

static void on_signal(int number)
{
	(void)number;
}

/* A signal while it waits: the wait goes on. */
START_TEST(signals_do_not_interrupt)
{
	struct both b = connected(SOCK_STREAM);
	struct waiter w = { .s = b.client, .receives = 1 };
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t t;
	int i;

	sigaction(SIGUSR1, &sa, NULL);
	pthread_barrier_init(&w.ready, NULL, 2);
	pthread_create(&t, NULL, wait_in_call, &w);
	pthread_barrier_wait(&w.ready);
	await_sleep(&w);
	for (i = 0; i < 100; i++) {
		ck_assert_int_eq(pthread_kill(t, SIGUSR1), 0);
		sched_yield();
	}
	ck_assert_int_eq(send(b.server, "x", 1, 0), 1);
	pthread_join(t, NULL);
	ck_assert_int_eq(w.result, 1);
	end(&b);
}
END_TEST

START_TEST(maps_errors_both_ways)
{
	static const struct { int error, wsa; } table[] = {
		{ EACCES, 10013 },	  { EFAULT, 10014 },
		{ EINVAL, 10022 },	  { EMFILE, 10024 },
		{ EAGAIN, 10035 },	  { EINPROGRESS, 10036 },
		{ EALREADY, 10037 },	  { ENOTSOCK, 10038 },
		{ EMSGSIZE, 10040 },	  { EPROTOTYPE, 10041 },
		{ ENOPROTOOPT, 10042 },	  { EPROTONOSUPPORT, 10043 },
		{ ESOCKTNOSUPPORT, 10044 }, { EOPNOTSUPP, 10045 },
		{ EAFNOSUPPORT, 10047 },  { EADDRINUSE, 10048 },
		{ EADDRNOTAVAIL, 10049 }, { ENETDOWN, 10050 },
		{ ENETUNREACH, 10051 },	  { ECONNABORTED, 10053 },
		{ ECONNRESET, 10054 },	  { ENOBUFS, 10055 },
		{ EISCONN, 10056 },	  { ENOTCONN, 10057 },
		{ ESHUTDOWN, 10058 },	  { ETOOMANYREFS, 10059 },
		{ ETIMEDOUT, 10060 },	  { ECONNREFUSED, 10061 },
		{ EHOSTDOWN, 10064 },	  { EHOSTUNREACH, 10065 },
		{ EINTR, 10004 },	  { 0, 0 },
	};
	size_t i;
	int e;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		ck_assert_int_eq(hvs_wsa_from_errno(table[i].error),
				 table[i].wsa);
		ck_assert_int_eq(hvs_wsa_to_errno(table[i].wsa),
				 table[i].error);
	}
	/* every number has words and an errno; no errno is without a number */
	for (e = 1; e < 200; e++) {
		int wsa = hvs_wsa_from_errno(e);

		ck_assert_int_ge(wsa, 10004);
		ck_assert_str_ne(hvs_wsa_strerror(wsa), "");
		ck_assert_str_ne(hvs_wsa_strerror(wsa), "unknown error");
		ck_assert_int_ne(hvs_wsa_to_errno(wsa), 0);
	}
	ck_assert_str_eq(hvs_wsa_strerror(99999), "unknown error");
	ck_assert_str_eq(hvs_wsa_strerror(0), "no error");
}
END_TEST

/* Nobody answers: the directory is empty. */
START_TEST(says_when_there_is_no_broker)
{
	SOCKADDR_HV a = make_address();
	SOCKET s = make(SOCK_STREAM);

	setenv("HVSOCKET_RUNTIME_DIR", "/nonexistent", 1);
	FAILS(connect(s, (SOCKADDR *)&a, sizeof(a)), WSAENETDOWN);
	FAILS(bind(s, (SOCKADDR *)&a, sizeof(a)), 10050);
	closesocket(s);
}
END_TEST

START_TEST(works_for_other_families)
{
	struct sockaddr_in a = { .sin_family = AF_INET }, got;
	SOCKET l = socket(AF_INET, SOCK_STREAM, 0), c, s;
	int len = sizeof(a);
	char x;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(l, (SOCKADDR *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	ck_assert_int_eq(getsockname(l, (SOCKADDR *)&a, &len), 0);
	c = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(c, (SOCKADDR *)&a, len), 0);
	s = accept(l, (SOCKADDR *)&got, &len);
	ck_assert_int_ne(s, INVALID_SOCKET);
	ck_assert_int_eq(got.sin_family, AF_INET);
	ck_assert_int_eq(shutdown(c, SD_SEND), 0);
	FAILS(send(c, "x", 1, 0), WSAESHUTDOWN);
	ck_assert_int_eq(recv(s, &x, 1, 0), 0);
	closesocket(s);
	closesocket(c);
	closesocket(l);
}
END_TEST

TCase *winsock_rest(void)
{
	TCase *t = tcase_create("the rest");

	tcase_add_test(t, reports_a_reset_as_such);
	tcase_add_test(t, wants_startup);
	tcase_add_test(t, makes_sockets_or_says_why);
	tcase_add_test(t, checks_the_room_for_addresses);
	tcase_add_test(t, keeps_levels_apart);
	tcase_add_loop_test(t, times_out_and_would_block, 0, TYPES);
	tcase_add_loop_test(t, waits_with_select, 0, TYPES);
	tcase_add_loop_test(t, waits_with_poll, 0, TYPES);
	tcase_add_test(t, signals_do_not_interrupt);
	tcase_add_test(t, maps_errors_both_ways);
	tcase_add_test(t, says_when_there_is_no_broker);
	tcase_add_test(t, works_for_other_families);
	return t;
}
