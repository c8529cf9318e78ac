/* SPDX-License-Identifier: MIT */
/*
 * way.h - bytes between a guest in this process and a peer in another
 *
 * A way is a connection of the fake guest's (tests/vmbus/guest.h) through a
 * real hvsocket-vmbus, or a socketpair: the same two processes move the same
 * bytes over either, with the same calls. This process is the guest; the peer
 * is a program of the host's, with a blocking socket.
 *
 * The guest sleeps as an idle processor does: until its eventfd is written.
 */
#ifndef BENCH_VMBUS_WAY_H
#define BENCH_VMBUS_WAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm.h"

#define WRITE_SIZE 65536u
#define TRIP_SIZE 64u

/* what hvsocket-vmbus says of itself (SIGUSR1) */
struct counts {
	double in, out;	      /* doorbells */
	double reads, writes; /* of payload */
	double waits;	      /* for events, and looks for them */
	double cpu;	      /* us that it ran */
};

struct machine {
	struct vmm *v;
	int said;   /* its standard error */
	int halted; /* epoll(7) of the processor's interrupt */
};

struct way {
	struct machine *m;
	struct flow *f;	    /* NULL: a socketpair */
	int fd;		    /* its near end */
	int go[2], done[2]; /* pipes to and from the peer */
	int pid;
	size_t total; /* of one measurement */
	int peer_cpu;
};

/** machine_start() - the program, and a guest whose driver is loaded */
void machine_start(struct machine *m);
void machine_stop(struct machine *m);
void machine_counts(struct machine *m, struct counts *ret);
/** machine_connect() - a connection of the guest's, and the host's end */
struct flow *machine_connect(struct machine *m, uint32_t buf, int *ret_fd);

/** on_processor() - a process, 0: this one, runs on that one alone */
void on_processor(int pid, int cpu);

/** way_guest() - a connection whose guest has socket buffers of @buf;
 * way_pair() - a socketpair, each of whose buffers has @buf bytes as the kernel
 * counts, which is what getsockopt() says */
void way_guest(struct way *w, struct machine *m, uint32_t buf, size_t total,
	       int peer_cpu);
void way_pair(struct way *w, uint32_t buf, size_t total, int peer_cpu);
void way_end(struct way *w);
/** pair_holds() - bytes that fit into such a socketpair, one way */
size_t pair_holds(uint32_t buf);

/* for bench_pairs(): @arg is a struct way */
double way_up(void *arg); /* to the host, Gbit/s */
double way_down(void *arg);
double way_trips(void *arg); /* 1/s */

#endif /* BENCH_VMBUS_WAY_H */
