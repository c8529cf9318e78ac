/* SPDX-License-Identifier: MIT */
/* test-basic.c - sockets, addresses and connections over the library */
#include "harness.h"

START_TEST(connect_accept)
{
	static const int types[] = { SOCK_STREAM, SOCK_RAW, SOCK_SEQPACKET };
	SOCKADDR_HV dest = address(&HV_GUID_LOOPBACK, 1000), a;
	socklen_t len;
	char buf[8];
	int l, c, s;

	l = listener(types[_i], 1000);
	c = new_socket(types[_i] | SOCK_CLOEXEC);
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

START_TEST(socket_arguments)
{
	int fd;

	assert_fails(hvs_socket(AF_UNIX, SOCK_STREAM, 1), EAFNOSUPPORT);
	assert_reason(-1, HVS_REASON_BAD_REQUEST, EAFNOSUPPORT, "AF_HYPERV");
	assert_fails(hvs_socket(AF_HYPERV, SOCK_STREAM, 0), EPROTONOSUPPORT);
	assert_fails(hvs_socket(AF_HYPERV, SOCK_STREAM, 6), EPROTONOSUPPORT);
	assert_fails(hvs_socket(AF_HYPERV, SOCK_RDM, 1), EINVAL);
	assert_fails(hvs_socket(AF_HYPERV, 0, 1), EINVAL);
	assert_fails(hvs_socket(AF_HYPERV, SOCK_STREAM | 0x100000, 1), EINVAL);
	fd = new_socket(SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(broker.shared->accepted, 0); /* nobody was asked */
}
END_TEST

START_TEST(bad_addresses)
{
	SOCKADDR_HV good = address(&HV_GUID_LOOPBACK, 5), a;
	int (*call)(int, const SOCKADDR_HV *, socklen_t) =
		_i ? hvs_connect : hvs_bind;
	int fd = new_socket(SOCK_STREAM);

	for (socklen_t len = 0; len < 80; len++)
		if (len != sizeof(good)) {
			unsigned char big[80] = { 0 };

			memcpy(big, &good, sizeof(good));
			assert_fails(call(fd, (SOCKADDR_HV *)(void *)big, len),
				     EINVAL);
		}
	assert_reason(-1, HVS_REASON_BAD_REQUEST, EINVAL, "79 bytes");
	assert_fails(call(fd, &good, (socklen_t)-1), EINVAL);
	assert_fails(call(fd, NULL, sizeof(good)), EFAULT);
	a = good;
	a.Family = AF_UNIX;
	assert_fails(call(fd, &a, sizeof(a)), EAFNOSUPPORT);
	/* another family is said before another length */
	assert_fails(call(fd, &a, 16), EAFNOSUPPORT);
	a = good;
	a.Reserved = 1;
	assert_fails(call(fd, &a, sizeof(a)), EINVAL);
	assert_reason(fd, HVS_REASON_BAD_REQUEST, EINVAL, "Reserved is 0x0001");
	assert_fails(call(-1, &good, sizeof(good)), EBADF);
	ck_assert_int_eq(broker.shared->connects + broker.shared->binds, 0);
	/* nothing of that has harmed the socket */
	good = address(&HV_GUID_WILDCARD, 5);
	ck_assert_int_eq(hvs_bind(fd, &good, sizeof(good)), 0);
	assert_reason(fd, HVS_REASON_NONE, 0, "");
}
END_TEST

START_TEST(zero_zero)
{
	SOCKADDR_HV none = { .Family = AF_HYPERV }, a;
	socklen_t len = sizeof(a);
	int l, c, fd;

	/* before listen: nobody is asked until then */
	l = new_socket(SOCK_STREAM);
	ck_assert_int_eq(hvs_bind(l, &none, sizeof(none)), 0);
	ck_assert_int_eq(broker.shared->binds, 0);
	ck_assert_int_eq(hvs_getsockname(l, &a, &len), 0);
	ck_assert_mem_eq(&a, &none, sizeof(a));
	assert_fails(hvs_bind(l, &none, sizeof(none)), EINVAL);
	a = address(&HV_GUID_WILDCARD, 9);
	assert_fails(hvs_bind(l, &a, sizeof(a)), EINVAL);
	ck_assert_int_eq(hvs_listen(l, 1), 0);
	ck_assert_int_eq(broker.shared->binds, 1);
	len = sizeof(a);
	ck_assert_int_eq(hvs_getsockname(l, &a, &len), 0);
	ck_assert_uint_ge(a.ServiceId.Data1, 0x80000000);
	ck_assert(guid_is_port(&a.ServiceId, NULL));

	/* before connect: it means nothing */
	c = new_socket(SOCK_STREAM);
	ck_assert_int_eq(hvs_bind(c, &none, sizeof(none)), 0);
	ck_assert_int_eq(dial(c, a.ServiceId.Data1), 0);
	ck_assert_int_eq(broker.shared->binds, 1);

	/* what is bound, or no socket of ours, cannot be bound to it */
	assert_fails(hvs_bind(l, &none, sizeof(none)), EINVAL);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(fd, 0);
	assert_fails(hvs_bind(fd, &none, sizeof(none)), ENOTSOCK);
	fd = open("/dev/null", O_RDONLY);
	assert_fails(hvs_bind(fd, &none, sizeof(none)), ENOTSOCK);
	assert_fails(hvs_bind(-1, &none, sizeof(none)), EBADF);
}
END_TEST

START_TEST(listen_refused)
{
	SOCKADDR_HV a = address(&HV_GUID_WILDCARD, 77);
	int fd = new_socket(SOCK_STREAM);

	assert_fails(hvs_listen(fd, 1), EINVAL);
	assert_reason(fd, HVS_REASON_BAD_REQUEST, EINVAL, "not bound");
	assert_fails(hvs_listen(-1, 1), EBADF);

	stand_in_mode(&broker, DISABLED, 1);
	ck_assert_int_eq(hvs_bind(fd, &a, sizeof(a)), 0);
	stand_in_mode(&broker, DISABLED, 1);
	assert_fails(hvs_listen(fd, 1), EINVAL);
	assert_reason(fd, HVS_REASON_DISABLED, EINVAL, "disabled");
	ck_assert_int_eq(broker.shared->notices, 0);
	/* enabled meanwhile */
	ck_assert_int_eq(hvs_listen(fd, 1), 0);
	ck_assert_int_eq(broker.shared->listens, 2);
	/* and once it listens it is not asked about again */
	ck_assert_int_eq(hvs_listen(fd, 5), 0);
	ck_assert_int_eq(broker.shared->listens, 2);
	stand_in_wait(&broker.shared->notices, 2);
}
END_TEST

START_TEST(refusals)
{
	static const char text[] = "the \xc3\xa4 rule says no";
	int fd = new_socket(SOCK_STREAM), other = new_socket(SOCK_STREAM);
	struct hvs_reason r;

	broker.shared->error = EACCES;
	broker.shared->reason = HVS_REASON_CONNECT_DENIED;
	strcpy(broker.shared->text, text);
	stand_in_mode(&broker, REFUSE, 1);
	assert_fails(dial(fd, 1), EACCES);
	assert_reason(-1, HVS_REASON_CONNECT_DENIED, EACCES, text);
	assert_reason(fd, HVS_REASON_CONNECT_DENIED, EACCES, text);
	assert_reason(other, HVS_REASON_NONE, 0, "");
	assert_reason(dup(fd), HVS_REASON_CONNECT_DENIED, EACCES, text);
	r = reason_of(fd);
	ck_assert_str_eq(r.broker, broker.dir);
	ck_assert_str_eq(hvs_reason_name(r.code), "connect denied");
	ck_assert_str_eq(hvs_reason_name(9999), "unknown");

	/* a sentence that is too long is cut between characters */
	for (size_t i = 0; i + 2 < sizeof(broker.shared->text); i += 2)
		memcpy(broker.shared->text + i, "\xc3\xa4", 3);
	stand_in_mode(&broker, REFUSE, 1);
	assert_fails(dial(fd, 1), EACCES);
	r = reason_of(fd);
	ck_assert_uint_eq(strlen(r.text), sizeof(r.text) - 2);
	/* one that is no text does no harm; an errno that is none is EIO */
	strcpy(broker.shared->text, "a\xff\xfe" "b");
	broker.shared->error = 0x80000001;
	stand_in_mode(&broker, REFUSE, 1);
	assert_fails(dial(fd, 1), EIO);
	assert_reason(fd, HVS_REASON_CONNECT_DENIED, EIO, "a??b");
	/* and none that drives a terminal: C0, DEL, C1 */
	strcpy(broker.shared->text, "a\33[2Jb\n\177\xc2\x9b" "c");
	stand_in_mode(&broker, REFUSE, 1);
	assert_fails(dial(fd, 1), EIO);
	ck_assert_str_eq(reason_of(fd).text, "a?[2Jb????c");
	stand_in_mode(&broker, NONSENSE, 1);
	assert_fails(dial(fd, 1), EPROTO);
	assert_reason(fd, HVS_REASON_BROKER_FAILED, EPROTO, "no sense");

	assert_fails(dial(fd, 1), ECONNREFUSED);
	/* the kernel's own refusals have a sentence, too */
	assert_fails(hvs_accept(-1, NULL, NULL, 0), EBADF);
	assert_reason(-1, HVS_REASON_NONE, EBADF, "Bad file descriptor");
	assert_fails(hvs_reason(99, &r), EBADF);
	assert_fails(hvs_reason(open("/dev/null", O_RDONLY), &r), ENOTSOCK);
}
END_TEST

START_TEST(success_forgets_reason)
{
	int fd = new_socket(SOCK_STREAM), l;

	assert_fails(dial(fd, 1), ECONNREFUSED);
	ck_assert_uint_eq(reason_of(fd).code, HVS_REASON_NO_LISTENER);
	close(fd);
	l = listener(SOCK_STREAM, 1);
	/* a new socket of the same number starts without one */
	fd = new_socket(SOCK_STREAM);
	ck_assert_uint_eq(reason_of(fd).code, HVS_REASON_NONE);
	broker.shared->error = ENOBUFS;
	broker.shared->reason = HVS_REASON_QUOTA;
	stand_in_mode(&broker, REFUSE, 1);
	assert_fails(dial(fd, 1), ENOBUFS);
	ck_assert_int_eq(dial(fd, 1), 0);
	ck_assert_uint_eq(reason_of(fd).code, HVS_REASON_NONE);
	close(l);
}
END_TEST

START_TEST(names_of_others)
{
	SOCKADDR_HV a;
	socklen_t len = sizeof(a);
	unsigned char small[8];
	int sv[2], inet = socket(AF_INET, SOCK_STREAM, 0), fd;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_fails(hvs_getpeername(sv[0], &a, &len), ENOTSOCK);
	assert_fails(hvs_getsockname(inet, &a, &len), ENOTSOCK);
	assert_fails(hvs_getsockname(-1, &a, &len), EBADF);
	assert_fails(hvs_getsockname(STDIN_FILENO + 999, &a, &len), EBADF);
	fd = new_socket(SOCK_STREAM);
	assert_fails(hvs_getpeername(fd, &a, &len), ENOTCONN);
	assert_fails(hvs_getsockname(fd, NULL, &len), EFAULT);
	assert_fails(hvs_getsockname(fd, &a, NULL), EFAULT);
	len = (socklen_t)-1;
	assert_fails(hvs_getsockname(fd, &a, &len), EINVAL);
	/* what does not fit is cut, as getsockname(2) does it */
	memset(small, 0xee, sizeof(small));
	len = 4;
	ck_assert_int_eq(hvs_getsockname(fd, (SOCKADDR_HV *)(void *)small,
					 &len), 0);
	ck_assert_uint_eq(len, 36);
	ck_assert_int_eq(small[0], AF_HYPERV);
	ck_assert_int_eq(small[4], 0xee);
}
END_TEST

START_TEST(options_on_the_wire)
{
	static const struct {
		int name;
		uint32_t flag;
	} table[] = {
		{ HVSOCKET_CONTAINER_PASSTHRU, 4 },
		{ HVSOCKET_CONNECTED_SUSPEND, 8 },
		{ HVSOCKET_WAIT_LISTENER, 2 },
	};
	uint32_t one = 1, ms = 1234, v;
	socklen_t len = sizeof(v);
	int l = listener(SOCK_STREAM, 3), fd;

	for (size_t i = 0; i < 3; i++) {
		fd = new_socket(SOCK_STREAM);
		ck_assert_int_eq(hvs_setsockopt(fd, SOL_HVSOCKET, table[i].name,
						&one, 4), 0);
		ck_assert_int_eq(hvs_getsockopt(fd, SOL_HVSOCKET, table[i].name,
						&v, &len), 0);
		ck_assert_uint_eq(v, 1);
		ck_assert_int_eq(dial(fd, 3), 0);
		ck_assert_uint_eq(broker.shared->flags, table[i].flag);
	}
	/* waiting is for blocking connects */
	fd = new_socket(SOCK_STREAM | SOCK_NONBLOCK);
	ck_assert_int_eq(hvs_setsockopt(fd, SOL_HVSOCKET,
					HVSOCKET_WAIT_LISTENER, &one, 4), 0);
	ck_assert_int_eq(dial(fd, 3), 0);
	ck_assert_uint_eq(broker.shared->flags, 1);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);

	fd = new_socket(SOCK_STREAM);
	ck_assert_int_eq(hvs_setsockopt(fd, HV_PROTOCOL_RAW, HVSOCKET_HIGH_VTL,
					&one, 4), 0);
	assert_fails(dial(fd, 3), ECONNREFUSED);
	ck_assert_uint_eq(broker.shared->flags, 16);
	one = 0;
	ck_assert_int_eq(hvs_setsockopt(fd, HV_PROTOCOL_RAW, HVSOCKET_HIGH_VTL,
					&one, 4), 0);
	ck_assert_int_eq(hvs_setsockopt(fd, HV_PROTOCOL_RAW,
					HVSOCKET_CONNECT_TIMEOUT, &ms, 4), 0);
	ck_assert_int_eq(dial(fd, 3), 0);
	ck_assert_uint_eq(broker.shared->timeout_ms, 1234);
	fd = new_socket(SOCK_STREAM);
	ck_assert_int_eq(dial(fd, 3), 0);
	ck_assert_uint_eq(broker.shared->timeout_ms, 0);
	ck_assert_uint_eq(broker.shared->flags, 0);
	close(l);
}
END_TEST

START_TEST(option_table)
{
	static const int names[] = {
		HVSOCKET_CONNECT_TIMEOUT, HVSOCKET_CONTAINER_PASSTHRU,
		HVSOCKET_CONNECTED_SUSPEND, HVSOCKET_HIGH_VTL
	};
	int inet = socket(AF_INET, SOCK_STREAM, 0);
	int fd = new_socket(SOCK_STREAM);
	uint32_t v, before;
	unsigned char big[8];
	socklen_t len;

	for (size_t i = 0; i < 4; i++) {
		uint32_t max = i ? 1 : HVSOCKET_CONNECT_TIMEOUT_MAX;

		len = sizeof(big);
		ck_assert_int_eq(hvs_getsockopt(fd, HV_PROTOCOL_RAW, names[i],
						big, &len), 0);
		ck_assert_uint_eq(len, 4);
		memcpy(&before, big, 4);
		ck_assert_uint_eq(before,
				  i ? 0 : HVSOCKET_CONNECT_TIMEOUT_DEFAULT);
		v = max + 1;
		assert_fails(hvs_setsockopt(fd, 1, names[i], &v, 4), EINVAL);
		v = UINT32_MAX;
		assert_fails(hvs_setsockopt(fd, 1, names[i], &v, 4), EINVAL);
		v = max;
		assert_fails(hvs_setsockopt(fd, 1, names[i], &v, 3), EINVAL);
		assert_fails(hvs_setsockopt(fd, 1, names[i], &v, 8), EINVAL);
		assert_fails(hvs_setsockopt(fd, 1, names[i], NULL, 4), EFAULT);
		ck_assert_int_eq(hvs_setsockopt(fd, 1, names[i], &v, 4), 0);
		/* the other spelling of the level; a duplicate */
		len = sizeof(v);
		v = 0;
		ck_assert_int_eq(hvs_getsockopt(dup(fd), SOL_HVSOCKET, names[i],
						&v, &len), 0);
		ck_assert_uint_eq(v, max);
		v = 0;
		ck_assert_int_eq(hvs_setsockopt(fd, 1, names[i], &v, 4), 0);
		len = sizeof(v);
		ck_assert_int_eq(hvs_getsockopt(fd, 1, names[i], &v, &len), 0);
		ck_assert_uint_eq(v, before);
		len = 3;
		assert_fails(hvs_getsockopt(fd, 1, names[i], &v, &len), EINVAL);
		v = 1;
		assert_fails(hvs_setsockopt(inet, 1, names[i], &v, 4),
			     ENOTSOCK);
		assert_fails(hvs_setsockopt(-1, 1, names[i], &v, 4), EBADF);
		assert_fails(hvs_setsockopt(fd, SOL_TCP, names[i], &v, 4),
			     ENOPROTOOPT);
	}
	/* SO_DEBUG and SOL_SOCKET are never meant */
	v = 0;
	len = sizeof(v);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_DEBUG, &v, &len), 0);
	ck_assert_uint_eq(v, 0);
	for (int name = 0; name < 0x110; name++) {
		bool ours = name == 1 || name == 2 || name == 4 || name == 8;

		len = sizeof(v);
		if (ours)
			continue;
		assert_fails(hvs_getsockopt(fd, 1, name, &v, &len),
			     ENOPROTOOPT);
		if (name == HVSOCKET_ERROR || name == HVSOCKET_WAIT_LISTENER)
			continue;
		assert_fails(hvs_getsockopt(fd, SOL_HVSOCKET, name, &v, &len),
			     ENOPROTOOPT);
	}
	v = 0;
	assert_fails(hvs_setsockopt(fd, SOL_HVSOCKET, HVSOCKET_ERROR, &v, 4),
		     ENOPROTOOPT);
	assert_reason(fd, HVS_REASON_BAD_REQUEST, ENOPROTOOPT, "read only");
	len = sizeof(v);
	ck_assert_int_eq(hvs_getsockopt(fd, SOL_HVSOCKET, HVSOCKET_ERROR, &v,
					&len), 0);
	ck_assert_uint_eq(v, 0);
}
END_TEST

START_TEST(dial_and_serve)
{
	SOCKADDR_HV a;
	socklen_t len = sizeof(a);
	char byte;
	int l, c, s;

	l = hvs_serve("wildcard:7", 4, HVS_DIAL_RAW);
	ck_assert_int_ge(l, 0);
	ck_assert_int_ne(fcntl(l, F_GETFD) & FD_CLOEXEC, 0);
	c = hvs_dial("web1:echo", 100, HVS_DIAL_RAW | HVS_DIAL_NONBLOCK);
	ck_assert_int_ge(c, 0);
	ck_assert_int_eq(broker.shared->resolves, 1);
	ck_assert_uint_eq(broker.shared->timeout_ms, 100);
	ck_assert_int_ne(fcntl(c, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(c, F_GETFD) & FD_CLOEXEC, 0);
	assert_fails((int)read(c, &byte, 1), EAGAIN);
	s = hvs_accept(l, &a, &len, 0);
	ck_assert_int_ge(s, 0);
	c = hvs_dial("loopback:7", 0, HVS_DIAL_RAW | HVS_DIAL_WAIT);
	ck_assert_int_ge(c, 0);
	ck_assert_uint_eq(broker.shared->flags, 2);
	ck_assert_int_eq(fcntl(c, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(broker.shared->resolves, 1);

	assert_fails(hvs_dial("loopback:7", 0, 16), EINVAL);
	assert_fails(hvs_dial("loopback:7", 300001, 0), EINVAL);
	assert_fails(hvs_dial("loopback:8", 0, 0), ECONNREFUSED);
	assert_fails(hvs_dial("nobody:8", 0, 0), EHOSTUNREACH);
	assert_reason(-1, HVS_REASON_PARTITION_UNKNOWN, EHOSTUNREACH, "no such");
	assert_fails(hvs_dial(NULL, 0, 0), EINVAL);
	assert_fails(hvs_serve("wildcard:7", 1, HVS_DIAL_RAW), EADDRINUSE);
	assert_fails(hvs_serve("wildcard:9", 1, HVS_DIAL_WAIT), EINVAL);
	assert_fails(hvs_serve("wildcard:9", 1, 16), EINVAL);
	/* a failed one leaves no descriptor */
	s = dup(0);
	close(s);
	assert_fails(hvs_dial("loopback:8", 0, 0), ECONNREFUSED);
	ck_assert_int_eq(dup(0), s);
}
END_TEST

START_TEST(partition)
{
	char name[64], small[4];
	GUID g;

	ck_assert_int_eq(hvs_partition(&g, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "stand-in");
	ck_assert_uint_eq(g.Data1, 4711);
	ck_assert_int_eq(hvs_partition(NULL, small, sizeof(small)), 0);
	ck_assert_str_eq(small, "sta");
	ck_assert_int_eq(hvs_partition(NULL, NULL, 0), 0);
	ck_assert_int_eq(broker.shared->accepted, 1);
	stand_in_kill(&broker);
	assert_fails(hvs_partition(&g, NULL, 0), ENETDOWN);
	assert_reason(-1, HVS_REASON_NO_BROKER, ENETDOWN, broker.dir);
	stand_in_again(&broker);
	ck_assert_int_eq(hvs_partition(&g, NULL, 0), 0);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_loop_test(t, connect_accept, 0, 3);
	tcase_add_test(t, socket_arguments);
	tcase_add_loop_test(t, bad_addresses, 0, 2);
	tcase_add_test(t, zero_zero);
	tcase_add_test(t, listen_refused);
	tcase_add_test(t, refusals);
	tcase_add_test(t, success_forgets_reason);
	tcase_add_test(t, names_of_others);
	tcase_add_test(t, options_on_the_wire);
	tcase_add_test(t, option_table);
	tcase_add_test(t, dial_and_serve);
	tcase_add_test(t, partition);
}

int main(void)
{
	return run_suite("lib-basic", fill);
}
