/* SPDX-License-Identifier: MIT */
/*
 * main.c - make bench: the table of figures, and bench.json
 *
 * Rates of connects and round trips are measured on one processor: with two,
 * where the scheduler puts the processes decides more (a factor of three was
 * seen for plain AF_UNIX) than what is measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connect.h"
#include "hostile.h"
#include "lib.h"
#include "stream.h"

#define PORT 5000
#define MANY_SERVICES 10000
#define MANY_PARTITIONS 1000
#define MANY_LISTENERS 10000

static const char *hvsocketd;

/* This process and what it starts from now on: one processor, or all. */
static void one_processor(bool one)
{
	static cpu_set_t all;
	static bool have_all;
	cpu_set_t set;

	if (!have_all && sched_getaffinity(0, sizeof(all), &all) == 0)
		have_all = true;
	if (!one) {
		(void)sched_setaffinity(0, sizeof(all), &all);
		return;
	}
	CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &all)) {
			CPU_SET(i, &set);
			break;
		}
	}
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static void write_file(const struct bench_broker *b, const char *dir,
		       const char *text, int i)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/config/%s/b%05d.conf", b->dir, dir, i);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		die(path);
}

static void many_services(const struct bench_broker *b, int from, int to)
{
	for (int i = from; i < to; i++) {
		char text[128];

		snprintf(text, sizeof(text),
			 "[Service]\nElementName=bench-%d\nPort=%d\n", i,
			 100000 + i);
		write_file(b, "services.d", text, i);
	}
}

static void many_partitions(const struct bench_broker *b, int from, int to)
{
	for (int i = from; i < to; i++) {
		char text[160];

		snprintf(text, sizeof(text),
			 "[Partition]\nName=part-%d\nVmId=%08x-1111-2222-3333-444455556666\nKind=vm\n",
			 i, i + 1);
		write_file(b, "partitions.d", text, i);
	}
}

static int bind_one(int i)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV };
	int fd = hvs_socket(AF_HYPERV, SOCK_STREAM | SOCK_CLOEXEC,
			    HV_PROTOCOL_RAW);

	hvs_guid_from_port((uint32_t)(300000 + i), &a.ServiceId);
	a.VmId = HV_GUID_LOOPBACK;
	if (fd < 0 || hvs_bind(fd, &a, sizeof(a)) < 0 || listen(fd, 1) < 0)
		die("bind");
	return fd;
}

static void hv_server(struct server *s)
{
	*s = (struct server){ .kind = KIND_HV, .rounds = 400 };
	s->bind = (SOCKADDR_HV){ .Family = AF_HYPERV };
	hvs_guid_from_port(PORT, &s->bind.ServiceId);
	s->bind.VmId = HV_GUID_LOOPBACK;
	s->hv = s->bind;
	server_start(s);
}

static void connects(void)
{
	struct server un = { .kind = KIND_UNIX, .rounds = 400 };
	struct server un2 = { .kind = KIND_UNIX, .rounds = 400 };
	struct server tcp = { .kind = KIND_TCP, .rounds = 400 };
	struct bench_broker broker;
	struct bench_result r;
	struct server hv;

	one_processor(true);
	broker_start(&broker, hvsocketd);
	server_start(&un);
	server_start(&un2);
	server_start(&tcp);
	hv_server(&hv);
	r = bench_pairs(connect_rate, &un2, connect_rate, &un);
	bench_result_row("AF_UNIX against itself", "1/s", "AF_UNIX", &r, NULL);
	r = bench_pairs(connect_rate, &hv, connect_rate, &un);
	bench_result_row("connect+accept+close", "1/s", "AF_UNIX", &r,
			 ">= 0.5");
	r = bench_pairs(connect_rate, &hv, connect_rate, &tcp);
	bench_result_row("connect+accept+close (TCP)", "1/s", "TCP loopback",
			 &r, ">= 1.1");
	server_stop(&un);
	server_stop(&un2);
	server_stop(&tcp);
	server_stop(&hv);
	broker_stop(&broker);
}

/* The same with a hostile client beside, in another partition. It runs on the
 * other processors where there are any: what it does to the broker counts, not
 * the processor it burns. */
struct beside {
	struct server *hv;
	char dir[160];
	bool hostile;
};

static double beside_rate(void *arg)
{
	struct beside *b = arg;
	double rate;
	int pid = 0;

	if (b->hostile) {
		one_processor(false);
		pid = hostile_start(b->dir);
		one_processor(true);
		/* it takes the broker a few connects to know it */
		(void)connect_rate(b->hv);
	}
	rate = connect_rate(b->hv);
	if (pid)
		hostile_stop(pid);
	return rate;
}

static void hostile(void)
{
	struct bench_broker broker;
	struct beside with = { .hostile = true }, alone = { .hostile = false };
	struct bench_result r;
	struct server hv;

	one_processor(true);
	broker_start(&broker, hvsocketd);
	many_partitions(&broker, 0, 1);
	hv_server(&hv);
	with.hv = alone.hv = &hv;
	snprintf(with.dir, sizeof(with.dir),
		 "%s/run/broker/partitions/00000001-1111-2222-3333-444455556666",
		 broker.dir);
	r = bench_pairs(beside_rate, &with, beside_rate, &alone);
	bench_result_row("connect beside a hostile client", "1/s", "alone", &r,
			 ">= 0.5");
	server_stop(&hv);
	broker_stop(&broker);
	one_processor(false);
}

/* Two brokers side by side: one empty, one with ten thousand of everything. */
struct of {
	struct bench_broker *broker;
	struct server *hv;
};

static double of_rate(void *arg)
{
	struct of *o = arg;
	char path[160];

	snprintf(path, sizeof(path), "%s/run", o->broker->dir);
	setenv("HVSOCKET_RUNTIME_DIR", path, 1);
	/* the library's connection to the other broker is of no use now */
	o->hv->rounds = 20;
	(void)connect_rate(o->hv);
	o->hv->rounds = 400;
	return connect_rate(o->hv);
}

static void many(void)
{
	struct bench_broker few_broker, many_broker;
	struct server few_hv, many_hv;
	struct of few = { &few_broker, &few_hv };
	struct of all = { &many_broker, &many_hv };
	struct bench_result r;
	static int fds[MANY_LISTENERS];
	char path[160];
	long before, after;

	one_processor(true);
	broker_start(&few_broker, hvsocketd);
	many_services(&few_broker, 0, 1);
	many_partitions(&few_broker, 0, 1);
	hv_server(&few_hv);

	broker_start(&many_broker, hvsocketd);
	before = process_kib(many_broker.pid, "VmRSS:");
	many_services(&many_broker, 0, MANY_SERVICES);
	broker_restart(&many_broker, hvsocketd);
	bench_number("broker start with 10,000 services", "s",
		     many_broker.start_s);
	after = process_kib(many_broker.pid, "VmRSS:");
	bench_number("memory per service", "KiB",
		     (double)(after - before) / MANY_SERVICES);
	before = after;
	many_partitions(&many_broker, 0, MANY_PARTITIONS);
	broker_restart(&many_broker, hvsocketd);
	after = process_kib(many_broker.pid, "VmRSS:");
	bench_number("memory per partition", "KiB",
		     (double)(after - before) / MANY_PARTITIONS);
	before = after;
	hv_server(&many_hv);
	for (int i = 0; i < MANY_LISTENERS; i++)
		fds[i] = bind_one(i);
	after = process_kib(many_broker.pid, "VmRSS:");
	bench_number("memory per listener", "KiB",
		     (double)(after - before) / MANY_LISTENERS);
	r = bench_pairs(of_rate, &all, of_rate, &few);
	bench_result_row("connect with 10,000 services and so on", "1/s",
			 "one of each", &r, ">= 0.9");
	for (int i = 0; i < MANY_LISTENERS; i++)
		close(fds[i]);
	snprintf(path, sizeof(path), "%s/run", few_broker.dir);
	setenv("HVSOCKET_RUNTIME_DIR", path, 1);
	server_stop(&few_hv);
	server_stop(&many_hv);
	broker_stop(&many_broker);
	broker_stop(&few_broker);
	one_processor(false);
}

/* A connected pair over the broker, and over socketpair(). */
static void hv_pair(int *a, int *b)
{
	SOCKADDR_HV addr = { .Family = AF_HYPERV };
	int l = bind_one(1);

	hvs_guid_from_port(300001, &addr.ServiceId);
	addr.VmId = HV_GUID_LOOPBACK;
	*a = hvs_socket(AF_HYPERV, SOCK_STREAM | SOCK_CLOEXEC, HV_PROTOCOL_RAW);
	if (*a < 0 || hvs_connect(*a, &addr, sizeof(addr)) < 0)
		die("connect");
	*b = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	if (*b < 0)
		die("accept");
	close(l);
}

static void streams(void)
{
	struct bench_broker broker;
	struct bench_result r;
	int p[2], a, b;

	broker_start(&broker, hvsocketd);
	for (int echo = 0; echo < 2; echo++) {
		struct stream hv, plain;

		/* round trips, like connects, are as fast as the scheduler
		 * happens to place their ends */
		one_processor(echo);
		hv_pair(&a, &b);
		stream_start(&hv, a, b, echo);
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
			die("socketpair");
		stream_start(&plain, p[0], p[1], echo);
		r = bench_pairs(echo ? stream_trips : stream_rate, &hv,
				echo ? stream_trips : stream_rate, &plain);
		bench_result_row(echo ? "round trips of 64 bytes" :
					"throughput, 64 KiB writes",
				 echo ? "1/s" : "Gbit/s", "socketpair", &r,
				 NULL);
		stream_stop(&hv);
		stream_stop(&plain);
	}
	broker_stop(&broker);
	one_processor(false);
}

static void growth(void)
{
	const char *env = getenv("HVBENCH_CONNECTS");
	long total = env ? strtol(env, NULL, 10) : 1000000;
	struct bench_broker broker;
	struct server hv;
	long before, after;

	one_processor(true);
	broker_start(&broker, hvsocketd);
	hv_server(&hv);
	hv.rounds = 20000;
	(void)connect_rate(&hv); /* what is taken once is taken */
	before = process_kib(broker.pid, "VmRSS:");
	hv.rounds = (int)total;
	(void)connect_rate(&hv);
	after = process_kib(broker.pid, "VmRSS:");
	printf("(%ld connects: %ld KiB before, %ld KiB after)\n", total, before,
	       after);
	bench_row("broker's memory after many connects", "KiB", (double)after,
		  "before", (double)after / (double)before, 1, 1, "<= 1.02");
	server_stop(&hv);
	broker_stop(&broker);
	one_processor(false);
}

int main(int argc, char **argv)
{
	struct rlimit l;

	if (argc != 3) {
		fprintf(stderr, "usage: hvbench HVSOCKETD BENCH.JSON\n");
		return 2;
	}
	hvsocketd = argv[1];
	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_max < MANY_LISTENERS + 64) {
		fprintf(stderr, "bench: %d descriptors are needed (ulimit -Hn)\n",
			MANY_LISTENERS + 64);
		return 1;
	}
	bench_open(argv[2]);
	connects();
	hostile();
	many();
	streams();
	growth();
	return bench_close() ? 0 : 1;
}
