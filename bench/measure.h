/* SPDX-License-Identifier: MIT */
/*
 * measure.h - a benchmark that uses the rigs of the tests
 *
 * They assert, and so what measures is one test of Check's, in this process.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <check.h>
#include <stdbool.h>

/** measure_main() - the test that @fill adds, with as many descriptors as there
 * may be, into the file @json, behind what is there if @more. Return: the exit
 * code */
int measure_main(const char *name, void (*fill)(TCase *t), const char *json,
		 bool more);

#endif /* BENCH_MEASURE_H */
