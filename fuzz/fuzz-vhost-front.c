/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vhost-front.c - whatever a vhost-user back end sends to hvvm
 *
 * The first byte tells which socket the rest comes from: the replies to all
 * requests of a device's life, or the back end's own requests.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/ev.h"
#include "hvvm/memory.h"
#include "hvvm/vhost-requests.h"
#include "hvvm/vhost-user.h"
#include "hvvm/virtio-kind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void replies(const uint8_t *data, size_t size)
{
	static struct memory m;
	uint8_t config[VHOST_USER_CONFIG_MAX] = { 0 };
	struct vhost_user_ring ring = { .num = 8 };
	struct virtio_spec spec;
	struct vhost_user v = { .limit_ms = 100 };
	int pair[2], error;
	char why[100];

	if (!m.map)
		MUST(memory_new(&m, 2 << 20, false) == 0);
	ring.kick = ring.call = m.fd;
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	MUST(send(pair[1], data, size, MSG_DONTWAIT) == (ssize_t)size);
	MUST(shutdown(pair[1], SHUT_WR) == 0);
	v.fd = pair[0];
	(void)vhost_user_begin(&v, UINT64_MAX);
	(void)vhost_user_set_memory(&v, &m);
	if (vhost_user_get_config(&v, config, 60) == 0) {
		MUST(!virtio_spec_parse("blk:x", &spec));
		MUST(virtio_spec_queues(&spec, v.features, config, 256) <= 256);
	}
	(void)vhost_user_set_requests(&v, m.fd);
	(void)vhost_user_set_features(&v, v.features);
	(void)vhost_user_start_ring(&v, 0, &ring);
	error = vhost_user_stop_ring(&v, 0);
	MUST(error == v.error);
	MUST(error <= 0 && error != -ETIMEDOUT);
	MUST(!error || *vhost_user_why(&v, why, sizeof(why)));
	vhost_user_close(&v);
	close(pair[1]);
}

static void on_changed(void *ctx)
{
	++*(size_t *)ctx;
}

static void requests(const uint8_t *data, size_t size)
{
	struct vhost_requests q = { .fd = -1 };
	size_t changes = 0, turns = 0;
	static struct ev *ev;
	int fd = -1;

	MUST(ev || ev_new(&ev) == 0);
	MUST(vhost_requests_start(&q, ev, on_changed, &changes, &fd) == 0);
	MUST(send(fd, data, size, MSG_DONTWAIT) == (ssize_t)size);
	MUST(shutdown(fd, SHUT_WR) == 0);
	while (q.io.ev) {
		MUST(ev_step(ev, 0) == 0);
		MUST(turns++ <= size + 2);
	}
	MUST(changes <= size / 12);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 4096)
		return 0;
	if (data[0] & 1)
		requests(data + 1, size - 1);
	else
		replies(data + 1, size - 1);
	return 0;
}
