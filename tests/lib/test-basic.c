/* SPDX-License-Identifier: MIT */
/* test-basic.c - sockets, addresses and connections over the library */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/guid.h"
#include "stand-in.h"

static struct stand_in broker;

static void setup(void)
{
	stand_in_start(&broker);
}

static void teardown(void)
{
	stand_in_end(&broker);
}

static SOCKADDR_HV address(const GUID *vmid, uint32_t port)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV, .VmId = *vmid,
			  .ServiceId = guid_from_port(port) };

	return a;
}

static int listener(int type, uint32_t port)
{
	SOCKADDR_HV a = address(&HV_GUID_WILDCARD, port);
	int fd = hvs_socket(AF_HYPERV, type, HV_PROTOCOL_RAW);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(hvs_bind(fd, &a, sizeof(a)), 0);
	ck_assert_int_eq(hvs_listen(fd, 16), 0);
	return fd;
}

START_TEST(connect_accept)
{
	static const int types[] = { SOCK_STREAM, SOCK_RAW, SOCK_SEQPACKET };
	SOCKADDR_HV dest = address(&HV_GUID_LOOPBACK, 1000), a;
	socklen_t len;
	char buf[8];
	int l, c, s;

	l = listener(types[_i], 1000);
	c = hvs_socket(AF_HYPERV, types[_i] | SOCK_CLOEXEC, HV_PROTOCOL_RAW);
	ck_assert_int_ge(c, 0);
	ck_assert_int_eq(hvs_connect(c, &dest, sizeof(dest)), 0);
	ck_assert_int_eq(broker.shared->nonblock, 1);
	ck_assert_int_eq(fcntl(c, F_GETFL) & O_NONBLOCK, 0);
	len = sizeof(a);
	s = hvs_accept(l, &a, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	ck_assert_int_ge(s, 0);
	ck_assert_uint_eq(len, 36);
	ck_assert(guid_equal(&a.VmId, &HV_GUID_LOOPBACK));
	ck_assert_int_eq(a.ServiceId.Data1, 0x80000001);
	ck_assert_int_ne(fcntl(s, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(s, F_GETFD) & FD_CLOEXEC, 0);

	ck_assert_int_eq(write(c, "hello", 5), 5);
	ck_assert_int_eq(write(c, "you", 3), 3);
	ck_assert_int_eq(read(s, buf, sizeof(buf)), _i ? 5 : 8);

	len = sizeof(a);
	ck_assert_int_eq(hvs_getpeername(s, &a, &len), 0);
	ck_assert(guid_equal(&a.VmId, &HV_GUID_LOOPBACK));
	len = sizeof(a);
	ck_assert_int_eq(hvs_getpeername(c, &a, &len), 0);
	ck_assert_mem_eq(&a, &dest, sizeof(a));
	len = sizeof(a);
	ck_assert_int_eq(hvs_getsockname(c, &a, &len), 0);
	ck_assert(guid_is_zero(&a.VmId));
	ck_assert_int_eq(a.ServiceId.Data1, 0x80000001);
	len = sizeof(a);
	ck_assert_int_eq(hvs_getsockname(s, &a, &len), 0);
	ck_assert(guid_is_zero(&a.VmId));
	ck_assert_int_eq(a.ServiceId.Data1, 1000);
	ck_assert_int_eq(broker.shared->accepted, 1);
	stand_in_wait(&broker.shared->notices, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lib-basic");
	TCase *t = tcase_create("basic");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, connect_accept, 0, 3);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
