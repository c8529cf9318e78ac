/* SPDX-License-Identifier: MIT */
/*
 * stand-in.h - a broker for tests of the library, that does as it is told
 *
 * A process of its own in a temporary directory, so that it can be killed. It
 * has no policy: it binds what it is given, and connects to whoever listens.
 * What it should do with the next requests instead, and what it has seen,
 * stands in memory shared with the test.
 */
#ifndef TESTS_STAND_IN_H
#define TESTS_STAND_IN_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include <hvsocket.h>

enum stand_in_mode {
	DO_IT,
	CLOSE_BEFORE, /* close the connection, nothing done */
	CLOSE_AFTER, /* done, but no reply: the connection is closed */
	SILENT, /* no reply */
	DELAY, /* reply when test_go() says so */
	REFUSE, /* error, reason, text below */
	PARK, /* connect to the rendezvous, state 1 */
	PARK_CLOSE, /* the same, and the connection is closed without a reply */
	DISABLED, /* BIND: bound, flag; LISTEN: refused */
	NONSENSE, /* a reply that is too short */
	BABBLE, /* frames that answer nothing, with descriptors, to the end */
};

struct stand_in_shared {
	/* what to do with the next requests (BIND, CONNECT, LISTEN) */
	_Atomic int mode, times;
	_Atomic uint32_t error, reason;
	char text[512];
	/* what was seen */
	_Atomic int accepted, hellos, binds, connects, listens, notices;
	_Atomic int results, resolves, ended;
	_Atomic uint32_t uid, timeout_ms, flags;
	_Atomic int nonblock; /* was O_NONBLOCK set on the socket? */
	_Atomic uint64_t token;
};

struct stand_in {
	char dir[64]; /* HVSOCKET_RUNTIME_DIR is set to it */
	pid_t pid;
	int go; /* eventfd */
	struct stand_in_shared *shared;
};

/** stand_in_start() - in a new directory; fails the test if it cannot */
void stand_in_start(struct stand_in *s);
/** stand_in_kill() - SIGKILL, and wait for its end */
void stand_in_kill(struct stand_in *s);
/** stand_in_again() - started again in the same directory */
void stand_in_again(struct stand_in *s);
/** stand_in_end() - and the directory is removed */
void stand_in_end(struct stand_in *s);
/** stand_in_mode() - for the next @times requests */
void stand_in_mode(struct stand_in *s, enum stand_in_mode mode, int times);
/** stand_in_go() - DELAY: reply now. PARK: 1 the guest accepts, 2 refuses */
void stand_in_go(struct stand_in *s, int what);
/** stand_in_wait() - until @counter is at least @n; fails after 10 s */
void stand_in_wait(_Atomic int *counter, int n);

/* The child's whole life (stand-in-broker.c); tells @ready when it serves. */
void stand_in_run(struct stand_in *s, int ready);

#endif /* TESTS_STAND_IN_H */
