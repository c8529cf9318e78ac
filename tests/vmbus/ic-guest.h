/* SPDX-License-Identifier: MIT */
/*
 * ic-guest.h - the integration components, and a guest that answers as it is
 * told: packets in plain memory, time is a number
 */
#ifndef TESTS_VMBUS_IC_GUEST_H
#define TESTS_VMBUS_IC_GUEST_H

#include "vmbus/ic/set.h"

#define SENT_MAX 64u
#define IG_S 1000000000ull

struct ig_packet {
	enum ic_kind kind;
	uint64_t transaction;
	size_t len;
	uint8_t data[IC_PACKET_MAX];
};

struct ig {
	struct ic_set set;
	uint64_t now, wall;
	uint64_t reference; /* the guest's counter; 0: not known */
	int send_error; /* what send() says */
	struct ig_packet sent[SENT_MAX];
	unsigned int nsent, taken;
};

struct ig *ig_new(void);
void ig_free(struct ig *g);
/* Time goes on, deadline by deadline. */
void ig_pass(struct ig *g, uint64_t ns);
/* The next packet that the host has sent, which has to be there. */
struct ig_packet *ig_take(struct ig *g);
bool ig_none(const struct ig *g);
/* As Linux does: the same packet back, with this status. */
void ig_answer(struct ig *g, struct ig_packet *p, uint32_t status);
/* Open, and agree on the newest version that is offered. */
void ig_ready(struct ig *g, enum ic_kind kind);
struct icmsg ig_message(const struct ig_packet *p);

#endif /* TESTS_VMBUS_IC_GUEST_H */
