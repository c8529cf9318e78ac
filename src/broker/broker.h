/* SPDX-License-Identifier: MIT */
/*
 * broker.h - hvsocketd's parts, and who owns what
 *
 *	broker		everything; one thread (workers: offload.h)
 *	door		a partition's control socket
 *	client		one connection to a door: a program, or a transport
 *	attempt		a connect that could not be decided at once
 *	transport	an attached guest, and its relayed connections
 *	account		what a user, or a partition, holds of the broker
 *
 * The broker keeps nothing about local connections. What it keeps about
 * listeners it can read back (listeners.h), what it keeps about relayed
 * connections the transports tell it again (LIVE).
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "base/hash.h"
#include "base/ev.h"
#include "base/log.h"
#include "base/yielder.h"
#include "broker/decide.h"
#include "broker/guard.h"
#include "broker/listeners.h"
#include "proto/message.h"
#include "proto/name.h"
#include "registry/broker-file.h"
#include "registry/registry.h"

#define REASON_COUNT 24
#define HALF_OPEN_MAX 1024 /* clients that have not said HELLO */
#define OUTCOMES_MAX 4096 /* results of parked connects that are kept */

/*
 * Per user, and per partition but the host's: what one user of the host takes
 * must not be missing to the others, while a container can have as many users
 * as it likes.
 */
struct limits {
	uint32_t listeners;
	uint32_t pending; /* connects being set up */
	uint32_t clients; /* control connections */
	uint32_t volatiles; /* volatile registrations: per user */
};

/* What a user, a partition, or a user in a partition holds. */
enum account_kind { ACCOUNT_USER, ACCOUNT_PARTITION, ACCOUNT_PAIR };

struct account {
	struct {
		uint32_t kind;
		uint32_t uid;
		GUID partition;
	} key;
	UT_hash_handle hh;
	struct broker *b;
	uint32_t refs; /* clients and listeners that point here */
	uint32_t listeners, pending, clients;
	uint32_t behind; /* sockets that hvsocket-dgram has yet to fetch */
	uint32_t joined; /* of a guest: connections over its uplink */
	uint64_t wake_ns; /* not before may another attempt be woken */
	/* of a user: descriptors sent here that are yet to be closed */
	uint32_t strangers, strangers_running;
	uint32_t files; /* of a user: large replies not read yet (manage.c) */
	struct stranger *strangers_queue;
	/* of a pair: connects that the kernel may block (slow.c) */
	uint32_t slow_running;
	struct ev_timer slow; /* runs: caught clearing O_NONBLOCK */
	struct attempt *slow_queue;
	struct log_limit log_limit;
};

struct counter { /* of a service or a partition */
	GUID id;
	UT_hash_handle hh;
	uint64_t opened, refused[REASON_COUNT];
};

struct door {
	GUID partition;
	UT_hash_handle hh;
	struct broker *b;
	int fd;
	struct ev_io io;
	struct ev_timer retry; /* after EMFILE */
	struct account *account;
	uint32_t clients, listeners;
	bool gone; /* partition removed */
};

struct client {
	struct broker *b;
	struct door *door;
	int fd;
	struct ev_io io;
	uint32_t uid, gid;
	int32_t pid;
	uint32_t *groups;
	size_t ngroups;
	bool hello, dead, eof;
	enum profile profile; /* that it chose for itself */
	bool broken; /* cannot be sent to: dropped when the batch is over */
	struct account *account; /* of the user */
	struct account *pair; /* of the user in this partition */
	struct listener *listeners; /* bound over this connection */
	struct attempt *attempts;
	uint32_t files; /* as in account: of this connection */
	struct held *held; /* registrations that end with it */
	struct transport *transport; /* if it attached */
	bool relay; /* it is hvsocket-dgram */
	struct overseer *overseer; /* it is told of CIDs (cids.c) */
	uint64_t control_session; /* what transports know it as; 0: none */
	struct client_out *out, **out_end; /* frames that wait for room */
	unsigned int out_n, out_files; /* of them with a descriptor */
	struct account *out_payer; /* of descriptors sent now, or NULL */
	struct client *prev, *next; /* all of them */
	struct client *half_prev, *half_next; /* those without HELLO */
};

struct outcome { /* of a parked connect */
	uint64_t token;
	UT_hash_handle hh;
	GUID partition;
	uint32_t uid;
	uint32_t state, error, reason; /* enum result_state */
	char text[200];
};

struct broker {
	struct ev *ev;
	struct registry *registry;
	struct ev_io registry_io;
	struct ev_timer sweep; /* probes listeners whose owner went */
	struct ev_timer expire; /* leases whose owners we cannot watch */
	struct ev_timer wake; /* attempts_wake(), with the next batch */
	struct ev_timer recheck; /* broker_changed(), with the next batch */
	struct listeners listeners;
	struct world world;
	struct limits limits;
	char *runtime_dir; /* as given, absolute */
	struct registry_dir *config_dirs;
	size_t config_dirs_n;
	char *services_dir, *partitions_dir; /* where permanent files go */
	uint32_t admin_gid; /* UINT32_MAX: no such group */
	bool everybody;
	GUID epoch;
	uint16_t mark; /* of this directory's brokers, to tell their tokens */
	int64_t started; /* unix time */
	int lock_fd;
	int reserve_fd; /* given up to take and drop one connection on EMFILE */

	struct door *doors; /* hash by partition */
	struct client *clients, *half_open; /* lists */
	uint32_t half_open_n;
	struct attempt *waiting; /* for a listener */
	struct transport *transports; /* hash by partition */
	unsigned int overseers; /* clients that said CIDS */
	struct control *controls; /* asked of transports (control.c) */
	struct ready_wait *ready_waits; /* for guests that start (ready.c) */
	uint64_t control_sessions; /* numbers given */
	struct dgrams *dgrams;
	struct uplinks *uplinks;
	struct account *accounts;
	struct outcome *outcomes;

	struct guard guard;
	struct yielder yielder; /* client.c */
	struct offload *offload;
	struct lease *leases; /* processes whose end is awaited; by pid */

	struct counter *service_counters, *partition_counters;
	uint64_t opened, refused[REASON_COUNT];
	struct log_limit client_log;
	bool changed; /* policy or partitions: look at everything again */
};

/* ---- broker.c -------------------------------------------------------------*/

struct broker_options {
	const char *runtime_dir;
	const struct registry_dir *dirs;
	size_t ndirs;
	enum profile profile;
	struct limits limits; /* members that are 0: the defaults */
	bool everybody; /* any user may connect to the host's door */
	const char *dgram; /* program that carries datagrams, "none", or NULL */
	const char *uplink_relay; /* the same for what goes over uplinks */
	const struct uplink_place *uplink; /* of this machine's host */
	int control_fd; /* a listening control socket handed over, or -1 */
};

/** broker_new() - take the runtime directory, read everything, open doors.
 * Prints why not. Return: 0 or -errno */
int broker_new(struct ev *ev, const struct broker_options *o,
	       struct broker **ret);
struct broker *broker_free(struct broker *b);

/** broker_refresh() - drain the registry's watch; before every decision */
void broker_refresh(struct broker *b);

/** broker_changed() - partitions or rules changed: doors, waiting connects and
 * relayed connections are looked at again, at once */
void broker_changed(struct broker *b);

/** broker_changed_soon() - the same, from where the ground must not move */
void broker_changed_soon(struct broker *b);

/** broker_count() - one connect opened (reason 0) or refused */
void broker_count(struct broker *b, const GUID *service, const GUID *from,
		  const GUID *to, uint32_t reason);

/** broker_token() - a fresh random number for a connection; its upper 16 bits
 * are the broker's mark */
uint64_t broker_token(const struct broker *b);

/* ---- account.c ------------------------------------------------------------*/

struct account *account_of_user(struct broker *b, uint32_t uid);
struct account *account_of_partition(struct broker *b, const GUID *partition);
struct account *account_of_pair(struct broker *b, uint32_t uid,
				const GUID *partition);
/** accounts_free() - what is left when all else is gone */
void accounts_free(struct broker *b);
/* Return: NULL. The account goes with its last reference. */
struct account *account_unref(struct broker *b, struct account *a);

/* ---- stranger.c ----------------------------------------------------------*/

/** stranger_close() - close @fd, which @user sent, without waiting for it */
void stranger_close(struct broker *b, struct account *user, int fd);
/** strangers_too_many() - is nothing to be read from this user for now? */
bool strangers_too_many(const struct account *a);

/* ---- door.c ---------------------------------------------------------------*/

/** doors_sync() - a door for every partition in force, and no others */
void doors_sync(struct broker *b);
struct door *door_find(const struct broker *b, const GUID *partition);
void doors_close(struct broker *b);
/** door_directory() - the directory to mount for a partition; malloc'ed */
char *door_directory(const struct broker *b, const GUID *partition);
/** door_adopt() - use @fd (already listening) as the host's; before sync */
int door_adopt(struct broker *b, int fd);

/* ---- client.c -------------------------------------------------------------*/

/** client_new() - take over an accepted connection (@fd is consumed always) */
void client_new(struct door *d, int fd);
/** client_drop() - end it; what it waited for is cancelled */
void client_drop(struct client *c);

/** client_drop_soon() - when the batch is over; nothing is sent to it now */
void client_drop_soon(struct client *c);
/** client_on_io() - what its io calls */
void client_on_io(struct ev_io *io, uint32_t events);

/** clients_resume() - read from this user again */
void clients_resume(struct broker *b, const struct account *user);

struct caller client_caller(const struct client *c);

/** client_may_change() - may it manage services and partitions? */
bool client_may_change(const struct client *c);

/** client_send() - one frame; a client that does not read is dropped, but
 * not before the caller has returned to the loop */
void client_send(struct client *c, const struct msg_buf *m, const int *fds,
		 int nfds);
/** client_send_kept() - one frame that a transport need not have room for */
void client_send_kept(struct client *c, const struct msg_buf *m);
void client_refuse(struct client *c, uint16_t type, uint32_t serial,
		   uint32_t error, uint32_t reason, const char *text);
void client_refuse_verdict(struct client *c, uint16_t type, uint32_t serial,
			   const struct verdict *v);
/** client_reply_empty() - success without payload */
void client_reply_empty(struct client *c, uint16_t type, uint32_t serial);

/* ---- client-out.c --------------------------------------------------------*/

/** client_out() - one frame: now, or, if it is to @wait or others do, when
 * there is room; @fds are the caller's. Return: 0, or -errno: it is not to be
 * sent to any more (-EAGAIN: it does not read) */
int client_out(struct client *c, const struct msg_buf *m, const int *fds,
	       int nfds, bool wait);
/** client_out_more() - there is room */
void client_out_more(struct client *c);
/** client_out_drop() - forget those that wait */
void client_out_drop(struct client *c);

/* A frame to be written, with its memory, as local variables. */
#define MSG_BUF(name, bytes)                 \
	uint8_t name##_bytes[bytes];         \
	struct msg_buf name = msg_buf(name##_bytes, sizeof(name##_bytes))

/* One received frame and its descriptors, of which a handler takes what it
 * keeps with frame_take_fd(). */
struct frame {
	const uint8_t *p;
	size_t len;
	struct msg_header h;
	int *fds;
	int nfds;
	bool lost; /* there were more, but no room in our table of files */
};
int frame_take_fd(struct frame *f, int i);

/* ---- socket.c ------------------------------------------------------------*/

/* What a received descriptor is. */
struct sock_info {
	int type; /* SOCK_STREAM or SOCK_SEQPACKET */
	bool nonblock;
	struct name name;
};

/** sock_inspect() - is it an AF_UNIX stream or seqpacket socket? Never blocks,
 * whatever @fd is. Return: 0, or an errno with a sentence in @ret_why */
int sock_inspect(int fd, struct sock_info *ret, const char **ret_why);

/** sock_is_native() - is it a connected socket of @type, of AF_UNIX, or, for
 * @vsock, AF_VSOCK? Never blocks, whatever @fd is. */
bool sock_is_native(int fd, bool vsock, int type);

/** sock_connected() - has this AF_UNIX socket a peer? */
bool sock_connected(int fd);

/** sock_close() - close an AF_UNIX socket that may hold strangers' data */
void sock_close(struct broker *b, int fd);

/** address_check() - Family and Reserved. Return: 0, or an errno and a
 * sentence */
int address_check(const SOCKADDR_HV *a, const char **ret_why);

/* ---- bind.c, connect.c, query.c, transport.c, manage.c: requests ---------*/

void request_bind(struct client *c, struct frame *f);
void request_listen(struct client *c, struct frame *f);
void request_connect(struct client *c, struct frame *f);
void request_result(struct client *c, struct frame *f);
/** outcome_find() - how a parked connect ended, or NULL */
struct outcome *outcome_find(const struct broker *b, uint64_t token);
void request_resolve(struct client *c, struct frame *f);
void request_names(struct client *c, struct frame *f);
void request_keep(struct client *c, struct frame *f);
void request_call(struct client *c, struct frame *f);
/** held_end() - remove the registrations leased by this connection */
void held_end(struct client *c);
/** leases_free() - stop watching processes */
void leases_free(struct broker *b);
void request_attach(struct client *c, struct frame *f);
void transport_frame(struct client *c, struct frame *f);

/* ---- cids.c --------------------------------------------------------------*/

void request_cids(struct client *c, struct frame *f);
/** overseer_frame() - a frame of a client that said CIDS */
void overseer_frame(struct client *c, struct frame *f);
/** overseers_tell() - partitions or services may have changed */
void overseers_tell(struct broker *b);
/** overseer_gone() - its client is being dropped */
void overseer_gone(struct client *c);

/** bind_unused() - a number that nobody in the partition listens on */
GUID bind_unused(struct broker *b, const GUID *partition, const GUID *vmid,
		 uint8_t type);
/** bind_within_quota() - may it have one more? Else refused in @v */
bool bind_within_quota(const struct client *c, struct verdict *v);
/** bind_forget() - the listener is gone */
void bind_forget(struct broker *b, struct listener *l);
/** bind_owner_gone() - its control connection ended: probe what it bound */
void bind_owner_gone(struct client *c);
/** bind_charge() - a listener read back at the start */
void bind_charge(struct broker *b, struct listener *l);

#endif /* BROKER_BROKER_H */
