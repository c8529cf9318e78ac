/* SPDX-License-Identifier: MIT */
/*
 * guest.h - a guest without a machine: VMBus and hv_sock as a Linux kernel
 * behaves towards its host
 *
 * It has memory, whose pages it hands out in no order; per processor a message
 * page and an event page; a bus driver and a socket driver. What it asks of the
 * hypervisor goes through struct vg_ops: the library under test may be called
 * at once, or be in another process.
 *
 * Nothing blocks. vg_interrupt() does what the handler of SINT 2 does,
 * vg_work() what the kernel's workers do next. A program in the guest is the
 * test: it calls vg_connect(), vg_send() and so on, and, as programs that
 * sleep, goes on only when vg_woken() says so.
 *
 * The rings are written and read here by code of its own, from the guest's side
 * of the same rules. vg_fault counts what a real guest would complain of.
 */
#ifndef TESTS_VMBUS_GUEST_H
#define TESTS_VMBUS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VG_PAGE 4096u
#define VG_VPS 4u
#define VG_RELIDS 2048u
#define VG_DEFAULT_RING 24576u /* data bytes */
#define VG_MAX_RING 262144u

struct vg;
struct vg_sock;

struct vg_ops {
	/* hypercalls: their results */
	uint16_t (*post)(void *ctx, uint32_t vp, uint32_t connection,
			 uint32_t type, const void *payload, size_t len);
	uint16_t (*signal)(void *ctx, uint32_t connection, uint16_t flag);
	/* EOM was written on @vp */
	void (*eom)(void *ctx, uint32_t vp);
};

/* One ring of a channel, as the guest sees it. */
struct vg_ring {
	uint32_t *control; /* 1,024 words */
	uint8_t **page;	   /* of data */
	uint32_t size;
	uint32_t priv; /* reading: where it is; the index comes when all is */
};

enum vg_chan_state {
	VG_OFFERED, /* no driver took it */
	VG_GPADL,   /* waits for GPADL_CREATED */
	VG_OPENING, /* waits for OPEN_CHANNEL_RESULT */
	VG_OPEN,
	VG_TEARDOWN, /* waits for GPADL_TORNDOWN */
};

struct vg_chan {
	struct vg *g;
	uint32_t relid, connection;
	uint8_t type[16], instance[16];
	uint16_t flags;
	bool hvsock, accept, rescinded;
	enum vg_chan_state state;
	uint32_t gpadl, vp;
	uint32_t pages, downstream;
	uint32_t *page;		/* numbers of guest pages */
	struct vg_ring out, in; /* guest to host, host to guest */
	struct vg_sock *sock;
	bool probe; /* its driver will look at it */
	bool late;  /* OPEN_CHANNEL_RESULT is there, nobody has run yet */
	uint32_t next_vp;
	bool batched; /* a driver that masks while it reads */
	bool rung;    /* the callback ran */
};

enum vg_sock_state {
	VG_CONNECTING,
	VG_ESTABLISHED,
	VG_CLOSED, /* by the host: rescinded, or never connected */
};

struct vg_sock {
	struct vg_sock *next;
	struct vg *g;
	struct vg_chan *chan;
	enum vg_sock_state state;
	uint32_t local, remote; /* ports */
	uint32_t sndbuf, rcvbuf;
	bool from_host, accepted;
	bool fin_sent, fin_seen;
	bool timed_out;
	bool program_gone; /* closed by the program; the kernel lingers */
	bool woken;
	uint64_t deadline; /* of connect, of lingering */
	/* the packet that is being read */
	bool have;
	uint32_t data, len, total, off;
};

struct vg_listener {
	struct vg_listener *next;
	uint32_t port, backlog, waiting;
	uint32_t sndbuf, rcvbuf;
};

struct vg_out {
	struct vg_out *next;
	uint32_t connection;
	size_t len;
	uint8_t data[240];
};

struct vg {
	const struct vg_ops *ops;
	void *ctx;
	uint8_t *ram;
	uint32_t npages;
	uint32_t *free, nfree;
	bool in_order; /* a ring's pages follow each other, as alloc_pages()
			* would have them */
	uint32_t message_page[VG_VPS], event_page[VG_VPS];
	bool owns_ram;
	uint64_t now; /* ns */
	uint32_t seed;

	/* who opens a channel sleeps until vg_work() */
	bool lazy_open;
	uint32_t late;
	/* what the guest would like */
	bool propose_6_0;
	uint32_t max_version;		  /* as the module parameter; 0: all */
	uint32_t vp;			  /* that messages shall come to */
	uint64_t connect_timeout, linger; /* ns: 2 s, 8 s */

	bool loaded;	/* a version was negotiated */
	bool unloading; /* UNLOAD is out */
	bool failed;	/* no version */
	bool all_offers;
	unsigned int trial;
	uint32_t version, connection;
	struct vg_chan *chans[VG_RELIDS];
	uint32_t nchans;
	uint32_t probes; /* channels that no driver has looked at */
	struct vg_sock *socks;
	struct vg_listener *listeners;
	uint32_t next_gpadl, next_port;
	struct vg_out *out, **out_end; /* posts that are to be tried again */
	uint32_t modify_waiting;

	/* seen */
	uint64_t offers, rescinds, released, interrupts, signals, posts,
		retries;
	uint64_t tl_results, opened, open_failed, gpadl_failed;
	/* what a real guest would warn of or break on; must stay 0 */
	uint64_t fault;
	const char *fault_text;
};

/**
 * vg_new() - @npages of memory: @ram, or its own if that is NULL
 * @seed:	of the order of pages, and all else that is random
 */
struct vg *vg_new(uint8_t *ram, uint32_t npages, uint32_t seed,
		  const struct vg_ops *ops, void *ctx);
void vg_free(struct vg *g);
uint32_t vg_random(struct vg *g);
void *vg_page(const struct vg *g, uint32_t page);
/* A page number for good, not in the lists; UINT32_MAX: none left. */
uint32_t vg_alloc_page(struct vg *g);
void vg_free_page(struct vg *g, uint32_t page);
uint32_t vg_free_pages(const struct vg *g);
/* g->in_order: the lowest come next. */
void vg_sort_pages(struct vg *g);

/* ---- the bus driver */

/* Load: propose versions, and ask for offers. Done when g->loaded or failed. */
void vg_load(struct vg *g);
/* Unload, as rmmod does: done when neither loaded nor unloading. */
void vg_unload(struct vg *g);
/* The machine, or another kernel, starts afresh; nothing is said to the host.
 * All sockets are gone. */
void vg_reboot(struct vg *g);
/* SINT 2 on @vp. */
void vg_interrupt(struct vg *g, uint32_t vp);
/* What workers do: posts that failed are tried again, deadlines. Return: there
 * may be more to do. */
bool vg_work(struct vg *g, uint64_t now);
/* HvPostMessage, in order, tried again on status 19. */
void vg_post(struct vg *g, const void *message, size_t len);
/* The administrator moves a channel to another processor. */
void vg_modify(struct vg *g, struct vg_chan *c, uint32_t vp);
/* Unbind a driver, as by sysfs. */
void vg_unbind(struct vg *g, struct vg_chan *c);
void vg_fault(struct vg *g, const char *text);

/* ---- a driver of any channel: tests of integration components */

/* Open with rings of @pages each, the control page included. */
void vg_chan_open(struct vg_chan *c, uint32_t pages_out, uint32_t pages_in);
void vg_chan_close(struct vg_chan *c);
/* Return: 0 or -EAGAIN */
int vg_chan_send(struct vg_chan *c, const void *payload, size_t len,
		 uint64_t transaction);
/* Return: payload bytes or -EAGAIN */
ssize_t vg_chan_recv(struct vg_chan *c, void *buf, size_t size,
		     uint64_t *ret_transaction);
struct vg_chan *vg_chan_by_type(struct vg *g, const void *guid);

/* ---- sockets */

void vg_listen(struct vg *g, uint32_t port, uint32_t backlog);
void vg_unlisten(struct vg *g, uint32_t port);
struct vg_sock *vg_accept(struct vg *g, uint32_t port); /* NULL: none waits */
/* @local 0: any. The program learns the outcome from its state. */
struct vg_sock *vg_connect(struct vg *g, uint32_t local, uint32_t remote,
			   uint32_t sndbuf, uint32_t rcvbuf);
/* Return: bytes, -EAGAIN, -EPIPE, -ENOTCONN */
ssize_t vg_send(struct vg_sock *s, const void *buf, size_t len);
/* Return: bytes, 0: end, -EAGAIN, -EIO */
ssize_t vg_recv(struct vg_sock *s, void *buf, size_t len);
void vg_shutdown(struct vg_sock *s); /* SHUT_WR */
void vg_close(struct vg_sock *s);    /* @s must not be used any more */
/* Was the program woken since the last call? */
bool vg_woken(struct vg_sock *s);
/* Sockets that the kernel still has, and how many were closed by programs. */
uint32_t vg_socks(const struct vg *g, uint32_t *ret_lingering);

/* guest-ring.c, for guest.c and guest-sock.c */
void vg_ring_init(struct vg_ring *r);
uint32_t vg_ring_to_write(const struct vg_ring *r);
uint32_t vg_ring_to_read(const struct vg_ring *r);
void vg_ring_copy_in(struct vg_ring *r, uint32_t at, const void *buf,
		     uint32_t len);
void vg_ring_copy_out(const struct vg_ring *r, uint32_t at, void *buf,
		      uint32_t len);
/* One packet. Return: 0 or -EAGAIN; *@ret_signal: the host wants to know. */
int vg_ring_write(struct vg_ring *r, const void *head, uint32_t head_len,
		  const void *buf, uint32_t len, uint64_t transaction,
		  bool *ret_signal);
/* The packet at r->priv. Return: its length without trailer, 0: none. */
uint32_t vg_ring_first(struct vg_ring *r, uint8_t head[16]);
void vg_ring_next(struct vg_ring *r, uint32_t len);
/* All was read: the index, and whether the host waits for room. */
bool vg_ring_commit(struct vg_ring *r);

/* guest-sock.c, for guest.c */
void vg_sock_offered(struct vg_chan *c);
void vg_sock_opened(struct vg_chan *c, bool good);
void vg_sock_rescinded(struct vg_chan *c);
void vg_sock_event(struct vg_chan *c);
bool vg_sock_work(struct vg *g);
void vg_sock_reset(struct vg *g);   /* programs still have their sockets */
void vg_sock_end_all(struct vg *g); /* programs are gone too */
/* guest.c, for guest-sock.c */
void vg_chan_remove(struct vg_chan *c);
void vg_signal(struct vg_chan *c);

#endif /* TESTS_VMBUS_GUEST_H */
