/* SPDX-License-Identifier: MIT */
/* winsock-test.h - what the tests of winsock.h share */
#ifndef TESTS_PRELOAD_WINSOCK_TEST_H
#define TESTS_PRELOAD_WINSOCK_TEST_H

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>

#include <hvsocket/winsock.h>

/* The tests' loops: over both types. */
static const int types[] = { SOCK_STREAM, SOCK_RAW };
#define TYPES 2

struct both {
	SOCKET listener, client, server;
	SOCKADDR_HV addr;
};

static inline SOCKADDR_HV make_address(void)
{
	static uint32_t calls;
	SOCKADDR_HV a = { .Family = AF_HYPERV, .VmId = HV_GUID_LOOPBACK };

	a.ServiceId = HV_GUID_VSOCK_TEMPLATE;
	a.ServiceId.Data1 = ((uint32_t)getpid() << 8 | (calls++ & 0xff)) &
			    0x7fffffff;
	return a;
}

static inline SOCKET make(int type)
{
	SOCKET s = socket(AF_HYPERV, type, HV_PROTOCOL_RAW);

	ck_assert_int_ne(s, INVALID_SOCKET);
	return s;
}

static inline struct both connected(int type)
{
	struct both b = { .addr = make_address() };

	b.listener = make(type);
	ck_assert_int_eq(bind(b.listener, (SOCKADDR *)&b.addr, sizeof(b.addr)),
			 0);
	ck_assert_int_eq(listen(b.listener, 4), 0);
	b.client = make(type);
	ck_assert_int_eq(connect(b.client, (SOCKADDR *)&b.addr,
				 sizeof(b.addr)), 0);
	b.server = accept(b.listener, NULL, NULL);
	ck_assert_int_ne(b.server, INVALID_SOCKET);
	return b;
}

static inline void end(struct both *b)
{
	closesocket(b->client);
	closesocket(b->server);
	closesocket(b->listener);
}

/* The call failed, and with this number. */
#define FAILS(call, number)                                             \
	do {                                                            \
		WSASetLastError(0);                                     \
		ck_assert_int_eq(call, SOCKET_ERROR);                   \
		ck_assert_int_eq(WSAGetLastError(), number);            \
	} while (0)

struct waiter {
	SOCKET s;
	pthread_barrier_t ready;
	int result, error;
	int receives;
	pid_t tid;
};

static inline void *wait_in_call(void *arg)
{
	struct waiter *w = arg;
	char x;

	w->tid = gettid();
	pthread_barrier_wait(&w->ready);
	w->result = w->receives ? recv(w->s, &x, 1, 0) :
				  accept(w->s, NULL, NULL);
	w->error = WSAGetLastError();
	return NULL;
}

/* Until the thread sleeps in its accept() or recv(). */
static inline void await_sleep(const struct waiter *w)
{
	long want = w->receives ? SYS_recvmsg : SYS_accept4, number = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", w->tid);
	while (number != want) {
		FILE *f = fopen(path, "r");

		ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
		if (fscanf(f, "%ld", &number) != 1)
			number = -1; /* it says "running" */
		fclose(f);
		sched_yield();
	}
}

TCase *winsock_rows(void);
TCase *winsock_rest(void);

#endif /* TESTS_PRELOAD_WINSOCK_TEST_H */
