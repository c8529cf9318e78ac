/* SPDX-License-Identifier: MIT */
/*
 * front.c - a double of a VMM with vhost-user-vsock, and of a guest
 *
 *	vhost-user-front cloud-hypervisor|crosvm SOCKET
 *
 * Says what that VMM says, in its order: cloud-hypervisor asks for a reply
 * wherever it may and keeps its buffers in order; crosvm never asks, and passes
 * all features on. The guest in it does what docs/recipes.md has its guest do:
 * it says "hello from the guest" to port 5000 of the host, and sends back
 * reversed what comes to its port 6000. On SIGTERM the device is stopped as the
 * VMM does it. Whatever is not as it should be is said, with status 1.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "driver.h"
#include "transport/vhost-user/message.h"

#define BIT(n) (1ull << (n))
#define GREETING "hello from the guest\n"
#define QUEUES 3u

enum {
	MQ = 0,
	LOG_SHMFD = 1,
	REPLY_ACK = 3,
	BACKEND_REQ = 5,
	CONFIG = 9,
	INFLIGHT = 12,
	SLOTS = 15,
	DEVICE_STATE = 19
};

struct vmm {
	const char *name;
	uint64_t features; /* of virtio and vhost, that it knows */
	uint64_t protocol;
	bool replies;	  /* asks for one wherever it may */
	bool owner_first; /* SET_OWNER is the first message */
	bool sizes_first; /* all NUM, then the rest ring by ring */
	int seconds;	  /* for which it tries to connect */
};

static const struct vmm vmms[] = {
	{ .name = "cloud-hypervisor",
	  .features = BIT(26) | BIT(28) | BIT(29) | BIT(30) | BIT(32) |
		      BIT(35) | BIT(36) | BIT(38),
	  .protocol = BIT(CONFIG) | BIT(MQ) | BIT(SLOTS) | BIT(REPLY_ACK) |
		      BIT(INFLIGHT) | BIT(LOG_SHMFD) | BIT(DEVICE_STATE) |
		      BIT(BACKEND_REQ),
	  .replies = true,
	  .owner_first = true,
	  .sizes_first = true,
	  .seconds = 60 },
	/* (no packed rings: bit 34) */
	{ .name = "crosvm",
	  .features = ~BIT(34),
	  .protocol = BIT(CONFIG) | BIT(MQ) | BIT(BACKEND_REQ) |
		      BIT(DEVICE_STATE) | BIT(REPLY_ACK),
	  .seconds = 10 },
};

/* A connection of the guest's. */
struct end {
	uint32_t port, host_port;
	bool open;
	char text[4000];
	uint32_t len;
};

static const struct vmm *vmm;
static struct drv d;
static struct end dialled = { .port = 2000, .host_port = 5000 }, served;

static int try_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	must(strlen(path) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, path);
	for (int i = 0; i < vmm->seconds * 10; i++) {
		const struct timespec tick = { .tv_nsec = 100000000 };

		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		must(fd >= 0);
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			return fd;
		close(fd);
		/* as they do it */
		nanosleep(&tick, NULL);
	}
	fprintf(stderr, "%s: cannot connect to %s\n", vmm->name, path);
	exit(1);
}

/* ---- the VMM's messages */

static void set(uint32_t request, const void *p, uint32_t size, int fd)
{
	int nfds = fd >= 0;

	if (vmm->replies)
		must(drv_ack(&d, request, p, size, &fd, nfds) == 0);
	else
		must(drv_send(&d, request, VU_FLAG_VERSION, p, size, &fd,
			      nfds) == 0);
}

static void set_u64(uint32_t request, uint64_t v, int fd)
{
	uint8_t p[8];

	le64_put(p, v);
	set(request, p, sizeof(p), fd);
}

static void set_state(uint32_t request, uint32_t ring, uint32_t v)
{
	uint8_t p[8];

	le32_put(p, ring);
	le32_put(p + 4, v);
	set(request, p, sizeof(p), -1);
}

/* Before REPLY_ACK is agreed on nobody may ask. */
static void plain(uint32_t request, const void *p, uint32_t size)
{
	must(drv_send(&d, request, VU_FLAG_VERSION, p, size, NULL, 0) == 0);
}

static void handshake(void)
{
	uint64_t offered, protocol, queues;
	uint8_t v[8], config[20] = { 0 };

	if (vmm->owner_first)
		plain(VU_SET_OWNER, NULL, 0);
	must(drv_get(&d, VU_GET_FEATURES, &offered) == 0);
	d.features = offered & vmm->features;
	must(d.features & BIT(30));
	if (!vmm->owner_first)
		plain(VU_SET_OWNER, NULL, 0);
	must(drv_get(&d, VU_GET_PROTOCOL_FEATURES, &protocol) == 0);
	protocol &= vmm->protocol;
	must(protocol & BIT(CONFIG) && protocol & BIT(MQ));
	must(!vmm->replies || protocol & BIT(REPLY_ACK));
	le64_put(v, protocol);
	plain(VU_SET_PROTOCOL_FEATURES, v, sizeof(v));
	must(drv_get(&d, VU_GET_QUEUE_NUM, &queues) == 0);
	must(queues == QUEUES);
	le32_put(config + 4, 8);
	plain(VU_GET_CONFIG, config, sizeof(config));
	must(drv_reply(&d, VU_GET_CONFIG, config, sizeof(config)) == 20);
	must(le64_get(config + 12) == DRV_CID);
}

static void memory(void)
{
	const int fds[2] = { d.memfd, d.memfd };
	uint8_t p[72] = { 0 };

	le32_put(p, 2);
	for (int i = 0; i < 2; i++) {
		uint8_t *region = p + 8 + 32 * i;
		uint64_t off = i ? DRV_LOW : 0;

		le64_put(region, drv_gpa(off));
		le64_put(region + 8, i ? DRV_RAM - DRV_LOW : DRV_LOW);
		le64_put(region + 16, DRV_UVA + off);
		le64_put(region + 24, off);
	}
	if (vmm->replies)
		must(drv_ack(&d, VU_SET_MEM_TABLE, p, sizeof(p), fds, 2) == 0);
	else
		must(drv_send(&d, VU_SET_MEM_TABLE, VU_FLAG_VERSION, p,
			      sizeof(p), fds, 2) == 0);
}

static void start(void)
{
	uint8_t addr[40];

	set_u64(VU_SET_FEATURES, d.features, -1);
	memory();
	for (unsigned int i = 0; vmm->sizes_first && i < QUEUES; i++)
		set_state(VU_SET_VRING_NUM, i, DRV_NUM);
	for (unsigned int i = 0; i < QUEUES; i++) {
		if (!vmm->sizes_first)
			set_state(VU_SET_VRING_NUM, i, DRV_NUM);
		drv_ring_addr(&d, i, addr);
		set(VU_SET_VRING_ADDR, addr, sizeof(addr), -1);
		set_state(VU_SET_VRING_BASE, i, 0);
		set_u64(VU_SET_VRING_CALL, i, d.rings[i].call);
		set_u64(VU_SET_VRING_KICK, i, d.rings[i].kick);
		if (!vmm->sizes_first)
			set_state(VU_SET_VRING_ENABLE, i, 1);
	}
	for (unsigned int i = 0; vmm->sizes_first && i < QUEUES; i++)
		set_state(VU_SET_VRING_ENABLE, i, 1);
}

static void stop(void)
{
	uint8_t p[8];

	for (unsigned int i = 0; i < QUEUES; i++)
		set_state(VU_SET_VRING_ENABLE, i, 0);
	for (unsigned int i = 0; i < QUEUES; i++) {
		le32_put(p, i);
		le32_put(p + 4, 0);
		plain(VU_GET_VRING_BASE, p, sizeof(p));
		must(drv_reply(&d, VU_GET_VRING_BASE, p, sizeof(p)) == 8);
		must(le32_get(p) == i);
	}
}

/* ---- the guest */

static void packet(const struct end *e, enum vsock_op op, uint32_t flags,
		   const char *text, uint32_t len)
{
	const struct vsock_header h = { .src_cid = DRV_CID,
					.dst_cid = VSOCK_CID_HOST,
					.src_port = e->port,
					.dst_port = e->host_port,
					.len = len,
					.type = VSOCK_STREAM,
					.op = (uint16_t)op,
					.flags = flags,
					.buf_alloc = 262144,
					.fwd_cnt = e->len };

	must(drv_tx(&d, &h, text));
}

static void reverse(struct end *e)
{
	uint32_t len = e->len;

	while (len && e->text[len - 1] == '\n')
		len--;
	for (uint32_t i = 0; i < len / 2; i++) {
		char c = e->text[i];

		e->text[i] = e->text[len - 1 - i];
		e->text[len - 1 - i] = c;
	}
}

static void on_dialled(const struct vsock_header *h)
{
	if (h->op == VSOCK_OP_RESPONSE) {
		packet(&dialled, VSOCK_OP_RW, 0, GREETING,
		       sizeof(GREETING) - 1);
		packet(&dialled, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	} else if (h->op == VSOCK_OP_RST) {
		dialled.open = false;
	}
}

static void on_served(const struct vsock_header *h, const uint8_t *payload)
{
	switch (h->op) {
	case VSOCK_OP_REQUEST:
		served = (struct end) { .port = h->dst_port,
					.host_port = h->src_port,
					.open = true };
		packet(&served, VSOCK_OP_RESPONSE, 0, NULL, 0);
		break;
	case VSOCK_OP_RW:
		must(h->len <= sizeof(served.text) - served.len);
		memcpy(served.text + served.len, payload, h->len);
		served.len += h->len;
		break;
	case VSOCK_OP_SHUTDOWN:
		if (!(h->flags & VSOCK_SHUT_SEND) || !served.open)
			break;
		reverse(&served);
		packet(&served, VSOCK_OP_RW, 0, served.text, served.len);
		packet(&served, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
		served.open = false;
		break;
	default:
		break;
	}
}

static void on_packet(void *ctx, const struct vsock_header *h,
		      const uint8_t *payload)
{
	(void)ctx;
	must(h->src_cid == VSOCK_CID_HOST && h->dst_cid == DRV_CID);
	if (h->dst_port == dialled.port)
		on_dialled(h);
	else if (h->dst_port == 6000)
		on_served(h, payload);
	else
		must(h->op == VSOCK_OP_RST);
}

static void run(void)
{
	struct pollfd p[QUEUES + 2];
	sigset_t mask;
	int signals;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	must(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
	signals = signalfd(-1, &mask, SFD_CLOEXEC);
	must(signals >= 0);
	for (unsigned int i = 0; i < QUEUES; i++)
		p[i] = (struct pollfd) { d.rings[i].call, POLLIN, 0 };
	p[QUEUES] = (struct pollfd) { signals, POLLIN, 0 };
	p[QUEUES + 1] = (struct pollfd) { d.sock, POLLIN, 0 };
	packet(&dialled, VSOCK_OP_REQUEST, 0, NULL, 0);
	while (!p[QUEUES].revents) {
		while (drv_poll(&d))
			;
		must(poll(p, QUEUES + 2, -1) > 0);
		/* nothing was asked; an end is one of the back end's */
		must(!p[QUEUES + 1].revents);
	}
	close(signals);
}

START_TEST(test_front)
{
	d.queues = QUEUES;
	d.sock = try_connect(getenv("FRONT_SOCKET"));
	handshake();
	start();
	d.packet = on_packet;
	run();
	stop();
	drv_fini(&d);
}
END_TEST

int main(int argc, char **argv)
{
	SRunner *runner;
	TCase *t;
	Suite *s;
	int bad;

	for (size_t i = 0; i < 2; i++)
		if (argc == 3 && strcmp(argv[1], vmms[i].name) == 0)
			vmm = &vmms[i];
	if (!vmm) {
		fprintf(stderr, "usage: vhost-user-front "
				"cloud-hypervisor|crosvm SOCKET\n");
		return 2;
	}
	setenv("FRONT_SOCKET", argv[2], 1);
	drv_init(&d);
	/* for its assertions */
	s = suite_create(argv[1]);
	t = tcase_create("front");
	tcase_add_test(t, test_front);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_SILENT);
	bad = srunner_ntests_failed(runner);
	if (bad) {
		TestResult **r = srunner_failures(runner);

		fprintf(stderr, "%s: %s\n", argv[1], tr_msg(r[0]));
		free(r);
	}
	srunner_free(runner);
	return bad != 0;
}
