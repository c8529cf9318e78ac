/* SPDX-License-Identifier: MIT */
/*
 * way.h - bytes between a guest in this process and programs in others
 *
 * By way of hvsocket-vhost-user and a broker, of vhost-device-vsock, or of no
 * guest at all: a connected pair of AF_UNIX, of which this process has one end.
 */
#ifndef BENCH_VHOST_USER_WAY_H
#define BENCH_VHOST_USER_WAY_H

#include <sys/types.h>

#include "guest.h"
#include "program.h"

struct way {
	enum way_kind kind;
	pid_t pid; /* of the back-end; 0: WAY_UNIX */
	int said;  /* its standard error */
	char dir[80];
	char partition[16], vmid[40];
	unsigned int port; /* of its first program */
	struct vguest *g; /* NULL: WAY_UNIX */
	struct program prog[PROGRAMS];
	unsigned int nprogs;
	int fds[VG_CONNS]; /* WAY_UNIX */
	unsigned int n;	   /* connections with the first program */
	/* of one measurement */
	size_t size;
	uint64_t each; /* bytes of each connection */
	unsigned int count;
	unsigned int at_once;
	bool beside_up; /* of way_trips_beside(): bulk data that way */
};

/** way_vm() - the name and VmId of the @vm-th partition */
void way_vm(unsigned int vm, char name[16], char vmid[40]);
/** way_start() - @program: the back-end; sockets go to @dir; WAY_OURS: of the
 * @vm-th partition */
void way_start(struct way *w, enum way_kind kind, const char *program,
	       const char *dir, unsigned int vm);
void way_stop(struct way *w);
/** way_connections() - of the first program, from now on; the old ones end */
void way_connections(struct way *w, unsigned int n);
/** way_programs() - at least @n */
void way_programs(struct way *w, unsigned int n);

/** way_counters() - what WAY_OURS says of itself (SIGUSR1): interrupts; reads,
 * writes and questions about sockets; waits for events */
void way_counters(struct way *w, double ret[5]);

/* for bench_pairs(); @arg is a struct way */
double way_up(void *arg); /* to the host, Gbit/s */
double way_down(void *arg);
double way_trip_median(void *arg); /* us */
double way_trip_p99(void *arg);
/* while the connection of the second program moves bulk data */
double way_trip_beside(void *arg);
double way_dials(void *arg); /* guest to host, 1/s */
double way_opens(void *arg); /* host to guest, 1/s */

#endif /* BENCH_VHOST_USER_WAY_H */
