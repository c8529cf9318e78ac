/* SPDX-License-Identifier: MIT */
/*
 * meeting.h - where the broker connects programs' sockets to itself
 *
 * A listening socket in rendezvous/. A program's socket, which bears its name
 * by now, is connected to it; the end that is accepted belongs to whoever
 * carries its bytes. What was written there that program has written, and
 * nobody else.
 */
#ifndef BROKER_MEETING_H
#define BROKER_MEETING_H

#include <sys/socket.h>
#include <sys/un.h>

struct broker;

struct meeting {
	struct broker *b;
	struct sockaddr_un sa; /* where it is */
	int fd; /* -1: not yet */
};

void meeting_init(struct meeting *m, struct broker *b, const char *path);
void meeting_fini(struct meeting *m);

/** meeting_connect() - connect @fd, of @type (always the same one) and with
 * this name. Return: the other end, non-blocking; or -errno */
int meeting_connect(struct meeting *m, int fd, int type,
		    const struct sockaddr_un *name, socklen_t len);

#endif /* BROKER_MEETING_H */
