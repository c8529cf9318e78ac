/* SPDX-License-Identifier: MIT */
/*
 * rig.h - the program under test between a synthetic guest and a stand-in
 * broker, in one loop
 *
 * The guest's connections follow Linux's rules for credit; programs' ends are
 * non-blocking sockets. Both sides send a pattern that depends on stream and
 * offset, and check each byte that they get.
 */
#ifndef TEST_VHOST_USER_RIG_H
#define TEST_VHOST_USER_RIG_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker.h"
#include "driver.h"
#include "service.h"

#define RIG_ENDS 300
#define RIG_LIMIT_MS 20000

/* A connection as the guest has it. */
struct guest_end {
	bool used;
	uint32_t port, host_port;
	uint32_t seed;	    /* of its pattern */
	bool open, reset;   /* RESPONSE, RST seen */
	bool asked;	    /* REQUEST seen, not answered */
	uint32_t peer_shut; /* flags of SHUTDOWN seen */
	uint32_t shut;	    /* flags sent */
	uint32_t buf_alloc, peer_alloc, peer_fwd;
	uint64_t sent, to_send; /* bytes */
	uint32_t chunk;		/* of a packet */
	uint64_t received, fwd; /* fwd: consumed */
	bool stalled;		/* reads nothing */
	unsigned int packets_unread, packets_most;
	uint32_t told_fwd;
	uint64_t credit_packets; /* CREDIT_UPDATE seen */
	bool credit_asked;	 /* CREDIT_REQUEST seen, not answered */
};

/* A program's end. */
struct prog_end {
	int fd; /* -1 */
	uint32_t seed;
	uint64_t sent, to_send, received;
	uint32_t chunk;
	bool eof, stalled;
	int error; /* of read */
	bool shut_when_sent, shut;
};

struct rig {
	char dir[64];
	pid_t child;
	int child_in; /* listening socket, --fd */
	struct svc *service; /* that starts the program; NULL: none */
	bool replace;	     /* the next one takes over from this one */
	struct fb b;
	struct drv d;
	struct guest_end guest[RIG_ENDS];
	struct prog_end prog[RIG_ENDS];
	uint64_t rst_unknown; /* RSTs for no connection of ours */
	unsigned int turn;
	bool urgent; /* a packet waits for a place in the ring */
	unsigned int settled; /* answers for rig_settle() */
	bool no_auto;	      /* packets for the guest are only counted */
	/* sees each of them first. true: it was for it */
	bool (*hook)(struct rig *r, const struct vsock_header *h,
		     const uint8_t *payload);
	void *hook_arg;
	unsigned int packets;
	struct vsock_header last;
};

typedef bool (*rig_fn)(struct rig *r, void *arg);

/** rig_descriptors - RLIMIT_NOFILE of the programs started from now on; 0: as
 * it is. (Ours also limits what we have in flight, unless we are root.) */
extern unsigned int rig_descriptors;

/** rig_start() - broker, program, VMM, guest: up to "running" */
struct rig *rig_start(void);
/** rig_start_with() - the same with this driver set-up */
struct rig *rig_start_with(void (*setup)(struct drv *d));
/** rig_start_service() - the same under a service manager */
struct rig *rig_start_service(struct svc *service,
			      void (*setup)(struct drv *d));
/** rig_spawn() - the program, once more; @child is the new one */
void rig_spawn(struct rig *r);
/** rig_replace() - another process takes over from it */
void rig_replace(struct rig *r);
/** rig_on_packet() - what the guest does with a packet */
void rig_on_packet(void *ctx, const struct vsock_header *h,
		   const uint8_t *payload);
/** rig_launch() - broker and program only */
struct rig *rig_launch(void);
/** rig_front_end() - connect to the program as a VMM */
int rig_front_end(struct rig *r);
/** rig_end() - SIGTERM; it must end with exit code 0 */
void rig_end(struct rig *r);

/** rig_wait() - work until @fn is true; the test fails after RIG_LIMIT_MS */
void rig_wait(struct rig *r, rig_fn fn, void *arg, const char *what);
/** rig_settle() - work until all that was sent is answered: a packet of an
 * unknown type has gone round behind it */
void rig_settle(struct rig *r);
/** rig_step() - work once, waiting at most @ms */
void rig_step(struct rig *r, int ms);

/** rig_connect() - guest connects to host @host_port; the i-th end */
void rig_connect(struct rig *r, int i, uint32_t port, uint32_t host_port);
/** rig_connected() - both: connected and accepted, with a program's end */
void rig_connected(struct rig *r, int i, uint32_t port, uint32_t host_port);
/** rig_packet() - one packet of the guest's i-th connection */
void rig_packet(struct rig *r, int i, enum vsock_op op, uint32_t flags);
/** rig_header() - such a header */
struct vsock_header rig_header(const struct guest_end *g, enum vsock_op op);
void rig_put(struct rig *r, const struct vsock_header *h, const void *payload);

uint8_t rig_byte(uint32_t seed, uint64_t at);

/* for rig_wait() */
bool rig_idle_state(struct rig *r, void *running); /* b.state == *running */
/* all bytes of the first *@n connections, both ways */
bool rig_all_arrived(struct rig *r, void *n);
bool rig_was_reset(struct rig *r, void *i); /* the guest's i-th */

/** rig_run() - run the tests. Return: the exit code */
int rig_run(Suite *s);

#endif /* TEST_VHOST_USER_RIG_H */
