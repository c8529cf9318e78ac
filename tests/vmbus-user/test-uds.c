/* SPDX-License-Identifier: MIT */
/* test-uds.c - without a broker: Unix sockets beside one path */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm.h"

static const char *path(const struct vmm *v, const char *suffix)
{
	static char buf[108];

	must((size_t)snprintf(buf, sizeof(buf), "%s/u%s", v->dir, suffix) <
	     sizeof(buf));
	return buf;
}

static struct sockaddr_un address(const struct vmm *v, const char *suffix)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	strcpy(sa.sun_path, path(v, suffix));
	return sa;
}

static int listening(const struct vmm *v, const char *suffix)
{
	struct sockaddr_un sa = address(v, suffix);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	must(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	must(listen(fd, 8) == 0);
	return fd;
}

static int connected(const struct vmm *v)
{
	struct sockaddr_un sa = address(v, "");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	must(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	return fd;
}

static bool loaded(struct vmm *v, void *arg)
{
	(void)arg;
	return v->g->loaded && v->g->all_offers;
}

static void launch(struct vmm *v)
{
	char p[108];
	const char *args[] = { "--uds-path", p, NULL };

	strcpy(p, path(v, ""));
	vmm_launch(v, args);
	vmm_introduce(v);
}

static struct vmm *start(void)
{
	struct vmm *v = vmm_new();

	v->no_broker = true;
	launch(v);
	vg_load(v->g);
	vmm_wait(v, loaded, NULL, "the driver");
	return v;
}

static void end(struct vmm *v)
{
	struct stat st;
	char p[108];

	strcpy(p, path(v, ""));
	must(kill(v->child, SIGTERM) == 0);
	must(vmm_reap(v) == 0);
	ck_assert(stat(p, &st) < 0 && errno == ENOENT);
	vmm_end(v);
}

struct arrival {
	int listener, fd;
};

static bool arrived(struct vmm *v, void *arg)
{
	struct arrival *a = arg;

	(void)v;
	a->fd = accept4(a->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return a->fd >= 0;
}

static const char *const names[] = { "_1000",
				     "_000003e8-facb-11e6-bd58-64006a7986d3" };

START_TEST(test_guest_to_host)
{
	struct vmm *v = start();
	struct arrival a = { .listener = listening(v, names[_i]) };
	struct flow *f = flow_guest_begin(v, 0);

	vmm_wait(v, arrived, &a, "a connection at the path");
	f->fd = a.fd;
	vmm_wait(v, flows_established, NULL, "the guest's connect");
	flow_send(f, 200000, 200000, true);
	vmm_wait(v, flow_finished, f, "all bytes");
	vmm_check_clean(v);
	close(a.listener);
	end(v);
}
END_TEST

static bool closed(struct vmm *v, void *arg)
{
	(void)v;
	return ((struct flow *)arg)->s->state == VG_CLOSED;
}

START_TEST(test_nobody_listens)
{
	struct vmm *v = start();
	struct flow *f = flow_guest_begin(v, 0);

	vmm_wait(v, closed, f, "the guest's connect to fail");
	vmm_check_clean(v);
	end(v);
}
END_TEST

/* What is said, byte for byte, in pieces or with what follows it. */
static const struct {
	const char *line;
	bool pieces;
} lines[] = {
	{ "CONNECT 5000\n", false },
	{ "CONNECT 5000\n", true },
	{ "connect 5000\n", false },
	{ "CONNECT 00001388-facb-11e6-bd58-64006a7986d3\n", true },
	{ "CONNECT 00001388-FACB-11E6-BD58-64006A7986D3\n", false },
};

struct talk {
	int fd;
	char reply[100];
	size_t len;
	struct flow *f;
};

static bool accepted(struct vmm *v, void *arg)
{
	struct flow *f = arg;

	if (!f->s)
		f->s = vg_accept(v->g, 5000);
	return f->s;
}

/* One byte at a time, so that none behind the line is taken. */
static bool replied(struct vmm *v, void *arg)
{
	struct talk *t = arg;

	(void)accepted(v, t->f);
	while (t->len < sizeof(t->reply) - 1 &&
	       recv(t->fd, t->reply + t->len, 1, MSG_DONTWAIT) == 1)
		if (t->reply[t->len++] == '\n')
			return true;
	return false;
}

START_TEST(test_host_to_guest)
{
	struct vmm *v = start();
	struct talk t = { .f = flow_new(v) };
	const char *p = lines[_i].line;
	unsigned int port;
	char first = 0;

	vg_listen(v->g, 5000, 4);
	t.fd = connected(v);
	if (lines[_i].pieces) {
		for (; *p; p++) {
			must(send(t.fd, p, 1, 0) == 1);
			vmm_step(v, 1);
		}
	} else {
		must(send(t.fd, p, strlen(p), 0) == (ssize_t)strlen(p));
	}
	/* data before the answer is there */
	t.f->host_to_send = 100000;
	t.f->fd = t.fd;
	t.f->host_stalls = true;
	vmm_wait(v, replied, &t, "OK");
	must(!strncmp(t.reply, "OK ", 3));
	if (strlen(lines[_i].line) > 20)
		must(t.len == 3 + 36 + 1);
	else
		must(sscanf(t.reply, "OK %u%c", &port, &first) == 2 &&
		     first == '\n');
	t.f->host_stalls = false;
	flow_send(t.f, 100000, 0, true);
	vmm_wait(v, accepted, t.f, "the guest to accept");
	vmm_wait(v, flow_finished, t.f, "all bytes");
	vmm_check_clean(v);
	end(v);
}
END_TEST

static bool ended(struct vmm *v, void *arg)
{
	struct pollfd p = { .fd = *(int *)arg, .events = POLLIN };
	char c;

	(void)v;
	return poll(&p, 1, 0) == 1 && recv(p.fd, &c, 1, MSG_DONTWAIT) <= 0;
}

static const char *const nonsense[] = {
	"CONNECT\n",
	"CONNECT \n",
	"CONNECT x\n",
	"CONNECT -1\n",
	"CONNECT 4294967296\n",
	"CONNECT 5000 \n",
	"CONNECT  5000\n",
	"CONNECT 5000\r\n",
	"CONNECT5000\n",
	"GET / HTTP/1.1\n",
	"\n",
	"CONNECT 00001388-facb-11e6-bd58-64006a7986d3-and-more-than-that-00000",
	"CONNECT 5999\n", /* nobody listens: closed after 2 s */
};

START_TEST(test_nonsense)
{
	struct vmm *v = start();
	int fd = connected(v), slow = connected(v);
	struct talk t = { .f = flow_new(v) };

	vg_listen(v->g, 5000, 4);
	/* one that says nothing keeps nobody waiting */
	must(send(slow, "CONN", 4, 0) == 4);
	must(send(fd, nonsense[_i], strlen(nonsense[_i]), 0) > 0);
	t.fd = t.f->fd = connected(v);
	t.f->host_stalls = true;
	must(send(t.fd, "CONNECT 5000\n", 13, 0) == 13);
	vmm_wait(v, replied, &t, "OK for the one that speaks well");
	vmm_wait(v, ended, &fd, "the end of the other");
	must(!ended(v, &slow));
	close(fd);
	close(slow);
	vmm_wait(v, accepted, t.f, "the guest to accept");
	vmm_check_clean(v);
	end(v);
}
END_TEST

/* A client that never says what it wants is given up. */
START_TEST(test_silent)
{
	struct vmm *v = start();
	int fd = connected(v);

	vmm_wait(v, ended, &fd, "the end of a silent client");
	close(fd);
	end(v);
}
END_TEST

/* Connections go on in the next process, as with a broker. */
START_TEST(test_replaced)
{
	struct vmm *v = start();
	struct arrival a = { .listener = listening(v, "_1000") };
	struct flow *f = flow_guest_begin(v, 0);

	vmm_wait(v, arrived, &a, "a connection at the path");
	f->fd = a.fd;
	vmm_wait(v, flows_established, NULL, "the guest's connect");
	flow_send(f, 500000, 500000, true);
	for (int i = 0; i < 5; i++)
		vmm_step(v, 1);
	v->lost = true;
	vmm_save(v, true);
	close(v->front);
	v->front = -1;
	must(vmm_reap(v) == 0);
	launch(v);
	v->lost = true;
	must(vmm_load(v, true) == 0);
	vmm_run(v);
	vmm_wait(v, flow_finished, f, "all bytes");
	vmm_check_clean(v);
	close(a.listener);
	end(v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("uds");

	tcase_add_loop_test(t, test_guest_to_host, 0, 2);
	tcase_add_test(t, test_nobody_listens);
	tcase_add_loop_test(t, test_host_to_guest, 0,
			    sizeof(lines) / sizeof(lines[0]));
	tcase_add_loop_test(t, test_nonsense, 0,
			    sizeof(nonsense) / sizeof(nonsense[0]));
	tcase_add_test(t, test_silent);
	tcase_add_test(t, test_replaced);
	return vmm_main("vmbus-user uds", t);
}
