/* SPDX-License-Identifier: MIT */
/* stream.h - throughput and round trips over a connected pair */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

/* Two ends of a connection; the far one is served by a process of its own. */
struct stream {
	int fd;
	int pid;
};

/** stream_start() - takes both ends; the far one echoes or discards */
void stream_start(struct stream *s, int near, int far, int echo);
void stream_stop(struct stream *s);

/** stream_rate() - a bench_fn: Gbit/s of 64 KiB writes, discarded */
double stream_rate(void *stream);
/** stream_trips() - a bench_fn: round trips of 64 bytes per second */
double stream_trips(void *stream);

#endif /* BENCH_STREAM_H */
