/* SPDX-License-Identifier: MIT */
/*
 * test-real-broker.c - a synthetic guest, the real transport, the real broker,
 * and programs with libhvsocket: both types, both directions, and mismatches
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hvsocket.h>

#include "driver.h"
#include "hvsocketd.h"

#define PORT_OF_GUEST 22u
#define STREAM_PORT 5000u
#define RAW_PORT 5001u
#define VMID "6a3b2f10-1c2d-4e5f-8a9b-0c1d2e3f4a5b"

static char dir[64];
static pid_t broker, transport;
static struct drv drv;
static enum vsock_type listens; /* the guest, at PORT_OF_GUEST */
static bool echoes;

static struct {
	unsigned int op; /* of the last packet, but credit and ends */
	uint32_t flags, len;
	enum vsock_type type;
	unsigned int n;
} got;

static void answer(const struct vsock_header *to, enum vsock_op op,
		   const void *payload, uint32_t len, uint32_t flags)
{
	const struct vsock_header h = { .src_cid = DRV_CID,
					.dst_cid = 2,
					.src_port = to->dst_port,
					.dst_port = to->src_port,
					.type = to->type,
					.op = (uint16_t)op,
					.len = len,
					.flags = flags,
					.buf_alloc = 262144,
					.fwd_cnt = 0 };

	must(drv_tx(&drv, &h, payload));
}

static void on_packet(void *ctx, const struct vsock_header *h,
		      const uint8_t *payload)
{
	(void)ctx;
	if (h->op == VSOCK_OP_CREDIT_UPDATE || h->op == VSOCK_OP_SHUTDOWN) {
		if (h->flags == VSOCK_SHUT_BOTH)
			answer(h, VSOCK_OP_RST, NULL, 0, 0);
		return;
	}
	got.n++;
	got.op = h->op;
	got.type = (enum vsock_type)h->type;
	got.flags = h->flags;
	got.len = h->len;
	if (h->op == VSOCK_OP_REQUEST)
		answer(h,
		       h->dst_port == PORT_OF_GUEST && h->type == listens
			       ? VSOCK_OP_RESPONSE
			       : VSOCK_OP_RST,
		       NULL, 0, 0);
	else if (h->op == VSOCK_OP_RW && echoes)
		answer(h, VSOCK_OP_RW, payload, h->len, h->flags);
}

static void step(void)
{
	struct pollfd p = { .fd = drv.rings[0].call, .events = POLLIN };

	if (!drv_poll(&drv))
		(void)poll(&p, 1, 5);
}

/* The next packet for the guest. */
static void await(unsigned int before, unsigned int op)
{
	while (got.n == before)
		step();
	ck_assert_uint_eq(got.op, op);
}

static void start(uint64_t features)
{
	static const char *const dirs[] = { "", "/conf", "/conf/services.d",
					    "/conf/partitions.d" };
	const char *tmp = getenv("TMPDIR");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int listener, sock;
	char path[160], fd[16];

	ck_assert_msg(getenv("HVSOCKETD") && getenv("VHOST_USER_PROGRAM"),
		      "HVSOCKETD or VHOST_USER_PROGRAM is not set");
	snprintf(dir, sizeof(dir), "%s/hvs-vr-XXXXXX",
		 tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	must(mkdtemp(dir));
	for (int i = 1; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", dir, dirs[i]);
		must(mkdir(path, 0700) == 0);
	}
	hvsocketd_put(dir, "conf/services.d/stream.conf", "[Service]\nPort=5000\n");
	hvsocketd_put(dir, "conf/services.d/raw.conf", "[Service]\nPort=5001\n");
	hvsocketd_put(dir, "conf/partitions.d/vm.conf", "[Partition]\nVmId=" VMID "\n");
	must(setenv("HVSOCKET_RUNTIME_DIR", dir, 1) == 0);
	broker = hvsocketd_start(dir);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/vm.sock", dir);
	must(bind(listener, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(listen(listener, 1) == 0);
	transport = fork();
	must(transport >= 0);
	if (!transport) {
		const char *sandbox = getenv("VHOST_USER_SANDBOX");

		snprintf(fd, sizeof(fd), "%d", listener);
		execl(getenv("VHOST_USER_PROGRAM"), "hvsocket-vhost-user",
		      "--partition", "vm", "--fd", fd, "--sandbox",
		      sandbox ? sandbox : "seccomp", (char *)NULL);
		_exit(127);
	}
	close(listener);
	memset(&got, 0, sizeof(got));
	drv_init(&drv);
	drv.features |= features;
	drv.packet = on_packet;
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(sock, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	drv_handshake(&drv, sock);
	must(drv_memory(&drv) == 0);
	drv_start(&drv);
}

static void finish(void)
{
	char command[128];
	int status;

	must(kill(transport, SIGTERM) == 0);
	must(waitpid(transport, &status, 0) == transport);
	ck_assert_int_eq(status, 0);
	must(kill(broker, SIGTERM) == 0);
	must(waitpid(broker, &status, 0) == broker);
	ck_assert_int_eq(status, 0);
	drv_fini(&drv);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	must(system(command) == 0);
}

static int listener_at(int type, uint32_t port)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV };
	int fd = hvs_socket(AF_HYPERV, type | SOCK_CLOEXEC, HV_PROTOCOL_RAW);

	a.VmId = HV_GUID_CHILDREN;
	hvs_guid_from_port(port, &a.ServiceId);
	must(fd >= 0);
	must(hvs_bind(fd, &a, sizeof(a)) == 0);
	must(hvs_listen(fd, 4) == 0);
	return fd;
}

static struct vsock_header header(enum vsock_type type, uint32_t port,
				  enum vsock_op op)
{
	return (struct vsock_header) { .src_cid = DRV_CID,
				       .dst_cid = 2,
				       .src_port = 1025 + (uint32_t)type,
				       .dst_port = port,
				       .type = (uint16_t)type,
				       .op = (uint16_t)op,
				       .buf_alloc = 262144 };
}

/* The guest dials each service with each type. */
START_TEST(test_guest_dials)
{
	int stream, raw, a;
	uint8_t buf[64];

	start(1u << 1);
	stream = listener_at(SOCK_STREAM, STREAM_PORT);
	raw = listener_at(SOCK_SEQPACKET, RAW_PORT);
	for (int t = 1; t <= 2; t++) {
		for (uint32_t port = STREAM_PORT; port <= RAW_PORT; port++) {
			enum vsock_type type = (enum vsock_type)t;
			bool same = (type == VSOCK_STREAM) ==
				    (port == STREAM_PORT);
			struct vsock_header h =
				header(type, port, VSOCK_OP_REQUEST);
			unsigned int before = got.n;

			must(drv_tx(&drv, &h, NULL));
			await(before, same ? VSOCK_OP_RESPONSE : VSOCK_OP_RST);
			ck_assert_uint_eq(got.type, type);
			if (!same)
				continue;
			a = hvs_accept(type == VSOCK_STREAM ? stream : raw,
				       NULL, NULL, SOCK_CLOEXEC);
			ck_assert_int_ge(a, 0);
			h = header(type, port, VSOCK_OP_RW);
			h.len = 3;
			h.flags = VSOCK_SEQ_EOM;
			must(drv_tx(&drv, &h, "one"));
			must(drv_tx(&drv, &h, "two"));
			ck_assert_int_eq(recv(a, buf, 3, MSG_WAITALL), 3);
			ck_assert_int_eq(memcmp(buf, "one", 3), 0);
			ck_assert_int_eq(recv(a, buf, sizeof(buf), 0), 3);
			before = got.n;
			ck_assert_int_eq(send(a, "down", 4, 0), 4);
			await(before, VSOCK_OP_RW);
			ck_assert_uint_eq(got.len, 4);
			ck_assert_uint_eq(got.flags,
					  t == 2 ? VSOCK_SEQ_EOM : 0);
			close(a);
		}
	}
	close(stream);
	close(raw);
	finish();
}
END_TEST

/* In a process of its own, as the guest has to be served meanwhile. */
static void program(int type, bool good, uint32_t reason, const char *word)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV };
	struct hvs_reason why;
	char buf[64];
	int fd;

	must(hvs_guid_parse(VMID, &a.VmId) == 0);
	hvs_guid_from_port(PORT_OF_GUEST, &a.ServiceId);
	fd = hvs_socket(AF_HYPERV, type, HV_PROTOCOL_RAW);
	if (!good) {
		if (hvs_connect(fd, &a, sizeof(a)) == 0)
			_exit(10);
		if (hvs_reason(fd, &why) < 0 || why.code != reason)
			_exit(11);
		_exit(strstr(why.text, word) ? 0 : 12);
	}
	if (hvs_connect(fd, &a, sizeof(a)) < 0)
		_exit(13);
	if (send(fd, "ping", 4, 0) != 4 || recv(fd, buf, 64, 0) != 4 ||
	    memcmp(buf, "ping", 4) != 0)
		_exit(14);
	_exit(0);
}

static void run(int type, bool good, uint32_t reason, const char *word)
{
	pid_t pid = fork();
	int status = -1;

	must(pid >= 0);
	if (!pid)
		program(type, good, reason, word);
	while (waitpid(pid, &status, WNOHANG) == 0)
		step();
	ck_assert_msg(status == 0, "type %d: status %x", type, status);
}

/* Programs dial the guest, which listens with one type. */
START_TEST(test_program_dials)
{
	start(_i ? 0 : 1u << 1);
	echoes = true;
	listens = VSOCK_STREAM;
	run(SOCK_STREAM, true, 0, "");
	if (_i) {
		run(SOCK_SEQPACKET, false, HVS_REASON_TYPE, "SOCK_SEQPACKET");
	} else {
		run(SOCK_SEQPACKET, false, HVS_REASON_NO_LISTENER,
		    "SOCK_SEQPACKET");
		listens = VSOCK_SEQPACKET;
		run(SOCK_SEQPACKET, true, 0, "");
		run(SOCK_STREAM, false, HVS_REASON_NO_LISTENER, "listens");
	}
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-real-broker");
	TCase *t = tcase_create("types");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_guest_dials);
	tcase_add_loop_test(t, test_program_dials, 0, 2);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
