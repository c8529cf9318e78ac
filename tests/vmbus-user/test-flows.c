/* SPDX-License-Identifier: MIT */
/* test-flows.c - the program between a guest and programs: what must work */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "vmm.h"

#define MIB (1024u * 1024)

START_TEST(test_dial_names)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);
	uint32_t port;

	ck_assert(f->token);
	ck_assert(guid_is_port(&guid_parent, &port) == false);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

static const struct {
	uint64_t to_host, to_guest;
	uint32_t buf, chunk;
	bool from_host, parked;
} sizes[] = {
	{ 0, 0, 0, 0, false, false },
	{ 1, 0, 0, 0, false, false },
	{ 0, 1, 0, 0, false, false },
	{ 3000, 5000, 0, 1, false, false },
	{ 24576, 24576, 0, 0, true, false },
	{ 100001, 99999, 0, 0, true, true },
	{ 3 * MIB, 3 * MIB, 0, 0, false, false },
	{ 3 * MIB + 7, 1, 262144, 0, false, false },
	{ 1, 3 * MIB + 7, 262144, 0, true, false },
	{ 400000, 400000, 65536, 100, true, true },
	{ 8 * MIB, 8 * MIB, 262144, 0, true, false },
};

static bool closed(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.nclosed > 0;
}

START_TEST(test_sizes)
{
	struct vmm *v = vmm_start();
	struct flow *f = sizes[_i].from_host
				 ? flow_host(v, sizes[_i].buf, sizes[_i].parked)
				 : flow_guest(v, sizes[_i].buf);

	f->chunk = sizes[_i].chunk;
	flow_send(f, sizes[_i].to_host, sizes[_i].to_guest, false);
	vmm_wait(v, flow_arrived, f, "all bytes");
	ck_assert(!f->host_eof && !f->guest_eof);
	flow_send(f, 0, 0, true);
	vmm_wait(v, flow_finished, f, "both ends of file");
	vmm_check_clean(v);
	vmm_wait(v, closed, NULL, "CLOSED");
	ck_assert_int_eq(v->b.nclosed, 1);
	ck_assert(v->b.closed[0].token == f->token);
	ck_assert_uint_eq(v->b.closed[0].to_guest, sizes[_i].to_guest);
	ck_assert_uint_eq(v->b.closed[0].from_guest, sizes[_i].to_host);
	vmm_end(v);
}
END_TEST

/* One says it is done and still gets what the other sends, then its end. */
START_TEST(test_half_close_by_guest)
{
	struct vmm *v = vmm_start();
	struct flow *f = _i ? flow_host(v, 0, false) : flow_guest(v, 0);

	f->guest_fin = true;
	f->guest_to_send = 50000;
	f->guest_try = true;
	vmm_wait(v, flow_host_over, f, "the guest's end of file");
	ck_assert_int_eq(f->host_error, 0);
	ck_assert_uint_eq(f->host_got, 50000);
	ck_assert(!f->guest_eof);
	f->host_to_send = 300000;
	vmm_wait(v, flow_arrived, f, "bytes after the half close");
	ck_assert(!f->guest_eof);
	f->host_fin = true;
	vmm_wait(v, flow_finished, f, "the program's end of file");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

START_TEST(test_half_close_by_program)
{
	struct vmm *v = vmm_start();
	struct flow *f = _i ? flow_host(v, 0, false) : flow_guest(v, 0);

	f->host_fin = true;
	f->host_to_send = 50000;
	vmm_wait(v, flow_guest_over, f, "the program's end of file");
	ck_assert_uint_eq(f->guest_got, 50000);
	ck_assert(!f->host_eof);
	f->guest_to_send = 300000;
	f->guest_try = true;
	vmm_wait(v, flow_arrived, f, "bytes after the half close");
	ck_assert(!f->host_eof);
	f->guest_fin = f->guest_try = true;
	vmm_wait(v, flow_finished, f, "the guest's end of file");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* The guest says something and its end before the program's socket is there. */
static bool opened(struct vmm *v, void *arg)
{
	struct flow *f = arg;

	if (!f->s)
		f->s = vg_accept(v->g, 5000 + f->id);
	return f->s && v->b.opens[f->open].answered;
}

START_TEST(test_end_before_socket)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_new(v);

	vg_listen(v->g, 5000, 1);
	f->open = fb_open(&v->b, 5000, 1, false, 5000);
	f->token = v->b.opens[f->open].token;
	vmm_wait(v, opened, f, "the guest to accept");
	flow_send(f, _i ? 60000 : 0, 0, false);
	f->guest_fin = true;
	for (int i = 0; i < 3; i++)
		vmm_step(v, 1);
	f->fd = fb_meet(&v->b, f->token);
	vmm_wait(v, flow_host_over, f, "the guest's end of file");
	ck_assert_int_eq(f->host_error, 0);
	ck_assert_uint_eq(f->host_got, _i ? 60000 : 0);
	f->host_fin = true;
	vmm_wait(v, flow_finished, f, "the program's end of file");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

static bool stuck(struct vmm *v, void *arg)
{
	struct flow *f = arg;
	uint64_t *seen = &f->v->flows[f->id + 1].guest_sent;
	uint64_t now = f->guest_sent + f->host_sent;

	(void)v;
	if (*seen == now && now)
		return true;
	*seen = now;
	return false;
}

/* Slow readers: what they do not take stays where it is, and all arrives. */
START_TEST(test_stalled)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);

	f->guest_stalls = f->host_stalls = true;
	flow_send(f, 2 * MIB, 2 * MIB, true);
	for (int i = 0; i < 200 && !stuck(v, f); i++)
		vmm_step(v, 5);
	ck_assert_uint_lt(f->guest_sent, MIB);
	ck_assert_uint_lt(f->host_sent, MIB);
	f->guest_stalls = f->host_stalls = false;
	f->guest_try = true;
	vmm_wait(v, flow_finished, f, "all bytes and the ends");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* The host's program goes; what it had sent is read, then the end. */
START_TEST(test_program_killed)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);

	flow_send(f, _i ? 500000 : 0, 20000, false);
	f->host_stalls = true;
	while (f->host_sent < 20000)
		vmm_step(v, 10);
	flow_close_host(f);
	vmm_wait(v, flow_guest_over, f, "the end in the guest");
	ck_assert_uint_eq(f->guest_got, 20000);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* The host's program reads no more, but goes on sending: what the guest sends
 * is lost, what it gets is not. */
START_TEST(test_program_deaf)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);

	f->host_stalls = true;
	must(shutdown(f->fd, SHUT_RD) == 0);
	flow_send(f, 2 * MIB, 400000, false);
	while (f->guest_sent < 2 * MIB || f->guest_got < 400000)
		vmm_step(v, 10);
	ck_assert(!f->guest_eof);
	f->host_fin = true;
	vmm_wait(v, flow_guest_over, f, "the end in the guest");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* The guest's program goes with data on their way and unread. */
START_TEST(test_guest_program_gone)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);

	f->guest_stalls = true;
	flow_send(f, 100000, 100000, false);
	while (f->guest_sent < 100000)
		vmm_step(v, 10);
	flow_close_guest(f);
	vmm_wait(v, flow_host_over, f, "the end at the program");
	ck_assert_uint_eq(f->host_got, 100000);
	flow_close_host(f);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

static bool timed_out(struct vmm *v, void *arg)
{
	(void)v;
	return ((struct flow *)arg)->s->state == VG_CLOSED;
}

static bool asked(struct vmm *v, void *arg)
{
	(void)arg;
	return v->b.ndials > 0;
}

START_TEST(test_dial_refused)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest_begin(v, 0);
	const struct msg_dial *m = &v->b.dials[0].m;
	uint32_t port;

	vmm_wait(v, asked, NULL, "DIAL");
	ck_assert_uint_eq(m->type, SOCK_STREAM);
	ck_assert(guid_equal(&m->vmid, &guid_parent));
	ck_assert(guid_is_port(&m->service, &port) && port == 1000);
	ck_assert(guid_is_port(&m->source, &port) && port == f->s->local);
	ck_assert_uint_gt(m->timeout_ms, 0);
	fb_dial_refuse(&v->b, 0, HVS_REASON_NOT_REGISTERED);
	vmm_wait(v, timed_out, f, "the guest's connect to fail");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

static bool answered(struct vmm *v, void *arg)
{
	return v->b.opens[*(int *)arg].answered;
}

START_TEST(test_open_refused)
{
	struct vmm *v = vmm_start();
	int i = fb_open(&v->b, 5999, 1, _i, 700), fd = -1;
	char c;

	if (_i) {
		fd = fb_meet(&v->b, v->b.opens[i].token);
		fb_parked(&v->b, v->b.opens[i].token, fb_fill(fd));
	}
	vmm_wait(v, answered, &i, "the refusal: nobody listens");
	ck_assert_uint_eq(v->b.opens[i].error, ETIMEDOUT);
	if (_i) {
		while (recv(fd, &c, 1, 0) < 0 && errno == EAGAIN)
			vmm_step(v, 10);
		ck_assert_int_eq(errno, ECONNRESET);
		close(fd);
	}
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* A program that gives up before the guest has answered. */
START_TEST(test_parked_gives_up)
{
	struct vmm *v = vmm_start();
	int i = fb_open(&v->b, 5999, 1, true, 60000);
	int fd = fb_meet(&v->b, v->b.opens[i].token);

	fb_parked(&v->b, v->b.opens[i].token, fb_fill(fd));
	for (int k = 0; k < 3; k++)
		vmm_step(v, 5);
	close(fd);
	vmm_wait(v, answered, &i, "the end of the attempt");
	ck_assert_uint_ne(v->b.opens[i].error, 0);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* Policy has changed: the broker ends one. */
START_TEST(test_broker_closes)
{
	struct vmm *v = vmm_start();
	struct flow *f = flow_guest(v, 0);

	fb_close(&v->b, f->token);
	vmm_wait(v, flow_guest_over, f, "the end in the guest");
	vmm_wait(v, flow_host_over, f, "the end at the program");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* Many at once, half from either side. */
START_TEST(test_many)
{
	static const unsigned int counts[] = { 100, 500 };
	struct vmm *v = vmm_start();
	unsigned int n = counts[_i];

	for (unsigned int i = 0; i < n / 2; i++) {
		(void)flow_guest_begin(v, 0);
		/* as many as one processor's thread has connecting */
		if (i % 8 == 7)
			vmm_wait(v, flows_established, NULL, "connections");
	}
	vmm_wait(v, flows_established, NULL, "connections");
	for (unsigned int i = 0; i < n / 2; i++)
		(void)flow_host(v, 0, i % 2);
	for (unsigned int i = 0; i < n; i++)
		flow_send(&v->flows[i], 30000 + i, 40000 - i, true);
	vmm_wait(v, flows_finished, NULL, "all bytes and ends");
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* One that never stops does not keep another from being served. */
START_TEST(test_fair)
{
	struct vmm *v = vmm_start();
	struct flow *greedy = flow_guest(v, 262144), *f = flow_guest(v, 0);
	uint64_t before;

	flow_send(greedy, UINT32_MAX, UINT32_MAX, false);
	for (int i = 0; i < 20; i++)
		vmm_step(v, 1);
	before = greedy->host_got + greedy->guest_got;
	flow_send(f, 100000, 100000, false);
	vmm_wait(v, flow_arrived, f, "the modest one's bytes");
	ck_assert_uint_lt(greedy->host_got + greedy->guest_got - before,
			  400u * MIB);
	flow_close_guest(greedy);
	flow_close_host(greedy);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

/* Connect and close again and again: nothing is left. */
START_TEST(test_churn)
{
	struct vmm *v = vmm_start();

	for (int i = 0; i < 500; i++) {
		struct flow *f =
			i % 2 ? flow_host(v, 0, i % 4 == 1) : flow_guest(v, 0);

		flow_close_guest(f);
		flow_close_host(f);
		f->used = false;
		if (i % 10 == 9)
			vmm_wait(v, vmm_clean, NULL, "channels to go");
	}
	vmm_wait(v, vmm_clean, NULL, "channels to go");
	/* (relids are used again, and so are their doorbells) */
	ck_assert_uint_lt(v->signals, 200);
	vmm_check_clean(v);
	vmm_end(v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("flows");

	tcase_add_test(t, test_dial_names);
	tcase_add_loop_test(t, test_sizes, 0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_loop_test(t, test_half_close_by_guest, 0, 2);
	tcase_add_loop_test(t, test_half_close_by_program, 0, 2);
	tcase_add_loop_test(t, test_end_before_socket, 0, 2);
	tcase_add_test(t, test_stalled);
	tcase_add_loop_test(t, test_program_killed, 0, 2);
	tcase_add_test(t, test_program_deaf);
	tcase_add_test(t, test_guest_program_gone);
	tcase_add_test(t, test_dial_refused);
	tcase_add_loop_test(t, test_open_refused, 0, 2);
	tcase_add_test(t, test_parked_gives_up);
	tcase_add_test(t, test_broker_closes);
	tcase_add_loop_test(t, test_many, 0, 2);
	tcase_add_test(t, test_fair);
	tcase_add_test(t, test_churn);
	return vmm_main("vmbus-user flows", t);
}
