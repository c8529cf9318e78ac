/* SPDX-License-Identifier: MIT */
/*
 * test-vsock.c - HVSOCKET_TRANSPORT=vsock, over a double of AF_VSOCK
 *
 * The library makes its socket calls through syscall(), which this program has
 * a version of its own of: AF_VSOCK sockets are Unix sockets there, a port is
 * an abstract name, and what a kernel would say is what the test says. A real
 * AF_VSOCK is in tests/guest/test-uplink.py.
 */
#include <dlfcn.h>
#include <linux/vm_sockets.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>

#include "harness.h"

#define FDS 256

/* ---- The double ----------------------------------------------------------*/

static struct {
	bool vsock;
	struct sockaddr_vm own, peer;
	long timeout_ms;
} table[FDS];

static struct {
	int socket_error, connect_error; /* what the kernel says; 0: good */
	uint32_t peer_cid; /* of what is accepted */
} kernel;

static long real(long n, long a, long b, long c, long d, long e)
{
	static long (*next)(long n, ...);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "syscall");
	return next(n, a, b, c, d, e);
}

static socklen_t name_of(uint32_t port, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "vsock-%d-%u",
		 getpid(), port);
	return (socklen_t)(sizeof(sa_family_t) + 1 + strlen(ret->sun_path + 1));
}

static long fails(int error)
{
	errno = error;
	return -1;
}

static void give(const struct sockaddr_vm *vm, long to, long len)
{
	memcpy((void *)to, vm, sizeof(*vm));
	*(socklen_t *)len = sizeof(*vm);
}

static long double_bind(int fd, const struct sockaddr_vm *vm)
{
	static uint32_t next = 0x10000;
	struct sockaddr_un sa;
	socklen_t len;

	if (vm->svm_port < 1024)
		return fails(EACCES);
	table[fd].own = *vm;
	if (vm->svm_port == VMADDR_PORT_ANY)
		table[fd].own.svm_port = next++;
	len = name_of(table[fd].own.svm_port, &sa);
	return real(SYS_bind, fd, (long)&sa, len, 0, 0);
}

static long double_connect(int fd, const struct sockaddr_vm *vm)
{
	struct sockaddr_un sa;
	socklen_t len = name_of(vm->svm_port, &sa);
	long r;

	if (kernel.connect_error)
		return fails(kernel.connect_error);
	r = real(SYS_connect, fd, (long)&sa, len, 0, 0);
	if (r < 0 && errno == ECONNREFUSED)
		return fails(ECONNRESET);
	table[fd].peer = *vm;
	return r;
}

static long double_accept(int fd, long sa, long len, long flags)
{
	long r = real(SYS_accept4, fd, 0, 0, flags, 0);

	if (r < 0)
		return r;
	table[r].vsock = true;
	table[r].own = table[fd].own;
	table[r].peer = (struct sockaddr_vm){ .svm_family = AF_VSOCK,
					      .svm_cid = kernel.peer_cid,
					      .svm_port = 4000000000u };
	if (sa)
		give(&table[r].peer, sa, len);
	return r;
}

static long double_socket(long type, long protocol)
{
	long fd;

	if (kernel.socket_error)
		return fails(kernel.socket_error);
	fd = real(SYS_socket, AF_UNIX, type, protocol, 0, 0);
	if (fd >= 0) {
		memset(&table[fd], 0, sizeof(table[fd]));
		table[fd].vsock = true;
		table[fd].own.svm_cid = VMADDR_CID_ANY;
		table[fd].own.svm_port = VMADDR_PORT_ANY;
	}
	return fd;
}

static long setopt(int fd, int level, int name, const void *val)
{
	struct timeval tv;

	if (level != AF_VSOCK || name != SO_VM_SOCKETS_CONNECT_TIMEOUT)
		return fails(ENOPROTOOPT);
	memcpy(&tv, val, sizeof(tv));
	table[fd].timeout_ms = tv.tv_sec * 1000 + tv.tv_usec / 1000;
	return 0;
}

long syscall(long n, ...)
{
	long a, b, c, d, e;
	va_list ap;

	va_start(ap, n);
	a = va_arg(ap, long);
	b = va_arg(ap, long);
	c = va_arg(ap, long);
	d = va_arg(ap, long);
	e = va_arg(ap, long);
	va_end(ap);
	if (n == SYS_socket && (int)a == AF_VSOCK)
		return double_socket((int)b, (int)c);
	a = (int)a; /* a descriptor in all that follows */
	if (a < 0 || a >= FDS || !table[a].vsock)
		return real(n, a, b, c, d, e);
	switch (n) {
	case SYS_bind:
		return double_bind((int)a, (const void *)b);
	case SYS_connect:
		return double_connect((int)a, (const void *)b);
	case SYS_accept4:
		return double_accept((int)a, b, c, (int)d);
	case SYS_getsockname:
		give(&table[a].own, b, c);
		return 0;
	case SYS_getpeername:
		if (!table[a].peer.svm_cid)
			return fails(ENOTCONN);
		give(&table[a].peer, b, c);
		return 0;
	case SYS_setsockopt:
		if ((int)b == AF_VSOCK)
			return setopt((int)a, (int)b, (int)c, (const void *)d);
		break;
	case SYS_getsockopt:
		if ((int)b == SOL_SOCKET && (int)c == SO_DOMAIN) {
			*(int *)d = AF_VSOCK;
			return 0;
		}
		break;
	}
	return real(n, a, b, (int)c, d, e);
}

/* ---- Tests ---------------------------------------------------------------*/

static void choose(const char *transport)
{
	memset(&kernel, 0, sizeof(kernel));
	memset(table, 0, sizeof(table));
	kernel.peer_cid = VMADDR_CID_HOST;
	ck_assert_int_eq(setenv("HVSOCKET_TRANSPORT", transport, 1), 0);
}

static int serve(const GUID *vmid, uint32_t port)
{
	SOCKADDR_HV a = address(vmid, port);
	int fd = new_socket(SOCK_STREAM);

	ck_assert_int_eq(hvs_bind(fd, &a, sizeof(a)), 0);
	ck_assert_int_eq(hvs_listen(fd, 8), 0);
	return fd;
}

static SOCKADDR_HV name_by(int (*get)(int fd, SOCKADDR_HV *a, socklen_t *len),
			   int fd)
{
	socklen_t len = sizeof(SOCKADDR_HV);
	SOCKADDR_HV a;

	ck_assert_int_eq(get(fd, &a, &len), 0);
	ck_assert_uint_eq(len, sizeof(a));
	ck_assert_int_eq(a.Family, AF_HYPERV);
	return a;
}

#define assert_named(a_, vmid, port)                                    \
	do {                                                            \
		SOCKADDR_HV got_ = (a_), want_ = address((vmid), (port)); \
		ck_assert_int_eq(memcmp(&got_, &want_, sizeof(want_)), 0); \
	} while (0)

START_TEST(connections)
{
	static const GUID *const both[] = { &HV_GUID_PARENT,
					    &HV_GUID_LOOPBACK };
	SOCKADDR_HV a = address(both[_i], 5000), got;
	int listener, s, c;
	uint32_t ms = 1500;
	socklen_t len = sizeof(got);
	char byte = 0;

	choose("vsock");
	kernel.peer_cid = _i ? VMADDR_CID_LOCAL : VMADDR_CID_HOST;
	listener = serve(&HV_GUID_WILDCARD, 5000);
	assert_named(name_by(hvs_getsockname, listener), &HV_GUID_WILDCARD,
		     5000);
	s = new_socket(SOCK_STREAM);
	ck_assert_int_eq(hvs_setsockopt(s, SOL_HVSOCKET,
					HVSOCKET_CONNECT_TIMEOUT, &ms,
					sizeof(ms)), 0);
	ck_assert_int_eq(hvs_connect(s, &a, sizeof(a)), 0);
	ck_assert_int_eq(table[s].timeout_ms, 1500);
	ck_assert_uint_eq(table[s].peer.svm_cid, _i ? 1 : 2);
	assert_named(name_by(hvs_getpeername, s), both[_i], 5000);
	c = hvs_accept(listener, &got, &len, 0);
	ck_assert_int_ge(c, 0);
	assert_named(got, both[_i], 4000000000u);
	assert_named(name_by(hvs_getpeername, c), both[_i], 4000000000u);
	ck_assert_int_eq(write(s, "x", 1), 1);
	ck_assert_int_eq(read(c, &byte, 1), 1);
	ck_assert_int_eq(byte, 'x');
	/* nobody was asked */
	ck_assert_int_eq(broker.shared->accepted, 0);
}
END_TEST

START_TEST(in_one_call)
{
	int listener, s, c;

	choose("vsock");
	listener = hvs_serve("parent:5001", 8, 0);
	ck_assert_int_ge(listener, 0);
	assert_named(name_by(hvs_getsockname, listener), &HV_GUID_PARENT,
		     5001);
	s = hvs_dial("parent:5001", 1000, 0);
	ck_assert_int_ge(s, 0);
	ck_assert(!(fcntl(s, F_GETFL) & O_NONBLOCK));
	c = hvs_accept(listener, NULL, NULL, 0);
	ck_assert_int_ge(c, 0);
	s = hvs_dial("parent:5001", 1000, HVS_DIAL_NONBLOCK);
	ck_assert_int_ge(s, 0);
	ck_assert(fcntl(s, F_GETFL) & O_NONBLOCK);
	/* a number of the kernel's choice */
	s = new_socket(SOCK_STREAM);
	ck_assert_int_eq(hvs_bind(s, &(SOCKADDR_HV){ .Family = AF_HYPERV },
				  sizeof(SOCKADDR_HV)), 0);
	ck_assert_uint_eq(name_by(hvs_getsockname, s).ServiceId.Data1,
			  table[s].own.svm_port);
}
END_TEST

/* Others of this machine come to the port, and are not let in. */
START_TEST(parent_only)
{
	SOCKADDR_HV a = address(&HV_GUID_LOOPBACK, 5002);
	int listener, s;
	char byte;

	choose("vsock");
	listener = serve(&HV_GUID_PARENT, 5002);
	ck_assert_int_eq(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
	s = new_socket(SOCK_STREAM);
	ck_assert_int_eq(hvs_connect(s, &a, sizeof(a)), 0);
	kernel.peer_cid = VMADDR_CID_LOCAL;
	assert_fails(hvs_accept(listener, NULL, NULL, 0), EAGAIN);
	ck_assert_int_eq(read(s, &byte, 1), 0);
}
END_TEST

static const struct {
	const GUID *vmid;
	const char *service; /* NULL: port 5003 */
	bool bind;
	int error;
	uint32_t reason;
	const char *text;
} no[] = {
	{ &HV_GUID_WILDCARD, NULL, false, EADDRNOTAVAIL,
	  HVS_REASON_NOT_A_DESTINATION, "not wildcard" },
	{ &HV_GUID_CHILDREN, NULL, false, EADDRNOTAVAIL,
	  HVS_REASON_NOT_A_DESTINATION, "not children" },
	{ &HV_GUID_CHILDREN, NULL, true, EADDRNOTAVAIL,
	  HVS_REASON_NOT_A_DESTINATION, "not children" },
	{ &HV_GUID_SILOHOST, NULL, true, EADDRNOTAVAIL,
	  HVS_REASON_NOT_A_DESTINATION, "not silohost" },
	{ &HV_GUID_VSOCK_TEMPLATE, NULL, false, EHOSTUNREACH,
	  HVS_REASON_PARTITION_UNKNOWN, "the parent and this machine only" },
	{ &HV_GUID_PARENT, "999e53d4-3d5c-4c3e-8779-bed06ec056e1", false,
	  EADDRNOTAVAIL, HVS_REASON_NOT_A_DESTINATION,
	  "999e53d4-3d5c-4c3e-8779-bed06ec056e1 is none" },
	{ &HV_GUID_PARENT, "999e53d4-3d5c-4c3e-8779-bed06ec056e1", true,
	  EADDRNOTAVAIL, HVS_REASON_NOT_A_DESTINATION, "VSOCK template" },
	{ &HV_GUID_PARENT, "00000016-facb-11e6-bd58-64006a7986d3", true, EACCES,
	  HVS_REASON_BIND_DENIED, "CAP_NET_BIND_SERVICE" },
	{ &HV_GUID_PARENT, NULL, false, ECONNREFUSED, HVS_REASON_NO_LISTENER,
	  "refuses port 5003" },
};

START_TEST(what_cannot_be)
{
	SOCKADDR_HV a = address(no[_i].vmid, 5003);
	int s;

	choose("vsock");
	s = new_socket(SOCK_STREAM);
	if (no[_i].service)
		ck_assert_int_eq(hvs_guid_parse(no[_i].service, &a.ServiceId),
				 0);
	if (no[_i].bind)
		assert_fails(hvs_bind(s, &a, sizeof(a)), no[_i].error);
	else
		assert_fails(hvs_connect(s, &a, sizeof(a)), no[_i].error);
	assert_reason(s, no[_i].reason, no[_i].error, no[_i].text);
	assert_reason(s, no[_i].reason, no[_i].error,
		      "HVSOCKET_TRANSPORT=vsock: ");
}
END_TEST

static const struct {
	int kernel, error;
	uint32_t reason;
	const char *text;
} errors[] = {
	{ ECONNRESET, ECONNREFUSED, HVS_REASON_NO_LISTENER, "nothing tells" },
	{ ETIMEDOUT, ETIMEDOUT, HVS_REASON_NO_ANSWER, "in time" },
	{ ENODEV, EHOSTDOWN, HVS_REASON_PARTITION_OFF, "no vsock device" },
	{ EPROTONOSUPPORT, EPROTONOSUPPORT, HVS_REASON_TYPE, "carry" },
};

START_TEST(what_the_kernel_says)
{
	SOCKADDR_HV a = address(&HV_GUID_PARENT, 5004);
	int s;

	choose("vsock");
	s = new_socket(SOCK_STREAM);
	kernel.connect_error = errors[_i].kernel;
	assert_fails(hvs_connect(s, &a, sizeof(a)), errors[_i].error);
	assert_reason(s, errors[_i].reason, errors[_i].error, errors[_i].text);
}
END_TEST

START_TEST(never_by_itself)
{
	uint32_t yes = 1;
	int s;

	choose("vsock");
	kernel.socket_error = EAFNOSUPPORT;
	assert_fails(hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW),
		     ENETDOWN);
	assert_reason(-1, HVS_REASON_NO_BROKER, ENETDOWN, "no AF_VSOCK");
	kernel.socket_error = ESOCKTNOSUPPORT;
	assert_fails(hvs_socket(AF_HYPERV, SOCK_RAW, HV_PROTOCOL_RAW),
		     EPROTONOSUPPORT);
	kernel.socket_error = 0;
	assert_fails(hvs_socket(AF_HYPERV, SOCK_DGRAM, HV_PROTOCOL_RAW),
		     EPROTONOSUPPORT);
	assert_reason(-1, HVS_REASON_TYPE, EPROTONOSUPPORT, "need a broker");
	/* what only a broker knows is not asked of one that is there */
	assert_fails(hvs_partition(NULL, NULL, 0), ENETDOWN);
	assert_reason(-1, HVS_REASON_NO_BROKER, ENETDOWN,
		      "HVSOCKET_TRANSPORT=vsock");
	assert_fails(hvs_dial("somebody:5000", 0, 0), ENETDOWN);
	assert_fails(hvs_dial("parent:5000", 0, HVS_DIAL_WAIT), EINVAL);
	assert_reason(-1, HVS_REASON_BAD_REQUEST, EINVAL, "waiting");
	s = new_socket(SOCK_STREAM);
	ck_assert_int_eq(hvs_setsockopt(s, SOL_HVSOCKET,
					HVSOCKET_CONNECTED_SUSPEND, &yes,
					sizeof(yes)), 0);
	/* and what nobody knows is refused */
	choose("tcp");
	assert_fails(hvs_socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW),
		     EINVAL);
	assert_reason(-1, HVS_REASON_BAD_REQUEST, EINVAL,
		      "there are broker and vsock");
	choose("broker");
	s = new_socket(SOCK_STREAM);
	ck_assert(!table[s].vsock);
	ck_assert_int_eq(hvs_partition(NULL, NULL, 0), 0);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_loop_test(t, connections, 0, 2);
	tcase_add_test(t, in_one_call);
	tcase_add_test(t, parent_only);
	tcase_add_loop_test(t, what_cannot_be, 0, sizeof(no) / sizeof(no[0]));
	tcase_add_loop_test(t, what_the_kernel_says, 0,
			    sizeof(errors) / sizeof(errors[0]));
	tcase_add_test(t, never_by_itself);
}

int main(void)
{
	return run_suite("vsock", fill);
}
