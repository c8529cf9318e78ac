/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vsock-state.c - a vsock device's state from another process
 *
 * Whatever is loaded: the device can write all that it has to say, and what it
 * saves is loaded as the same again.
 */
#include <stdlib.h>
#include <string.h>

#include "transport/vsock-device/save.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define HOSTS 64u
#define BUF 4096u

static struct host {
	uint32_t number;
	bool taken, message;
	size_t gives;
} hosts[HOSTS + 1];

static uint32_t number(void *h)
{
	return ((struct host *)h)->number;
}

static void *host(void *ctx, uint32_t n, struct vsock_conn *c)
{
	(void)ctx;
	if (n > HOSTS || hosts[n].taken)
		return NULL;
	hosts[n] = (struct host) { .number = n, .taken = true, .gives = n,
				    .message = vsock_type(c) != VSOCK_STREAM };
	return &hosts[n];
}

static void answered(void *h, bool accepted)
{
	(void)accepted;
	((struct host *)h)->taken = false;
}

static ssize_t pull(void *h, const struct iovec *iov, unsigned int n)
{
	struct host *at = h;

	if (!n || !iov[0].iov_len || !at->gives)
		return -11;
	at->gives--;
	return at->message ? (ssize_t)at->number : 1;
}

/* Messages as long as their number. */
static ssize_t next(void *h)
{
	struct host *at = h;

	return at->gives ? (ssize_t)at->number : -11;
}

static size_t waiting(void *h)
{
	return ((struct host *)h)->gives;
}

static size_t held(void *h)
{
	(void)h;
	return 0;
}

static void ended(void *h, enum vsock_end why)
{
	(void)why;
	((struct host *)h)->taken = false;
}

static void wake(void *ctx)
{
	(void)ctx;
}

static const struct vsock_ops ops = {
	.answered = answered,
	.next = next,
	.pull = pull,
	.waiting = waiting,
	.held = held,
	.ended = ended,
	.wake = wake,
};

static void write_all(struct vsock *v)
{
	static uint8_t bytes[BUF];
	const struct iovec iov = { bytes, BUF };
	unsigned int turns = 0;

	for (uint64_t t = 1; t < 4; t++) {
		vsock_time(v, t * 100000000000u);
		while (vsock_rx_wanted(v)) {
			struct vsock_buf b = { .iov = &iov,
					       .n = 1,
					       .len = BUF };

			(void)vsock_rx(v, &b, 1);
			MUST(turns++ < 100000);
		}
	}
}

static int load(const uint8_t *data, size_t size, struct vsock **ret)
{
	struct unpack u = { .p = data, .left = size };

	memset(hosts, 0, sizeof(hosts));
	MUST(vsock_new(3, &ops, NULL, ret) == 0);
	return vsock_load(*ret, &u, host, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pack first = { 0 }, second = { 0 };
	struct vsock *v;

	if (load(data, size, &v) < 0) {
		vsock_free(v);
		return 0;
	}
	vsock_save(v, &first, number);
	vsock_free(v);
	MUST(load(first.data, first.len, &v) == 0);
	vsock_save(v, &second, number);
	MUST(first.len == second.len &&
	     memcmp(first.data, second.data, first.len) == 0);
	write_all(v);
	vsock_free(v);
	pack_fini(&first);
	pack_fini(&second);
	return 0;
}
