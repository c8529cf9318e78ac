/* SPDX-License-Identifier: MIT */
/*
 * vmbus-host.h - the host's side of Hyper-V's VMBus, as a library for VMMs
 *
 * One struct vmbh is the bus of one virtual machine: version negotiation,
 * offers, GPADLs, channels, rings, and hv_sock connections over them. It is a
 * state machine: it has no thread, no descriptor, no clock and no lock of its
 * own. Whoever embeds it
 *
 *   - hands it what the guest does: vmbh_post_message(), vmbh_signal_event(),
 *     vmbh_slot_free(), vmbh_reset();
 *   - does what it asks through struct vmbh_ops: put a message into a slot,
 *     ring a doorbell, find guest pages;
 *   - calls vmbh_time() not later than vmbh_deadline().
 *
 * All calls on one struct vmbh come from one thread at a time. No call blocks.
 * Callbacks are made from within calls; a callback may call any function here
 * but vmbh_free(), vmbh_reset(), vmbh_save(), vmbh_load() and vmbh_recover().
 *
 * The guest is hostile: whatever it sends or writes costs it its channels at
 * most. Lengths and indices in its memory are read once, checked, then used.
 *
 * "[n]" points to the section of docs/vmbus.md that has the rule; message and
 * field names are those of the Linux kernel and of the published protocol.
 * Functions that can fail return 0 or a negative errno. All are documented in
 * libvmbus-host(3) too.
 */
#ifndef VMBUS_HOST_H
#define VMBUS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <hvsocket.h> /* GUID */

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define VMBH_MESSAGE_MAX 240u /* bytes of one control message */
#define VMBH_RELIDS 2048u     /* relids are 1 ... 2047 */
#define VMBH_SINT 2u	      /* the interrupt source that VMBus uses */
#define VMBH_PAGE 4096u

/* What INITIATE_CONTACT proposes: major << 16 | minor. */
#define VMBH_VERSION_4_0 0x00040000u
#define VMBH_VERSION_4_1 0x00040001u
#define VMBH_VERSION_5_0 0x00050000u
#define VMBH_VERSION_5_1 0x00050001u
#define VMBH_VERSION_5_2 0x00050002u
#define VMBH_VERSION_5_3 0x00050003u

/* Results of hypercalls, as the guest gets them in RAX. */
enum vmbh_status {
	VMBH_SUCCESS = 0,
	VMBH_INVALID_PARAMETER = 5,
	VMBH_INVALID_CONNECTION_ID = 18,
	VMBH_INSUFFICIENT_BUFFERS = 19, /* the guest tries again */
};

struct vmbh;	     /* the bus of one virtual machine */
struct vmbh_channel; /* something offered to the guest */
struct vmbh_sock;    /* one hv_sock connection */

/* Why a connection is gone. */
enum vmbh_gone {
	VMBH_GONE_TIMEOUT,  /* not opened, or connect() not answered, in time */
	VMBH_GONE_CLOSED,   /* the guest closed the channel */
	VMBH_GONE_UNLOADED, /* UNLOAD, a new INITIATE_CONTACT, vmbh_reset() */
	VMBH_GONE_CORRUPT,  /* the guest's ring or packet was malformed */
	VMBH_GONE_LINGER,   /* the guest's program is gone and nobody reads */
	VMBH_GONE_MEMORY,   /* no memory here, or its pages are gone */
	VMBH_GONE_RESCINDED, /* vmbh_rescind() */
};

/**
 * struct vmbh_ops - what the bus asks of whoever embeds it
 *
 * @ctx is what vmbh_new() was given. Members that are marked "optional" may be
 * NULL.
 */
struct vmbh_ops {
	/* ---- the virtual machine */

	/* Put a control message of @len bytes (at most VMBH_MESSAGE_MAX) into
	 * the slot of SINT 2 of virtual processor @vp and raise SINT 2 there
	 * (vmbh_slot_put() does the first). Return: 0; -EAGAIN: the slot is
	 * taken, and the guest has been told by the pending flag to say when it
	 * is free; -ENXIO: that processor has no message page now. In both
	 * cases the bus keeps the message until vmbh_slot_free(). */
	int (*post)(void *ctx, uint32_t vp, const void *message, size_t len);
	/* Doorbell: set event flag @relid of SINT 2 of @vp (vmbh_event_set()),
	 * and raise SINT 2 if it was clear. */
	void (*signal)(void *ctx, uint32_t vp, uint32_t relid);
	/* The host's address of guest page frame @gfn, VMBH_PAGE bytes that
	 * stay there until unmap(); NULL: it is no memory. */
	void *(*map)(void *ctx, uint64_t gfn);
	/* optional */
	void (*unmap)(void *ctx, uint64_t gfn, void *page);
	/* @len bytes at guest address @gpa, within one page, have been written
	 * (dirty logging). Optional. */
	void (*written)(void *ctx, uint64_t gpa, size_t len);
	/* @len random bytes: instance GUIDs are made from them. */
	void (*random)(void *ctx, void *buf, size_t len);

	/* ---- hv_sock */

	/* The guest has opened a connection to @service, from its end
	 * @endpoint. vmbh_sock_accept() or vmbh_sock_refuse() answers it, at
	 * once or later; a Linux guest's program waits until then, also beyond
	 * its own timeout, and open_guest_ms refuses it [5]. With
	 * connect_early it has asked for it, and opens it in a moment. */
	void (*connect)(void *ctx, struct vmbh_sock *s, const GUID *service,
			const GUID *endpoint);
	/* The guest has taken what vmbh_sock_connect() began; with
	 * connect_early also: what vmbh_sock_accept() accepted is there. */
	void (*connected)(void *ctx, struct vmbh_sock *s);
	/* There may be data, or the guest's FIN, to vmbh_sock_peek(). */
	void (*readable)(void *ctx, struct vmbh_sock *s);
	/* There is room after vmbh_sock_room() had found too little. */
	void (*writable)(void *ctx, struct vmbh_sock *s);
	/* @s is over and must not be used after this returns. Not called for
	 * what vmbh_sock_refuse() or vmbh_sock_close() ended. */
	void (*gone)(void *ctx, struct vmbh_sock *s, enum vmbh_gone why);

	/* ---- optional */

	/* Is hv_sock usable: has the guest asked for offers, with 4.0 or
	 * newer? Called when that changes. */
	void (*ready)(void *ctx, bool ready);
	/* May the guest be offered a channel to @service? NULL: yes. If not,
	 * it gets TL_CONNECT_RESULT (which Linux ignores) and no offer. */
	bool (*admit)(void *ctx, const GUID *service, const GUID *endpoint);
	/* One control message on its way, for a trace. */
	void (*trace)(void *ctx, bool from_guest, uint32_t vp,
		      const void *message, size_t len);
	/* One sentence about something malformed. */
	void (*complain)(void *ctx, const char *sentence);
};

/** struct vmbh_config - zero in a member means the default given with it */
struct vmbh_config {
	uint32_t max_version;	  /* VMBH_VERSION_5_3 */
	uint32_t max_channels;	  /* 2047, which is also the most */
	uint32_t max_gpadl_pages; /* 65536, of all of the guest's GPADLs */
	uint32_t max_connects;	  /* 16 guest connects that are not open yet */
	uint32_t max_input;	  /* 64 messages out before 19 is answered */
	uint32_t open_guest_ms;	  /* 5000: a guest's connect to be opened */
	uint32_t open_host_ms;	  /* 2000: the same of the host's */
	uint32_t linger_ms;	  /* 10000: a full ring that nobody reads */
	uint32_t packet;	  /* 8192: payload of a packet, 1 ... 16384 */
	bool connect_early;	  /* ops->connect() when the guest asks, before
				   * it has opened: the other end is looked for
				   * meanwhile, and connected() tells */
};

/**
 * vmbh_new() - a bus without connection
 * @config:	copied; NULL: defaults
 * @ops:	borrowed, for the bus's life
 *
 * Return: 0; -ENOMEM; -EINVAL (a limit out of range).
 */
int vmbh_new(const struct vmbh_config *config, const struct vmbh_ops *ops,
	     void *ctx, struct vmbh **ret);
/** vmbh_free() - guest pages are unmapped; no callback but unmap(). Return:
 * NULL. NULL is fine */
struct vmbh *vmbh_free(struct vmbh *h);

/* ---- what the guest does [2] */

/**
 * vmbh_post_message() - hypercall HvPostMessage
 * @vp:		the virtual processor that called
 * @connection:	24 bits
 * @type:	1 for VMBus
 * @payload:	@len bytes, a copy that the guest cannot change; @len as the
 *		guest gave it, also if it is more than VMBH_MESSAGE_MAX
 *
 * Return: the hypercall's result, enum vmbh_status.
 */
uint16_t vmbh_post_message(struct vmbh *h, uint32_t vp, uint32_t connection,
			   uint32_t type, const void *payload, size_t len);
/**
 * vmbh_promise() - the next messages are taken, whatever is queued by then
 * @messages:	so many at most
 *
 * For a VMM that lets the guest go on before it has this result: of so many
 * messages that vmbh_post_message() finds well formed none is answered
 * VMBH_INSUFFICIENT_BUFFERS. Replaces an earlier promise; vmbh_reset() ends it,
 * and it is not part of the saved state.
 * Return: how many there is room for now, 0 ... @messages.
 */
uint32_t vmbh_promise(struct vmbh *h, uint32_t messages);
/** vmbh_signal_event() - hypercall HvSignalEvent, or a descriptor that stands
 * for it. Return: enum vmbh_status */
uint16_t vmbh_signal_event(struct vmbh *h, uint32_t connection, uint16_t flag);
/** vmbh_slot_free() - the message slot of @vp may be free (EOM, EOI), or it has
 * a message page again */
void vmbh_slot_free(struct vmbh *h, uint32_t vp);
/** vmbh_reset() - the machine was reset: all is forgotten, nothing is sent;
 * gone(VMBH_GONE_UNLOADED) for each connection. Offers of
 * vmbh_channel_offer() stay, to be made again */
void vmbh_reset(struct vmbh *h);

/** vmbh_pages_changed() - guest memory was mapped anew: every page is looked up
 * again; a channel whose pages are no memory any more is gone */
void vmbh_pages_changed(struct vmbh *h);

/* ---- time: nanoseconds of any monotonic clock */

/** vmbh_time() - it is @now; what is due happens */
void vmbh_time(struct vmbh *h, uint64_t now);
/** vmbh_deadline() - when vmbh_time() is to be called next; 0: never */
uint64_t vmbh_deadline(const struct vmbh *h);

/* ---- facts */

/** vmbh_version() - negotiated; 0: no connection */
uint32_t vmbh_version(const struct vmbh *h);
/** vmbh_ready() - see struct vmbh_ops */
bool vmbh_ready(const struct vmbh *h);
/** vmbh_target_vp() - where control messages go */
uint32_t vmbh_target_vp(const struct vmbh *h);
/** vmbh_connection_id() - of HvSignalEvent for @relid: relid + 0x2000 */
uint32_t vmbh_connection_id(uint32_t relid);

struct vmbh_counters {
	uint32_t channels;    /* offered, open, or not released yet */
	uint32_t unreleased;  /* rescinded and not released by the guest */
	uint32_t open;	      /* channels that the guest has open */
	uint32_t gpadls;
	uint64_t gpadl_pages;
	uint32_t queued;      /* control messages not yet in a slot */
	uint64_t messages_in, messages_out, refused, signals_in, signals_out;
	uint64_t malformed;   /* messages ignored, rings given up */
};
void vmbh_counters(const struct vmbh *h, struct vmbh_counters *ret);

/* ---- hv_sock connections [5] */

/**
 * vmbh_sock_connect() - offer the guest a connection to its @service
 * @user:	vmbh_sock_user() from then on
 * @timeout_ms:	0: open_host_ms
 *
 * connected() or gone() follows. Return: 0; -ENETDOWN (vmbh_ready() is false),
 * -ENOBUFS (no relid is free), -EINVAL (not in the VSOCK template, which is
 * all that Linux takes), -ENOMEM.
 */
int vmbh_sock_connect(struct vmbh *h, const GUID *service, void *user,
		      uint32_t timeout_ms, struct vmbh_sock **ret);
/** vmbh_sock_accept(), vmbh_sock_refuse() - answer ops->connect(). Refused, @s
 * is over; the guest's program sees ETIMEDOUT after its own 2 s, which no host
 * can shorten [5] */
void vmbh_sock_accept(struct vmbh_sock *s);
void vmbh_sock_refuse(struct vmbh_sock *s);

/**
 * vmbh_sock_peek() - where the guest's data are
 * @iov:	room for @max entries, at least 2
 * @ret_n:	entries used
 *
 * The bytes stay in the guest's ring, and may change under the reader, until
 * vmbh_sock_consume(). Calling it again describes the same bytes, and more.
 * When nothing is there the guest is asked to ring for more.
 * Return: bytes described; 0: nothing now, or, if vmbh_sock_eof(), for ever;
 * -EPROTO: malformed, gone(VMBH_GONE_CORRUPT) has been called or will be at
 * the end of the outermost call.
 */
ssize_t vmbh_sock_peek(struct vmbh_sock *s, struct iovec *iov,
		       unsigned int max, unsigned int *ret_n);
/** vmbh_sock_consume() - the first @bytes of what peek() described have been
 * read. Whole packets are given back to the guest, which is told if it waits
 * for room. With 0, nothing happens */
void vmbh_sock_consume(struct vmbh_sock *s, size_t bytes);
/** vmbh_sock_eof() - has the guest's FIN been reached by peek()? */
bool vmbh_sock_eof(const struct vmbh_sock *s);

/**
 * vmbh_sock_room() - where bytes for the guest may be put
 * @want:	more than that are not asked for; 0: as many as fit
 *
 * Return: bytes that fit; 0 if none: writable() then follows; -EPROTO:
 * malformed, as vmbh_sock_peek().
 */
ssize_t vmbh_sock_room(struct vmbh_sock *s, struct iovec *iov,
		       unsigned int max, unsigned int *ret_n, size_t want);
/** vmbh_sock_produce() - the first @bytes of that room hold data: they are the
 * guest's now, which is told if it waits */
void vmbh_sock_produce(struct vmbh_sock *s, size_t bytes);

/**
 * vmbh_sock_hold() - the guest need not ring for now
 *
 * An embedder that goes on looking is told by vmbh_sock_pending() what
 * readable() and writable() would have told it, and the guest is spared its
 * doorbells. They may be called nevertheless. Before it sleeps, or saves, it
 * calls vmbh_sock_release(), which returns whether there is something after
 * all. (FIN that waits for room is the library's own: the guest rings for it.)
 */
void vmbh_sock_hold(struct vmbh_sock *s);
bool vmbh_sock_pending(const struct vmbh_sock *s);
bool vmbh_sock_release(struct vmbh_sock *s);

/** vmbh_sock_shutdown() - no more data: FIN goes out when there is room */
void vmbh_sock_shutdown(struct vmbh_sock *s);
/** vmbh_sock_fin_sent() - is it in the ring? */
bool vmbh_sock_fin_sent(const struct vmbh_sock *s);

/**
 * vmbh_sock_describe() - how it stands, for whoever looks for a fault
 * @buf, @size:	one line of text, without a newline; cut to fit, and ends in 0
 *
 * Relid and state; when it is open both rings: where the host is and where the
 * guest says that it is, the flow control bits of either side, and whether FIN
 * was seen and sent. The form is not fixed. Reads the guest's memory and
 * changes nothing. Return: as snprintf().
 */
int vmbh_sock_describe(const struct vmbh_sock *s, char *buf, size_t size);
/** vmbh_sock_close() - RESCIND; @s is over. What the guest has not read of the
 * host's data it can still read; what the host has not consumed is lost */
void vmbh_sock_close(struct vmbh_sock *s);

void *vmbh_sock_user(const struct vmbh_sock *s);
void vmbh_sock_set_user(struct vmbh_sock *s, void *user);
/** vmbh_sock_tag() - a number that is saved with it */
uint64_t vmbh_sock_tag(const struct vmbh_sock *s);
void vmbh_sock_set_tag(struct vmbh_sock *s, uint64_t tag);
uint32_t vmbh_sock_relid(const struct vmbh_sock *s);
/** vmbh_sock_guids() - the service, and the other end (endpoint or instance) */
void vmbh_sock_guids(const struct vmbh_sock *s, GUID *ret_service,
		     GUID *ret_endpoint);
bool vmbh_sock_from_host(const struct vmbh_sock *s);
/** vmbh_sock_ring_sizes() - data bytes of each ring: guest to host, host to
 * guest; 0 before the guest has opened it */
void vmbh_sock_ring_sizes(const struct vmbh_sock *s, size_t *ret_g2h,
			  size_t *ret_h2g);

/*
 * ---- other channels: integration components, devices [6]
 *
 * The bus carries their packets, and has no component of its own. What
 * heartbeat, shutdown, time, KVP, VSS and file copy say stands in [9], with the
 * reason; hvsocket-vmbus has them all.
 */

struct vmbh_offer {
	GUID type, instance;
	uint16_t flags;		 /* 0x0011 for integration components */
	uint8_t user_data[120];	 /* 0: pipe type (4: messages) */
};

struct vmbh_channel_ops {
	void (*opened)(void *ctx, struct vmbh_channel *c);
	void (*closed)(void *ctx, struct vmbh_channel *c);
	/* packets may be there, or room */
	void (*signalled)(void *ctx, struct vmbh_channel *c);
};

/**
 * vmbh_channel_offer() - a channel that is there until it is revoked
 *
 * It is offered when the guest asks for offers, also after it has connected
 * anew. Return: 0; -EEXIST (another one has this instance), -ENOMEM.
 */
int vmbh_channel_offer(struct vmbh *h, const struct vmbh_offer *offer,
		       const struct vmbh_channel_ops *ops, void *ctx,
		       struct vmbh_channel **ret);
/** vmbh_channel_revoke() - @c is over; the guest gets RESCIND */
void vmbh_channel_revoke(struct vmbh_channel *c);
/** vmbh_channel_read() - one packet's payload. Return: its bytes; -EAGAIN;
 * -EMSGSIZE (longer than @size; it is dropped), -EPROTO (the ring is corrupt:
 * the channel is closed), -ENOTCONN */
ssize_t vmbh_channel_read(struct vmbh_channel *c, void *buf, size_t size,
			  uint64_t *ret_transaction);
/** vmbh_channel_write() - one in-band packet. Return: 0; -EAGAIN (no room:
 * signalled() follows), -EMSGSIZE, -EPROTO, -ENOTCONN */
int vmbh_channel_write(struct vmbh_channel *c, const void *buf, size_t len,
		       uint64_t transaction);
uint32_t vmbh_channel_relid(const struct vmbh_channel *c);

/* ---- save and load [7] */

/**
 * vmbh_save() - the state, as bytes in a versioned form
 *
 * Guest memory is not part of it. The bus must not be used until the bytes
 * have been loaded, here or elsewhere. Return: bytes needed; written only if
 * they are at most @size.
 */
size_t vmbh_save(const struct vmbh *h, void *buf, size_t size);
/**
 * vmbh_load() - into a bus that is new
 * @restored:	for each established connection, with its tag; it sets the user
 *		or calls vmbh_sock_close(). Connections that were being set up
 *		are gone, from the host's side, or asked for again by connect()
 *
 * Channels of vmbh_channel_offer() must have been offered again before; those
 * that the guest has open are opened() once more. Whatever is restored may be
 * readable and writable without a doorbell.
 * Return: 0; -EINVAL (malformed), -EPROTONOSUPPORT (a version this library does
 * not know), -EFAULT (pages are not memory), -ENOMEM: the bus is then as new.
 */
int vmbh_load(struct vmbh *h, const void *buf, size_t len,
	      void (*restored)(void *ctx, struct vmbh_sock *s, uint64_t tag));

#define VMBH_JOURNAL_SIZE 4096u
/** vmbh_journal() - keep in @page (VMBH_JOURNAL_SIZE bytes of memory that
 * outlives the process; borrowed; NULL: no more) what vmbh_recover() needs */
void vmbh_journal(struct vmbh *h, void *page);
/**
 * vmbh_recover() - go on after a bus that ended without vmbh_save()
 * @page:	a copy of its journal
 *
 * Its connections are lost: each is rescinded. New ones work at once.
 * Return: 0; -EINVAL (not a journal), -ENOMEM.
 */
int vmbh_recover(struct vmbh *h, const void *page);

/* ---- faults and traces [8] */

/** vmbh_rescind() - as if the host had removed this channel. Return: 0 or
 * -ENOENT (no such relid) */
int vmbh_rescind(struct vmbh *h, uint32_t relid);
/** vmbh_send_raw() - queue any message. Return: 0, -EMSGSIZE, -ENOMEM */
int vmbh_send_raw(struct vmbh *h, const void *message, size_t len);
/** vmbh_message_name() - "OPEN_CHANNEL" for 5; NULL: unknown */
const char *vmbh_message_name(uint32_t type);
/** vmbh_message_type() - the other way round; 0: unknown */
uint32_t vmbh_message_type(const char *name);
/** vmbh_describe() - a control message as one line of text, cut to @size.
 * Return: @out */
char *vmbh_describe(const void *message, size_t len, char *out, size_t size);

/* ---- SynIC pages [2]: for VMMs that keep them in memory they can write */

/** vmbh_slot_put() - a VMBus message into the slot of SINT 2 of a message page.
 * Return: 0: raise SINT 2; -EAGAIN: taken, pending flag set; -EMSGSIZE */
int vmbh_slot_put(void *message_page, const void *payload, size_t len);
/** vmbh_event_set() - Return: must SINT 2 be raised (the flag was clear)? */
bool vmbh_event_set(void *event_page, uint32_t relid);
/** vmbh_slot_taken() - is a message there that the guest has not taken? */
bool vmbh_slot_taken(const void *message_page);
/** vmbh_events_set() - how many flags of SINT 2 has the guest not seen? */
unsigned int vmbh_events_set(const void *event_page);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* VMBUS_HOST_H */
