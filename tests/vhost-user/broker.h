/* SPDX-License-Identifier: MIT */
/*
 * broker.h - a stand-in for hvsocketd: section 5 of the protocol, no policy
 *
 * Listens at DIR/control; one transport at a time. Nothing here blocks.
 */
#ifndef TEST_VHOST_USER_BROKER_H
#define TEST_VHOST_USER_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/message.h"

#define FB_MAX 1024
#define FB_CLOSED_MAX 16384

struct fb_dial {
	uint32_t serial;
	struct msg_dial m;
};

struct fb_open {
	uint32_t serial;
	uint64_t token;
	uint16_t type;
	bool answered;
	uint32_t error, reason;
	char text[401];
};

struct fb {
	uint16_t kind; /* of transport; 0: vhost-user */
	char dir[80];
	int listener, conn;   /* -1 */
	char rendezvous[104]; /* path, once attached; of RAW: and ".raw" */
	bool attached;
	char refuse[64]; /* refuse ATTACH with this */
	uint32_t unknown; /* flags of ATTACH that it is too old for */
	uint32_t flags;	  /* that ATTACH had last */
	uint32_t open_cid; /* OPEN is of fb_sibling, which has this one */
	uint32_t state;
	unsigned int state_notices;
	uint32_t serial;
	uint64_t next_token;
	GUID vmid;		      /* that ATTACH named last */
	struct fb_dial dials[FB_MAX]; /* not answered */
	int ndials;
	struct fb_open opens[FB_MAX];
	int nopens;
	struct msg_closed closed[FB_CLOSED_MAX];
	int nclosed;
	struct msg_live live[FB_MAX];
	int nlive;
	struct msg_closed counters[FB_MAX];
	int ncounters; /* -1: asked, not answered */
};

/* whose programs open */
extern const GUID fb_partition;
/* whom DIAL with a CID reaches, and whose OPEN has one */
extern const GUID fb_sibling;

/** fb_start() - listen; again after fb_kill() */
void fb_start(struct fb *b, const char *dir);
/** fb_kill() - as if by SIGKILL: files stay */
void fb_kill(struct fb *b);
/** fb_poll() - do what can be done. true: there was something */
bool fb_poll(struct fb *b);

/** fb_dial_accept() - the i-th dial, with a socketpair. The program's end */
int fb_dial_accept(struct fb *b, int i, uint64_t *ret_token);
/** fb_dial_answer() - the same with this socket, borrowed */
void fb_dial_answer(struct fb *b, int i, int fd);
void fb_dial_refuse(struct fb *b, int i, uint32_t reason);

/** fb_open() - ask for @port from @source. Return: index in opens */
int fb_open(struct fb *b, uint32_t port, uint32_t source, bool parked,
	    uint32_t timeout_ms);
/** fb_open_type() - the same for another type than SOCK_STREAM */
int fb_open_type(struct fb *b, uint16_t type, uint32_t port, uint32_t source,
		 bool parked, uint32_t timeout_ms);
/** fb_meet() - connect a program's socket, of the OPEN's type, to the
 * rendezvous under that token. Return: it */
int fb_meet(struct fb *b, uint64_t token);
/** fb_fill() - fill its send buffer as the broker does. Return: bytes */
uint64_t fb_fill(int fd);
void fb_parked(struct fb *b, uint64_t token, uint64_t filler);
void fb_close(struct fb *b, uint64_t token);
void fb_close_for(struct fb *b, uint64_t token, uint32_t reason);
/** fb_stall() - hold all back, or go on */
void fb_stall(struct fb *b, bool stalled);
void fb_counters(struct fb *b);

#endif /* TEST_VHOST_USER_BROKER_H */
