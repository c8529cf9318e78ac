/* SPDX-License-Identifier: MIT */
/*
 * main.c - hvsocket-vmbus with a guest that costs nothing
 *
 *	hvbench-vmbus BENCH.JSON [more]		(VMBUS_PROGRAM: the program)
 *
 * The guest is tests/vmbus/guest.h, in this process; hvsocket-vmbus is the real
 * one, in its sandbox, without a broker. Rates are compared with those of an
 * AF_UNIX socketpair between the same two processes, whose buffers are as large
 * as the rings: the size of a ring is the guest's socket buffer, as the kernel
 * counts it (twice what SO_SNDBUF was given), and so is the socketpair's. How
 * many bytes either then holds is reported too. By way of hvsocket-vmbus every
 * byte is copied three times, by way of the socketpair twice.
 *
 * Where the scheduler puts three processes on two processors decides more than
 * what is measured (a socketpair with small buffers is three times as fast with
 * both ends on one). So both ways have their ends in the same places: the
 *host's program on a processor of its own, the guest and hvsocket-vmbus, which
 *the guest wakes, on another; and, without a bound, all on one, where there are
 * only more copies and switches, and no work side by side.
 *
 * System calls are those that hvsocket-vmbus counts itself: reads and writes
 * of payload, writes to the guest's eventfds, and waits for events (with looks
 * for them that do not sleep, and sched_yield() between those). By strace -c -f
 * that is all but one in a hundred (epoll_ctl(), probes of the socket).
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lib.h"
#include "../measure.h"
#include "way.h"

#define MIB (1u << 20)
#define TOTAL (32u * MIB)
#define IDLE_MAX 1000

static struct machine machine;

static void number(const char *name, const char *unit, double value,
		   const char *way, const char *what)
{
	char text[160];

	snprintf(text, sizeof(text), "%s%s%s, %s", way, *way ? ": " : "", what,
		 name);
	bench_number(text, unit, value);
}

/* What hvsocket-vmbus did meanwhile. */
static void per_mib(struct way *w, bench_fn fn, const char *way,
		    const char *name)
{
	const double mib = (double)w->total / MIB;
	struct counts a, b;

	machine_counts(&machine, &a);
	(void)fn(w);
	machine_counts(&machine, &b);
	number(name, "1/MiB", (b.in - a.in) / mib, way, "guest's doorbells");
	number(name, "1/MiB", (b.out - a.out) / mib, way, "host's doorbells");
	number(name, "1/MiB",
	       (b.out - a.out + b.reads - a.reads + b.writes - a.writes +
		b.waits - a.waits) /
		       mib,
	       way, "system calls");
	number(name, "us/MiB", (b.cpu - a.cpu) / mib, way, "processor time");
}

/* Of those that this process may run on. */
static void two_processors(int cpu[2])
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		die("sched_getaffinity");
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			cpu[n++] = i;
	if (n < 2)
		cpu[1] = cpu[0];
}

static void moving(uint32_t buf, const char *name, int peer_cpu, bool bound)
{
	struct bench_result r;
	struct way hv, un, un2;
	uint32_t same;
	char text[128];

	way_guest(&hv, &machine, buf, TOTAL, peer_cpu);
	same = hv.f->s->chan->out.size;
	way_pair(&un, same, TOTAL, peer_cpu);
	way_pair(&un2, same, TOTAL, peer_cpu);
	if (bound) {
		number(name, "KiB", same / 1024.0, "", "a ring");
		number(name, "KiB", (double)pair_holds(same) / 1024, "",
		       "a socketpair holds");
	}
	r = bench_pairs(way_up, &un2, way_up, &un);
	snprintf(text, sizeof(text), "socketpair against itself, %s", name);
	bench_result_row(text, "Gbit/s", "socketpair", &r, NULL);
	for (int down = 0; down < 2; down++) {
		const char *what = down ? "host to guest" : "guest to host";
		bench_fn fn = down ? way_down : way_up;

		r = bench_pairs(fn, &hv, fn, &un);
		snprintf(text, sizeof(text), "%s, %s", what, name);
		bench_result_row(text, "Gbit/s", "socketpair", &r,
				 bound ? ">= 0.7" : NULL);
		if (bound)
			per_mib(&hv, fn, what, name);
	}
	way_end(&hv);
	way_end(&un);
	way_end(&un2);
}

static void trips(int cpu)
{
	struct bench_result r;
	struct way hv, un;

	way_guest(&hv, &machine, 0, 0, cpu);
	way_pair(&un, 0, 0, cpu);
	r = bench_pairs(way_trips, &hv, way_trips, &un);
	bench_result_row("round trips of 64 bytes, one processor", "1/s",
			 "socketpair", &r, NULL);
	way_end(&hv);
	way_end(&un);
}

static void memory(void)
{
	static int fds[IDLE_MAX];
	int pid = machine.v->child, n = 0;
	double idle = (double)process_kib(pid, "RssAnon:");

	bench_number("hvsocket-vmbus, beyond the guest's memory", "KiB",
		     idle + (double)process_kib(pid, "RssFile:"));
	for (int at = 100; at <= IDLE_MAX; at *= 10) {
		char text[64];

		while (n < at)
			(void)machine_connect(&machine, 0, &fds[n++]);
		snprintf(text, sizeof(text), "an idle connection, of %d", at);
		bench_number(text, "KiB",
			     ((double)process_kib(pid, "RssAnon:") - idle) /
				     at);
	}
	while (n)
		close(fds[--n]);
}

/* The rig is of tests: outside of one its assertions could not speak. */
START_TEST(measure)
{
	int cpu[2];

	two_processors(cpu);
	machine_start(&machine);
	on_processor(0, cpu[0]);
	on_processor(machine.v->child, cpu[0]);
	moving(0, "default rings", cpu[1], true);
	moving(262144, "256 KiB rings", cpu[1], true);
	if (cpu[0] != cpu[1]) {
		moving(0, "default rings, one processor", cpu[0], false);
		moving(262144, "256 KiB rings, one processor", cpu[0], false);
	}
	trips(cpu[0]);
	machine_stop(&machine);
	machine_start(&machine);
	memory();
	machine_stop(&machine);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, measure);
}

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3 || !getenv("VMBUS_PROGRAM")) {
		fprintf(stderr, "usage: VMBUS_PROGRAM=HVSOCKET-VMBUS "
				"hvbench-vmbus BENCH.JSON [more]\n");
		return 2;
	}
	return measure_main("hvbench-vmbus", fill, argv[1], argc == 3);
}
