/* SPDX-License-Identifier: MIT */
/*
 * internal.h - the state of a bus, and what its parts call of each other
 *
 * struct vmbh		the bus: connection, queue of messages, tables
 * struct chan		one relid that the guest may know, from its OFFER to
 *			its RELID_RELEASED
 * struct vmbh_sock	one hv_sock connection; has a chan once it is offered
 * struct vmbh_channel	what vmbh_channel_offer() made; has a chan while offered
 *
 * A public call is wrapped in enter() and leave(). The outermost leave() tells
 * what ended (ops->gone), posts messages, and only then frees connections and
 * channels, so that a callback may end whatever it likes while its callers are
 * still at work on it. A struct chan is freed at once: who may end one looks it
 * up again.
 *
 * The messages that no lack of memory may lose are not allocated: OFFER,
 * RESCIND and OPEN_RESULT are entries inside the chan, written out when a slot
 * is free; answers come from spare entries that are there before a message of
 * the guest is accepted.
 */
#ifndef VMBUS_INTERNAL_H
#define VMBUS_INTERNAL_H

#include <sys/queue.h>
#include <vmbus-host.h>

#include "vmbus/message.h"
#include "vmbus/ring.h"

#define BUCKETS 256u
#define SPARES 4u
#define GPADLS_PER_CHANNEL 64u
#define GPADLS_GROWING 256u

#define PORT_CLASSIC 1u /* connection ids of HvPostMessage */
#define PORT_MULTI 4u

#define MS 1000000ull

/* ---- messages on their way */

enum entry_kind { ENTRY_PLAIN, ENTRY_OFFER, ENTRY_RESCIND, ENTRY_OPEN_RESULT };

struct entry {
	TAILQ_ENTRY(entry) link;
	struct chan *chan; /* of all but PLAIN */
	uint8_t kind;
	bool queued;
};

struct plain {
	struct entry e;
	uint8_t len;
	uint8_t data[VMBH_MESSAGE_MAX];
};

/* ---- guest pages */

struct gpadl {
	LIST_ENTRY(gpadl) link;	   /* of the chan */
	LIST_ENTRY(gpadl) growing; /* bodies are missing */
	struct chan *chan;
	uint32_t id;
	uint32_t byte_count, byte_offset;
	uint32_t pages, have; /* have < pages: growing */
	bool used;	      /* a ring lies in it */
	uint64_t *gfn;	      /* pages */
	void **map;	      /* pages; NULL while growing */
};

struct rings {
	struct gpadl *gpadl;
	uint32_t downstream;
	struct ring_in in;
	struct ring_out out;
	struct ring_page pages[]; /* of both rings' data */
};

/* ---- channels */

enum chan_state { CHAN_OFFERED, CHAN_OPENING, CHAN_OPEN, CHAN_REVOKED };

struct chan {
	struct vmbh *h;
	struct chan *next; /* in its bucket */
	uint32_t relid;
	uint32_t target_vp, open_id, open_status;
	enum chan_state state;
	bool recovered;	 /* its GUIDs are not known */
	bool for_device; /* recovered: an integration component's */
	bool accept;	 /* hv_sock: the host has asked */
	GUID type, instance;
	LIST_HEAD(, gpadl) gpadls;
	unsigned int ngpadls;
	struct rings *rings;
	struct vmbh_sock *sock;
	struct vmbh_channel *device;
	struct entry offer, rescind, result;
};

enum sock_state {
	SOCK_DELAYED, /* its endpoint's last channel is not released */
	SOCK_OFFERED,
	SOCK_ASKED, /* opened by the guest; ops->connect() is to be answered */
	SOCK_OPEN,
	SOCK_SETTLING, /* closed here; the guest may not be past its open yet */
	SOCK_DEAD,
};

/* To a connect() that came before the guest has opened. */
enum sock_answer { ANSWER_NONE, ANSWER_ACCEPT, ANSWER_REFUSE };

enum timer { TIMER_OPEN, TIMER_UNSTICK, TIMER_LINGER, TIMER_SETTLE };

struct vmbh_sock {
	TAILQ_ENTRY(vmbh_sock) link; /* of h->socks, h->gone or h->graves */
	TAILQ_ENTRY(vmbh_sock) delayed;
	struct vmbh *h;
	struct chan *chan;
	GUID service, endpoint;
	void *user;
	uint64_t tag;
	uint64_t due;	       /* 0: no timer */
	uint32_t heap;	       /* place in h->heap */
	uint32_t linger_read;  /* the read index when the timer began */
	uint64_t settle_until; /* then it is rescinded in any case */
	enum timer timer;
	enum sock_state state;
	enum sock_answer answer;
	enum vmbh_gone why;
	bool from_host;
	bool told;    /* the embedder knows it */
	bool ending;  /* in h->gone */
	bool blocked; /* writable() is owed */
	bool moved;   /* something was produced */
};
TAILQ_HEAD(sock_list, vmbh_sock);

struct vmbh_channel {
	TAILQ_ENTRY(vmbh_channel) link; /* of h->devices or h->device_graves */
	struct vmbh *h;
	struct chan *chan;
	struct vmbh_offer offer;
	const struct vmbh_channel_ops *ops;
	void *ctx;
	bool held; /* not offered before the guest connects anew */
	bool dead;
};
TAILQ_HEAD(device_list, vmbh_channel);

struct vmbh {
	struct vmbh_config config;
	const struct vmbh_ops *ops;
	void *ctx;
	unsigned int depth;
	bool busy; /* leave() has something to do */
	uint64_t now;
	uint64_t complain_until;
	unsigned int complaints;

	uint32_t version; /* 0: no connection */
	uint32_t target_vp;
	bool offers_requested;
	bool ready_told;

	TAILQ_HEAD(, entry) queue;
	uint32_t queued;
	uint32_t promised; /* messages that are taken in any case */
	bool slot_taken; /* until vmbh_slot_free() */
	TAILQ_HEAD(, entry) spare;
	unsigned int nspare;

	struct chan *relids[VMBH_RELIDS];
	struct chan *buckets[BUCKETS];
	uint32_t nchans, nopen, nunreleased, nrecovered_devices;
	uint32_t lowest; /* no relid below is free */

	LIST_HEAD(, gpadl) growing;
	uint32_t ngrowing, ngpadls;
	uint64_t gpadl_pages;

	struct sock_list socks, gone, graves, delayed;
	uint32_t nsocks;
	uint32_t nconnects; /* of the guest, not open yet */
	struct device_list devices, device_graves;

	struct vmbh_sock **heap; /* by due */
	uint32_t nheap, heap_cap;

	struct vmbh_counters counters; /* those that only grow */
	uint8_t *journal;
	uint32_t owed; /* JOURNAL_* */
};

/* ---- bus.c */

static inline void enter(struct vmbh *h)
{
	h->depth++;
}
void leave(struct vmbh *h);
bool version_known(uint32_t version);
/* One sentence about the guest, counted, and told unless there were many. */
void complain(struct vmbh *h, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Everything that the guest knows is forgotten. */
void bus_forget(struct vmbh *h);
void bus_tell_ready(struct vmbh *h);

/* ---- queue.c */

/* Answers of one message have memory. */
bool queue_reserve(struct vmbh *h);
int queue_plain(struct vmbh *h, const uint8_t *message, size_t len);
void queue_entry(struct vmbh *h, struct entry *e);
void queue_unlink(struct vmbh *h, struct entry *e);
void queue_clear(struct vmbh *h);
void queue_free(struct vmbh *h);
void queue_flush(struct vmbh *h);
int queue_words(struct vmbh *h, uint32_t type, unsigned int n, uint32_t a,
		uint32_t b, uint32_t c);

/* ---- gpadl.c */

void gpadl_header(struct vmbh *h, const uint8_t *m, size_t len);
void gpadl_body(struct vmbh *h, const uint8_t *m, size_t len);
void gpadl_teardown(struct vmbh *h, const uint8_t *m);
struct gpadl *gpadl_find(struct chan *c, uint32_t id);
void gpadl_free(struct vmbh *h, struct gpadl *g);
void gpadl_free_all(struct vmbh *h, struct chan *c);
/* For vmbh_load(): as gpadl_header() and bodies. Return: 0 or -errno. */
int gpadl_new(struct chan *c, uint32_t id, uint32_t byte_count,
	      uint32_t byte_offset, uint32_t pages, struct gpadl **ret);
/* One more page frame; after the last one it is mapped. Return: 0, -EFAULT,
 * -ENOMEM. */
int gpadl_add(struct vmbh *h, struct gpadl *g, uint64_t gfn);
int gpadl_map(struct vmbh *h, struct gpadl *g);
void gpadl_unmap(struct vmbh *h, struct gpadl *g);

/* ---- channel.c */

struct chan *chan_by_relid(struct vmbh *h, uint32_t relid);
/* A free relid, 0: none. */
uint32_t chan_free_relid(struct vmbh *h);
struct chan *chan_new(struct vmbh *h, uint32_t relid, const GUID *type,
		      const GUID *instance);
/* Not offered yet: queue the OFFER. */
void chan_offer(struct chan *c);
/* Forget it, and all that is queued for it. Owners were told before. */
void chan_free(struct chan *c);
/* Stop using it, RESCIND, wait for the release. @c may be free afterwards. */
void chan_revoke(struct chan *c);
bool chan_instance_busy(struct vmbh *h, const GUID *instance);
struct chan *chan_by_instance(struct vmbh *h, const GUID *instance);
void chan_open(struct vmbh *h, const uint8_t *m);
void chan_close(struct vmbh *h, uint32_t relid);
void chan_modify(struct vmbh *h, uint32_t relid, uint32_t vp);
void chan_released(struct vmbh *h, uint32_t relid);
void chan_result(struct chan *c, uint32_t status);
void chan_signal(const struct chan *c);
int chan_map_rings(struct chan *c, struct gpadl *g, uint32_t downstream,
		   struct rings **ret);
/* The pages are elsewhere in host memory now. */
void chan_remap_rings(struct chan *c);
void chan_drop_rings(struct chan *c);
void chan_set_state(struct chan *c, enum chan_state state);
/* What waited for a release, or for a new connection, is offered. */
void chan_offer_waiting(struct vmbh *h);

/* ---- sock.c */

void sock_request(struct vmbh *h, const uint8_t *m);
void sock_opened(struct vmbh_sock *s);
/* With config.connect_early: the guest has been offered what it asked for. */
void sock_connect_early(struct vmbh_sock *s);
/* Over: gone() follows if the embedder knows it. The chan is not touched. */
void sock_end(struct vmbh_sock *s, enum vmbh_gone why);
/* Over, and its channel is revoked. */
void sock_fail(struct vmbh_sock *s, enum vmbh_gone why);
void sock_signalled(struct vmbh_sock *s);
void sock_timer(struct vmbh_sock *s);
/* Over, but its channel is revoked only when sock_settled(). */
void sock_settle(struct vmbh_sock *s);
/* sock-data.c: is the guest's program past its connect()? */
bool sock_settled(const struct vmbh_sock *s);
/* Is its kernel past the open? */
bool sock_half_settled(const struct vmbh_sock *s);
struct vmbh_sock *sock_new(struct vmbh *h, bool from_host, const GUID *service,
			   const GUID *endpoint);
void sock_free(struct vmbh_sock *s);
void sock_set_state(struct vmbh_sock *s, enum sock_state state);
void sock_retry_delayed(struct vmbh *h);
/* sock-data.c */
void sock_check_linger(struct vmbh_sock *s);
/* After vmbh_load(): FINs that wait; those whose rings are not right go. */
void sock_restore_all(struct vmbh *h);

/* ---- device.c */

void device_offer(struct vmbh_channel *d);
void device_opened(struct vmbh_channel *d);
void device_closed(struct vmbh_channel *d);
/* Its channel is revoked, and offered when the guest connects anew. */
void device_fail(struct vmbh_channel *d);

/* ---- timer.c */

bool timer_reserve(struct vmbh *h, uint32_t n);
void timer_set(struct vmbh_sock *s, enum timer timer, uint64_t ms);
void timer_set_due(struct vmbh_sock *s, enum timer timer, uint64_t due);
void timer_clear(struct vmbh_sock *s);

/* ---- journal.c */

#define JOURNAL_OFFERS 1u /* bits of its flags */
#define JOURNAL_VERSION 2u
#define JOURNAL_UNLOAD 4u
void journal_connection(struct vmbh *h);
void journal_relid(struct vmbh *h, uint32_t relid, bool known, bool device);
void journal_owed(struct vmbh *h, uint32_t type, bool owed);

#endif /* VMBUS_INTERNAL_H */
