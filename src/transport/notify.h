/* SPDX-License-Identifier: MIT */
/*
 * notify.h - what a service manager is told, and keeps for the next process
 *
 * The protocol of sd_notify(3) and sd_listen_fds(3): a datagram to
 * $NOTIFY_SOCKET, and descriptors from 3 on with names in $LISTEN_FDNAMES.
 */
#ifndef TRANSPORT_NOTIFY_H
#define TRANSPORT_NOTIFY_H

#include <stdbool.h>

/** notify_open() - Return: a socket; -ENOENT: there is no service manager that
 * wants to know; -errno */
int notify_open(void);
/** notify_send() - "READY=1\n..."; @fd: to be sent along, or -1. Return: 0 or
 * -errno */
int notify_send(int sock, const char *text, int fd);

/** notify_kept() - the descriptor of this name that was kept for us. Return:
 * it, close-on-exec; -1: none */
int notify_kept(const char *name);

#endif /* TRANSPORT_NOTIFY_H */
