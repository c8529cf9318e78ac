/* SPDX-License-Identifier: MIT */
/*
 * channel.h - the socket to the front-end
 *
 * Never reads past one message, since the descriptors of the next would come
 * with it; never blocks, and keeps what has come of a message so far.
 */
#ifndef VHOST_USER_CHANNEL_H
#define VHOST_USER_CHANNEL_H

#include "transport/vhost-user/message.h"

struct vu_channel {
	int fd; /* -1: closed */
	uint8_t buf[VU_HEADER + VU_PAYLOAD_MAX];
	size_t got;
	int fds[VU_FDS_MAX];
	int nfds;
};

/** vu_channel_init() - @fd is owned from now on */
void vu_channel_init(struct vu_channel *ch, int fd);
/** vu_channel_fini() - close it and what has come; twice is fine */
void vu_channel_fini(struct vu_channel *ch);

/**
 * vu_channel_recv() - the next message
 * @ret:	its header
 *
 * Return: 1: ch->buf holds it, ch->fds its descriptors, for vu_channel_next()
 * to forget; 0: end of file; -EAGAIN; -EPROTO, -EMSGSIZE: not a message;
 * -EBADF: too many descriptors; recvmsg(2)'s.
 */
int vu_channel_recv(struct vu_channel *ch, struct vu_header *ret);
/** vu_channel_next() - closes the descriptors that nobody took (set to -1) */
void vu_channel_next(struct vu_channel *ch);

/** vu_channel_reply() - Return: 0; -EAGAIN: it does not read; sendmsg(2)'s */
int vu_channel_reply(struct vu_channel *ch, uint32_t request, const void *p,
		     uint32_t size);

#endif /* VHOST_USER_CHANNEL_H */
