/* SPDX-License-Identifier: MIT */
/*
 * test-many.c - 10,000 connections of one guest, open at the same time, and
 * handed on to another process
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "rig.h"

#define MANY 10000
#define FIRST 20000u
#define BATCH 200

static struct {
	int fd;
	bool open, byte;
	uint32_t shut;
} ends[MANY];
static int opened, bytes, shut;

static bool on_packet(struct rig *r, const struct vsock_header *h,
		      const uint8_t *payload)
{
	uint32_t i = h->dst_port - FIRST;

	(void)r;
	if (i >= MANY)
		return false;
	switch (h->op) {
	case VSOCK_OP_RESPONSE:
		must(!ends[i].open);
		ends[i].open = true;
		opened++;
		break;
	case VSOCK_OP_RW:
		must(h->len == 1 && payload[0] == (uint8_t)i);
		must(!ends[i].byte);
		ends[i].byte = true;
		bytes++;
		break;
	case VSOCK_OP_SHUTDOWN:
		shut += ends[i].shut != 3 && (ends[i].shut | h->flags) == 3;
		ends[i].shut |= h->flags;
		break;
	default:
		must(h->op == VSOCK_OP_CREDIT_UPDATE);
	}
	return true;
}

static bool is_number(struct rig *r, void *arg)
{
	const int *pair = arg;

	(void)r;
	return (pair[1] == 0   ? opened
		: pair[1] == 1 ? bytes
			       : shut) == pair[0];
}

static bool closed(struct rig *r, void *arg)
{
	return r->b.nclosed == *(int *)arg;
}

static void packet(struct rig *r, int i, enum vsock_op op)
{
	struct vsock_header h = { .src_cid = DRV_CID,
				  .dst_cid = 2,
				  .src_port = FIRST + (uint32_t)i,
				  .dst_port = 5000,
				  .type = VSOCK_STREAM,
				  .op = (uint16_t)op,
				  .len = op == VSOCK_OP_RW,
				  .buf_alloc = 262144 };
	uint8_t byte = (uint8_t)i;

	rig_put(r, &h, &byte);
}

static void answer(struct rig *r)
{
	while (r->b.ndials) {
		uint32_t port;

		must(guid_is_port(&r->b.dials[0].m.source, &port));
		must(port - FIRST < MANY);
		ends[port - FIRST].fd = fb_dial_accept(&r->b, 0, NULL);
	}
}

static unsigned long resident_kib(struct rig *r)
{
	char path[64], line[128];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)r->child);
	f = fopen(path, "r");
	must(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %lu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

START_TEST(test_many)
{
	const char *sandbox = getenv("VHOST_USER_SANDBOX");
	struct rlimit l = { 0, 0 };
	unsigned long before;
	struct rig *r;
	int n, one = 1;
	uint8_t byte;

	must(getrlimit(RLIMIT_NOFILE, &l) == 0);
	ck_assert_msg(l.rlim_max >= MANY + 100,
		      "cannot run: needs a limit of %d open files, has %lu",
		      MANY + 100, (unsigned long)l.rlim_max);
	l.rlim_cur = l.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &l) == 0);
	r = rig_start();
	r->hook = on_packet;
	rig_settle(r);
	before = resident_kib(r);
	for (int i = 0; i < MANY; i += BATCH) {
		for (int k = i; k < i + BATCH; k++)
			packet(r, k, VSOCK_OP_REQUEST);
		while (opened < i + BATCH) {
			rig_step(r, 10);
			answer(r);
		}
	}
	printf("# %lu bytes for each idle connection\n",
	       (resident_kib(r) - before) * 1024 / MANY);
	if (sandbox && strcmp(sandbox, "none"))
		ck_assert_uint_lt(resident_kib(r) - before,
				  (unsigned long)MANY * 2);
	rig_replace(r);
	ck_assert_int_eq(r->b.nclosed, 0);
	/* all of them live */
	for (int i = 0; i < MANY; i++) {
		byte = (uint8_t)i;
		must(send(ends[i].fd, &byte, 1, 0) == 1);
		packet(r, i, VSOCK_OP_RW);
	}
	rig_wait(r, is_number, (int[]) { MANY, 1 }, "a byte of each");
	rig_settle(r);
	for (int i = 0; i < MANY; i++)
		must(recv(ends[i].fd, &byte, 1, 0) == 1 &&
		     byte == (uint8_t)i);
	for (int i = 0; i < MANY; i++)
		close(ends[i].fd);
	rig_wait(r, is_number, (int[]) { MANY, 2 }, "the end of each");
	for (int i = 0; i < MANY; i++)
		packet(r, i, VSOCK_OP_RST);
	n = MANY;
	rig_wait(r, closed, &n, "CLOSED of each");
	rig_connected(r, 0, 1025, 5000);
	r->guest[0].to_send = r->prog[0].to_send = 100000;
	rig_wait(r, rig_all_arrived, &one, "bytes of another one");
	rig_end(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost-user-many");
	TCase *t = tcase_create("many");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_many);
	suite_add_tcase(s, t);
	return rig_run(s);
}
