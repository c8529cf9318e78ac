/* SPDX-License-Identifier: MIT */
/*
 * vm.h - one virtual machine's VMBus: the bus, the guest's memory and
 * processors, the VMM, and the host's ends, in one loop
 *
 *	server.c	what the VMM asks (docs/vmbus-user.md)
 *	vps.c		message slots, event flags and doorbells
 *	conn.c		bytes between rings and the host's ends
 *	poll.c		rings that are looked at without doorbells
 *	integration.c	heartbeat, shutdown and so on: channels and time
 *	control.c	what is asked of them (docs/protocol.md, 11)
 *	filter.c	--trace and --inject, between the bus and both
 *
 * The bus (libvmbus-host) knows what it all means.
 */
#ifndef VMBUS_VM_H
#define VMBUS_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <vmbus-host.h>

#include "base/ev.h"
#include "base/fdmsg.h"
#include "base/host-clock.h"
#include "base/log.h"
#include "proto/vmbus-user.h"
#include "transport/gmem.h"
#include "transport/vmbus/host.h"

#define VPS_MAX 256u

struct conn;
struct filter;
struct handover;
struct integration;
TAILQ_HEAD(conn_list, conn);

struct vp {
	int raise, acknowledge; /* -1: this processor is not known */
	uint64_t scontrol, simp, siefp;
	uint8_t *messages, *events; /* the pages; NULL */
	struct ev_io ack_io;
	struct vm *vm;
};

/* A doorbell of the guest's: one for each relid that has been used. */
struct doorbell {
	struct ev_io io;
	struct vm *vm;
	uint32_t connection;
};

struct vm_stats {
	uint64_t doorbells_in, doorbells_out, messages_in, messages_out;
	uint64_t reads, writes, bytes_in, bytes_out;
};

struct vm {
	struct ev *ev;
	struct vmbh *bus;
	struct host *host;
	struct filter *filter; /* NULL: none */
	struct integration *integration;
	struct gmem gmem;
	struct vp vps[VPS_MAX];
	struct doorbell *doorbells[VMBH_RELIDS];
	uint32_t
		missed[VMBH_RELIDS]; /* while stopped: VP + 1 to be signalled */

	struct conn_list conns, ready, held;
	unsigned int nconns, nready, nheld;
	struct ev_timer turn;	  /* conns are ready */
	struct ev_timer deadline; /* of the bus */

	int front;    /* the VMM; -1 */
	int listener; /* -1 */
	bool one_off, greeted, posted;
	bool stopped;		   /* between SAVE or LOAD and RUN */
	uint64_t features;	   /* of vmbus-user, both sides' */
	uint32_t ahead;		   /* POST_AHEADs that were promised */
	struct reference_clock clock; /* the guest's */
	bool handed_over;	   /* another process has it all */
	struct handover *handover; /* NULL: none under way */
	struct ev_io front_io, listen_io;
	uint8_t frame[VMBU_FRAME_MAX];
	uint8_t reply[VMBU_FRAME_MAX];

	uint8_t *journal; /* a mapping; NULL */
	uint8_t *log;	  /* dirty pages; NULL */
	uint64_t log_size;
	struct log_limit limit;
	struct vm_stats stats;
};

struct vm_config {
	bool one_off;
	struct filter *filter; /* owned from now on */
	unsigned int services; /* that are offered: bits of enum ic_kind */
};

/** vm_new() - 0 or -errno */
int vm_new(struct ev *ev, const struct vm_config *config, struct vm **ret);
struct vm *vm_free(struct vm *vm);
/** vm_tell() - what moves and what waits, on standard error (tell.c) */
void vm_tell(void *vm);
/** vm_guest_ops() - for the host's side; the context is the vm */
const struct session_guest_ops *vm_guest_ops(void);
/** vm_set_host() - owned from now on */
void vm_set_host(struct vm *vm, struct host *h);
/** vm_listen(), vm_connected() - where the VMM is (owned). 0 or -errno */
int vm_listen(struct vm *vm, int fd);
int vm_connected(struct vm *vm, int fd);

/* ---- vm.c: time. Before and after whatever may change the bus. */
void vm_begin(struct vm *vm);
void vm_end(struct vm *vm);
/* The guest's memory was cut short, or the VMM has gone. */
void vm_forget(struct vm *vm);

/* ---- server.c */
void server_start(struct vm *vm);
void server_stop(struct vm *vm);

/* ---- vps.c */
void vps_init(struct vm *vm);
void vps_fini(struct vm *vm);
int vps_set(struct vm *vm, uint32_t vp, int raise, int acknowledge);
int vps_synic(struct vm *vm, uint32_t vp, uint64_t scontrol, uint64_t simp,
	      uint64_t siefp);
/* Memory has moved: find the pages again. */
void vps_remap(struct vm *vm);
void vps_reset(struct vm *vm);
/* After a stop: whatever may have been missed on either side. */
void vps_run(struct vm *vm);
/* struct vmbh_ops */
int vps_post(struct vm *vm, uint32_t vp, const void *message, size_t len);
void vps_signal(void *ctx, uint32_t vp, uint32_t relid);
/* The eventfd that stands for @connection's signals; -1: there is none. */
int vps_doorbell(struct vm *vm, uint32_t connection);
/* The same with a descriptor that is there (owned). 0 or -errno */
int vps_adopt(struct vm *vm, uint32_t connection, int fd);

/* ---- conn.c: struct vmbh_ops */
void conn_connect(void *ctx, struct vmbh_sock *s, const GUID *service,
		  const GUID *endpoint);
void conn_connected(void *ctx, struct vmbh_sock *s);
void conn_readable(void *ctx, struct vmbh_sock *s);
void conn_writable(void *ctx, struct vmbh_sock *s);
void conn_gone(void *ctx, struct vmbh_sock *s, enum vmbh_gone why);
void conn_run_ready(struct vm *vm);
extern const struct session_guest_ops conn_host_ops;

/* ---- poll.c */
void poll_start(struct vm *vm);
/* The guest's doorbells are needed again; connections that have something by
 * now get a turn. */
void poll_release(struct vm *vm);

/* ---- filter.c */
/** filter_rule() - add @text. 0; -EINVAL: @ret_why */
int filter_rule(struct filter *f, const char *text, const char **ret_why);
int filter_new(struct filter **ret);
struct filter *filter_free(struct filter *f);
/** filter_trace() - text to @fd, packets to @pcap (both owned) */
int filter_trace(struct filter *f, int fd, int pcap);
/* The guest that late messages are of, or for, is gone. */
void filter_forget(struct filter *f);
void filter_start(struct filter *f, struct vm *vm);
/* The guest posts, the bus posts: through the filter. */
uint16_t filter_in(struct vm *vm, uint32_t vp, uint32_t connection,
		   uint32_t type, const uint8_t *payload, size_t len);
int filter_out(void *ctx, uint32_t vp, const void *message, size_t len);

#endif /* VMBUS_VM_H */
