/* SPDX-License-Identifier: MIT */
/*
 * services.h - what the integration components say: their messages, as pure
 * functions, and what each of them has to remember
 *
 * Texts are UTF-8 here and UTF-16 in messages. What comes from a guest is
 * checked: lengths, surrogates, zeros within. docs/vmbus.md, 9, has the rules.
 */
#ifndef VMBUS_IC_SERVICES_H
#define VMBUS_IC_SERVICES_H

#include "vmbus/ic/ic.h"

/* ---- utf16.c */

/** utf16_put() - @text and its terminator, the rest of @units zero. Return: 0;
 * -EILSEQ; -ENAMETOOLONG */
int utf16_put(uint8_t *p, size_t units, const char *text);
/**
 * utf16_get() - from @bytes, which may end in one terminator
 * @size:	of @out
 *
 * Return: length; -EILSEQ (odd, half a surrogate pair, or a zero within),
 * -EMSGSIZE.
 */
int utf16_get(const uint8_t *p, size_t bytes, char *out, size_t size);

/* ---- heartbeat.c */

enum heartbeat_application {
	HEARTBEAT_UNKNOWN,
	HEARTBEAT_HEALTHY,
	HEARTBEAT_CRITICAL,
	HEARTBEAT_STOPPED,
};

struct heartbeat {
	struct ic *ic;
	uint64_t next;	   /* when one is due; 0: none is */
	uint64_t number;   /* of the one that is out */
	uint64_t answered; /* when the last answer came; 0: never */
	uint64_t sent, good, wrong;
	unsigned int missed; /* in a row */
	enum heartbeat_application application;
};

#define HEARTBEAT_MS 2000u
#define HEARTBEAT_LOST 3u /* missed in a row: no contact */

void heartbeat_ready(struct heartbeat *h);
void heartbeat_closed(struct heartbeat *h);
void heartbeat_time(struct heartbeat *h, uint64_t now);
/** heartbeat_word() - "ok", "lost", "no contact" */
const char *heartbeat_word(const struct heartbeat *h);
const char *heartbeat_application_word(const struct heartbeat *h);

/* ---- shutdown.c */

enum { SHUTDOWN_FORCE = 1, SHUTDOWN_REBOOT = 2, SHUTDOWN_HIBERNATE = 4 };
#define SHUTDOWN_BODY 2060u

/** shutdown_put() - SHUTDOWN_BODY bytes. Return: 0; -EILSEQ; -ENAMETOOLONG */
int shutdown_put(uint8_t *body, uint32_t flags, uint32_t seconds,
		 const char *text);

/* ---- timesync.c */

enum { TIMESYNC_SYNC = 1, TIMESYNC_SAMPLE = 2 };
#define TIMESYNC_MS 5000u
#define TIMESYNC_BODY 32u
#define TIMESYNC_REFERENCED IC_VERSION(4, 0)

/* The host's time, and what the guest's reference counter said then. */
struct timesync_clock {
	uint64_t wall; /* 100 ns since 1601, UTC */
	bool known;    /* is the reference? */
	uint64_t reference;
};

struct timesync {
	struct ic *ic;
	struct timesync_clock (*clock)(void *ctx);
	void *ctx;
	uint64_t next; /* 0: not READY */
	bool sync;     /* the next one sets the guest's clock */
	int64_t offset; /* of the host's clock to monotonic time, last seen */
	uint64_t syncs, samples;
};

/* A host's clock that has moved by as much is told with SYNC. */
#define TIMESYNC_STEP 10000000 /* 100 ns */

/** timesync_put() - in the form of @version, into TIMESYNC_BODY bytes. Return:
 * how many it has; -EAGAIN: that needs the reference, and it is not known */
int timesync_put(uint8_t *body, uint32_t version,
		 const struct timesync_clock *c, uint8_t flags);
void timesync_ready(struct timesync *t);
void timesync_closed(struct timesync *t);
void timesync_time(struct timesync *t, uint64_t now);
/** timesync_resumed() - the guest has not run for a while */
void timesync_resumed(struct timesync *t);

/* ---- kvp.c */

enum kvp_op { KVP_GET, KVP_SET, KVP_DELETE, KVP_ENUMERATE, KVP_GET_IP,
	      KVP_SET_IP };
enum kvp_pool { KVP_EXTERNAL, KVP_GUEST, KVP_AUTO, KVP_AUTO_EXTERNAL,
		KVP_AUTO_INTERNAL, KVP_POOLS };

/* As UTF-8, with their terminators: what Linux can take. */
#define KVP_KEY_SIZE 512u
#define KVP_VALUE_SIZE 2048u
/* and what a guest may answer with: UTF-16 of as many units as fit */
#define KVP_KEY_TEXT 1024u
#define KVP_VALUE_TEXT 4096u
#define KVP_BODY_MAX 7430u
#define KVP_ENTRIES_MAX 1024u /* that are enumerated of a pool */

struct kvp_pair {
	char key[KVP_KEY_TEXT];
	char value[KVP_VALUE_TEXT];
};

enum { KVP_IPV4 = 1, KVP_IPV6 = 2 };

struct kvp_ip {
	bool dhcp;
	unsigned int family; /* KVP_IPV4, KVP_IPV6, both */
	char adapter[3 * 128 + 1], address[3 * 1024 + 1], mask[3 * 1024 + 1];
	char gateway[3 * 512 + 1], dns[3 * 1024 + 1];
};

/** kvp_pool_of() - "external" and so on; KVP_POOLS: there is none */
enum kvp_pool kvp_pool_of(const char *name);
const char *kvp_pool_name(enum kvp_pool pool);

/** kvp_put() - GET, SET and DELETE; @value of SET only. Return: bytes; -EILSEQ;
 * -ENAMETOOLONG (key), -E2BIG (value), -EINVAL (an empty key) */
int kvp_put(uint8_t *body, enum kvp_op op, enum kvp_pool pool, const char *key,
	    const char *value);
/** kvp_put_index() - ENUMERATE. Return: bytes */
int kvp_put_index(uint8_t *body, enum kvp_pool pool, uint32_t index);
/** kvp_get() - what GET and ENUMERATE answered. Numbers become text. Return: 0;
 * -EPROTO (a length or type is wrong); -EILSEQ (text that is none) */
int kvp_get(const uint8_t *body, size_t len, enum kvp_op op,
	    struct kvp_pair *ret);
/** kvp_put_ip(), kvp_get_ip() - Return: bytes or 0; -EILSEQ, -E2BIG; -EPROTO */
int kvp_put_ip(uint8_t *body, enum kvp_op op, const struct kvp_ip *ip);
int kvp_get_ip(const uint8_t *body, size_t len, struct kvp_ip *ret);

/* ---- kvp-ip.c */

struct kvp_list {
	unsigned int count, families;
	const char *bad; /* what is no address: within the list */
	size_t bad_len;
};

/** kvp_adapter() - a GUID or a MAC address, in any of the usual spellings, as
 * Linux compares it. Return: 0; -EINVAL; -E2BIG */
int kvp_adapter(const char *text, char *out, size_t size);
/** kvp_addresses() - IPv4 and IPv6 addresses, or what can be a mask, with
 * semicolons. Return: 0; -EINVAL (ret->bad is none), @ret is set */
int kvp_addresses(const char *list, bool mask, struct kvp_list *ret);

/* ---- vss.c */

enum vss_state {
	VSS_THAWED,
	VSS_CHECKING, /* is there a daemon? */
	VSS_FREEZING,
	VSS_FROZEN,
	VSS_THAWING, /* it may be frozen, and is asked to thaw again and again
		      */
};

#define VSS_HOLD_MAX_MS 900000u /* Linux itself waits no longer */
#define VSS_AGAIN_MS 5000u	/* a thaw that failed */
#define VSS_TRIES 120u
#define VSS_TRIES_ANEW 12u /* its driver has gone, or another guest has come */
#define VSS_THAW_MS 30000u /* for one answer */

/* @a: the guest's last answer. If it says so the guest is frozen; else it is
 * thawed, or about to be. */
typedef void (*vss_done_fn)(void *arg, const struct ic_answer *a,
			    bool no_daemon);

struct vss {
	struct ic *ic;
	enum vss_state state;
	uint64_t session; /* whose freeze ends with whom; 0: nobody's */
	uint64_t thaw_at; /* FROZEN: by itself */
	uint64_t hold, due; /* of the freeze under way */
	uint64_t again;   /* THAWING: the next try; 0: one is out */
	unsigned int tries;
	vss_done_fn done; /* of a freeze, or of who waits for a thaw */
	void *arg;
};

/** vss_freeze() - freeze for @hold_ms at most. Return: 0: @done follows; -EBUSY
 * (it is not thawed); as ic_ask() */
int vss_freeze(struct vss *v, uint32_t timeout_ms, uint32_t hold_ms,
	       uint64_t session, vss_done_fn done, void *arg);
/** vss_thaw() - @done may be NULL. Return: 0; -EALREADY (it is thawed); -EBUSY;
 * -ENOTCONN (it is thawed when it can be asked, @done does not follow) */
int vss_thaw(struct vss *v, vss_done_fn done, void *arg);
/** vss_leave() - the freeze of that session ends (0: of any session) */
void vss_leave(struct vss *v, uint64_t session);
/** vss_doubt() - it may be frozen: thaw when it can be asked */
void vss_doubt(struct vss *v, unsigned int tries);
void vss_ready(struct vss *v);
void vss_closed(struct vss *v);
void vss_time(struct vss *v, uint64_t now);
uint64_t vss_deadline(const struct vss *v);

/* ---- fcopy.c */

#define FCOPY_FRAGMENT 6144u
#define FCOPY_IDLE_MS 30000u /* without a part: it is given up */
#define FCOPY_CANCELS 10u    /* that are not answered, or refused, so long */

struct fcopy_file {
	const char *name, *directory;
	uint64_t size;
	bool overwrite, create; /* the file; the directory */
};

struct fcopy {
	struct ic *ic;
	bool open;
	bool ended; /* its caller has gone */
	unsigned int cancels; /* left, with the one that is out; 0: none is */
	bool again; /* none is out, the next is sent at idle_at */
	uint64_t session;
	uint64_t size, offset;
	size_t len;	 /* of the part that is out */
	unsigned int op; /* that is out, if done is set */
	uint64_t idle_at;
	ic_done_fn done;
	void *arg;
};

/** fcopy_start() and so on: @done follows. Return: 0; -EBUSY (another copy is
 * under way, or being cancelled), -EINVAL (a name), -ENOENT (no copy of this
 * session), -EALREADY (the last part is out), -EMSGSIZE (more, or less, than
 * was told); as ic_ask() */
int fcopy_start(struct fcopy *f, const struct fcopy_file *file,
		uint64_t session, uint32_t timeout_ms, ic_done_fn done,
		void *arg);
int fcopy_write(struct fcopy *f, uint64_t session, const void *data, size_t len,
		uint32_t timeout_ms, ic_done_fn done, void *arg);
int fcopy_end(struct fcopy *f, uint64_t session, uint32_t timeout_ms,
	      ic_done_fn done, void *arg);
/** fcopy_cancel() - the guest removes the file */
int fcopy_cancel(struct fcopy *f, uint64_t session);
/** fcopy_leave() - the same, when that session (0: any) has gone */
void fcopy_leave(struct fcopy *f, uint64_t session);
/** fcopy_busy() - a file is being copied, or a part of one removed */
bool fcopy_busy(const struct fcopy *f);
void fcopy_closed(struct fcopy *f);
void fcopy_time(struct fcopy *f, uint64_t now);
uint64_t fcopy_deadline(const struct fcopy *f);

#endif /* VMBUS_IC_SERVICES_H */
