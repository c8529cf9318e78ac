/* SPDX-License-Identifier: MIT */
/*
 * test-vms.c - 200 VMs on one broker: each with a transport of its own, a
 * connection each way at the same time, and bytes over all of them; what a
 * transport then has in memory; and an orderly end
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hvsocket.h>

#include "driver.h"
#include "hvsocketd.h"

#define VMS 200
#define FILES (VMS * 16 + 100)
#define SERVICE_PORT 5000u
#define GUEST_PORT 22u
#define LIMIT_S 60
/* bytes of a transport, beside the guest's memory */
#define PSS_MAX 2000000
#define RSS_MAX 2000000
#define TEXT "bytes of one of many"

struct vm {
	pid_t transport;
	struct drv drv;
	int up, down;  /* programs' ends: dialled by the guest, and dialling */
	bool accepted; /* the guest's dial */
	unsigned int echoed;
	GUID vmid;
};

static char dir[64];
static pid_t broker;
static struct vm vms[VMS];
static double deadline;

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- guests */

static void answer(struct vm *vm, const struct vsock_header *to,
		   enum vsock_op op, const void *payload, uint32_t len)
{
	const struct vsock_header h = { .src_cid = DRV_CID,
					.dst_cid = 2,
					.src_port = to->dst_port,
					.dst_port = to->src_port,
					.type = to->type,
					.op = (uint16_t)op,
					.len = len,
					.buf_alloc = 262144 };

	must(drv_tx(&vm->drv, &h, payload));
}

/* What it gets it sends back. */
static void on_packet(void *ctx, const struct vsock_header *h,
		      const uint8_t *payload)
{
	struct vm *vm = ctx;

	switch (h->op) {
	case VSOCK_OP_REQUEST:
		must(h->dst_port == GUEST_PORT);
		answer(vm, h, VSOCK_OP_RESPONSE, NULL, 0);
		break;
	case VSOCK_OP_RESPONSE:
		vm->accepted = true;
		break;
	case VSOCK_OP_RW:
		vm->echoed += h->len;
		answer(vm, h, VSOCK_OP_RW, payload, h->len);
		break;
	case VSOCK_OP_SHUTDOWN:
		if (h->flags == VSOCK_SHUT_BOTH)
			answer(vm, h, VSOCK_OP_RST, NULL, 0);
		break;
	default:
		break;
	}
}

/* All guests, once; then wait for one of them, or for @fd. */
static void step(int fd, short events)
{
	struct pollfd p[2 * VMS + 1];
	bool any = false;
	nfds_t n = 0;

	ck_assert_msg(now_s() < deadline, "not done after %d s", LIMIT_S);
	for (int i = 0; i < VMS; i++) {
		any |= drv_poll(&vms[i].drv);
		for (int ring = 0; ring < 2; ring++)
			p[n++] = (struct pollfd) {
				.fd = vms[i].drv.rings[ring].call,
				.events = POLLIN,
			};
	}
	p[n++] = (struct pollfd) { .fd = fd, .events = events };
	if (!any)
		(void)poll(p, n, 1000);
}

static bool ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) == 1;
}

static void wait_for(int fd, short events)
{
	while (!ready(fd, events))
		step(fd, events);
}

/* ---- broker and transports */

static void configure(void)
{
	static const char *const dirs[] = { "conf", "conf/services.d",
					    "conf/partitions.d" };
	const char *tmp = getenv("TMPDIR");
	char path[160], text[128], id[48];

	snprintf(dir, sizeof(dir), "%s/hvs-vms-XXXXXX",
		 tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	must(mkdtemp(dir));
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		must(mkdir(path, 0700) == 0);
	}
	hvsocketd_put(dir, "conf/services.d/echo.conf", "[Service]\nPort=5000\n");
	for (int i = 0; i < VMS; i++) {
		snprintf(id, sizeof(id), "6a3b2f10-1c2d-4e5f-8a9b-0c1d2e3f%04x",
			 i);
		must(hvs_guid_parse(id, &vms[i].vmid) == 0);
		snprintf(path, sizeof(path), "conf/partitions.d/vm%d.conf", i);
		snprintf(text, sizeof(text), "[Partition]\nVmId=%s\nKind=vm\n",
			 id);
		hvsocketd_put(dir, path, text);
	}
	/* Meson has malloc() write to what it gives: pages nobody uses */
	must(unsetenv("MALLOC_PERTURB_") == 0);
	must(setenv("HVSOCKET_RUNTIME_DIR", dir, 1) == 0);
}

/* The socket is there before the process: no need to wait for it. */
static void start_transport(int i)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *sandbox = getenv("VHOST_USER_SANDBOX");
	char fd[16], name[16];
	struct vm *vm = &vms[i];
	int l, sock;

	l = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/vm%d.sock", dir, i);
	must(bind(l, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(listen(l, 1) == 0);
	vm->transport = fork();
	must(vm->transport >= 0);
	if (!vm->transport) {
		snprintf(name, sizeof(name), "vm%d", i);
		snprintf(fd, sizeof(fd), "%d", l);
		execl(getenv("VHOST_USER_PROGRAM"), "hvsocket-vhost-user",
		      "--partition", name, "--fd", fd, "--sandbox",
		      sandbox ? sandbox : "seccomp", (char *)NULL);
		_exit(127);
	}
	close(l);
	drv_init(&vm->drv);
	vm->drv.packet = on_packet;
	vm->drv.ctx = vm;
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(sock, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	vm->drv.sock = sock;
	vm->up = vm->down = -1;
}

/* ---- connections */

static int listener(void)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV };
	int fd = hvs_socket(AF_HYPERV, SOCK_STREAM | SOCK_CLOEXEC,
			    HV_PROTOCOL_RAW);

	a.VmId = HV_GUID_CHILDREN;
	hvs_guid_from_port(SERVICE_PORT, &a.ServiceId);
	must(fd >= 0);
	must(hvs_bind(fd, &a, sizeof(a)) == 0);
	must(hvs_listen(fd, VMS) == 0);
	return fd;
}

static void guests_dial(void)
{
	for (int i = 0; i < VMS; i++) {
		const struct vsock_header h = { .src_cid = DRV_CID,
						.dst_cid = 2,
						.src_port = 1025,
						.dst_port = SERVICE_PORT,
						.type = VSOCK_STREAM,
						.op = VSOCK_OP_REQUEST,
						.buf_alloc = 262144 };

		must(drv_tx(&vms[i].drv, &h, NULL));
	}
}

/* Each comes from the partition that it is said to come from. */
static void accept_all(int l)
{
	SOCKADDR_HV from;
	socklen_t len;

	for (int n = 0, i, fd; n < VMS; n++) {
		wait_for(l, POLLIN);
		len = sizeof(from);
		fd = hvs_accept(l, &from, &len, SOCK_CLOEXEC);

		ck_assert_int_ge(fd, 0);
		for (i = 0; i < VMS; i++)
			if (memcmp(&vms[i].vmid, &from.VmId, sizeof(GUID)) == 0)
				break;
		ck_assert_int_lt(i, VMS);
		ck_assert_int_eq(vms[i].up, -1);
		vms[i].up = fd;
	}
}

static void programs_dial(void)
{
	for (int i = 0; i < VMS; i++) {
		SOCKADDR_HV a = { .Family = AF_HYPERV, .VmId = vms[i].vmid };
		int fd = hvs_socket(AF_HYPERV,
				    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				    HV_PROTOCOL_RAW);

		must(fd >= 0);
		hvs_guid_from_port(GUEST_PORT, &a.ServiceId);
		if (hvs_connect(fd, &a, sizeof(a)) < 0)
			ck_assert_int_eq(errno, EINPROGRESS);
		vms[i].down = fd;
	}
	for (int i = 0; i < VMS; i++) {
		socklen_t len = sizeof(int);
		int err = -1;

		wait_for(vms[i].down, POLLOUT);
		must(hvs_getsockopt(vms[i].down, SOL_SOCKET, SO_ERROR, &err,
				    &len) == 0);
		ck_assert_msg(err == 0, "connect to VM %d: %s", i,
			      strerror(err));
	}
}

static void echo(int fd)
{
	char buf[sizeof(TEXT)];

	wait_for(fd, POLLIN);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), sizeof(TEXT));
	ck_assert_str_eq(buf, TEXT);
}

static void bytes(void)
{
	for (int i = 0; i < VMS; i++) {
		ck_assert_int_eq(send(vms[i].up, TEXT, sizeof(TEXT), 0),
				 sizeof(TEXT));
		ck_assert_int_eq(send(vms[i].down, TEXT, sizeof(TEXT), 0),
				 sizeof(TEXT));
	}
	for (int i = 0; i < VMS; i++) {
		echo(vms[i].up);
		echo(vms[i].down);
		ck_assert(vms[i].accepted);
		ck_assert_uint_eq(vms[i].echoed, 2 * sizeof(TEXT));
	}
}

/* ---- memory */

/* The sum of two lines, in bytes; -1: the file may not be read. */
static long memory_of(pid_t pid, const char *file, const char *const lines[2])
{
	char path[64], buf[256];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(buf, sizeof(buf), f))
		for (int i = 0; i < 2; i++)
			if (strncmp(buf, lines[i], strlen(lines[i])) == 0)
				kib += strtol(buf + strlen(lines[i]), NULL, 10);
	fclose(f);
	return kib * 1024;
}

static long rss(pid_t pid)
{
	static const char *const lines[] = { "RssAnon:", "RssFile:" };

	return memory_of(pid, "status", lines);
}

/* Of a page that several have, each has a part. */
static long pss(pid_t pid)
{
	static const char *const lines[] = { "Pss_Anon:", "Pss_File:" };

	return memory_of(pid, "smaps_rollup", lines);
}

static void memory(void)
{
	const char *sandbox = getenv("VHOST_USER_SANDBOX");
	long most_rss = 0, most_pss = 0;

	for (int i = 0; i < VMS; i++) {
		long r = rss(vms[i].transport), p = pss(vms[i].transport);

		most_rss = r > most_rss ? r : most_rss;
		most_pss = p > most_pss ? p : most_pss;
	}
	fprintf(stderr, "a transport, at most: Rss %ld KiB, Pss %ld; "
		"the broker: Rss %ld\n",
		most_rss / 1024, most_pss / 1024, rss(broker) / 1024);
	/* (sanitizers, which the sandbox is too narrow for, take their own) */
	if (sandbox && strcmp(sandbox, "none") == 0)
		return;
	ck_assert_int_gt(most_rss, 0);
	ck_assert_int_le(most_rss, RSS_MAX);
	/* of a process that cannot be traced only root is told */
	ck_assert(most_pss > 0 || geteuid() != 0);
	ck_assert_int_le(most_pss, PSS_MAX);
}

/* ---- all of it */

static void finish(void)
{
	char command[128];
	int status;

	for (int i = 0; i < VMS; i++) {
		close(vms[i].up);
		close(vms[i].down);
		must(kill(vms[i].transport, SIGTERM) == 0);
	}
	for (int i = 0; i < VMS; i++) {
		must(waitpid(vms[i].transport, &status, 0) ==
		     vms[i].transport);
		ck_assert_msg(status == 0, "transport %d: status %x", i,
			      status);
		drv_fini(&vms[i].drv);
	}
	must(kill(broker, SIGTERM) == 0);
	must(waitpid(broker, &status, 0) == broker);
	ck_assert_int_eq(status, 0);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	must(system(command) == 0);
}

START_TEST(test_vms)
{
	struct rlimit l;
	int fd, sock;

	ck_assert_msg(getenv("HVSOCKETD") && getenv("VHOST_USER_PROGRAM"),
		      "HVSOCKETD or VHOST_USER_PROGRAM is not set");
	must(getrlimit(RLIMIT_NOFILE, &l) == 0);
	l.rlim_cur = l.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &l) == 0);
	ck_assert_msg(l.rlim_max >= FILES,
		      "RLIMIT_NOFILE is %lu, and %d are needed",
		      (unsigned long)l.rlim_max, FILES);
	deadline = now_s() + LIMIT_S;
	configure();
	broker = hvsocketd_start(dir);
	fd = listener();
	for (int i = 0; i < VMS; i++)
		start_transport(i);
	for (int i = 0; i < VMS; i++) {
		sock = vms[i].drv.sock;
		drv_handshake(&vms[i].drv, sock);
		must(drv_memory(&vms[i].drv) == 0);
		drv_start(&vms[i].drv);
	}
	guests_dial();
	accept_all(fd);
	programs_dial();
	bytes();
	memory();
	close(fd);
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-vms");
	TCase *t = tcase_create("vms");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, LIMIT_S * 2);
	tcase_add_test(t, test_vms);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
