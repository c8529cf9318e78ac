/* SPDX-License-Identifier: MIT */
/*
 * real.h - two ends of one connection, made twice: of plain AF_UNIX sockets
 * and of Hyper-V sockets over the real broker
 */
#ifndef TESTS_REAL_H
#define TESTS_REAL_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <hvsocket.h>

/* Loop tests: bit 0 says what they are made of, bit 1 the type. */
#define KINDS 4
#define IS_HYPERV(i) ((i) & 1)
#define TYPE_OF(i) ((i) & 2 ? SOCK_SEQPACKET : SOCK_STREAM)

struct ends {
	int listener, client, server;
};

static inline SOCKADDR_HV loopback(int listener)
{
	SOCKADDR_HV a;
	socklen_t len = sizeof(a);

	ck_assert_int_eq(hvs_getsockname(listener, &a, &len), 0);
	a.VmId = HV_GUID_LOOPBACK;
	return a;
}

/* At a number of the broker's choice. */
static inline int hv_listener(int type, int backlog)
{
	SOCKADDR_HV any = { .Family = AF_HYPERV };
	int fd = hvs_socket(AF_HYPERV, type | SOCK_CLOEXEC, HV_PROTOCOL_RAW);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(hvs_bind(fd, &any, sizeof(any)), 0);
	ck_assert_int_eq(hvs_listen(fd, backlog), 0);
	return fd;
}

static inline int hv_client(int type)
{
	int fd = hvs_socket(AF_HYPERV, type | SOCK_CLOEXEC, HV_PROTOCOL_RAW);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static inline void hv_ends(struct ends *e, int type)
{
	SOCKADDR_HV a;

	e->listener = hv_listener(type, 8);
	e->client = hv_client(type);
	a = loopback(e->listener);
	ck_assert_int_eq(hvs_connect(e->client, &a, sizeof(a)), 0);
	e->server = hvs_accept(e->listener, NULL, NULL, SOCK_CLOEXEC);
}

static inline void unix_ends(struct ends *e, int type)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa.sun_family);
	struct sockaddr *p = (struct sockaddr *)&sa;

	e->listener = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(e->listener, p, len), 0);
	len = sizeof(sa);
	ck_assert_int_eq(getsockname(e->listener, p, &len), 0);
	ck_assert_int_eq(listen(e->listener, 8), 0);
	e->client = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(e->client, p, len), 0);
	e->server = accept4(e->listener, NULL, NULL, SOCK_CLOEXEC);
}

static inline struct ends ends_of(int i)
{
	struct ends e;

	if (IS_HYPERV(i))
		hv_ends(&e, TYPE_OF(i));
	else
		unix_ends(&e, TYPE_OF(i));
	ck_assert_int_ge(e.server, 0);
	return e;
}

static inline void ends_close(struct ends *e)
{
	close(e->listener);
	close(e->client);
	close(e->server);
}

/* Exactly these bytes come out at @fd. */
static inline void gets_bytes(int fd, const char *want)
{
	char buf[256];
	size_t n = 0, len = strlen(want);
	ssize_t k;

	while (n < len) {
		k = read(fd, buf + n, sizeof(buf) - n);
		ck_assert_int_gt(k, 0);
		n += (size_t)k;
	}
	ck_assert_uint_eq(n, len);
	ck_assert_mem_eq(buf, want, len);
}

#endif /* TESTS_REAL_H */
