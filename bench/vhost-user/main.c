/* SPDX-License-Identifier: MIT */
/*
 * main.c - hvsocket-vhost-user with a guest that costs nothing
 *
 *	hvbench-vhost-user HVSOCKETD HVSOCKET-VHOST-USER BENCH.JSON PEER [more]
 *
 * The guest is guest.h, in this process; hvsocket-vhost-user is the real one,
 * in its sandbox, behind a real broker. PEER is vhost-device-vsock, "" if there
 * is none, or another build of hvsocket-vhost-user, to see what a change does.
 * Both have the same guest and the same programs, and an AF_UNIX pair the same
 * programs. HVBENCH_ROWS=REGEX measures only rows of these names.
 *
 * Bulk data is measured wherever the scheduler puts the processes. For a round
 * trip, or a connect, that decides more than what is measured: a pair's trip
 * takes 9 us with both ends on one processor, and 30 us on two. So the ends are
 * put in the same places: the program on one processor, and the guest, with the
 * back-end that it wakes, on another; and, without a bound, all on one, or
 * wherever the scheduler puts them.
 *
 * System calls are those that hvsocket-vhost-user counts itself.
 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib.h"
#include "../measure.h"
#include "place.h"
#include "way.h"

#define MIB (1u << 20)
#define VMS 2u /* and more, when it is about memory */
#define MEMORY_VMS 8u
#define FEW 11 /* pairs, of what has no bound */
#define MANY_PAIRS 5
#define COST_ROUNDS 5

static const char *hvsocketd, *ours_path, *peer_path;
static struct bench_broker broker;
static struct way ours, peer, pair, more[MEMORY_VMS - 1];
static regex_t wanted;
static int cpus[2];

static bool is_wanted(const char *name)
{
	return regexec(&wanted, name, 0, NULL, 0) == 0;
}

/* ---- what is there */

static void write_config(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/config/%s", broker.dir, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		die(path);
}

static void configure(void)
{
	char name[64], text[100], partition[16], vmid[40];

	for (unsigned int i = 0; i < (VMS + MEMORY_VMS) * PROGRAMS; i++) {
		snprintf(name, sizeof(name), "services.d/bench%u.conf", i);
		snprintf(text, sizeof(text), "[Service]\nPort=%u\n",
			 PROGRAM_PORT + i);
		write_config(name, text);
	}
	for (unsigned int i = 0; i < VMS + MEMORY_VMS; i++) {
		way_vm(i, partition, vmid);
		snprintf(name, sizeof(name), "partitions.d/%s.conf", partition);
		snprintf(text, sizeof(text),
			 "[Partition]\nVmId=%s\nKind=vm\n", vmid);
		write_config(name, text);
	}
}

static const char *peer_name(void)
{
	return peer.kind == WAY_PEER ? "vhost-device-vsock" : "the other build";
}

static void begin(void)
{
	char peer_dir[80], pair_dir[80];
	bool theirs = strstr(peer_path, "vhost-device-vsock");

	broker_start(&broker, hvsocketd);
	configure();
	snprintf(peer_dir, sizeof(peer_dir), "%s/peer", broker.dir);
	snprintf(pair_dir, sizeof(pair_dir), "%s/pair", broker.dir);
	mkdir(peer_dir, 0700);
	mkdir(pair_dir, 0700);
	way_start(&ours, WAY_OURS, ours_path, broker.dir, 0);
	way_start(&pair, WAY_UNIX, NULL, pair_dir, 0);
	if (*peer_path)
		way_start(&peer, theirs ? WAY_PEER : WAY_OURS, peer_path,
			  peer_dir, 1);
}

static void end(void)
{
	way_stop(&ours);
	way_stop(&pair);
	if (*peer_path)
		way_stop(&peer);
	broker_stop(&broker);
}

/* ---- rows */

struct row {
	const char *name, *unit;
	bench_fn fn;
	size_t size;
	uint64_t total, peer_total; /* bytes */
	unsigned int count, at_once;
	const char *peer_bound, *pair_bound;
	bool no_pair; /* has no such thing */
};

static void set(struct way *w, const struct row *r, uint64_t total, bool spin)
{
	w->size = r->size;
	w->each = w->n ? total / w->n : 0;
	w->count = r->count;
	w->at_once = r->at_once ? r->at_once : 1;
	if (w->g)
		w->g->spin = spin;
}

static void against(const struct row *row, const char *name, int pairs,
		    struct way *other, const char *what, const char *bound)
{
	struct bench_result r;

	r = pairs == PAIRS ? bench_pairs(row->fn, &ours, row->fn, other)
			   : bench_n_pairs(pairs, row->fn, &ours, row->fn,
					   other);
	bench_result_row(name, row->unit, what, &r, bound);
}

/* @bounds: as the row has them; else it is only reported */
static void measure(const struct row *row, const char *how, int pairs,
		    bool bounds, bool spin)
{
	char name[128], line[160];

	snprintf(name, sizeof(name), "%s%s", row->name, how);
	if (!is_wanted(name))
		return;
	set(&ours, row, row->total, spin);
	set(&pair, row, row->total, false);
	if (*peer_path) {
		set(&peer, row, row->peer_total, spin);
		against(row, name, pairs, &peer, peer_name(),
			bounds ? row->peer_bound : NULL);
	} else {
		printf("%-44s not run: there is no vhost-device-vsock\n", name);
	}
	if (row->no_pair)
		return;
	/* (names are unique) */
	snprintf(line, sizeof(line), "%s (AF_UNIX)", name);
	against(row, line, pairs, &pair, "AF_UNIX",
		bounds ? row->pair_bound : NULL);
}

static const struct row bulk[] = {
	{ "host to guest, 64 KiB", "Gbit/s", way_down, 65536, 64 * MIB,
	  8 * MIB, 0, 0, ">= 10", ">= 0.6", false },
	{ "guest to host, 64 KiB", "Gbit/s", way_up, 65536, 64 * MIB, 16 * MIB,
	  0, 0, ">= 3", ">= 0.4", false },
	{ "host to guest, 4 KiB", "Gbit/s", way_down, 4096, 32 * MIB, 8 * MIB,
	  0, 0, ">= 4", NULL, false },
	{ "guest to host, 4 KiB", "Gbit/s", way_up, 4096, 32 * MIB, 8 * MIB, 0,
	  0, ">= 4", NULL, false },
	{ "host to guest, 64 B", "Gbit/s", way_down, 64, MIB, MIB / 2, 0, 0,
	  NULL, NULL, false },
	{ "guest to host, 64 B", "Gbit/s", way_up, 64, 4 * MIB, MIB / 2, 0, 0,
	  ">= 6", NULL, false },
};

static const struct row trips[] = {
	{ "round trip of 64 B, median", "us", way_trip_median, 64, 0, 0, 1000,
	  0, "<= 1", "<= 1.6", false },
	{ "round trip of 64 B, p99", "us", way_trip_p99, 64, 0, 0, 1000, 0,
	  "<= 0.2", NULL, false },
};

static const struct row connects[] = {
	{ "connects, guest to host", "1/s", way_dials, 0, 0, 0, 200, 0,
	  ">= 1.5", NULL, true },
	{ "connects, host to guest", "1/s", way_opens, 0, 0, 0, 200, 0,
	  ">= 1.5", NULL, true },
	{ "connects, guest to host, 8 at once", "1/s", way_dials, 0, 0, 0, 400,
	  8, NULL, NULL, true },
	{ "connects, host to guest, 8 at once", "1/s", way_opens, 0, 0, 0, 400,
	  8, NULL, NULL, true },
};

static void connections(unsigned int n)
{
	way_connections(&ours, n);
	way_connections(&pair, n);
	if (*peer_path)
		way_connections(&peer, n);
}

static void place(struct way *w, int guest_cpu, int program_cpu)
{
	if (w->pid)
		place_process(w->pid, guest_cpu);
	for (unsigned int i = 0; i < w->nprogs; i++)
		place_process(w->prog[i].pid, program_cpu);
}

static void place_all(int guest_cpu, int program_cpu)
{
	place_process(getpid(), guest_cpu);
	place(&ours, guest_cpu, program_cpu);
	place(&pair, guest_cpu, program_cpu);
	if (*peer_path)
		place(&peer, guest_cpu, program_cpu);
}

static void rows(const struct row *r, size_t n, const char *how, int pairs,
		 bool bounds, bool spin)
{
	for (size_t i = 0; i < n; i++)
		measure(&r[i], how, pairs, bounds, spin);
}

#define ROWS(r) (r), sizeof(r) / sizeof((r)[0])

static void tables(void)
{
	rows(ROWS(bulk), "", PAIRS, true, false);
	place_all(cpus[0], cpus[1]);
	rows(ROWS(trips), "", PAIRS, true, false);
	rows(ROWS(connects), "", PAIRS, true, false);
	place_all(cpus[0], cpus[0]);
	rows(ROWS(trips), ", one processor", FEW, false, false);
	place_all(PLACE_ANY, PLACE_ANY);
	rows(ROWS(connects), ", anywhere", FEW, false, false);
	/* the guest needs a processor of its own */
	rows(ROWS(bulk), ", spinning", FEW, false, true);
	if (cpus[0] != cpus[1]) {
		place_all(cpus[1], cpus[1]);
		place_process(getpid(), cpus[0]);
		rows(ROWS(trips), ", spinning", FEW, false, true);
		place_all(PLACE_ANY, PLACE_ANY);
	}
}

/* ---- beside bulk data */

static void beside(void)
{
	const struct row *trip = &trips[0];
	struct bench_result r;

	for (int up = 0; up < 2; up++) {
		char name[100];

		snprintf(name, sizeof(name), "round trip of 64 B beside %s",
			 up ? "guest to host" : "host to guest");
		if (!is_wanted(name))
			continue;
		set(&ours, trip, 0, false);
		ours.count = 500;
		ours.beside_up = up;
		r = bench_n_pairs(FEW, way_trip_beside, &ours, way_trip_median,
				  &ours);
		bench_result_row(name, "us", "alone", &r, "<= 4");
	}
}

/* ---- what it costs */

/* @ret_calls: of the system; @ret_us: that it ran */
static void counts_of(struct way *w, double *ret_calls, double *ret_us)
{
	char path[64];
	double c[5];
	FILE *f;

	way_counters(w, c);
	*ret_calls = c[0] + c[1] + c[2] + c[3] + c[4];
	snprintf(path, sizeof(path), "/proc/%d/schedstat", w->pid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%lf", ret_us) != 1)
		die(path);
	fclose(f);
	*ret_us /= 1e3;
}

static void cost(const struct row *r)
{
	const double mib = (double)r->total / MIB * COST_ROUNDS;
	double calls, us, calls_then, us_then;
	uint64_t events;
	char name[128];

	snprintf(name, sizeof(name), "%s, system calls", r->name);
	if (!is_wanted(name))
		return;
	set(&ours, r, r->total, false);
	counts_of(&ours, &calls_then, &us_then);
	events = vg_events(ours.g);
	for (int i = 0; i < COST_ROUNDS; i++)
		(void)r->fn(&ours);
	events = vg_events(ours.g) - events;
	counts_of(&ours, &calls, &us);
	bench_number(name, "1/MiB", (calls - calls_then) / mib);
	snprintf(name, sizeof(name), "%s, eventfd writes", r->name);
	bench_number(name, "1/MiB", (double)events / mib);
	snprintf(name, sizeof(name), "%s, processor time", r->name);
	bench_number(name, "us/MiB", (us - us_then) / mib);
}

static void more_vms(enum way_kind kind, const char *program)
{
	char dir[96];

	for (unsigned int i = 0; i < MEMORY_VMS - 1; i++) {
		snprintf(dir, sizeof(dir), "%s/m%u", broker.dir, i);
		mkdir(dir, 0700);
		way_start(&more[i], kind, program, dir, VMS + i);
		way_connections(&more[i], 1);
	}
}

static void memory_row(const char *who, const char *what, double kib,
		       const char *bound)
{
	const double ratio = kib * 1024 / 2e6;
	char name[100];

	snprintf(name, sizeof(name), "%s, %s", who, what);
	bench_row(name, "KiB", kib, "2 MB", ratio, ratio, ratio, bound);
}

/* Each VM has a back-end of its own, of the same program: the mean of all,
 * without what they share with guests. The bound is about what a VM costs, so a
 * page that all have counts once. */
static void per_vm(struct way *w, const char *who, const char *bound)
{
	double pss = 0, rss = 0;
	bool known = true;

	for (unsigned int i = 0; i < MEMORY_VMS; i++) {
		int pid = i ? more[i - 1].pid : w->pid;
		long kib = process_pss_kib(pid);

		known &= kib >= 0;
		pss += (double)kib / MEMORY_VMS;
		rss += (double)(process_kib(pid, "RssAnon:") +
				process_kib(pid, "RssFile:")) / MEMORY_VMS;
	}
	if (known)
		memory_row(who, "Pss of each of 8", pss, bound);
	else
		printf("%s, Pss: not run: needs root\n", who);
	memory_row(who, "Rss of each of 8", rss, NULL);
}

static void memory(struct way *w, const char *who, const char *program,
		   const char *bound)
{
	char name[100];
	double before;

	more_vms(w->kind, program);
	per_vm(w, who, bound);
	for (unsigned int i = 0; i < MEMORY_VMS - 1; i++)
		way_stop(&more[i]);
	before = (double)process_kib(w->pid, "RssAnon:");
	way_connections(w, 1000);
	snprintf(name, sizeof(name), "%s, an idle connection of 1000", who);
	bench_number(name, "KiB",
		     ((double)process_kib(w->pid, "RssAnon:") - before) / 1000);
	way_connections(w, 1);
}

static void costs(void)
{
	for (size_t i = 0; i < sizeof(bulk) / sizeof(bulk[0]); i++)
		cost(&bulk[i]);
	if (!is_wanted("memory"))
		return;
	memory(&ours, "hvsocket-vhost-user", ours_path, "<= 1");
	if (*peer_path)
		memory(&peer, peer_name(), peer_path, NULL);
}

/* ---- many connections, all of which move data */

static void many(void)
{
	for (unsigned int n = 1; n <= 1000; n *= 10) {
		char how[64];

		snprintf(how, sizeof(how), ", %u connection%s", n,
			 n > 1 ? "s" : "");
		if (!is_wanted(how))
			continue;
		connections(n);
		rows(ROWS(bulk), how, MANY_PAIRS, false, false);
		place_all(cpus[0], cpus[1]);
		rows(ROWS(trips), how, MANY_PAIRS, false, false);
		place_all(PLACE_ANY, PLACE_ANY);
	}
	connections(1);
}

/* The rig is of tests: outside of one its assertions could not speak. */
START_TEST(all)
{
	place_two(cpus);
	begin();
	connections(1);
	costs();
	tables();
	beside();
	many();
	end();
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, all);
}

int main(int argc, char **argv)
{
	const char *only = getenv("HVBENCH_ROWS");
	int status;

	if (argc < 5 || argc > 6 ||
	    regcomp(&wanted, only ? only : "", REG_EXTENDED | REG_NOSUB)) {
		fprintf(stderr,
			"usage: hvbench-vhost-user HVSOCKETD "
			"HVSOCKET-VHOST-USER BENCH.JSON PEER [more]\n");
		return 2;
	}
	hvsocketd = argv[1];
	ours_path = argv[2];
	peer_path = argv[4];
	status = measure_main("hvbench-vhost-user", fill, argv[3], argc == 6);
	regfree(&wanted);
	return status;
}
