/* SPDX-License-Identifier: MIT */
/* place.h - where the broker's control socket is (docs/protocol.md, 1) */
#ifndef TRANSPORT_PLACE_H
#define TRANSPORT_PLACE_H

#include <sys/socket.h>
#include <sys/un.h>

struct place {
	char path[512]; /* for messages */
	struct sockaddr_un sa;
	socklen_t sa_len;
	int dir; /* its directory, where the path is long; -1 */
};

/** place_find() - Return: 0; -errno, and @ret_why says of what. To be closed
 * in both cases */
int place_find(struct place *p, const char **ret_why);
void place_close(struct place *p);

#endif /* TRANSPORT_PLACE_H */
