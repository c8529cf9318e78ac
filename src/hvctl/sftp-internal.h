/* SPDX-License-Identifier: MIT */
/* sftp-internal.h - what sftp-link.c and sftp-bytes.c share */
#ifndef HVCTL_SFTP_INTERNAL_H
#define HVCTL_SFTP_INTERNAL_H

#include "hvctl/sftp-link.h"

/** sftp_die() - the conversation is over. Return: why it is, -errno */
int sftp_die(struct sftp_link *l, int error);
/** sftp_with_handle() - a request about @h, with the next id */
struct sftp_out sftp_with_handle(struct sftp_link *l, enum sftp_type type,
				 const struct sftp_handle *h);
int sftp_send(struct sftp_link *l, struct sftp_out *o);
/** sftp_answer() - the answer to request @id, of @type or a status */
int sftp_answer(struct sftp_link *l, uint32_t id, enum sftp_type type,
		struct sftp_reply *ret);

#endif /* HVCTL_SFTP_INTERNAL_H */
