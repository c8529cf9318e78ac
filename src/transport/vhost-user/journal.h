/* SPDX-License-Identifier: MIT */
/*
 * journal.h - what the next process has to know if this one dies
 *
 * A file in memory that somebody else holds, too: which connections the guest
 * has, so that they can be reset, and whether a message of the front-end was
 * being worked on.
 */
#ifndef VHOST_USER_JOURNAL_H
#define VHOST_USER_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

struct journal;

/** journal_new() - an empty one. Return: 0 or -errno */
int journal_new(struct journal **ret);
/** journal_free() - NULL is fine. Return: NULL */
struct journal *journal_free(struct journal *j);
int journal_fd(const struct journal *j);

/* All of these do nothing if @j is NULL. */
void journal_busy(struct journal *j, bool busy);
void journal_add(struct journal *j, uint32_t type, uint32_t peer_cid,
		 uint32_t guest_port, uint32_t host_port);
void journal_remove(struct journal *j, uint32_t type, uint32_t peer_cid,
		    uint32_t guest_port, uint32_t host_port);

/** journal_read() - of one that died. @fd is borrowed; @lost is called for each
 * connection. Return: 0; -EPROTO: that is no journal; -errno */
int journal_read(int fd, bool *ret_busy,
		 void (*lost)(void *ctx, uint32_t type, uint32_t peer_cid,
			      uint32_t guest_port, uint32_t host_port),
		 void *ctx);

#endif /* VHOST_USER_JOURNAL_H */
