/* SPDX-License-Identifier: MIT */
/*
 * plain-foreign.c - what is not ours passes through: same results and errno as
 * the same call past the library
 */
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/un.h>

#include "plain.h"

/* AF_ISDN's, and what nobody knows. */
static const struct {
	int type, protocol;
} not_ours[] = {
	{ SOCK_DGRAM, 1 },	/* ISDN's TE_S0 */
	{ SOCK_RAW, 0 },	/* ISDN's base socket */
	{ SOCK_STREAM, 0 },	{ SOCK_STREAM, 2 },
	{ SOCK_SEQPACKET, 34 }, { SOCK_DGRAM | SOCK_NONBLOCK, 1 },
	{ SOCK_RDM, 1 },	{ SOCK_STREAM | 0x100000, 1 },
	{ 0, 1 },		{ -1, 1 },
	{ SOCK_PACKET, 1 },	{ SOCK_STREAM, -1 },
};

#define NOT_OURS ((int)(sizeof(not_ours) / sizeof(not_ours[0])))

START_TEST(isdn_is_the_kernels)
{
	int type = not_ours[_i].type, protocol = not_ours[_i].protocol;
	long want, got;
	int want_errno;

	errno = 0;
	want = syscall(SYS_socket, FAMILY, type, protocol);
	want_errno = errno;
	errno = 0;
	got = socket(FAMILY, type, protocol);
	if (want < 0) {
		ck_assert_int_eq(got, -1);
		ck_assert_int_eq(errno, want_errno);
		return;
	}
	/* a kernel with ISDN: the socket is of that family, not of AF_UNIX */
	ck_assert_int_ge(got, 0);
	ck_assert_int_eq(sys_get((int)got, SOL_SOCKET, SO_DOMAIN), FAMILY);
	close((int)want);
	close((int)got);
}
END_TEST

static void same_names(int fd)
{
	struct sockaddr_storage a, b;
	socklen_t room, al, bl;
	long r;

	for (room = 0; room <= sizeof(a); room += 2) {
		memset(&a, 0xee, sizeof(a));
		memset(&b, 0xee, sizeof(b));
		al = bl = room;
		errno = 0;
		r = syscall(SYS_getsockname, fd, &a, &al);
		ck_assert_int_eq(getsockname(fd, SA(&b), &bl), r);
		ck_assert_uint_eq(al, bl);
		ck_assert_mem_eq(&a, &b, sizeof(a));
		al = bl = room;
		r = syscall(SYS_getpeername, fd, &a, &al);
		ck_assert_int_eq(getpeername(fd, SA(&b), &bl), r);
		ck_assert_uint_eq(al, bl);
		ck_assert_mem_eq(&a, &b, sizeof(a));
	}
}

static void same_options(int fd)
{
	static const int levels[] = { SOL_SOCKET, SOL_OURS, IPPROTO_TCP };
	size_t i;
	int name;

	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		for (name = 0; name < 80; name++) {
			uint8_t a[64], b[64];
			socklen_t al = sizeof(a), bl = sizeof(b);
			long ra, rb;
			int ea, eb;

			memset(a, 0, sizeof(a));
			memset(b, 0, sizeof(b));
			errno = 0;
			ra = syscall(SYS_getsockopt, fd, levels[i], name, a,
				     &al);
			ea = errno;
			errno = 0;
			rb = getsockopt(fd, levels[i], name, b, &bl);
			eb = errno;
			ck_assert_int_eq(ra, rb);
			ck_assert_int_eq(ea, eb);
			ck_assert_uint_eq(al, bl);
			/* TCP_INFO counts the time that passes; descriptors
			 * of peers are new ones */
			if (levels[i] == SOL_SOCKET && name != 77)
				ck_assert_msg(memcmp(a, b, sizeof(a)) == 0,
					      "option %d differs", name);
		}
	}
	ck_assert_int_eq(set(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
	ck_assert_int_eq(set(fd, SOL_SOCKET, SO_ERROR, 1), -ENOPROTOOPT);
	ck_assert_int_eq(set(fd, SOL_OURS, 1, 1) < 0, 1);
}

/* A Hyper-V address on them is what it is to the kernel. */
static void same_refusal(int fd)
{
	struct hv a = address();
	long r;
	int e;

	r = syscall(SYS_connect, fd, &a, sizeof(a));
	e = errno;
	ck_assert_int_eq(r, -1);
	ck_assert_int_eq(connect(fd, SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, e);
	r = syscall(SYS_bind, fd, &a, sizeof(a));
	e = errno;
	ck_assert_int_eq(r, -1);
	ck_assert_int_eq(bind(fd, SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, e);
}

static void walk(int family, struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_storage peer;
	socklen_t plen = sizeof(peer);
	char x[4];
	int l, c, s, again;

	l = socket(family, SOCK_STREAM, 0);
	ck_assert_int_ge(l, 0);
	same_names(l);
	same_options(l);
	same_refusal(l);
	ck_assert_int_eq(bind(l, addr, len), 0);
	ck_assert_int_eq(listen(l, 4), 0);
	same_names(l);
	ck_assert_int_eq(getsockname(l, SA(&peer), &plen), 0);
	c = socket(family, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(c, SA(&peer), plen), 0);
	plen = sizeof(peer);
	s = accept(l, SA(&peer), &plen);
	ck_assert_int_ge(s, 0);
	ck_assert_int_eq(peer.ss_family, family);
	same_names(c);
	same_names(s);
	same_options(c);
	same_options(s);
	ck_assert_int_eq(write(c, "abc", 3), 3);
	plen = sizeof(peer);
	ck_assert_int_eq(recvfrom(s, x, 3, 0, SA(&peer), &plen), 3);

	again = socket(family, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(again, addr, 1), -1);
	ck_assert_int_eq(errno, EINVAL);
	close(again);
	close(s);
	close(c);
	close(l);
}

START_TEST(tcp)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	/* also where this process does have Hyper-V sockets */
	int ours = _i ? make(SOCK_STREAM) : -1;

	walk(AF_INET, SA(&a), sizeof(a));
	if (ours >= 0)
		close(ours);
}
END_TEST

START_TEST(af_unix)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int ours = _i ? make(SOCK_STREAM) : -1;

	/* the kernel chooses an abstract name */
	walk(AF_UNIX, SA(&a), sizeof(a.sun_family));
	if (ours >= 0)
		close(ours);
}
END_TEST

START_TEST(socket_pairs)
{
	int pair[2], ours = make(SOCK_STREAM);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	same_names(pair[0]);
	same_options(pair[0]);
	ck_assert_int_eq(get(pair[0], SOL_SOCKET, SO_TYPE), SOCK_SEQPACKET);
	close(pair[0]);
	close(pair[1]);
	close(ours);
}
END_TEST

/* Not sockets, and not descriptors. */
START_TEST(others)
{
	struct hv a = address();
	socklen_t len = sizeof(a);
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	same_names(fds[0]);
	same_names(-1);
	ck_assert_int_eq(bind(fds[0], SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_int_eq(connect(-1, SA(&a), sizeof(a)), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(listen(fds[0], 1), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_int_eq(accept(fds[0], SA(&a), &len), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_int_eq(get(fds[0], SOL_SOCKET, 1), -ENOTSOCK);
	ck_assert_int_eq(get(-1, SOL_OURS, 1), -EBADF);
	ck_assert_int_eq(set(-1, SOL_SOCKET, 1, 1), -EBADF);
	ck_assert_int_eq(getsockname(fds[0], NULL, NULL), -1);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

Suite *suite_foreign(void)
{
	Suite *s = suite_create("foreign");
	TCase *t = tcase_create("foreign");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, isdn_is_the_kernels, 0, NOT_OURS);
	tcase_add_loop_test(t, tcp, 0, 2);
	tcase_add_loop_test(t, af_unix, 0, 2);
	tcase_add_test(t, socket_pairs);
	tcase_add_test(t, others);
	suite_add_tcase(s, t);
	return s;
}
