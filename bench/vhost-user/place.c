/* SPDX-License-Identifier: MIT */
/* place.c - see place.h */
#include "place.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib.h"

static cpu_set_t all;

void place_two(int cpu[2])
{
	int n = 0;

	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		die("sched_getaffinity");
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &all))
			cpu[n++] = i;
	if (n < 2)
		cpu[1] = cpu[0];
}

void place_process(pid_t pid, int cpu)
{
	struct dirent *e;
	char path[64];
	cpu_set_t set;
	DIR *d;

	CPU_ZERO(&set);
	if (cpu == PLACE_ANY)
		set = all;
	else
		CPU_SET(cpu, &set);
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		die(path);
	while ((e = readdir(d)) != NULL) {
		pid_t tid = (pid_t)atoi(e->d_name);

		/* (one that has ended meanwhile is nobody's loss) */
		if (tid > 0)
			(void)sched_setaffinity(tid, sizeof(set), &set);
	}
	closedir(d);
}
