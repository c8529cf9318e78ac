/* SPDX-License-Identifier: MIT */
/*
 * lib.h - side-by-side measurement
 *
 * Two things are measured by turns, at least 31 pairs in one run; the figure
 * is the median of the pairs' ratios. The same thing measured against itself
 * in the same way shows the noise.
 */
#ifndef BENCH_LIB_H
#define BENCH_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAIRS 31

/* One measurement: a rate, or another number where more is better. */
typedef double (*bench_fn)(void *arg);

struct bench_result {
	double value, against; /* medians */
	double ratio; /* median of the pairs' */
	double low, high; /* quartiles of the ratio */
};

struct bench_result bench_pairs(bench_fn fn, void *arg, bench_fn against,
				void *against_arg);
/** bench_n_pairs() - the same with @n pairs, at most PAIRS, and no warming up:
 * for what takes seconds each time */
struct bench_result bench_n_pairs(int n, bench_fn fn, void *arg,
				  bench_fn against, void *against_arg);

/** bench_row() - one line of the table, one object of the JSON file;
 * @bound NULL: reported only; ">= 0.5" compares the ratio */
void bench_row(const char *name, const char *unit, double value,
	       const char *against, double ratio, double low, double high,
	       const char *bound);
void bench_result_row(const char *name, const char *unit,
		      const char *against, const struct bench_result *r,
		      const char *bound);
void bench_number(const char *name, const char *unit, double value);

/** bench_open() - where JSON goes; bench_reopen(): behind what another program
 * has put there. bench_close(): whether all bounds hold */
void bench_open(const char *json_path);
void bench_reopen(const char *json_path);
bool bench_close(void);

double now_s(void);
_Noreturn void die(const char *what);

/* ---- A broker of our own -------------------------------------------------*/

struct bench_broker {
	char dir[64]; /* HVSOCKET_RUNTIME_DIR is dir/run */
	int pid;
	double start_s; /* until it was ready */
};

/** broker_start() - in a temporary directory; sets the environment */
void broker_start(struct bench_broker *b, const char *hvsocketd);
/** broker_restart() - kill it, start it in the same directory */
void broker_restart(struct bench_broker *b, const char *hvsocketd);
void broker_stop(struct bench_broker *b);
/** process_kib() - a line of /proc/PID/status ("VmRSS:"), in KiB */
long process_kib(int pid, const char *line);
/** process_pss_kib() - its memory, of a page that others have too its part; not
 * that which is shared with a guest. -1: this user may not know, or an old
 * kernel */
long process_pss_kib(int pid);

#endif /* BENCH_LIB_H */
