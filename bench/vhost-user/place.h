/* SPDX-License-Identifier: MIT */
/* place.h - which processors a process may run on */
#ifndef BENCH_VHOST_USER_PLACE_H
#define BENCH_VHOST_USER_PLACE_H

#include <sys/types.h>

#define PLACE_ANY (-1)

/** place_two() - two of those that this process may run on; if there is but
 * one, that twice. To be called first */
void place_two(int cpu[2]);
/** place_process() - all its threads run on @cpu alone, or on any that there
 * were */
void place_process(pid_t pid, int cpu);

#endif /* BENCH_VHOST_USER_PLACE_H */
