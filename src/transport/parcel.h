/* SPDX-License-Identifier: MIT */
/*
 * parcel.h - state and descriptors, from one process to the next
 *
 * A parcel lies in the queue of a SOCK_SEQPACKET socket: a message with a
 * sealed file that holds the state, then messages with the descriptors, as many
 * as one can carry each. Whoever has the other end takes it out, at once or
 * later: a process that gets the socket from its predecessor, or from the
 * service manager that kept it. Of several that lie there the last counts.
 */
#ifndef TRANSPORT_PARCEL_H
#define TRANSPORT_PARCEL_H

#include "base/pack.h"

#define PARCEL_FDS_MAX 20000u

struct parcel {
	struct pack out;  /* made by whoever packs */
	struct unpack in; /* of what was received */
	int *fds; /* borrowed when packed, owned when received; -1: taken */
	unsigned int nfds, room, next;
	uint8_t *copy;
};

/** parcel_fini() - closes descriptors that were received and not taken */
void parcel_fini(struct parcel *p);

/** parcel_put_fd() - borrowed; -1 is a place without one */
void parcel_put_fd(struct parcel *p, int fd);
/** parcel_take_fd() - in the order of parcel_put_fd(); -1: none was put */
int parcel_take_fd(struct parcel *p);

/**
 * parcel_send() - to the queue of @sock's peer, without waiting
 * @ret_messages: how many it became
 * Return: 0; -ENOMEM: it could not be packed; -EAGAIN: it does not fit;
 * -ETOOMANYREFS (RLIMIT_NOFILE), -errno
 */
int parcel_send(int sock, const struct parcel *p, unsigned int *ret_messages);
/** parcel_skip() - the next @n messages, away */
void parcel_skip(int sock, unsigned int n);
/** parcel_recv() - the last one that is complete. Return: 0; -ENODATA: there is
 * none; -EPROTO: it is no parcel; -EPROTONOSUPPORT: of another version;
 * -errno */
int parcel_recv(int sock, struct parcel *ret);

#endif /* TRANSPORT_PARCEL_H */
