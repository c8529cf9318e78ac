/* SPDX-License-Identifier: MIT */
/* hostile.h - a client that tries to make the broker block */
#ifndef BENCH_HOSTILE_H
#define BENCH_HOSTILE_H

/** hostile_start() - in the partition whose directory this is: a listener with
 * a full backlog, connects to it, and a thread that clears O_NONBLOCK on the
 * connecting sockets all the time. Return: its process id */
int hostile_start(const char *partition_dir);
void hostile_stop(int pid);

#endif /* BENCH_HOSTILE_H */
