/* SPDX-License-Identifier: MIT */
/* test-broker.c - a guest, the program, and the real broker with its library */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/guid.h"
#include "real.h"

static struct vmm *start(void)
{
	return real_start(NULL);
}

static void end(struct vmm *v)
{
	vmm_check_clean(v);
	vmm_end(v);
	real_broker_kill(SIGTERM);
}

/* ---- connections */

struct arrival {
	int listener, fd;
};

static bool arrived(struct vmm *v, void *arg)
{
	struct arrival *a = arg;

	(void)v;
	a->fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return a->fd >= 0;
}

static bool established(struct vmm *v, void *arg)
{
	(void)v;
	return ((struct flow *)arg)->s->state == VG_ESTABLISHED;
}

static struct flow *from_guest(struct vmm *v, int listener)
{
	struct arrival a = { .listener = listener };
	struct flow *f = flow_new(v);

	f->s = vg_connect(v->g, 0, 1000, 0, 0);
	vmm_wait(v, arrived, &a, "the guest's connection");
	f->fd = a.fd;
	vmm_wait(v, established, f, "the guest's connect");
	return f;
}

static int serve(void)
{
	int fd = hvs_serve("wildcard:1000", 16, 0);

	ck_assert_msg(fd >= 0, "hvs_serve: %s", strerror(errno));
	must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	return fd;
}

static bool taken(struct vmm *v, void *arg)
{
	struct flow *f = arg;
	struct pollfd p = { .fd = f->fd, .events = POLLOUT };

	if (!f->s)
		f->s = vg_accept(v->g, 5000);
	return f->s && poll(&p, 1, 0) == 1;
}

static struct flow *to_guest(struct vmm *v)
{
	struct flow *f = flow_new(v);
	SOCKADDR_HV to;

	vg_listen(v->g, 5000, 8);
	f->host_stalls = true;
	f->fd = hvs_socket(AF_HYPERV,
			   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			   HV_PROTOCOL_RAW);
	must(f->fd >= 0);
	must(hvs_address_parse("test:5000", &to) == 0);
	if (hvs_connect(f->fd, &to, sizeof(to)) < 0)
		ck_assert_int_eq(errno, EINPROGRESS);
	vmm_wait(v, taken, f, "the guest to accept");
	f->host_stalls = false;
	return f;
}

START_TEST(test_both_ways)
{
	struct vmm *v = start();
	int listener = serve();
	struct flow *f = from_guest(v, listener), *g = to_guest(v);
	SOCKADDR_HV peer;
	socklen_t len = sizeof(peer);

	ck_assert_int_eq(hvs_getpeername(f->fd, &peer, &len), 0);
	ck_assert(guid_equal(&peer.VmId, &v->vmid));
	flow_send(f, 1000000, 1000000, true);
	flow_send(g, 1000000, 1000000, true);
	vmm_wait(v, flows_finished, NULL, "all bytes");
	close(listener);
	end(v);
}
END_TEST

struct dialler {
	int fd, error;
	bool done;
};

static void *dial(void *arg)
{
	struct dialler *d = arg;

	d->fd = hvs_dial("test:5000", 5000, 0);
	d->error = errno;
	__atomic_store_n(&d->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool dialled(struct vmm *v, void *arg)
{
	(void)v;
	return __atomic_load_n(&((struct dialler *)arg)->done,
			       __ATOMIC_SEQ_CST);
}

static int blocking_dial(struct vmm *v)
{
	struct dialler d = { .fd = -1 };
	pthread_t t;

	must(pthread_create(&t, NULL, dial, &d) == 0);
	vmm_wait(v, dialled, &d, "hvs_dial");
	must(pthread_join(t, NULL) == 0);
	errno = d.error;
	return d.fd;
}

START_TEST(test_blocking)
{
	struct vmm *v = start();
	struct flow *f;
	int fd;

	/* nobody listens in the guest */
	ck_assert_int_eq(blocking_dial(v), -1);
	ck_assert_int_eq(errno, ETIMEDOUT);
	vg_listen(v->g, 5000, 8);
	fd = blocking_dial(v);
	ck_assert_int_ge(fd, 0);
	f = flow_new(v);
	must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	f->fd = fd;
	vmm_wait(v, taken, f, "the guest to accept");
	flow_send(f, 1000, 1000, true);
	vmm_wait(v, flow_finished, f, "all bytes");
	end(v);
}
END_TEST

static bool refused(struct vmm *v, void *arg)
{
	(void)v;
	return ((struct flow *)arg)->s->state == VG_CLOSED;
}

START_TEST(test_refused)
{
	struct vmm *v = start();
	struct flow *f = flow_new(v);

	/* registered, and nobody listens; not registered */
	f->s = vg_connect(v->g, 0, _i ? 1001 : 1000, 0, 0);
	vmm_wait(v, refused, f, "the guest's connect to fail");
	end(v);
}
END_TEST

START_TEST(test_broker_dies)
{
	struct vmm *v = start();
	int listener = serve();
	struct flow *f = from_guest(v, listener), *g = to_guest(v);

	flow_send(f, 3000000, 3000000, true);
	flow_send(g, 3000000, 3000000, true);
	for (int i = 0; i < 4; i++)
		vmm_step(v, 1);
	real_broker_kill(SIGKILL);
	vmm_wait(v, flows_finished, NULL, "all bytes without a broker");
	real_broker_start(v);
	/* it waits for the broker, for as long as the guest does */
	f = flow_new(v);
	f->s = vg_connect(v->g, 0, 1000, 0, 0);
	{
		struct arrival a = { .listener = listener };

		vmm_wait(v, arrived, &a, "a connection by the next broker");
		f->fd = a.fd;
	}
	flow_send(f, 1000, 1000, true);
	vmm_wait(v, flow_finished, f, "its bytes");
	close(listener);
	end(v);
}
END_TEST

START_TEST(test_replaced)
{
	struct vmm *v = start();
	int listener = serve();
	struct flow *f = from_guest(v, listener), *g = to_guest(v);
	char text[GUID_TEXT_SIZE];
	const char *args[] = { "--vm-id", text, NULL };
	GUID before = v->vmid;

	flow_send(f, 1000000, 1000000, true);
	flow_send(g, 1000000, 1000000, true);
	for (int i = 0; i < 4; i++)
		vmm_step(v, 1);
	v->lost = true;
	vmm_save(v, true);
	close(v->front);
	v->front = -1;
	must(vmm_reap(v) == 0);
	guid_format(&before, text);
	vmm_launch(v, args);
	vmm_introduce(v);
	ck_assert(guid_equal(&before, &v->vmid));
	v->lost = true;
	must(vmm_load(v, true) == 0);
	vmm_run(v);
	vmm_wait(v, flows_finished, NULL, "all bytes");
	(void)from_guest(v, listener);
	(void)to_guest(v);
	close(listener);
	end(v);
}
END_TEST

static void simulate(const char *event)
{
	const char *hvctl = getenv("HVCTL");
	char command[300];

	ck_assert_msg(hvctl != NULL, "HVCTL is not set");
	snprintf(command, sizeof(command), "%s simulate test %s >/dev/null",
		 hvctl, event);
	ck_assert_int_eq(system(command), 0);
}

static void keep(const struct flow *f)
{
	const uint32_t on = 1;

	must(hvs_setsockopt(f->fd, SOL_HVSOCKET, HVSOCKET_CONNECTED_SUSPEND,
			    &on, sizeof(on)) == 0);
}

/* By hvctl: a pause that connections with the option outlive, and a reset. */
START_TEST(test_simulated)
{
	struct vmm *v = start();
	int listener = serve();
	struct flow *f = from_guest(v, listener), *g = to_guest(v),
		    *h = from_guest(v, listener);

	keep(f);
	keep(g);
	simulate("pause");
	vmm_wait(v, flow_host_over, h, "the end of the one without");
	vmm_wait(v, flow_guest_over, h, "its end in the guest");
	ck_assert(!f->host_eof && !g->host_eof);
	flow_send(f, 1000000, 1000000, false);
	flow_send(g, 1000000, 1000000, false);
	simulate("resume");
	vmm_wait(v, flow_arrived, f, "what was held back");
	vmm_wait(v, flow_arrived, g, "what was held back");
	simulate("reset");
	vmm_wait(v, flow_host_over, f, "its end");
	vmm_wait(v, flow_host_over, g, "its end");
	/* the machine is there again */
	h = from_guest(v, listener);
	flow_send(h, 1000, 1000, true);
	vmm_wait(v, flow_finished, h, "its bytes");
	close(listener);
	vmm_end(v);
	real_broker_kill(SIGTERM);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("broker");

	tcase_add_test(t, test_both_ways);
	tcase_add_test(t, test_blocking);
	tcase_add_loop_test(t, test_refused, 0, 2);
	tcase_add_test(t, test_broker_dies);
	tcase_add_test(t, test_replaced);
	tcase_add_test(t, test_simulated);
	return vmm_main("vmbus-user broker", t);
}
