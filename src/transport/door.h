/* SPDX-License-Identifier: MIT */
/*
 * door.h - listeners at which guests dial, one for each registered service
 *
 * Made and removed as services come and go. At most a quarter of the
 * descriptors that the process may have are theirs: connections need some, too.
 * How one listens, and who has dialled, is the transport's.
 */
#ifndef TRANSPORT_DOOR_H
#define TRANSPORT_DOOR_H

#include "base/ev.h"
#include "base/hash.h"
#include "base/log.h"
#include "proto/message.h"

struct door_set;

struct door {
	GUID service;
	UT_hash_handle hh;
	struct door_set *set;
	bool wanted, told;
	int fd; /* -1: it could not be made */
	struct ev_io io;
	struct ev_timer pause;
};

struct door_ops {
	size_t size; /* of what begins with a struct door */
	/* Return: a listener, non-blocking; -errno */
	int (*listen)(struct door *d);
	/* one connection. Return: 0: taken, or refused; -EAGAIN: none is there;
	 * -errno: none can be taken now */
	int (*accept)(struct door *d);
	/* it could not be made: @told: this has been said */
	void (*failed)(struct door *d, int error, bool told);
	/* optional: not every service has one; is @d still where it was made?
	 * its descriptor is about to be closed; there are to be no more */
	bool (*possible)(const GUID *service);
	bool (*in_place)(struct door *d);
	void (*closing)(struct door *d);
	void (*full)(struct door_set *set);
};

struct door_set {
	struct ev *ev;
	const struct door_ops *ops;
	struct door *all;
	unsigned int open, open_max;
	bool full_told;
	struct log_limit limit; /* for what ops say */
};

void door_set_init(struct door_set *set, struct ev *ev,
		   const struct door_ops *ops);
void door_set_end(struct door_set *set);
/** door_set_services() - part of the list of what is registered. What is not in
 * it loses its listener when the list is whole */
void door_set_services(struct door_set *set, const struct msg_services *m);
/** door_set_look() - those that could not be made are tried again, and so are
 * those that are not in place any more */
void door_set_look(struct door_set *set);

#endif /* TRANSPORT_DOOR_H */
