/* SPDX-License-Identifier: MIT */
/*
 * program.h - the programs of the host: processes that do what they are told
 *
 * Each listens for the guest's connections and keeps what it has accepted. With
 * one connection it reads and writes as the simplest of programs would; with
 * more it asks epoll(7) which.
 */
#ifndef BENCH_VHOST_USER_PROGRAM_H
#define BENCH_VHOST_USER_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRAM_PORT 5000u /* + its number */
#define PROGRAMS 9u
#define PORTS_IN_TURN 64u

enum way_kind {
	WAY_OURS,
	WAY_PEER, /* vhost-device-vsock */
	WAY_UNIX, /* no guest: a connected pair of AF_UNIX */
};

struct order {
	enum {
		DO_ACCEPT,  /* count connections, and keep them */
		DO_FORGET,  /* close them all */
		DO_READ,    /* total bytes of each */
		DO_WRITE,   /* total bytes to each, in pieces of size */
		DO_ECHO,    /* count times size bytes, of each in turn */
		DO_READ_ON, /* of the first, until shared->limit */
		DO_WRITE_ON, /* to the first, until shared->stop */
		DO_SERVE,   /* count times: accept and close */
		DO_OPEN,    /* count times: connect to the guest's port, wait
			     * for the end, close */
	} what;
	unsigned int count;
	size_t size;
	uint64_t total;
	uint32_t port;
};

struct shared {
	volatile int stop;
	volatile uint64_t limit;
};

struct program {
	int pid;
	int go, done; /* pipes */
	struct shared *shared;
};

/** program_start() - of this @kind; its own port is @port. Sockets are at @dir;
 * @vmid: the guest, of WAY_OURS */
void program_start(struct program *p, enum way_kind kind, const char *dir,
		   const char *vmid, unsigned int port);
void program_stop(struct program *p);
void program_do(struct program *p, const struct order *o);
/** program_done() - wait for it. Return: what it has counted */
uint64_t program_done(struct program *p);

/** unix_dial() - connect to the one of WAY_UNIX with this @port */
int unix_dial(const char *dir, unsigned int port);

/* What a program does, for the other end of WAY_UNIX too. */
void move_bytes(const int *fds, unsigned int n, uint64_t each, size_t size,
		bool giving);
void give_bytes(int fd, uint64_t n, size_t size);
void take_bytes(int fd, uint64_t n);

#endif /* BENCH_VHOST_USER_PROGRAM_H */
