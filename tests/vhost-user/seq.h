/* SPDX-License-Identifier: MIT */
/*
 * seq.h - SEQPACKET connections of the synthetic guest, with a program's end
 *
 * Messages have a pattern that depends on their number; whoever gets one checks
 * its length against what the sender noted, and each byte. The guest hands out
 * whole messages only, and gives credit back for these, as Linux does.
 */
#ifndef TEST_VHOST_USER_SEQ_H
#define TEST_VHOST_USER_SEQ_H

#include "rig.h"

#define SEQ_MAX 262144u
#define SEQ_ENDS 8
#define SEQ_NOTED 300000u

struct seq_flow {
	uint32_t *lens; /* of messages sent */
	unsigned int sent, received;
};

struct seq {
	bool used, open, reset, asked;
	uint32_t port, host_port;
	uint32_t buf_alloc, peer_alloc, peer_fwd, peer_shut;
	uint32_t bytes_sent, fwd;
	bool stalled; /* the program in the guest reads nothing */
	uint32_t unread, packets_unread, packets_most;
	struct seq_flow up, down;
	uint8_t *msg; /* under way to the guest */
	uint32_t msg_len;
	int fd; /* the program's end; -1 */
	bool prog_stalled, eof;
	int error;
};

/** seq_start() - a rig whose driver has negotiated SEQPACKET; @more may change
 * the driver. The ends are seqs[] */
struct rig *seq_start(void (*more)(struct drv *d));
/** seq_start_service() - the same under a service manager */
struct rig *seq_start_service(struct svc *service, void (*more)(struct drv *d));
extern struct seq seqs[SEQ_ENDS];
void seq_end(struct rig *r);
/** seq_small_buffers() - of 100 bytes each: for seq_start() */
void seq_small_buffers(struct drv *d);

/** seq_new() - the i-th, of which nobody knows yet */
struct seq *seq_new(int i, uint32_t port);
/** seq_dial() - the guest connects; answered by a program */
struct seq *seq_dial(struct rig *r, int i, uint32_t port, uint32_t host_port);
/** seq_open() - a program connects to @port; the guest says yes */
struct seq *seq_open(struct rig *r, int i, uint32_t port, bool parked);
struct vsock_header seq_header(const struct seq *s, enum vsock_op op);
void seq_packet(struct rig *r, struct seq *s, enum vsock_op op, uint32_t flags);

/** seq_piece() - @len bytes from @at on of the message that the guest is
 * sending; @end: it ends there. Waits for credit */
void seq_piece(struct rig *r, struct seq *s, uint32_t at, uint32_t len,
	       bool end);
/** seq_up() - a whole message of the guest's */
void seq_up(struct rig *r, struct seq *s, uint32_t len);
/** seq_down() - a message of the program's; waits for room */
void seq_down(struct rig *r, struct seq *s, uint32_t len);
/** seq_step() - work once */
void seq_step(struct rig *r, int ms);
/** seq_wait() - until all of both directions have arrived at @s */
void seq_wait(struct rig *r, struct seq *s);
/** seq_until() - until @flag is true */
void seq_until(struct rig *r, const bool *flag, const char *what);
void seq_settle(struct rig *r);

#endif /* TEST_VHOST_USER_SEQ_H */
