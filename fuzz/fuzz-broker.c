/* SPDX-License-Identifier: MIT */
/*
 * fuzz-broker.c - a whole broker, fed by clients of the fuzzer
 *
 * The broker is made once, in a directory of its own, and runs in this thread
 * by ev_step(). An input is a row of frames: a control byte (bits 0-2: which
 * descriptors go with it, bit 3: by which of two clients, bit 4: without
 * HELLO, if it is that client's first), a u16 length, and the packet. When it
 * is over, what it registered is taken back, so that the next one finds the
 * same broker.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/ev.h"
#include "base/fdmsg.h"
#include "base/log.h"
#include "broker/broker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS 2
#define FRAMES_MAX 64

static char dir[] = "/tmp/hvs-fuzz-XXXXXX";
static struct ev *ev;
static struct broker *broker;
/* The broker works in its own directory, the fuzzer in another. */
static int its_dir, our_dir;

static void must(bool truth, const char *what)
{
	if (truth)
		return;
	perror(what);
	abort();
}

static void clean_up(void)
{
	char command[64];

	broker = broker_free(broker);
	ev = ev_free(ev);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	(void)!system(command);
}

static void start(void)
{
	struct broker_options o = {
		.runtime_dir = dir,
		.limits = { .listeners = 32, .pending = 16, .volatiles = 8,
			    .clients = 64 },
		.dgram = "none",
		.uplink_relay = "none",
		.uplink = &(const struct uplink_place){ .kind = UPLINK_NONE },
		.control_fd = -1,
	};

	log_set_level(LOG_ERR_);
	must(mkdtemp(dir), "mkdtemp");
	must(ev_new(&ev) == 0, "ev_new");
	our_dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(broker_new(ev, &o, &broker) == 0, "broker_new");
	its_dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(its_dir >= 0 && our_dir >= 0, "open");
	(void)atexit(clean_up);
}

/* Until nothing is left to do at once. */
static void settle(void)
{
	for (int i = 0; i < 8; i++)
		must(ev_step(ev, 0) == 0, "ev_step");
}

static int join(bool hello)
{
	/* the broker's directory is the working directory */
	struct sockaddr_un sa = { .sun_family = AF_UNIX,
				  .sun_path = "../control" };
	uint8_t frame[16] = { [0] = MSG_HELLO, [8] = 1, [12] = 1 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);

	must(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0,
	     "connect");
	if (hello)
		must(fdmsg_send(fd, frame, sizeof(frame), NULL, 0, 0) == 0,
		     "HELLO");
	settle();
	return fd;
}

/* Return: how many descriptors, in @fds */
static int descriptors(unsigned int kind, int *fds)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int pair[2];

	switch (kind) {
	case 1:
	case 2:
	case 3:
		fds[0] = socket(AF_UNIX,
				types[kind - 1] | SOCK_CLOEXEC | SOCK_NONBLOCK,
				0);
		return 1;
	case 4:
		fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		fds[1] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
		return 2;
	case 5:
		must(pipe2(fds, O_CLOEXEC) == 0, "pipe");
		return 2;
	case 6:
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				pair) == 0,
		     "socketpair");
		close(pair[1]);
		fds[0] = pair[0];
		return 1;
	case 7:
		fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return 1;
	default:
		return 0;
	}
}

static void drain(int fd)
{
	static uint8_t buf[MSG_MAX];
	struct fdmsg msg;

	while (fdmsg_recv(fd, buf, sizeof(buf), MSG_DONTWAIT, &msg) == 0 &&
	       (msg.len || msg.nfds))
		for (int i = 0; i < msg.nfds; i++)
			close(msg.fds[i]);
}

struct found {
	GUID id;
	bool any;
};

static int volatile_service(const struct service *s, void *arg)
{
	struct found *f = arg;

	if (s->origin != ORIGIN_VOLATILE)
		return 0;
	*f = (struct found){ s->id, true };
	return 1;
}

static int volatile_partition(const struct partition *p, void *arg)
{
	struct found *f = arg;

	if (p->origin != ORIGIN_VOLATILE)
		return 0;
	*f = (struct found){ p->vmid, true };
	return 1;
}

static void take_back(void)
{
	struct registry *r = broker->registry;
	char why[REGISTRY_WHY];

	for (;;) {
		struct found f = { .any = false };

		registry_each_service(r, volatile_service, &f);
		if (!f.any)
			break;
		must(registry_remove_service(r, &f.id, why, sizeof(why)) == 0,
		     "a service stays");
	}
	for (;;) {
		struct found f = { .any = false };

		registry_each_partition(r, volatile_partition, &f);
		if (!f.any)
			break;
		must(registry_remove_partition(r, &f.id, why, sizeof(why)) == 0,
		     "a partition stays");
	}
	broker_changed(broker);
	settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int client[CLIENTS] = { -1, -1 };

	if (!broker)
		start();
	must(fchdir(its_dir) == 0, "fchdir");
	for (int n = 0; n < FRAMES_MAX && size >= 3; n++) {
		unsigned int control = data[0];
		size_t len = le16_get(data + 1);
		int *c = &client[control >> 3 & 1];
		int fds[2], nfds;

		data += 3;
		size -= 3;
		if (len > size)
			len = size;
		if (*c < 0)
			*c = join(!(control & 16));
		nfds = descriptors(control & 7, fds);
		(void)fdmsg_send(*c, data, len, fds, nfds, MSG_DONTWAIT);
		settle();
		for (int i = 0; i < nfds; i++)
			close(fds[i]);
		drain(*c);
		data += len;
		size -= len;
	}
	for (int i = 0; i < CLIENTS; i++)
		if (client[i] >= 0)
			close(client[i]);
	settle();
	must(!broker->clients && !broker->waiting && !broker->transports,
	     "somebody stays");
	take_back();
	must(fchdir(our_dir) == 0, "fchdir");
	return 0;
}
