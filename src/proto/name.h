/* SPDX-License-Identifier: MIT */
/*
 * name.h - names of kernel objects (docs/protocol.md, section 6)
 *
 * A listener's file name, a rendezvous' file name and the abstract name of a
 * connecting socket hold all that must survive the broker. Pure functions.
 */
#ifndef PROTO_NAME_H
#define PROTO_NAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <hvsocket.h>

#include "proto/profile.h"

#define NAME_LISTENER_DIR "listeners/"
#define NAME_RENDEZVOUS_DIR "rendezvous/"
/* where the broker connects datagram sockets */
#define NAME_DATAGRAMS NAME_RENDEZVOUS_DIR "datagrams"

/* uid of a connecting end that is no process of this host */
#define NAME_UID_NONE UINT32_MAX

struct listener_name {
	uint8_t type; /* SOCK_STREAM or SOCK_SEQPACKET */
	bool native; /* it takes guests' connections themselves */
	GUID partition; /* zero: the host */
	GUID vmid; /* whom it hears */
	GUID service;
	uint32_t uid, gid;
	enum profile profile; /* chosen by its program */
};

struct rendezvous_name {
	uint8_t type;
	GUID partition;
};

struct connector_name {
	uint8_t type;
	uint8_t flags; /* CONNECTOR_* */
	GUID peer; /* the connector as the listener sees it */
	GUID peer_service;
	GUID dest; /* as dialled */
	GUID dest_service;
	uint32_t uid;
	uint64_t token;
};

#define CONNECTOR_GUEST 1u
/* all that will come is the guest's connection itself */
#define CONNECTOR_NATIVE 2u

enum name_kind {
	NAME_NONE, /* unnamed */
	NAME_FOREIGN, /* not one of ours */
	NAME_LISTENER,
	NAME_RENDEZVOUS,
	NAME_CONNECTOR,
	NAME_DATAGRAM, /* .connector: peer, peer_service: as bound */
};

struct name {
	enum name_kind kind;
	union {
		struct listener_name listener;
		struct rendezvous_name rendezvous;
		struct connector_name connector;
	};
};

/** *_name_encode() - the socket address; Return: its length */
socklen_t listener_name_encode(const struct listener_name *n,
			       struct sockaddr_un *ret);
socklen_t rendezvous_name_encode(const struct rendezvous_name *n,
				 struct sockaddr_un *ret);
socklen_t connector_name_encode(const struct connector_name *n,
				struct sockaddr_un *ret);

/** name_decode() - what kind of name is it? @sa may be of any family. */
void name_decode(const struct sockaddr_un *sa, socklen_t len, struct name *ret);

/** listener_file_decode() - a directory entry of listeners/. 0 or -EINVAL */
int listener_file_decode(const char *file, struct listener_name *ret);

#endif /* PROTO_NAME_H */
