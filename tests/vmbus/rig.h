/* SPDX-License-Identifier: MIT */
/*
 * rig.h - the library and the guest in one program, and programs at both ends
 * of connections between them
 *
 * Interrupts are remembered and taken by rig_step(), as a processor would: not
 * in the middle of what raised them. Time is a number.
 *
 * A flow is one connection with a program at each end. What is sent is a known
 * sequence of bytes per flow and direction, so any byte that comes can be
 * checked. A program goes on only when it was woken.
 */
#ifndef TESTS_VMBUS_RIG_H
#define TESTS_VMBUS_RIG_H

#include <vmbus-host.h>

#include "guest.h"

#define RIG_FLOWS 4096u
#define RIG_PAGES 32768u
#define RIG_SERVICE 1000u /* port of flow 0 */

struct rig;

/* One direction, at its two ends. */
struct rig_end {
	uint64_t sent, got;
	uint64_t to_send; /* then the end of file, if fin */
	bool fin;	  /* is to be sent */
	bool fin_sent, eof;
	bool woken; /* the host's program: there may be something to do */
};

struct rig_flow {
	struct rig *r;
	unsigned int id;
	struct vmbh_sock *s;	    /* host end */
	struct vg_sock *v;	    /* guest end */
	struct rig_end host, guest; /* what each of them sends; got: receives */
	bool from_host, asked, connected, refused, gone;
	enum vmbh_gone why;
	bool host_stalls, guest_stalls; /* do not read */
	bool host_done, guest_done;	/* closed by the program */
};

struct rig {
	struct vmbh *h;
	struct vg *g;
	struct vmbh_config config;
	uint64_t now;
	bool pending[VG_VPS];
	bool no_page[VG_VPS]; /* post() says -ENXIO */
	bool hold;	      /* accept or refuse later */
	bool refuse;
	bool admit_none;
	bool polls; /* programs of the host look, until nothing happens */
	bool ready;
	bool check_vp; /* doorbells go to where the guest has the channel */
	uint64_t mapped, unmapped;
	uint32_t map_fails_from; /* page; 0: never */
	uint64_t complaints;
	char complaint[256];
	uint64_t written;
	uint32_t random;
	unsigned int nflows;
	struct rig_flow flows[RIG_FLOWS];
	uint8_t journal[VMBH_JOURNAL_SIZE];
	uint32_t free_pages; /* of the guest when it had no channel */
	void (*offer_again)(struct rig *r); /* devices, in a new bus */
	/* from the host, by type: how many, and the last one */
	uint64_t messages[32];
	uint8_t last[32][VMBH_MESSAGE_MAX];
	size_t last_len[32];
	unsigned int packets_per_peek;
};

struct rig *rig_new(const struct vmbh_config *config, uint32_t seed);
/* The guest has loaded its driver and got the offers. */
struct rig *rig_new_loaded(const struct vmbh_config *config, uint32_t seed);
/* Checks that no fault was seen and no page is mapped. */
void rig_free(struct rig *r);
/* Interrupts and workers of the guest, programs of flows. Return: there was
 * something to do. */
bool rig_step(struct rig *r);
void rig_settle(struct rig *r);
/* Time goes on by @ms, timers and all. */
void rig_pass(struct rig *r, uint32_t ms);
uint32_t rig_random(struct rig *r, uint32_t below);

GUID rig_port(uint32_t port);
struct rig_flow *rig_flow_new(struct rig *r);
/* The guest's program listens or connects; settled. NULL: it did not work. */
struct rig_flow *rig_connect_guest(struct rig *r, uint32_t buf);
struct rig_flow *rig_connect_host(struct rig *r);
/* Nobody looks any more: guests ring. Return: there was something. */
bool rig_release(struct rig *r);
/* Programs of @f try to go on. Return: something moved. */
bool rig_move(struct rig_flow *f);
void rig_close_host(struct rig_flow *f);
void rig_close_guest(struct rig_flow *f);
extern const struct vmbh_ops *const rig_ops;
/* The guest starts afresh; its programs are gone. */
void rig_reboot(struct rig *r);
/* The bus ends as a process that is killed, and another one recovers. */
void rig_crash(struct rig *r);
/* Save, and load into another bus. */
void rig_reload(struct rig *r);
/* A message of the guest's, made of 32-bit words. Return: the status. */
uint16_t rig_post(struct rig *r, size_t len, const uint32_t *words,
		  unsigned int n);
#define RIG_POST(r, len, ...)                                \
	rig_post(r, len, (const uint32_t[]) { __VA_ARGS__ }, \
		 sizeof((const uint32_t[]) { __VA_ARGS__ }) / 4)
/* A word of the last message of @type from the host. */
uint32_t rig_word(const struct rig *r, unsigned int type, unsigned int i);
/* Offer a connection to a port where nobody listens. Return: its relid. */
uint32_t rig_offer(struct rig *r, struct rig_flow **ret);
int rig_suite(const char *name, void (*fill)(void *tcase), int timeout);

/* No channel, GPADL or page is left on either side, and no fault was seen. */
void rig_check_clean(struct rig *r);

#endif /* TESTS_VMBUS_RIG_H */
