/* SPDX-License-Identifier: MIT */
/* test-handover.c - the program replaced under a running guest, saved, killed
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "vmm.h"

static bool broker_free(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.conn < 0;
}

static void journal(struct vmm *v, bool recover)
{
	struct vmbu_request r = { .type = VMBU_JOURNAL };

	r.u.journal.recover = recover;
	vmm_must(v, &r, &v->journal, 1);
}

#define SERVICES 16u /* what version 2 of the state has at its end */

/* As a build of before integration services would have saved it. */
static void make_older(struct vmm *v)
{
	int fd = memfd_create("older", MFD_CLOEXEC);
	uint8_t *p = malloc(v->state_len);

	must(pread(v->state, p, v->state_len, 0) == (ssize_t)v->state_len);
	ck_assert_uint_eq(le32_get(p + 4), 2);
	le32_put(p + 4, 1);
	v->state_len -= SERVICES;
	must(write(fd, p, v->state_len) == (ssize_t)v->state_len);
	close(v->state);
	v->state = fd;
	free(p);
}

/* The whole way: SAVE, TAKE, the old one ends, the next one goes on. */
static void replace_from(struct vmm *v, bool older)
{
	/* the guest is offered them while it runs */
	const char *const all[] = { "--integration", "all", NULL };
	int status;

	v->lost = true;
	vmm_save(v, true);
	close(v->front);
	v->front = -1;
	status = vmm_reap(v);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	if (older)
		make_older(v);
	vmm_wait(v, broker_free, NULL, "the old one to leave the broker");
	v->b.nlive = 0;
	vmm_launch(v, older ? all : NULL);
	vmm_introduce(v);
	v->lost = true;
	ck_assert_int_eq(vmm_load(v, true), 0);
	journal(v, false);
	vmm_run(v);
}

static void replace(struct vmm *v)
{
	replace_from(v, false);
}

static bool running(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.state == 1;
}

static bool all_live(struct vmm *v, void *arg)
{
	return v->b.nlive == *(int *)arg;
}

START_TEST(test_replaced_while_moving)
{
	struct vmm *v = vmm_start();
	int n = 50;

	for (int i = 0; i < n; i++) {
		struct flow *f =
			i % 2 ? flow_host(v, i % 3 ? 0 : 65536, i % 4 == 1)
			      : flow_guest(v, i % 3 ? 0 : 65536);

		flow_send(f, 300000 + (uint64_t)i, 300000, i % 5 == 0);
	}
	for (int k = 0; k < 3; k++) {
		for (int i = 0; i < 4; i++)
			vmm_step(v, 1);
		replace(v);
		for (int i = 0; i < n; i++)
			flow_send(&v->flows[i], 1000, 1000,
				  v->flows[i].guest_fin &&
					  v->flows[i].host_fin);
		/* those that had said they are done */
		for (int i = 0; i < n; i += 5)
			if (v->flows[i].guest_fin_sent)
				v->flows[i].guest_to_send -= 1000;
		for (int i = 0; i < n; i += 5)
			if (v->flows[i].host_fin_sent)
				v->flows[i].host_to_send -= 1000;
		vmm_wait(v, running, NULL, "STATE running");
	}
	for (int i = 0; i < n; i++)
		flow_send(&v->flows[i], 0, 0, true);
	vmm_wait(v, flows_finished, NULL, "all bytes and ends");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* Nothing moves: they are named to the broker, and move again. */
START_TEST(test_replaced_while_idle)
{
	struct vmm *v = vmm_start();
	int n = 300;

	for (int i = 0; i < n; i++)
		(void)flow_host(v, 0, false);
	replace(v);
	vmm_wait(v, all_live, &n, "LIVE of each");
	for (int i = 0; i < n; i++) {
		ck_assert_uint_eq(v->b.live[i].uid, 1000);
		ck_assert_mem_eq(&v->b.live[i].partition, &fb_partition,
				 sizeof(GUID));
	}
	for (int i = 0; i < n; i++)
		flow_send(&v->flows[i], 100, 100, true);
	vmm_wait(v, flows_finished, NULL, "all bytes and ends");
	(void)flow_guest(v, 0);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

static bool dialled(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.ndials > 0;
}

/* A connect that is under way is asked for again. */
START_TEST(test_replaced_while_dialling)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest_begin(v, 0);

	vmm_wait(v, dialled, NULL, "DIAL");
	replace(v);
	v->b.ndials = 0;
	vmm_wait(v, dialled, NULL, "DIAL of the next one");
	f->fd = fb_dial_accept(&v->b, 0, &f->token);
	vmm_wait(v, flows_established, NULL, "the guest's connect");
	flow_send(f, 5000, 5000, true);
	vmm_wait(v, flow_finished, f, "all bytes");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* Of a program that waits for the guest's answer nothing is left over. */
START_TEST(test_replaced_while_opening)
{
	struct vmm *v = vmm_start();
	int i = fb_open(&v->b, 5999, 1, _i, 60000), fd = -1;
	char c;

	if (_i) {
		fd = fb_meet(&v->b, v->b.opens[i].token);
		fb_parked(&v->b, v->b.opens[i].token, fb_fill(fd));
	}
	for (int k = 0; k < 3; k++)
		vmm_step(v, 5);
	replace(v);
	if (_i) {
		while (recv(fd, &c, 1, 0) < 0 && errno == EAGAIN)
			vmm_step(v, 10);
		ck_assert_int_eq(errno, ECONNRESET);
		close(fd);
	}
	(void)flow_host(v, 0, false);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* The VMM thinks better of it. */
START_TEST(test_saved_and_run)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0), *g = flow_host(v, 0, false);

	flow_send(f, 500000, 500000, true);
	flow_send(g, 500000, 500000, true);
	for (int k = 0; k < 5; k++) {
		for (int i = 0; i < 4; i++)
			vmm_step(v, 1);
		v->lost = true;
		vmm_save(v, _i);
		for (int i = 0; i < 4; i++)
			vmm_step(v, 1);
		vmm_run(v);
	}
	vmm_wait(v, flows_finished, NULL, "all bytes and ends");
	vmm_wait(v, running, NULL, "STATE running");
	(void)flow_host(v, 0, false);
	(void)flow_guest(v, 0);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* From a build without integration services, and to the next one. */
START_TEST(test_older_state)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);

	replace_from(v, true);
	flow_send(f, 10000, 10000, false);
	replace(v);
	flow_send(f, 10000, 10000, true);
	vmm_wait(v, flow_finished, f, "bytes after both");
	vmm_end(v);
}
END_TEST

/* As a snapshot: the host's ends are gone, the guest's are told. */
START_TEST(test_snapshot)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0), *g = flow_host(v, 0, true);

	v->lost = true;
	vmm_save(v, false);
	vmm_kill(v);
	vmm_launch(v, NULL);
	vmm_introduce(v);
	ck_assert_int_eq(vmm_load(v, false), 0);
	vmm_run(v);
	vmm_wait(v, flow_guest_over, f, "the end of the first");
	vmm_wait(v, flow_guest_over, g, "the end of the second");
	f = flow_guest(v, 0);
	flow_send(f, 10000, 10000, true);
	vmm_wait(v, flow_finished, f, "bytes of a new one");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

START_TEST(test_killed)
{
	struct vmm *v = vmm_start();

	for (int k = 0; k < 4; k++) {
		struct flow *f = flow_guest(v, 0), *g = flow_host(v, 0, true);

		flow_send(f, 1000000, 1000000, false);
		flow_send(g, 1000000, 1000000, false);
		if (k == 2)
			(void)flow_guest_begin(v, 0);
		for (int i = 0; i < 4; i++)
			vmm_step(v, 1);
		vmm_kill(v);
		v->b.ndials = 0;
		vmm_launch(v, NULL);
		vmm_introduce(v);
		journal(v, true);
		vmm_wait(v, flow_guest_over, f, "the end of the first");
		vmm_wait(v, flow_guest_over, g, "the end of the second");
		vmm_wait(v, running, NULL, "STATE running");
		flow_close_guest(f);
		flow_close_guest(g);
		f->used = g->used = false;
	}
	flow_send(flow_host(v, 0, false), 10000, 10000, true);
	vmm_wait(v, flow_finished, &v->flows[v->nflows - 1], "bytes");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

START_TEST(test_not_a_journal)
{
	struct vmbu_request r = { .type = VMBU_JOURNAL };
	struct vmm *v = vmm_new();

	vmm_launch(v, NULL);
	vmm_introduce(v);
	r.u.journal.recover = true;
	ck_assert_int_eq(vmm_ask(v, &r, &v->journal, 1), EINVAL);
	vmm_end(v);
}
END_TEST

/* States that were tampered with cost nothing but themselves. */
START_TEST(test_bad_states)
{
	struct vmbu_request reset = { .type = VMBU_RESET };
	struct vmm *v = vmm_start();
	uint32_t seed = 4711, bad = 0;
	uint8_t *good;
	int status;

	for (int i = 0; i < 4; i++)
		(void)(i % 2 ? flow_guest(v, 0) : flow_host(v, 0, false));
	v->lost = true;
	vmm_save(v, true);
	close(v->front);
	status = vmm_reap(v);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	vmm_wait(v, broker_free, NULL, "the old one to leave the broker");
	good = malloc(v->state_len);
	must(pread(v->state, good, v->state_len, 0) == (ssize_t)v->state_len);
	vmm_launch(v, NULL);
	vmm_introduce(v);
	for (int k = 0; k < 400; k++) {
		int fd = memfd_create("bad", MFD_CLOEXEC), was = v->state, err;
		uint64_t len = v->state_len;
		uint8_t *p = malloc(len);

		memcpy(p, good, len);
		if (k % 4 == 3) {
			v->state_len = (uint64_t)k * len / 400;
		} else {
			seed = seed * 1664525 + 1013904223;
			p[(seed >> 8) % len] ^= (uint8_t)(1 << seed % 8);
		}
		must(write(fd, p, v->state_len) == (ssize_t)v->state_len);
		v->state = fd;
		err = vmm_load(v, true);
		must(err >= 0);
		bad += err != 0;
		if (!err && k % 2)
			vmm_must(v, &(struct vmbu_request) { .type = VMBU_RUN },
				 NULL, 0);
		vmm_must(v, &reset, NULL, 0);
		if (!err && k % 2) {
			/* it has run: another one is needed */
			close(v->front);
			must(vmm_reap(v) == 0);
			vmm_wait(v, broker_free, NULL, "the end");
			vmm_launch(v, NULL);
			vmm_introduce(v);
		}
		for (uint32_t i = 0; i < VG_VPS; i++)
			vmm_synic(v, i, true);
		v->state = was;
		v->state_len = len;
		close(fd);
		free(p);
	}
	ck_assert_uint_gt(bad, 100);
	free(good);
	vmm_end(v);
}
END_TEST

/* Descriptors that are missing, of the wrong kind, or for nothing. */
START_TEST(test_wrong_descriptors)
{
	struct vmbu_request r = { .type = VMBU_GIVE };
	struct vmm *v = vmm_start();
	struct flow *f[4];
	int fds[2], status;

	for (int i = 0; i < 4; i++)
		f[i] = i % 2 ? flow_guest(v, 0) : flow_host(v, 0, false);
	ck_assert_int_eq(vmm_ask(v, &(struct vmbu_request) { .type = VMBU_RUN },
				 NULL, 0),
			 EALREADY);
	r.u.give.count = 1;
	ck_assert_int_eq(vmm_ask(v, &r, &v->journal, 1), EINVAL);
	v->lost = true;
	vmm_save(v, true);
	r = (struct vmbu_request) { .type = VMBU_TAKE };
	r.u.take.first = v->nfds;
	ck_assert_int_eq(vmm_ask(v, &r, NULL, 0), ERANGE);
	r = (struct vmbu_request) { .type = VMBU_SAVE };
	ck_assert_int_eq(vmm_ask(v, &r, NULL, 0), EALREADY);
	close(v->front);
	status = vmm_reap(v);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	vmm_wait(v, broker_free, NULL, "the old one to leave the broker");
	vmm_launch(v, NULL);
	vmm_introduce(v);
	v->lost = true;
	r = (struct vmbu_request) { .type = VMBU_LOAD };
	r.u.load.length = v->state_len;
	r.u.load.handover = true;
	r.u.load.fds = v->nfds + 1;
	ck_assert_int_eq(vmm_ask(v, &r, &v->state, 1), EINVAL);
	r.u.load.fds = v->nfds;
	vmm_must(v, &r, &v->state, 1);
	ck_assert_int_eq(vmm_ask(v, &r, &v->state, 1), EINVAL);
	r = (struct vmbu_request) { .type = VMBU_GIVE };
	r.u.give.first = v->nfds;
	r.u.give.count = 1;
	ck_assert_int_eq(vmm_ask(v, &r, v->fds, 1), ERANGE);
	r.u.give.first = UINT32_MAX;
	ck_assert_int_eq(vmm_ask(v, &r, v->fds, 1), ERANGE);
	/* a file and an eventfd for two of the four, nothing for the others */
	fds[0] = v->journal;
	fds[1] = v->raise[0];
	r.u.give.first = 0;
	r.u.give.count = 2;
	vmm_must(v, &r, fds, 2);
	vmm_run(v);
	vmm_drop_doorbells(v);
	for (int i = 0; i < 4; i++) {
		vmm_wait(v, flow_guest_over, f[i], "the end in the guest");
		f[i]->used = false;
	}
	vmm_wait(v, running, NULL, "STATE running");
	flow_send(flow_guest(v, 0), 10000, 10000, true);
	vmm_wait(v, flow_finished, &v->flows[v->nflows - 1], "bytes");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("handover");

	tcase_add_test(t, test_replaced_while_moving);
	tcase_add_test(t, test_replaced_while_idle);
	tcase_add_test(t, test_replaced_while_dialling);
	tcase_add_loop_test(t, test_replaced_while_opening, 0, 2);
	tcase_add_loop_test(t, test_saved_and_run, 0, 2);
	tcase_add_test(t, test_older_state);
	tcase_add_test(t, test_snapshot);
	tcase_add_test(t, test_killed);
	tcase_add_test(t, test_not_a_journal);
	tcase_add_test(t, test_wrong_descriptors);
	tcase_add_test(t, test_bad_states);
	return vmm_main("vmbus-user handover", t);
}
