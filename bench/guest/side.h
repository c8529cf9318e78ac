/* SPDX-License-Identifier: MIT */
/*
 * side.h - one of the two guests that are compared: its VMM, and the host's
 * ends of its connections
 *
 * The guest runs bench-guest. The host listens at the same five ports either
 * with AF_VSOCK (the kernel's vhost-vsock) or through hvsocketd.
 */
#ifndef BENCH_SIDE_H
#define BENCH_SIDE_H

#include <stdbool.h>
#include <sys/types.h>

enum { PORT_CONTROL, PORT_UP, PORT_DOWN, PORT_TRIPS, PORT_CONNECTS, PORTS };
#define PORT_FIRST 7000u /* the next ones' come 100 later */

struct side {
	const char *name;
	bool vsock;	      /* AF_VSOCK; else hvsocketd's */
	bool native;	      /* hvsocketd's, with HVS_NATIVE */
	unsigned int first;   /* port */
	const char **command; /* of the VMM */
	const char *log;      /* where its output goes */
	int listeners[PORTS];
	pid_t pid;			 /* of the VMM */
	int control;			 /* connection */
	double started;			 /* when, now_s() */
	long bytes, size, buffer, count; /* of the next measurement */
};

/** side_listen() - before anything else */
void side_listen(struct side *s);
/** side_start() - start the VMM; side_wait() - until its guest has called */
void side_start(struct side *s);
void side_wait(struct side *s);
void side_stop(struct side *s);
/** side_tell() - a command for the guest; side_done() - wait for its answer.
 * Return: the guest's nanoseconds */
void side_tell(struct side *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
double side_done(struct side *s);
int side_accept(struct side *s, int port);

/* For bench_pairs(): @arg is the side. */
double side_up(void *arg);	    /* Gbit/s, guest to host */
double side_down(void *arg);	    /* Gbit/s, host to guest */
double side_trip(void *arg);	    /* us for one round trip */
double side_connects(void *arg);    /* 1/s */
double side_whole_start(void *arg); /* s until the guest has called */

#endif /* BENCH_SIDE_H */
