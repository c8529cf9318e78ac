/* SPDX-License-Identifier: MIT */
/* lib.c - see lib.h */
#include "lib.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JSON_END "\n]\n"

static FILE *json;
static bool first = true, all_hold = true;

_Noreturn void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double quantile(const double *sorted, size_t n, double q)
{
	return sorted[(size_t)(q * (double)(n - 1) + 0.5)];
}

struct bench_result bench_n_pairs(int n, bench_fn fn, void *arg,
				  bench_fn against, void *against_arg)
{
	double a[PAIRS], b[PAIRS], r[PAIRS];
	struct bench_result res;

	for (int i = 0; i < n; i++) {
		if (i & 1) {
			a[i] = fn(arg);
			b[i] = against(against_arg);
		} else {
			b[i] = against(against_arg);
			a[i] = fn(arg);
		}
		r[i] = a[i] / b[i];
	}
	qsort(a, (size_t)n, sizeof(a[0]), by_value);
	qsort(b, (size_t)n, sizeof(b[0]), by_value);
	qsort(r, (size_t)n, sizeof(r[0]), by_value);
	res.value = quantile(a, (size_t)n, 0.5);
	res.against = quantile(b, (size_t)n, 0.5);
	res.ratio = quantile(r, (size_t)n, 0.5);
	res.low = quantile(r, (size_t)n, 0.25);
	res.high = quantile(r, (size_t)n, 0.75);
	return res;
}

struct bench_result bench_pairs(bench_fn fn, void *arg, bench_fn against,
				void *against_arg)
{
	(void)fn(arg); /* both warm */
	(void)against(against_arg);
	return bench_n_pairs(PAIRS, fn, arg, against, against_arg);
}

static void heading(void)
{
	printf("%-44s %12s  %-22s %6s %13s  %-8s\n", "what", "value",
	       "against", "ratio", "quartiles", "bound");
	fflush(stdout);
}

void bench_open(const char *json_path)
{
	json = fopen(json_path, "w");
	if (!json)
		die(json_path);
	fputs("[\n", json);
	heading();
}

void bench_reopen(const char *json_path)
{
	json = fopen(json_path, "r+");
	/* before the end that bench_close() wrote */
	if (!json || fseek(json, -(long)strlen(JSON_END), SEEK_END) < 0)
		die(json_path);
	first = false;
	heading();
}

bool bench_close(void)
{
	fputs(JSON_END, json);
	if (fclose(json) != 0)
		die("bench.json");
	return all_hold;
}

static bool holds(const char *bound, double ratio)
{
	double limit = strtod(bound + 2, NULL);

	return bound[0] == '>' ? ratio >= limit : ratio <= limit;
}

void bench_row(const char *name, const char *unit, double value,
	       const char *against, double ratio, double low, double high,
	       const char *bound)
{
	bool ok = !bound || holds(bound, ratio);

	fprintf(json, "%s{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"",
		first ? "" : ",\n", name, value, unit);
	first = false;
	printf("%-44s %8.4g %s", name, value, unit);
	if (against) {
		fprintf(json, ", \"against\": \"%s\", \"ratio\": %.4f", against,
			ratio);
		printf("  %-22s %6.2f %6.2f-%-6.2f", against, ratio, low, high);
	}
	if (bound) {
		fprintf(json, ", \"bound\": \"%s\", \"holds\": %s", bound,
			ok ? "true" : "false");
		printf("  %s %s", bound, ok ? "holds" : "DOES NOT HOLD");
	}
	fputs("}", json);
	putchar('\n');
	fflush(stdout);
	all_hold &= ok;
}

void bench_result_row(const char *name, const char *unit, const char *against,
		      const struct bench_result *r, const char *bound)
{
	bench_row(name, unit, r->value, against, r->ratio, r->low, r->high,
		  bound);
}

void bench_number(const char *name, const char *unit, double value)
{
	bench_row(name, unit, value, NULL, 0, 0, 0, NULL);
}

/* ---- The broker ----------------------------------------------------------*/

static void launch(struct bench_broker *b, const char *hvsocketd)
{
	char run[80], cfg[80], ready[16], byte;
	double t0 = now_s();
	int p[2];

	snprintf(run, sizeof(run), "%s/run", b->dir);
	snprintf(cfg, sizeof(cfg), "%s/config", b->dir);
	if (pipe(p) < 0)
		die("pipe");
	b->pid = fork();
	if (b->pid < 0)
		die("fork");
	if (b->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		close(p[0]);
		snprintf(ready, sizeof(ready), "%d", p[1]);
		execl(hvsocketd, hvsocketd, "--runtime-dir", run,
		      "--config-dir", cfg, "--ready-fd", ready, (char *)NULL);
		die(hvsocketd);
	}
	close(p[1]);
	if (read(p[0], &byte, 1) != 1) {
		fprintf(stderr, "bench: the broker did not start\n");
		exit(1);
	}
	close(p[0]);
	b->start_s = now_s() - t0;
}

void broker_start(struct bench_broker *b, const char *hvsocketd)
{
	char path[128];

	strcpy(b->dir, "/tmp/hvbench-XXXXXX");
	if (!mkdtemp(b->dir))
		die("mkdtemp");
	snprintf(path, sizeof(path), "%s/run", b->dir);
	setenv("HVSOCKET_RUNTIME_DIR", path, 1);
	snprintf(path, sizeof(path), "%s/config", b->dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/config/services.d", b->dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/config/partitions.d", b->dir);
	mkdir(path, 0755);
	launch(b, hvsocketd);
}

static void end(struct bench_broker *b)
{
	kill(b->pid, SIGTERM);
	waitpid(b->pid, NULL, 0);
}

void broker_restart(struct bench_broker *b, const char *hvsocketd)
{
	end(b);
	launch(b, hvsocketd);
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void broker_stop(struct bench_broker *b)
{
	end(b);
	nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static long kib_in(FILE *f, const char *line)
{
	char buf[256];
	long kib = -1;

	rewind(f);
	while (fgets(buf, sizeof(buf), f))
		if (strncmp(buf, line, strlen(line)) == 0)
			kib = strtol(buf + strlen(line), NULL, 10);
	return kib;
}

long process_kib(int pid, const char *line)
{
	char path[64];
	long kib;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	if (!f)
		die(path);
	kib = kib_in(f, line);
	fclose(f);
	return kib;
}

long process_pss_kib(int pid)
{
	long anon, file;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	f = fopen(path, "r");
	if (!f)
		return -1;
	anon = kib_in(f, "Pss_Anon:");
	file = kib_in(f, "Pss_File:");
	fclose(f);
	return anon < 0 || file < 0 ? -1 : anon + file;
}
