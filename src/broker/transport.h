/* SPDX-License-Identifier: MIT */
/*
 * transport.h - attached guests and their relayed connections
 *
 * A transport is a client that said ATTACH. Its rendezvous sockets are files
 * in rendezvous/; what it relays is kept here for `connections` and so that a
 * change of policy can end it.
 */
#ifndef BROKER_TRANSPORT_H
#define BROKER_TRANSPORT_H

#include "broker/attempt.h"
#include "broker/broker.h"
#include "broker/telling.h"
#include "proto/notice.h"

#define RELAYED_MAX 65536 /* of one transport */

struct relayed {
	uint64_t token;
	UT_hash_handle hh;
	uint16_t type, direction; /* 0: the guest dialled, 1: the host */
	bool opening; /* the guest has not answered yet */
	bool closing; /* the transport has been told to end it */
	GUID from; /* direction 1: the connector's partition */
	GUID dest; /* VmId dialled, as it was dialled */
	bool passthru;
	bool suspend; /* HVSOCKET_CONNECTED_SUSPEND */
	bool half; /* what it goes on by is noted as well: it counts there */
	uint32_t uid; /* of the connector, or NAME_UID_NONE */
	GUID service, source;
	uint64_t to_guest, from_guest; /* as last told */
	struct account *joined; /* of an uplink: where it is counted, or NULL */
};

/* What the partition's guest is made to look like (simulate.c). */
enum simulated { SIMULATED_NOTHING, SIMULATED_PAUSED, SIMULATED_SAVED };

struct transport {
	GUID partition;
	UT_hash_handle hh;
	struct client *client;
	uint16_t kind, types;
	bool running;
	uint64_t running_since_ns;
	struct {
		enum notice_state state;
		char status[NOTICE_STATUS_SIZE];
	} said; /* by its guest's systemd (ready.c) */
	struct hearing *hearings; /* connections over which it is said */
	bool made_partition; /* the partition ends with it */
	bool stalls; /* it understands STALL */
	bool controls; /* it answers CONTROL */
	bool partitions; /* OPEN and LIVE have the partition */
	bool cids; /* OPEN and DIAL have CIDs of siblings */
	enum simulated simulated;
	bool native; /* it hands over what its guest dialled */
	struct asked *uplink; /* HELLO of its guest's broker, or NULL */
	/* its broker has let those wait that ask it for datagrams */
	uint64_t slow_since_ns, slow_ms, unasked_until_ns;
	uint64_t flush_ns; /* its uplink's coming and going */
	uint32_t serial;
	struct attempt *opens;
	struct relayed *relayed;
	struct telling services; /* type 0: not wanted */
};

const char *transport_kind_name(uint16_t kind);

/** may_attach() - may this user attach, and manage, the partition? */
bool may_attach(const struct client *c, const struct partition *p);

struct transport *transport_find(const struct broker *b, const GUID *partition);

/** transport_unmake_partition() - one that was made for a transport */
void transport_unmake_partition(struct broker *b, const GUID *vmid);

/** transport_gone() - its client is being dropped */
void transport_gone(struct client *c);

/** transport_open() - ask the guest; a's via and open_serial are set.
 * Return: 0 or -errno */
int transport_open(struct transport *t, struct attempt *a);

/** transport_parked() - tell the filler of a parked connect */
void transport_parked(struct transport *t, uint64_t token, uint64_t filler);

/** transport_close() - tell it, once, to end a connection, or to give an OPEN
 * up */
void transport_close(struct transport *t, uint64_t token, uint32_t reason);

/** transport_stall() - nothing is to move, or all goes on */
void transport_stall(struct transport *t, bool stalled);

/** transport_relays() - note a connection. Return: 0, or -ENOBUFS: it must not
 * come to be */
int transport_relays(struct transport *t, const struct relayed *r);
/** transport_other_half() - it goes on by another one */
void transport_other_half(struct transport *t, uint64_t token);
/** transport_told_twice() - is @r of @t between siblings, and is the same noted
 * for the one that is reached, too? */
bool transport_told_twice(const struct broker *b, const struct transport *t,
			  const struct relayed *r);
/** transport_count_of() - relayed connections of a service, of all guests */
size_t transport_count_of(const struct broker *b, const GUID *service);

/** transport_token_known() - is a connection with this token relayed, or being
 * set up? */
bool transport_token_known(const struct broker *b, uint64_t token);

/** transport_opened() - the guest has said yes to a parked connect */
void transport_opened(struct transport *t, uint64_t token);

void transport_forget(struct transport *t, uint64_t token);

/** transport_ask_counters() - the answer updates what is known of bytes */
void transport_ask_counters(struct broker *b, const struct transport *t);

/* control.c */

/** controls_client_gone(), controls_transport_gone() - one side of what is
 * asked is being dropped */
void controls_client_gone(struct client *c);
void controls_transport_gone(struct transport *t);
/** control_answered() - a reply to CONTROL */
void control_answered(struct transport *t, struct frame *f);

/* simulate.c */

/** simulated_name() - "running", "paused", "saved" */
const char *simulated_name(enum simulated s);
/* services.c */

/** services_tell() - the list, unless it is the one that @c has been told */
void services_tell(struct broker *b, struct client *c, struct telling *t,
		   uint32_t *serial);
/** transport_tell_services() - the list, if it wants it and it is not what it
 * was told last */
void transport_tell_services(struct broker *b, struct transport *t);
/** transports_tell_services() - the registry has changed */
void transports_tell_services(struct broker *b);
/** transport_services_taken() - it answered SERVICES: what comes next? */
void transport_services_taken(struct broker *b, struct transport *t,
			      uint32_t serial);

/* dial.c */

/** transport_dial() - its guest connects */
void transport_dial(struct client *c, struct frame *f);

/* recheck.c */

/** relayed_recheck() - end a connection if rules do not allow it */
void relayed_recheck(struct broker *b, struct transport *t,
		     const struct relayed *r);

/** transports_recheck() - end what rules no longer allow, and transports whose
 * partition is gone */
void transports_recheck(struct broker *b);

#endif /* BROKER_TRANSPORT_H */
